"""Run folders: named apart, written whole or not at all, references copied by content."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from fakes import handle

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.interpreter.record import RunRecord, read_facts

NOON = datetime(2026, 4, 12, 12, 0, 5, tzinfo=UTC)


def test_names_sort_by_time_and_never_collide(tmp_path: Path) -> None:
    first = RunRecord.create(tmp_path / "runs", "request", NOON)
    second = RunRecord.create(tmp_path / "runs", "request", NOON)
    later = RunRecord.create(
        tmp_path / "runs", "other", NOON.astimezone(timezone(timedelta(hours=9))) + timedelta(1)
    )
    names = [r.folder.name for r in (first, second, later)]
    assert names[0].startswith("20260412T120005Z-")
    assert names[1] == names[0] + "-2"
    assert names == sorted(names)


def test_facts_say_how_it_stands(tmp_path: Path) -> None:
    record = RunRecord.create(tmp_path, "p", NOON)
    assert read_facts(record.folder)["status"] == "running"
    record.describe(status="finished", notes=["ü"])
    facts = read_facts(record.folder)
    assert (facts["status"], facts["notes"], facts["started"]) == (
        "finished",
        ["ü"],
        "2026-04-12T12:00:05.000+00:00",
    )


def test_references_are_copies_with_the_right_ending(tmp_path: Path) -> None:
    record = RunRecord.create(tmp_path / "runs", "p")
    image = handle(tmp_path / "a.png", media_type="image/jpeg")
    copy = record.add_reference(1, "tower", image)
    assert copy == record.folder / "references" / "1-tower.jpg"
    assert copy.read_bytes() == image.file.read_bytes()


def test_a_reference_that_changed_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    record = RunRecord.create(tmp_path / "runs", "p")
    image = handle(tmp_path / "a.png")
    image.file.write_bytes(b"another picture")
    with pytest.raises(AuthorError) as caught:
        record.add_reference(1, "tower", image)
    assert caught.value.code == "GP414"
    assert list((record.folder / "references").iterdir()) == []
    image.file.unlink()
    with pytest.raises(StorageError):
        record.add_reference(1, "tower", image)
    assert list((record.folder / "references").iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = RunRecord.create(tmp_path, "p")
    record.write("z.json", "old")

    def full_disk(self: Path, data: bytes) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(StorageError, match="No space left"):
        record.write("z.json", "new")
    monkeypatch.undo()
    assert (record.folder / "z.json").read_text() == "old"
    assert sorted(p.name for p in record.folder.iterdir()) == ["run.json", "z.json"]


def test_a_root_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="no run folder"):
        RunRecord.create(tmp_path / "file" / "runs", "p")


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"schema": "other"})])
def test_facts_of_something_else(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(AuthorError, match=r"run\.json"):
        read_facts(tmp_path)


def test_facts_of_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(AuthorError, match="not a run folder"):
        read_facts(tmp_path)
