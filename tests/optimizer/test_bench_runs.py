"""Whole benches: the small world by its oracle and by a bare request, failures as rows, a killed process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from genevolve.grammar.errors import AuthorError, ServiceError
from genevolve.grammar.z import Z
from genevolve.interpreter.config import Config, load_config
from genevolve.interpreter.judges.protocol import Case, Verdict
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.values import ImageHandle
from genevolve.optimizer.evaluation.baselines import Blind, open_contestant
from genevolve.optimizer.evaluation.bench import Plan, Report, run_bench, suite_config
from genevolve.optimizer.evaluation.compare import compare
from genevolve.optimizer.evaluation.folder import open_bench
from genevolve.optimizer.evaluation.runner import BenchRunner, Options
from genevolve.optimizer.evaluation.suites import Row, Suite, open_suite
from genevolve.optimizer.evaluation.workshop import Loop, is_local
from genevolve.programs.batch.folder import BatchFolder
from genevolve.programs.batch.journal import Journal
from genevolve.programs.policies.protocol import Dialogue, Emission, Limits, Message, Role, Stop
from genevolve.programs.session import open_machine

ROOT = Path(__file__).resolve().parents[2]


def bench(world: Path, policy: str, out: Path, **changes: Any) -> Report:
    suite = open_suite(f"studio:{world}")
    config = suite_config(suite, load_config(flags={"cache.enabled": False}), {})
    facts: dict[str, Any] = {"judge": "inspector:no-ocr", "parallel": 1} | changes
    return run_bench(Plan(suite, policy, "studio", out=out, **facts), config)


@pytest.fixture(scope="module")
def runs(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs beside each other: `oracle` and `bare`."""
    folder = tmp_path_factory.mktemp("runs")
    bench(small_world, f"oracle:{small_world}", folder / "oracle")
    bench(small_world, "bare", folder / "bare")
    return folder


def test_the_oracle_is_far_better_than_the_bare_request(runs: Path) -> None:
    oracle, bare = open_bench(runs / "oracle"), open_bench(runs / "bare")
    assert [r.state for r in (*oracle.results, *bare.results)] == ["scored"] * 16
    found = compare(bare, oracle)["overall"]["score"]
    assert found["difference"]["low"] > 0.2
    assert found["b"] > 0.85
    summary = oracle.summary()
    assert summary["spent"]["turns"] > 1
    assert set(summary["constraints"]) <= {s for r in oracle.results for *_, s in r.constraints}
    picture = runs / "oracle" / oracle.results[0].rollouts[0].picture
    with Image.open(picture) as image:
        assert image.size == (384, 384)
        assert "prompt" in str(image.info)


def test_a_bench_does_not_begin_where_another_one_is(runs: Path, small_world: Path) -> None:
    with pytest.raises(AuthorError, match="--resume"):
        bench(small_world, "bare", runs / "bare")
    with pytest.raises(AuthorError, match="policy"):
        bench(small_world, "template", runs / "bare", resume=True)


def test_resuming_what_is_done_runs_nothing(runs: Path, small_world: Path) -> None:
    before = (runs / "bare" / "results.jsonl").read_bytes()
    bench(small_world, "bare", runs / "bare", resume=True)
    assert (runs / "bare" / "results.jsonl").read_bytes() == before


def test_a_killed_bench_loses_rows_in_flight_only_and_ends_the_same(
    runs: Path, small_world: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "genevolve",
        "bench",
        f"studio:{small_world}",
        "--policy",
        "bare",
        "--judge",
    ]
    command += ["inspector:no-ocr", "--out", str(out), "--parallel", "1", "--batch", "2", "--no-cache"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = out / "results.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 2):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    left = [Path("/proc") / pid for pid in workers.read_text().split()] if workers.exists() else []
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while any(worker.exists() for worker in left):
        assert time.monotonic() < deadline, "the workers outlive the process that gave them work"
        time.sleep(0.01)
    kept = journal.read_bytes().count(b"\n")
    options = Options(batch=2)
    bench(small_world, "bare", out, resume=True, options=options)
    assert journal.read_bytes().count(b"\n") == 8, "rows that had ended are not run again"
    assert kept >= 2
    assert facts(out) == facts(runs / "bare")


def facts(folder: Path) -> list[dict[str, Any]]:
    """The records without what depends on the clock; the pictures are the same bytes."""
    found = []
    for line in (folder / "output.jsonl").read_text().splitlines():
        record = json.loads(line)
        for rollout in record["rollouts"]:
            rollout["cost"].pop("seconds")
        record["png"] = (folder / record["output_path"]).read_bytes()
        found.append({k: v for k, v in record.items() if k not in ("seconds", "attempts")})
    return found


# ---- failures are rows -------------------------------------------------------------------------------


class Renderer:
    """Fails for some prompts, as services and programs do."""

    name, version = "fake", "1"

    def refusals(self, z: Z) -> tuple[str, ...]:
        return ("it is too wide",) if "refused" in z.gen_prompt else ()

    def render(self, context: CallContext, z: Z, references: tuple[ImageHandle, ...]) -> Rendering:
        if "outage" in z.gen_prompt:
            raise ServiceError("the service is out")
        return Rendering(Image.new("RGB", (8, 8), "red"))


class Judge:
    """Declines some requests, and breaks on others."""

    name, version = "fake", "1"

    async def score(self, case: Case) -> Verdict:
        if "declined" in case.request:
            return Verdict(None, unscored="it declines")
        if "broken" in case.request:
            raise ValueError("a bug of the judge")
        return Verdict(0.25, {"x": 0.25}, {"part": 0.25}, "Seen.")


class Policy:
    """Writes the request as the prompt, but for what it is told to do otherwise."""

    name, version, takes_images, constrained = "fake", "1", False, False

    def act(self, dialogues: list[Dialogue], limits: Limits) -> list[Emission]:
        return [self._turn("\n".join(m.text for m in d.messages if m.role is Role.USER)) for d in dialogues]

    def _turn(self, said: str) -> Emission:
        if "nonsense" in said:
            return Emission("this is no statement")
        if "unreachable" in said:
            return Emission("", Stop.FAILED, error="no answer")
        word = next((w for w in ("outage", "refused") if w in said), "fine")
        return Emission(f'prompt "A picture that is {word}."\n')

    def release(self, ids: list[str]) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is held."""


WORDS = ("fine", "refused", "outage", "declined", "broken", "nonsense", "unreachable", "unusable")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "documents").mkdir()
    return load_config(flags={"library.folders": [str(tmp_path / "documents")], "library.embedder": "none"})


@pytest.fixture
def mixed(tmp_path: Path, config: Config) -> Iterator[Any]:
    """A function that runs rows of every fate; each call goes on where the last one ended."""
    rows = tuple(
        Row(i, w, f"Something {w}.", problem="it is bad" if w == "unusable" else "")
        for i, w in enumerate(WORDS)
    )
    suite = Suite("mixed", "rows", rows)
    with open_machine(config, renderer=Renderer()) as machine:

        def run(rollouts: int = 1) -> dict[str, dict[str, Any]]:
            workshop = Loop(Judge(), 2)
            try:
                with (
                    BatchFolder(
                        tmp_path / "out", {"suite": suite.name, "n": rollouts}, resume=True
                    ) as folder,
                    Journal(folder.journal, len(rows)) as journal,
                ):
                    options = Options(rollouts=rollouts, batch=3)
                    BenchRunner(suite, Policy(), machine, workshop, folder, journal, options).run()
                    return {json.loads(line)["id"]: json.loads(line) for _, line in journal.records()}
            finally:
                workshop.close()

        yield run


def test_every_fate_of_a_row(mixed: Any) -> None:
    records = mixed()
    assert {k: r["state"] for k, r in records.items()} == {
        "fine": "scored",
        "refused": "failed",
        "outage": "failed",
        "declined": "unscored",
        "broken": "unscored",
        "nonsense": "failed",
        "unreachable": "failed",
        "unusable": "failed",
    }
    assert records["fine"]["score"] == 0.25
    assert all(records[w]["score"] is None for w in WORDS[1:])
    assert "too wide" in records["refused"]["error"]["message"]
    assert "ValueError: a bug of the judge" in records["broken"]["error"]["message"]
    assert records["unusable"]["error"]["message"] == "it is bad"
    kinds = {w: records[w]["error"]["kind"] for w in WORDS[1:]}
    assert {w for w, kind in kinds.items() if kind == "service"} == {
        "outage",
        "declined",
        "broken",
        "unreachable",
    }
    assert records["declined"]["image_status"] == "ok"


def test_only_what_services_failed_is_run_again(mixed: Any) -> None:
    mixed()
    again = {word: record["attempts"] for word, record in mixed().items()}
    assert {w for w, n in again.items() if n == 2} == {"outage", "declined", "broken", "unreachable"}


def test_several_rollouts_of_a_row(mixed: Any) -> None:
    record = mixed(rollouts=3)["fine"]
    assert [r["seed"] for r in record["rollouts"]] == [0, 1, 2]
    assert len({r["picture"] for r in record["rollouts"]}) == 3
    assert record["score"] == 0.25


def test_which_work_goes_to_processes() -> None:
    assert is_local("studio:count=0.2", "inspector:no-ocr")
    assert is_local("storyboard", None)
    assert not is_local("studio", "kscore:gpt")
    assert not is_local("diffusers:folder", "inspector")


def test_programs_cannot_open_ground_truths(
    small_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Thief(Policy):
        name, version, takes_images, constrained = "thief", "1", False, False

        def act(self, dialogues: list[Dialogue], limits: Limits) -> list[Emission]:
            path = str(small_world / "ground_truth" / "heldout-00000.png")
            stolen = f'ref look = image({json.dumps(path)}) for "copy everything"\n'
            return [Emission(stolen if d.turn == 0 else 'prompt "one cup"\n') for d in dialogues]

        def release(self, ids: object) -> None: ...

        def close(self) -> None: ...

    monkeypatch.chdir(small_world)
    monkeypatch.setattr("genevolve.optimizer.evaluation.bench.open_contestant", lambda *_: Thief())
    bench(small_world, "thief", tmp_path / "out")
    programs = [r.rollouts[0].program for r in open_bench(tmp_path / "out").results]
    assert len(programs) == 8
    assert all("one cup" in text and "image(" not in text for text in programs)


# ---- baselines ---------------------------------------------------------------------------------------


def dialogue(request: str, *seen: str) -> Dialogue:
    messages = [
        Message(Role.SYSTEM, "card"),
        Message(Role.USER, f"The sketch:\n  request {json.dumps(request)}\n  ...\n"),
    ]
    for text in seen:
        messages += [Message(Role.ASSISTANT, 'let page = search("x")'), Message(Role.USER, text)]
    return Dialogue("d", 0, tuple(messages))


@pytest.mark.parametrize("name", ["bare", "template", "constant"])
def test_baselines_read_nothing_but_the_request(name: str) -> None:
    policy = open_contestant(name)
    (plain,) = policy.act([dialogue('A "{sign}" that\nsays hi.')], Limits())
    assert plain.text.startswith("prompt ")
    assert ("says hi" in plain.text) == (name != "constant")
    (failed,) = policy.act([Dialogue("d", 0, ())], Limits())
    assert failed.stop is Stop.FAILED


def test_everything_uses_every_skill_first() -> None:
    policy = open_contestant("everything")
    said = [policy.act([dialogue("A cat.", *["guide"] * turn)], Limits())[0].text for turn in range(9)]
    assert sum(text.startswith("use skill ") for text in said) == 8
    assert len(set(said)) == 9


def test_the_blind_see_no_observation(small_world: Path) -> None:
    class Echo(Policy):
        def act(self, dialogues: list[Dialogue], limits: Limits) -> list[Emission]:
            return [Emission("|".join(m.text for m in d.messages)) for d in dialogues]

    (said,) = Blind(Echo()).act([dialogue("A cat.", "page[0]: a secret")], Limits())
    assert "A cat." in said.text
    assert "secret" not in said.text
    assert open_contestant(f"blind:oracle:{small_world}").name.startswith("blind:oracle:")
