"""Step by step: the best and the worst picture of a request side by side, and what their programs did differently.

A long run has more steps and pictures than a page can hold. Steps are then taken at equal distances, the first and the
last always among them; of a step the requests with the largest gaps are shown. Pictures share a budget of bytes, which
the last and the first step get before the others. Whatever is left out is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.interpreter.regular import open_regular
from genevolve.optimizer.evaluation.thumbnails import Thumbnails
from genevolve.optimizer.report.changes import changes
from genevolve.optimizer.report.lines import mapping, number, read_line_at, text
from genevolve.optimizer.report.page import block, figure, safe
from genevolve.optimizer.report.run_folder import GROUPS, GroupLine, RunFolder

MOST_STEPS = 40
MOST_GROUPS = 6
"""Requests of a step that are shown."""
BUDGET = 14 * 1024 * 1024
"""Bytes of all pictures of the page, as base64."""
_SIDE = 256
_MOST_PILLS = 32
_LONGEST_WHY = 500
_PARTS = ("image", "faithfulness", "visual_correctness", "text_accuracy", "aesthetics", "text")
_PART_NAMES = {"image": "picture", "text": "program"}


@dataclass
class Pictures:
    """Small pictures of the run, and how many of those that were asked for could not be shown."""

    thumbnails: Thumbnails
    asked: int = 0
    missing: int = 0

    def of(self, folder: Path, name: str) -> str:
        """A data URI; empty without a picture."""
        if not name:
            return ""
        self.asked += 1
        found = self.thumbnails.of(folder, name)
        self.missing += not found
        return found


def steps(run: RunFolder) -> str:
    """The section of all steps that are shown."""
    by_step: dict[int, list[GroupLine]] = {}
    for group in run.groups:
        by_step.setdefault(group.step, []).append(group)
    if not by_step:
        return '<p class="dim">No request has been attempted yet.</p>'
    numbers = evenly(sorted(by_step), MOST_STEPS)
    pictures = Pictures(Thumbnails(1, BUDGET, side=_SIDE))
    made: dict[int, str] = {}
    try:
        with open_regular(run.folder / GROUPS) as file:
            # The ends of a run tell most: they get their pictures while there is room.
            for step in dict.fromkeys((numbers[-1], numbers[0], *reversed(numbers))):
                made[step] = _step(run, file, by_step[step], pictures, is_open=step == numbers[-1])
    except (AuthorError, StorageError, OSError) as error:
        run.notes.add(GROUPS, f"could not be read again: {error}")
    cut = _cut_told(len(by_step), len(numbers), max(map(len, by_step.values())), pictures)
    return cut + "".join(made[step] for step in numbers if step in made)


def evenly(numbers: Sequence[int], most: int) -> list[int]:
    """At most so many of some numbers, at equal distances, the first and the last among them."""
    if len(numbers) <= most:
        return list(numbers)
    last = len(numbers) - 1
    return [numbers[i] for i in sorted({round(k * last / (most - 1)) for k in range(most)})]


def _cut_told(steps: int, shown: int, largest: int, pictures: Pictures) -> str:
    told = [f"All {steps} steps." if shown == steps else f"{shown} of {steps} steps, at equal distances."]
    if largest > MOST_GROUPS:
        told.append(f"Of each step the {MOST_GROUPS} requests with the largest gaps.")
    if pictures.missing:
        told.append(
            f"{pictures.missing} of {pictures.asked} pictures are not here: they are missing or no pictures, or this "
            f"page has its {BUDGET // 2**20} MB of pictures already."
        )
    return f'<p class="dim">{safe(" ".join(told))}</p>'


def _step(
    run: RunFolder, file: BinaryIO, groups: Sequence[GroupLine], pictures: Pictures, *, is_open: bool
) -> str:
    rewards = [r for g in groups for r in g.rewards if r is not None]
    mean = sum(rewards) / len(rewards) if rewards else None
    taught = sum(g.learned in ("added", "merged") for g in groups)
    guided = sum(g.guided for g in groups)
    plural = "s" if len(groups) != 1 else ""
    told = f"{len(groups)} request{plural}, {taught} taught something, {guided} guided"
    shown = sorted(groups, key=lambda g: (-g.gap, g.id))[:MOST_GROUPS]
    body = "".join(_group(run, file, group, pictures) for group in shown)
    return (
        f'<details class="fold step"{" open" if is_open else ""}><summary><b>Step {groups[0].step}</b> '
        f'<span class="dim">{told}</span><span class="pick">R {figure(mean)}</span></summary>'
        f'<div class="inside">{body}</div></details>'
    )


def _group(run: RunFolder, file: BinaryIO, group: GroupLine, pictures: Pictures) -> str:
    data = read_line_at(file, group.offset)
    best, worst = mapping(data.get("best")), mapping(data.get("worst"))
    request = text(mapping(data.get("request")).get("prompt"))
    labels = [group.id, group.category, group.track, f"gap {group.gap:.2f}"]
    labels.append(f"learned: {group.learned}" if group.learned else "")
    if group.guided:
        near = "" if group.similarity is None else f", similarity {group.similarity:.2f}"
        labels.append(f"guided{near}")
    labels.append("degenerate" if group.degenerate else "")
    chips = "".join(f"<span>{safe(label, 120)}</span>" for label in labels if label)
    sides = _side("best", best, run.folder, pictures) + _side("worst", worst, run.folder, pictures)
    programs = [text(side.get("program")) for side in (best, worst)]
    return (
        f'<div class="group"><div class="ask">{safe(request)}</div><div class="chips">{chips}</div>'
        f'{_siblings(group)}<div class="pair">{sides}</div>{_difference(*programs)}</div>'
    )


def _siblings(group: GroupLine) -> str:
    """The rewards of all siblings, the best first."""
    known = sorted((r for r in group.rewards if r is not None), reverse=True)
    without = len(group.rewards) - len(known)
    ends = {0: "top", len(known) - 1: "low"} if len(known) > 1 else {}
    pills = [f'<li class="{ends.get(i, "")}">{r:.2f}</li>' for i, r in enumerate(known)]
    if len(pills) > _MOST_PILLS:
        pills[_MOST_PILLS - 1 : -1] = [f"<li>{len(pills) - _MOST_PILLS} more</li>"]
    if without:
        pills.append(f"<li>{without} unscored</li>")
    return f'<ul class="chips" aria-label="rewards of the siblings">{"".join(pills)}</ul>'


def _side(name: str, side: Mapping[str, object], folder: Path, pictures: Pictures) -> str:
    if not side:
        return f'<div class="side"><h4>{name}</h4><span class="none">none</span></div>'
    reward = mapping(side.get("reward"))
    uri = pictures.of(folder, text(side.get("picture")))
    image = (
        f'<img alt="the {name} picture" loading="lazy" src="{uri}">'
        if uri
        else '<span class="none">no picture</span>'
    )
    parts = "".join(
        f"<dt>{_PART_NAMES.get(k, k.replace('_', ' '))}</dt><dd>{figure(v, places=2)}</dd>"
        for k in _PARTS
        if (v := number(reward.get(k))) is not None
    )
    total = figure(number(reward.get("total")), places=2)
    look = f'<div class="look"><figure>{image}</figure><dl>{parts}</dl></div>'
    why = text(side.get("why"))
    said = f'<p class="dim small wrap">{safe(why, _LONGEST_WHY)}</p>' if why else ""
    return f'<div class="side"><h4>{name} <b>{total}</b></h4>{look}{said}</div>'


def _difference(best: str, worst: str) -> str:
    """What the best program did that the worst did not, and both programs."""
    if not best and not worst:
        return ""
    found = changes(worst, best)
    heading = f"What the best did otherwise ({found.total})" if found.total else "The programs"
    programs = "".join(
        f'<div><p class="dim small">{name}</p>{block(program) if program else "none"}</div>'
        for name, program in (("best", best), ("worst", worst))
    )
    return (
        f'<details class="fold"><summary>{heading}</summary><div class="inside">{found.html}'
        f'<div class="two">{programs}</div></div></details>'
    )


def outcomes(groups: Sequence[GroupLine]) -> list[tuple[str, int]]:
    """What became of the groups as lessons, the most frequent first."""
    counts = Counter(g.learned or "not told" for g in groups)
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
