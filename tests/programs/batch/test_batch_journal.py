"""The journal: what was written stays, what was cut is cut off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genevolve.programs.batch.journal import Journal


def record(name: str, *, success: bool = True, kind: str = "input", cost: float = 0.0) -> dict[str, Any]:
    error = None if success else {"code": "GP520", "message": "no", "where": "x:1", "kind": kind}
    return {"id": name, "success": success, "error": error, "cost": cost}


def test_later_records_replace_earlier_ones_in_the_order_of_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with Journal(path, 3) as journal:
        journal.append(2, record("c", cost=1.0))
        journal.append(0, record("a", success=False, kind="service", cost=0.5))
        journal.append(0, record("a", cost=0.25))
        assert (journal.number("done"), journal.number("open"), journal.tries(0)) == (2, 1, 2)
        journal.write_outputs(tmp_path / "o.jsonl", tmp_path / "o.json")
    assert [json.loads(line)["id"] for line in (tmp_path / "o.jsonl").read_text().splitlines()] == ["a", "c"]
    with Journal(path, 3) as again:
        assert [again.state(i) for i in range(3)] == ["done", "open", "done"]
        assert again.money == pytest.approx(1.75)
        assert [json.loads(line)["cost"] for _, line in again.records()] == [0.25, 1.0]


def test_a_last_line_cut_at_any_byte_is_repaired(tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    with Journal(whole, 2) as journal:
        journal.append(0, record("a"))
        journal.append(1, record("é\ud800"))
    data = whole.read_bytes()
    first = data.index(b"\n") + 1
    for cut in range(len(data) + 1):
        path = tmp_path / "cut.jsonl"
        path.write_bytes(data[:cut])
        with Journal(path, 2) as journal:
            done = [journal.state(i) == "done" for i in range(2)]
            assert journal.damaged == 0
            # A line that lacks only its end is kept: nothing of the row is missing.
            assert done == [cut >= first - 1, cut >= len(data) - 1], cut
            journal.append(1, record("b"))
        assert all(json.loads(line) for line in path.read_bytes().splitlines())


def test_damaged_lines_and_rows_without_pictures_are_open_again(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with Journal(path, 4) as journal:
        for index in range(3):
            journal.append(index, record(str(index)))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(
        lines[0] + b"\x00\x00garbage\n" + b'{"input_row": "1"}\n' + b'{"input_row": 99}\n' + lines[2]
    )
    with Journal(path, 4, intact=lambda r: r["id"] != "2") as journal:
        assert [journal.state(i) for i in range(4)] == ["done", "open", "open", "open"]
        assert journal.damaged == 2
        assert [index for index, _ in journal.records()] == [0]
