"""The fifth stage: splits that share nothing.

Requests that must not be torn apart form groups: those that say nearly the same (`overlap`), and those that share a
value of the fields named (by default `entities`, where rows have them). Whole groups are dealt to the splits.
Afterwards the splits are compared with each other once more, and the report tells what was found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import AuthorError
from genevolve.interpreter.studio.world import seeded
from genevolve.optimizer.data.folder import SPLIT_NAMES, DataFolder, StageInfo, write_rows
from genevolve.optimizer.data.overlap import (
    THRESHOLD,
    closest_by_meaning,
    components,
    near_duplicates,
    normalized,
)
from genevolve.programs.batch.folder import replacing

if TYPE_CHECKING:
    from genevolve.interpreter.library.embedder import Embedder

STAGE = "splits"
SHARES: Mapping[str, float] = {"train": 0.8, "validation": 0.05, "heldout": 0.15}
KEEP_TOGETHER = ("entities",)
_TOLD = 20


def make(
    data: DataFolder,
    shares: Mapping[str, float] | None = None,
    *,
    seed: int = 0,
    threshold: float = THRESHOLD,
    together: Sequence[str] = KEEP_TOGETHER,
    embedder: Embedder | None = None,
) -> StageInfo:
    """Deal requests to splits.

    Args:
        data: Requests with truths are split; without that stage, requests.
        shares: Of each split of `SPLIT_NAMES`, in the sum 1.
        seed: Of the order in which groups are dealt.
        threshold: Texts that have at least so much in common stay together.
        together: Fields whose equal values stay together.
        embedder: Also tells how near the splits come in meaning.

    Raises:
        AuthorError: There are no requests, the shares are wrong, or one group is larger than the training split.
    """
    wanted = _checked_shares(shares)
    source = "truths" if data.info("truths") is not None else "requests"
    rows = list(data.rows(source))
    if not rows:
        raise AuthorError(f"{data.path}: {source} are empty, there is nothing to split")
    groups = grouped(rows, threshold, together)
    dealt = deal(groups, wanted, seed)
    folder = data.path / "splits"
    folder.mkdir(exist_ok=True)
    parts = {name: [{**rows[i], "split": name} for i in sorted(dealt[name])] for name in wanted}
    sizes = {name: len(part) for name, part in parts.items()}
    report = {
        "rows": len(rows),
        "groups": len(groups),
        "largest_group": max(map(len, groups)),
        "sizes": sizes,
        "shares": wanted,
        "threshold": threshold,
        "overlaps": overlaps(parts, threshold, together, embedder),
    }
    for name, part in parts.items():
        write_rows(folder / f"{name}.jsonl", part)
    with replacing(folder / "report.json") as file:
        file.write(json.dumps(report, indent=1, ensure_ascii=True).encode() + b"\n")
    settings = {"shares": wanted, "seed": seed, "threshold": threshold, "together": list(together)}
    rows_of_all = (row for part in parts.values() for row in part)
    return data.write(STAGE, rows_of_all, settings=settings, inputs=(source,), yields=sizes)


def _checked_shares(shares: Mapping[str, float] | None) -> dict[str, float]:
    wanted = dict(SHARES if shares is None else shares)
    unknown = set(wanted) - set(SPLIT_NAMES)
    if unknown or any(v < 0 for v in wanted.values()) or abs(sum(wanted.values()) - 1) > 1e-6:
        raise AuthorError(f"the shares of {', '.join(SPLIT_NAMES)} add up to 1")
    return wanted


def grouped(rows: Sequence[Mapping[str, Any]], threshold: float, together: Sequence[str]) -> list[list[int]]:
    """Places of the rows that must stay together."""
    pairs = [(p.first, p.second) for p in near_duplicates([str(r["prompt"]) for r in rows], threshold)]
    first: dict[tuple[str, str], int] = {}
    for index, row in enumerate(rows):
        for key in _keys(row, together):
            pairs.append((first.setdefault(key, index), index))
    return components(len(rows), pairs)


def deal(groups: Sequence[Sequence[int]], shares: Mapping[str, float], seed: int) -> dict[str, list[int]]:
    """Whole groups to splits: large ones first, each to the split that lacks most of its share.

    Raises `AuthorError` when a split that is to have a share gets nothing.
    """
    total = sum(map(len, groups))
    order = sorted(groups, key=lambda g: g[0])
    seeded(seed, "deal").shuffle(order)
    order.sort(key=len, reverse=True)
    dealt: dict[str, list[int]] = {name: [] for name in shares}
    for group in order:
        lacking = {name: share * total - len(dealt[name]) for name, share in shares.items() if share > 0}
        # A group that no split has room for goes to the largest one, whose share it disturbs least.
        fits = {name: lack for name, lack in lacking.items() if lack >= len(group)}
        chosen = max(fits or lacking, key=lambda name: (lacking[name], name))
        dealt[chosen] += group
    empty = [name for name, share in shares.items() if share > 0 and not dealt[name]]
    if empty and total > len(shares):
        told = f"{len(groups)} groups, the largest of {len(max(groups, key=len))} of {total} requests"
        raise AuthorError(
            f"nothing is left for {', '.join(empty)}: {told}; --together '' ties fewer together"
        )
    return dealt


def overlaps(
    parts: Mapping[str, Sequence[Mapping[str, Any]]],
    threshold: float,
    together: Sequence[str],
    embedder: Embedder | None = None,
) -> dict[str, Any]:
    """What each two splits have in common: equal texts, near duplicates, shared values, the nearest in meaning."""
    found: dict[str, Any] = {}
    for a, b in combinations(parts, 2):
        texts = [[str(r["prompt"]) for r in parts[name]] for name in (a, b)]
        equal = {normalized(t) for t in texts[0]} & {normalized(t) for t in texts[1]}
        border = len(texts[0])
        alike = [p for p in near_duplicates(texts[0] + texts[1], threshold) if p.first < border <= p.second]
        keys = [{k for row in parts[name] for k in _keys(row, together)} for name in (a, b)]
        pair: dict[str, Any] = {
            "equal": len(equal),
            "near_duplicates": len(alike),
            "shared_values": len(keys[0] & keys[1]),
            "examples": [[texts[0][p.first], texts[1][p.second - border], p.share] for p in alike[:_TOLD]],
        }
        if embedder is not None and (nearest := closest_by_meaning(texts[0], texts[1], embedder)) is not None:
            cosine, first, second = nearest
            pair["nearest_in_meaning"] = {"cosine": cosine, "texts": [texts[0][first], texts[1][second]]}
        found[f"{a} | {b}"] = pair
    return found


def _keys(row: Mapping[str, Any], together: Sequence[str]) -> Iterator[tuple[str, str]]:
    for name in together:
        value = row.get(name)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str | int) and not isinstance(one, bool) and one != "":
                yield name, str(one)


def read_report(folder: Path) -> dict[str, Any] | None:
    """The report of the splits; None when they were not made. Raises `AuthorError` for a damaged one."""
    path = folder / "splits" / "report.json"
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise AuthorError(f"{path} cannot be read: {error}") from error
    return found if isinstance(found, dict) else None
