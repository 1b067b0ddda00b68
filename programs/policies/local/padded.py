"""Batches through a model's own forward: for every architecture that the lean forward does not know.

`PaddedBatch` keeps rows in one cache, aligned at the right, with a mask over what is no token: it needs a model whose
layers all keep plain keys and values. `SingleBatch` needs nothing: each row has whatever cache the model makes, and is
read alone (windows, states of recurrent layers, no cache at all).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from genevolve.programs.policies.local.prefixes import KeyValues, Node, joined


class Forward:
    """A causal language model with the arguments that its forward takes."""

    def __init__(self, model: Any) -> None:
        self.model = model
        base = model.get_base_model() if hasattr(model, "peft_config") else model
        self._takes = set(inspect.signature(base.forward).parameters)
        self.device = next(iter(model.parameters())).device

    def __call__(self, ids: torch.Tensor, *, keep: int, **more: Any) -> Any:
        """The outputs for `ids` (rows, tokens), with logits of the last `keep` tokens at least."""
        known = {k: v for k, v in more.items() if k in self._takes or k != "position_ids"}
        if "logits_to_keep" in self._takes:
            known["logits_to_keep"] = keep
        return self.model(input_ids=ids, use_cache=True, return_dict=True, **known)


def plain_cache(cache: Any) -> bool:
    """Whether all layers of a cache keep the keys and values of all tokens, in one shape."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    if type(cache) is not DynamicCache or not cache.layers:
        return False
    shapes = {(tuple(x.keys.shape), tuple(x.values.shape)) for x in cache.layers if x.is_initialized}
    return (
        all(type(layer) is DynamicLayer and layer.is_initialized for layer in cache.layers)
        and len(shapes) == 1
    )


class PaddedBatch:
    """Rows in one cache, each after the path of computed nodes that it begins with."""

    def __init__(self, forward: Forward, paths: Sequence[Sequence[Node]]) -> None:
        self._forward = forward
        self._rows = list(range(len(paths)))
        kept = [joined([n.kept for n in path if n.kept is not None]) if path else None for path in paths]
        self._length = [0 if k is None else int(k.keys.shape[2]) for k in kept]
        self._start = list(self._length)
        self._gone: set[int] = set()
        longest = max(self._length)
        self._real = torch.zeros((len(paths), longest), dtype=torch.bool, device=forward.device)
        self._layers: list[tuple[torch.Tensor, torch.Tensor]] = []
        for row, length in enumerate(self._length):
            self._real[row, longest - length :] = True
        some = next((k for k in kept if k is not None), None)
        if some is not None:
            keys = _aligned([None if k is None else k.keys for k in kept], some.keys, longest)
            values = _aligned([None if k is None else k.values for k in kept], some.values, longest)
            self._layers = list(zip(keys, values, strict=True))

    def read(self, tokens: Mapping[int, Sequence[int]]) -> torch.Tensor:
        """Append tokens to rows: (all tokens, vocabulary) float32, rows in the order of `tokens`."""
        logits = self._step(tokens, max(len(new) for new in tokens.values()))
        slots = {row: i for i, row in enumerate(self._rows)}
        width = logits.shape[1]
        return torch.cat([logits[slots[row], width - len(new) :] for row, new in tokens.items()]).float()

    def advance(self, tokens: Mapping[int, Sequence[int]]) -> None:
        """The same, when the logits are not needed."""
        self._step(tokens, 1)

    def finish(self, row: int) -> KeyValues:
        """The keys and values that were computed in this batch for a row, which leaves it."""
        slot, count = self._rows.index(row), self._length[row] - self._start[row]
        self._gone.add(row)
        end = self._real.shape[1]
        keys = torch.stack([k[slot, :, end - count :] for k, _ in self._layers])
        return KeyValues(keys, torch.stack([v[slot, :, end - count :] for _, v in self._layers]))

    def _step(self, tokens: Mapping[int, Sequence[int]], keep: int) -> torch.Tensor:
        """Read right-aligned tokens; rows without any wait. Returns (rows, at least `keep`, vocabulary)."""
        from transformers import DynamicCache

        self._drop_gone()
        most = max(len(new) for new in tokens.values())
        ids, real, places = [], [], []
        for row in self._rows:
            new = tokens.get(row, ())
            gap, start = most - len(new), self._length[row]
            ids.append([0] * gap + list(new))
            real.append([False] * gap + [True] * len(new))
            places.append([0] * gap + list(range(start, start + len(new))))
            self._length[row] += len(new)
        device = self._forward.device
        here = torch.tensor(real, device=device)
        self._real = torch.cat([self._real, here], 1)
        cache = DynamicCache()
        for i, (keys, values) in enumerate(self._layers):
            cache.update(keys, values, i)
        out = self._forward(
            torch.tensor(ids, device=device),
            keep=keep,
            past_key_values=cache,
            attention_mask=self._real.long(),
            position_ids=torch.tensor(places, device=device),
        )
        self._layers = [(layer.keys, layer.values) for layer in out.past_key_values.layers]
        if not bool(here.all()):
            self._align()
        return out.logits

    def _align(self) -> None:
        """Close the gaps that rows of different lengths left, so that tokens stand side by side at the right."""
        order = torch.argsort(self._real.int(), dim=1, stable=True)
        longest = int(self._real.sum(1).max())
        order = order[:, order.shape[1] - longest :]
        self._real = self._real.gather(1, order)
        at = order[:, None, :, None]
        self._layers = [
            (
                keys.gather(2, at.expand(-1, keys.shape[1], -1, keys.shape[3])),
                values.gather(2, at.expand(-1, values.shape[1], -1, values.shape[3])),
            )
            for keys, values in self._layers
        ]

    def _drop_gone(self) -> None:
        if not self._gone:
            return
        stay = [i for i, row in enumerate(self._rows) if row not in self._gone]
        index = torch.tensor(stay, device=self._forward.device)
        self._rows = [self._rows[i] for i in stay]
        self._gone.clear()
        self._real = self._real[index]
        self._layers = [(k.index_select(0, index), v.index_select(0, index)) for k, v in self._layers]


def _aligned(parts: Sequence[torch.Tensor | None], like: torch.Tensor, length: int) -> torch.Tensor:
    """Runs (layers, heads, tokens, width), right-aligned: (layers, rows, heads, length, width)."""
    layers, heads, _, width = like.shape
    whole = like.new_zeros((layers, len(parts), heads, length, width))
    for row, part in enumerate(parts):
        if part is not None:
            whole[:, row, :, length - part.shape[2] :] = part
    return whole


class SingleBatch:
    """Rows that are read one by one, each with the cache that the model makes of its own."""

    def __init__(self, forward: Forward, prompts: Sequence[Sequence[int]]) -> None:
        self._forward = forward
        self._ids: dict[int, list[int]] = {row: list(ids) for row, ids in enumerate(prompts)}
        self._done: dict[int, int] = dict.fromkeys(self._ids, 0)
        self._caches: dict[int, Any] = dict.fromkeys(self._ids)

    def read(self, tokens: Mapping[int, Sequence[int]]) -> torch.Tensor:
        """Append tokens to rows: (all tokens, vocabulary) float32, rows in the order of `tokens`."""
        return torch.cat([self._read(row, new) for row, new in tokens.items()])

    def finish(self, row: int) -> None:
        """Forget a row."""
        for kept in (self._ids, self._done, self._caches):
            kept.pop(row, None)

    def _read(self, row: int, new: Sequence[int]) -> torch.Tensor:
        self._ids[row] += new
        ids, device = self._ids[row], self._forward.device
        start = self._done[row] if self._caches[row] is not None else 0
        out = self._forward(
            torch.tensor([ids[start:]], device=device),
            keep=len(new),
            past_key_values=self._caches[row],
            position_ids=torch.arange(start, len(ids), device=device)[None],
        )
        self._caches[row], self._done[row] = getattr(out, "past_key_values", None), len(ids)
        return out.logits[0, -len(new) :].float()


def rescored(
    forward: Forward,
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    temperature: float,
    *,
    most: int = 8192,
) -> list[list[float]]:
    """Log-probabilities of continuations, by the model's own forward without any cache.

    Args:
        forward: The model.
        pairs: Prompts (not empty) and their continuations.
        temperature: What logits are divided by; 0 counts as 1.
        most: How many tokens, padding included, are read at once.

    Returns:
        For each pair one number per token of its continuation.
    """
    found: list[list[float]] = [[] for _ in pairs]
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
    while order:
        longest = len(pairs[order[0]][0]) + len(pairs[order[0]][1])
        group = [order.pop(0)]
        while order:
            longest = max(longest, sum(map(len, pairs[order[0]])))
            if longest * (len(group) + 1) > most:
                break
            group.append(order.pop(0))
        for i, values in zip(group, _rescored([pairs[i] for i in group], forward, temperature), strict=True):
            found[i] = values
    return found


def _rescored(
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]], forward: Forward, temperature: float
) -> list[list[float]]:
    longest = max(len(p) + len(c) for p, c in pairs)
    keep = max(len(c) for _, c in pairs) + 1
    ids, real = [], []
    for prompt, new in pairs:
        gap = longest - len(prompt) - len(new)
        ids.append([0] * gap + [*prompt, *new])
        real.append([0] * gap + [1] * (longest - gap))
    mask = torch.tensor(real, device=forward.device)
    wanted = torch.tensor(ids, device=forward.device)
    places = (mask.cumsum(1) - 1).clamp(min=0)
    out = forward(wanted, keep=keep, attention_mask=mask, position_ids=places)
    logits = out.logits[:, -keep:-1].float() / (temperature or 1.0)
    chosen = (
        logits.gather(-1, wanted[:, 1 - keep :, None])[..., 0]
        if keep > 1
        else logits.new_zeros((len(pairs), 0))
    )
    values = (chosen - torch.logsumexp(logits, -1)).cpu()
    return [
        values[i, values.shape[1] - len(new) :].tolist() if new else [] for i, (_, new) in enumerate(pairs)
    ]
