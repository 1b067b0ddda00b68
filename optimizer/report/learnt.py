"""What was learnt: the experiences in the run's store, as the policy's teacher reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from genevolve.experience_store.bundle import SLOTS
from genevolve.experience_store.experience import Experience
from genevolve.experience_store.reports import StoreStats
from genevolve.experience_store.store import ExperienceStore
from genevolve.grammar.errors import GenevolveError
from genevolve.optimizer.report.changes import changes
from genevolve.optimizer.report.lines import Notes
from genevolve.optimizer.report.page import facts, figure, safe, share
from genevolve.optimizer.report.run_folder import RunFolder
from genevolve.optimizer.report.steps import outcomes

FOLDER = "experiences"
MOST = 60
"""Experiences that the page shows: those that were found most often, then those with the largest gaps."""
_MOST_BARS = 14


class Memory(NamedTuple):
    """The live experiences of a store and its figures; `stats` is None when there is none that can be read."""

    experiences: Sequence[Experience]
    stats: StoreStats | None


def open_memory(folder: Path, notes: Notes) -> Memory:
    """Read the store of a run. One that another process is writing is fine."""
    if not (folder / FOLDER).is_dir():
        return Memory((), None)
    try:
        with ExperienceStore.open(folder / FOLDER, embedder=None, read_only=True) as store:
            return Memory(tuple(store.list(limit=None)), store.stats())
    except GenevolveError as error:
        notes.add(FOLDER, f"the store cannot be read: {error}")
        return Memory((), None)


def learnt(run: RunFolder, memory: Memory) -> str:
    """The section of experiences."""
    hits = Counter(g.experience for g in run.groups if g.guided and g.experience)
    cards = _cards(run, memory)
    if not memory.experiences:
        return cards + '<p class="dim">The store holds no experience.</p>'
    ranked = sorted(memory.experiences, key=lambda e: (-hits[e.id], -e.gap, e.id))[:MOST]
    order = "found most often first" if hits else "largest gap first"
    told = f"{len(ranked)} of {len(memory.experiences)} experiences, {order}."
    return f'{cards}<p class="dim">{told}</p>{"".join(_experience(e, hits) for e in ranked)}'


def _cards(run: RunFolder, memory: Memory) -> str:
    groups = outcomes(run.groups)
    cards = []
    if groups:
        most = sum(n for _, n in groups)
        cards.append(_bars("What became of the groups", groups[:_MOST_BARS], most))
    if memory.stats is not None and memory.experiences:
        slots = Counter(s for e in memory.experiences for s in e.bundle.slots)
        named = [(f"{s} {SLOTS[s].replace('_', ' ')}", slots[s]) for s in SLOTS if slots[s]]
        cards.append(_bars("Slots in which best and worst differ", named, len(memory.experiences)))
    found = [g.similarity for g in run.groups if g.guided and g.similarity is not None]
    guided = sum(g.guided for g in run.groups)
    pairs: list[tuple[str, object]] = []
    if run.groups:
        share = f"{guided} of {len(run.groups)} requests ({guided / len(run.groups):.0%})"
        pairs.append(("teacher had an experience for", share))
    if found:
        pairs.append(("similarity of what was found", f"median {median(found):.3f}"))
    if memory.stats is not None:
        pairs += _figures(memory.stats)
    if pairs:
        cards.append(f'<div class="card"><h3>Memory</h3>{facts(pairs)}</div>')
    return f'<div class="groups">{"".join(cards)}</div>'


def _figures(stats: StoreStats) -> list[tuple[str, object]]:
    capacity = "" if stats.capacity is None else f" of {stats.capacity}"
    pairs: list[tuple[str, object]] = [("experiences kept", f"{stats.live}{capacity}")]
    if stats.gaps is not None:
        low, middle, high = stats.gaps
        pairs.append(("gap", f"{low:.2f} to {high:.2f}, median {middle:.2f}"))
    pairs.append(("embedder", stats.embedder))
    counters = ", ".join(f"{k} {v}" for k, v in sorted(stats.counters.items()) if v)
    return [*pairs, ("since the beginning", counters)]


def _bars(title: str, counts: Sequence[tuple[str, int]], whole: int) -> str:
    """Counts as shares of a whole, each with its number."""
    bars = "".join(share(name, n, whole, f"{n:,}") for name, n in counts)
    return f'<div class="card"><h3>{safe(title)}</h3>{bars}</div>'


def _experience(experience: Experience, hits: Mapping[str, int]) -> str:
    bundle = experience.bundle
    count = hits.get(experience.id, 0)
    labels = [
        *bundle.slots,
        experience.category,
        *experience.skills,
        f"step {experience.step}",
        experience.policy,
    ]
    labels.append(f"found {count} times" if count else "")
    chips = "".join(f"<span>{safe(x, 120)}</span>" for x in labels if x)
    fields = []
    for name, bullets in bundle.guidance:
        lines = "".join(
            f'<li class="std">{safe(b)}</li>' if b.standard else f"<li>{safe(b)}</li>" for b in bullets
        )
        if lines:
            fields.append(f'<p class="dim small">{name.replace("_", " ")}</p><ul class="advice">{lines}</ul>')
    difference = changes(experience.worst.text, experience.best.text)
    totals = f"best {figure(experience.best.reward.total)}, worst {figure(experience.worst.reward.total)}"
    told = facts([("learnt from", experience.request), ("rewards", totals), ("id", experience.id[:12])])
    return (
        f'<details class="fold experience"><summary>{safe(bundle.retrieval_key.trigger, 300)}'
        f'<span class="pick">gap {experience.gap:.2f}</span><div class="dim small">'
        f'{safe(experience.request, 200)}</div><div class="chips">{chips}</div></summary>'
        f'<div class="inside">{"".join(fields)}{told}<details class="fold"><summary>What the best did otherwise'
        f'</summary><div class="inside">{difference.html}</div></details></div></details>'
    )
