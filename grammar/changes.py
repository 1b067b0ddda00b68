"""What a structural diff consists of: changes, each with a kind, a slot and what it speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Literal, TypeAlias, get_args

from genevolve.grammar.clauses import Edit
from genevolve.grammar.span import Span

SCHEMA = "genevolve.diff/1"


class Kind(Enum):
    """How two programs differ at one place."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"
    RENAMED = "renamed"

    @property
    def opposite(self) -> Kind:
        """The kind of the same change seen from the other program."""
        return {Kind.ADDED: Kind.REMOVED, Kind.REMOVED: Kind.ADDED}.get(self, self)


class Slot(Enum):
    """The part of the work that a change belongs to: the five slots of an experience (METHOD §3)."""

    SEARCH = "search_strategy"
    KNOWLEDGE = "knowledge_activation"
    REFERENCES = "reference_selection"
    PROMPT = "prompt_construction"
    FAILURES = "failure_avoidance"


What: TypeAlias = Literal[
    "program", "parameter", "request", "call", "query", "argument", "value", "skill", "reference", "image",
    "purpose", "clause", "avoid", "constraint", "setting", "hole"
]  # fmt: skip
"""What a change speaks of. `query` is a text argument of a call, `argument` any other; `image` and `purpose` are
the parts of a `reference`; `value` is a `let` that calls nothing."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    `subjects` say whose, on either side: a tool, name, setting or predicate. `before` and `after` are the two
    sides as text (a name for `renamed`, a 1-based place for `moved`), None on the side that lacks it. `edits`
    tell word by word how a text changed. `part` names the argument of a call. `places` are positions among
    things of its sort, `spans` places in the two sources.
    """

    kind: Kind
    slot: Slot
    what: What
    subjects: tuple[str, str]
    before: str | None = None
    after: str | None = None
    part: str = ""
    edits: tuple[Edit, ...] = ()
    places: tuple[int | None, int | None] = (None, None)
    spans: tuple[Span | None, Span | None] = (None, None)

    @property
    def subject(self) -> str:
        """Whose change it is, by the name that the second program has for it."""
        return self.subjects[1]

    @property
    def removed_words(self) -> tuple[str, ...]:
        """The words that only the first program has, in order."""
        return tuple(word for e in self.edits if e.action == "remove" for word in e.text.split())

    @property
    def added_words(self) -> tuple[str, ...]:
        """The words that only the second program has, in order."""
        return tuple(word for e in self.edits if e.action == "add" for word in e.text.split())

    def reversed(self) -> Change:
        """The same change, seen from the other program."""
        return replace(
            self,
            kind=self.kind.opposite,
            subjects=(self.subjects[1], self.subjects[0]),
            before=self.after,
            after=self.before,
            edits=_reversed(self.edits),
            places=(self.places[1], self.places[0]),
            spans=(self.spans[1], self.spans[0]),
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {
            "kind": self.kind.value,
            "slot": self.slot.value,
            "what": self.what,
            "subject": self.subject,
            "part": self.part or None,
            "before": self.before,
            "after": self.after,
            "words": {
                "removed": list(self.removed_words),
                "added": list(self.added_words),
                "edits": [[e.action, e.text] for e in self.edits],
            }
            if self.edits
            else None,
            "spans": {
                side: list(span) if span is not None else None
                for side, span in zip(("before", "after"), self.spans, strict=True)
            },
        }


def _reversed(edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
    """Removals and additions swapped; within one replacement the removal comes first again."""
    turned: list[Edit] = []
    for edit in edits:
        if edit.action == "keep":
            turned.append(edit if edit.before is None else Edit("keep", edit.before, edit.text))
        elif edit.action == "remove":
            turned.append(Edit("add", edit.text))
        elif turned and turned[-1].action == "add":
            turned.insert(-1, Edit("remove", edit.text))
        else:
            turned.append(Edit("remove", edit.text))
    return tuple(turned)


_SLOTS = {slot: i for i, slot in enumerate(Slot)}
_WHATS: Mapping[str, int] = {what: i for i, what in enumerate(get_args(What))}


def order(change: Change) -> tuple[object, ...]:
    """Sorts changes by slot, sort of thing, place, kind: the same for the same two programs, always."""
    before, after = change.places
    place = after if after is not None else before
    return (
        _SLOTS[change.slot],
        _WHATS[change.what],
        place if place is not None else 0,
        after is None,
        change.kind.value,
        change.subject,
        change.part,
        change.before or "",
        change.after or "",
    )


@dataclass(frozen=True, slots=True)
class ProgramDiff:
    """How two programs differ, in a stable order."""

    changes: tuple[Change, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether the programs say the same under the same names."""
        return not self.changes

    @property
    def equivalent(self) -> bool:
        """Whether the programs say the same, if perhaps under other names."""
        return all(change.kind is Kind.RENAMED for change in self.changes)

    def of(self, slot: Slot) -> tuple[Change, ...]:
        """The changes of one slot."""
        return tuple(change for change in self.changes if change.slot is slot)

    def reversed(self) -> ProgramDiff:
        """The diff in the other direction."""
        return ProgramDiff(tuple(sorted((c.reversed() for c in self.changes), key=order)))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data, with the schema's name and counts of each kind."""
        kinds = [change.kind for change in self.changes]
        return {
            "schema": SCHEMA,
            "empty": self.empty,
            "equivalent": self.equivalent,
            "counts": {kind.value: kinds.count(kind) for kind in Kind},
            "changes": [change.to_dict() for change in self.changes],
        }

    def to_text(self, color: bool = False) -> str:
        """For a terminal, grouped by slot, ending with a line break."""
        from genevolve.grammar.diff_text import to_text

        return to_text(self, color=color)
