"""What a chat model says, reduced to the text of the language that it holds.

Models that were trained to chat put programs into Markdown fences and talk around them, and reasoning models think
aloud first. What is taken is the single fenced block. Anything else is passed on as it is: the loop that reads it says
precisely what is wrong with it, and a guess would hide that.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source

MOST_CHARACTERS = 262_144
"""What is read of one answer; no program is longer (256 KiB)."""

_FENCE = re.compile(r"^[ \t]{0,3}(?P<marks>`{3,}|~{3,})[ \t]*(?P<label>[^`\n]*)$", re.MULTILINE)
_THOUGHT = re.compile(r"\A\s*<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)


class Fenced(NamedTuple):
    """A fenced block: what the fence is labelled with, and what stands in it."""

    label: str
    text: str


def unwrapped(answer: str) -> str:
    """The program text of a model's answer.

    Thoughts in `<think>…</think>` at the beginning go. Then: an answer that reads as statements is taken as it is,
    even with fences in its strings; else the single fenced block is; else the answer is returned as it is.
    """
    text = answer[:MOST_CHARACTERS].replace("\r\n", "\n")
    text = _THOUGHT.sub("", text, count=1)
    if "```" not in text and "~~~" not in text:
        return text
    if not parse(Source(text.strip("\n") + "\n", "<answer>")).diagnostics:
        return text
    blocks = fenced_blocks(text)
    return blocks[0].text if len(blocks) == 1 else text


def fenced_blocks(text: str) -> list[Fenced]:
    """The fenced blocks of a Markdown text, in order. A fence that is never closed reaches to the end."""
    blocks: list[Fenced] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif _closes(fence, opened):
            blocks.append(_block(opened, text[opened.end() + 1 : fence.start()]))
            opened = None
    if opened is not None:
        blocks.append(_block(opened, text[opened.end() + 1 :]))
    return blocks


def _closes(fence: re.Match[str], opened: re.Match[str]) -> bool:
    marks, first = fence["marks"], opened["marks"]
    return marks[0] == first[0] and len(marks) >= len(first) and not fence["label"].strip()


def _block(opened: re.Match[str], text: str) -> Fenced:
    body = text.rstrip()
    return Fenced(opened["label"].strip().lower(), body + "\n" if body else "")
