"""The `Retry-After` header."""

from __future__ import annotations

import email.utils
import time
from datetime import UTC

LONGEST = 24 * 3600.0


def parse_retry_after(value: str | None) -> float | None:
    """Seconds from a `Retry-After` header (a number or an HTTP date), from 0 to a day; None when it says nothing."""
    text = (value or "").strip()
    if not text:
        return None
    if text.isascii() and text.isdecimal():
        # More digits than these are more than a day.
        return min(float(text[:12]), LONGEST)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return min(max(0.0, moment.timestamp() - time.time()), LONGEST)
    except (TypeError, ValueError, OverflowError):
        return None
