"""How two programs differ, as HTML: the structural diff of the language, grouped by slot."""

from __future__ import annotations

from typing import NamedTuple

from genevolve.grammar.changes import Change, Kind, Slot
from genevolve.grammar.clauses import Edit
from genevolve.grammar.diff import diff
from genevolve.grammar.diff_text import SIGNS, head_of, shortened
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.grammar.tree import Tree
from genevolve.optimizer.report.page import safe

_LONGEST = 16_000
"""Characters of a program that is compared; policies write a tenth of that."""
_MOST = 60
_PIECE = 600


class Changes(NamedTuple):
    """HTML of a diff, and how many changes there are."""

    html: str
    total: int


def changes(before: str, after: str) -> Changes:
    """What leads from one program's text to another's; a sentence where they cannot be compared."""
    trees = [_tree(before), _tree(after)]
    if trees[0] is None or trees[1] is None:
        return Changes(
            '<p class="dim small">The programs cannot be compared: one is missing or broken.</p>', 0
        )
    found = diff(trees[0], trees[1])
    if found.empty:
        return Changes('<p class="dim small">The two programs say the same.</p>', 0)
    parts, left = [], _MOST
    for slot in Slot:
        told = found.of(slot)[:left]
        left -= len(told)
        if told:
            lines = "".join(f"<li><code>{SIGNS[c.kind]}</code>{_line(c)}</li>" for c in told)
            parts.append(f"<h4>{slot.value.replace('_', ' ')}</h4><ul>{lines}</ul>")
    more = len(found.changes) - (_MOST - left)
    if more > 0:
        parts.append(f'<p class="dim small">and {more} more</p>')
    return Changes(f'<div class="changes">{"".join(parts)}</div>', len(found.changes))


def _tree(text: str) -> Tree | None:
    if not text.strip() or len(text) > _LONGEST:
        return None
    parsed = parse(Source(text, "<report>"))
    return None if any(d.severity.name == "ERROR" for d in parsed.diagnostics) else parsed.tree


def _line(change: Change) -> str:
    head = safe(head_of(change), _PIECE)
    before, after = (safe(side or "", _PIECE) for side in (change.before, change.after))
    match change.kind:
        case Kind.ADDED:
            return f"{head}: <ins>{after}</ins>" if after and change.what != "skill" else f"<ins>{head}</ins>"
        case Kind.REMOVED:
            return (
                f"{head}: <del>{before}</del>" if before and change.what != "skill" else f"<del>{head}</del>"
            )
        case Kind.MOVED:
            whose = f" “{safe(change.edits[0].text, _PIECE)}”" if change.edits else ""
            return f"{head}{whose}: from place {before} to {after}"
        case Kind.RENAMED:
            return f"{head}: {before} is now called {after}"
        case Kind.CHANGED if change.edits:
            count = len(change.edits)
            return f"{head}: {''.join(_edit(e, i, count) for i, e in enumerate(change.edits))}"
        case Kind.CHANGED:
            return f"{head}: <del>{before}</del> → <ins>{after}</ins>"


def _edit(edit: Edit, index: int, count: int) -> str:
    text = edit.text.strip()
    space = " " if edit.text[:1].isspace() else ""
    if edit.action == "keep":
        return space + safe(shortened(text, first=index == 0, last=index == count - 1), _PIECE)
    tag = "del" if edit.action == "remove" else "ins"
    return f"{space or (' ' if index else '')}<{tag}>{safe(text, _PIECE)}</{tag}>"
