"""Attention over what rows share: each common beginning is read once for all rows that have it.

The rows of a batch are paths in a tree of prompts. Going down, the beginnings that several rows have in common are the
*levels*: the system message of all rows is one group of level 0, the requests are the groups of level 1, and so on.
In each level the queries of a group's rows are multiplied with the group's keys at once, so that neither memory nor
bandwidth grows with the number of siblings. What only one row has is its private tail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from genevolve.programs.policies.local.prefixes import KeyValues, Node, joined

MAX_LEVELS = 3
"""Deeper shared beginnings are copied to the rows: each level costs a multiplication per layer."""


@dataclass(frozen=True)
class Level:
    """Beginnings that rows share.

    Attributes:
        keys: (layers, groups, heads, length, width), shorter groups padded with zeros.
        values: The same shape.
        group_of: For each row the group that it belongs to, -1 for none.
        lengths: For each group how much of it is real.
    """

    keys: torch.Tensor
    values: torch.Tensor
    group_of: tuple[int, ...]
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Route:
    """Which token of a step stands where among the queries of a level's groups.

    Attributes:
        gather: (groups * most,) the token in each place, or None when tokens stand in that order already.
        scatter: (tokens,) the place of each token, None as above.
        hidden: Boolean mask over the scores of the level, True where a key must not be seen; None when all may.
            (tokens, 1, 1, length).
        outside: (tokens, 1, 1, 1) True for tokens that belong to no group, or None when all do.
    """

    groups: int
    most: int
    gather: torch.Tensor | None
    scatter: torch.Tensor | None
    hidden: torch.Tensor | None
    outside: torch.Tensor | None = None


def shared_levels(paths: Sequence[Sequence[Node]]) -> tuple[list[Level], list[list[Node]]]:
    """The levels of rows, and for each row the nodes of its private tail. All nodes must be computed."""
    uses = Counter(id(node) for path in paths for node in path)
    least = 1 if len(paths) == 1 else 2
    runs = [_runs(path, uses, least) for path in paths]
    depth = min(MAX_LEVELS, max((len(r) for r in runs), default=0))
    levels = [_level([r[d] if d < len(r) else None for r in runs]) for d in range(depth)]
    shared = [sum(len(run) for run in r[:depth]) for r in runs]
    return levels, [list(path[count:]) for path, count in zip(paths, shared, strict=True)]


def _runs(path: Sequence[Node], uses: Counter[int], least: int) -> list[list[Node]]:
    """A path cut where fewer rows follow; rows are nested going down, so equal counts are equal sets of rows."""
    runs: list[list[Node]] = []
    before = -1
    for node in path:
        count = uses[id(node)]
        if count < least:
            break
        if count == before:
            runs[-1].append(node)
        else:
            runs.append([node])
        before = count
    return runs


def _level(runs: Sequence[list[Node] | None]) -> Level:
    groups: dict[int, int] = {}
    parts: list[KeyValues] = []
    group_of: list[int] = []
    for run in runs:
        if run is None:
            group_of.append(-1)
            continue
        key = id(run[0])
        if key not in groups:
            groups[key] = len(parts)
            parts.append(joined([n.kept for n in run if n.kept is not None]))
        group_of.append(groups[key])
    lengths = tuple(int(p.keys.shape[2]) for p in parts)
    keys = _padded([p.keys for p in parts], max(lengths))
    values = _padded([p.values for p in parts], max(lengths))
    return Level(keys, values, tuple(group_of), lengths)


def _padded(parts: Sequence[torch.Tensor], length: int) -> torch.Tensor:
    """Runs (layers, heads, tokens, width) as one tensor (layers, runs, heads, length, width)."""
    if len(parts) == 1:
        return parts[0].unsqueeze(1)
    layers, heads, _, width = parts[0].shape
    whole = parts[0].new_zeros((layers, len(parts), heads, length, width))
    for i, part in enumerate(parts):
        whole[:, i, :, : part.shape[2]] = part
    return whole


def route(group_of: Sequence[int], lengths: Sequence[int], device: torch.device) -> Route:
    """Where the tokens of a step go in a level. `group_of` has the group of each token, -1 for none."""
    groups = len(lengths)
    members: list[list[int]] = [[] for _ in range(groups)]
    for token, group in enumerate(group_of):
        if group >= 0:
            members[group].append(token)
    most = max(1, max(len(m) for m in members))
    scatter = [0] * len(group_of)
    gather = [0] * (groups * most)
    for group, tokens in enumerate(members):
        for slot, token in enumerate(tokens):
            gather[group * most + slot] = token
            scatter[token] = group * most + slot
    hidden = outside = None
    longest = max(lengths)
    if any(g < 0 for g in group_of):
        outside = torch.tensor([g < 0 for g in group_of], device=device)[:, None, None, None]
    if outside is not None or any(n != longest for n in lengths):
        real = torch.tensor([lengths[g] if g >= 0 else 0 for g in group_of], device=device)
        hidden = (torch.arange(longest, device=device)[None] >= real[:, None])[:, None, None]
    if gather == list(range(len(group_of))):
        return Route(groups, most, None, None, hidden, outside)
    return Route(
        groups,
        most,
        torch.tensor(gather, device=device),
        torch.tensor(scatter, device=device),
        hidden,
        outside,
    )


def scores(queries: torch.Tensor, keys: torch.Tensor, to: Route) -> torch.Tensor:
    """The scores of tokens over the keys of their groups.

    Args:
        queries: (tokens, key heads, queries per key head, width), scaled.
        keys: (groups, key heads, length, width).
        to: Where the tokens stand.

    Returns:
        (tokens, key heads, queries per key head, length); -inf where a key must not be seen.
    """
    _, heads, fan, width = queries.shape
    length = keys.shape[2]
    q = queries if to.gather is None else queries.index_select(0, to.gather)
    q = q.view(to.groups, to.most, heads, fan, width).transpose(1, 2)
    q = q.reshape(to.groups, heads, to.most * fan, width)
    found = q @ keys.transpose(-1, -2)
    found = found.view(to.groups, heads, to.most, fan, length).transpose(1, 2)
    found = found.reshape(to.groups * to.most, heads, fan, length)
    if to.scatter is not None:
        found = found.index_select(0, to.scatter)
    return found if to.hidden is None else found.masked_fill(to.hidden, float("-inf"))


def mixed(weights: torch.Tensor, values: torch.Tensor, to: Route) -> torch.Tensor:
    """The values of groups (groups, key heads, length, width) under weights shaped as `scores` gives them.

    Returns:
        (tokens, key heads, queries per key head, width).
    """
    heads, fan, length = weights.shape[1:]
    w = weights if to.gather is None else weights.index_select(0, to.gather)
    w = w.reshape(to.groups, to.most, heads, fan, length).transpose(1, 2)
    w = w.reshape(to.groups, heads, to.most * fan, length)
    found = (w @ values).view(to.groups, heads, to.most, fan, -1).transpose(1, 2)
    found = found.reshape(to.groups * to.most, heads, fan, -1)
    if to.scatter is not None:
        found = found.index_select(0, to.scatter)
    return found if to.outside is None else found.masked_fill(to.outside, 0.0)
