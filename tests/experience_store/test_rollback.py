"""Rolling back much: nobody waits long, nobody sees half of it, and a process that dies in between leaves no trace."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bulk_samples import Given, fill, sample
from experience_samples import PlainEmbedder, experience

from genevolve.experience_store import pending, rollback
from genevolve.experience_store.database import NAME
from genevolve.experience_store.recovery import recover
from genevolve.experience_store.store import ExperienceStore
from genevolve.grammar.errors import AuthorError

MANY = 100_000


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few are as many as many are otherwise."""
    monkeypatch.setattr(rollback, "AT_ONCE", 3)
    monkeypatch.setattr(rollback, "STAGED", 4)
    monkeypatch.setattr(pending, "PART", 4)


def opened(folder: Path, **options: Any) -> ExperienceStore:
    return ExperienceStore.open(folder, embedder=PlainEmbedder(), durable=False, **options)


def given(count: int, dimension: int = 16) -> Given:
    mixed = np.random.default_rng(count)
    rows = mixed.standard_normal((count + 10_000, dimension)).astype(np.float32)
    return Given(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _wait_for_the_lock(folder: Path, stop: Event, told: Any) -> None:
    """Take the write lock again and again, as a writer with nothing to do; tell the longest wait and how often."""
    connection = sqlite3.connect(folder / NAME, isolation_level=None, timeout=60)
    longest, count = 0.0, 0
    while not stop.is_set():
        began = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        longest, count = max(longest, time.perf_counter() - began), count + 1
        connection.execute("COMMIT")
        time.sleep(0.001)
    told.put((longest, count))


def _count(folder: Path, stop: Event, told: Any) -> None:
    """Every number of live experiences that a reader sees, by two ways of counting."""
    seen: set[tuple[int, int]] = set()
    with ExperienceStore.open(folder, embedder=None, read_only=True) as store:
        while not stop.is_set():
            with store._database.read() as connection:
                seen.add(connection.execute(
                    "SELECT live, (SELECT count(*) FROM experiences WHERE live = 1) FROM state"
                ).fetchone())  # fmt: skip
    told.put(sorted(seen))


def test_a_hundred_thousand_are_rolled_back_and_nobody_waits_for_a_second(tmp_path: Path) -> None:
    embedder = given(MANY)
    fill(tmp_path / "s", embedder.rows[:MANY], embedder)
    context = multiprocessing.get_context("spawn")
    stop, waits, counts = context.Event(), context.Queue(), context.Queue()
    onlookers = [
        context.Process(target=_wait_for_the_lock, args=(tmp_path / "s", stop, waits)),
        context.Process(target=_count, args=(tmp_path / "s", stop, counts)),
    ]
    with ExperienceStore.open(tmp_path / "s", embedder=embedder) as store:
        for onlooker in onlookers:
            onlooker.start()
        time.sleep(2)
        began = time.perf_counter()
        change = store.rollback(1000)
        taken = time.perf_counter() - began
        stop.set()
        longest, often = waits.get(timeout=60)
        seen = counts.get(timeout=60)
        for onlooker in onlookers:
            onlooker.join()
        assert len(change.changed) == MANY - 1000
        assert len(store) == store.count() == 1000
        assert set(seen) <= {(MANY, MANY), (1000, 1000)}
        assert len(seen) == 2
        lock = store.stats().longest_write
        print(f"{taken:.1f} s, longest wait {longest:.3f} s of {often}, longest lock {lock:.3f} s")
        assert longest < 1.0
        assert often > 50
        assert lock < 1.0
        assert store.search(sample(999).request)[0].experience.request == sample(999).request
        assert store.search(sample(MANY - 1).request, gate=0.9999) == []
        back = store.rollback(change.generation - 1)
        assert len(back.changed) == MANY - 1000
        assert store.search(sample(MANY - 1).request)[0].experience.request == sample(MANY - 1).request


@pytest.mark.usefixtures("in_parts")
def test_in_parts_it_does_what_it_does_at_once(tmp_path: Path) -> None:
    made = [experience(n) for n in range(40)]
    with opened(tmp_path / "s") as store:
        store.add_many(made[:20])
        store.snapshot("twenty")
        store.remove([e.id for e in made[:5]])
        store.add_many(made[20:])
        before = store.generation
        change = store.rollback("twenty")
        assert set(change.changed) == {e.id for e in (*made[:5], *made[20:])}
        assert change.generation == store.generation == before + 1
        assert store.ids() == tuple(e.id for e in made[:20])
        assert len(store) == 20
        assert store.search(made[3].request)[0].experience.id == made[3].id
        assert store.search(made[30].request) == []
        assert store.verify().problems == ()
        assert store.rollback(before).changed == change.changed
        assert set(store.ids()) == {e.id for e in made[5:]}
        assert store.rollback(store.generation).changed == ()
        assert store.verify().problems == ()
        for wrong in (-1, 10**6, "nothing"):
            with pytest.raises(AuthorError, match="there is no"):
                store.rollback(wrong)


@pytest.mark.usefixtures("in_parts")
def test_what_others_change_meanwhile_is_rolled_back_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [experience(n) for n in range(40)]
    with opened(tmp_path / "s") as store, opened(tmp_path / "s") as other:
        store.add_many(made[:30])
        stage, left = rollback._stage, [made[30:40], made[10:15], []]

        def meddling(*arguments: Any) -> None:
            stage(*arguments)
            if len(left) > 1 and not other._database.writing:
                meddle.append(left.pop(0))

        meddle: list[Any] = []
        pause = store._database.pause

        def between() -> None:
            while meddle:
                chosen = meddle.pop()
                if len(chosen) == 10:
                    other.add_many(chosen)
                else:
                    other.remove([e.id for e in chosen])
            pause()

        monkeypatch.setattr(rollback, "_stage", meddling)
        monkeypatch.setattr(store._database, "pause", between)
        store.rollback(20)
        assert len(left) == 1
        assert set(store.ids()) == {e.id for e in made[:20]} == set(other.ids())
        assert len(store) == 20
        assert store.verify().problems == ()
        assert other.search(made[35].request) == []
        assert other.search(made[12].request)[0].experience.id == made[12].id


@pytest.mark.usefixtures("in_parts")
def test_one_that_is_not_finished_is_seen_whole_and_finished_by_the_next_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [experience(n) for n in range(30)]
    folder = tmp_path / "s"
    with opened(folder) as store:
        store.add_many(made)
        assert store.search(made[25].request)
    _die(folder, monkeypatch, "_switched")
    with opened(folder, read_only=True) as reader:
        assert reader.ids() == tuple(e.id for e in made[:10])
        assert len(reader) == reader.count() == 10
        assert reader.search(made[25].request) == []
        assert reader.get(made[25].id) is None
        assert reader.search(made[5].request)[0].experience.id == made[5].id
        assert sum(reader.stats().categories.values()) == 10
    database = sqlite3.connect(folder / NAME)
    assert database.execute("SELECT count(*) FROM rollback_rows").fetchone()[0] > 0
    database.close()
    with opened(folder) as store:
        assert store.verify().problems == ()
        assert store.ids() == tuple(e.id for e in made[:10])
        assert store.add(made[25]).status == "added"
        assert store.ids() == tuple(e.id for e in (*made[:10], made[25]))
        assert store.verify().problems == ()
    database = sqlite3.connect(folder / NAME)
    assert database.execute("SELECT count(*) FROM rollback_rows").fetchone()[0] == 0
    assert database.execute("SELECT count(*) FROM rollbacks").fetchone()[0] == 0
    database.close()


@pytest.mark.usefixtures("in_parts")
def test_one_that_dies_before_the_switch_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [experience(n) for n in range(30)]
    folder = tmp_path / "s"
    with opened(folder) as store:
        store.add_many(made)
    _die(folder, monkeypatch, "_stage")
    with opened(folder) as store:
        assert len(store) == store.count() == 30
        assert store.verify().problems == ()
        monkeypatch.setattr(rollback, "_ABANDONED", -1.0)
        assert len(store.rollback(10).changed) == 20
        assert store.ids() == tuple(e.id for e in made[:10])
        with store._database.read() as connection:
            assert connection.execute("SELECT count(*) FROM rollback_rows").fetchone()[0] == 0


@pytest.mark.usefixtures("in_parts")
def test_a_damaged_store_is_saved_as_the_rollback_left_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [experience(n) for n in range(30)]
    folder = tmp_path / "s"
    with opened(folder) as store:
        store.add_many(made)
    _die(folder, monkeypatch, "_switched")
    recover(folder)
    with opened(folder) as store:
        store.verify(repair=True)
        assert set(store.ids()) == {e.id for e in made[:10]}
        assert store.verify().problems == ()


def _die(folder: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """A process that rolls back to generation 10 and is killed: after it staged something, or after the switch."""
    child = os.fork()
    if child == 0:
        try:
            if where == "_stage":
                stage = rollback._stage

                def once(connection: Any, number: int, *rest: Any) -> None:
                    if connection.execute("SELECT count(*) FROM rollback_rows").fetchone()[0]:
                        os.kill(os.getpid(), signal.SIGKILL)
                    stage(connection, number, *rest)

                rollback._stage = once
            else:
                move, moved = pending.move, []

                def part(connection: Any, number: int, generation: int) -> None:
                    if moved:
                        os.kill(os.getpid(), signal.SIGKILL)
                    moved.append(number)
                    move(connection, number, generation)

                pending.move = part
            with opened(folder) as store:
                store.rollback(10)
        finally:
            sys.stderr.flush()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
