"""Experiences as text for a terminal of any width. Everything in an experience is a stranger's until it is drawn here.

Every function returns lines without escape sequences other than those of colours that it was asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from genevolve.experience_store.bundle import FIELD_SLOTS, SLOTS
from genevolve.experience_store.experience import Experience, ProgramRecord, RewardParts
from genevolve.grammar.changes import ProgramDiff
from genevolve.grammar.display import cells, harmless, width

SHORT = 12
"""Characters of an id that are shown; any beginning that fits one experience is understood."""
NARROWEST = 40
_BREAKABLE = 6


def fit(text: str, columns: int) -> str:
    """A text on one line in at most so many columns; an ellipsis stands for what was cut off."""
    shown = cells(harmless(text))
    if width(shown) <= columns:
        return "".join(c.shown for c in shown)
    kept, used = [], 1
    for cell in shown:
        if used + cell.columns > columns:
            break
        kept.append(cell.shown)
        used += cell.columns
    return "".join(kept).rstrip() + "…"


def pad(text: str, columns: int) -> str:
    """The same, filled with spaces to exactly so many columns."""
    shown = fit(text, columns)
    return shown + " " * (columns - width(cells(shown)))


def wrap(text: str, columns: int, *, first: str = "", rest: str | None = None) -> list[str]:
    """A text in lines of at most so many columns, broken between words where that is possible.

    Args:
        text: The text; its line breaks count as spaces.
        columns: At most so many, prefixes included.
        first: What the first line begins with.
        rest: What the others begin with; by default as many spaces.
    """
    following = " " * width(cells(first)) if rest is None else rest
    room = max(_BREAKABLE, columns - width(cells(first)))
    lines, line, used = [], "", 0
    for word in harmless(text).split():
        for piece in _pieces(word, room):
            size = width(cells(piece))
            if line and used + 1 + size > room:
                lines.append(line)
                line, used = "", 0
            line = f"{line} {piece}" if line else piece
            used += size + (1 if used else 0)
    lines.append(line)
    return [f"{first if i == 0 else following}{line}".rstrip() for i, line in enumerate(lines)]


def _pieces(word: str, room: int) -> Iterator[str]:
    """A word in pieces that fit a line."""
    piece, used = "", 0
    for cell in cells(word):
        if used + cell.columns > room and piece:
            yield piece
            piece, used = "", 0
        piece += cell.shown
        used += cell.columns
    yield piece


def table(experiences: Sequence[Experience], columns: int, scores: Sequence[float] = ()) -> list[str]:
    """One line an experience under a heading. `scores` adds the similarity to a request."""
    scored = bool(scores)
    room = max(NARROWEST, columns)
    widths = [SHORT, *([5] if scored else []), 5, 16 if room >= 100 else 10, 14 if room >= 100 else 0]
    rest = room - sum(w + 2 for w in widths if w)
    heads = ["id", *(["near"] if scored else []), "gap", "made", "category"]
    lines = [_columns([*zip(heads, widths, strict=True), ("request", rest)])]
    for index, e in enumerate(experiences):
        near = [f"{scores[index]:.3f}"] if scored else []
        made = moment(e.created) if room >= 100 else moment(e.created)[:10]
        parts = [e.id[:SHORT], *near, f"{e.gap:.3f}", made, e.category or "-"]
        lines.append(_columns([*zip(parts, widths, strict=True), (e.request, rest)]))
    return lines


def _columns(parts: Sequence[tuple[str, int]]) -> str:
    return "  ".join(pad(text, size) for text, size in parts if size).rstrip()


def moment(created: float) -> str:
    """A time, UTC, to the minute."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.gmtime(created))
    except (OverflowError, ValueError, OSError):  # a year that no calendar has
        return f"{created:g}"


def describe(experience: Experience, columns: int, *, color: bool = False) -> list[str]:
    """All of an experience: where it comes from, its advice, how the two programs differ, their pictures."""
    return [
        *facts(experience, columns),
        "",
        *advice(experience, columns, color=color),
        "",
        _bold("what the best program does that the worst did not", color),
        *difference(experience, columns, color=color),
    ]


def facts(experience: Experience, columns: int) -> list[str]:
    """Where an experience comes from and what it is worth."""
    e = experience
    pairs = [
        ("id", e.id),
        ("request", e.request),
        ("gap", f"{e.gap:.4f}"),
        *(_record("best", e.best)),
        *(_record("worst", e.worst)),
        ("category", e.category),
        ("skills", ", ".join(e.skills)),
        ("slots", ", ".join(f"{s} {SLOTS[s].replace('_', ' ')}" for s in e.bundle.slots)),
        ("made", f"{moment(e.created)} UTC, step {e.step}"),
        ("judge", e.judge),
        ("policy", e.policy),
        ("embedder", e.embedder),
        *(("fact", fact) for fact in e.facts),
    ]
    lines: list[str] = []
    for name, value in pairs:
        if value:
            lines += wrap(value, columns, first=f"{name:<14}")
    return lines


def _record(which: str, record: ProgramRecord) -> Iterator[tuple[str, str]]:
    yield f"{which} reward", _reward(record.reward)
    yield f"{which} program", record.digest[:SHORT]
    yield f"{which} picture", record.picture or "none"
    if record.observations:
        yield f"{which} saw", record.observations[:SHORT]
    if record.protocol_error:
        yield f"{which} broke", record.protocol_error


def _reward(reward: RewardParts) -> str:
    names = ("image", "text", "faithfulness", "visual_correctness", "text_accuracy", "aesthetics")
    parts = [f"{n.replace('_', ' ')} {v:.3f}" for n in names if (v := getattr(reward, n)) is not None]
    if reward.text_accuracy_na:
        parts.append("no text was asked for")
    return f"{reward.total:.4f}" + (f" ({', '.join(parts)}; {reward.scoring})" if parts else "")


def advice(experience: Experience, columns: int, *, color: bool = False) -> list[str]:
    """The bundle: its key, and the bullets under the fields of the guidance."""
    key = experience.bundle.retrieval_key
    lines = [*wrap(key.trigger, columns, first="when          ")]
    lines += wrap(key.source_prompt_summary, columns, first="learned from  ")
    for name, bullets in experience.bundle.guidance:
        if not bullets:
            continue
        title = f"{name.replace('_', ' ')} ({FIELD_SLOTS[name]})"
        lines += ["", _bold(title, color)]
        for bullet in bullets:
            lines += wrap(str(bullet), columns, first="  - ")
    return lines


def difference(experience: Experience, columns: int, *, color: bool = False) -> list[str]:
    """How the best program differs from the worst, wrapped; colour keeps lines whole."""
    found = program_diff(experience)
    if found is None:
        return ["  one of the programs cannot be read"]
    lines = found.to_text(color=color).rstrip("\n").split("\n")
    if color:
        return lines
    wrapped: list[str] = []
    for line in lines:
        indent = len(line) - len(line.lstrip(" "))
        wrapped += wrap(line, columns, first=" " * indent, rest=" " * (indent + (2 if indent else 0)))
    return wrapped


def program_diff(experience: Experience) -> ProgramDiff | None:
    """From the worst program to the best; None when one of them does not parse."""
    from genevolve.grammar.diff import diff
    from genevolve.grammar.parser import parse
    from genevolve.grammar.span import Source

    trees = []
    for record, name in ((experience.worst, "worst.gprog"), (experience.best, "best.gprog")):
        parsed = parse(Source(record.text, name))
        if parsed.diagnostics:
            return None
        trees.append(parsed.tree)
    return diff(trees[0], trees[1])


def programs(experience: Experience, *, color: bool = False) -> list[str]:
    """Both programs as they were written, with what could drive the terminal drawn as pictures."""
    lines: list[str] = []
    for which, record in (("best", experience.best), ("worst", experience.worst)):
        lines += [_bold(f"{which} program", color)]
        lines += ["".join(c.shown for c in cells(line)) for line in record.text.rstrip("\n").split("\n")]
        lines += [""]
    return lines[:-1]


def _bold(text: str, color: bool) -> str:
    return f"\x1b[1m{text}\x1b[0m" if color else text
