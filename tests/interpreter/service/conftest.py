"""Real servers for the tests of the service."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "renderers"))  # tiny_pipelines

from service_process import ServerProcess, start


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Starts server processes and ends them after the test."""
    with ExitStack() as stack:
        yield lambda *options, **more: stack.enter_context(start(tmp_path, *options, **more))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One quick server for tests that leave no trace in it."""
    folder = tmp_path_factory.mktemp("shared")
    with start(
        folder, "--max-body", "1", "--body-timeout", "1.5", "--max-prompt", "200", seconds=0.0
    ) as server:
        yield server
