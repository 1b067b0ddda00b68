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

HEAD = 128
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
    u = torch.tensor(uniforms, dtype=torch.float64)
    ids, masked = _inverse(open_to, u, top_p)
    found = scaled.gather(1, ids[:, None])[:, 0] - whole
    return Drawn(ids.tolist(), torch.where(masked.isnan(), masked, found).tolist(), masked.tolist())


def _inverse(logits: torch.Tensor, u: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (rows,) where the cumulated probabilities pass `u`, and their log-probabilities."""
    rows, vocabulary = logits.shape
    if top_p >= 1:
        return _pick(logits, u)
    head = min(HEAD, vocabulary)
    values, ids = logits.topk(head, -1)
    mass = (values - torch.logsumexp(logits, -1, keepdim=True)).exp().cumsum(-1)
    enough = (mass[:, -1] >= top_p) | (head == vocabulary)
    inside = (mass - mass.diff(dim=-1, prepend=mass.new_zeros((rows, 1)))) < top_p
    kept = values.masked_fill(~inside, float("-inf"))
    ordered, order = ids.sort(-1)  # the order of the vocabulary, not of close calls between logits
    place, masked = _pick(kept.gather(1, order), u)
    tokens = ordered.gather(1, place[:, None])[:, 0]
    rest = (~enough).nonzero()[:, 0]
    if len(rest):
        far_tokens, far_masked = _far(logits[rest], u[rest.cpu()], top_p)
        tokens[rest], masked[rest] = far_tokens, far_masked
    return tokens, masked


def _far(logits: torch.Tensor, u: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The same for flat distributions, by sorting all of the vocabulary."""
    values, ids = logits.sort(-1, descending=True)
    mass = values.softmax(-1).cumsum(-1)
    inside = torch.cat([mass.new_ones((len(mass), 1), dtype=torch.bool), mass[:, :-1] < top_p], 1)
    kept = torch.full_like(logits, float("-inf")).scatter(1, ids, values.masked_fill(~inside, float("-inf")))
    return _pick(kept, u)


def _pick(logits: torch.Tensor, u: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns (rows,) by inverse transform, and their log-probabilities; NaN where all are -inf or one is NaN."""
    total = torch.logsumexp(logits, -1)
    edges = (logits - total[:, None]).exp().double().cumsum(-1)
    # The first edge beyond u: its column has a probability above 0.
    at = torch.searchsorted(edges, (u.to(edges.device) * edges[:, -1])[:, None], right=True)
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
