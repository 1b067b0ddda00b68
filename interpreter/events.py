"""What happens in a run, one event each: the trace keeps them, progress bars listen to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened `at` seconds after the run began; `data` is plain JSON data."""

    kind: str
    at: float
    data: Mapping[str, Any]


Listener: TypeAlias = Callable[[Event], None]
"""Called on the run's thread for every event, and for `call_started`, which no trace keeps. It must be quick."""
