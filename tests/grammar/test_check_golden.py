"""Golden cases: programs in tests/golden/check with what the checker says beside them.

`pytest tests/grammar/test_check_golden.py --update-golden` writes the expectations anew; read the difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from check_cases import GOLDEN, check_text, written_down

from genevolve.grammar.codes import CODES
from genevolve.grammar.fixes import apply_fixes

CASES = sorted(GOLDEN.glob("*.gprog"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_golden(case: Path, update_golden: bool) -> None:
    text = case.read_text(encoding="utf-8")
    checked = check_text(text, case.name)
    found = written_down(checked.source, checked.diagnostics)
    expected = case.with_suffix(".expected")
    if update_golden:
        expected.write_text(found, encoding="utf-8")
    assert found == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", [c for c in CASES if c.stem.startswith("GP")], ids=lambda case: case.stem)
def test_a_case_shows_its_code_and_little_else(case: Path) -> None:
    found = [d.code for d in check_text(case.read_text(encoding="utf-8")).diagnostics]
    assert case.stem.split("-")[0] in found


@pytest.mark.parametrize("case", [c for c in CASES if c.stem.startswith("clean")], ids=lambda case: case.stem)
def test_clean_programs_have_no_findings(case: Path) -> None:
    assert check_text(case.read_text(encoding="utf-8")).diagnostics == ()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_fixes_remove_what_they_were_offered_for(case: Path) -> None:
    text = case.read_text(encoding="utf-8")
    before = [d for d in check_text(text).diagnostics if d.fix is not None]
    fixed, made = apply_fixes(text, before)
    after = [d.code for d in check_text(fixed).diagnostics]
    for code in {d.code for d in before}:
        had = sum(d.code == code for d in check_text(text).diagnostics)
        assert made
        assert after.count(code) < had


def test_every_static_code_has_a_golden_case() -> None:
    have = {case.stem.split("-")[0] for case in CASES}
    wanted = {code for code, about in CODES.items() if code >= "GP2" and not about.runtime}
    assert wanted - have == set()
