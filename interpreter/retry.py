"""How often, and after which pause, a failed call is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from genevolve.grammar.errors import ServiceError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounded attempts with exponential pauses and full jitter.

    The pause before attempt n + 1 is drawn evenly from [0, min(cap, base · 2^(n−1))] seconds, so that many runs
    that failed together do not come back together. A service's own `retry_after` is a lower bound.
    """

    attempts: int = 3
    base: float = 0.5
    cap: float = 8.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.base < 0 or self.cap < 0:
            raise ValueError("a retry policy needs at least one attempt and pauses that are not negative")

    def pause(self, error: ServiceError, attempt: int, left: float, rng: random.Random) -> float | None:
        """Seconds to wait after the failed `attempt` (from 1), or None when it must not be tried again.

        `left` is the time that remains: a pause that would pass it makes another attempt pointless.
        """
        if not error.retryable or attempt >= self.attempts:
            return None
        pause = rng.uniform(0.0, min(self.cap, self.base * 2.0 ** (attempt - 1)))
        if error.retry_after is not None:
            pause = max(pause, error.retry_after)
        return pause if pause < left else None
