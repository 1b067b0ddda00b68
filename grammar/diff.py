"""Structural diff of two programs: what they do differently, not how they are written.

    >>> from genevolve.grammar.parser import parse
    >>> from genevolve.grammar.span import Source
    >>> a = parse(Source('request "a cat" prompt "a black cat. Rain falls."')).tree
    >>> b = parse(Source('request "a cat" prompt "a white cat. Rain falls."')).tree
    >>> print(diff(a, b).to_text(), end="")
    prompt construction
      ~ clause: a [-black-] {+white+} cat

Calls are paired by tool and likeness of their arguments, references by image, purpose and name, clauses by
their words; a name counts only for what it is bound to. A change is told once: what depends on a changed call
is not reported for it. Layout, comments and arguments that say what is the default anyway make no difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from genevolve.grammar.changes import SCHEMA, Change, Kind, ProgramDiff, Slot, What, order
from genevolve.grammar.clauses import Edit, Token, clauses, items, likeness, shown, word_edits, words
from genevolve.grammar.diff_sides import Side, Site, Thing, has_hole, show
from genevolve.grammar.matching import Item, Pairs, moved, pair
from genevolve.grammar.meaning import Meanings, arguments, default
from genevolve.grammar.span import NOWHERE, Span
from genevolve.grammar.tree import (
    Avoid,
    Call,
    Comparison,
    Expression,
    Index,
    Let,
    ProgramParameter,
    Prompt,
    Ref,
    Render,
    Request,
    Require,
    StatementHole,
    String,
    Tree,
    Use,
)
from genevolve.grammar.z import Settings

__all__ = ["SCHEMA", "Change", "Kind", "ProgramDiff", "Slot", "diff"]


def diff(a: Tree, b: Tree) -> ProgramDiff:
    """The changes that lead from program `a` to program `b`, in a stable order.

    `diff(a, a)` is empty and `diff(b, a)` is `diff(a, b).reversed()`. Any trees are taken, with holes or errors.
    Cost is at most quadratic in small groups of like things and close to linear in large programs.
    """
    # Ties between equally good pairings fall the same way in both directions: only one is ever computed.
    if repr(a) <= repr(b):
        return ProgramDiff(tuple(sorted(_Comparison(a, b).run(), key=order)))
    return ProgramDiff(tuple(sorted((c.reversed() for c in _Comparison(b, a).run()), key=order)))


_Splitter: TypeAlias = Callable[[String, Callable[[str], int]], list[list[Token]]]


class _Phrase(NamedTuple):
    """A piece of text and the statement that it stands in."""

    tokens: list[Token]
    span: Span


_CALL_SLOTS = {"pick": Slot.REFERENCES, "image": Slot.REFERENCES}
# How alike two things must be to count as one that changed. Below, they are a removal and an addition.
_LIKE_CALLS, _LIKE_TEXTS, _LIKE_REFS, _LIKE_CONSTRAINTS = 0.3, 0.4, 0.3, 0.45
_FILLED = 0.5  # a call with a hole in it can be any call of its tool
_DEFAULTS = Settings()
_NOTHING = Thing("", "", NOWHERE, 0)


class _Comparison:
    """Pairs the parts of two programs, in an order such that what is named is paired before it is used."""

    def __init__(self, a: Tree, b: Tree) -> None:
        self.meanings = Meanings()
        self.a, self.b = Side(a, self.meanings), Side(b, self.meanings)
        self.changes: list[Change] = []
        self.corresponding = 0

    def run(self) -> list[Change]:
        self._header()
        self._parameters()
        calls = self._pair_calls()
        self._resolve_calls(calls)
        values = self._pair_values()
        self._compare_calls(calls)
        self._compare_values(values)
        self._references()
        self._request()
        self._skills()
        self._phrases(Prompt, clauses, Slot.PROMPT, "clause")
        self._phrases(Avoid, items, Slot.FAILURES, "avoid")
        self._constraints()
        self._settings()
        self._holes()
        return self.changes

    # ---- telling ----

    def _tell(
        self,
        kind: Kind,
        slot: Slot,
        what: What,
        a: Thing | None,
        b: Thing | None,
        *,
        part: str = "",
        edits: tuple[Edit, ...] = (),
    ) -> None:
        self.changes.append(
            Change(
                kind,
                slot,
                what,
                ((a or b or _NOTHING).subject, (b or a or _NOTHING).subject),
                a.text if a else None,
                b.text if b else None,
                part,
                edits,
                (a.place if a else None, b.place if b else None),
                (a.span if a else None, b.span if b else None),
            )
        )

    def _tell_lonely(
        self, pairs: Pairs, slot: Slot, what: What, a: Sequence[Thing], b: Sequence[Thing]
    ) -> None:
        for i in pairs.left:
            self._tell(Kind.REMOVED, slot, what, a[i], None)
        for j in pairs.right:
            self._tell(Kind.ADDED, slot, what, None, b[j])

    def _tell_moved(
        self, pairs: Pairs, slot: Slot, what: What, a: Sequence[Thing], b: Sequence[Thing]
    ) -> None:
        """What left the order of the rest; its places are counted from 1."""
        for position in sorted(moved([j for _, j in pairs.pairs])):
            i, j = pairs.pairs[position]
            before, after = a[i]._replace(text=str(i + 1)), b[j]._replace(text=str(j + 1))
            self._tell(Kind.MOVED, slot, what, before, after)

    def _tell_renamed(self, slot: Slot, what: What, a: Thing, b: Thing) -> None:
        before, after = a._replace(text=a.subject, subject=""), b._replace(text=b.subject, subject="")
        self._tell(Kind.RENAMED, slot, what, before, after)

    def _new(self) -> int:
        """A number for a pair of things that correspond without meaning the same."""
        self.corresponding += 1
        return self.meanings.number(("pair", self.corresponding))

    # ---- header ----

    def _header(self) -> None:
        a, b = self.a.header, self.b.header
        if (a.name if a else None) == (b.name if b else None):
            return
        before = Thing("", a.name, a.name_span, 0) if a else None
        after = Thing("", b.name, b.name_span, 0) if b else None
        kind = Kind.REMOVED if after is None else Kind.ADDED if before is None else Kind.RENAMED
        self._tell(kind, Slot.PROMPT, "program", before, after)

    def _parameters(self) -> None:
        a, b = (
            [Thing(p.name, _parameter(p), p.span, i) for i, p in enumerate(side.parameters)]
            for side in (self.a, self.b)
        )
        kinds_a, kinds_b = self._kinds(self.a), self._kinds(self.b)
        pairs = _by_name(a, b)
        # Parameters of other names correspond when nothing else has their type and default.
        lonely = Counter(kinds_a[i] for i in pairs.left) | Counter(kinds_b[j] for j in pairs.right)
        waiting = {kinds_b[j]: j for j in pairs.right if lonely[kinds_b[j]] == 1}
        renamed = {i: waiting[kinds_a[i]] for i in pairs.left if kinds_a[i] in waiting}
        for i, j in (*pairs.pairs, *renamed.items()):
            self.a.names[a[i].subject] = self.b.names[b[j].subject] = self._new()
            if i in renamed:
                self._tell_renamed(Slot.PROMPT, "parameter", a[i], b[j])
            elif kinds_a[i] != kinds_b[j]:
                self._tell(Kind.CHANGED, Slot.PROMPT, "parameter", a[i], b[j])
        come = set(renamed.values())
        left = tuple(i for i in pairs.left if i not in renamed)
        right = tuple(j for j in pairs.right if j not in come)
        for side, things, lonely_ones in ((self.a, a, left), (self.b, b, right)):
            for i in lonely_ones:
                side.names[things[i].subject] = self._new()
        self._tell_lonely(Pairs((), left, right), Slot.PROMPT, "parameter", a, b)

    def _kinds(self, side: Side) -> list[tuple[str, int | None]]:
        return [
            (p.type, self.meanings.of(p.default, {}) if p.default is not None else None)
            for p in side.parameters
        ]

    # ---- calls and values ----

    def _pair_calls(self) -> Pairs:
        a, b = self.a.sites, self.b.sites
        left, right = (
            [
                Item((s.call.name, self.meanings.of(s.call, side.bound)), side.bag(s.call), s.name)
                for s in side.sites
            ]
            for side in (self.a, self.b)
        )

        def score(i: int, j: int) -> float:
            if a[i].call.name != b[j].call.name:
                return 0.0
            alike = likeness(left[i].bag, right[j].bag)
            if not alike and (has_hole(a[i].call) or has_hole(b[j].call)):
                alike = _FILLED
            same_name = a[i].name == b[j].name != ""
            return alike + (0.15 if same_name and alike else 0.0)

        return pair(left, right, score, _LIKE_CALLS)

    def _resolve_calls(self, pairs: Pairs) -> None:
        """Give each call, and the name that holds it, the number of what it corresponds to."""
        numbers: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for i, j in pairs.pairs:
            mine = self.meanings.of(self.a.sites[i].call, self.a.bound)
            same = mine == self.meanings.of(self.b.sites[j].call, self.b.bound)
            numbers[0][i] = numbers[1][j] = mine if same else self._new()
        for side, known in zip((self.a, self.b), numbers, strict=True):
            for position, site in enumerate(side.sites):
                number = known.get(position)
                if number is None:
                    number = self.meanings.of(site.call, side.bound)
                side.calls.setdefault(site.call, number)
                if site.name:
                    side.names.setdefault(site.name, number)

    def _pair_values(self) -> Pairs:
        """Pair the `let` statements that call nothing, and number their names."""
        a, b = self.a.values, self.b.values
        keys = [_value_keys(side) for side in (self.a, self.b)]
        left, right = (
            [
                Item(key, words(side.tokens(let.value)), let.name)
                for key, let in zip(keys[k], side.values, strict=True)
            ]
            for k, side in enumerate((self.a, self.b))
        )

        def score(i: int, j: int) -> float:
            if type(a[i].value) is not type(b[j].value):
                return 0.0
            same_name = 0.5 if a[i].name == b[j].name else 0.0
            texts = isinstance(a[i].value, String)
            return same_name + (likeness(left[i].bag, right[j].bag) if texts else 0.0)

        pairs = pair(left, right, score, 0.5)
        for i, j in pairs.pairs:
            if keys[0][i] != keys[1][j]:
                keys[0][i] = keys[1][j] = self._new()
        for side, numbers in zip((self.a, self.b), keys, strict=True):
            for let, number in zip(side.values, numbers, strict=True):
                side.names.setdefault(let.name, number)
        return pairs

    def _compare_calls(self, pairs: Pairs) -> None:
        a, b = ([_site(s, i) for i, s in enumerate(side.sites)] for side in (self.a, self.b))
        for i, j in pairs.pairs:
            left, right = self.a.sites[i], self.b.sites[j]
            slot = _slot_of_call(left.call)
            if left.name and right.name and left.name != right.name:
                named = a[i]._replace(subject=left.name), b[j]._replace(subject=right.name)
                self._tell_renamed(slot, "call", *named)
            self._compare_arguments(left.call, right.call, a[i], b[j])
        for i in pairs.left:
            self._tell(Kind.REMOVED, _slot_of_call(self.a.sites[i].call), "call", a[i], None)
        for j in pairs.right:
            self._tell(Kind.ADDED, _slot_of_call(self.b.sites[j].call), "call", None, b[j])
        self._tell_moved(pairs, Slot.SEARCH, "call", a, b)

    def _compare_arguments(self, left: Call, right: Call, a: Thing, b: Thing) -> None:
        mine, yours = arguments(left), arguments(right)
        for part in sorted(mine.keys() | yours.keys()):
            usual = default(left.name, part)
            self._compare_argument(part, mine.get(part, usual), yours.get(part, usual), left, a, b)

    def _compare_argument(
        self,
        part: str,
        mine: Sequence[Expression],
        yours: Sequence[Expression],
        call: Call,
        a: Thing,
        b: Thing,
    ) -> None:
        """The arguments of one parameter; a variadic one is paired by the likeness of its texts."""
        slot = _slot_of_call(call)
        what: What = "query" if any(isinstance(e, String) for e in (*mine, *yours)) else "argument"
        left = [self.a.tokens(e) for e in mine]
        right = [self.b.tokens(e) for e in yours]
        bags = [words(t) for t in left], [words(t) for t in right]
        keys_a, keys_b = [self.a.key(e) for e in mine], [self.b.key(e) for e in yours]
        single = len(mine) == len(yours) == 1

        def score(i: int, j: int) -> float:
            return 1.0 if single else likeness(bags[0][i], bags[1][j])

        pairs = pair(
            [Item(k, bag) for k, bag in zip(keys_a, bags[0], strict=True)],
            [Item(k, bag) for k, bag in zip(keys_b, bags[1], strict=True)],
            score,
            _LIKE_CALLS,
        )
        before = [a._replace(subject=call.name, text=_plain(e)) for e in mine]
        after = [b._replace(subject=call.name, text=_plain(e)) for e in yours]
        for i, j in pairs.pairs:
            if keys_a[i] != keys_b[j]:
                both_texts = isinstance(mine[i], String) and isinstance(yours[j], String)
                edits = word_edits(left[i], right[j]) if both_texts else ()
                self._tell(Kind.CHANGED, slot, what, before[i], after[j], part=part, edits=edits)
        for i in pairs.left:
            self._tell(Kind.REMOVED, slot, what, before[i], None, part=part)
        for j in pairs.right:
            self._tell(Kind.ADDED, slot, what, None, after[j], part=part)
        for position in sorted(moved([j for _, j in pairs.pairs])):
            i, j = pairs.pairs[position]
            texts = before[i]._replace(text=str(i + 1)), after[j]._replace(text=str(j + 1))
            was, now = before[i].text, after[j].text
            stays = (Edit("keep", now, was if was != now else None),)
            self._tell(Kind.MOVED, slot, what, *texts, part=part, edits=stays)

    def _compare_values(self, pairs: Pairs) -> None:
        a, b = (
            [Thing(v.name, show(v.value), v.span, i) for i, v in enumerate(side.values)]
            for side in (self.a, self.b)
        )
        for i, j in pairs.pairs:
            left, right = self.a.values[i], self.b.values[j]
            slot = _slot_of_value(left)
            if left.name != right.name:
                self._tell_renamed(slot, "value", a[i], b[j])
            if self.a.key(left.value) != self.b.key(right.value):
                texts = isinstance(left.value, String) and isinstance(right.value, String)
                edits = word_edits(self.a.tokens(left.value), self.b.tokens(right.value)) if texts else ()
                self._tell(Kind.CHANGED, slot, "value", a[i], b[j], edits=edits)
        for i in pairs.left:
            self._tell(Kind.REMOVED, _slot_of_value(self.a.values[i]), "value", a[i], None)
        for j in pairs.right:
            self._tell(Kind.ADDED, _slot_of_value(self.b.values[j]), "value", None, b[j])

    # ---- references ----

    def _references(self) -> None:
        a, b = ([_ref(r, i) for i, r in enumerate(side.refs)] for side in (self.a, self.b))
        images = [[side.key(r.value) for r in side.refs] for side in (self.a, self.b)]
        purposes = [[_purpose(side, r) for r in side.refs] for side in (self.a, self.b)]
        left, right = (
            [
                Item((image, tuple(t.key for t in purpose)), words(purpose), ref.name)
                for image, purpose, ref in zip(images[k], purposes[k], side.refs, strict=True)
            ]
            for k, side in enumerate((self.a, self.b))
        )

        def score(i: int, j: int) -> float:
            alike = likeness(left[i].bag, right[j].bag) if left[i].bag and right[j].bag else 0.0
            same_name = left[i].label == right[j].label
            return (images[0][i] == images[1][j]) + 0.6 * alike + 0.3 * same_name

        pairs = pair(left, right, score, _LIKE_REFS)
        for i, j in pairs.pairs:
            before, after = self.a.refs[i], self.b.refs[j]
            self.a.names.setdefault(before.name, number := self._new())
            self.b.names.setdefault(after.name, number)
            if before.name != after.name:
                self._tell_renamed(Slot.REFERENCES, "reference", a[i], b[j])
            if images[0][i] != images[1][j]:
                texts = a[i]._replace(text=show(before.value)), b[j]._replace(text=show(after.value))
                self._tell(Kind.CHANGED, Slot.REFERENCES, "image", *texts)
            self._compare_purposes(before, after, a[i], b[j])
        for side, alone in ((self.a, pairs.left), (self.b, pairs.right)):
            for i in alone:
                side.names.setdefault(side.refs[i].name, self._new())
        self._tell_lonely(pairs, Slot.REFERENCES, "reference", a, b)
        self._tell_moved(pairs, Slot.REFERENCES, "reference", a, b)

    def _compare_purposes(self, left: Ref, right: Ref, a: Thing, b: Thing) -> None:
        mine, yours = _purpose(self.a, left), _purpose(self.b, right)
        if [t.key for t in mine] == [t.key for t in yours]:
            return
        before = a._replace(text=shown(mine)) if left.purpose is not None else None
        after = b._replace(text=shown(yours)) if right.purpose is not None else None
        if before is not None and after is not None:
            self._tell(Kind.CHANGED, Slot.REFERENCES, "purpose", before, after, edits=word_edits(mine, yours))
        else:
            self._tell(
                Kind.ADDED if before is None else Kind.REMOVED, Slot.REFERENCES, "purpose", before, after
            )

    # ---- texts ----

    def _request(self) -> None:
        a, b = (
            [_Phrase(side.tokens(s.text), s.span) for s in side.all(Request)] for side in (self.a, self.b)
        )
        self._compare_phrases(a, b, Slot.PROMPT, "request", threshold=0.0)

    def _phrases(self, kind: type[Prompt] | type[Avoid], split: _Splitter, slot: Slot, what: What) -> None:
        a, b = ([p for s in side.all(kind) for p in _split(side, s, split)] for side in (self.a, self.b))
        self._compare_phrases(a, b, slot, what, threshold=_LIKE_TEXTS)

    def _compare_phrases(
        self, mine: Sequence[_Phrase], yours: Sequence[_Phrase], slot: Slot, what: What, *, threshold: float
    ) -> None:
        left, right = (
            [Item(tuple(t.key for t in p.tokens), words(p.tokens)) for p in side] for side in (mine, yours)
        )

        def score(i: int, j: int) -> float:
            return likeness(left[i].bag, right[j].bag) + (1e-6 if threshold == 0 else 0)

        pairs = pair(left, right, score, threshold)
        a, b = ([_phrase(p, i) for i, p in enumerate(side)] for side in (mine, yours))
        for i, j in pairs.pairs:
            if left[i].key != right[j].key:
                edits = word_edits(mine[i].tokens, yours[j].tokens)
                self._tell(Kind.CHANGED, slot, what, a[i], b[j], edits=edits)
        self._tell_lonely(pairs, slot, what, a, b)
        titled = ([t._replace(subject=_short(t.text)) for t in side] for side in (a, b))
        self._tell_moved(pairs, slot, what, *titled)

    # ---- the rest ----

    def _skills(self) -> None:
        a, b = ([_skill(s, i) for i, s in enumerate(side.all(Use))] for side in (self.a, self.b))
        pairs = _by_name(a, b)
        # `use skill ?` is the skill that stands in its place on the other side, in order.
        open_a, open_b = (
            [i for i in pairs.left if a[i].text == "?"],
            [j for j in pairs.right if b[j].text == "?"],
        )
        named_a = [i for i in pairs.left if i not in open_a]
        named_b = [j for j in pairs.right if j not in open_b]
        filled = [*zip(open_a, named_b, strict=False), *zip(named_a, open_b, strict=False)]
        for i, j in filled:
            before, after = a[i]._replace(subject=""), b[j]._replace(subject="")
            self._tell(Kind.CHANGED, Slot.KNOWLEDGE, "skill", before, after)
        mine, yours = {i for i, _ in filled}, {j for _, j in filled}
        left = tuple(i for i in pairs.left if i not in mine)
        rest = Pairs(pairs.pairs, left, tuple(j for j in pairs.right if j not in yours))
        self._tell_lonely(rest, Slot.KNOWLEDGE, "skill", a, b)
        self._tell_moved(pairs, Slot.KNOWLEDGE, "skill", a, b)

    def _constraints(self) -> None:
        mine, yours = self.a.all(Require), self.b.all(Require)
        a, b = ([_require(s, i) for i, s in enumerate(side)] for side in (mine, yours))
        left, right = (
            [
                Item(side.key(s.predicate), words(side.tokens(_subject(s.predicate))))
                for s in side.all(Require)
            ]
            for side in (self.a, self.b)
        )

        def score(i: int, j: int) -> float:
            if a[i].subject != b[j].subject:
                return 0.0
            return 0.3 + 0.7 * likeness(left[i].bag, right[j].bag)

        pairs = pair(left, right, score, _LIKE_CONSTRAINTS)
        for i, j in pairs.pairs:
            if left[i].key != right[j].key:
                self._tell(Kind.CHANGED, Slot.FAILURES, "constraint", a[i], b[j])
        self._tell_lonely(pairs, Slot.FAILURES, "constraint", a, b)
        self._tell_moved(pairs, Slot.FAILURES, "constraint", a, b)

    def _settings(self) -> None:
        mine, yours = (
            {
                s.name or "": (side.key(s.value), Thing(s.name or "", show(s.value), s.span, 0))
                for render in side.all(Render)
                for s in render.settings
            }
            for side in (self.a, self.b)
        )
        for name in sorted(mine.keys() | yours.keys()):
            before, after = mine.get(name), yours.get(name)
            usual = _default(name)
            if before is None and after is not None and after[1].text != usual:
                self._tell(Kind.ADDED, Slot.PROMPT, "setting", None, after[1])
            elif after is None and before is not None and before[1].text != usual:
                self._tell(Kind.REMOVED, Slot.PROMPT, "setting", before[1], None)
            elif before is not None and after is not None and before[0] != after[0]:
                self._tell(Kind.CHANGED, Slot.PROMPT, "setting", before[1], after[1])

    def _holes(self) -> None:
        a, b = (
            [Thing("", "...", s.span, i) for i, s in enumerate(side.all(StatementHole))]
            for side in (self.a, self.b)
        )
        both = min(len(a), len(b))
        rest = Pairs((), tuple(range(both, len(a))), tuple(range(both, len(b))))
        self._tell_lonely(rest, Slot.PROMPT, "hole", a, b)


# ---- parts as things that changes can speak of ----


def _by_name(a: Sequence[Thing], b: Sequence[Thing]) -> Pairs:
    """Things of one name are pairs, others are not."""
    left, right = ([Item(t.subject, Counter()) for t in side] for side in (a, b))
    return pair(left, right, lambda i, j: 0.0, 1.0)


def _parameter(parameter: ProgramParameter) -> str:
    default = f" = {show(parameter.default)}" if parameter.default is not None else ""
    return f"{parameter.type}{default}"


def _slot_of_call(call: Call) -> Slot:
    return _CALL_SLOTS.get(call.name, Slot.SEARCH)


def _slot_of_value(let: Let) -> Slot:
    return Slot.REFERENCES if isinstance(let.value, Index) else Slot.PROMPT


def _value_keys(side: Side) -> list[int]:
    """What each value means, in terms of the calls and parameters that correspond; names are left as they are."""
    known = dict(side.names)
    found: list[int] = []
    for let in side.values:
        found.append(side.meanings.of(let.value, known, side.calls))
        known.setdefault(let.name, found[-1])
    return found


def _site(site: Site, place: int) -> Thing:
    text = show(site.call)
    return Thing(_short(text), text, site.span, place)


def _ref(ref: Ref, place: int) -> Thing:
    purpose = f" for {show(ref.purpose)}" if ref.purpose is not None else ""
    return Thing(ref.name, show(ref.value) + purpose, ref.span, place)


def _purpose(side: Side, ref: Ref) -> list[Token]:
    return side.tokens(ref.purpose) if ref.purpose is not None else []


def _skill(use: Use, place: int) -> Thing:
    name = use.skill if isinstance(use.skill, str) else "?"
    return Thing(name, name, use.span, place)


def _require(require: Require, place: int) -> Thing:
    inner = require.predicate.left if isinstance(require.predicate, Comparison) else require.predicate
    return Thing(inner.name if isinstance(inner, Call) else "", show(require.predicate), require.span, place)


def _subject(predicate: Expression) -> Expression:
    """What a predicate is about: its first argument."""
    inner = predicate.left if isinstance(predicate, Comparison) else predicate
    return inner.arguments[0].value if isinstance(inner, Call) and inner.arguments else predicate


def _split(side: Side, statement: Prompt | Avoid, split: _Splitter) -> list[_Phrase]:
    if isinstance(statement.text, String):
        return [_Phrase(found, statement.span) for found in split(statement.text, side.name)]
    return [_Phrase(side.tokens(statement.text), statement.span)]


def _phrase(phrase: _Phrase, place: int) -> Thing:
    return Thing("", shown(phrase.tokens), phrase.span, place)


def _plain(expression: Expression) -> str:
    """A text without its quotes, anything else as written."""
    written = show(expression)
    return " ".join(written[1:-1].split()) if isinstance(expression, String) else written


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57].rstrip() + "…"


def _default(setting: str) -> str | None:
    """How the value reads that a setting has when it is not written."""
    if setting == "size":
        return f"{_DEFAULTS.width}x{_DEFAULTS.height}"
    return str(_DEFAULTS.seed) if setting == "seed" else None
