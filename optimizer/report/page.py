"""What report pages are made of: the frame with its policy, escaping, figures, tables and bars.

Everything in a page was written by strangers: models, suites, files that somebody sent. A page loads nothing, runs no
script but its own, and no text in it can end an element, draw invisible characters or turn the direction of a line.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from genevolve.grammar.display import harmless

LONGEST = 6_000
"""Characters of one text that a page shows."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'sha256-{style_digest}'; script-src 'sha256-{script_digest}'; base-uri 'none'; form-action 'none'">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
<script>{script}</script>
</body>
</html>
"""


def page(title: str, body: str, *, style: str, script: str) -> str:
    """A whole page. `title` is plain text; `body` is HTML whose texts are escaped."""
    return _PAGE.format(
        style_digest=_digest(style),
        script_digest=_digest(script),
        title=safe(title),
        style=style,
        body=body,
        script=script,
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


# ---- texts -------------------------------------------------------------------------------------------


def safe(value: object, most: int = LONGEST) -> str:
    """A value as text on one line for HTML: cut, escaped, and with nothing invisible in it."""
    return escape(harmless(cut(str(value), most)))


def block(text: str) -> str:
    """A text with its line breaks."""
    return f"<pre>{chr(10).join(escape(harmless(line)) for line in cut(text).split(chr(10)))}</pre>"


def cut(text: str, most: int = LONGEST) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def figure(value: float | None, sign: str = "", places: int = 3) -> str:
    """A number as text, `-` for none."""
    return "-" if value is None else f"{value:{sign}.{places}f}"


def compact(value: float | None) -> str:
    """A number of any size in few characters."""
    if value is None:
        return "-"
    size = abs(value)
    if size >= 1e6 or 0 < size < 1e-3:
        return f"{value:.2e}"
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def duration(seconds: float | None) -> str:
    """Seconds in words."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.0f} min" if minutes < 100 else f"{hours:.1f} h"


def ends(found: Mapping[str, Any], sign: str = "") -> str:
    """The ends of an interval, empty where there is none."""
    if found["low"] is None:
        return ""
    return f"[{found['low']:{sign}.2f}, {found['high']:{sign}.2f}]"


# ---- parts -------------------------------------------------------------------------------------------


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Names with their values; those without a value are left out."""
    shown = "".join(f"<dt>{safe(k)}</dt><dd>{safe(v)}</dd>" for k, v in pairs if v not in (None, ""))
    return f"<dl>{shown}</dl>" if shown else ""


def tiles(pairs: Iterable[tuple[str, str]]) -> str:
    """Large figures, each with what it is."""
    shown = "".join(f'<div class="tile"><b>{safe(b)}</b><span>{safe(t)}</span></div>' for b, t in pairs)
    return f'<div class="tiles">{shown}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, prose: bool = False) -> str:
    """A table that scrolls sideways where it is too wide; cells are plain text, with `prose` long ones in the last."""
    top = _cells("th", head, prose=prose)
    body = "".join(f"<tr>{_cells('td', row, prose=prose)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
        if body
        else ""
    )


def _cells(tag: str, cells: Sequence[str], *, prose: bool) -> str:
    last = len(cells) - 1 if prose else -1
    marks = [' class="prose"' if i == last else "" for i in range(len(cells))]
    return "".join(f"<{tag}{mark}>{safe(cell)}</{tag}>" for mark, cell in zip(marks, cells, strict=True))


def bar(name: str, intervals: Sequence[Mapping[str, Any] | None], told: Mapping[str, Any] | None) -> str:
    """A label, one bar for each run (as inline SVG) from 0 to 1, and the figure.

    Args:
        name: The label.
        intervals: `mean`, `low`, `high` and `n` of each run, None where it has none; `low` may be None.
        told: The interval that is written beside; that of the first run when it is None.
    """
    height = 16 / len(intervals)
    parts = ['<rect class="ground" width="100" height="16"/>']
    for index, (found, style) in enumerate(zip(intervals, ("fa", "fb"), strict=False)):
        if found is None or found["mean"] is None:
            continue
        top = index * height
        parts.append(
            f'<rect class="{style}" y="{top + 1:.1f}" width="{_x(found["mean"])}" height="{height - 2:.1f}"/>'
        )
        if found["low"] is None:
            continue
        middle = f"{top + height / 2:.1f}"
        low, high = _x(found["low"]), _x(found["high"])
        parts.append(
            f'<line class="whisker" x1="{low}" x2="{high}" y1="{middle}" y2="{middle}" '
            'vector-effect="non-scaling-stroke"/>'
        )
    first = intervals[0]
    mean = "-" if first is None else figure(first["mean"])
    shown = "" if first is None else f' <small class="dim ends">{escape(ends(first))}</small>'
    if told is not None:
        mean = figure(told["mean"], "+")
        shown = f' <small class="dim ends">{escape(ends(told, "+"))}</small>'
    count = "" if first is None or not first["n"] else f" ({first['n']})"
    svg = f'<svg viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true">{"".join(parts)}</svg>'
    label = f"{safe(name.replace('_', ' '))}<span class='small'>{escape(count)}</span>"
    return f'<div class="bar"><span class="wrap">{label}</span>{svg}<span>{escape(mean)}{shown}</span></div>'


def share(name: str, part: float, whole: float, told: str = "") -> str:
    """A label, a bar for a part of a whole, and its percentage; `told` stands beside the label."""
    value = part / whole if whole > 0 else 0.0
    svg = (
        '<svg viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true"><rect class="ground" width="100" '
        f'height="16"/><rect class="fa" y="1" width="{_x(value)}" height="14"/></svg>'
    )
    more = f" <span class='small'>{safe(told)}</span>" if told else ""
    label = f'<span class="wrap">{safe(name)}{more}</span>'
    return f'<div class="bar share">{label}{svg}<span>{value:.0%}</span></div>'


def _x(value: float) -> str:
    return f"{min(1.0, max(0.0, value)) * 100:.2f}"
