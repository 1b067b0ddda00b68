"""Mutation fuzz of everything that reads programs: 20,000 damaged programs, the same ones in every run.

Real programs are damaged as bytes, characters, tokens and statements, then read, parsed, checked and formatted.
Nothing may raise, every span must lie inside the text, and no input may take long.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import pytest

from genevolve.grammar.builtins import builtin_environment
from genevolve.grammar.checker import check
from genevolve.grammar.codes import CODES
from genevolve.grammar.diagnostics import Diagnostic
from genevolve.grammar.formatter import format_tree
from genevolve.grammar.parser import parse
from genevolve.grammar.reader import MAX_DIAGNOSTICS, read_source
from genevolve.grammar.span import Source
from genevolve.grammar.types import SkillInfo

INPUTS = 20_000
SEED = 20_260_521
_ROOT = Path(__file__).parents[2]
_TOKEN = re.compile(r'"""[\s\S]*?"""|"[^"\n]*"|#[^\n]*|\w+|\s+|[^\w\s]')
_STATEMENT = re.compile(r"(?m)^(?=(?:program|request|let|ref|use|prompt|avoid|require|render|\.\.\.))")
_SKILLS = {
    "text_rendering": SkillInfo("text_rendering", expects=("text",)),
    "spatial_layout": SkillInfo("spatial_layout"),
}
_PIECES = (
    *(
        '"',
        '"""',
        "'",
        "{",
        "}",
        "{{",
        "{title}",
        "{",
        "\\",
        "\\u{",
        "\\u{d800}",
        "#",
        "(",
        ")",
        "[",
        "]",
        ",",
        ":",
    ),
    *("=", "==", "!=", "<", "...", "..", "?", "-", "+", ";", "//", "\u201c", "\u201d", "\u00d7", "@"),
    *(
        "let",
        "ref",
        "prompt",
        "render",
        "for",
        "skill",
        "true",
        "program",
        "request",
        "use",
        "promt",
        "Let",
        "name",
    ),
    *(
        "12abc",
        "1.2.3",
        "0x10",
        "10x",
        "1024x",
        "-5",
        "1e9",
        "9" * 30,
        "9" * 5000,
        "0" * 400 + ".0",
        "1024x768",
    ),
    *(
        "\0",
        "\x1b[31m",
        "\u202e",
        "\u200b",
        "\u200d",
        "\ufeff",
        "\u2028",
        "\x85",
        "\u00a0",
        "\U0001f469\u200d\U0001f467",
    ),
    *(
        "\r",
        "\r\n",
        "\n\n\n",
        "\t",
        "   ",
        "caf\u00e9",
        "\u4e2d",
        "first reference image",
        "IMG_001",
        "http://a.b",
    ),
    *(
        "(" * 60,
        "[0]" * 60,
        "f(" * 55,
        ")" * 9,
        "search(",
        "a" * 3000,
        'let a = search("x")\n',
        "require count(",
        "\n...",
    ),
)


def corpus() -> list[str]:
    """Real programs: the shipped ones and the golden ones that are text."""
    paths = sorted((_ROOT / "programs" / "library").rglob("*.gprog")) + sorted(
        (_ROOT / "tests" / "golden").rglob("*.gprog")
    )
    texts = []
    for path in paths:
        data = path.read_bytes()
        if len(data) < 3000 and b"\0" not in data:
            texts.append(data.decode("utf-8", errors="ignore"))
    assert len(texts) >= 20
    return texts


def _cut(chance: random.Random, pieces: list[str], other: list[str]) -> str:
    """Delete, repeat, swap, replace or insert some of the pieces of a text."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        if not pieces:
            break
        at = chance.randrange(len(pieces))
        match chance.randrange(6):
            case 0:
                del pieces[at : at + chance.choice((1, 1, 2, 5))]
            case 1:
                pieces.insert(at, pieces[chance.randrange(len(pieces))])
            case 2:
                to = chance.randrange(len(pieces))
                pieces[at], pieces[to] = pieces[to], pieces[at]
            case 3:
                pieces.insert(at, chance.choice(_PIECES))
            case 4:
                pieces[at] = chance.choice(_PIECES)
            case _:
                pieces.insert(at, chance.choice(other))
    return "".join(pieces)


def _split(pattern: re.Pattern[str]) -> Callable[[str], list[str]]:
    return pattern.findall if pattern is _TOKEN else pattern.split


_UNITS: dict[str, Callable[[str], list[str]]] = {
    "characters": list,
    "tokens": _split(_TOKEN),
    "lines": lambda text: text.splitlines(keepends=True),
    "statements": _split(_STATEMENT),
}


def damaged(chance: random.Random, texts: list[str]) -> bytes:
    """One damaged program."""
    text = chance.choice(texts)
    kind = chance.choice((*_UNITS, "bytes", "cut off"))
    if kind in _UNITS:
        split = _UNITS[kind]
        return _cut(chance, split(text), split(chance.choice(texts)) or [""]).encode(
            "utf-8", errors="surrogatepass"
        )
    data = bytearray(text.encode())
    if kind == "cut off":
        return bytes(data[: chance.randrange(len(data) + 1)])
    for _ in range(chance.choice((1, 2, 5))):
        at = chance.randrange(len(data) + 1)
        data[at : at + chance.choice((0, 1, 1))] = bytes([chance.randrange(256)])
    return bytes(data)


def _inside(source: Source, diagnostics: tuple[Diagnostic, ...]) -> bool:
    places = [d.span for d in diagnostics]
    places += [related.span for d in diagnostics for related in d.related]
    places += [edit.span for d in diagnostics if d.fix is not None for edit in d.fix.edits]
    return all(0 <= span.start <= span.end <= len(source.text) for span in places)


def _examine(data: bytes) -> tuple[str, ...]:
    """Everything that is done with a program before it runs. Returns the codes that were reported."""
    source, unreadable = read_source(data, "fuzz.gprog")
    assert _inside(source, unreadable)
    parsed = parse(source)
    assert _inside(source, parsed.diagnostics)
    assert len(parsed.diagnostics) <= MAX_DIAGNOSTICS
    checked = check(parsed, builtin_environment(_SKILLS))
    assert _inside(source, checked.diagnostics)
    if not parsed.diagnostics:
        text = format_tree(parsed.tree)
        again = parse(Source(text))
        assert again.tree == parsed.tree
        assert format_tree(again.tree) == text
    return tuple(d.code for d in (*unreadable, *checked.diagnostics))


@pytest.mark.slow
def test_no_damage_is_too_much(capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(SEED)
    texts = corpus()
    codes: Counter[str] = Counter()
    done = clean = 0
    slowest = 0.0
    for _ in range(INPUTS):
        data = damaged(chance, texts)
        started = perf_counter()
        try:
            reported = _examine(data)
        except Exception as error:
            error.add_note(f"the input was {data!r}")
            raise
        slowest = max(slowest, perf_counter() - started)
        codes.update(set(reported))
        clean += not reported
        done += 1
    with capsys.disabled():
        print(
            f"\nfuzz: {done} inputs, {clean} still right, {len(codes)} codes, slowest {slowest * 1000:.0f} ms"
        )
    assert done >= INPUTS
    # The damage reaches all of the syntax that a short text can get wrong, and does not only break it.
    assert {code for code in CODES if code.startswith("GP1")} - set(codes) <= {"GP111"}
    assert clean > done / 100
    assert slowest < 5
