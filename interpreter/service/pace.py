"""How fast pictures are drawn, and when one who is refused should come back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

LONGEST = 300
"""The longest wait in seconds that anybody is told."""

_LEAST_HORIZON = 5.0

_WEIGHT = 0.3  # of the newest render in the average


class Pace:
    """The measured seconds between two places becoming free.

    Those who are refused are told different times, one interval apart, so that they do not all come back for one
    place. The promises run out by themselves: who does not come back blocks nobody.

    Args:
        workers: renders that go on at the same time.
        clock: seconds that only grow; for tests.
    """

    def __init__(self, workers: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self.workers = max(1, workers)
        self._clock = clock
        self._per_job: float | None = None
        self._promised = 0.0

    @property
    def seconds_per_job(self) -> float | None:
        """Average seconds that a device works for one picture; None before the first one."""
        return self._per_job

    def drawn(self, seconds: float, jobs: int) -> None:
        """A device took that long for that many pictures."""
        each = seconds / max(1, jobs)
        old = self._per_job
        self._per_job = each if old is None else old + _WEIGHT * (each - old)

    def retry_after(self, waiting: int, oldest: float | None = None) -> int:
        """Whole seconds after which one who is refused now should ask again.

        Nobody is sent away for longer than twice what the waiting jobs take: many of those who were promised an
        earlier time never come back.

        Args:
            waiting: jobs in the queue.
            oldest: seconds since the oldest running render began; it stands for the rate before one is measured.
        """
        each = self._per_job if self._per_job is not None else max(1.0, 2 * (oldest or 0.0))
        now = self._clock()
        horizon = min(LONGEST, max(_LEAST_HORIZON, 2 * waiting * each / self.workers))
        self._promised = min(max(now, self._promised) + each / self.workers, now + horizon)
        return max(1, math.ceil(self._promised - now))

    def time_for(self, jobs: int) -> float:
        """Seconds that so many pictures will take; 1 s each before anything was measured."""
        return jobs * (self._per_job if self._per_job is not None else 1.0) / self.workers
