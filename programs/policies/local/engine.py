"""Writing one turn of many dialogues at once.

Rows of any length and any request share a batch. A row leaves as soon as its turn is over. Tokens that a constraint
leaves no choice about are read together with the token before them, in one step.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from genevolve.programs.policies.local.sampling import draw, log_probs_of, unpacked
from genevolve.programs.policies.protocol import Limits, Stop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from genevolve.programs.policies.local.backends import Backend, Batch


class Constraint(Protocol):
    """What may be written next (`genevolve.programs.policies.decoding.TurnConstraint`)."""

    @property
    def done(self) -> bool:
        """Whether the turn is over."""

    def mask(self) -> NDArray[np.int32]:
        """The tokens that may come now, 32 an integer."""

    def forced(self) -> list[int]:
        """Tokens that have no alternative from here on."""

    def advance(self, token: int) -> None:
        """Take a token. Raises `ValueError` for one that may not come."""


@dataclass(frozen=True)
class Turn:
    """A turn to be written.

    Attributes:
        prompt: Everything before it, at least one token.
        seed: Of its own draws; any integers.
        constraint: What may be written, or None.
        owner: Whose it is: what is kept for it goes when the owner is released.
    """

    prompt: Sequence[int]
    seed: tuple[int, ...]
    constraint: Constraint | None = None
    owner: str = ""


@dataclass
class Written:
    """What was written: token ids with their log-probabilities (see `protocol.Tokens`), and why it ended."""

    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    masked_log_probs: list[float] = field(default_factory=list)
    forced: list[bool] = field(default_factory=list)
    stop: Stop = Stop.END
    error: str = ""


class _Row:
    """A turn while it is being written."""

    def __init__(self, index: int, turn: Turn, most: int) -> None:
        self.index = index
        self.turn = turn
        self.most = most
        self.out = Written()
        self.pending = [turn.prompt[-1]]  # to be read next
        self.consumed = 0  # how many tokens the batch has read for it, the last of the prompt among them
        self.closing: int | None = None  # the end of the turn, when nothing else can follow
        self.uniforms = np.random.default_rng([abs(s) * 2 + (s < 0) for s in turn.seed]).random(most + 1)

    def add(self, token: int, log_prob: float, masked: float, forced: bool) -> None:
        self.out.ids.append(token)
        self.out.log_probs.append(log_prob)
        self.out.masked_log_probs.append(masked)
        self.out.forced.append(forced)

    @property
    def full(self) -> bool:
        return len(self.out.ids) + len(self.pending) - 1 >= self.most

    def force(self, ends: frozenset[int], end: int) -> None:
        """Put the tokens that have no alternative behind the last one, as far as there is room."""
        constraint = self.turn.constraint
        if constraint is None:
            return
        for token in constraint.forced():
            if token in ends:
                self.closing = token
                return
            if self.full:
                return
            constraint.advance(token)
            self.pending.append(token)
        if constraint.done:
            self.closing = end


class Engine:
    """Writes turns with a backend.

    Args:
        backend: Who computes logits.
        ends: The tokens that end a turn; the first is the one that is written when nothing else can follow.
        vocabulary: How many tokens the tokenizer has; others are never drawn.
        masks: The masks of several constraints, (rows, words) int32; each is asked for its own by default.
    """

    def __init__(
        self,
        backend: Backend,
        ends: Sequence[int],
        vocabulary: int,
        masks: Callable[[Sequence[Any]], NDArray[np.int32]] | None = None,
    ) -> None:
        self.backend = backend
        self._end = ends[0]
        self._ends = frozenset(ends)
        self._vocabulary = vocabulary
        self._masks = masks or (lambda constraints: np.stack([c.mask() for c in constraints]))

    def write(
        self, turns: Sequence[Turn], limits: Limits, most: Sequence[int] | None = None
    ) -> list[Written]:
        """Write one turn each.

        Args:
            turns: The turns.
            limits: How they are sampled, and the most tokens of each.
            most: For each turn its own bound on tokens, where that is lower.

        Raises:
            torch.OutOfMemoryError, RuntimeError: The model failed; nothing of the turns can be used.
        """
        if not turns:
            return []
        bounds = [
            limits.max_tokens if most is None else min(limits.max_tokens, m)
            for m in most or [1 << 30] * len(turns)
        ]
        rows = [_Row(i, turn, bound) for i, (turn, bound) in enumerate(zip(turns, bounds, strict=True))]
        with evaluating(self.backend.forward.model), torch.no_grad():
            batch = self.backend.open([t.prompt[:-1] for t in turns], [t.owner for t in turns])
            active = [row for row in rows if self._begin(row, batch)]
            while active:
                logits = batch.read({row.index: row.pending for row in active})
                active = self._step(active, logits, limits, batch)
            self.backend.trim()
        return [row.out for row in rows]

    def _begin(self, row: _Row, batch: Batch) -> bool:
        """Whether the row has anything to write."""
        try:
            row.force(self._ends, self._end)
        except (ValueError, AssertionError) as error:  # a fault of the grammar ends one row, not the batch
            self._fail(row, batch, f"the constraint failed: {error}")
            return False
        return True

    def _step(self, active: list[_Row], logits: torch.Tensor, limits: Limits, batch: Batch) -> list[_Row]:
        """Take what was just computed for the rows; returns those that go on."""
        last = self._record_forced(active, logits, limits)
        rows = [row for row in active if self._goes_on(row, batch)]
        if not rows:
            return []
        picked = logits if len(rows) == len(logits) else logits[[last[row.index] for row in rows]]
        allowed, only = self._allowed(rows, picked)
        drawn = draw(
            picked,
            [float(row.uniforms[len(row.out.ids)]) for row in rows],
            temperature=limits.temperature,
            top_p=limits.top_p,
            allowed=allowed,
        )
        found = zip(rows, drawn.ids, drawn.log_probs, drawn.masked_log_probs, only, strict=True)
        return [
            row
            for row, token, log_prob, masked, forced in found
            if self._take(row, batch, token, log_prob, masked, forced)
        ]

    def _record_forced(self, active: Sequence[_Row], logits: torch.Tensor, limits: Limits) -> dict[int, int]:
        """Write the forced tokens down; returns where the logits after each row's last token stand."""
        last: dict[int, int] = {}
        spots: list[tuple[_Row, int, int]] = []
        at = 0
        for row in active:
            follow = row.pending[1:] + ([] if row.closing is None else [row.closing])
            spots.extend((row, at + i, token) for i, token in enumerate(follow))
            row.consumed += len(row.pending)
            at += len(row.pending)
            last[row.index] = at - 1
        if spots:
            places = torch.tensor([place for _, place, _ in spots], device=logits.device)
            found = log_probs_of(logits[places], [token for _, _, token in spots], limits.temperature)
            for (row, _, token), log_prob in zip(spots, found, strict=True):
                row.add(token, log_prob, 0.0, forced=True)
        return last

    def _goes_on(self, row: _Row, batch: Batch) -> bool:
        """Whether a row that was just read needs another token."""
        if row.closing is not None:
            self._finish(row, batch, Stop.END)
        elif len(row.out.ids) >= row.most:
            self._finish(row, batch, Stop.LENGTH)
        else:
            return True
        return False

    def _allowed(self, rows: Sequence[_Row], logits: torch.Tensor) -> tuple[torch.Tensor | None, list[bool]]:
        """Which tokens each row may draw (None: all), and whether that is no choice."""
        bound = [(i, row.turn.constraint) for i, row in enumerate(rows) if row.turn.constraint is not None]
        width = int(logits.shape[1])
        if not bound and width <= self._vocabulary:
            return None, [False] * len(rows)
        allowed = torch.ones((len(rows), width), dtype=torch.bool, device=logits.device)
        only = [False] * len(rows)
        if bound:
            bits = self._masks([constraint for _, constraint in bound])
            places = torch.tensor([i for i, _ in bound], device=logits.device)
            allowed[places] = unpacked(bits, width, logits.device)
            for (i, _), count in zip(bound, allowed[places].sum(-1).tolist(), strict=True):
                only[i] = count == 1
        allowed[:, self._vocabulary :] = False  # rows of the embedding that no token has
        return allowed, only

    def _take(self, row: _Row, batch: Batch, token: int, log_prob: float, masked: float, only: bool) -> bool:
        """Write a drawn token down; whether the row goes on."""
        if math.isnan(log_prob) or math.isnan(masked):
            broken = row.turn.constraint is None
            self._fail(row, batch, "the model's logits are no numbers" if broken else "no token may follow")
            return False
        row.add(token, log_prob, masked, forced=only)
        try:
            if row.turn.constraint is not None:
                row.turn.constraint.advance(token)
            row.pending = [token]
            if token in self._ends:
                self._finish(row, batch, Stop.END)
                return False
            if len(row.out.ids) >= row.most:
                self._finish(row, batch, Stop.LENGTH)
                return False
            row.force(self._ends, self._end)
        except (ValueError, AssertionError) as error:  # a fault of the grammar ends one row, not the batch
            self._fail(row, batch, f"the constraint failed: {error}")
            return False
        return True

    def _finish(self, row: _Row, batch: Batch, stop: Stop) -> None:
        row.out.stop = stop
        tail = batch.finish(row.index)
        read = [*row.turn.prompt, *row.out.ids][: len(row.turn.prompt) - 1 + row.consumed]
        self.backend.keep(read, tail, row.turn.owner)

    def _fail(self, row: _Row, batch: Batch, error: str) -> None:
        row.out.stop, row.out.error = Stop.FAILED, error
        batch.finish(row.index)


@contextlib.contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """The model without dropout, and as it was afterwards."""
    training = bool(model.training)
    if training:
        model.eval()
    try:
        yield
    finally:
        if training:
            model.train()
