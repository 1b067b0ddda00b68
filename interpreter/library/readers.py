"""Reads documents: plain text, Markdown, JSON, HTML, PDF. Every byte is a stranger's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from genevolve.interpreter.library.html import read_html
from genevolve.interpreter.library.passages import Block, Document, Passage, paragraphs, passages
from genevolve.interpreter.library.pdf import PdfProcess, Unreadable
from genevolve.interpreter.library.text import clean, decode, one_line

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

DOCUMENTS = frozenset({".txt", ".text", ".md", ".markdown", ".json", ".html", ".htm", ".pdf"})
_TITLE_LENGTH = 120
_JSON_DEPTH = 32
_JSON_VALUES = 100_000
_TITLE_KEYS = ("title", "name", "heading")
_PLAIN_KEYS = frozenset(
    {"text", "body", "content", "contents", "summary", "description", "caption", "abstract"}
)
_PLAIN_LISTS = frozenset({"facts", "paragraphs", "sections", "notes", "items", "lines", "pages"})

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t:]*-[-| \t:]*$")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_MARKUP = (
    (re.compile(r"!?\[([^\[\]\n]{0,500})\]\([^()\s]{0,2000}(?:\s[^()\n]{0,200})?\)"), r"\1"),
    (re.compile(r"!?\[([^\[\]\n]{0,500})\]\[[^\[\]\n]{0,200}\]"), r"\1"),
    (re.compile(r"<(https?://[^<>\s]{1,2000})>"), r"\1"),
    (re.compile(r"</?[A-Za-z][^<>\n]{0,500}>"), ""),
    (re.compile(r"(\*\*|__|~~)(?=\S)([^\n]{1,500}?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<!\w)([*_])(?=\S)([^*_\n]{1,500}?)(?<=\S)\1(?!\w)"), r"\2"),
    (re.compile(r"(`+)([^`\n]{1,500})\1"), r"\2"),
    (re.compile(r"\\([!-/:-@\[-`{-~])"), r"\1"),
)


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """How much of one file is read: bytes of a document, its pages, its passages."""

    document_bytes: int = 32 * 1024 * 1024
    pages: int = 500
    passages: int = 4_000
    pdf_seconds: float = 30.0


def read_document(
    suffix: str, data: bytes, limits: ReadLimits, pdf: PdfProcess
) -> tuple[str, tuple[Passage, ...]]:
    """Title and passages of a document; the title is empty when the document names none.

    Raises `Unreadable` with a plain reason when nothing can be made of the bytes.
    """
    if not data:
        raise Unreadable("it is empty")
    readers: dict[str, Callable[[bytes], Document]] = {
        ".md": read_markdown,
        ".markdown": read_markdown,
        ".json": read_json,
        ".html": read_html,
        ".htm": read_html,
        ".pdf": lambda data: pdf.read(data, limits.pages, limits.pdf_seconds),
    }
    try:
        document = readers.get(suffix, read_text)(data)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Unreadable(reason) from error
    found = passages(document)
    if not found:
        raise Unreadable("it holds no text")
    return one_line(document.title, _TITLE_LENGTH), found[: limits.passages]


def read_text(data: bytes) -> Document:
    """Plain text. A short first line with a blank one under it is the title."""
    text = clean(decode(data)).strip("\n")
    first, _, rest = text.partition("\n")
    if rest.startswith("\n") and 0 < len(first.strip()) <= _TITLE_LENGTH and first.strip()[-1] not in ".,;":
        return Document(first.strip(), tuple(paragraphs(rest)))
    return Document("", tuple(paragraphs(text)))


def read_markdown(data: bytes) -> Document:
    """Markdown: the first heading of the first level is the title, headings make the path, markup goes."""
    matter, lines = _front_matter(_COMMENT.sub("", clean(decode(data))).split("\n"))
    blocks: list[Block] = []
    path: list[str] = []
    title = matter
    pending: list[str] = []

    def close() -> None:
        if text := one_line(_plain(" ".join(pending))):
            blocks.append(Block(text, tuple(h for h in path if h)))
        pending.clear()

    for level, text in _markdown_lines(lines):
        if level:
            close()
            heading = one_line(_plain(text), _TITLE_LENGTH)
            title = title or (heading if level == 1 else "")
            del path[level - 1 :]
            path.extend([""] * (level - 1 - len(path)) + [heading])
        elif not text.strip():
            close()
        else:
            if _ITEM.match(text) or text.lstrip().startswith("|"):
                close()
            pending.append(_unlisted(text))
    close()
    return Document(title, tuple(blocks))


def _markdown_lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Lines with the level of the heading they are, 0 for text; what stands in a code fence is text."""
    fence = ""
    starts = True  # whether this line begins a paragraph: only such a line can be underlined
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        level, text = 0, line
        if mark := _FENCE.match(line):
            text = ""
            if not fence:
                fence = mark.group(1)
            elif mark.group(1).startswith(fence) and not line.strip(" `~"):
                fence = ""
        elif not fence:
            if heading := _HEADING.match(line):
                level, text = len(heading.group(1)), heading.group(2) or ""
            elif starts and line.strip() and len(following.strip()) > 1 and _UNDERLINE.match(following):
                level = 1 if "=" in following else 2
            elif _UNDERLINE.match(line) or _TABLE_RULE.match(line):
                text = ""
        yield level, text
        starts = level > 0 or not text.strip()


def _unlisted(line: str) -> str:
    if line.lstrip().startswith("|"):
        return ", ".join(cell.strip() for cell in line.strip().strip("|").split("|") if cell.strip())
    mark = _ITEM.match(line)
    return (line[mark.end() :] if mark else line).lstrip("> ")


def _plain(text: str) -> str:
    for pattern, kept in _MARKUP:
        text = pattern.sub(kept, text)
    return text


def _front_matter(lines: list[str]) -> tuple[str, list[str]]:
    """The title that a YAML header names, and the lines after the header."""
    if not lines or lines[0].strip() != "---":
        return "", lines
    for end in range(1, min(len(lines), 200)):
        if lines[end].strip() in ("---", "..."):
            for line in lines[1:end]:
                if line.startswith("title:"):
                    return line.removeprefix("title:").strip().strip("\"'"), lines[end + 1 :]
            return "", lines[end + 1 :]
    return "", lines


def read_json(data: bytes) -> Document:
    """JSON: every string and number with the keys over it. `title`, `name` or `heading` of an object is its heading."""
    try:
        value: Json = json.loads(decode(data))
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} in line {error.lineno}") from error
    title = _json_title(value)
    blocks: list[Block] = []
    for block in _json_blocks(value, (), "", 0):
        blocks.append(block)
        if len(blocks) > _JSON_VALUES:
            raise ValueError(f"it has more than {_JSON_VALUES:,} values")
    return Document(title, tuple(blocks))


def _json_title(value: Json) -> str:
    if isinstance(value, dict):
        for key in _TITLE_KEYS:
            if isinstance(found := value.get(key), str) and found.strip():
                return one_line(found, _TITLE_LENGTH)
    return ""


def _json_blocks(value: Json, headings: tuple[str, ...], label: str, depth: int) -> Iterator[Block]:
    if depth > _JSON_DEPTH:
        raise ValueError(f"it is nested more than {_JSON_DEPTH} deep")
    match value:
        case dict():
            title = _json_title(value)
            inner = (*headings, title) if title else (*headings, label) if label else headings
            for key, item in value.items():
                if item == title and key in _TITLE_KEYS:
                    continue
                name = one_line(key.replace("_", " "), _TITLE_LENGTH)
                plain = key.lower() in _PLAIN_KEYS or (key.lower() in _PLAIN_LISTS and isinstance(item, list))
                yield from _json_blocks(item, inner, "" if plain else name, depth + 1)
        case list() if value and all(isinstance(item, int | float) for item in value):
            if len(value) <= 64:  # longer runs of numbers are data, not something to quote
                yield from _json_blocks(", ".join(map(str, value)), headings, label, depth)
        case list():
            for item in value:
                yield from _json_blocks(item, headings, label, depth + 1)
        case str():
            for block in paragraphs(value, headings):
                yield Block(f"{label}: {block.text}" if label else block.text, headings)
        case bool() | int() | float():
            yield Block(f"{label}: {json.dumps(value)}" if label else json.dumps(value), headings)
