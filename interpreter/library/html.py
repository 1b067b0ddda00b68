"""Reads HTML: what a reader of the page would see, in order, under its headings."""

from __future__ import annotations

import re
from typing import NamedTuple

from genevolve.interpreter.library.passages import Block, Document
from genevolve.interpreter.library.text import decode, one_line

_DROPPED_NAMES = """
    audio button canvas embed form head iframe math nav noscript object option script select style svg template
    textarea title video
"""
_DROPPED = frozenset(_DROPPED_NAMES.split())
_BLOCK_NAMES = """
    address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure
    footer h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu ol p pre section summary table tbody tfoot thead
    tr ul
"""
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_LEVELS = {f"h{level}": level for level in range(1, 7)}
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)")
_UNCLOSED_NAMES = """
    area base br col colgroup dd dt embed hr img input li link meta optgroup option p param rp rt source tbody td tfoot
    th thead tr track wbr
"""
_UNCLOSED = frozenset(_UNCLOSED_NAMES.split())
_DEPTH = 512
"""Browsers nest no deeper either. The time that parsing takes grows with the square of the depth."""
_HEADING_LENGTH = 120


class _Place(NamedTuple):
    """Where a node stands: the block element around it, and whether it is shown."""

    block: int
    tag: str
    shown: bool


def read_html(data: bytes) -> Document:
    """Title, headings and text of a page. Scripts, styles, forms, menus and hidden parts are left out.

    Raises `ValueError` when its tags are nested too deeply.
    """
    from selectolax.lexbor import LexborHTMLParser

    source = _decoded(data)
    if _depth(source) > _DEPTH:
        raise ValueError(f"its tags are nested more than {_DEPTH} deep")
    tree = LexborHTMLParser(source)
    title = tree.css_first("title")
    name = one_line(title.text(), _HEADING_LENGTH) if title is not None else ""
    page = _Page()
    if tree.body is not None:
        places: dict[int, _Place] = {}
        # Dropped parts are stepped over, not cut out: cutting a part out of one that is gone already is not safe.
        for node in tree.body.traverse(include_text=True):
            parent = node.parent
            above = places.get(parent.mem_id if parent is not None else 0, _Place(0, "", True))
            tag = node.tag or ""
            if node.is_element_node:
                shown = above.shown and tag not in _DROPPED and not _is_hidden(node.attributes)
                inside = _Place(node.mem_id, tag, shown) if tag in _BLOCKS else above._replace(shown=shown)
                places[node.mem_id] = inside
                if shown and tag in ("td", "th", "br"):
                    page.add(inside, ", " if tag != "br" else "\n", starts=False)
            elif node.is_text_node and above.shown:
                page.add(above, node.text_content or "", starts=True)
    page.close()
    first = next((block.headings[0] for block in page.blocks if block.headings), "")
    return Document(name or first, tuple(page.blocks))


class _Page:
    """Collects text by the block that it stands in."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._path: list[str] = []
        self._pending: list[str] = []
        self._place = _Place(0, "", True)

    def add(self, place: _Place, text: str, *, starts: bool) -> None:
        """Add text; text of another block closes the one before, a separator (`starts` false) does not."""
        if place.block != self._place.block and starts:
            self.close()
            self._place = place
        if self._pending or starts:
            self._pending.append(text)

    def close(self) -> None:
        """Keep what was collected: as a heading, or as a paragraph under the headings so far."""
        text = one_line("".join(self._pending)).replace(" , ", ", ").strip(", ")
        self._pending.clear()
        level = _LEVELS.get(self._place.tag)
        if text and level:
            del self._path[level - 1 :]
            missing = level - 1 - len(self._path)
            self._path.extend([""] * missing + [one_line(text, _HEADING_LENGTH)])
        elif text:
            self.blocks.append(Block(text, tuple(h for h in self._path if h)))


def _depth(source: str) -> int:
    """The most tags that are open at once, those without an end tag left aside."""
    opened: dict[str, int] = {}
    depth = most = 0
    for match in _TAG.finditer(source):
        name = match.group(2).lower()
        if name in _UNCLOSED:
            continue
        count = opened.get(name, 0)
        if not match.group(1):
            opened[name] = count + 1
            depth += 1
            most = max(most, depth)
        elif count:
            opened[name] = count - 1
            depth -= 1
    return most


def _is_hidden(attributes: dict[str, str | None]) -> bool:
    style = (attributes.get("style") or "").replace(" ", "").lower()
    return (
        "hidden" in attributes
        or attributes.get("aria-hidden") == "true"
        or "display:none" in style
        or "visibility:hidden" in style
    )


def _decoded(data: bytes) -> str:
    marked = data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"))
    if not marked and (found := _CHARSET.search(data[:4096])):
        name = found.group(1).decode("ascii").lower()
        if name.startswith(("iso-8859", "windows-", "cp125", "shift", "sjis", "euc-", "gb", "big5", "koi8")):
            try:
                return data.decode(name, errors="replace")
            except LookupError:
                pass
    return decode(data)
