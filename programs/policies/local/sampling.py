"""Drawing the next token of each row.

Each row draws with its own uniform numbers, and tokens are laid out in the order of the vocabulary, so that what a row
gets does not depend on the other rows: a difference in the last bit of a logit changes a token only where a number
falls on a boundary. Log-probabilities are those of softmax(logits / temperature) over the whole vocabulary; the masked
ones are those under what was drawn from: allowed tokens, cut at top-p, renormalised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

HEADS = (128, 2048)
"""The nucleus is looked for among this many tokens first: sorting a whole vocabulary costs thirty times as much."""


@dataclass(frozen=True)
class Drawn:
    """One token per row. `log_probs` has a NaN where a model's logits were no numbers or nothing was allowed."""

    ids: list[int]
    log_probs: list[float]
    masked_log_probs: list[float]


def draw(
    logits: torch.Tensor,
    uniforms: Sequence[float],
    *,
    temperature: float,
    top_p: float,
    allowed: torch.Tensor | None = None,
) -> Drawn:
    """Draw a token for each row.

    Args:
        logits: (rows, vocabulary), float32.
        uniforms: (rows,) numbers in [0, 1).
        temperature: What logits are divided by. 0 takes the most likely token; log-probabilities are then those at
            temperature 1, and masked ones 0.
        top_p: The least probability mass that is drawn from; 1 or more is all of it.
        allowed: (rows, vocabulary) bool, or None when every token is.
    """
    scaled = logits / temperature if temperature > 0 else logits
    whole = torch.logsumexp(scaled, -1)
    open_to = scaled if allowed is None else scaled.masked_fill(~allowed, float("-inf"))
    if temperature <= 0:
        best = open_to.argmax(-1)
        found = scaled.gather(1, best[:, None])[:, 0] - whole
        found = found.masked_fill(open_to.gather(1, best[:, None])[:, 0].isinf(), float("nan"))
        return Drawn(best.tolist(), found.tolist(), [0.0] * len(uniforms))
    u = torch.tensor(uniforms, dtype=torch.float64, device=logits.device)
    total = whole if allowed is None else torch.logsumexp(open_to, -1)
    ids, masked = _inverse(open_to, total, u, top_p)
    found = scaled.gather(1, ids[:, None])[:, 0] - whole
    return Drawn(ids.tolist(), torch.where(masked.isnan(), masked, found).tolist(), masked.tolist())


def _inverse(
    logits: torch.Tensor, total: torch.Tensor, u: torch.Tensor, top_p: float, level: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (rows,) where the cumulated probabilities pass `u`, and their log-probabilities.

    Args:
        logits: (rows, vocabulary), -inf where nothing may be drawn.
        total: (rows,) their logsumexp.
        u: (rows,) in [0, 1).
        top_p: The least mass that is drawn from.
        level: Which of `HEADS` to look in; flat distributions go on to the next.
    """
    vocabulary = logits.shape[1]
    if top_p >= 1:
        return _pick(logits, total, u)
    head = min(HEADS[level], vocabulary) if level < len(HEADS) else vocabulary
    values, ids = logits.topk(head, -1)
    each = (values - total[:, None]).exp()
    mass = each.cumsum(-1)
    kept = values.masked_fill(mass - each >= top_p, float("-inf"))
    ordered, order = ids.sort(-1)  # the order of the vocabulary, not of close calls between logits
    kept = kept.gather(1, order)
    place, masked = _pick(kept, torch.logsumexp(kept, -1), u)
    tokens = ordered.gather(1, place[:, None])[:, 0]
    rest = (mass[:, -1] < top_p).nonzero()[:, 0]
    if head < vocabulary and len(rest):
        tokens[rest], masked[rest] = _inverse(logits[rest], total[rest], u[rest], top_p, level + 1)
    return tokens, masked


def _pick(logits: torch.Tensor, total: torch.Tensor, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns (rows,) by inverse transform, and their log-probabilities; NaN where all are -inf or one is NaN."""
    edges = (logits - total[:, None]).exp().double().cumsum(-1)
    # The first edge beyond u: its column has a probability above 0.
    at = torch.searchsorted(edges, (u * edges[:, -1])[:, None], right=True)
    at = at.clamp(max=logits.shape[1] - 1)
    masked = logits.gather(1, at)[:, 0] - total
    return at[:, 0], masked.masked_fill(~masked.isfinite(), float("nan"))


def log_probs_of(logits: torch.Tensor, ids: Sequence[int], temperature: float) -> list[float]:
    """Log-probabilities of given tokens, one per row of `logits` (rows, vocabulary)."""
    scaled = logits / temperature if temperature > 0 else logits
    chosen = scaled.gather(1, torch.tensor(ids, device=logits.device)[:, None])[:, 0]
    found: list[float] = (chosen - torch.logsumexp(scaled, -1)).tolist()
    return found


def unpacked(bits: NDArray[np.int32], vocabulary: int, device: torch.device) -> torch.Tensor:
    """Masks of 32 tokens an integer (rows, words) as (rows, vocabulary) bool."""
    import numpy as np

    flat = np.unpackbits(np.ascontiguousarray(bits).view(np.uint8), axis=1, bitorder="little")
    if flat.shape[1] < vocabulary:
        flat = np.pad(flat, ((0, 0), (0, vocabulary - flat.shape[1])))
    return torch.from_numpy(np.ascontiguousarray(flat[:, :vocabulary])).to(device).bool()
