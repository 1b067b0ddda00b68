"""Prompts in pieces: sentences and clauses, tokens, and the difference of two token lists, word by word.

Interpolations are one token each, with a key of their own, so that a renamed reference need not look like another
word. Everything here is linear in the text, word differences excepted, which are bounded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

from genevolve.grammar.layout import MARK, join_lines, sound
from genevolve.grammar.tree import String

Key: TypeAlias = str | int
"""What tokens are compared by: the word itself, or the number of what an interpolation stands for."""


class Token(NamedTuple):
    """A word, a punctuation mark or an interpolation. `spaced` tells whether white space comes before it."""

    key: Key
    shown: str
    spaced: bool = False

    @property
    def is_word(self) -> bool:
        """Whether it says something: a word, a number or an interpolation."""
        return isinstance(self.key, int) or self.key[0].isalnum()


class Edit(NamedTuple):
    """A stretch of text that both sides have, or only the first, or only the second.

    White space before the stretch belongs to it. `before` is how a kept stretch reads on the first side when that
    differs, because a name in it has another name there.
    """

    action: Literal["keep", "remove", "add"]
    text: str
    before: str | None = None


_TOKEN = re.compile(rf"(\s*)({MARK}|\w+(?:['’.\-]\w+)*|[^\w\s])")
_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|\Z)|[。！？]|;(?=\s|\Z)|\n")
_ABBREVIATION = re.compile(
    r"(?:(?:\A|[\s(\"'“‘])(?:e\.g|i\.e|cf|vs|approx|ca|no|nr|fig|mr|mrs|ms|dr|st|prof|jr|sr)|(?:\A|[\s(])[A-Z])\.\Z",
    re.IGNORECASE,
)
_OPENING = {"“": "”", "«": "»", "(": ")", "[": "]", "「": "」"}
_MAX_TAG_WORDS = 6
_MAX_COMPARED = 400_000


def tokens(string: String, key: Callable[[str], int]) -> list[Token]:
    """The tokens of a string; `key` numbers what a name stands for."""
    return _tokens(_template(string), iter([(p.name, key(p.name)) for p in string.interpolations]))


def clauses(string: String, key: Callable[[str], int]) -> list[list[Token]]:
    """The clauses of a string, each without the mark that ends it; see `split_clauses`."""
    names = iter([(p.name, key(p.name)) for p in string.interpolations])
    found = (_trimmed(_tokens(text, names)) for text in split_clauses(_template(string)))
    return [clause for clause in found if clause]


def items(string: String, key: Callable[[str], int]) -> list[list[Token]]:
    """The items of an `avoid` text: what its commas, semicolons and line breaks separate, quotes left whole."""
    text = _template(string)
    names = iter([(p.name, key(p.name)) for p in string.interpolations])
    cuts = [i + 1 for i, inside in enumerate(_inside(text)) if not inside and text[i] in ",;\n"]
    found = (_trimmed(_tokens(piece, names)) for piece in _cut(text, cuts))
    return [item for item in found if item]


def split_clauses(text: str) -> list[str]:
    """The text cut after sentences, semicolons and line breaks, and lists of tags at their commas.

    Quoted and bracketed text is never cut; abbreviations, initials and decimal points end no sentence. The
    pieces joined are the text again.
    """
    inside = _inside(text)
    cuts: list[int] = []
    for match in _END.finditer(text):
        end = match.end()
        closed = match[0] == "\n" or not inside[end - 1]
        if closed and not _goes_on(text, match.start(), end):
            cuts.append(end)
    return [piece for sentence in _cut(text, cuts) for piece in _tags(sentence)]


def _goes_on(text: str, start: int, end: int) -> bool:
    """Whether the mark at `start` ends no sentence: an abbreviation, dots or a quotation amid a sentence."""
    if text[start] not in ".!?…" or (text[start] != "." and end - start == 1):
        return False
    following = text[end : end + 80].lstrip(" ")[:1]
    return following.islower() or bool(_ABBREVIATION.search(text[max(0, start - 8) : end]))


def _tags(sentence: str) -> list[str]:
    """`golden hour, 35mm film, wide shot` as three pieces; a sentence with commas stays one."""
    inside = _inside(sentence)
    pieces = _cut(sentence, [i + 1 for i, c in enumerate(sentence) if c == "," and not inside[i]])
    lengths = [len(piece.split()) for piece in pieces]
    is_list = (
        len(pieces) >= 3 and max(lengths) <= _MAX_TAG_WORDS and sentence.rstrip()[-1:] not in ".!?。！？"
    )
    return pieces if is_list else [sentence]


def _cut(text: str, cuts: Sequence[int]) -> list[str]:
    edges = [0, *cuts, len(text)]
    return [text[a:b] for a, b in pairwise(edges) if a < b]


def _inside(text: str) -> list[bool]:
    """For each character, whether it stands inside quotes or brackets (which end with the line at the latest)."""
    found: list[bool] = []
    for line in text.split("\n"):
        stack: list[str] = []
        for i, character in enumerate(line):
            if stack and character == stack[-1]:
                stack.pop()
            elif character == '"' and not line[i - 1 : i].isalnum() and line.find('"', i + 1, i + 1_000) > 0:
                stack.append('"')  # after a letter or a digit it closes something, or means inches
            elif character in _OPENING and line.find(_OPENING[character], i + 1, i + 1_000) > 0:
                stack.append(_OPENING[character])
            found.append(bool(stack))
        found.append(False)
    found.pop()
    return found


def _template(string: String) -> str:
    text = "".join(sound(p) if isinstance(p, str) else MARK for p in string.parts)
    return join_lines(text) if string.triple else text


def _tokens(text: str, names: Iterator[tuple[str, int]]) -> list[Token]:
    found: list[Token] = []
    for space, shown in _TOKEN.findall(text):
        if shown == MARK:
            name, key = next(names)
            found.append(Token(key, f"{{{name}}}", bool(space)))
        else:
            found.append(Token(shown, shown, bool(space)))
    return found


def _trimmed(clause: list[Token]) -> list[Token]:
    while clause and clause[-1].key in (".", ",", ";", "。"):
        clause.pop()
    return clause


def shown(text: Sequence[Token]) -> str:
    """The tokens as text."""
    return "".join((" " if t.spaced and i else "") + t.shown for i, t in enumerate(text))


def words(text: Sequence[Token]) -> Counter[Key]:
    """What the text says, as a bag: words without case, interpolations by what they stand for."""
    return Counter(t.key.casefold() if isinstance(t.key, str) else t.key for t in text if t.is_word)


def likeness(a: Counter[Key], b: Counter[Key]) -> float:
    """The share of words that two bags have in common (Dice): 1 for the same words, 0 for none."""
    total = a.total() + b.total()
    if not total:
        return 1.0
    if len(a) > len(b):
        a, b = b, a
    return 2 * sum(min(n, b[key]) for key, n in a.items() if key in b) / total


def word_edits(a: Sequence[Token], b: Sequence[Token]) -> tuple[Edit, ...]:
    """How to get from one text to the other, in stretches of words.

    Texts of many thousand words are not compared word by word: what they do not share at their beginning and
    end is one removal and one addition.
    """
    before, after = [t.key for t in a], [t.key for t in b]
    head, tail = _common_ends(before, after)
    left, right = before[head : len(a) - tail], after[head : len(b) - tail]
    if len(left) * len(right) > _MAX_COMPARED:
        blocks = [("replace", 0, len(left), 0, len(right))]
    else:
        blocks = list(SequenceMatcher(None, left, right, autojunk=False).get_opcodes())
    edits: list[Edit] = []
    _keep(edits, a[:head], b[:head])
    for tag, i, j, k, m in blocks:
        if tag == "equal":
            _keep(edits, a[head + i : head + j], b[head + k : head + m])
        else:
            _add(edits, "remove", a[head + i : head + j])
            _add(edits, "add", b[head + k : head + m])
    _keep(edits, a[len(a) - tail :], b[len(b) - tail :])
    return tuple(edits)


def _common_ends(a: Sequence[Key], b: Sequence[Key]) -> tuple[int, int]:
    head = 0
    while head < min(len(a), len(b)) and a[head] == b[head]:
        head += 1
    tail = 0
    while tail < min(len(a), len(b)) - head and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    return head, tail


def _keep(edits: list[Edit], a: Sequence[Token], b: Sequence[Token]) -> None:
    if not b:
        return
    gap = " " if edits and (a[0].spaced or b[0].spaced) else ""
    before, after = gap + shown(a), gap + shown(b)
    edits.append(Edit("keep", after, before if before != after else None))


def _add(edits: list[Edit], action: Literal["remove", "add"], text: Sequence[Token]) -> None:
    if not text:
        return
    first = not edits or (len(edits) == 1 and edits[0].action == "remove")
    edits.append(Edit(action, (" " if text[0].spaced and not first else "") + shown(text)))
