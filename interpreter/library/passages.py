"""Documents as passages: pieces of text that can be found, read and quoted on their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from genevolve.interpreter.library.text import clean, one_line, sentences

GOAL = 80
"""A passage is closed at a paragraph's end once it has this many words."""
MOST = 150
"""No passage has more words than this."""
_LONGEST_WORD = 80
"""Longer runs without a blank (encoded data, for the most part) are cut."""
_LONGEST_NAME = 24
"""From this length on, a run of letters beyond ASCII is taken for words without blanks."""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, a list item or a table row, with the headings that it stands under, outermost first."""

    text: str
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """What a reader finds in a file. An empty title means that the file name has to do."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of at most `MOST` words, and the headings over it."""

    text: str
    heading: str = ""


def passages(document: Document) -> tuple[Passage, ...]:
    """Cut a document: paragraphs under one heading are joined up to `GOAL` words, long ones cut at sentences."""
    found: list[Passage] = []
    pending: list[str] = []
    count = 0
    heading: tuple[str, ...] = ()

    def close() -> None:
        nonlocal count
        if pending:
            found.append(Passage("\n".join(pending), _path(heading, document.title)))
        pending.clear()
        count = 0

    for block in document.blocks:
        if block.headings != heading:
            close()
            heading = block.headings
        for piece in _pieces(block.text):
            size = _size(piece)
            if count and count + size > MOST:
                close()
            pending.append(piece)
            count += size
            if count >= GOAL:
                close()
    close()
    return tuple(found)


def _path(headings: Iterable[str], title: str) -> str:
    return " › ".join(h for h in headings if h and h != title)


def _size(text: str) -> int:
    """Words of a text. In scripts without blanks two characters count as one, and very long words as several."""
    return sum(_length(word) for word in text.split())


def _length(word: str) -> int:
    if word.isascii():
        return 1 + len(word) // _LONGEST_WORD
    return len(word) // 2 if len(word) > _LONGEST_NAME else 1


def _pieces(text: str) -> Iterator[str]:
    """A paragraph whole if it fits, else groups of its sentences."""
    text = one_line(text)
    if not text:
        return
    if _size(text) <= MOST:
        yield text
        return
    group: list[str] = []
    count = 0
    for sentence in (part for whole in sentences(text) for part in _cut(whole)):
        size = _size(sentence)
        if group and count + size > MOST:
            yield " ".join(group)
            group, count = [], 0
        group.append(sentence)
        count += size
    if group:
        yield " ".join(group)


def _cut(sentence: str) -> Iterator[str]:
    """A sentence in parts of at most `MOST` words, none longer than a page of characters."""
    if _size(sentence) <= MOST:
        yield sentence
        return
    words = [
        word[i : i + _LONGEST_WORD] for word in sentence.split() for i in range(0, len(word), _LONGEST_WORD)
    ]
    group: list[str] = []
    count = 0
    for word in words:
        size = _size(word)
        if group and count + size > MOST:
            yield " ".join(group)
            group, count = [], 0
        group.append(word)
        count += size
    yield " ".join(group)


def paragraphs(text: str, headings: tuple[str, ...] = ()) -> list[Block]:
    """Blocks of a plain text: paragraphs are parted by blank lines."""
    parts = "\n".join(line.strip() for line in clean(text).split("\n")).split("\n\n")
    return [Block(line, headings) for part in parts if (line := one_line(part))]
