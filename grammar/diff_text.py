"""A structural diff for people.

    search strategy
      ~ image_search query: Eiffel Tower at [-golden hour-] {+dusk+}
    reference selection
      ~ reference tower, image: towers[0] → towers[1]

`+` added, `-` removed, `~` changed, `>` moved, `=` renamed. Words taken out stand in `[-…-]`, words put in in
`{+…+}`.
"""

from __future__ import annotations

from collections.abc import Mapping

from genevolve.grammar.changes import Change, Kind, ProgramDiff, Slot
from genevolve.grammar.clauses import Edit
from genevolve.grammar.display import harmless

SIGNS: Mapping[Kind, str] = {
    Kind.ADDED: "+",
    Kind.REMOVED: "-",
    Kind.CHANGED: "~",
    Kind.MOVED: ">",
    Kind.RENAMED: "=",
}
_COLORS = {Kind.ADDED: "32", Kind.REMOVED: "31", Kind.CHANGED: "33", Kind.MOVED: "36", Kind.RENAMED: "36"}
_KEPT_WORDS = 6


def to_text(diff: ProgramDiff, *, color: bool = False) -> str:
    """The diff as text, grouped by slot, ending with a line break."""
    if diff.empty:
        return "no differences\n"
    lines: list[str] = []
    for slot in Slot:
        changes = diff.of(slot)
        if changes:
            lines.append(_paint("1", slot.value.replace("_", " "), color))
            lines += [f"  {_paint(_COLORS[c.kind], SIGNS[c.kind], color)} {_line(c, color)}" for c in changes]
    return "\n".join(lines) + "\n"


def _paint(style: str, text: str, color: bool) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if color and text else text


def _line(change: Change, color: bool) -> str:
    head = harmless(head_of(change))
    before, after = harmless(change.before or ""), harmless(change.after or "")
    match change.kind:
        case Kind.ADDED | Kind.REMOVED if change.what == "skill":
            return head
        case Kind.ADDED:
            return f"{head}: {_paint('32', after, color)}" if after else head
        case Kind.REMOVED:
            return f"{head}: {_paint('31', before, color)}" if before else head
        case Kind.MOVED:
            whose = f" “{harmless(change.edits[0].text)}”" if change.edits else ""
            return f"{head}{whose}: from place {before} to {after}"
        case Kind.RENAMED:
            return f"{head}: {before} is now called {after}"
        case Kind.CHANGED if change.edits:
            return f"{head}: {''.join(_edit(e, i, len(change.edits), color) for i, e in enumerate(change.edits))}"
        case Kind.CHANGED:
            return f"{head}: {_paint('31', before, color)} → {_paint('32', after, color)}"


def head_of(change: Change) -> str:
    """What the line is about, such as `image_search query` or `reference tower, image`."""
    named: str
    match change.what:
        case "call" | "clause" | "request" | "hole":
            named = change.what
        case "query" | "argument":
            named = f"{change.subject} {change.part}"
        case "image" | "purpose":
            named = f"reference {change.subject}, {change.what}"
        case _:
            named = f"{change.what} {change.subject}".rstrip()
    if change.kind is Kind.MOVED and change.what in ("clause", "call"):
        return f"{named} “{change.subject}”"
    return "name" if change.kind is Kind.RENAMED and change.what == "call" else named


def _edit(edit: Edit, index: int, count: int, color: bool) -> str:
    text = harmless(edit.text)
    gap = " " if text.startswith(" ") else ""
    text = text.strip()
    if edit.action == "keep":
        return gap + shortened(text, first=index == 0, last=index == count - 1)
    marked = (
        _paint("31", f"[-{text}-]", color)
        if edit.action == "remove"
        else _paint("32", f"{{+{text}+}}", color)
    )
    return (gap or (" " if index else "")) + marked


def shortened(text: str, *, first: bool, last: bool) -> str:
    """What both sides share, with its far end left out when it is long."""
    words = text.split(" ")
    if first and len(words) > _KEPT_WORDS:
        return "… " + " ".join(words[-_KEPT_WORDS:])
    if last and len(words) > _KEPT_WORDS:
        return " ".join(words[:_KEPT_WORDS]) + " …"
    if len(words) > 2 * _KEPT_WORDS:
        return " ".join([*words[:_KEPT_WORDS], "…", *words[-_KEPT_WORDS:]])
    return text
