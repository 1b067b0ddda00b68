"""Stages on disk: manifest, digests, journals that go on, hostile folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genevolve.grammar.errors import AuthorError
from genevolve.optimizer.data.folder import DataFolder, journal_rows, read_rows


def test_a_stage_knows_what_it_read(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "d") as data:
        data.write(
            "requests", [{"id": "a", "prompt": "é\ud800"}], settings={"seed": 1}, yields={"written": 1}
        )
        data.write("trajectories", [], settings={}, inputs=("requests",))
        assert data.outdated() == ()
        assert data.current("trajectories", {}, ("requests",)) is not None
        assert data.current("trajectories", {"seed": 2}, ("requests",)) is None
        data.write("requests", [{"id": "b", "prompt": "y"}], settings={"seed": 1})
        assert data.outdated() == ("trajectories",)
        assert data.current("trajectories", {}, ("requests",)) is None
    with DataFolder(tmp_path / "d") as data:
        assert [r["id"] for r in data.rows("requests")] == ["b"]
        assert data.require("requests").rows == 1
        with pytest.raises(AuthorError, match="no splits yet"):
            data.require("splits")


def test_a_stage_under_way_goes_on_with_the_same_settings_only(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "d") as data:
        with data.under_way("requests", 3, {"seed": 1}, (), restart=False) as journal:
            journal.append(1, {"success": True, "rows": [{"id": 1}]})
        with (
            pytest.raises(AuthorError, match="--restart"),
            data.under_way("requests", 3, {"seed": 2}, (), restart=False),
        ):
            pass
        with data.under_way("requests", 3, {"seed": 1}, (), restart=False) as journal:
            assert [journal.state(i) for i in range(3)] == ["open", "done", "open"]
            assert list(journal_rows(journal, lambda r: r["rows"])) == [{"id": 1}]
        with data.under_way("requests", 3, {"seed": 2}, (), restart=True) as journal:
            assert journal.number("open") == 3
        data.forget_journal("requests")
        assert sorted(p.name for p in data.path.iterdir()) == [".lock", "manifest.json"]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with DataFolder(tmp_path / "d"), pytest.raises(AuthorError, match="another process"):
        DataFolder(tmp_path / "d")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": "other"}', '{"schema": "genevolve.data/1", "stages": {"requests": {}}}']
)
def test_a_damaged_manifest_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(AuthorError, match=r"manifest\.json"):
        DataFolder(tmp_path)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(AuthorError, match="no data set"):
        DataFolder(tmp_path)
    with pytest.raises(AuthorError, match="is a file"):
        DataFolder(tmp_path / "mine.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("line", ["[]", "{", '{"x": NaN}'])
def test_rows_that_are_none(tmp_path: Path, line: str) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"id": 1}) + "\n" + line + "\n")
    with pytest.raises(AuthorError, match=r"rows\.jsonl:2"):
        list(read_rows(tmp_path / "rows.jsonl"))
