"""Golden files: what each mistake of syntax is told, and where. `--update-golden` writes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from genevolve.grammar.codes import CODES
from genevolve.grammar.parser import parse
from genevolve.grammar.reader import read_source

FOLDER = Path(__file__).parent.parent / "golden" / "syntax"
CASES = sorted(FOLDER.glob("*.gprog"))


def rendered(path: Path) -> str:
    source, diagnostics = read_source(path.read_bytes(), path.name)
    diagnostics = diagnostics or parse(source).diagnostics
    lines = []
    for diagnostic in diagnostics:
        line, column = source.position(diagnostic.span.start)
        lines.append(f"{diagnostic.code} {line}:{column} {diagnostic.message}\n")
    return "".join(lines)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_golden(path: Path, update_golden: bool) -> None:
    expected = path.with_suffix(".expected")
    text = rendered(path)
    if update_golden:
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")
    if path.stem in CODES:
        assert path.stem in {line.split()[0] for line in text.splitlines()}


def test_every_code_of_the_family_has_a_golden_file() -> None:
    codes = {code for code in CODES if code.startswith("GP1")}
    assert codes == {path.stem for path in CASES} & codes
