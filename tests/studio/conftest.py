"""A small world on disk, made once for all tests of the studio, and a machine that searches it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from genevolve.interpreter.config import load_config
from genevolve.interpreter.studio.folder import Recipe, make_folder
from genevolve.interpreter.studio.world import World
from genevolve.programs.opened import OpenedMachine
from genevolve.programs.session import open_machine

SMALL = Recipe(
    seed=11, entities=64, sizes={"train": 60, "validation": 10, "heldout": 40, "heldout_combos": 30}
)


@pytest.fixture(scope="session")
def world_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studio") / "world"
    make_folder(folder, SMALL, ground_truths="none")
    return folder


@pytest.fixture(scope="session")
def small_world(world_folder: Path) -> World:
    return World.load(world_folder)


@pytest.fixture(scope="session")
def studio_machine(world_folder: Path) -> Iterator[OpenedMachine]:
    cache = world_folder.parent / "cache"
    flags = {
        "library.folders": [str(world_folder / "library")],
        "library.embedder": "none",
        "cache.enabled": False,
        "cache.folder": str(cache),
        "runs.record": False,
    }
    with open_machine(load_config(flags=flags)) as machine:
        yield machine
