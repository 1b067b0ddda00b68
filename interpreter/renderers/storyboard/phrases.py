"""From prose to phrases: tokens, sentences, and a small grammar of English noun, place and relation phrases.

    "Exactly two red backpackers stand in the lower third."
    → Noun(head "backpacker", count 2, colour red) · Verb("stand") · Where(lower third)

Each rule looks at the tokens from a position and either gives a phrase and the next position or nothing. No rule
looks back, so the work is linear in the length of the prompt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from genevolve.interpreter.renderers.storyboard import lexicon as lex
from genevolve.interpreter.renderers.storyboard.pen import Colour
from genevolve.interpreter.renderers.storyboard.scene import Place

MAX_CHARS = 24_000
_ORD = r"first|second|third|fourth|fifth"
_TOKEN = re.compile(
    r"""
      (?P<text>"[^"]{1,600}"|“[^”]{1,600}”|«[^»]{1,600}»|„[^“”]{1,600}[“”]|「[^」]{1,600}」|『[^』]{1,600}』
              |(?<![\w'])'(?!\s)[^'\n]{1,200}'(?!\w)|(?<![\w‘])‘[^’\n]{1,200}’(?!\w))
    | (?P<ref>\b(?:the\s+)?(?:"""
    + _ORD
    + r""")(?:(?:\s*,\s*|\s+and\s+|\s*,\s*and\s+)(?:the\s+)?(?:"""
    + _ORD
    + r"""))*\s+reference\s+(?:image|picture|photo(?:graph)?)s?)
    | (?P<break>\n\s*\n)
    | (?P<word>[^\W_]+(?:['’\-][^\W_]+)*)
    | (?P<stop>[.!?]+(?=\s|$))
    | (?P<punct>[,;:()\[\]—–])
    """,
    re.VERBOSE | re.IGNORECASE,
)


_MONTHS = frozenset(
    "january february march april may june july august september october november december".split()  # noqa: SIM905
)

_BEFORE_COUNTS = frozenset(
    "exactly only just precisely about around roughly least most over nearly with and or of plus to by at in on "  # noqa: SIM905
    "has have are is show shows draw place put add see include hold holds stand stands between".split()
)


@dataclass(frozen=True)
class Token:
    """`kind`: word, text (the quoted value), ref (its ordinals as "1,2"), or punct."""

    kind: str
    value: str
    raw: str = ""


@dataclass
class Noun:
    """A noun phrase. `named` is the pictogram of its nouns, or None."""

    nouns: tuple[str, ...]
    named: str | None
    count: int = 1
    counted: bool = False
    determiner: str = ""
    colours: list[tuple[str, Colour]] = field(default_factory=list)
    material: str = ""
    size: float = 1.0
    other: tuple[str, ...] = ()
    refs: tuple[int, ...] = ()

    @cached_property
    def head(self) -> str:
        """The last noun, in the singular."""
        return lex.singular(self.nouns[-1])

    @cached_property
    def phrase(self) -> str:
        """All nouns, the last in the singular."""
        return " ".join([*self.nouns[:-1], self.head])


@dataclass(frozen=True)
class Quoted:
    """A quoted text."""

    value: str


@dataclass(frozen=True)
class Where:
    """A place in the picture."""

    place: Place


@dataclass(frozen=True)
class Rel:
    """A relation that waits for its second side."""

    kind: str
    word: str


@dataclass(frozen=True)
class RefMention:
    """A reference picture named on its own."""

    ordinals: tuple[int, ...]


@dataclass(frozen=True)
class Adjectives:
    """Qualities that stand alone, as after "is"."""

    colours: tuple[tuple[str, Colour], ...]
    material: str


@dataclass(frozen=True)
class Word:
    """Any other word or mark."""

    value: str
    punct: bool = False


Phrase: TypeAlias = Noun | Quoted | Where | Rel | RefMention | Adjectives | Word


def sentences(prompt: str) -> list[list[Token]]:
    """The prompt's sentences as tokens; a blank line ends one, a list's dash does not."""
    out: list[list[Token]] = [[]]
    for match in _TOKEN.finditer(prompt[:MAX_CHARS]):
        kind, raw = match.lastgroup or "", match.group()
        if kind in ("stop", "break"):
            out.append([])
        elif kind == "text":
            out[-1].append(Token("text", raw[1:-1], raw))
            if raw[-2:-1] in ".!?":
                out.append([])
        elif kind == "ref":
            ordinals = [str(lex.ORDINALS[w]) for w in re.findall(_ORD, raw.lower())]
            out[-1].append(Token("ref", ",".join(ordinals), raw))
        elif kind == "punct" and raw == ";":
            out.append([])
        else:
            out[-1].append(Token(kind, raw.lower().replace("’", "'"), raw))
    return [s for s in out if s]


def phrases(tokens: list[Token]) -> list[Phrase]:
    """One sentence as phrases, in order."""
    out: list[Phrase] = []
    i = 0
    words = [
        t.value if t.kind == "word" and not _is_of_a_name(tokens, k) else "\0" for k, t in enumerate(tokens)
    ]
    while i < len(tokens):
        found, used = _phrase(tokens, words, i)
        out.append(found)
        i += max(1, used)
    return out


def _is_of_a_name(tokens: list[Token], i: int) -> bool:
    """Whether a word counts nothing: a number of a name ("Falcon 9"), of a date ("11 February 2015"), a month."""
    word = tokens[i].value
    before = tokens[i - 1] if i else None
    after = tokens[i + 1] if i + 1 < len(tokens) else None
    if word in _MONTHS:
        beside = [t for t in (before, after) if t is not None and t.value.isdigit()]
        return bool(beside) or (tokens[i].raw[:1].isupper() and word not in ("may", "march"))
    if not word.isdigit():
        return False
    if any(t is not None and t.value in _MONTHS for t in (before, after)):
        return True
    if len(word) == 4 and 1000 <= int(word) < 2200:
        return True
    # The first word of a sentence is capital in any case, and some prompts write every word so.
    return (
        i >= 2
        and before is not None
        and before.kind == "word"
        and before.raw[:1].isupper()
        and before.value not in _BEFORE_COUNTS
        and before.value not in lex.DETERMINERS
    )


def _phrase(tokens: list[Token], words: list[str], i: int) -> tuple[Phrase, int]:
    token = tokens[i]
    if token.kind == "text":
        return Quoted(token.value), 1
    if token.kind == "ref":
        return RefMention(tuple(int(n) for n in token.value.split(","))), 1
    if token.kind != "word":
        return Word(token.value, punct=True), 1
    for rule in (_where, _relation, _noun):
        found = rule(words, i)
        if found is not None:
            phrase, used = found
            if isinstance(phrase, Noun):
                return _with_reference(phrase, tokens, words, i + used, used)
            return phrase, used
    return Word(token.value), 1


def _with_reference(
    noun: Noun, tokens: list[Token], words: list[str], i: int, used: int
) -> tuple[Phrase, int]:
    """Take "… from the first reference image" into the noun phrase before it."""
    j = i
    while j < len(words) and j - i < 4 and words[j] in _LINKS:
        j += 1
    if j > i and j < len(tokens) and tokens[j].kind == "ref":
        noun.refs = tuple(int(n) for n in tokens[j].value.split(","))
        return noun, used + (j - i) + 1
    return noun, used


_LINKS = lex.word_set("""
from of in as shown seen depicted pictured on by matching like the one those that
""")

_VERTICAL = {"top": 0, "upper": 0, "bottom": 2, "lower": 2, "uppermost": 0, "lowest": 2}
_HORIZONTAL = {"left": 0, "right": 2, "left-hand": 0, "right-hand": 2, "leftmost": 0, "rightmost": 2}
_MIDDLE = {"center", "centre", "middle", "central"}
_PARTS = {
    "third": 1 / 3, "thirds": 2 / 3, "half": 0.5, "quarter": 0.25, "quarters": 0.5, "fifth": 0.2, "fifths": 0.4,
    "side": 0.42, "edge": 0.22, "part": 0.4, "area": 0.4, "corner": 0.36, "margin": 0.2, "section": 0.4, "band": 0.25,
    "strip": 0.25, "zone": 0.4,
}  # fmt: skip
_PLACE_PREPS = lex.word_set("""
in at on along across to into from near toward towards within over down up fills fill filling occupies
occupy occupying covers covering the of
""")
_DEPTHS = {
    "background": "back",
    "distance": "back",
    "horizon": "back",
    "backdrop": "back",
    "foreground": "front",
}
_AFTER_PLACE = {"\0", "and", "but", "with", "while"} | lex.STOP_WORDS | lex.VERBS


def _where(words: list[str], i: int) -> tuple[Where, int] | None:
    """Places: "in the lower third", "at the top left corner", "centred", "across the top", "in the background"."""
    first = words[i]
    if first in ("centered", "centred"):
        return Where(Place((0.2, 0.8))), 1
    if first in ("full-bleed", "full-frame"):
        return Where(Place((0, 1), (0, 1), full=True)), 1
    j = i
    while j < len(words) and j - i < 3 and words[j] in _PLACE_PREPS:
        j += 1
    if j == i and first not in ("top", "bottom", "upper", "lower"):
        return None
    if j < len(words) and words[j] in ("far", "very", "extreme", "whole", "entire", "full", "lower-most"):
        j += 1
    found = _depth(words, i, j) or _region(words, i, j)
    if found is None:
        return None
    place, j = found
    ended = words[j - 1] in _PARTS or words[j - 1] in _DEPTHS
    j = _skip_of_frame(words, j)
    if words[j : j + 1] == ["of"]:
        return None
    if j < len(words) and not ended and not _may_follow_place(words[j]):
        return None
    return Where(place), j - i


def _may_follow_place(word: str) -> bool:
    """False where "left" or "top" was an adjective of the noun that comes: "on the left panel"."""
    if word in _AFTER_PLACE or word in lex.DETERMINERS or _number(word) is not None:
        return True
    return word.endswith(("ly", "ing", "ed"))


def _depth(words: list[str], i: int, j: int) -> tuple[Place, int] | None:
    if j < len(words) and words[j] in _DEPTHS and words[i] in _PLACE_PREPS and j > i:
        return Place(depth=_DEPTHS[words[j]]), j + 1
    if j < len(words) and words[j] in lex.FRAME_NOUNS and words[i].startswith(("fill", "cover", "occup")):
        return Place((0, 1), (0, 1), full=True), j + 1
    if words[j : j + 1] == ["sky"] and words[i] in ("in", "across", "into"):
        return Place(y=(0.02, 0.45)), j + 1
    return None


def _region(words: list[str], i: int, j: int) -> tuple[Place, int] | None:
    """Adjectives of height and side, then perhaps a count and a part."""
    across = words[i] in ("across", "along", "over")
    vertical = horizontal = None
    middle = False
    number = 1
    start = j
    while j < len(words):
        w = words[j].split("-") if words[j] in _COMPOUND else [words[j]]
        if all(x in _VERTICAL for x in w[:1]) and vertical is None:
            vertical = _VERTICAL[w[0]]
        elif w[0] in _HORIZONTAL and horizontal is None:
            horizontal = _HORIZONTAL[w[0]]
        elif w[0] in _MIDDLE:
            middle = True
        elif w[0] in lex.NUMBERS and words[j + 1 : j + 2] and words[j + 1] in _PARTS:
            number = lex.NUMBERS[w[0]]
        else:
            break
        if len(w) > 1 and w[1] in _HORIZONTAL:
            horizontal = _HORIZONTAL[w[1]]
        j += 1
    if j == start:
        return None
    part = words[j] if j < len(words) and words[j] in _PARTS else ""
    if part:
        j += 1
    elif (
        words[i] in ("the", "of", "near", "to", "from", "over", "fills", "covers")
        and j - start < 2
        and not middle
    ):
        return None
    return _region_place(vertical, horizontal, middle, part, number, across), j


_COMPOUND = {
    f"{v}-{h}" for v in ("top", "bottom", "upper", "lower") for h in ("left", "right", "center", "centre")
}


def _region_place(
    vertical: int | None, horizontal: int | None, middle: bool, part: str, number: int, across: bool
) -> Place:
    size = min(
        1.0,
        _PARTS.get(part, 0.0)
        * (number if part in ("third", "quarter", "fifth") or part.endswith("s") else 1),
    )
    if part in ("thirds", "quarters", "fifths"):
        size = min(1.0, number * {"thirds": 1 / 3, "quarters": 0.25, "fifths": 0.2}[part])

    def span(which: int | None, default: float) -> tuple[float, float] | None:
        s = size or default
        if which is None:
            return None
        return (0.0, s) if which == 0 else (1 - s, 1.0)

    if part == "corner" or (vertical is not None and horizontal is not None):
        return Place(span(horizontal, 0.4), span(vertical, 0.34))
    x, y = span(horizontal, 0.42), span(vertical, 0.3)
    if middle and part == "third":
        x = (1 / 3, 2 / 3)
    elif middle and x is None and y is None:
        x, y = (0.18, 0.82), (0.3, 0.7)
    elif middle and x is None:
        x = (0.18, 0.82)
    if across and x is None:
        x = (0.0, 1.0)
    return Place(x, y)


def _skip_of_frame(words: list[str], j: int) -> int:
    """Past "of the picture", "of the frame"; not past "of the table"."""
    if words[j : j + 1] == ["of"]:
        k = j + 1
        while k < len(words) and words[k] in ("the", "this", "whole", "entire"):
            k += 1
        if k < len(words) and words[k] in lex.FRAME_NOUNS:
            return k + 1
    elif words[j : j + 1] == ["edge"]:
        return j + 1
    return j


_RELATIONS: dict[str, list[tuple[list[str], str]]] = {}
for _phrase_text, _kind in sorted(lex.RELATION_PHRASES, key=lambda entry: -len(entry[0].split())):
    _RELATIONS.setdefault(_phrase_text.split()[0], []).append((_phrase_text.split(), _kind))


def _relation(words: list[str], i: int) -> tuple[Rel, int] | None:
    for phrase, kind in _RELATIONS.get(words[i], ()):
        if words[i : i + len(phrase)] == phrase:
            return Rel(kind, " ".join(phrase)), len(phrase)
    return None


def _noun(words: list[str], i: int) -> tuple[Noun | Adjectives, int] | None:
    """[determiner] [quantity] adjective* noun+ — or adjectives alone."""
    noun = Noun((), None)
    j = _quantity(words, i, noun)
    opened = j > i
    j, adjectives = _adjectives(words, j, noun, opened)
    start = j
    while j < len(words) and j - start < 4 and _may_be_noun(words, j, start, opened or adjectives > 0):
        j += 1
    if j == start:
        if adjectives and not noun.counted and (noun.colours or noun.material):
            return Adjectives(tuple(noun.colours), noun.material), j - i
        if noun.counted and noun.count == 1 and words[j - 1] == "one":
            noun.nouns, noun.counted = ("one",), False
            return noun, j - i
        return None
    end, named = _head(words, start, j)
    if named is None and not opened and not (adjectives and words[start] in lex.LETTER_WORDS | lex.SETTINGS):
        known = (
            words[start] in lex.LETTER_WORDS or words[start] in lex.SETTINGS or words[start] in lex.CLOTHES
        )
        if not known:
            return None
        end = start + 1
    while named is None and end - start > 1 and words[end - 1].endswith(("ed", "ing")):
        end -= 1
    noun.nouns, noun.named = tuple(words[start:end]), named
    last = words[end - 1]
    if (
        not noun.counted
        and last != lex.singular(last)
        and noun.determiner not in ("a", "an", "each", "every")
    ):
        noun.count = 3
    return noun, end - i


def _quantity(words: list[str], i: int, noun: Noun) -> int:
    """Determiner and number: "exactly 2", "a dozen", "a pair of", "the three"."""
    j = i
    while j < len(words) and j - i < 8:
        w = words[j]
        if w in lex.DETERMINERS and w not in lex.VAGUE_NUMBERS:
            noun.determiner = w
        elif w in (
            "exactly",
            "only",
            "just",
            "precisely",
            "about",
            "around",
            "roughly",
            "at",
            "least",
            "most",
            "over",
            "nearly",
        ):
            if not _number_follows(words, j):
                break
        elif w in ("dozen", "pair", "couple", "trio", "quartet", "hundred", "half"):
            after = words[j + 1 : j + 2]
            if w == "half" and after[:1] not in (["a"], ["dozen"]):
                break
            n = lex.NUMBERS.get(w, 1)
            noun.count = 6 if noun.other == ("half",) else n * (noun.count if noun.counted else 1)
            noun.other = ("half",) if w == "half" else ()
            noun.counted = w != "half"
            if after[:1] == ["of"]:
                j += 1
        elif (n_ := _number(w)) is not None:
            noun.count, noun.counted = n_, True
        elif w in lex.VAGUE_NUMBERS:
            noun.count = lex.VAGUE_NUMBERS[w]
        else:
            break
        j += 1
    noun.other = ()
    return j


def _number(word: str) -> int | None:
    if word.isascii() and word.isdigit() and len(word) <= 6:
        return int(word)
    if word in lex.NUMBERS and word not in ("pair", "couple"):
        return lex.NUMBERS[word]
    tens, _, unit = word.partition("-")
    if unit and lex.NUMBERS.get(tens, 0) >= 20 and 0 < lex.NUMBERS.get(unit, 0) < 10:
        return lex.NUMBERS[tens] + lex.NUMBERS[unit]
    return None


def _number_follows(words: list[str], j: int) -> bool:
    ahead = words[j + 1 : j + 4]
    return any(_number(w) is not None or w in ("dozen", "pair", "couple") for w in ahead)


def _adjectives(words: list[str], j: int, noun: Noun, opened: bool) -> tuple[int, int]:
    """Colours, materials and sizes are kept; other adjectives that a comma or a known noun follows are skipped."""
    taken = 0
    while j < len(words) and taken < 10:
        w = words[j]
        # "an orange" is a fruit; "an orange car" is a car
        fruit = w in lex.NOUNS and not _noun_ahead(words, j + 1)
        if opened and fruit and (w in lex.COLOURS or w in lex.MATERIALS):
            break
        if w in lex.MATERIALS and (w not in lex.NOUNS or _noun_ahead(words, j + 1)):
            noun.material = noun.material or w
            if w in lex.COLOURS and w not in ("gold", "golden", "silver"):
                noun.colours.append((w, lex.COLOURS[w]))
            j += 1
        elif (found := lex.colour_at(words, j)) is not None:
            name, value, used = found
            noun.colours.append((name, value))
            j += used
        elif w in lex.SIZES:
            noun.size = lex.SIZES[w]
            j += 1
        elif (
            taken and w in ("and", "\0") and j + 1 < len(words) and lex.colour_at(words, j + 1) and w == "and"
        ):
            j += 1
        elif _skippable(words, j):
            noun.other = (*noun.other, w)
            j += 1
        else:
            break
        taken += 1
    return j, taken


_ADJECTIVES = lex.word_set("""
old young new plain bare simple clean empty full round square flat oval matt matte glossy shiny smooth rough
soft hard hot cold warm cool cute happy sad angry friendly fluffy furry elegant modern ancient vintage
rustic classic tiny wide narrow long thin thick heavy high low busy quiet calm open closed broken fresh ripe
dry wet dirty striped spotted dotted checked printed painted carved polished weathered worn single identical
equal similar different lone solitary tall short beautiful ornate delicate retro futuristic steaming smiling
sleeping sitting standing running flying bold serif italic sans-serif sans condensed blank sharp blurred
distant left right upper lower far nearby medieval handmade hand-painted hand-lettered decorative leafy
snowy sandy grassy stone-built folded rolled colourful colorful bright white-washed curved straight tilted
upright glowing lit unlit burning floating parked abandoned little french italian japanese chinese english
american greek roman gothic royal main first second third fourth fifth last next same public broad shallow
deep fine late early strong gentle visible heavy plump slender sturdy
""")


def _skippable(words: list[str], j: int) -> bool:
    w = words[j]
    if w in lex.NOUNS and not _noun_ahead(words, j + 1):
        return False
    if (
        w.endswith(("ing", "ed"))
        and w not in lex.NOUNS
        and any(lex.icon_for((n,)) for n in words[j + 1 : j + 2])
    ):
        return True  # "two sailing boats"
    return w in _ADJECTIVES or ("-" in w and _noun_ahead(words, j + 1) and w not in lex.NOUNS)


def _noun_ahead(words: list[str], j: int) -> bool:
    """Whether the very next words still belong to the phrase: a known noun, perhaps after one more adjective."""
    for k in range(j, min(j + 3, len(words))):
        w = words[k]
        if w in lex.STOP_WORDS or w == "\0" or w in lex.DETERMINERS:
            return False
        if lex.icon_for((w,)) or w in lex.LETTER_WORDS or w in lex.CLOTHES or w in lex.SETTINGS:
            return True
        if not (w in lex.COLOURS or w in lex.SIZES or w in lex.MATERIALS or w in _ADJECTIVES):
            return k == j and w not in lex.VERBS and not w.endswith(("ing", "ly"))
    return False


def _may_be_noun(words: list[str], j: int, start: int, opened: bool) -> bool:
    w = words[j]
    if (
        w == "\0"
        or w in lex.STOP_WORDS
        or w in lex.DETERMINERS
        or w in lex.PRONOUNS
        or _number(w) is not None
    ):
        return False
    if j > start and _relation(words, j) is not None:
        return False
    if w.endswith("ly") and w not in ("lily", "butterfly", "family", "jelly", "fly"):
        return False
    if (
        w in lex.VERBS
        and opened
        and w in lex.FRAME_NOUNS
        and words[j + 1 : j + 2]
        and _ends_phrase(words[j + 1])
    ):
        return True
    if w in lex.VERBS and opened and w in lex.FRAME_NOUNS and j + 1 == len(words):
        return True
    if w in lex.VERBS:
        return j == start and opened and (lex.icon_for((w,)) is not None or w in lex.LETTER_WORDS)
    return True


def _ends_phrase(word: str) -> bool:
    return word == "\0" or (word in lex.STOP_WORDS and word not in lex.DETERMINERS)


def _head(words: list[str], start: int, end: int) -> tuple[int, str | None]:
    """Where the phrase's nouns end, and the pictogram they name."""
    last_known = 0
    for k in range(start, end):
        if (
            lex.icon_for(tuple(words[start : k + 1]))
            or words[k] in lex.LETTER_WORDS
            or words[k] in lex.CLOTHES
        ):
            last_known = k + 1
    if not last_known:
        return end, None
    rest = words[last_known:end]
    if lex.singular(words[last_known - 1]) != words[last_known - 1]:
        rest = []  # plurals begin no compounds
    if rest and len(rest) == 1 and not rest[0].endswith(("s", "ed", "ing")):
        return end, None  # a compound such as "star map": its last noun says what it is
    head = words[last_known - 1]
    named = lex.icon_for(tuple(words[start:last_known]))
    if head in lex.CLOTHES and lex.icon_for((head,)) is None:
        named = None
    return last_known, named
