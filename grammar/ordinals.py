"""The ordinal protocol: how a prompt may speak of its reference images, and how it may not.

A prompt names a reference only by its ordinal ("the first reference image"), and only elaboration writes
that phrase, from the order of the `ref` statements. `find_protocol_breaks` finds what was written by hand
instead: an ordinal (GP401), an image id of a search result (GP404), a URL (GP405). The checker calls it on
the literal text of prompts, elaboration on the finished prompt, so that a value cannot bring in what an
author may not write.

    >>> ordinal_phrase(2)
    'the second reference image'
    >>> [(b.code, b.found) for b in find_protocol_breaks("Copy the hat from reference image 2.")]
    [('GP401', 'reference image 2')]
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_CARDINALS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def ordinal_phrase(n: int) -> str:
    """What a prompt calls the n-th reference image, n from 1 to 10; raises `ValueError` beyond."""
    if not 1 <= n <= len(ORDINALS):
        raise ValueError(f"reference images are numbered 1 to {len(ORDINALS)}, not {n}")
    return f"the {ORDINALS[n - 1]} reference image"


class ProtocolBreak(NamedTuple):
    """One place `[start, end)` of a text that breaks the protocol; `found` is the text as written there."""

    code: str
    start: int
    end: int
    found: str


# What may stand between the words of one phrase: spaces, dashes, quotes and emphasis. Bounded, so that
# matching stays linear. Full stops are left out: a phrase does not cross the end of a sentence.
_GAP = r"(?:[ \-‐‑–—_*`\"'“”‘’()\[\]]{1,4})"
_ORDINAL = rf"(?:{'|'.join(ORDINALS)}|eleventh|twelfth|\d{{1,6}}(?:st|nd|rd|th))"
_LAST = r"(?:last|final)"
_REFERENCE = r"ref(?:erence|\.)?"
_PICTURE = r"(?:images?|img|pictures?|pics?|photos?|photographs?)"
_GIVEN = r"(?:reference|ref|uploaded|attached|input|given|provided|supplied|source|conditioning)"
_CARDINAL = rf"(?:{'|'.join(_CARDINALS)})"
_MARK = r"(?:[#№] ?|n(?:o\.?|r\.?|umber) )"

# A number that measures or counts something is not an ordinal: "an image 2 metres wide", "image 16:9".
_NO_UNIT = (
    r"(?![\d.,:]\d|\w|%| ?[x×] ?\d| by \d|"
    r" ?(?:px|pixels?|mm|cm|km|m|in|ft|met(?:er|re)s?|inch(?:es)?|feet|foot|percent|times|degrees?)\b)"
)
# "reference two books" is no ordinal, "like reference two." is one: a written number needs what can follow
# a name.
_FOLLOWERS = "and|or|is|as|for|in|from|with|on|at|to|of|shows?|has|stands?|must|should"
_NAME_ENDS = rf"(?= ?(?:[.,;:!?)\]'’\"”]|$)| (?:{_FOLLOWERS})\b)"

# The first reference *to* something, the first reference *book*.
_NO_OTHER_NOUN = (
    r"(?![ -](?:to|books?|librar\w+|desks?|points?|lines?|manuals?|works?|cards?|numbers?|guides?|"
    r"letters?|grids?|frames?|marks?|markers?|rooms?|sections?|lists?|systems?|genomes?|standards?|materials?)\b)(?!\w)"
)
# News of pictures as events: "the first image of a black hole", "the second photograph ever taken".
# Or pictures that are part of the scene: "a second image frame", "the third image in the triptych".
_NO_EVENT = (
    r"(?! (?:of|ever|taken|captured|shot|made|sent|transmitted|published|frames?|albums?|galler\w+)\b)"
    r"(?! in (?:a|the|this) (?:triptych|series|row|sequence|strip|grid|collage|album|gallery)\b)"
    r"(?! on (?:a|the|this) (?:wall|page|screen|shelf)\b)(?!\w)"
)
# "In the image 3 birds fly": with an article the number usually counts what follows.
_NO_ARTICLE = r"(?<!\bthe )(?<!\ban )(?<!\bthis )(?<!\bthat )(?<!\bmirror )"

_WORD_STARTS = r"(?<![^\W_])"
_NOT_COMPOUND = r"(?<!\w-)"  # self-image
_WORD_ENDS = r"(?![^\W_])"

# Chinese writes no spaces, so a word need not start here: 第一张参考图, 参考图2.
_CHINESE = (
    r"第[一二三四五六七八九十\d]{1,2}[张幅个]?(?:参考)?(?:图片|图像|照片|图)",
    r"参考(?:图片|图像|照片|图)[一二三四五六七八九十\d]{1,2}",
)

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (code, re.compile(_WORD_STARTS + pattern, re.IGNORECASE))
    for code, pattern in (
        ("GP405", r"[a-z][a-z0-9+.\-]{1,20}://[^\s\"'<>]*"),
        ("GP405", r"www\.[^\s\"'<>]+"),
        ("GP405", r"file:/?[^\s\"'<>]+"),
        ("GP405", r"data:(?:[a-z]{1,20}/[\w.+\-]{1,60}|(?:;[\w=\-]{1,40}){0,4},)[^\s\"'<>]*"),
        ("GP404", rf"img[ _\-]?\d{{1,8}}{_WORD_ENDS}"),
        (
            "GP401",
            rf"(?:the )?(?:{_ORDINAL}|{_LAST})(?:{_GAP}(?:{_CARDINAL}|\d{{1,3}}))?"
            rf"{_GAP}{_GIVEN}{_GAP}{_PICTURE}{_WORD_ENDS}",
        ),
        ("GP401", rf"(?:the )?{_ORDINAL}{_GAP}{_REFERENCE}s?{_NO_OTHER_NOUN}"),
        ("GP401", rf"(?:the )?{_ORDINAL}{_GAP}(?:image|img){_NO_EVENT}"),
        (
            "GP401",
            rf"(?:the )?(?:{_ORDINAL}|{_LAST}) of the (?:{_GIVEN}{_GAP})?(?:images|references){_WORD_ENDS}",
        ),
        (
            "GP401",
            rf"{_REFERENCE}s?{_GAP}{_PICTURE}{_GAP}?"
            rf"(?:{_MARK}?\d{{1,6}}{_NO_UNIT}|{_MARK}?{_CARDINAL}{_WORD_ENDS}|[IVX]{{1,4}}{_NAME_ENDS})",
        ),
        ("GP401", rf"{_NOT_COMPOUND}(?:reference|ref\.?)s?{_GAP}?{_MARK}?\d{{1,6}}{_NO_UNIT}"),
        ("GP401", rf"references?{_GAP}{_MARK}?{_CARDINAL}{_NAME_ENDS}"),
        ("GP401", rf"{_NOT_COMPOUND}{_NO_ARTICLE}images?{_GAP}?{_MARK}?\d{{1,6}}{_NO_UNIT}"),
        ("GP401", rf"{_NOT_COMPOUND}images?{_GAP}?\d{{1,6}}{_NO_UNIT}{_NAME_ENDS}"),
        ("GP401", rf"{_PICTURE}{_GAP}?{_MARK}\d{{1,6}}{_NO_UNIT}"),
        ("GP401", rf"{_NOT_COMPOUND}image{_GAP}{_MARK}?{_CARDINAL}{_NAME_ENDS}"),
    )
) + tuple(("GP401", re.compile(pattern)) for pattern in _CHINESE)


_COUNTS = re.compile(
    rf"{_WORD_STARTS}(?:the )?(?:{_ORDINAL}|{_LAST})(?:{_GAP}{_CARDINAL})?{_GAP}\Z", re.IGNORECASE
)
_LONGEST_COUNT = 200


def ordinal_before(text: str) -> str | None:
    """The written ordinal that a text ends with: what counts the reference that follows it, against the protocol.

    >>> ordinal_before("A kite, and behind it the second ")
    'the second'
    >>> ordinal_before("A second kite like ") is None
    True
    """
    tail = text[-_LONGEST_COUNT:]
    match = _COUNTS.search(_fold(tail)[0])
    return match.group().strip() if match is not None else None


def patterns() -> tuple[str, ...]:
    """The regular expressions of all breaks, for those that turn them into something else."""
    return tuple(pattern.pattern for _, pattern in _PATTERNS)


def counting_pattern() -> str:
    """The regular expression of an ordinal that a reference follows."""
    return _COUNTS.pattern.removesuffix(r"\Z")


def find_protocol_breaks(text: str) -> list[ProtocolBreak]:
    """Written ordinals, image ids and URLs in a text, in order, none overlapping another.

    Letters are compared without case and after compatibility normalisation, invisible characters are
    skipped and any run of white space counts as one space, so a phrase cannot hide behind a line break, a
    zero-width joiner or full-width letters. Positions refer to the text as given.
    """
    folded, places = _fold(text)
    found: list[ProtocolBreak] = []
    for code, pattern in _PATTERNS:
        for match in pattern.finditer(folded):
            start, end = places[match.start()], places[match.end() - 1] + 1
            found.append(ProtocolBreak(code, start, end, text[start:end]))
    found.sort(key=lambda b: (b.start, -b.end, b.code))
    return _without_overlaps(found)


def _without_overlaps(found: list[ProtocolBreak]) -> list[ProtocolBreak]:
    """Keep the longest of breaks that overlap: one mistake is told once; a URL wins over what it contains."""
    kept: list[ProtocolBreak] = []
    for item in found:
        if kept and item.start < kept[-1].end:
            if item.end > kept[-1].end and item.code >= kept[-1].code:
                kept[-1] = item
            continue
        kept.append(item)
    return kept


def _fold(text: str) -> tuple[str, list[int]]:
    """The text as the patterns read it, and for each of its characters the position it comes from."""
    if text.isascii() and "  " not in text and not re.search(r"[\x00-\x1f\x7f]", text):
        return text, list(range(len(text)))
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        if character.isspace():
            if not characters or characters[-1] != " ":
                characters.append(" ")
                places.append(place)
            continue
        if unicodedata.category(character) in ("Cf", "Cc", "Mn", "Me"):
            continue
        for piece in unicodedata.normalize("NFKC", character):
            characters.append(" " if piece.isspace() else piece)
            places.append(place)
    return "".join(characters), places
