"""Files that somebody names: pipes and devices are refused at once, wherever a file is expected."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from genevolve.grammar.errors import AuthorError
from genevolve.interpreter.png import extract
from genevolve.interpreter.regular import open_regular
from genevolve.interpreter.replay import replay

READERS: tuple[Callable[[Path], object], ...] = (open_regular, extract, replay)


def test_a_file_and_a_link_to_one(tmp_path: Path) -> None:
    file, link = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"text")
    link.symlink_to(file)
    for path in (file, link):
        with open_regular(path) as stream:
            assert stream.read() == b"text"


@pytest.mark.skipif(os.name == "nt", reason="needs pipes and devices with names")
@pytest.mark.parametrize("read", READERS)
def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path, read: Callable[[Path], object]) -> None:
    pipe, loop, file = tmp_path / "pipe", tmp_path / "loop", tmp_path / "file"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    file.touch()
    for path in (pipe, loop, tmp_path, file / "below", Path("/dev/zero"), tmp_path / ("a" * 5000)):
        with pytest.raises(AuthorError):
            read(path)


@pytest.mark.skipif(os.name == "nt", reason="needs pipes with names")
def test_a_pipe_in_a_run_folder_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trace.jsonl")
    with pytest.raises(AuthorError, match="no regular file"):
        replay(tmp_path)
