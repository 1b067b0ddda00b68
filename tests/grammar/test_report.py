"""Reports: carets under the right columns whatever the text, and formats that other programs can read."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genevolve.grammar.builtins import builtin_environment
from genevolve.grammar.checker import check
from genevolve.grammar.codes import CODES
from genevolve.grammar.diagnostics import Diagnostic, Edit, Findings, Fix, Related
from genevolve.grammar.display import cells, harmless, width
from genevolve.grammar.parser import parse
from genevolve.grammar.report import summary, to_dict, to_github, to_json, to_sarif, to_text
from genevolve.grammar.span import Source, Span

DOCS = Path(__file__).parents[2] / "docs" / "diagnostics.md"


def findings(text: str, *diagnostics: Diagnostic, name: str = "a.gprog") -> Findings:
    return Findings(Source(text, name), diagnostics)


def at(text: str, word: str, code: str = "GP201", **more: Any) -> Diagnostic:
    start = text.index(word)
    return Diagnostic(code, "nothing is named so", Span(start, start + len(word)), **more)


def excerpt(text: str, span: Span, columns: int = 110) -> list[str]:
    """The source lines and underlines of one diagnostic, without the gutter."""
    report = to_text([findings(text, Diagnostic("GP201", "x", span))], width=columns, with_summary=False)
    return [line.split("| ", 1)[1] if "| " in line else "" for line in report.splitlines()[2:]]


def test_a_finding_with_everything() -> None:
    text = 'request "x"\nlet towers = image_search("tower")\nref t = towr[0] for "light"\nprompt "{t}"\n'
    start = text.index("towr")
    diagnostic = Diagnostic(
        "GP201",
        "nothing is named `towr`; did you mean `towers`?",
        Span(start, start + 4),
        notes=("names are case-sensitive",),
        fix=Fix("write `towers`", (Edit(Span(start, start + 4), "towers"),)),
        related=(Related("`towers` is defined here", Span(16, 22)),),
    )
    assert (
        to_text([findings(text, diagnostic, name="cover.gprog")])
        == """\
cover.gprog:3:9: error GP201: nothing is named `towr`; did you mean `towers`?
  |
3 | ref t = towr[0] for "light"
  |         ^^^^
  = cover.gprog:2:5: `towers` is defined here
2 | let towers = image_search("tower")
  |     ^^^^^^
  = note: names are case-sensitive
  = fix: write `towers`
3 + ref t = towers[0] for "light"

1 error in 1 file
"""
    )


@pytest.mark.parametrize(
    ("line", "word", "shown", "underline"),
    [
        ("let a = b", "b", "let a = b", "        ^"),
        ("\tlet\tab", "ab", "    let ab", "        ^^"),
        ("x\ty", "\t", "x   y", " ^^^"),
        ("塔塔 = 光", "光", "塔塔 = 光", "       ^^"),
        ("塔塔 = 光", "塔塔", "塔塔 = 光", "^^^^"),
        ("cafe\u0301 x", "x", "cafe\u0301 x", "     ^"),
        ("cafe\u0301 x", "\u0301", "cafe\u0301 x", "   ^"),
        ("한글 x", "x", "한글 x", "     ^"),
        ("🗼 x", "x", "🗼 x", "   ^"),
        ("👩\u200d🚀 x", "x", "👩🚀 x", "     ^"),
        ("a\x1b[2Jb c", "c", "a␛[2Jb c", "       ^"),
        ("a\u202eb c", "\u202e", "a<U+202E>b c", " ^^^^^^^^"),
        ("a\x7f\x00c", "c", "a␡␀c", "   ^"),
        ("a\rb", "b", "a␍b", "  ^"),
        ("a\ud800b", "b", "a<U+D800>b", "         ^"),
    ],
)
def test_carets_stand_under_the_place(line: str, word: str, shown: str, underline: str) -> None:
    start = line.index(word)
    assert excerpt(line, Span(start, start + len(word))) == [shown, underline]


def test_an_empty_span_and_the_end_of_the_file_take_one_caret() -> None:
    assert excerpt("let", Span(3, 3)) == ["let", "   ^"]
    assert excerpt("", Span(0, 0)) == ["", "^"]
    assert excerpt("ab\n", Span(3, 3)) == ["", "^"]
    assert excerpt("ab\ncd", Span(2, 3)) == ["ab", "  ^"]


def test_spans_of_several_lines() -> None:
    text = 'prompt """\n  a cat\nsits\n""" x'
    assert excerpt(text, Span(7, 19)) == ['prompt """', "       ^^^", "  a cat", "  ^^^^^"]
    assert excerpt(text, Span(7, 20)) == ['prompt """', "       ^^^", "  a cat", "  ^^^^^", "sits", "^"]
    report = excerpt(text, Span(7, text.index(" x")))
    assert report == ['prompt """', "       ^^^", "…", '""" x', "^^^"]


@pytest.mark.parametrize("columns", [40, 60, 100])
@pytest.mark.parametrize("start", [0, 30, 5_000, 19_990])
def test_long_lines_are_clipped_around_the_place(columns: int, start: int) -> None:
    text = "ab塔" * 3_333 + "x" * 10_001
    shown, underline = excerpt(text, Span(start, start + 7), columns)
    assert sum(c.columns for c in cells(shown)) <= columns - 4
    marked = [i for i, c in enumerate(_columns(shown)) if i < len(underline) and underline[i] == "^" and c]
    assert "".join(_columns(shown)[i] for i in marked) == text[start : start + 7]
    assert shown.startswith("…") == (start > 0)
    assert shown.endswith("…") == (start + 7 + columns < len(text))


def _columns(shown: str) -> list[str]:
    """The character that begins at each column; empty in the second column of wide ones."""
    return [part for c in cells(shown) for part in (c.shown, *[""] * (c.columns - 1))]


def test_a_place_longer_than_the_terminal_is_cut_at_its_end() -> None:
    shown, underline = excerpt("x" * 1_000_000, Span(100, 900_000), 80)
    assert len(underline) <= 80
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert underline.endswith("^" * 30)


def test_nothing_in_a_file_reaches_the_terminal_raw() -> None:
    evil = "\x1b]0;owned\x07\x9b31m\u202e\u2066\u200b\x08\r"
    report = to_text(
        [
            Findings(
                Source(f"let {evil} = 1", f"{evil}.gprog"),
                (
                    Diagnostic(
                        "GP201",
                        f"nothing is named `{evil}`\nerror: faked",
                        Span(4, 6),
                        notes=(evil,),
                        fix=Fix(evil, (Edit(Span(4, 5), evil.replace("\r", "")),)),
                        related=(Related(evil, Span(0, 3)),),
                    ),
                ),
            )
        ]
    )
    assert {c for c in report if unicodedata.category(c) in ("Cc", "Cf", "Cs")} == {"\n"}
    assert "\nerror: faked" not in report


@given(st.text(max_size=60))
def test_what_is_shown_is_always_harmless(text: str) -> None:
    shown = harmless(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert len(cells(text)) == len(text)
    assert width(cells(text)) >= 0


@given(st.text("ab\t塔\u0301\x1b\n", max_size=60), st.data())
def test_reports_survive_any_text_and_span(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    columns = data.draw(st.integers(0, 120))
    lines = excerpt(text, Span(start, end), columns)
    assert any("^" in line for line in lines)
    assert all(sum(c.columns for c in cells(line)) <= max(columns, 40) for line in lines)


def test_colours_only_when_asked_for() -> None:
    text = "let a = b"
    plain, coloured = (to_text([findings(text, at(text, "b"))], color=c) for c in (False, True))
    assert "\x1b" not in plain
    assert "\x1b[1;31merror GP201\x1b[0m" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain


def test_the_summary_counts() -> None:
    text = "a b"
    one = findings(
        text, at(text, "a"), at(text, "b", "GP210"), at(text, "b", "GP510"), at(text, "a", "GP202")
    )
    assert summary([one, findings("")]) == "2 errors, 1 warning, 1 hint in 2 files"
    assert summary([findings("")]) == "nothing to report in 1 file"
    assert to_text([findings("")]) == ""
    assert to_text([], with_summary=False) == ""


def test_json_has_the_documented_shape() -> None:
    text = "request\nlet a = b"
    fix = Fix("write `c`", (Edit(Span(16, 17), "c"),))
    data = json.loads(
        to_json([findings(text, at(text, "b", notes=("n",), fix=fix, related=(Related("r", Span(0, 7)),)))])
    )
    place = {"start": {"line": 2, "column": 9, "offset": 16}, "end": {"line": 2, "column": 10, "offset": 17}}
    first = {"start": {"line": 1, "column": 1, "offset": 0}, "end": {"line": 1, "column": 8, "offset": 7}}
    assert data == {
        "schema": "genevolve.diagnostics/1",
        "files": [
            {
                "name": "a.gprog",
                "diagnostics": [
                    {
                        "code": "GP201",
                        "severity": "error",
                        "title": "an unknown name",
                        "message": "nothing is named so",
                        "span": place,
                        "notes": ["n"],
                        "related": [{"message": "r", "span": first}],
                        "fix": {"message": "write `c`", "edits": [{"span": place, "text": "c"}]},
                    }
                ],
            }
        ],
        "summary": {"files": 1, "errors": 1, "warnings": 0, "hints": 0},
    }


def test_json_is_ascii_and_takes_any_text() -> None:
    report = to_json(
        [Findings(Source("\ud800", "\x1b\ud800.gprog"), (Diagnostic("GP201", "塔\u202e", Span(0, 1)),))]
    )
    assert report.isascii()
    assert json.loads(report)["files"][0]["diagnostics"][0]["message"] == "塔\u202e"


def test_github_commands_are_escaped() -> None:
    text = "let a = b"
    hostile = Diagnostic(
        "GP201",
        "100% wrong\r\n::set-env name=x::y",
        Span(8, 9),
        notes=("first, second: third",),
        fix=Fix("write `c`", ()),
    )
    report = to_github([Findings(Source(text, "a,b:c%\n.gprog"), (hostile,))])
    assert report == (
        "::error file=a%2Cb%3Ac%25%0A.gprog,line=1,endLine=1,col=9,endColumn=9,title=GP201%3A an unknown name::"
        "100%25 wrong%0D%0A::set-env name=x::y%0Anote: first, second: third%0Afix: write `c`\n"
    )


def test_github_severities_and_places_of_several_lines() -> None:
    text = "ab\ncd"
    report = to_github(
        [findings(text, Diagnostic("GP210", "w", Span(0, 5)), Diagnostic("GP510", "h", Span(3, 5)))]
    ).splitlines()
    assert report[0].startswith("::warning file=a.gprog,line=1,endLine=2,title=")
    assert report[1].startswith("::notice file=a.gprog,line=2,endLine=2,col=1,endColumn=2,title=")


# ---- SARIF ----


def sarif(*files: Findings, **options: str) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(to_sarif(files, **options))
    check_sarif(log)
    return log


def check_sarif(log: dict[str, Any]) -> None:
    """The rules of SARIF 2.1.0 (OASIS) that concern what is written here."""
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    for run in log["runs"]:
        driver = run["tool"]["driver"]
        assert driver["name"]  # §3.19.8
        assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")  # §3.14.17
        ids = [rule["id"] for rule in driver["rules"]]
        assert len(ids) == len(set(ids))
        for rule in driver["rules"]:
            assert rule["shortDescription"]["text"].endswith(".")
            assert rule["help"]["text"]  # §3.49.13: a message with at least `text`
            assert rule["defaultConfiguration"]["level"] in ("none", "note", "warning", "error")
        for result in run["results"]:
            assert result["message"]["text"]  # §3.27.11
            assert result["level"] in ("none", "note", "warning", "error")  # §3.27.10
            assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]  # §3.27.6
            assert result["locations"]
            for location in (*result["locations"], *result.get("relatedLocations", [])):
                check_location(run, location["physicalLocation"])
            numbers = [location["id"] for location in result.get("relatedLocations", [])]
            assert len(numbers) == len(set(numbers))
            assert all(n >= 0 for n in numbers)  # §3.28.2
            for fix in result.get("fixes", []):
                assert fix["artifactChanges"]  # §3.55.3
                for change in fix["artifactChanges"]:
                    assert change["replacements"]  # §3.56.3
                    for replacement in change["replacements"]:
                        check_region(replacement["deletedRegion"])


def check_location(run: dict[str, Any], location: dict[str, Any]) -> None:
    artifact = location["artifactLocation"]
    assert re.fullmatch(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+", artifact["uri"])  # RFC 3986
    assert run["artifacts"][artifact["index"]]["location"]["uri"] == artifact["uri"]  # §3.4.5
    check_region(location["region"])


def check_region(region: dict[str, int]) -> None:
    assert region["startLine"] >= 1  # §3.30.5
    assert region["startColumn"] >= 1  # §3.30.6
    assert (region["endLine"], region["endColumn"]) >= (region["startLine"], region["startColumn"])


def test_sarif_of_several_files() -> None:
    text = "request\nlet a = bb"
    fix = Fix("write `c`", (Edit(Span(16, 18), "c"), Edit(Span(0, 0), "# x\n")))
    related = (Related("here", Span(0, 7)), Related("and here", Span(0, 12)))
    log = sarif(
        findings(text, at(text, "bb", notes=("n",), fix=fix, related=related), at(text, "let", "GP510")),
        findings("x", Diagnostic("GP210", "w", Span(0, 1)), name="dir/ein Bild #1.gprog"),
        findings("fine", name="fine.gprog"),
        version="0.1.0",
    )
    (run,) = log["runs"]
    assert run["tool"]["driver"]["version"] == "0.1.0"
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["GP201", "GP210", "GP510"]
    assert [r["level"] for r in run["results"]] == ["error", "note", "warning"]
    assert [a["location"]["uri"] for a in run["artifacts"]] == [
        "a.gprog",
        "dir/ein%20Bild%20%231.gprog",
        "fine.gprog",
    ]
    region = run["results"][0]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 2, "startColumn": 9, "endLine": 2, "endColumn": 11}
    assert run["results"][0]["message"]["text"] == "nothing is named so\nNote: n"
    replacements = run["results"][0]["fixes"][0]["artifactChanges"][0]["replacements"]
    assert [r["insertedContent"]["text"] for r in replacements] == ["# x\n", "c"]


@pytest.mark.parametrize(
    ("name", "base", "uri"),
    [
        ("a.gprog", "", "a.gprog"),
        ("./a/b.gprog", "", "a/b.gprog"),
        ("/repo/a/b.gprog", "/repo", "a/b.gprog"),
        ("/else/b.gprog", "/repo", "file:///else/b.gprog"),
        ("<stdin>", "", "%3Cstdin%3E"),
        ("C:\\x\\a b.gprog", "", "file:///C:/x/a%20b.gprog"),
        ("C:\\x\\a.gprog", "C:\\x", "a.gprog"),
        ("塔\ud800.gprog", "", "%E5%A1%94%3F.gprog"),
    ],
)
def test_sarif_names_files_by_relative_uris(name: str, base: str, uri: str) -> None:
    log = sarif(findings("x", Diagnostic("GP201", "m", Span(0, 1)), name=name), base=base)
    assert log["runs"][0]["artifacts"][0]["location"]["uri"] == uri


def test_sarif_fingerprints_survive_lines_that_move() -> None:
    def prints(text: str) -> list[str]:
        results = sarif(findings(text, at(text, "bb")))["runs"][0]["results"]
        return [r["partialFingerprints"]["genevolve/v1"] for r in results]

    assert prints("let a = bb") == prints("# more\n\nlet a = bb")
    assert prints("let a = bb") != prints("let c = bb")


def test_sarif_takes_every_code() -> None:
    log = sarif(findings("x", *(Diagnostic(code, "m", Span(0, 1)) for code in CODES)))
    assert [rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]] == sorted(CODES)


# ---- documentation ----


def test_the_documentation_shows_what_is_printed() -> None:
    """`GENEVOLVE_UPDATE_GOLDEN=1` writes the outputs of the page anew."""
    page = DOCS.read_text(encoding="utf-8")
    source = Source(re.findall(r"```gprog\n(.*?)```", page, re.DOTALL)[0], "tower.gprog")
    found = [Findings(source, check(parse(source), builtin_environment()).diagnostics)]
    outputs = {"text": to_text(found), "github": to_github(found)}
    data = to_dict(found)
    data["files"][0]["diagnostics"] = data["files"][0]["diagnostics"][:1]
    outputs["json"] = json.dumps(data, indent=2) + "\n"
    shown = page
    for name, output in outputs.items():
        (block,) = re.findall(rf"<!-- {name} -->\n```\w+\n.*?```", page, re.DOTALL)
        begin = "\n".join(block.split("\n")[:2])
        shown = shown.replace(block, f"{begin}\n{output}```")
    if os.environ.get("GENEVOLVE_UPDATE_GOLDEN"):
        DOCS.write_text(shown, encoding="utf-8")
        page = shown
    assert page == shown


def test_a_file_with_thousands_of_mistakes_is_cut_off_for_people() -> None:
    source = Source("x" * 5_000, "many.gprog")
    many = Findings(source, tuple(Diagnostic("GP201", "unknown", Span(i, i + 1)) for i in range(5_000)))
    lines = to_text([many]).splitlines()
    assert sum(line.startswith("many.gprog:1:") for line in lines) == 100
    assert "many.gprog: 4,900 more are not shown; JSON, GitHub and SARIF output has all" in lines
    assert lines[-1] == "5000 errors in 1 file"
    assert len(json.loads(to_json([many]))["files"][0]["diagnostics"]) == 5_000
