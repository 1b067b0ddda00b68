"""How a gen_prompt speaks of its reference images, and the same with names.

    "The tower of the first reference image"    →  "The tower of {a}"
    "image #2", "reference photo two", "2nd reference image"
    "the first and second reference images"     →  "{a} and {b}"
    "the reference image", when there is one    →  "{a}"

What counts as such a phrase is what the language does not let anybody write by hand (`grammar.ordinals`), so that
none is left over. A phrase that can be read in two ways is told to the model: no ordinal is ever guessed.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from genevolve.grammar.ordinals import (
    ORDINALS,
    ProtocolBreak,
    find_protocol_breaks,
    ordinal_before,
    ordinal_phrase,
)
from genevolve.grammar.tree import Interpolation
from genevolve.programs.policies.released.broken import Broken, shown

Parts: TypeAlias = tuple[str | Interpolation, ...]

_CARDINALS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x")
_BEYOND = {"eleventh": 11, "twelfth": 12}
_PLURAL = frozenset(("images", "pictures", "pics", "photos", "photographs", "references", "refs"))
_UNCLEAR = frozenset(("last", "final", "of"))
_SILENT = frozenset(
    (
        *(
            "the",
            "reference",
            "ref",
            "image",
            "img",
            "picture",
            "pic",
            "photo",
            "photograph",
            "no",
            "nr",
            "number",
            "n",
        ),
        *("uploaded", "attached", "input", "given", "provided", "supplied", "source", "conditioning"),
    )
)
_WORD = re.compile(r"\d+(?:st|nd|rd|th)?|[^\W\d_]+")
_COUNTED = re.compile(r"(\d+)(?:st|nd|rd|th)")
_ORDINAL = rf"(?:{'|'.join(ORDINALS)}|\d{{1,2}}(?:st|nd|rd|th))"
_JOINT = r"\s*(?:,\s*(?:(?:and|or)\s+)?|(?<=\s)(?:and|or|&|as\s+well\s+as)\s+)(?:the\s+)?"
_BEFORE = re.compile(rf"(?<!\w)(?:the\s+)?{_ORDINAL}(?:{_JOINT}{_ORDINAL})*{_JOINT}\Z", re.IGNORECASE)
_ONE_BEFORE = re.compile(rf"(?<!\w)(?:the\s+)?({_ORDINAL})(?!\w)", re.IGNORECASE)
_AFTER = re.compile(
    r"\s*(,\s*(?:and\s+|or\s+)?|and\s+|or\s+|&\s*|[-–—]\s*|to\s+|through\s+)(?:#\s?)?(\d{1,2})(?![\w%]|\.\d|\s*[x×:]\s*\d)",
    re.IGNORECASE,
)
_POINTING = re.compile(r"(?<!\w)(?:this|that|your|our|my)\s+\Z", re.IGNORECASE)
_SOLE = re.compile(
    r"(?<!\w)(?:the|this|that|your)\s+(?:(?:only|sole|single|given|provided|supplied)\s+)?"
    r"reference\s+(?:image|picture|photo|photograph)(?!\w)(?!\s*(?:#|\d))",
    re.IGNORECASE,
)
_TAIL = 200
_QUOTED = re.compile(r'"[^"\n]{0,120}"|“[^”\n]{0,120}”')


class _Mention(NamedTuple):
    """A stretch of the prompt, and what stands there instead: pieces of text, and numbers of references."""

    start: int
    end: int
    pieces: tuple[str | int, ...]


def with_names(prompt: str, names: Sequence[str]) -> Parts:
    """The prompt with its references named; `names` are theirs, in the order of their ordinals.

    Raises:
        Broken: It holds an id or a URL, speaks of a reference that is not there or not clearly, or never of one.
    """
    found = find_protocol_breaks(prompt)
    _no_addresses(found, "gen_prompt")
    mentions = [_mention(prompt, b) for b in found]
    quotes = [(q.start(), q.end()) for q in _QUOTED.finditer(prompt)]
    parts: list[str | Interpolation] = []
    at = 0
    for mention in mentions:
        phrase = prompt[mention.start : mention.end]
        if mention.start < at:
            raise _unclear(phrase)
        if any(start < mention.start and mention.end < end for start, end in quotes):
            raise Broken(
                f"{shown(phrase)} stands in quotation marks in gen_prompt, so it may be lettering. If it is, word it "
                "differently; if a reference image is meant, leave the quotation marks out."
            )
        parts += _sole(prompt[at : mention.start], names)
        for piece in mention.pieces:
            parts.append(piece if isinstance(piece, str) else _named(piece, names, phrase))
        at = mention.end
    parts += _sole(prompt[at:], names)
    joined = _joined(parts)
    _nothing_left(joined)
    mentioned = {p.name for p in joined if isinstance(p, Interpolation)}
    for number, name in enumerate(names, 1):
        if name not in mentioned:
            raise Broken(
                f"gen_prompt never speaks of '{ordinal_phrase(number)}', which reference_images gives. Say there what "
                "to copy from it, or take it out of the list."
            )
    return joined


def check_note(note: str, identity: str) -> None:
    """Raise `Broken` when a note names references, ids or addresses: the generator may read it."""
    found = find_protocol_breaks(note)
    _no_addresses(found, f"the note of {identity}")
    if found:
        raise Broken(
            f"The note of {identity} says {shown(found[0].found)}. Say what to copy from the picture, without ordinals."
        )


def _no_addresses(found: Sequence[ProtocolBreak], where: str) -> None:
    for item in found:
        if item.code == "GP404":
            raise Broken(
                f"There is an image id in {where}: {shown(item.found)}. References are called "
                "'the first reference image', 'the second reference image' there."
            )
        if item.code == "GP405":
            raise Broken(f"There is an address in {where}: {shown(item.found)}. Leave it out.")


def _unclear(phrase: str) -> Broken:
    return Broken(
        f"{shown(phrase)} in gen_prompt does not say clearly which reference image is meant. Name each one by itself: "
        "'the first reference image', 'the second reference image'."
    )


# ---- one phrase --------------------------------------------------------------------------------------


def _mention(prompt: str, found: ProtocolBreak) -> _Mention:
    """What a phrase, and a list that it is part of, speaks of."""
    words = [w.lower() for w in _WORD.findall(unicodedata.normalize("NFKC", found.found))]
    number, ordinal = _number(words, found.found)
    plural = any(w in _PLURAL for w in words)
    start, end = found.start, found.end
    pieces: list[str | int] = [number]
    before = _BEFORE.search(prompt, max(0, start - _TAIL), start) if ordinal else None
    if before is not None:
        if not plural:
            raise _unclear(prompt[before.start() : end])
        pieces[:0] = _ordinals(prompt[before.start() : start])
        start = before.start()
    while not ordinal and (after := _AFTER.match(prompt, end)) is not None:
        joint = after[1].strip().lower()
        if not plural or joint in ("-", "–", "—", "to", "through"):
            raise _unclear(prompt[start : after.end()])
        pieces += [prompt[end : after.start(2)].rstrip("#").rstrip() + " ", int(after[2])]
        end = after.end()
    if plural and len(pieces) == 1:
        raise _unclear(prompt[start:end])
    pointing = _POINTING.search(prompt, max(0, start - 20), start)
    if pointing is not None:
        start = pointing.start()
    return _Mention(start, end, tuple(pieces))


def _number(words: Sequence[str], phrase: str) -> tuple[int, bool]:
    """The one number in a phrase, and whether it is an ordinal."""
    ordinals: list[int] = []
    numbers: list[int] = []
    for i, word in enumerate(words):
        counted = _COUNTED.fullmatch(word)
        if word in ORDINALS:
            ordinals.append(ORDINALS.index(word) + 1)
        elif counted is not None:
            ordinals.append(int(counted[1]))
        elif word in _BEYOND:
            ordinals.append(_BEYOND[word])
        elif word in _CARDINALS:
            numbers.append(_CARDINALS.index(word) + 1)
        elif word.isascii() and word.isdigit():
            numbers.append(int(word))
        elif word in _ROMAN and i == len(words) - 1:
            numbers.append(_ROMAN.index(word) + 1)
        elif word in _UNCLEAR or word not in _SILENT | _PLURAL:
            raise _unclear(phrase)
    if len(ordinals) + len(numbers) != 1:
        raise _unclear(phrase)
    return (*ordinals, *numbers)[0], bool(ordinals)


def _ordinals(text: str) -> list[str | int]:
    """The numbers of a list of ordinals, with what joins them."""
    pieces: list[str | int] = []
    at = 0
    for match in _ONE_BEFORE.finditer(text):
        if match.start() > at:
            pieces.append(text[at : match.start()])
        word = match[1].lower()
        pieces.append(ORDINALS.index(word) + 1 if word in ORDINALS else int(word[:-2]))
        at = match.end()
    rest = re.sub(r"the\s+\Z", "", text[at:], flags=re.IGNORECASE)
    return [*pieces, rest]


def _named(number: int, names: Sequence[str], phrase: str) -> Interpolation:
    if not names:
        raise Broken(f"gen_prompt speaks of {shown(phrase)}, but reference_images is empty.")
    if not 1 <= number <= len(names):
        many = "1 entry" if len(names) == 1 else f"{len(names)} entries"
        raise Broken(f"gen_prompt speaks of {shown(phrase)}, but reference_images has {many}.")
    return Interpolation(names[number - 1])


def _sole(text: str, names: Sequence[str]) -> list[str | Interpolation]:
    """The text between phrases, where "the reference image" is the only one that there is."""
    parts: list[str | Interpolation] = []
    at = 0
    for match in _SOLE.finditer(text):
        if len(names) > 1:
            raise _unclear(match[0])
        parts += [text[at : match.start()], _named(1, names, match[0])]
        at = match.end()
    return [*parts, text[at:]]


def _joined(parts: Sequence[str | Interpolation]) -> Parts:
    """Neighbouring texts as one, empty ones left out."""
    joined: list[str | Interpolation] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return tuple(joined)


def _nothing_left(parts: Parts) -> None:
    """Raise when what is left over would still be read as a reference that somebody counted by hand."""
    for broken in find_protocol_breaks("".join(p if isinstance(p, str) else "\ufffc" for p in parts)):
        raise _unclear(broken.found.replace("\ufffc", "…"))
    for before, part in itertools.pairwise(parts):
        if isinstance(before, str) and isinstance(part, Interpolation):
            counted = ordinal_before(before)
            if counted is not None:
                raise _unclear(f"{counted} …")
