"""A whole compilation, small: what it leaves, and that interruptions anywhere change nothing of what comes out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from genevolve.experience_store.store import ExperienceStore
from genevolve.grammar.errors import AuthorError, ConfigurationError, ProgramError, ServiceError, StorageError
from genevolve.optimizer.compiling import durable, run
from genevolve.optimizer.compiling.folder import RunFolder
from genevolve.optimizer.compiling.run import Compiled, Silent, compile
from genevolve.optimizer.compiling.settings import read_settings
from genevolve.optimizer.compiling.versions import Version, Versions

pytestmark = pytest.mark.filterwarnings("default")  # TRL and transformers warn about their own defaults

SMALL: dict[str, Any] = {
    "policy.mini_vocabulary": 600,
    "policy.mini_width": 48,
    "policy.mini_layers": 2,
    "policy.mini_heads": 4,
    "policy.mini_key_heads": 2,
    "policy.mini_feed": 96,
    "policy.mini_practice": 0,
    "rollouts.siblings": 3,
    "rollouts.requests": 2,
    "rollouts.turns": 10,
    "rollouts.turn_tokens": 240,
    "rollouts.tokens": 600,
    "reward.judge": "inspector:no-ocr",
    "reward.workers": 1,
    "memory.min_gap": 0.01,
    "memory.gate": 0.3,
    "training.steps": 2,
    "training.save_every": 1,
    "training.learning_rate": 1e-3,
    "cold_start.check_guide": 2,
    "cold_start.requests": 10,
    "cold_start.siblings": 2,
    "cold_start.epochs": 8.0,
    "cold_start.batch": 4,
    "cold_start.learning_rate": 5e-3,
    "gate.every": 2,
    "gate.requests": 2,
}


class Heard(Silent):
    """Keeps what was told."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.steps: list[int] = []
        self.versions: list[Version] = []

    def phase(self, text: str) -> None:
        self.phases.append(text)

    def step(self, step: int, steps: int, figures: Mapping[str, float], seconds: float) -> None:
        self.steps.append(step)

    def version(self, version: Version) -> None:
        self.versions.append(version)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Compiled, Heard]:
    """A mini policy made from nothing, imitating, and evolving for two steps, undisturbed."""
    heard = Heard()
    out = tmp_path_factory.mktemp("compiled") / "whole"
    found = compile("mini", suite=f"studio:{small_world}/train", out=out, settings=SMALL, listener=heard)
    return found, heard


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def at_steps(out: Path) -> dict[int, str]:
    """The versions of a run by the steps that they were made after."""
    return {v.step: v.name for v in Versions(out).all()}


def untimed(out: Path) -> list[dict[str, float]]:
    """The figures of all steps that do not tell how long something took."""
    return [
        {k: v for k, v in line["figures"].items() if not k.startswith(("seconds/", "tokens_per"))}
        for line in lines(out / "steps.jsonl")
    ]


def test_what_a_run_leaves(whole: tuple[Compiled, Heard]) -> None:
    found, heard = whole
    out = found.folder
    assert (found.step, found.reason, found.policy) == (2, "", out / "policy")
    state = json.loads((out / "state.json").read_text())
    assert (state["phase"], state["step"], state["steps"], state["best"]) == ("finished", 2, 2, found.best)
    identity = json.loads((out / "compile.json").read_text())
    assert identity["policy"] == {"name": "mini", "version": "made from nothing"}
    assert identity["suite"]["rows"] == 10
    assert identity["judge"].startswith("inspector")
    steps = lines(out / "steps.jsonl")
    assert [s["step"] for s in steps] == heard.steps == [1, 2]
    assert {"reward/mean", "reward/gap", "memory/hit_rate", "tokens_per_second", "loss"} <= set(
        steps[0]["figures"]
    )
    groups = lines(out / "groups.jsonl")
    assert [g["step"] for g in groups] == [1, 1, 2, 2]
    assert all(len(g["rewards"]) == 3 for g in groups)
    for told in (g[which] for g in groups for which in ("best", "worst") if g[which]):
        assert told["program"].startswith("request ")
        assert told["picture"] is None or (out / told["picture"]).is_file()
    assert any(s["figures"].get("grad_norm") for s in steps), "something was learned in some step"
    versions = Versions(out).all()
    assert [(v.name, v.step) for v in versions] == [("v000", 0), ("v001", 2)]
    assert [v.name for v in heard.versions] == ["v000", "v001"]
    assert all(len(lines(out / "evaluations" / f"{v.name}.jsonl")) == 2 for v in versions)
    assert weights(out / "versions" / "v000") != weights(out / "versions" / "v001")
    assert weights(found.policy) == weights(out / "versions" / found.best)
    guide = json.loads((out / "start_guide.json").read_text())
    assert guide["requests"] == 2
    assert guide["compared"] <= guide["guided"] <= 2
    assert any(text.startswith("guides before evolving") for text in heard.phases)
    assert all(g["guided"] == (g["experience"] is not None) for g in groups)
    assert "learned on" in (found.policy / "README.md").read_text()
    assert sorted(p.name for p in (out / "checkpoints").glob("checkpoint-*")) == [
        "checkpoint-1",
        "checkpoint-2",
    ]


def test_the_policy_can_be_opened(whole: tuple[Compiled, Heard]) -> None:
    from genevolve.programs.policies.catalog import open_policy

    policy = open_policy(f"local:{whole[0].policy}")
    assert getattr(policy, "card", None) == "brief"
    policy.close()


class Cut(KeyboardInterrupt):
    """An interruption at a place of a test's choice."""


def cut_after(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, calls: int, *, before: bool = False
) -> None:
    """Interrupt at the n-th call of a method: after it was done, or before."""
    original = getattr(owner, name)
    left = [calls]

    def cutting(*args: Any, **named: Any) -> Any:
        left[0] -= 1
        if not left[0] and before:
            raise Cut
        made = original(*args, **named)
        if not left[0]:
            raise Cut
        return made

    monkeypatch.setattr(owner, name, cutting)


def after_cold_start(whole: Path, out: Path) -> None:
    """A run folder as it was when the cold start had ended: nothing measured, nothing evolved."""
    for name in ("compile.json", "cold_start.json", "state.json"):
        out.mkdir(exist_ok=True)
        shutil.copy(whole / name, out / name)
    durable.write_json(out / "state.json", {"phase": "cold_start", "step": 0, "steps": 2, "best": None})
    shutil.copytree(whole / "versions" / "v000", out / "versions" / "v000")
    durable.write_json(
        out / "versions" / "v000" / "version.json", Version("v000", 0, None, True, "the start").to_dict()
    )


def test_interruptions_change_nothing(
    whole: tuple[Compiled, Heard], small_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "again"
    after_cold_start(whole[0].folder, out)
    given = {"suite": f"studio:{small_world}/train", "out": out, "settings": SMALL, "resume": True}
    places: list[tuple[Any, str, int, bool]] = [
        (Versions, "write_evaluation", 1, False),  # the start is measured, that is not yet written down
        (durable.Lines, "append", 1, False),  # step 1: groups are written, figures are not
        (Versions, "add", 1, True),  # at the gate of step 2: evaluated, not kept
        (RunFolder, "prune", 1, True),  # right after the last checkpoint counts
    ]
    for owner, name, calls, before in places:
        with monkeypatch.context() as patch:
            cut_after(patch, owner, name, calls, before=before)
            with pytest.raises(Cut):
                compile("mini", **given)
        state = out / "state.json"
        assert not state.exists() or json.loads(state.read_text())["phase"] == "stopped"
        if name == "append":  # a limit is an end like others, and a larger one goes on
            stopped = compile(out=out, resume=True, settings={"limits.rollouts": 6})
            assert (stopped.step, stopped.reason) == (1, "budget: 6 of 6 rollouts are made")
            assert json.loads(state.read_text())["phase"] == "stopped"
            assert (out / "checkpoints" / "checkpoint-1" / "complete.json").is_file()
    found = compile(out=out, resume=True)
    wanted = whole[0].folder
    assert found.step == 2
    ours, theirs = at_steps(out), at_steps(wanted)
    assert sorted(ours) == [0, 1, 2]  # the limit brought a gate of its own
    for step in (0, 2):
        assert weights(out / "versions" / ours[step]) == weights(wanted / "versions" / theirs[step])
        a, b = (f / "evaluations" / f"{n[step]}.jsonl" for f, n in ((out, ours), (wanted, theirs)))
        assert a.read_bytes() == b.read_bytes()
    for file in ("model.safetensors", "teacher.safetensors", "scheduler.pt"):
        path = f"checkpoints/checkpoint-2/{file}"
        assert (out / path).read_bytes() == (wanted / path).read_bytes()
    assert (out / "groups.jsonl").read_bytes() == (wanted / "groups.jsonl").read_bytes()
    assert untimed(out) == untimed(wanted)
    with (
        ExperienceStore.open(out / "experiences", read_only=True) as a_store,
        ExperienceStore.open(wanted / "experiences", read_only=True) as b_store,
    ):
        assert a_store.ids() == b_store.ids()
    heard = Heard()
    assert compile(out=out, resume=True, listener=heard).step == 2  # all is done: nothing more
    assert heard.steps == []


@pytest.mark.parametrize(
    "policy", ["endpoint:openai/gpt-4o-mini", "scripted:x.gprog", "oracle:w", "bare", ""]
)
def test_policies_whose_weights_are_elsewhere_are_refused(
    small_world: Path, tmp_path: Path, policy: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be trained|there is no policy|what is trained"):
        compile(policy, suite=f"studio:{small_world}/train", out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_data_that_cannot_be_used_is_told_before_anything_is_made(small_world: Path, tmp_path: Path) -> None:
    suite = f"studio:{small_world}/train"
    out = tmp_path / "x"
    with pytest.raises(AuthorError, match="a step has 50 requests"):
        compile("mini", suite=suite, out=out, settings={"rollouts.requests": 50})
    with pytest.raises(AuthorError, match="validation requests are also learned on"):
        compile("mini", suite=suite, validation=suite, out=out)
    with pytest.raises(ConfigurationError, match="what is learned on"):
        compile("mini", out=out)
    broken = tmp_path / "broken.gprog"
    broken.write_text('request "x"\nprompt ???\n')
    with pytest.raises(ProgramError):
        compile("mini", suite=suite, sketch=broken, out=out)
    with pytest.raises(ConfigurationError, match="may cost money"):
        compile("mini", suite=suite, out=out, settings={"reward.renderer": "openai:gpt-image-1"})
    assert not out.exists()


def test_requests_are_filled_into_a_sketch() -> None:
    from genevolve.optimizer.compiling.data import filled_in
    from genevolve.programs.program import Program

    sketch = Program.parse('# mine\nrequest "x"\n\nuse skill ?\n\n...\n\nrender size: 512x512\n')
    found = filled_in(sketch, 'A "sign" with {braces}\nand lines', "r")
    assert found.check().ok
    assert found.source == (
        '# mine\nrequest "A \\"sign\\" with {{braces}} and lines"\n\nuse skill ?\n\n...\n\nrender size: 512x512\n'
    )
    for text in ("prompt ?\n", 'request "a"\nrequest "b"\n...\n'):
        with pytest.raises(AuthorError, match="one request statement"):
            filled_in(Program.parse(text), "r", "r")


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
            ServiceError,
            "memory ran out",
        ),
        (OSError(28, "No space left on device", "model.safetensors"), StorageError, "No space left"),
        (ValueError("a bug of ours"), ValueError, "a bug of ours"),
    ],
)
def test_what_breaks_a_run_is_told_and_kept(
    small_world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    kind: type[Exception],
    said: str,
) -> None:
    def breaks(*_: Any) -> None:
        raise error

    monkeypatch.setattr(run, "_run", breaks)
    out = tmp_path / "x"
    with pytest.raises(kind, match=said):
        compile("mini", suite=f"studio:{small_world}/train", out=out)
    assert not (out / "state.json").exists()  # nothing had been begun that could be told of
    with RunFolder(out, resume=True) as folder:
        folder.claim(
            {
                "settings": read_settings(
                    "laptop", values={"data.suite": f"studio:{small_world}/train"}
                ).to_dict()
            }
        )
    with pytest.raises(kind, match=said):
        compile(out=out, resume=True)
    state = json.loads((out / "state.json").read_text())
    assert (state["phase"], said in state["reason"]) == ("failed", True)
