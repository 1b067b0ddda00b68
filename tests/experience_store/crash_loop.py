"""Writers of one store that are killed at any instruction, again and again; the store is verified after each time.

    python tests/experience_store/crash_loop.py --kills 500 --json benchmarks/results/store_crash.json

Each round starts writers, real processes that add, remove, restore, snapshot, roll back (at once and in parts), import,
compact and reopen. Each writes what the store acknowledged into a file of its own, with the generation. After a random
time all are killed with SIGKILL. Then another process verifies the store and looks for every acknowledged change in the
log of changes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from experience_samples import PlainEmbedder, experience

from genevolve.experience_store import checkpoints, pending, rollback
from genevolve.experience_store.store import ExperienceStore
from genevolve.grammar.errors import AuthorError

CAPACITY = 40


def forked(work: Callable[[], None]) -> int:
    """Start a process that does some work and nothing else. Returns its number."""
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        work()
        code = 0
    except BaseException:  # whatever it is, it is shown, and the process ends
        traceback.print_exc()
    finally:
        os._exit(code)


def write(folder: Path, log: Path, seed: int) -> None:
    """Work on the store until killed; acknowledged changes go to the log, a line each."""
    chance = random.Random(seed)
    if seed % 3:  # so that a few experiences go in parts, as thousands do
        rollback.AT_ONCE, rollback.STAGED, pending.PART = 2, 3, 3
    # The thread that moves the log, and makes its room, is killed at its work as well.
    checkpoints.EVERY, checkpoints._FEW = 50, 1 + seed % 4
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def acknowledge(generation: int, changes: dict[str, int | None]) -> None:
        os.write(file, (json.dumps([generation, changes]) + "\n").encode())

    while True:
        with ExperienceStore.open(folder, embedder=PlainEmbedder(), capacity=CAPACITY) as store:
            for _ in range(chance.randint(1, 30)):
                step(store, chance, acknowledge)


def step(
    store: ExperienceStore, chance: random.Random, acknowledge: Callable[[int, dict[str, int | None]], None]
) -> None:
    """One random operation."""
    kind = chance.choices(
        ("add", "many", "remove", "restore", "snapshot", "rollback", "compact"), (60, 8, 12, 8, 4, 3, 1)
    )[0]
    if kind in ("add", "many"):
        made = [sample(chance.randrange(10**6)) for _ in range(1 if kind == "add" else 5)]
        for result in store.add_many(made, again=chance.random() < 0.5):
            if result.status == "added":
                acknowledge(result.generation, {result.id: 1, **dict.fromkeys(result.evicted, 0)})
    elif kind in ("remove", "restore"):
        known = store.ids()
        chosen = chance.sample(known, min(2, len(known)))
        change = store.remove(chosen)
        acknowledge(change.generation, dict.fromkeys(change.changed, 0))
        if kind == "restore":
            change = store.restore(change.changed)
            # One that is restored into a full store may have to go at once, in the same generation.
            acknowledge(change.generation, dict.fromkeys(change.changed))
    elif kind == "snapshot":
        store.snapshot(f"s{chance.random()}")
    elif kind == "rollback":
        try:
            change = store.rollback(max(0, store.generation - chance.randrange(12)))
        except AuthorError:  # compacted meanwhile
            return
        if change.changed:  # one way or the other: each was live or not before
            acknowledge(change.generation, dict.fromkeys(change.changed))
    else:
        for old in store.snapshots()[:-1]:
            store.drop_snapshot(old.name)
        store.compact()


def sample(number: int) -> object:
    """An experience by number."""
    return experience(number, gap=0.2 + number % 60 / 100)


def inspect(folder: Path, logs: list[Path], report: Path) -> None:
    """Verify the store, and look for every acknowledged change; findings go to a file."""
    found: list[str] = []
    acknowledged = 0
    with ExperienceStore.open(folder, embedder=PlainEmbedder(), capacity=CAPACITY) as store:
        health = store.verify()
        found += [p.message for p in health.problems]
        live = store.ids()
        found += [] if len(live) <= CAPACITY else [f"{len(live)} live experiences"]
        for identity in live[-3:]:
            kept = store.get(identity)
            hit = store.search(kept.request, gate=0.999) if kept is not None else []
            if not hit or hit[0].experience.request != kept.request:
                found.append(f"{identity} is not found by its own request")
        history = store.stats().history
    database = sqlite3.connect(folder / "experiences.sqlite")
    changes = {
        (g, i): live
        for g, i, live in database.execute(
            "SELECT c.generation, e.id, c.live FROM changes c JOIN experiences e ON e.seq = c.seq ORDER BY c.n"
        )
    }
    waiting = database.execute("SELECT count(*) FROM rollbacks WHERE generation IS NOT NULL").fetchone()[0]
    found += ["a rollback was not finished by opening and verifying"] if waiting else []
    database.close()
    for log in logs:
        for line in log.read_text().split("\n")[:-1]:
            generation, wanted = json.loads(line)
            for identity, alive in wanted.items():
                acknowledged += 1
                logged = changes.get((generation, identity))
                if generation > history and (logged is None if alive is None else logged != alive):
                    there = "nothing" if logged is None else f"live {logged}"
                    found.append(
                        f"acknowledged and lost: {identity} at {generation}, wanted {alive}, the log has {there}"
                    )
    report.write_text(json.dumps({"found": found, "acknowledged": acknowledged, "live": len(live)}))


def run(kills: int, *, writers: int = 3, seed: int = 1, longest: float = 0.6) -> dict[str, object]:
    """Kill writers so often. Returns figures; `found` is empty when all went well."""
    chance = random.Random(seed)
    began, killed, acknowledged, rounds = time.time(), 0, 0, 0
    found: list[str] = []
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder, report = Path(name) / "store", Path(name) / "report.json"
        while killed < kills and not found:
            logs = [Path(name) / f"log-{i}" for i in range(writers)]
            for log in logs:
                log.unlink(missing_ok=True)
                log.touch()
            at_work = [
                forked(lambda log=log, s=seed * 10**6 + rounds * 10 + i: write(folder, log, s))  # type: ignore[misc]  # defaults bind
                for i, log in enumerate(logs)
            ]
            if rounds % 4:  # else they are killed as they open the store
                until = time.time() + 30
                while time.time() < until and not all(log.stat().st_size for log in logs):
                    time.sleep(0.005)
            time.sleep(chance.uniform(0.005, longest))
            for number in chance.sample(at_work, len(at_work)):
                os.kill(number, signal.SIGKILL)
                _, status = os.waitpid(number, 0)
                ends["killed" if os.WIFSIGNALED(status) else f"ended {status}"] += 1
                killed += os.WIFSIGNALED(status)
                time.sleep(chance.uniform(0, 0.02))
            _, status = os.waitpid(forked(partial(inspect, folder, logs, report)), 0)
            if status:
                found.append(f"verifying failed with status {status}")
                break
            data = json.loads(report.read_text())
            found += data["found"]
            acknowledged += data["acknowledged"]
            rounds += 1
    return {
        "kills": killed,
        "rounds_verified": rounds,
        "changes_acknowledged": acknowledged,
        "writers_at_once": writers,
        "ends": dict(ends),
        "found": found,
        "seconds": round(time.time() - began, 1),
    }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    import faiss  # noqa: F401  # once, before the processes are made

    figures = run(chosen.kills)
    print(json.dumps(figures, indent=1))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if figures["found"] else 0


if __name__ == "__main__":
    sys.exit(main())
