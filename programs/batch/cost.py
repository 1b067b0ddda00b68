"""What a batch may cost: bounds are put aside before a row starts, so that the limit is never passed.

A price that is not configured counts as nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

_DUST = 1e-9
"""Prices are added up in binary; a sum of cents must not fail by its last bit."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Money put aside for one row: `calls` for its tools, retries included, and `render` for its picture."""

    calls: float
    render: float

    @property
    def total(self) -> float:
        """All that is put aside."""
        return self.calls + self.render


class Purse:
    """The money of a batch; None as limit spends whatever rows cost. For one event loop.

    `spent` is what was spent before.
    """

    def __init__(self, limit: float | None, spent: float = 0.0) -> None:
        self.limit = limit
        self.spent = spent
        self._reserved = 0.0
        self._changed = asyncio.Condition()

    async def reserve(self, calls: float, render: float, retries: float = 0.0) -> Grant | None:
        """Put money aside for a row; None when its bound would pass the limit.

        Args:
            calls: the bound of its calls.
            render: the price of its picture.
            retries: what failed calls may cost on top; granted as far as money is left.

        While other rows hold money that they may give back, it waits.
        """
        if self.limit is None:
            return Grant(calls + retries, render)
        async with self._changed:
            while True:
                left = self.limit - self.spent - self._reserved
                if calls + render <= left + _DUST:
                    extra = max(0.0, min(retries, left - calls - render))
                    grant = Grant(calls + extra, render)
                    self._reserved += grant.total
                    return grant
                if self._reserved <= _DUST:
                    return None
                await self._changed.wait()

    async def settle(self, grant: Grant, cost: float) -> None:
        """Book what a row cost and give back what is left of its grant."""
        self.spent += cost
        if self.limit is None:
            return
        async with self._changed:
            self._reserved = max(0.0, self._reserved - grant.total)
            self._changed.notify_all()
