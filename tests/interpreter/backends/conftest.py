from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import FaultyServer
from web import Web


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with FaultyServer() as server:
        yield Web(server, tmp_path)
