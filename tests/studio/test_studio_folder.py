"""Worlds on disk: the same bytes, made once, gone on with, and never over something else."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from genevolve.cli.app import run_command_line
from genevolve.grammar.errors import AuthorError
from genevolve.interpreter.studio import folder as folders
from genevolve.interpreter.studio.folder import Recipe, find_request, ground_truth, make_folder

TINY = Recipe(seed=3, entities=32, sizes={"train": 6, "validation": 2, "heldout": 4, "heldout_combos": 3})
TINY_OPTIONS = [
    *("--seed", "3", "--entities", "32", "--train", "6", "--validation", "2", "--heldout", "4"),
    *("--heldout-combos", "3"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world that is copied or read; tests that change it make their own."""
    folder = tmp_path_factory.mktemp("made") / "w"
    make_folder(folder, TINY)
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "w"))


def digest(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_the_same_arguments_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    make_folder(tmp_path / "b", TINY)
    assert digest(made) == digest(tmp_path / "b")
    assert {"world.json", "studio.json", "requests/heldout.jsonl"} <= set(digest(made))


def test_what_was_interrupted_goes_on_to_the_same_bytes(made: Path, tmp_path: Path) -> None:

    class Stopped(Exception):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if what == "pictures" and done == 20:
            raise Stopped

    with pytest.raises(Stopped):
        make_folder(tmp_path / "cut", TINY, stop)
    assert json.loads((tmp_path / "cut" / "studio.json").read_text())["complete"] is False
    assert make_folder(tmp_path / "cut", TINY).kept > 20
    assert digest(tmp_path / "cut") == digest(made)


def test_progress_tells_what_is_written_up_to_the_last(copy: Path) -> None:
    told: dict[str, tuple[int, int]] = {}
    make_folder(copy, TINY, lambda what, done, total: told.update({what: (done, total)}))
    assert {"pages", "pictures", "train", "heldout"} <= set(told)
    assert all(done == total for done, total in told.values())


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(AuthorError, match="not empty"):
        make_folder(tmp_path, TINY)
    assert digest(tmp_path) == {"mine.txt": hashlib.sha256(b"mine").hexdigest()}
    with pytest.raises(AuthorError, match="no folder"):
        make_folder(tmp_path / "mine.txt", TINY)


def test_a_world_of_another_seed_is_left_alone(made: Path) -> None:
    before = digest(made)
    with pytest.raises(AuthorError, match="another seed or size"):
        make_folder(made, Recipe(4, 32, TINY.sizes))
    assert digest(made) == before


def test_two_processes_do_not_work_in_one_folder(copy: Path) -> None:
    with FileLock(copy / ".lock"), pytest.raises(AuthorError, match="another process"):
        make_folder(copy, TINY)


def test_ground_truths_of_held_out_requests_are_there_and_others_are_drawn_when_needed(copy: Path) -> None:
    drawn = {p.stem for p in (copy / "ground_truth").iterdir()}
    assert {name.rsplit("-", 1)[0] for name in drawn} == {"heldout", "heldout_combos"}
    assert len(drawn) == 7
    request = find_request(copy, "train-00002")
    path = ground_truth(copy, request)
    first = path.read_bytes()
    path.unlink()
    assert ground_truth(copy, request).read_bytes() == first


def test_the_truth_lies_outside_the_library(made: Path) -> None:
    library = made / "library"
    assert {p.name for p in library.iterdir()} == {"pages", "pictures"}
    assert {p.suffix for p in library.rglob("*") if p.is_file()} == {".md", ".png"}


def test_make_show_and_stats_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "w")
    assert run_command_line(["studio", "make", folder, *TINY_OPTIONS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["requests"]["heldout"] == 4
    assert run_command_line(["studio", "show", folder, "heldout-00001"]) == 0
    shown = capsys.readouterr().out
    assert "constraint" in shown
    assert "ground_truth/heldout-00001.png" in shown
    assert run_command_line(["studio", "show", folder, "train-00003", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["eval_type"] == "studio"
    assert run_command_line(["studio", "stats", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["splits"]["train"]["requests"] == 6


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["make", "{there}", "--seed", "3"], 1, "not empty"),
        (["make", "{new}", "--entities", "5"], 1, "at least 32"),
        (["make", "{new}", "--train", "-1"], 2, "must not be negative"),
        (["make", "{new}", "--seed", "x"], 2, "invalid int"),
        (["show", "{there}", "heldout-00001"], 1, "no studio world"),
        (["stats", "{new}"], 1, "no studio world"),
    ],
)
def test_mistakes_of_users_are_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "file").write_text("x")
    named = [a.format(there=there, new=tmp_path / "new") for a in arguments]
    assert run_command_line(["studio", *named]) == code
    assert said in capsys.readouterr().err


def test_a_damaged_world_is_told_as_such(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "requests" / "heldout.jsonl").write_text('{"id": 1}\n')
    assert run_command_line(["studio", "show", str(copy), "heldout-00001"]) == 1
    assert "heldout.jsonl:1" in capsys.readouterr().err
    (copy / "world.json").write_text("[]")
    assert run_command_line(["studio", "stats", str(copy)]) == 1


def test_a_recipe_knows_its_splits() -> None:
    with pytest.raises(AuthorError, match="no split"):
        Recipe(1, 32, {"training": 3})
    assert set(folders.DEFAULT_SIZES) == set(folders.SPLITS)


def test_sizes_that_cannot_be_had_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(AuthorError, match="at most"):
        make_folder(tmp_path / "w", Recipe(seed=3, entities=99_999_999, sizes={}))
    with pytest.raises(AuthorError, match="at most"):
        Recipe(seed=3, entities=32, sizes={"train": 9_999_999})


def test_nothing_is_written_through_links(copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(copy / "requests")
    (tmp_path / "elsewhere").mkdir()
    (copy / "requests").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AuthorError, match="is a link"):
        make_folder(copy, TINY)
    assert not list((tmp_path / "elsewhere").iterdir())
