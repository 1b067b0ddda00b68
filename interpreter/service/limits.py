"""What one request may ask of the service, and what one that asks too much is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

from genevolve.grammar.errors import ConfigurationError

Outcome: TypeAlias = Literal[
    "ok",
    "invalid",
    "too_large",
    "unauthorized",
    "forbidden",
    "full",
    "unavailable",
    "failed",
    "timeout",
    "gone",
]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request.

    Attributes:
        body_bytes: size of a request's body, as it comes over the wire.
        body_seconds: time for a whole body to arrive.
        images: reference images of one request.
        image_pixels: area of a reference image.
        pixels: area of the picture that is drawn.
        side: longer side of the picture that is drawn.
        steps: sampling steps.
        prompt: characters of the prompt, and of the negative prompt.
        render_seconds: time for one render, after its wait.
    """

    body_bytes: int = 64 * 1024 * 1024
    body_seconds: float = 60.0
    images: int = 5
    image_pixels: int = 64_000_000
    pixels: int = 2048 * 2048
    side: int = 4096
    steps: int = 100
    prompt: int = 20_000
    render_seconds: float = 1800.0

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for a bound that lets nothing through."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < float("inf"):
                raise ConfigurationError(f"the limit {field.name} is a number above 0, not {value}")


class Refusal(Exception):
    """A request that ends with an error: status and one sentence for the client, outcome for the metrics.

    Args:
        status: HTTP status.
        message: one plain sentence.
        outcome: how the request is counted.
        headers: further headers of the answer.
        parameter: the field of the request that is at fault, where there is one.
    """

    def __init__(
        self,
        status: int,
        message: str,
        outcome: Outcome = "invalid",
        *,
        headers: Mapping[str, str] | None = None,
        parameter: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.outcome: Outcome = outcome
        self.headers = dict(headers or {})
        self.parameter = parameter


def come_back(status: int, message: str, seconds: int) -> Refusal:
    """A refusal for now: 429 when there is no place, 503 when the service does not draw."""
    outcome: Outcome = "full" if status == 429 else "unavailable"
    return Refusal(status, message, outcome, headers={"Retry-After": str(seconds)})
