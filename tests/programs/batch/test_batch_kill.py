"""A process that is killed at any moment loses no finished row, and none is done twice."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from batch_world import output, simple_rows, write_rows
from PIL import Image

KILLS = 22
ROWS = 1000
CHILD = Path(__file__).with_name("kill_me.py")


def _wait_for_work(log: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the first row is begun: on a busy machine that takes longer than any fixed pause."""
    patience = time.monotonic() + 20
    while (
        time.monotonic() < patience and process.poll() is None and not (log.exists() and log.stat().st_size)
    ):
        time.sleep(0.002)


@pytest.mark.slow
def test_kill_at_random_moments(tmp_path: Path) -> None:
    rows, out = write_rows(tmp_path / "rows.jsonl", simple_rows(ROWS)), tmp_path / "out"
    rng = random.Random(11)
    at_work = 0
    for turn in range(KILLS):
        finished = _finished(out)
        log = tmp_path / f"log{turn}"
        process = _start(rows, out, log)
        assert process.stdout is not None
        if turn % 7:
            assert process.stdout.readline() == b"ready\n"
            _wait_for_work(log, process)
            time.sleep(rng.uniform(0.0, 0.06))
        else:  # while it starts, too
            time.sleep(rng.uniform(0.2, 0.8))
        ended = process.poll() is not None
        process.kill()
        process.wait(30)
        process.stdout.close()
        assert not ended, "the work was over before the process could be killed"
        rendered = log.read_text().splitlines() if log.exists() else []
        at_work += bool(rendered)
        assert not finished.intersection(rendered)
        assert finished <= _finished(out)

    process = _start(rows, out, tmp_path / "last")
    told, _ = process.communicate(timeout=60)
    assert told.decode().splitlines()[-1] == f"done {ROWS}"
    assert at_work > KILLS / 2
    results = output(out)
    assert [r["id"] for r in results] == [f"row{i}" for i in range(ROWS)]
    assert all(r["success"] for r in results)
    for result in results:
        with Image.open(out / result["output_path"]) as image:
            image.load()
    lines = [json.loads(line)["id"] for line in (out / "results.jsonl").read_text().splitlines()]
    assert len(lines) == len(set(lines)) == ROWS
    assert not list(out.rglob("*.part"))


def _start(rows: Path, out: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(CHILD), str(rows), str(out), str(log)]
    # `genevolve` comes from where this process has it.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)


def _finished(out: Path) -> set[str]:
    """The requests of the rows whose records are whole."""
    journal = out / "results.jsonl"
    if not journal.exists():
        return set()
    found = set()
    for line in journal.read_bytes().splitlines():
        try:
            found.add(str(json.loads(line)["question"]))
        except ValueError:
            continue  # the cut line
    return found
