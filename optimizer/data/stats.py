"""What a data set holds, in figures: stages and yields, requests by group, checks, overlaps of the splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from genevolve.optimizer.data.folder import STAGES, DataFolder
from genevolve.optimizer.data.splitting import read_report

_GROUPS = ("track", "category", "difficulty")


def stats(data: DataFolder) -> dict[str, Any]:
    """The figures as JSON data; raises `AuthorError` for a damaged file."""
    stages = {}
    for name in STAGES:
        info = data.info(name)
        if info is not None:
            stages[name] = {"rows": info.rows, "yields": dict(info.yields), "settings": dict(info.settings)}
    found: dict[str, Any] = {"folder": str(data.path), "stages": stages, "outdated": list(data.outdated())}
    if "requests" in stages:
        found["requests"] = _requests(data.rows("requests"))
    if "filtered" in stages:
        found["filtered"] = _filtered(data.rows("filtered"))
    if (report := read_report(data.path)) is not None and "splits" in stages:
        found["splits"] = {k: report.get(k) for k in ("sizes", "groups", "largest_group", "overlaps")}
    return found


def _requests(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    groups: dict[str, Counter[str]] = {name: Counter() for name in (*_GROUPS, "skill")}
    words: list[int] = []
    for row in rows:
        words.append(len(str(row["prompt"]).split()))
        for name in _GROUPS:
            groups[name][str(row.get(name, ""))] += 1
        groups["skill"].update(str(s) for s in row.get("skills", []))
    words.sort()
    return {
        **{name: dict(sorted(counts.items())) for name, counts in groups.items()},
        "words": {"least": words[0], "median": words[len(words) // 2], "most": words[-1]} if words else {},
    }


def _filtered(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    sums: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    turns: list[int] = []
    calls: list[int] = []
    requests: set[str] = set()
    for row in rows:
        requests.add(str(row["request_id"]))
        turns.append(int(row["rollout"]["cost"]["turns"]))
        calls.append(int(row["rollout"]["cost"]["calls"]))
        for name, share in row["checks"].items():
            sums[name] += share
            counts[name] += 1
    total = max(1, len(turns))
    return {
        "requests": len(requests),
        "mean_turns": round(sum(turns) / total, 2),
        "mean_calls": round(sum(calls) / total, 2),
        "checks": {name: round(sums[name] / counts[name], 4) for name in sorted(counts)},
    }
