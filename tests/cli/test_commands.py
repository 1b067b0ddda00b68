"""The command line as a person types it: real processes where start-up or signals matter, in-process elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from genevolve.cli.app import INTERRUPTED, OK, SERVICE_FAILED, USAGE, WRONG_INPUT, run_command_line

GOOD = """\
program card(name: text = "ANNA", balloons: int = 3)
request "A card for {name}."
prompt "A card on cream paper with exactly {balloons} red balloons and the words \\"Dear {name}\\" at the top."
require text("Dear {name}", at: "top")
require count("balloon") == balloons
render size: 256x256, seed: 1
"""


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a working folder, a cache and a configuration of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("GENEVOLVE_LIBRARY_EMBEDDER", "none")


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "card.gprog"
    path.write_text(GOOD)
    return path


def test_run_makes_a_picture_that_gives_its_program_back(
    card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "card.png"
    assert run_command_line(["run", str(card), "--out", str(out), "--set", "name=EVE"]) == OK
    printed = capsys.readouterr().out
    assert str(out) in printed
    assert 'the words "Dear EVE"' in printed
    assert run_command_line(["extract", str(out)]) == OK
    assert capsys.readouterr().out == GOOD
    assert run_command_line(["extract", str(out), "--z"]) == OK
    z = json.loads(capsys.readouterr().out)
    assert z["constraints"][0] == {"kind": "text", "arguments": {"at": "top", "value": "Dear EVE"}}


def test_run_prints_data(card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["run", str(card), "--json"]) == OK
    data = json.loads(capsys.readouterr().out)
    assert Path(data["picture"]).is_file()
    assert Path(data["record"]).parent == tmp_path / "runs"
    assert data["z"]["gen_prompt"].startswith("A card on cream paper")


def test_a_recorded_run_replays_to_the_same_z(
    card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["run", str(card)]) == OK
    capsys.readouterr()
    (record,) = (tmp_path / "runs").iterdir()
    assert run_command_line(["replay", str(record), "--z"]) == OK
    assert capsys.readouterr().out == (record / "z.json").read_text()


def test_dry_run_shows_the_plan_and_runs_nothing(
    card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card.write_text(GOOD.replace("prompt", 'let facts = search("balloons")\nprompt', 1))
    assert run_command_line(["run", str(card), "--dry-run"]) == OK
    assert "search" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_no_record_leaves_nothing_behind(card: Path, tmp_path: Path) -> None:
    out = tmp_path / "card.png"
    assert run_command_line(["run", str(card), "--no-record", "--no-cache", "--out", str(out)]) == OK
    assert out.is_file()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "name"], "NAME=VALUE"),
        (["--set", "name=A", "--set", "name=B"], "given twice"),
        (["--set", "balloons=many"], "GP318"),
        (["--set", "colour=red"], "GP319"),
        (["--out", "picture.jpg"], ".png"),
    ],
)
def test_wrong_values_are_told_before_anything_runs(
    card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert run_command_line(["run", str(card), *arguments]) == WRONG_INPUT
    assert says in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_running_a_sketch_names_its_holes(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card.write_text('request "A cat."\nlet found = image_search(?)\n...\nprompt ?\n')
    assert run_command_line(["run", str(card)]) == WRONG_INPUT
    told = capsys.readouterr().err
    assert told.count("GP601") == 3
    assert "card.gprog:2:26" in told


def test_check_reports_each_file_and_formats(
    card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.gprog"
    bad.write_text('request "x"\nprompt "{nothing}"\n')
    assert run_command_line(["check", str(tmp_path)]) == WRONG_INPUT
    assert "bad.gprog:2:9: error GP201" in capsys.readouterr().out
    assert run_command_line(["check", str(bad), "--json"]) == WRONG_INPUT
    assert json.loads(capsys.readouterr().out)["files"]
    assert run_command_line(["check", str(bad), "--format", "sarif"]) == WRONG_INPUT
    assert json.loads(capsys.readouterr().out)["version"] == "2.1.0"
    assert run_command_line(["check", str(bad), "--format", "github"]) == WRONG_INPUT
    assert capsys.readouterr().out.startswith("::error file=")
    assert run_command_line(["check", str(card), "--strict"]) == OK


def test_check_fix_makes_the_safe_fixes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.gprog"
    bad.write_text('request "x"\nlet found = serach("cats", top_k=3)\nprompt "A cat."\n')
    assert run_command_line(["check", str(bad), "--fix"]) == OK
    assert 'search("cats", top_k: 3)' in bad.read_text()


def test_fmt_rewrites_checks_and_reads_standard_input(card: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["fmt", str(card)]) == OK
    canonical = card.read_text()
    assert run_command_line(["fmt", "--check", str(card)]) == OK
    card.write_text(canonical.replace("render size", "render   size"))
    assert run_command_line(["fmt", "--check", str(card)]) == WRONG_INPUT
    assert run_command_line(["fmt", "--diff", str(card)]) == WRONG_INPUT
    assert "-render   size" in capsys.readouterr().out
    assert run_command_line(["fmt", str(card)]) == OK
    assert card.read_text() == canonical
    done = _process(["fmt", "-"], stdin=GOOD.replace("request", "   request").encode())
    assert (done.returncode, done.stdout.decode()) == (OK, canonical)


def test_fmt_keeps_windows_line_ends(card: Path) -> None:
    assert run_command_line(["fmt", str(card)]) == OK
    canonical = card.read_bytes()
    card.write_bytes(canonical.replace(b"\n", b"\r\n").replace(b"render size", b"render   size"))
    assert run_command_line(["fmt", str(card)]) == OK
    assert card.read_bytes() == canonical.replace(b"\n", b"\r\n")
    assert run_command_line(["fmt", "--check", str(card)]) == OK


def test_fmt_leaves_a_broken_file_alone(card: Path) -> None:
    card.write_text('request "open\nprompt "x"\n')
    before = card.read_bytes()
    assert run_command_line(["fmt", str(card)]) == WRONG_INPUT
    assert card.read_bytes() == before


def test_diff_tells_what_differs(card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.gprog"
    other.write_text(GOOD.replace("seed: 1", "seed: 2"))
    assert run_command_line(["diff", str(card), str(card)]) == OK
    assert "say the same" in capsys.readouterr().out
    assert run_command_line(["diff", str(card), str(other)]) == OK
    assert "seed" in capsys.readouterr().out
    assert run_command_line(["diff", str(card), str(other), "--exit-code", "--json"]) == WRONG_INPUT
    assert json.loads(capsys.readouterr().out)["schema"].startswith("genevolve.diff/")


def test_explain_knows_every_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["explain", "gp301"]) == OK
    assert "GP301" in capsys.readouterr().out
    assert run_command_line(["explain"]) == OK
    assert "GP601" in capsys.readouterr().out
    assert run_command_line(["explain", "GP999"]) == WRONG_INPUT


def test_init_writes_a_project_that_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["init", "new"]) == OK
    (tmp_path / "new" / "first.gprog").write_text("kept")
    assert run_command_line(["init", "new"]) == OK
    assert (tmp_path / "new" / "first.gprog").read_text() == "kept"
    assert run_command_line(["init", "other"]) == OK
    assert run_command_line(["check", "--strict", "other"]) == OK
    assert run_command_line(["fmt", "--check", "other"]) == OK
    config = str(tmp_path / "other" / "genevolve.toml")
    assert run_command_line(["run", "other/first.gprog", "--config", config, "--out", "first.png"]) == OK
    assert (tmp_path / "first.png").is_file()


def test_library_index_and_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "bridges.md").write_text("# Bridges\n\nThe Iron Bridge at Coalbrookdale was opened in 1781.\n")
    (folder / "broken.png").write_bytes(b"")
    assert run_command_line(["library", "index", str(folder), "--json"]) == OK
    report = json.loads(capsys.readouterr().out)["report"]
    assert report["added"] == ["bridges.md"]
    assert [Path(p).name for p, _ in report["skipped"]] == ["broken.png"]
    assert run_command_line(["library", "search", "iron bridge opened", "--library", str(folder)]) == OK
    assert "1781" in capsys.readouterr().out


def test_doctor_says_what_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["doctor", "--fast", "--json"]) == OK
    lines = {line["subject"]: line for line in json.loads(capsys.readouterr().out)}
    assert lines["renderer"]["status"] == "ok"
    assert "8" in lines["skills"]["found"]


def test_doctor_fails_on_a_configuration_that_cannot_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "genevolve.toml").write_text('[library]\nfolders = ["missing"]\n')
    assert run_command_line(["doctor", "--fast"]) == SERVICE_FAILED
    assert "missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], USAGE, "usage"),
        (["--help"], OK, "usage"),
        (["--version"], OK, "genevolve"),
        (["chekc"], USAGE, "did you mean 'check'"),
        (["check"], USAGE, "required"),
        (["check", "nowhere.gprog"], WRONG_INPUT, "no such file"),
        (["check", "."], WRONG_INPUT, "no .gprog file"),
        (["run", "nowhere.gprog"], WRONG_INPUT, "nowhere.gprog"),
        (["extract", "nowhere.png"], WRONG_INPUT, "nowhere.png"),
        (["replay", "nowhere"], WRONG_INPUT, "nowhere"),
        (["run", "--config", "nowhere.toml", "x.gprog"], WRONG_INPUT, "x.gprog"),
        (["check", "--config", "nowhere.toml", "."], USAGE, "nowhere.toml"),
    ],
)
def test_wrong_calls_end_in_one_line_and_their_code(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    assert run_command_line(arguments) == code
    captured = capsys.readouterr()
    assert says in captured.out + captured.err
    assert "Traceback" not in captured.err


HOSTILE = {
    "empty": b"",
    "binary": bytes(range(256)) * 20,
    "not-utf8": b'request "caf\xe9"\nprompt "x"\n',
    "long-line": b'request "x"\nprompt "' + b"a" * 1_000_000,
    "brackets": b'request "x"\nlet a = ' + b"search(" * 10_000,
    "indexes": b'request "x"\nlet a = b' + b"[" * 10_000,
    "terminal": 'request "\x1b[2J\u202e"\nprompt "x"\n'.encode(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_end_in_diagnostics(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.gprog"
    path.write_bytes(HOSTILE[name])
    for command in (["check", str(path)], ["fmt", str(path)], ["run", str(path)]):
        done = _process(command)
        told = done.stdout + done.stderr
        assert done.returncode == WRONG_INPUT, told
        assert b"GP1" in told
        assert b"Traceback" not in told
        assert b"\x1b[2J" not in told
    assert path.read_bytes() == HOSTILE[name]


@pytest.mark.parametrize("text", [b"\xef\xbb\xbf" + GOOD.encode(), GOOD.replace("\n", "\r\n").encode()])
def test_byte_order_marks_and_windows_line_ends_are_fine(card: Path, text: bytes) -> None:
    card.write_bytes(text)
    assert run_command_line(["check", "--strict", str(card)]) == OK


def test_a_closed_pipe_is_no_error(card: Path) -> None:
    command = f'"{sys.executable}" -m genevolve explain | head -n 1'
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, check=False)
    assert b"Traceback" not in done.stderr
    assert done.stdout.startswith(b"GP101")


def test_check_imports_no_heavy_library(card: Path) -> None:
    code = (
        "import sys; from genevolve.cli.app import run_command_line as run; "
        f"code = run(['check', {str(card)!r}]); "
        "heavy = {'torch', 'numpy', 'PIL', 'dspy', 'diffusers', 'transformers', 'httpx2', 'pydantic'}; "
        "sys.exit(code or ','.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == OK, done.stderr


def _process(arguments: list[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "genevolve", *arguments],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )


def test_codes_are_what_the_documentation_says() -> None:
    assert (OK, WRONG_INPUT, USAGE, SERVICE_FAILED, INTERRUPTED) == (0, 1, 2, 3, 130)


def test_data_has_the_keys_that_the_documentation_names(
    card: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def keys(arguments: list[str]) -> set[str]:
        assert run_command_line(arguments) == OK
        return set(json.loads(capsys.readouterr().out))

    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    found = keys(["check", str(card), "--json"]) | keys(["run", str(card), "--json"])
    (record,) = Path("runs").iterdir()
    found |= keys(["replay", str(record), "--json"]) | keys(["extract", str(record / "image.png"), "--json"])
    found |= keys(["explain", "GP301", "--json"])
    missing = {key for key in found if f"`{key}`" not in page}
    assert missing == set()
