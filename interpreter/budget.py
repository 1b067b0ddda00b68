"""Limits of one run and the ledger that spends them.

Calls are counted as the checker counts them: every call that is written, cached or not, so a program that
passes the check and one that passes at run time are the same programs. Money is spent only by calls that are
really made.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from genevolve.grammar.errors import AuthorError


@dataclass(frozen=True, slots=True)
class Budget:
    """What one run may spend; None means no limit.

    `seconds` is wall time from the start of the run to the finished picture, `bytes` the size of everything
    the tools return (as JSON; an image counts by its description, not by its file), `money` the sum of the
    prices of the calls that are made, in the operator's currency.
    """

    calls: int | None = 10
    seconds: float | None = 600.0
    bytes: int | None = 64 * 1024 * 1024
    money: float | None = None

    def __post_init__(self) -> None:
        for name in ("calls", "seconds", "bytes", "money"):
            limit = getattr(self, name)
            if limit is not None and not limit >= 0:  # `not >=` also refuses NaN
                raise ValueError(f"a budget's {name} cannot be {limit}")


class BudgetSpent(AuthorError):
    """A limit of the run's budget is reached; `what` names it."""

    def __init__(self, what: str, message: str) -> None:
        super().__init__(message, code="GP523")
        self.what = what


class Ledger:
    """What a run has spent so far; safe to use from several threads.

    A spending that would pass a limit is refused as a whole: nothing of it is booked.
    """

    def __init__(self, budget: Budget, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget
        self.calls = 0
        self.bytes = 0
        self.money = 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self.started = clock()

    @property
    def deadline(self) -> float:
        """When the wall time is used up, on the clock of the ledger."""
        return float("inf") if self.budget.seconds is None else self.started + self.budget.seconds

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self.started

    def spend_calls(self, number: int) -> None:
        """Book calls; raises `BudgetSpent` when they are more than what is left."""
        with self._lock:
            limit = self.budget.calls
            if limit is not None and self.calls + number > limit:
                raise BudgetSpent("calls", f"the run's {limit} calls are used up")
            self.calls += number

    def spend_money(self, amount: float) -> None:
        """Book a price; raises `BudgetSpent` when it is more than what is left."""
        with self._lock:
            limit = self.budget.money
            # Prices are added up in binary; a sum of cents must not fail by its last bit.
            if limit is not None and self.money + amount > limit + 1e-9:
                raise BudgetSpent(
                    "money",
                    f"the run may spend {limit:g}; this call would bring it to {self.money + amount:g}",
                )
            self.money += amount

    def receive(self, size: int) -> None:
        """Book bytes that a tool returned; raises `BudgetSpent` when they are more than what is left."""
        with self._lock:
            limit = self.budget.bytes
            if limit is not None and self.bytes + size > limit:
                raise BudgetSpent(
                    "bytes", f"the run may receive {limit:,} bytes, and this result passes that"
                )
            self.bytes += size

    def check_time(self) -> None:
        """Raises `BudgetSpent` when the wall time is used up."""
        if self._clock() >= self.deadline:
            raise BudgetSpent("seconds", f"the run's {self.budget.seconds:g} seconds are used up")

    def fork(self) -> Ledger:
        """A ledger that has spent the same and goes its own way (the clock runs on from the same start)."""
        copy = Ledger(self.budget, self._clock)
        with self._lock:
            copy.calls, copy.bytes, copy.money = self.calls, self.bytes, self.money
        copy.started = self.started
        return copy

    def to_dict(self) -> dict[str, float]:
        """The amounts spent, for the trace."""
        with self._lock:
            return {
                "calls": self.calls,
                "bytes": self.bytes,
                "money": round(self.money, 9),
                "seconds": round(self.elapsed, 6),
            }
