"""Log-probabilities of given completions, with what rows have in common computed once.

Siblings share the prompt, and all prompts of a batch share their system message. A common beginning is run through
the model once, its keys and values are handed to every row that continues it, and the gradients of the rows meet in
it. The head is applied at scored positions only, in pieces of the vocabulary, so that nothing of the size
batch × length × vocabulary ever exists.

The result is that of a plain forward pass over each row, up to rounding; a test holds them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

VOCABULARY_PIECE = 32_768
"""How many words of the vocabulary the head looks at in one go."""

MIN_SHARED = 8
"""A common beginning shorter than this is not worth a pass of its own."""


@dataclass(frozen=True)
class Scored:
    """Log-probabilities and entropies, (B, C), 0 where nothing was scored. Entropies carry no gradient."""

    log_probs: Tensor
    entropies: Tensor


@dataclass(frozen=True)
class _Row:
    """One row without its padding: `ids` of prompt and completion, and where scored tokens stand in them."""

    index: int
    ids: list[int]
    prompt: int
    scored: list[int]  # positions in `ids` of the scored tokens, ascending


def score_completions(
    model: Any,
    prompt_ids: Tensor,
    prompt_mask: Tensor,
    completion_ids: Tensor,
    score_mask: Tensor,
    *,
    temperature: float = 1.0,
    share: bool = True,
    recompute_rows: int = 0,
) -> Scored:
    """Score the tokens of completions.

    Args:
        model: A causal language model of transformers, or a PEFT model around one.
        prompt_ids: (B, P) prompts, padded on either side.
        prompt_mask: (B, P) 1 where a prompt's token stands.
        completion_ids: (B, C) completions, padded on the right.
        score_mask: (B, C) 1 where a token is to be scored. What stands behind a row's last scored token is not read.
        temperature: Logits are divided by it.
        share: Whether common beginnings are computed once. False runs each row on its own.
        recompute_rows: Above 0, activations of what rows do not share are dropped and computed again in the backward
            pass, so many rows at a time: less memory for one more forward pass of that part.

    Returns:
        (B, C) log-probabilities and entropies under softmax(logits / temperature), in float32.
    """
    import torch

    rows = _rows(prompt_ids, prompt_mask, completion_ids, score_mask)
    shape = completion_ids.shape
    device = prompt_ids.device
    log_probs = torch.zeros(shape, dtype=torch.float32, device=device)
    entropies = torch.zeros(shape, dtype=torch.float32, device=device)
    live = [row for row in rows if row.scored]
    if not live:
        return Scored(log_probs, entropies)
    hidden, targets, places = _hidden(model, live, share, recompute_rows, device)
    values, entropy = _head(model, hidden, targets, temperature)
    row_index = torch.tensor([p[0] for p in places], device=device)
    column = torch.tensor([p[1] for p in places], device=device)
    log_probs = log_probs.index_put((row_index, column), values.float())
    entropies = entropies.index_put((row_index, column), entropy.detach().float())
    return Scored(log_probs, entropies)


def _rows(prompt_ids: Tensor, prompt_mask: Tensor, completion_ids: Tensor, score_mask: Tensor) -> list[_Row]:
    rows = []
    for i in range(len(prompt_ids)):
        prompt = prompt_ids[i][prompt_mask[i].bool()].tolist()
        columns = score_mask[i].bool().nonzero()[:, 0].tolist()
        end = columns[-1] + 1 if columns else 0
        ids = prompt + completion_ids[i, :end].tolist()
        first = len(prompt)
        if not prompt and columns and columns[0] == 0:
            raise ValueError("a completion without a prompt has no first token to score")
        rows.append(_Row(i, ids, first, [first + c for c in columns]))
    return rows


def _common(rows: Sequence[_Row]) -> int:
    """How many tokens all prompts begin with alike; the last token of a prompt is left to its own row."""
    shortest = min(row.prompt for row in rows) - 1
    first = rows[0].ids
    for i in range(max(0, shortest)):
        if any(row.ids[i] != first[i] for row in rows):
            return i
    return max(0, shortest)


def _groups(rows: Sequence[_Row], shared: int) -> list[tuple[int, list[_Row]]]:
    """Rows that continue together, each list with how many tokens it has in common.

    Siblings with the same prompt make a list of their own; rows that share no more than `shared` with anyone go
    together.
    """
    by_prompt: dict[tuple[int, ...], list[_Row]] = {}
    for row in rows:
        by_prompt.setdefault(tuple(row.ids[: row.prompt]), []).append(row)
    groups: list[tuple[int, list[_Row]]] = []
    alone: list[_Row] = []
    for group in by_prompt.values():
        common = _common(group)
        if len(group) > 1 and common - shared >= MIN_SHARED:
            groups.append((common, group))
        else:
            alone.extend(group)
    return [*groups, *([(shared, alone)] if alone else [])]


def _hidden(
    model: Any, rows: list[_Row], share: bool, recompute_rows: int, device: Any
) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
    """Hidden states (N, H) that predict the scored tokens, those tokens (N,), and their places (row, column)."""
    import torch
    from torch.utils.checkpoint import checkpoint

    found: list[Tensor] = []
    targets: list[int] = []
    places: list[tuple[int, int]] = []

    def collect(states: Tensor, group: list[_Row], start: int) -> None:
        for state, row in zip(states, group, strict=True):
            found.append(state[[p - 1 - start for p in row.scored]])
            targets.extend(row.ids[p] for p in row.scored)
            places.extend((row.index, p - row.prompt) for p in row.scored)

    body = body_of(model)
    past, shared = None, 0
    if share and (common := _common(rows)) >= MIN_SHARED:
        past, shared = _prefix(body, rows[0].ids[:common], None, device), common
    for start, group in _groups(rows, shared) if share else [(0, [row]) for row in rows]:
        own = past
        if start > shared:
            own = _prefix(body, group[0].ids[shared:start], past, device)
        for piece in _pieces(group, recompute_rows if torch.is_grad_enabled() else 0):
            run = partial(_continue, body, piece, own, start, device)
            states = checkpoint(run, use_reentrant=False) if recompute_rows else run()
            collect(states, piece, start)
    return torch.cat(found), torch.tensor(targets, device=device), places


def body_of(model: Any) -> Any:
    """A causal language model without its head, adapters kept."""
    return model.get_base_model().base_model if hasattr(model, "peft_config") else model.base_model


def _pieces(rows: list[_Row], size: int) -> list[list[_Row]]:
    """Lists of at most `size` rows, rows of like length together; all at once when `size` is 0."""
    if not size:
        return [rows]
    rows = sorted(rows, key=lambda row: len(row.ids))
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def _prefix(body: Any, ids: list[int], past: Any, device: Any) -> Any:
    """Keys and values of a beginning, one row, after those of `past`."""
    import torch

    cache = _expanded(body, past, 1)
    start = 0 if past is None else past.get_seq_length()
    positions = torch.arange(start, start + len(ids), device=device)[None]
    body(
        input_ids=torch.tensor([ids], device=device),
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
    )
    return cache


def _continue(body: Any, group: list[_Row], past: Any, start: int, device: Any) -> Tensor:
    """Hidden states (K, L, H) of what each row has after position `start`; L is the longest, padding on the right."""
    import torch

    rest = [row.ids[start:-1] for row in group]  # nothing is predicted from the last token
    longest = max(len(ids) for ids in rest)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rest], device=device)
    # Padding stands on the right, behind everything that is read: causality hides it, and no mask is needed.
    positions = torch.arange(start, start + longest, device=device)[None].expand(len(group), -1)
    cache = None if past is None else _expanded(body, past, len(group))
    out = body(
        input_ids=ids,
        position_ids=positions,
        past_key_values=cache,
        use_cache=cache is not None,
    )
    states: Tensor = out.last_hidden_state
    return states


def _expanded(body: Any, past: Any, rows: int) -> Any:
    """A fresh cache that begins with `past`, for so many rows; it grows without touching `past`."""
    from transformers import DynamicCache

    cache = DynamicCache(config=body.config)
    if past is not None:
        for i, layer in enumerate(past.layers):
            cache.update(layer.keys.expand(rows, -1, -1, -1), layer.values.expand(rows, -1, -1, -1), i)
    return cache


def _head(model: Any, hidden: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies (N,) without the logits of all positions at once."""
    from trl.kernels import ChunkedLogProbFunction

    head = model.get_output_embeddings()
    out = ChunkedLogProbFunction.apply(
        hidden,
        head.weight,
        getattr(head, "bias", None),
        targets,
        temperature,
        VOCABULARY_PIECE,
        getattr(model.config, "final_logit_softcapping", None),
        getattr(model.config, "logit_scale", None) or 1.0,
        ("entropy",),
    )
    return out[0], out[1]
