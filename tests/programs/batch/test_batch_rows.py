"""Rows are looked at before anything is spent; a bad one spoils only itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from batch_world import TEMPLATE, checked, machine, output, run, simple_rows, write_rows

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.programs.batch.lines import MAX_LINE, read_lines
from genevolve.programs.batch.rows import RowWork, Template

LONG = json.dumps({"id": "long", "question": "x" * MAX_LINE})
BAD: list[tuple[Any, str, str]] = [
    ({"question": "x"}, "row-id", "no 'id'"),
    ({"id": "", "question": "x"}, "row-id", "empty"),
    ({"id": "  ", "question": "x"}, "row-id", "empty"),
    ({"id": None, "question": "x"}, "row-id", "neither"),
    ({"id": True, "question": "x"}, "row-id", "neither"),
    ({"id": 1.5, "question": "x"}, "row-id", "neither"),
    ({"id": ["a"], "question": "x"}, "row-id", "neither"),
    ({"id": "row0", "question": "x"}, "row-duplicate", "line 1"),
    ({"id": "q0"}, "row-question", "no 'question'"),
    ({"id": "q1", "question": ""}, "row-question", "empty"),
    ({"id": "q2", "question": 3}, "row-question", "not a text"),
    ({"id": "q3", "question": "x", "prompt": None}, "row-question", "not a text"),
    ({"id": "p1", "question": "x", "n": "many"}, "GP318", "int"),
    ({"id": "p2", "question": "x", "n": None}, "GP318", "int"),
    ({"id": "p3", "question": "x", "n": [1]}, "GP318", "int"),
    ('{"id": "cut", "question": "x"', "row-json", "not JSON"),
    ("nonsense", "row-json", "not JSON"),
    ('["a"]', "row-json", "object"),
    ('{"id": "nan", "question": "x", "extra": NaN}', "row-json", "no number"),
    ('{"id": "inf", "question": "x", "extra": 1e999}', "row-json", "too large"),
    ('{"id": "digits", "question": "x", "extra": ' + "9" * 5000 + "}", "row-json", "not JSON"),
    ('{"id": "deep", "question": "x", "extra": ' + "[" * 100_000 + "}", "row-json", "deep"),
    (b'{"id": "latin", "question": "caf\xe9"}', "row-json", "UTF-8"),
    (LONG, "row-json", "longer"),
]


def test_each_kind_of_bad_row_ends_with_its_reason_and_line(tmp_path: Path) -> None:
    good = simple_rows(2)
    rows = write_rows(tmp_path / "rows.jsonl", [good[0], *(row for row, _, _ in BAD), "", good[1]])
    tally = run(rows, tmp_path / "out", machine())
    assert (tally.done, tally.failed_by_input, tally.failed_by_service) == (2, len(BAD), 0)
    results = output(tmp_path / "out")
    assert [r["success"] for r in results] == [True, *[False] * len(BAD), True]
    for line, (result, (_, code, says)) in enumerate(zip(results[1:-1], BAD, strict=True), start=2):
        error = result["error"]
        assert error["code"] == code, result
        assert says in error["message"]
        assert error["where"] == f"{rows}:{line}"
        assert error["kind"] == "input"
        assert result["output_path"] == ""
    assert len(list((tmp_path / "out" / "images").iterdir())) == 2


def test_results_carry_the_fields_of_their_rows_and_upstreams(tmp_path: Path) -> None:
    row = {"id": 7, "prompt": "Two cats.", "meta": {"category": "art"}, "gt_image": "gt/7.png", "n": 2}
    rows = write_rows(tmp_path / "rows.jsonl", [row | {"success": False, "image_path": "old.png"}])
    run(rows, tmp_path / "out", machine())
    (result,) = output(tmp_path / "out")
    assert {k: result[k] for k in row} == row
    assert result["shadowed"] == {"success": False, "image_path": "old.png"}
    assert result["gen_prompt"] == "A card with 2 balloons: Two cats."
    assert result["success"] is True
    assert (tmp_path / "out" / result["output_path"]).is_file()
    assert result["image_path"] == result["output_path"]
    assert result["reference_images"] == []
    assert len(result["z"]) == 64
    assert result["attempts"] == 1


def test_values_for_all_rows_yield_to_those_of_a_row(tmp_path: Path) -> None:
    rows = write_rows(
        tmp_path / "rows.jsonl", [{"id": "a", "question": "x"}, {"id": "b", "question": "x", "n": 9}]
    )
    run(rows, tmp_path / "out", machine(), given={"n": "5"})
    assert [r["gen_prompt"][:15] for r in output(tmp_path / "out")] == ["A card with 5 b", "A card with 9 b"]


def test_windows_lines_a_mark_and_a_missing_last_line_break_are_fine(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b'\xef\xbb\xbf{"id": "a", "prompt": "x"}\r\n\r\n{"id": "b", "prompt": "y"}')
    assert run(rows, tmp_path / "out", machine()).done == 2
    assert [line.number for line in read_lines(rows)] == [1, 3]


def test_an_array_in_a_json_file_is_read_too(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([*simple_rows(2), 5]))
    tally = run(rows, tmp_path / "out", machine())
    assert (tally.done, tally.failed_by_input) == (2, 1)


@pytest.mark.parametrize(
    ("template", "rows", "says"),
    [
        ('request "x"\nprompt "A card."\n', simple_rows(1), "no parameters"),
        ('program c(title: text = "X")\nrequest "x"\nprompt "{title}"\n', simple_rows(3), "no row of"),
        (TEMPLATE, [], "has no rows"),
    ],
)
def test_a_template_that_takes_nothing_is_told_before_anything_is_written(
    tmp_path: Path, template: str, rows: list[Any], says: str
) -> None:
    with pytest.raises(AuthorError, match=says):
        run(write_rows(tmp_path / "rows.jsonl", rows), tmp_path / "out", machine(), template=template)
    assert not (tmp_path / "out").exists()


def test_a_template_without_a_question_needs_none(tmp_path: Path) -> None:
    template = 'program c(title: text)\nrequest "A card for {title}."\nprompt "A card: {title}"\n'
    rows = write_rows(tmp_path / "rows.jsonl", [{"id": "a", "title": "ANNA"}])
    run(rows, tmp_path / "out", machine(), template=template)
    assert output(tmp_path / "out")[0]["prompt"] == "A card for ANNA."


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    template = Template(checked(TEMPLATE, machine()))
    (tmp_path / "rows.json").write_text("{}")
    for name, says in (("none.jsonl", "no file"), (".", "no file"), ("rows.json", "not an array")):
        with pytest.raises(AuthorError, match=says):
            RowWork(tmp_path / name, template)
    with pytest.raises((AuthorError, StorageError)):
        RowWork(tmp_path / "a\0b", template)


def test_a_file_that_changes_while_it_is_run_stops_the_batch(tmp_path: Path) -> None:
    on = machine()
    rows = write_rows(tmp_path / "rows.jsonl", simple_rows(3))
    work = RowWork(rows, Template(checked(TEMPLATE, on)))
    write_rows(rows, [*simple_rows(2), {"id": "row2", "question": "Something else."}])
    jobs = work.jobs(lambda _: True)
    assert [next(jobs).index, next(jobs).index] == [0, 1]
    with pytest.raises(AuthorError, match="has changed"):
        next(jobs)
    write_rows(rows, simple_rows(2))
    with pytest.raises(AuthorError, match="has changed"):
        list(work.jobs(lambda _: True))
