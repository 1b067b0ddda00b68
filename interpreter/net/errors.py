"""What goes wrong with a download."""

from __future__ import annotations

from typing import Literal

from genevolve.grammar.errors import ServiceError

Reason = Literal["refused", "status", "type", "size", "time", "redirects", "pixels", "decode", "network"]


class FetchError(ServiceError):
    """A download that did not happen; `reason` says of which kind, `retryable` whether to try again."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, retryable=retryable, retry_after=retry_after)
        self.reason = reason
