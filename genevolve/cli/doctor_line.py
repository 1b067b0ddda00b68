"""One finding of `genevolve doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "note", "fail"]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was checked; `advice` says what to do when it is not ok."""

    status: Status
    subject: str
    found: str
    advice: str = ""
