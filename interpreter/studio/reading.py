"""Reads a prompt as the simulated generator does: tolerant English in, things, letterings, light and style out.

What matters for the failures is kept beside the content: whether a number was exact and arranged, whether a colour was
bound in a sentence of its own, where a text was placed, what was said to be copied from which reference. Words that
are not in the lexicon are passed over. Reading takes time in proportion to the prompt and never fails.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field

from genevolve.interpreter.studio import lexicon as lex
from genevolve.interpreter.studio.scene import MAX_TEXT

MAX_WORDS = 1500
"""Words after this many are not read at all."""
_QUOTED = re.compile('"([^"\n]{1,200})"|“([^”\n]{1,200})”|«([^»\n]{1,200})»|„([^“”\n]{1,200})[“”]')
_MARK = "\x01"
_TOKEN = re.compile(rf"{_MARK}\d+|[^\W_]+(?:['’][a-z]+)?(?:_[^\W_]+)*|[,:()]")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_JOINED = 1.1
"""How many words may be written for each one that is counted."""
_SENTENCE = re.compile(r"[.!?;\n]+(?=\s|$|\x01)")
_UNQUOTED = re.compile(
    r"\b(?:reads|says|saying|reading|titled|lettered|words?|text|title|slogan|motto|inscription)\s*:?\s+"
    r"((?:[A-Z0-9][\w'&-]*\s?){1,5})"
)


@dataclass
class ReadThing:
    """One kind of thing that a prompt speaks of, and how well it does."""

    noun: str
    colours: list[str] = field(default_factory=list)
    material: str = ""
    count: int | None = None
    counts: set[int] = field(default_factory=set)
    exact: bool = False
    plural: bool = False
    arranged: str = ""
    places: list[str] = field(default_factory=list)
    relations: list[tuple[str, str]] = field(default_factory=list)
    size: str = "normal"
    legs: int | None = None
    leg_cues: set[str] = field(default_factory=set)
    matter: set[str] = field(default_factory=set)
    shadow: bool = False
    skin: str = ""
    host: bool = False
    seams: set[str] = field(default_factory=set)
    references: list[int] = field(default_factory=list)
    copied: set[str] = field(default_factory=set)
    copying: bool = False
    outline: str = ""
    pattern: str = ""
    figure: str = ""
    pale: str = ""
    sharing: int = -1
    bound: bool = False
    together: bool = False
    sentence: int = 0

    def matches(self, colours: list[str], definite: bool, place: str) -> bool:
        """Whether a later mention with these colours can mean this thing."""
        if definite:
            return not colours or not self.colours or bool(set(colours) & set(self.colours))
        if colours and self.colours and not set(colours) & set(self.colours):
            return False
        return not (place and self.places and place not in self.places and not self.plural)


@dataclass
class ReadText:
    """One piece of lettering that a prompt asks for."""

    text: str
    quoted: bool = True
    place: str = ""
    surface: str = ""
    colour: str = ""
    ground: str = ""
    crowded: bool = False


@dataclass
class Pending:
    """Modifiers that wait for their noun."""

    count: int | None = None
    exact: bool = False
    colours: list[str] = field(default_factory=list)
    material: str = ""
    size: str = ""
    arranged: str = ""
    definite: bool = False
    split: bool = False  # "a red and a blue": two things, not one of two colours
    pale: str = ""


@dataclass
class Reading:
    """All that was understood of a prompt."""

    things: list[ReadThing] = field(default_factory=list)
    texts: list[ReadText] = field(default_factory=list)
    lights: list[str] = field(default_factory=list)
    light_cues: set[str] = field(default_factory=set)
    light_from: str = ""
    styles: list[str] = field(default_factory=list)
    style_words: set[str] = field(default_factory=set)
    background: str = ""
    shadows: bool = False
    closed: bool = False
    words: int = 0
    praise: int = 0
    sentences: int = 0
    contradictions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Remember something that was not read; at most twenty are kept."""
        if len(self.notes) < 20 and sentence not in self.notes:
            self.notes.append(sentence)

    def contradict(self, what: str) -> None:
        """Remember a contradiction."""
        if what not in self.contradictions and len(self.contradictions) < 20:
            self.contradictions.append(what)


def sentences(prompt: str) -> tuple[list[str], list[str]]:
    """The sentences of a prompt and its quoted texts; in a sentence, a quoted text is a mark and its index."""
    plain = printable(prompt)
    quotes: list[str] = []

    def keep(match: re.Match[str]) -> str:
        quotes.append(" ".join(next(g for g in match.groups() if g is not None).split()))
        return f" {_MARK}{len(quotes) - 1} "

    marked = _QUOTED.sub(keep, plain)
    parts = [part.strip() for part in _SENTENCE.split(marked)]
    return [part for part in parts if part], quotes


def printable(text: str, most: int = MAX_WORDS * 12) -> str:
    """Ordinary characters only: compatibility forms are folded, control and invisible characters are dropped."""
    folded = unicodedata.normalize("NFKC", text[:most])
    return "".join(c for c in folded if c == "\n" or unicodedata.category(c)[0] not in "C").replace(
        "\u00a0", " "
    )


def count_words(prompt: str) -> int:
    """Words of a prompt as it was given, up to a bound far above what is read.

    Joining words by hyphens, commas or other signs makes no fewer of them; a hyphen in a word here and there is free.
    """
    part = prompt[:400_000]
    return max(len(part.split()), round(len(_WORD.findall(part)) / _JOINED))


def tokens(sentence: str) -> list[str]:
    """Words, commas and quoted texts of a sentence, phrases of the lexicon joined."""
    lowered = sentence.lower()
    for pattern, replacement in lex.PHRASES:
        lowered = pattern.sub(replacement, lowered)
    return _TOKEN.findall(lowered.replace("-", " "))


def read(prompt: str, lost: frozenset[int] = frozenset()) -> Reading:
    """Read a prompt.

    Args:
        prompt: Any text.
        lost: Indices of sentences to pass over, as if they were not there.
    """
    from genevolve.interpreter.studio.clauses import SentenceReader

    reading = Reading(words=count_words(prompt))
    parts, quotes = sentences(prompt)
    reading.sentences = len(parts)
    reader = SentenceReader(reading, quotes)
    budget = MAX_WORDS
    for index, part in enumerate(parts):
        found = tokens(part)
        budget -= len(found)
        if budget < 0:
            reading.note("The prompt is too long; its end was not read.")
            break
        if index in lost:
            continue
        _unquoted(reading, part)
        reader.read(index, found, part)
    _settle(reading)
    return reading


def _unquoted(reading: Reading, sentence: str) -> None:
    """Words that should be written but were not quoted."""
    if _MARK in sentence or len(reading.texts) >= 8:
        return
    match = _UNQUOTED.search(sentence)
    if match:
        reading.texts.append(ReadText(match.group(1).strip()[:MAX_TEXT], quoted=False))


def _settle(reading: Reading) -> None:
    """Contradictions and limits, once everything has been read."""
    if len(set(reading.lights)) > 1:
        reading.contradict("light")
    if len(set(reading.styles)) > 1:
        reading.contradict("style")
    for thing in reading.things:
        if len(thing.counts) > 1:
            reading.contradict("count")
        if thing.count in (None, 1) and not thing.plural and len(set(thing.places)) > 1:
            reading.contradict("place")
        if (
            len(set(thing.colours)) > 1
            and thing.noun != "emblem"
            and not thing.references
            and not thing.pattern
        ):
            reading.contradict("colour")
    seen = [t.text for t in reading.texts]
    if len(set(seen)) < len(seen):
        reading.contradict("text")
        reading.note("A text is quoted more than once; it may be written as often.")
