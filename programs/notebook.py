"""How programs look in notebooks: the source, coloured."""

from __future__ import annotations

import html
import re

_TOKEN = re.compile(
    r'(?P<comment>\#[^\n]*)|(?P<string>"""(?:\\.|[^\\])*?"""|"(?:\\.|[^"\\\n])*")'
    r"|(?P<hole>\.\.\.|\?)|(?P<number>-?\b\d+(?:x\d+|\.\d+)?\b)|(?P<word>[A-Za-z_]\w*)",
    re.DOTALL,
)
_STATEMENTS = frozenset(["program", "request", "let", "ref", "use", "prompt", "avoid", "require", "render"])
_WORDS = frozenset(["skill", "for", "true", "false"])
# Readable on white and on black; a hole stands out, since it is what keeps a program from running.
_STYLES = {
    "comment": "color:#7a8288;font-style:italic",
    "string": "color:#2e8b57",
    "hole": "color:#fff;background:#c0392b;padding:0 .2em;border-radius:.2em",
    "number": "color:#b8681a",
    "statement": "color:#3b7dd8;font-weight:600",
    "keyword": "color:#3b7dd8",
    "call": "color:#8e5bb5",
}
_INTERPOLATION = re.compile(r"(?<!\{)\{[A-Za-z_]\w*\}(?!\})")


def highlight(source: str) -> str:
    """The source as an HTML fragment; everything in it is escaped, scripts and styles have no place to stand."""
    out: list[str] = []
    at = 0
    for match in _TOKEN.finditer(source):
        out.append(html.escape(source[at : match.start()]))
        out.append(_coloured(match, source))
        at = match.end()
    out.append(html.escape(source[at:]))
    return (
        '<pre style="line-height:1.45;white-space:pre-wrap;font-family:monospace"><code>'
        f"{''.join(out)}</code></pre>"
    )


def _coloured(match: re.Match[str], source: str) -> str:
    kind, text = match.lastgroup or "", match.group()
    if kind == "word":
        if text in _STATEMENTS:
            kind = "statement"
        elif text in _WORDS:
            kind = "keyword"
        elif source[match.end() : match.end() + 1] == "(":
            kind = "call"
        else:
            return html.escape(text)
    shown = html.escape(text)
    if kind == "string":
        shown = _INTERPOLATION.sub(lambda m: f'<span style="{_STYLES["number"]}">{m.group()}</span>', shown)
    return f'<span style="{_STYLES[kind]}">{shown}</span>'
