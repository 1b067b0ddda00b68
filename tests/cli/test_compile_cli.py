"""`genevolve compile`: help, plan, refusals, versions and rollback, a real run that is interrupted by Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from genevolve.cli.app import run_command_line
from genevolve.cli.compile import step_text
from genevolve.interpreter.studio.folder import Recipe, make_folder
from genevolve.optimizer.compiling.folder import RunFolder
from genevolve.optimizer.compiling.settings import all_settings, read_settings
from genevolve.optimizer.compiling.versions import Version, Versions


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "world"
    make_folder(folder, Recipe(3, 40, {"train": 10, "validation": 2, "heldout": 2, "heldout_combos": 2}))
    return folder


def call(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = run_command_line(["compile", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_the_help_names_every_setting_and_preset(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "--help")
    assert code == 0
    section = ""
    for setting in all_settings():
        name, _, key = setting.name.partition(".")
        if name != section:
            section = name
            assert f"[{name}]" in out
        assert f"  {key} = " in out
        assert setting.range.about in out
    for word in ("--plan", "--resume", "--set", "--yes", "rollback", "versions", "laptop", "paper"):
        assert word in out


def test_the_plan_makes_nothing(capsys: pytest.CaptureFixture[str], world: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    given = ("--policy", "mini", "--suite", f"studio:{world}/train", "--out", out, "--plan")
    code, text, _ = call(capsys, *given, "--set", "training.steps=5")
    assert code == 0
    assert "120 to learn from" in text  # 5 steps, 4 requests, 6 siblings
    assert f"studio:{world}/validation" in text
    assert "nothing: all of it runs on this machine" in text
    assert not out.exists()
    code, text, _ = call(capsys, *given, "--json", "--preset", "paper", "--set", "rollouts.requests=2")
    found = json.loads(text)
    assert found["work"]["rollouts"] == 200 * 2 * 6
    assert found["work"]["calls"] >= found["work"]["rollouts"] * 10
    assert found["settings"]["distillation"]["teacher"] == "ema"
    assert found["priced"] == []


def test_the_size_in_the_plan_is_that_of_the_model(tmp_path: Path) -> None:
    from genevolve.optimizer.compiling.plan import _parameters
    from genevolve.optimizer.compiling.start import read_spec
    from genevolve.optimizer.mini import MiniSettings, make_mini, save_policy, size_of
    from genevolve.programs.policies.language_card import FULL

    values = {
        "policy.mini_width": 48,
        "policy.mini_heads": 4,
        "policy.mini_key_heads": 2,
        "policy.mini_practice": 0,
        "policy.mini_layers": 2,
    }
    settings = read_settings(
        "laptop", values={**values, "policy.mini_feed": 96, "policy.mini_vocabulary": 400}
    )
    made, tokenizer = make_mini([FULL], MiniSettings(400, 48, 2, 4, 2, 96, 2048, 0))
    assert len(tokenizer) == 400
    assert _parameters(settings, read_spec("mini")) == size_of(made)
    save_policy(made, tokenizer, tmp_path)
    assert _parameters(settings, read_spec(f"local:{tmp_path}")) == size_of(made)


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--policy", "endpoint:openai/gpt-4o-mini"), 2, "cannot be trained"),
        (("--policy", "minni"), 2, "there is no policy 'minni' to train"),
        (("--policy", "local:/nowhere?devise=cpu"), 2, "devise"),
        (("--set", "training.stepz=3"), 2, "did you mean 'training.steps'?"),
        (("--config", "missing.toml"), 2, "missing.toml: cannot be read"),
        (("--suite", "studio:nowhere/train"), 1, "holds no studio world"),
        (("--suite", "nothing:x"), 2, "there is no suite"),
        (("--sketch", "missing.gprog"), 1, "missing.gprog"),
        (("--set", "reward.renderer=gemini"), 2, "may cost money: the renderer gemini"),
        (("--set", "rollouts.requests=11"), 1, "a step has 11 requests"),
        (("--resume",), 1, "no compilation that could be resumed"),
    ],
)
def test_what_is_wrong_is_told(
    capsys: pytest.CaptureFixture[str],
    world: Path,
    tmp_path: Path,
    more: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    out = tmp_path / "run"
    if "--resume" in more:
        out.mkdir()
        (out / "mine").write_text("")
    given = ["--policy", "mini", "--suite", f"studio:{world}/train", "--out", str(out)]
    found, _, err = call(capsys, *given, *more)
    assert (found, said in err) == (code, True), err
    assert not (out / "compile.json").exists()


def test_no_folder_and_unknown_actions_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "--policy", "mini")[0] == 2
    assert call(capsys, "rolback", "x", "v001")[0] == 2
    assert call(capsys, "rollback", "x")[0] == 2
    code, _, err = call(capsys, "versions", "/nowhere")
    assert code == 1
    assert "holds no compilation" in err


def test_versions_and_rollback(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    facts: dict[str, Any] = {"name": "studio:w/train", "digest": "d", "rows": 1}
    with RunFolder(out, resume=False) as folder:
        folder.claim(
            {"settings": read_settings("laptop").to_dict(), "policy": {"name": "mini"}, "suite": facts}
        )
        folder.set_state(phase="finished", step=2, steps=2, best="v001")
        versions = Versions(out)
        for name, accepted, why in (
            ("v000", True, "the start"),
            ("v001", True, "better"),
            ("v002", False, "\x1b[2J"),
        ):
            made = Version(name, int(name[1:]), None, accepted, why)
            versions.add(made, lambda part: (part / "model.safetensors").write_text("x") and None)
    code, text, _ = call(capsys, "versions", out)
    assert code == 0
    assert "* v001" in text
    assert "kept aside" in text
    assert "\x1b" not in text
    code, text, _ = call(capsys, "rollback", out, "v000")
    assert (code, "is v000 now" in text) == (0, True)
    assert json.loads(call(capsys, "versions", out, "--json")[1])["best"] == "v000"
    code, _, err = call(capsys, "rollback", out, "v002")
    assert (code, "was never accepted" in err) == (1, True)


def test_a_step_is_a_line_of_what_matters() -> None:
    figures = {
        "reward/mean": 0.4123,
        "reward/gap": 0.2,
        "memory/hit_rate": 0.5,
        "sdl/loss": 0.01,
        "kl": 0.002,
        "tokens_per_second": 312.4,
        "seconds/step": 12.0,
    }
    found = step_text(3, 13, figures, 40.0)
    assert found == (
        "step 3/13  reward 0.412  gap 0.200  hits 50%  SDL 0.0100  KL 0.0020  tokens/s 312  12.0 s, 2 min 0 s left"
    )


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_stops_and_can_be_gone_on_from(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    small = {
        "policy.mini_vocabulary": 600,
        "policy.mini_width": 48,
        "policy.mini_heads": 4,
        "policy.mini_key_heads": 2,
        "policy.mini_practice": 0,
        "cold_start.requests": 2,
        "cold_start.epochs": 500,
    }
    arguments = [f"--set={name}={value}" for name, value in small.items()]
    command = [
        sys.executable,
        "-m",
        "genevolve",
        "compile",
        "--suite",
        f"studio:{world}/train",
        "--out",
        str(out),
    ]
    process = subprocess.Popen(
        [*command, *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("cold start:"):
            break
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    text, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert text == ""
    state = json.loads((out / "state.json").read_text())
    assert (state["phase"], state["reason"]) == ("stopped", "interrupted")
    with RunFolder(out, resume=True) as folder:
        assert folder.complete() == []
