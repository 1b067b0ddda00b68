"""The table of codes and the page of each: pages say what is true."""

from __future__ import annotations

import re

import pytest
from check_cases import check_text

from genevolve.grammar.codes import CODES, explain
from genevolve.grammar.diagnostics import Severity
from genevolve.grammar.reader import read_source

BLOCK = re.compile(r"^```gprog (wrong|right)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What cannot be shown in a page, or not in a short one.
UNSHOWN = {
    "GP111": 'request "A kite"\nprompt "A kite."\n' + 'avoid "rain"\n' * 1_000,
    "GP112": 'request "A kite"\nlet k = ' + "image_search(" * 51 + '"k"' + ")" * 51 + '\nprompt "A kite."\n',
    "GP116": 'request "A k\u200bite"\nprompt "A kite."\n',
    "GP509": 'request "A kite"\nprompt "' + "a kite, " * 3_000 + '"\n',
}
UNSHOWN_BYTES = {"GP109": b'request "A k\xefte"\n', "GP118": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"}


def blocks(code: str, kind: str) -> list[str]:
    return [text for found, text in BLOCK.findall(explain(code)) if found == kind]


SHOWN = [(code, text) for code in CODES for text in blocks(code, "wrong")]
RIGHT = [(code, text) for code in CODES for text in blocks(code, "right")]


def test_codes_have_families_severities_and_titles() -> None:
    for code, about in CODES.items():
        assert re.fullmatch(r"GP[1-6]\d\d", code)
        assert isinstance(about.severity, Severity)
        assert about.title == about.title.strip(". ")
    assert len({about.title for about in CODES.values()}) == len(CODES)
    assert list(CODES) == sorted(CODES)


@pytest.mark.parametrize("code", CODES)
def test_page_says_what_it_is_about(code: str) -> None:
    page = explain(code)
    title, rest = page.split("\n", 1)
    assert title == f"# {code}: {CODES[code].title}"
    prose = [p for p in re.sub(BLOCK, "", rest).split("\n\n") if p.strip()]
    assert len(prose) >= 2
    assert sum(len(p.split()) for p in prose) >= 20
    assert page.endswith("\n")
    assert "```" not in re.sub(BLOCK, "", page)


@pytest.mark.parametrize(("code", "text"), [c for c in SHOWN if not CODES[c[0]].runtime])
def test_wrong_examples_are_wrong_in_that_way_only(code: str, text: str) -> None:
    assert [d.code for d in check_text(text).diagnostics] == [code]


@pytest.mark.parametrize(("code", "text"), [c for c in SHOWN if CODES[c[0]].runtime])
def test_what_only_a_run_finds_checks_clean(code: str, text: str) -> None:
    assert check_text(text).ok


@pytest.mark.parametrize(("code", "text"), RIGHT)
def test_right_examples_are_right(code: str, text: str) -> None:
    assert check_text(text).diagnostics == ()


def test_every_static_code_is_shown() -> None:
    shown = {code for code, _ in SHOWN} | set(UNSHOWN) | set(UNSHOWN_BYTES)
    assert {code for code, about in CODES.items() if not about.runtime} - shown == set()


@pytest.mark.parametrize("code", UNSHOWN)
def test_what_pages_cannot_show_is_found(code: str) -> None:
    assert [d.code for d in check_text(UNSHOWN[code]).diagnostics] == [code]


@pytest.mark.parametrize("code", UNSHOWN_BYTES)
def test_bytes_that_are_no_text_are_found(code: str) -> None:
    _, diagnostics = read_source(UNSHOWN_BYTES[code], "kite.gprog")
    assert [d.code for d in diagnostics] == [code]


def test_explain_takes_any_case_and_knows_its_codes() -> None:
    assert explain("gp301") == explain("GP301")
    with pytest.raises(KeyError):
        explain("GP999")
