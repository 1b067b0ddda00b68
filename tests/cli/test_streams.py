"""What commands print, and where: encodings, closed streams, full disks, names that would drive the terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genevolve.cli.app import OK, WRONG_INPUT, run_command_line

PROGRAM = 'request "Grüße aus 東京."\nprompt "A card that reads \\"東京\\"."\nrequire text("東京")\n'
WRONG = 'request "東京"\nlet ö = 1\nprompt "a"\n'


def genevolve(
    *arguments: str, cwd: Path, shell: str = "", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line as a process; `shell` is added to its command, for redirections."""
    command = [sys.executable, "-m", "genevolve", *arguments]
    return subprocess.run(
        ["sh", "-c", f'"$@" {shell}', "sh", *command],
        cwd=cwd,
        env={**os.environ, "XDG_CACHE_HOME": str(cwd / "cache"), **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )


ASCII = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "card.gprog"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


def test_a_terminal_without_unicode_gets_escapes(program: Path, tmp_path: Path) -> None:
    program.write_text(WRONG, encoding="utf-8")
    done = genevolve("check", str(program), cwd=tmp_path, **ASCII)
    assert done.returncode == WRONG_INPUT
    assert b"\\xf6" in done.stdout
    assert not done.stderr


def test_json_stays_json_without_unicode(program: Path, tmp_path: Path) -> None:
    program.write_text(WRONG, encoding="utf-8")
    done = genevolve("check", "--json", str(program), cwd=tmp_path, **ASCII)
    assert done.stdout.isascii()
    assert "\N{LATIN SMALL LETTER O WITH DIAERESIS}" in json.dumps(
        json.loads(done.stdout), ensure_ascii=False
    )


def test_formatted_text_is_utf8_in_any_locale(program: Path, tmp_path: Path) -> None:
    done = genevolve("fmt", "-", cwd=tmp_path, shell=f"< {program}", **ASCII)
    assert (done.returncode, done.stdout.decode("utf-8")) == (OK, PROGRAM)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_in_a_line(tmp_path: Path) -> None:
    done = genevolve("explain", cwd=tmp_path, shell="> /dev/full")
    assert done.returncode == WRONG_INPUT
    assert done.stderr.decode().splitlines() == ["genevolve: input/output: No space left on device"]


def test_closed_streams_are_no_trouble(program: Path, tmp_path: Path) -> None:
    assert genevolve("explain", cwd=tmp_path, shell=">&- 2>&-").returncode == OK
    done = genevolve("check", "-", cwd=tmp_path, shell="<&-")
    assert done.returncode == WRONG_INPUT
    assert done.stderr.decode() == "genevolve: <stdin>: standard input is closed\n"


def test_a_reader_that_goes_away_is_no_trouble(tmp_path: Path) -> None:
    done = genevolve("explain", cwd=tmp_path, shell="| head -n 1")
    assert done.stdout.startswith(b"GP101")
    assert not done.stderr


@pytest.mark.skipif(os.name == "nt", reason="such names cannot be on Windows")
@pytest.mark.parametrize("style", ["text", "json", "github", "sarif"])
def test_names_of_files_cannot_drive_the_terminal(
    tmp_path: Path, style: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a\x1b[31m\x07.gprog", "b\n::error::c.gprog", os.fsdecode(b"d\xff.gprog")):
        (tmp_path / name).write_text(WRONG, encoding="utf-8")
    assert run_command_line(["check", "--format", style, str(tmp_path)]) == WRONG_INPUT
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\x07" not in printed
    assert not any(line.startswith("::error::c") for line in printed.splitlines())


@pytest.mark.skipif(os.name == "nt", reason="such names cannot be on Windows")
def test_arguments_cannot_drive_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["init", str(tmp_path / "a\x1b[31m")], ["check", "--\x1b[31m", "x"], ["\x1b[31m"]):
        run_command_line(arguments)
        printed = capsys.readouterr()
        assert "\x1b" not in printed.out + printed.err


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_fixes_keep_the_ends_of_lines(tmp_path: Path, line_end: bytes) -> None:
    path = tmp_path / "card.gprog"
    lines = [b'request "A card."', b'let facts = serch("cards")', b'prompt "A card."', b""]
    path.write_bytes(line_end.join(lines))
    assert run_command_line(["check", "--fix", str(path)]) == OK
    assert path.read_bytes() == line_end.join(lines).replace(b"serch", b"search")
