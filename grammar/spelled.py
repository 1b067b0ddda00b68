"""What a prompt must not spell: written ordinals (GP401), image ids (GP404), URLs (GP405).

`grammar.ordinals` finds them in a text; this module says where they stand in the program and what to write
instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from genevolve.grammar.diagnostics import Diagnostic, Edit, Fix
from genevolve.grammar.facts import UNKNOWN_TEXT, Facts
from genevolve.grammar.ordinals import ORDINALS, ProtocolBreak, find_protocol_breaks, ordinal_before
from genevolve.grammar.span import Span
from genevolve.grammar.tree import Expression, Interpolation, String

_TRACES = ("image", "img", "ref", "pic", "photo", "://", "www.", "data:", "file:")
"""Every break contains one of these. Looking for them costs a hundredth of looking for the breaks themselves."""

_PLAIN = re.compile(r"[\x00-\x7f\u00a1-\u00ac\u00ae-\u017f\u2010-\u2027\u2030-\u205e\ufffc]*")
"""Text without characters that are invisible or stand for ASCII letters: a trace cannot hide in it."""

_NUMBERS = {word: n for n, word in enumerate(ORDINALS, 1)}
_CARDINALS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WORDS = re.compile(r"[a-z]+|\d+")
_PLURAL = re.compile(r"(?:reference|image|picture|photo|photograph|ref|pic)s\b", re.IGNORECASE)
_REPLACEABLE = re.compile(r"[\w #-]*\bref(?:erence)?\b[\w #-]*", re.IGNORECASE)


class _Stretch(NamedTuple):
    """A piece of the text and where it comes from."""

    start: int
    end: int
    part: str | Interpolation | None


def find_spelled(text: Expression, what: str, facts: Facts, *, in_prompt: bool) -> list[Diagnostic]:
    """GP401, GP404 and GP405 of a text; `what` is what messages call it."""
    found = _counted(text, what, facts) if in_prompt and isinstance(text, String) else []
    known = facts.text(text)
    if _PLAIN.fullmatch(known):
        lower = known.lower()
        if not any(trace in lower for trace in _TRACES):
            return found
    breaks = find_protocol_breaks(known)
    if not breaks:
        return found
    places = _Places(text, facts)
    for item in breaks:
        if item.code == "GP405":  # what ends a sentence does not end a URL
            item = item._replace(found=item.found.rstrip(".,;:!?)]}"))
        span, name, exact = places.of(item)
        notes = () if name is None else (f"it comes from the value of '{name}'",)
        if item.code == "GP401":
            found.append(_ordinal(item, what, facts.references if in_prompt else None, span, notes, exact))
            continue
        said = (
            f"names the image id '{_shown(item)}'"
            if item.code == "GP404"
            else f"contains the URL '{_shown(item)}'"
        )
        why = "ids are for tools" if item.code == "GP404" else "a generator opens no URLs"
        instead = "bind the image with 'ref' and write its name in braces" if in_prompt else "say it in words"
        found.append(Diagnostic(item.code, f"{what} {said}", span, (*notes, f"{why}; {instead}")))
    return found


def _counted(text: String, what: str, facts: Facts) -> list[Diagnostic]:
    """GP401 for references that are counted by hand before their name: `the second {tower}`."""
    found = []
    before = ""
    for part in text.parts:
        if isinstance(part, str):
            before += part
            continue
        binding = facts.names.get(part.name)
        if binding is None or binding.kind != "ref":
            before += facts.text(String((part,), ""))
            continue
        if (ordinal := ordinal_before(before)) is not None:
            message = f"{what} counts the reference '{part.name}' by hand: '{ordinal} {{{part.name}}}'"
            note = "the name in braces becomes 'the first reference image' and so on; leave the ordinal out"
            found.append(Diagnostic("GP401", message, part.span, (note,)))
        before = UNKNOWN_TEXT
    return found


class _Places:
    """Finds positions of the finished text in the program."""

    def __init__(self, text: Expression, facts: Facts) -> None:
        self._text = text
        self._cursor = 0
        self._stretches: list[_Stretch] = []
        at = 0
        for part in text.parts if isinstance(text, String) else ():
            length = len(part) if isinstance(part, str) else len(facts.text(String((part,), "")))
            self._stretches.append(_Stretch(at, at + length, part))
            at += length

    def of(self, found: ProtocolBreak) -> tuple[Span, str | None, bool]:
        """The place of a break, the name whose value brings it in, and whether the place is exact."""
        touched = [s for s in self._stretches if s.start < found.end and found.start < s.end]
        for stretch in touched:
            if isinstance(stretch.part, Interpolation):
                return stretch.part.span, stretch.part.name, False
        if len(touched) == 1 and isinstance(self._text, String):
            span = self._locate(self._text, found.found)
            if span is not None:
                return span, None, True
        name = getattr(self._text, "name", None)
        return self._text.span, name, False

    def _locate(self, string: String, found: str) -> Span | None:
        """Where a text stands in the source: white space may be laid out differently there."""
        pattern = r"\s+".join(re.escape(word) for word in found.split())
        match = re.compile(pattern).search(string.raw, self._cursor)
        if match is None:
            return None
        self._cursor = match.end()
        return Span(string.span.start + match.start(), string.span.start + match.end())


def _ordinal(
    found: ProtocolBreak,
    what: str,
    references: Sequence[str] | None,
    span: Span,
    notes: tuple[str, ...],
    exact: bool,
) -> Diagnostic:
    """GP401; `references` are those that the text may name, None where it may name none."""
    message = f"{what} names a reference image by hand: '{_shown(found)}'"
    if references is None:
        note = "only the prompt can name references, and it does so by the name of the 'ref'"
        return Diagnostic("GP401", message, span, (*notes, note))
    fix = None
    number = _number(found.found)
    if number is not None and number <= len(references):
        name = references[number - 1]
        message += f"; write '{{{name}}}'"
        if exact and _REPLACEABLE.fullmatch(found.found):
            fix = Fix(f"write '{{{name}}}'", (Edit(span, f"{{{name}}}"),))
    elif number is not None:
        bound = f"{len(references)} so far" if references else "no reference so far"
        notes += (f"the program binds {bound}",)
    note = "ordinals are made from the order of the 'ref' statements; write the name of the 'ref' in braces"
    return Diagnostic("GP401", message, span, (*notes, note), fix)


def _shown(found: ProtocolBreak) -> str:
    shown = " ".join(found.found.split())
    return shown if len(shown) <= 60 else shown[:59] + "…"


def _number(found: str) -> int | None:
    """Which reference a phrase means, when it means a single one."""
    if _PLURAL.search(found):
        return None
    numbers: list[int] = []
    for word in _WORDS.findall(found.lower()):
        if word.isdigit() and len(word) < 4:
            numbers.append(int(word))
        elif word in _NUMBERS:
            numbers.append(_NUMBERS[word])
        elif word in _CARDINALS:
            numbers.append(_CARDINALS.index(word) + 1)
    return numbers[0] if len(numbers) == 1 and numbers[0] >= 1 else None
