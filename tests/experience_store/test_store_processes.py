"""Processes that work on one store at once: what they leave is what some serial order would have left."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest
from experience_samples import PlainEmbedder, experience

from genevolve.experience_store.store import ExperienceStore

CAPACITY = 50
REQUESTS = 300


def sample(number: int) -> Any:
    # Few requests and several gaps: the same experience, near duplicates and replacements all happen.
    return experience(number % REQUESTS, gap=0.2 + (number // REQUESTS) % 4 / 5)


def operate(folder: Path, seed: int, operations: int, log: Path) -> None:
    """Mixed operations; what each answered is written down."""
    chance = random.Random(seed)
    lines: list[Any] = []
    longest = 0.0
    with ExperienceStore.open(folder, embedder=PlainEmbedder(), capacity=CAPACITY, durable=False) as store:
        for _ in range(operations):
            kind = chance.choices(
                ("add", "remove", "restore", "get", "search", "list"), (40, 10, 5, 15, 20, 10)
            )[0]
            number = chance.randrange(REQUESTS * 4)
            if kind == "add":
                result = store.add(sample(number))
                changed = result.status == "added" or result.replaced is not None
                lines.append(
                    [result.generation, changed, "add", number, result.status, result.id, result.evicted]
                )
            elif kind in ("remove", "restore"):
                identity = sample(number).id
                change = store.remove([identity]) if kind == "remove" else store.restore([identity])
                lines.append(
                    [change.generation, bool(change.changed), kind, identity, change.changed, "", []]
                )
            elif kind == "get":
                found = store.get(sample(number).id)
                assert found is None or found.id == sample(number).id
            elif kind == "search":
                hits = store.search(sample(number).request, gate=0.84)
                assert all(h.similarity >= 0.84 for h in hits)
                if hits and hits[0].experience.request == sample(number).request:
                    assert hits[0].similarity == pytest.approx(1.0, abs=1e-4)
            else:
                assert len(store.list(limit=5)) <= 5
        longest = store.stats().longest_write
    log.write_text(json.dumps({"lines": lines, "longest": longest}))


def run(tmp_path: Path, processes: int, operations: int) -> None:
    folder = tmp_path / "store"
    logs = [tmp_path / f"log-{i}" for i in range(processes)]
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=operate, args=(folder, seed, operations // processes, log))
        for seed, log in enumerate(logs)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0] * processes
    reports = [json.loads(log.read_text()) for log in logs]
    assert max(r["longest"] for r in reports) < 1.0
    lines = sorted((x for r in reports for x in r["lines"] if x[1]), key=lambda x: x[0])
    assert len({x[0] for x in lines}) == len(lines), "two changes have one generation"
    with (
        ExperienceStore.open(folder, embedder=PlainEmbedder()) as store,
        ExperienceStore.open(
            tmp_path / "serial", embedder=PlainEmbedder(), capacity=CAPACITY, durable=False
        ) as serial,
    ):
        assert store.verify().problems == ()
        for generation, _, kind, what, answer, identity, evicted in lines:
            if kind == "add":
                result = serial.add(sample(what))
                assert (result.generation, result.status, result.id) == (generation, answer, identity)
                assert list(result.evicted) == evicted
            else:
                change = serial.remove([what]) if kind == "remove" else serial.restore([what])
                assert (change.generation, list(change.changed)) == (generation, answer)
        assert store.ids() == serial.ids()
        assert store.generation == serial.generation
        assert [e.id for e in store.list(limit=None)] == [e.id for e in serial.list(limit=None)]


def test_the_final_state_is_that_of_a_serial_order(tmp_path: Path) -> None:
    run(tmp_path, processes=4, operations=800)


@pytest.mark.slow
@pytest.mark.skipif("STORE_STRESS" not in os.environ, reason="minutes; set STORE_STRESS to run it")
def test_eight_processes_and_ten_thousand_operations(tmp_path: Path) -> None:
    began = time.time()
    run(tmp_path, processes=8, operations=10_000)
    print(f"{time.time() - began:.0f} s")


def test_one_sees_what_another_writes(tmp_path: Path) -> None:
    with (
        ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder()) as one,
        ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder()) as other,
    ):
        first, second = experience(1), experience(2)
        one.add(first)
        assert other.search(first.request)[0].experience.id == first.id
        other.add(second)
        assert one.search(second.request)[0].experience.id == second.id
        one.remove([first.id])
        assert other.search(first.request) == []
        other.compact()
        assert [h.experience.id for h in one.search(second.request)] == [second.id]
