"""Who computes the next logits: the lean forward where it is right, the model's own forward elsewhere.

Which one fits is not assumed: each is compared with a plain forward of the model over a few tokens, in two rows of
different lengths that share a beginning, before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch

from genevolve.programs.policies.local.padded import Forward, PaddedBatch, SingleBatch, plain_cache
from genevolve.programs.policies.local.prefixes import KeyValues, Node, PrefixTree

if TYPE_CHECKING:
    from genevolve.programs.policies.local.lean import LeanModel

CHUNK = 512
"""How many tokens of one prompt are read at once: scores take memory for each pair of tokens."""
MOST = 4096
"""How many tokens are read at once over all prompts."""
BOUND = 2e-3
"""How far logits in float32 may be from the model's own, relative to their spread."""
BOUND_16 = 0.1
"""The same in 16-bit formats, where the order of additions alone moves them; more if it moves the model's own more."""


class Batch(Protocol):
    """Rows that are being written."""

    def read(self, tokens: Mapping[int, Sequence[int]]) -> torch.Tensor:
        """Append tokens (at least one each) to rows: the logits after each, (all tokens, vocabulary) float32."""

    def finish(self, row: int) -> KeyValues | None:
        """A row leaves; what was computed for it, if that can be kept."""


class _Computing(Batch, Protocol):
    def advance(self, tokens: Mapping[int, Sequence[int]]) -> None: ...

    def finish(self, row: int) -> KeyValues: ...


class Backend:
    """Opens batches of rows over prompts; keeps what it computed for later ones, where the model allows that."""

    def __init__(
        self,
        kind: str,
        model: Any,
        make: Callable[[Sequence[Sequence[Node]]], _Computing] | None,
        max_bytes: int,
    ) -> None:
        self.kind = kind
        self.forward = Forward(model)
        self.tree = PrefixTree(max_bytes)
        self._make = make
        self.computed = 0
        """How many tokens of prompts were read so far; less than were asked for by what was kept."""

    def open(self, prompts: Sequence[Sequence[int]], owners: Sequence[str] = ()) -> Batch:
        """A batch with a row for each prompt (which may be empty)."""
        if self._make is None:
            self.computed += sum(len(p) for p in prompts)
            return SingleBatch(self.forward, prompts)
        names = owners or [""] * len(prompts)
        for prompt, owner in zip(prompts, names, strict=True):
            self.tree.extend(prompt, owner)  # all of them first: later ones split the nodes of earlier ones
        paths = [self.tree.extend(prompt) for prompt in prompts]
        self._compute(paths)
        self.tree.evict([path[-1] for path in paths if path])
        return self._make(paths)

    def keep(self, ids: Sequence[int], tail: KeyValues | None, owner: str = "") -> None:
        """Keep what a row computed: `tail` belongs to the last tokens of `ids`."""
        if tail is not None:
            self.tree.store(ids, tail, owner)

    @property
    def kept_bytes(self) -> int:
        """The memory that is kept between turns."""
        return self.tree.nbytes

    def release(self, owner: str) -> None:
        """Forget what only this owner used."""
        self.tree.release(owner)

    def forget(self) -> None:
        """Forget everything that was kept."""
        self.tree.clear()

    def trim(self) -> None:
        """Bring what is kept back into its bounds."""
        self.tree.evict()

    def _compute(self, paths: Sequence[Sequence[Node]]) -> None:
        """Compute the nodes that are not computed yet, each once, those above first."""
        while True:
            waiting: dict[int, list[Node]] = {}
            for path in paths:
                first = next((i for i, n in enumerate(path) if n.kept is None), None)
                if first is not None:
                    waiting[id(path[first])] = list(path[: first + 1])
            if not waiting:
                return
            group: list[list[Node]] = []
            for path in sorted(waiting.values(), key=lambda p: len(p[-1].tokens)):
                if group and (len(group) + 1) * min(CHUNK, len(path[-1].tokens)) > MOST:
                    break
                group.append(path)
            self._compute_group(group)

    def _compute_group(self, group: Sequence[Sequence[Node]]) -> None:
        if self._make is None:
            return
        batch = self._make([path[:-1] for path in group])
        for start in range(0, max(len(path[-1].tokens) for path in group), CHUNK):
            parts = {row: path[-1].tokens[start : start + CHUNK] for row, path in enumerate(group)}
            batch.advance({row: part for row, part in parts.items() if part})
        for row, path in enumerate(group):
            path[-1].kept = batch.finish(row)
            self.computed += len(path[-1].tokens)


class LeanBackend(Backend):
    """The lean forward."""

    def __init__(self, model: Any, max_bytes: int) -> None:
        from genevolve.programs.policies.local.lean import LeanBatch, LeanModel

        self.lean: LeanModel = LeanModel(model)
        super().__init__("lean", model, lambda paths: LeanBatch(self.lean, paths), max_bytes)


def choose(model: Any, max_bytes: int, *, wanted: str = "auto") -> tuple[Backend, str]:
    """The fastest backend that gives what the model itself gives, and why it is not a faster one.

    Args:
        model: A causal language model.
        max_bytes: How much may be kept between turns.
        wanted: `auto`, or the only one to try: `lean`, `padded`, `single`.

    Raises:
        ValueError: when the wanted one does not fit; the message tells why.
    """
    reasons: list[str] = []
    for kind in ("lean", "padded", "single") if wanted == "auto" else (wanted,):
        with torch.no_grad():
            backend, reason = _open(kind, model, max_bytes)
        if backend is not None:
            return backend, "; ".join(reasons)
        reasons.append(f"{kind}: {reason}")
    raise ValueError("; ".join(reasons))


def _open(kind: str, model: Any, max_bytes: int) -> tuple[Backend | None, str]:
    if kind == "lean":
        from genevolve.programs.policies.local.lean import unsupported

        reason = unsupported(model)
        if reason:
            return None, reason
        try:
            backend: Backend = LeanBackend(model, max_bytes)
        except TypeError as error:
            return None, str(error)
    elif kind == "padded":
        forward = Forward(model)
        reason = _no_padding(model, forward)
        if reason:
            return None, reason
        backend = Backend("padded", model, lambda paths: PaddedBatch(forward, paths), max_bytes)
    else:
        backend = Backend("single", model, None, max_bytes)
    found = deviation(backend)
    if not found <= _bound(kind, model, max_bytes):
        return None, f"its logits are off by {found:.2g} of their spread"
    backend.tree.clear()
    backend.computed = 0
    return backend, ""


def _bound(kind: str, model: Any, max_bytes: int) -> float:
    """How far a backend's logits may be off."""
    if next(iter(model.parameters())).dtype == torch.float32:
        return BOUND
    if kind == "single":
        return 5 * BOUND_16
    return max(BOUND_16, 3 * deviation(Backend("single", model, None, max_bytes)))


def _no_padding(model: Any, forward: Forward) -> str:
    """Why rows cannot share one cache of this model; empty when they can."""
    config = model.config.get_text_config(decoder=True)
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds - {"full_attention"} or (not kinds and getattr(config, "sliding_window", None)):
        return "its attention has a window"  # gaps between the tokens of a row would count as distance
    with torch.no_grad():
        out = forward(torch.zeros((1, 2), dtype=torch.long, device=forward.device), keep=1)
    return "" if plain_cache(getattr(out, "past_key_values", None)) else "it has a cache of another kind"


def deviation(backend: Backend) -> float:
    """How far the logits of a backend are from a plain forward's, relative to the spread of the latter."""
    vocabulary = int(backend.forward.model.get_input_embeddings().weight.shape[0])
    draw = torch.Generator().manual_seed(0)
    first = torch.randint(0, vocabulary, (18,), generator=draw).tolist()
    second = [*first[:9], *torch.randint(0, vocabulary, (5,), generator=draw).tolist()]
    batch = backend.open([first[:12], second[:10]])
    got = [batch.read({0: first[12:14], 1: second[10:11]}), batch.read({0: first[14:], 1: second[11:]})]
    device = backend.forward.device
    wholes = [
        backend.forward.model(torch.tensor([ids], device=device)).logits[0].float() for ids in (first, second)
    ]
    want = [
        torch.cat([wholes[0][12:14], wholes[1][10:11]]),
        torch.cat([wholes[0][14:], wholes[1][11:]]),
    ]
    spread = float(torch.cat(want).std()) or 1.0
    off = max(float((a - b).abs().max()) for a, b in zip(got, want, strict=True))
    return off / spread
