"""Settings of a compilation: presets, files, single values, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from genevolve.grammar.errors import ConfigurationError
from genevolve.optimizer.compiling.settings import (
    PRESETS,
    CompileSettings,
    all_settings,
    from_dict,
    read_settings,
)


def test_the_paper_preset_has_the_numbers_of_the_method() -> None:
    found = read_settings("paper")
    assert (found.rollouts.siblings, found.rollouts.requests, found.training.steps) == (6, 8, 200)
    assert (found.rollouts.temperature, found.rollouts.top_p) == (0.7, 0.95)
    assert (found.rollouts.turns, found.rollouts.calls, found.rollouts.tokens) == (11, 10, 30_000)
    assert (found.training.learning_rate, found.training.scheduler, found.training.warmup) == (
        1e-6,
        "cosine",
        0,
    )
    assert (found.training.epsilon_low, found.training.epsilon_high) == (0.2, 0.28)
    sdl = found.distillation
    assert (sdl.weight, sdl.kl_weight, sdl.keep, sdl.clamp, sdl.max_ratio) == (2.0, 1e-3, 0.1, 10.0, 2.0)
    memory = found.memory
    assert (memory.capacity, memory.gate, memory.min_gap, memory.most_pairs) == (500, 0.84, 0.2, 8)
    cold = found.cold_start
    assert (cold.learning_rate, cold.warmup, cold.epochs, cold.batch) == (1e-5, 0.02, 2.0, 32)
    assert found.reward.alpha == 0.5


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_survive_json(preset: str) -> None:
    found = read_settings(preset, values={"data.suite": "studio:w/train", "training.report_to": ["wandb"]})
    assert from_dict(found.to_dict(), "there") == found


def test_the_strongest_layer_wins(tmp_path: Path) -> None:
    file = tmp_path / "compile.toml"
    file.write_text(
        '[training]\nsteps = 7\nseed = 3\nreport_to = ["trackio"]\n[policy]\npolicy = "smollm2"\n'
    )
    found = read_settings("laptop", file, ["training.seed=4"], {"policy.policy": "mini", "data.suite": None})
    assert (found.training.steps, found.training.seed, found.policy.policy) == (7, 4, "mini")
    assert found.training.report_to == ("trackio",)
    assert found.rollouts.requests == 4  # of the preset


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("training.stepz=3", "unknown setting training.stepz; did you mean 'training.steps'?"),
        ("steps=3", "unknown setting steps; did you mean 'training.steps'?"),
        ("ema_rate=3", "did you mean 'distillation.ema_rate'?"),
        ("nothing.at_all=3", "there are the sections policy, data"),
        ("training.steps=many", "training.steps: expected a whole number, not 'many'"),
        ("training.steps=0", "training.steps: expected a number from 1, not 0"),
        ("training.learning_rate=0", "expected a number above 0 and at most 1, not 0"),
        ("training.learning_rate=nan", "expected a number above 0"),
        ("reward.alpha=1.5", "expected a number from 0 to 1, not 1.5"),
        ("memory.enabled=maybe", "expected true or false, not 'maybe'"),
        ("distillation.teacher=emma", "expected one of live, ema or frozen, not 'emma'; did you mean 'ema'?"),
        ("training.report_to=wandb,paper", "not 'paper'"),
        ("training.steps", "--set takes section.key=value"),
        ("training.rows_per_pass=4", "passes hold whole groups of 6 siblings"),
        ("policy.lora_rank=8", "a mini policy is trained whole"),
    ],
)
def test_wrong_values_are_told_with_their_place(assignment: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        read_settings("laptop", None, [assignment])
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps = 3", "steps stands outside of a section; did you mean 'training.steps'?"),
        ("[training]\nsteps = 3.5", "training.steps: expected a whole number, not 3.5"),
        ("[training]\nsteps = true", "expected a whole number, not True"),
        ("[policy]\npolicy = 3", "policy.policy: expected a text, not 3"),
        ("[training", "not valid TOML"),
        ("[training]\nsteps = 3\nsteps = 4", "not valid TOML"),
    ],
)
def test_a_file_is_told_with_its_name(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as error:
        read_settings("laptop", file)
    assert said in str(error.value)
    assert str(file) in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for name, data in (
        ("missing.toml", None),
        ("binary.toml", b"\xff\xfe"),
        ("large.toml", b"#" * 2_000_000),
    ):
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(ConfigurationError, match=name):
            read_settings("laptop", tmp_path / name)


def test_two_sources_of_requests_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="not from both"):
        read_settings(values={"data.suite": "studio:w/train", "data.requests": "r.jsonl"})


def test_an_unknown_preset_is_told() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'laptop'"):
        read_settings("labtop")


def test_every_setting_says_what_it_is_for_and_its_defaults_are_in_range() -> None:
    found = list(all_settings())
    assert len({s.name for s in found}) == len(found)
    for setting in found:
        assert setting.range.about
        for value in (setting.paper, setting.laptop):
            changed = CompileSettings().with_values({setting.name: value}, "test")
            section, _, key = setting.name.partition(".")
            assert getattr(getattr(changed, section), key) == value
