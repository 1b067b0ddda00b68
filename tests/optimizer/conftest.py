"""What tests of benchmarks and data share: one small studio world, two runs on it, a results folder by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from genevolve.interpreter.studio.folder import Recipe, make_folder


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A studio world of 40 entities with a few requests."""
    folder = tmp_path_factory.mktemp("world") / "world"
    make_folder(folder, Recipe(3, 40, {"train": 10, "validation": 2, "heldout": 8, "heldout_combos": 2}))
    return folder


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the index of the small world lies."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_settings(shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of whoever runs the tests, and no cache of theirs."""
    monkeypatch.setenv("GENEVOLVE_CACHE_FOLDER", str(shared_cache))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
