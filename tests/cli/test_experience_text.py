"""Experiences and figures as text: whatever they hold, lines fit and nothing drives the terminal."""

from __future__ import annotations

import io
import time

import pytest
from experience_samples import bundle, experience

from genevolve.cli.experience_charts import bars, steps
from genevolve.cli.experience_options import moment_of
from genevolve.cli.experience_text import advice, describe, difference, facts, fit, table, wrap
from genevolve.experience_store.experience import ProgramRecord, RewardParts
from genevolve.grammar.display import cells, width

NASTY = "\x1b]0;owned\x07\x1b[2J[bold]x[/] \u202egnp.exe \x9b31m \x00 %s {x} \U0001f600 水壺"


def test_nothing_in_an_experience_drives_the_terminal() -> None:
    nasty = NASTY
    found = experience(
        1, request=nasty, bundle=bundle(nasty), category=nasty, skills=(nasty,), judge=nasty, policy=nasty,
        facts=(nasty,), created=1e300,
        best=ProgramRecord(nasty, nasty, RewardParts(0.6, scoring=nasty), nasty, nasty, nasty),
    )  # fmt: skip
    for size in (20, 40, 80, 200):
        lines = [*describe(found, size), *table([found], size), *advice(found, size), *facts(found, size)]
        assert all(c.isprintable() for line in lines for c in line)
        assert not any(c in line for line in lines for c in "\x1b\x9b\u202e")


@pytest.mark.parametrize("size", [40, 80, 100, 137])
def test_lines_fit(size: int) -> None:
    found = experience(1, request="水壺 " * 40 + "w" * 300, category="ü" * 50)
    lines = [
        *table([found] * 3, size, [0.5] * 3),
        *advice(found, size),
        *facts(found, size),
        *difference(found, size),
    ]
    assert max(width(cells(line)) for line in lines) <= size


def test_fit_and_wrap() -> None:
    assert fit("水壺水壺", 8) == "水壺水壺"
    assert fit("水壺水壺", 7) == "水壺水…"
    assert wrap("one two three", 9, first="- ") == ["- one two", "  three"]
    assert wrap("", 9, first="- ") == ["-"]
    assert "".join(wrap("x" * 50, 20)) == "x" * 50


def test_bars_fit_and_every_bin_that_is_not_empty_has_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = [("small", 1), ("none", 0), ("a long label of many words", 1_000_000)]
    for size in (30, 80, 300):
        lines = bars("title", counts, size)
        assert all(width(cells(line)) <= size for line in lines)
        assert lines[1].endswith("▏")
        assert lines[2].rstrip().endswith("0")
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert bars("title", counts, 80)[1].endswith("#")
    assert bars("title", [], 80)[1] == "  nothing yet"


def test_steps_count_every_value_once() -> None:
    assert steps([0.1, 0.2, 0.25, 0.9], [0.2, 0.5], ["low", "middle", "high"]) == [
        ("low", 1),
        ("middle", 2),
        ("high", 1),
    ]


def test_times() -> None:
    assert moment_of("2023-11-14T22:13:20") == 1_700_000_000
    assert moment_of("2023-11-14T22:13:20+01:00") == 1_700_000_000 - 3600
    assert abs(time.time() - 2 * 86_400 - moment_of("2d")) < 5
