"""A lean forward for models built like Llama: what a step needs and nothing else.

Llama, Mistral, Qwen2, Qwen3, SmolLM2 and their relatives differ in a few switches (biases, norms of queries and keys,
tied heads, kinds of rotary positions), which are read off the modules. Whether that reading is right is measured once,
against the model's own forward, before it is used (`genevolve.programs.policies.local.backends`).

Against `generate` it saves: keys and values of common beginnings are stored and read once for all rows (`levels`),
weights with the same input are one matrix, and rows that are finished cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from genevolve.programs.policies.local.levels import Route, mixed, route, scores, shared_levels
from genevolve.programs.policies.local.prefixes import KeyValues, Node, joined

FUSE_BYTES = 2 << 30
"""Models up to this size get copies of their weights with q, k, v and gate, up side by side."""
GROW = 64
"""By how many tokens a row's own storage grows at a time."""
ROPE_TYPES = {"default", "linear", "llama3", "yarn"}
"""Kinds of rotary positions whose angles do not depend on the length of the text."""
LAYER_PARTS = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
ATTENTION_PARTS = {"q_proj", "k_proj", "v_proj", "o_proj"}


@dataclass(frozen=True)
class Dense:
    """One or several linear layers with the same input."""

    weights: tuple[torch.Tensor, ...]
    biases: tuple[torch.Tensor | None, ...]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """(tokens, in) to (tokens, sum of out)."""
        if len(self.weights) == 1:
            return F.linear(x, self.weights[0], self.biases[0])
        return torch.cat([F.linear(x, w, b) for w, b in zip(self.weights, self.biases, strict=True)], -1)


@dataclass(frozen=True)
class Norm:
    """Root-mean-square norm."""

    weight: torch.Tensor
    eps: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Over the last dimension."""
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


@dataclass(frozen=True)
class Layer:
    """The weights of one decoder layer."""

    before: Norm
    qkv: Dense
    q_norm: Norm | None
    k_norm: Norm | None
    out: Dense
    after: Norm
    gate_up: Dense
    down: Dense
    act: Any  # a module or function of transformers
    scaling: float


def unsupported(model: Any) -> str:
    """Why this model cannot be run by `LeanModel`; empty when its build looks right."""
    inner = _inner(model)
    if inner is None or not all(hasattr(inner, n) for n in ("embed_tokens", "layers", "norm", "rotary_emb")):
        return "it is not built like Llama"
    config = inner.config
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type", "default") not in ROPE_TYPES or rope.get("mrope_section"):
        return f"its rotary positions are of the kind {rope.get('rope_type')!r}"
    kinds = set(getattr(config, "layer_types", None) or ())
    windows = getattr(config, "sliding_window", None) if not kinds else None
    if kinds - {"full_attention"} or windows:
        return "its attention has a window"
    if getattr(config, "attn_logit_softcapping", None) or getattr(config, "final_logit_softcapping", None):
        return "its logits are capped"
    if len({p.device for p in model.parameters()}) > 1:
        return "it lies on several devices"
    for layer in inner.layers:
        if {n for n, _ in layer.named_children()} != LAYER_PARTS:
            return "its layers have other parts than Llama's"
        if {n for n, _ in layer.self_attn.named_children()} - {"q_norm", "k_norm"} != ATTENTION_PARTS:
            return "its attention has other parts than Llama's"
        if not all(hasattr(layer.mlp, n) for n in ("gate_proj", "up_proj", "down_proj", "act_fn")):
            return "its feed-forward layers have other parts than Llama's"
    return ""


def _inner(model: Any) -> Any:
    """The decoder inside of a causal language model, under adapters if there are any; None if there is none."""
    base = model.get_base_model() if hasattr(model, "peft_config") else model
    return getattr(base, "model", None)


def _head(model: Any) -> Any:
    base = model.get_base_model() if hasattr(model, "peft_config") else model
    return base.get_output_embeddings()


def effective_weight(module: Any) -> torch.Tensor:
    """A linear layer's weight with its active adapters added.

    Raises:
        TypeError: for adapters that are more than a sum of low-rank matrices.
    """
    if not hasattr(module, "get_base_layer"):
        return module.weight
    weight = module.get_base_layer().weight
    if getattr(module, "disable_adapters", False) or getattr(module, "merged", False):
        return weight
    for name in module.active_adapters:
        if getattr(module, "use_dora", {}).get(name):
            raise TypeError("adapters with decomposed weights are left to the model's own forward")
        if name in getattr(module, "lora_A", {}):
            weight = weight + module.get_delta_weight(name).to(weight.dtype)
    return weight


class LeanModel:
    """The weights of a model, laid out for decoding. `refresh` reads them again after they were trained."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.refresh()

    def refresh(self) -> None:
        """Read the weights of the model as they are now."""
        with torch.no_grad():
            self._read_weights()

    def _read_weights(self) -> None:
        inner, head = _inner(self.model), _head(self.model)
        size = sum(p.numel() * p.element_size() for p in self.model.parameters())
        self._fuse = size <= FUSE_BYTES
        self.layers = [self._layer(layer) for layer in inner.layers]
        self.norm = _norm(inner.norm)
        self.embedding = inner.embed_tokens.weight.detach()
        self.head = effective_weight(head).detach()
        self.head_bias = getattr(head, "bias", None)
        self.rotary = inner.rotary_emb
        attention = inner.layers[0].self_attn
        self.width = int(attention.head_dim)
        self.heads = self.layers[0].out.weights[0].shape[1] // self.width
        self.kv_heads = (sum(w.shape[0] for w in self.layers[0].qkv.weights) // self.width - self.heads) // 2
        vocab = int(self.head.shape[0])
        sizes = (1536, 1024, 512)
        self._blocks = next((vocab // s for s in sizes if vocab % s == 0 and vocab > 8 * s), 1)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embedding.device

    def _layer(self, layer: Any) -> Layer:
        a, m = layer.self_attn, layer.mlp
        return Layer(
            before=_norm(layer.input_layernorm),
            qkv=self._dense(a.q_proj, a.k_proj, a.v_proj),
            q_norm=_norm(a.q_norm) if hasattr(a, "q_norm") else None,
            k_norm=_norm(a.k_norm) if hasattr(a, "k_norm") else None,
            out=self._dense(a.o_proj),
            after=_norm(layer.post_attention_layernorm),
            gate_up=self._dense(m.gate_proj, m.up_proj),
            down=self._dense(m.down_proj),
            act=m.act_fn,
            scaling=float(a.scaling),
        )

    def _dense(self, *modules: Any) -> Dense:
        weights = tuple(effective_weight(m).detach() for m in modules)
        biases = tuple(b if (b := getattr(m, "bias", None)) is None else b.detach() for m in modules)
        if len(weights) == 1 or not self._fuse:
            return Dense(weights, biases)
        if all(b is None for b in biases):
            bias = None
        else:
            bias = torch.cat(
                [w.new_zeros(w.shape[0]) if b is None else b for w, b in zip(weights, biases, strict=True)]
            )
        return Dense((torch.cat(weights),), (bias,))

    def angles(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines (tokens, 1, width) for positions (tokens,)."""
        like = self.embedding.new_empty((1, 1, 1))
        cos, sin = self.rotary(like, positions[None])
        return cos[0][:, None].to(like.dtype), sin[0][:, None].to(like.dtype)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """(tokens, hidden) after the last norm to (tokens, vocabulary), float32."""
        if self._blocks == 1 or hidden.shape[0] > 64 or hidden.device.type != "cpu":
            return F.linear(hidden, self.head, self.head_bias).float()
        # A few rows by a long matrix is far from what memory allows in one multiplication, and close to it in blocks.
        blocks = self.head.view(self._blocks, -1, self.head.shape[1]).transpose(1, 2)
        found = torch.matmul(hidden, blocks).transpose(0, 1).reshape(hidden.shape[0], -1)
        return (found if self.head_bias is None else found + self.head_bias).float()


def _norm(module: Any) -> Norm:
    eps = getattr(module, "variance_epsilon", None)
    return Norm(module.weight.detach(), float(eps if eps is not None else module.eps))


@dataclass(frozen=True)
class _Step:
    """What all layers of one step need: where tokens stand, what they see."""

    rows: torch.Tensor  # (tokens,) the storage of each token's row
    places: torch.Tensor  # (tokens,) where in its row's storage a token goes
    cos: torch.Tensor
    sin: torch.Tensor
    routes: tuple[Route, ...]
    own: Route
    length: int  # how much of the rows' storage is in use


class LeanBatch:
    """Rows that are read and written together, each after the path of nodes that it begins with."""

    def __init__(self, model: LeanModel, paths: Sequence[Sequence[Node]]) -> None:
        self._model = model
        self._levels, tails = shared_levels(paths)
        shared = [sum(len(n.tokens) for n in p) for p in paths]
        joined_tails = [joined([n.kept for n in t if n.kept is not None]) if t else None for t in tails]
        self._tail = [0 if t is None else int(t.keys.shape[2]) for t in joined_tails]
        self._before = [n - t for n, t in zip(shared, self._tail, strict=True)]
        self._used = list(self._tail)
        self._slot: dict[int, int] = {row: row for row in range(len(paths))}
        self._storage(len(paths), max(self._used) + GROW)
        for row, tail in enumerate(joined_tails):
            if tail is not None:
                self._keys[:, row, :, : self._tail[row]] = tail.keys
                self._values[:, row, :, : self._tail[row]] = tail.values
        self._routes: dict[tuple[tuple[int, int], ...], tuple[Route, ...]] = {}

    def _storage(self, rows: int, length: int) -> None:
        m = self._model
        shape = (len(m.layers), rows, m.kv_heads, length, m.width)
        self._keys = m.embedding.new_zeros(shape)
        self._values = m.embedding.new_zeros(shape)

    def read(self, tokens: Mapping[int, Sequence[int]]) -> torch.Tensor:
        """Append tokens to rows.

        Args:
            tokens: For each row the tokens to append, at least one.

        Returns:
            (all tokens, vocabulary) float32: the logits after each token, rows in the order of `tokens`.
        """
        return self._model.logits(self._hidden(tokens))

    def advance(self, tokens: Mapping[int, Sequence[int]]) -> None:
        """The same, when the logits are not needed."""
        self._hidden(tokens)

    def _hidden(self, tokens: Mapping[int, Sequence[int]]) -> torch.Tensor:
        step = self._prepare({row: len(new) for row, new in tokens.items()})
        m = self._model
        flat = torch.tensor([t for new in tokens.values() for t in new], device=m.device)
        x = F.embedding(flat, m.embedding)
        for i, layer in enumerate(m.layers):
            x = x + layer.out(self._attention(i, layer, layer.before(x), step))
            gate, up = layer.gate_up(layer.after(x)).chunk(2, -1)
            x = x + layer.down(layer.act(gate) * up)
        for row, new in tokens.items():
            self._used[row] += len(new)
        return m.norm(x)

    def finish(self, row: int) -> KeyValues:
        """The keys and values that were computed in this batch for a row, which leaves it."""
        slot = self._slot.pop(row)
        start, end = self._tail[row], self._used[row]
        found = KeyValues(
            self._keys[:, slot, :, start:end].clone(), self._values[:, slot, :, start:end].clone()
        )
        if self._slot and len(self._slot) <= 0.75 * self._keys.shape[1]:
            self._compact()
        return found

    def _compact(self) -> None:
        """Give the storage of finished rows back."""
        rows = sorted(self._slot, key=self._slot.__getitem__)
        kept = torch.tensor([self._slot[r] for r in rows], device=self._keys.device)
        self._keys = self._keys.index_select(1, kept)
        self._values = self._values.index_select(1, kept)
        self._slot = {row: i for i, row in enumerate(rows)}
        self._routes.clear()

    def _prepare(self, counts: Mapping[int, int]) -> _Step:
        device = self._model.device
        length = max(self._used[r] + n for r, n in counts.items())
        if length > self._keys.shape[3]:
            more = length + GROW - self._keys.shape[3]
            self._keys = F.pad(self._keys, (0, 0, 0, more))
            self._values = F.pad(self._values, (0, 0, 0, more))
        spots = [(r, self._used[r] + i) for r, n in counts.items() for i in range(n)]
        places = torch.tensor([place for _, place in spots], device=device)
        before = torch.tensor([self._before[r] for r, _ in spots], device=device)
        cos, sin = self._model.angles(places + before)
        *routes, own = self._route(tuple(counts.items()))
        seen = torch.arange(length, device=device)[None] > places[:, None]
        own = Route(own.groups, own.most, own.gather, own.scatter, seen[:, None, None])
        slots = torch.tensor([self._slot[r] for r, _ in spots], device=device)
        return _Step(slots, places, cos, sin, tuple(routes), own, length)

    def _route(self, counts: tuple[tuple[int, int], ...]) -> tuple[Route, ...]:
        """Where the tokens go in each level and among the rows' own storage; the same while the rows are."""
        if counts not in self._routes:
            device = self._model.device
            rows = [r for r, n in counts for _ in range(n)]
            own = [self._slot[r] for r in rows]
            self._routes = {
                counts: (
                    *(route([v.group_of[r] for r in rows], v.lengths, device) for v in self._levels),
                    route(own, [1] * self._keys.shape[1], device),
                )
            }
        return self._routes[counts]

    def _attention(self, i: int, layer: Layer, x: torch.Tensor, step: _Step) -> torch.Tensor:
        m = self._model
        tokens, width = x.shape[0], m.width
        q, k, v = layer.qkv(x).split([m.heads * width, m.kv_heads * width, m.kv_heads * width], -1)
        q, k = q.view(tokens, m.heads, width), k.view(tokens, m.kv_heads, width)
        if layer.q_norm is not None and layer.k_norm is not None:
            q, k = layer.q_norm(q), layer.k_norm(k)
        both = torch.cat([q, k], 1)
        half = width // 2
        turned = torch.cat([-both[..., half:], both[..., :half]], -1)
        both = both * step.cos + turned * step.sin
        self._keys[i][step.rows, :, step.places] = both[:, m.heads :]
        self._values[i][step.rows, :, step.places] = v.view(tokens, m.kv_heads, width)
        q = (both[:, : m.heads] * layer.scaling).view(tokens, m.kv_heads, -1, width)
        sides: list[tuple[torch.Tensor, torch.Tensor, Route]] = [
            (level.keys[i], level.values[i], to) for level, to in zip(self._levels, step.routes, strict=True)
        ]
        sides.append((self._keys[i, :, :, : step.length], self._values[i, :, :, : step.length], step.own))
        found = [scores(q, keys, to) for keys, _, to in sides]
        lengths = [s.shape[-1] for s in found]
        weights = torch.cat(found, -1).softmax(-1, dtype=torch.float32).to(q.dtype).split(lengths, -1)
        out = [mixed(w, values, to) for w, (_, values, to) in zip(weights, sides, strict=True)]
        return torch.stack(out).sum(0).view(tokens, -1)
