"""Proposing the gate for an embedding model, from requests of one's own.

A gate keeps out what is near by chance. How near requests come by chance depends on the model and on the requests, so
it is measured: all pairs of different requests are compared. With categories known, pairs of different categories are
the ones that must not pass; without, all pairs are. The proposed gate is the smallest at which a lookup in a store of
`store_size` such requests finds a wrong one with a probability of at most `risk`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from genevolve.experience_store.history import BINS, bin_of
from genevolve.experience_store.records import request_key
from genevolve.experience_store.space import Space
from genevolve.grammar.errors import AuthorError
from genevolve.interpreter.library.embedder import Embedder

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_FEWEST, _MOST = 20, 5000


@dataclass(frozen=True, slots=True)
class Calibration:
    """Similarities of requests under a model, and the gate that they suggest.

    Attributes:
        embedder: The model's name.
        requests: How many different requests were compared.
        pairs: How many pairs must not pass the gate.
        quantiles: Similarities of those pairs at 1, 5, 25, 50, 75, 95 and 99 percent.
        nearest: The same of each request's nearest other request.
        histogram: Similarities of each request's nearest other request, in 40 bins from -1 to 1.
        gate: The proposal.
        hit_rate: Share of requests whose nearest other request passes that gate.
        reliable: Whether there were enough pairs to see the risk that was asked for; else the gate is only as high
            as the nearest pair seen.
    """

    embedder: str
    requests: int
    pairs: int
    quantiles: tuple[float, ...]
    nearest: tuple[float, ...]
    histogram: tuple[int, ...]
    gate: float
    hit_rate: float
    reliable: bool

    def to_dict(self) -> dict[str, object]:
        """Plain JSON data."""
        return asdict(self)


def calibrate(
    requests: Sequence[str],
    embedder: str | Path | Embedder | None = "auto",
    *,
    categories: Sequence[str] | None = None,
    store_size: int = 500,
    risk: float = 0.05,
) -> Calibration:
    """Measure requests under a model and propose a gate.

    Args:
        requests: At least 20 different requests; of more than 5,000 the first ones are taken.
        embedder: The model, as `ExperienceStore.open` takes it.
        categories: A category for each request, where known.
        store_size: How many experiences the store will have.
        risk: How often a lookup may find a request that is near by chance only.

    Raises:
        AuthorError: there are too few requests, or categories do not fit them.
        ConfigurationError: there is no model.
    """
    import numpy as np

    if categories is not None and len(categories) != len(requests):
        raise AuthorError(f"there are {len(requests)} requests and {len(categories)} categories")
    if not 0 < risk < 1 or store_size < 1:
        raise AuthorError("the risk lies between 0 and 1, and the store has at least one experience")
    chosen = list({request_key(r): i for i, r in reversed(list(enumerate(requests)))}.values())[::-1][:_MOST]
    if len(chosen) < _FEWEST:
        raise AuthorError(f"there are {len(chosen)} different requests; at least {_FEWEST} are needed")
    space = Space(embedder)
    vectors = space.embed([requests[i] for i in chosen])
    similarities = np.clip(vectors @ vectors.T, -1.0, 1.0)
    np.fill_diagonal(similarities, -1.0)
    nearest = similarities.max(axis=1)
    apart = np.triu(np.ones(similarities.shape, dtype=bool), 1)
    if categories is not None:
        _, labels = np.unique([categories[i] for i in chosen], return_inverse=True)
        apart &= labels[:, None] != labels[None, :]
    wrong = np.sort(similarities[apart])
    if not len(wrong):
        raise AuthorError("all requests have the same category; leave the categories out")
    # The nearest of n independent strangers passes with 1 - (1 - p)^n; p is what one of them may.
    allowed = 1 - (1 - risk) ** (1 / store_size)
    over = int(np.floor(allowed * len(wrong)))
    gate = float(min(1.0, np.ceil((wrong[len(wrong) - 1 - over] + 1e-6) * 1000) / 1000))
    histogram = [0] * BINS
    for value in nearest.tolist():
        histogram[bin_of(value)] += 1
    return Calibration(
        embedder=space.name or "",
        requests=len(chosen),
        pairs=len(wrong),
        quantiles=tuple(round(float(q), 4) for q in np.quantile(wrong, QUANTILES)),
        nearest=tuple(round(float(q), 4) for q in np.quantile(nearest, QUANTILES)),
        histogram=tuple(histogram),
        gate=gate,
        hit_rate=float((nearest >= gate).mean()),
        reliable=over >= 1,
    )
