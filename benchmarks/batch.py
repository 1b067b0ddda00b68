"""What a batch costs per row, and whether that stays the same with more rows.

    python benchmarks/batch.py [--rows 100 1000 10000] [--repeats N]

Each number of rows runs in a process of its own with a renderer that takes no time, after a warm-up of twenty rows.
Time per row is everything: looking at the rows, running the program, the PNG, the record, and the results in order at
the end. Beside it stands the bookkeeping alone, which is the same without running any program: the row is read, its
record is made and appended, and the results are written. Memory is the most that the process has ever held, by the
operating system, after the imports and after the batch. "Last tenth" compares the last tenth of the rows with the
first.

Beside it, what was published for the batch runner of the release that this project follows: 80, 93 and 201 ms of
bookkeeping a prompt at 64, 256 and 1,024 prompts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from genevolve.grammar.checker import check
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.grammar.z import Z
from genevolve.interpreter.machine import Machine
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.values import ImageHandle
from genevolve.programs.batch.folder import BatchFolder
from genevolve.programs.batch.journal import Journal
from genevolve.programs.batch.outcome import Failure, failed
from genevolve.programs.batch.rows import RowWork, Template
from genevolve.programs.batch.runner import BatchRunner, Options, Tally

RESULTS = Path(__file__).parent / "results" / "batch.json"
UPSTREAM_MS = {"64": 80, "256": 93, "1024": 201}
GROWTH_BUDGET = 1.25
"""Time and memory at the most rows over those at the fewest."""

TEMPLATE = """\
program card(question: text, balloons: int = 3)
request "{question}"
prompt \"\"\"
A card on cream paper with exactly {balloons} red balloons in the upper third. {question}
\"\"\"
avoid "warped lettering"
require count("balloon") == balloons
render size: 64x64, seed: 1
"""


class InstantRenderer:
    """Gives one and the same small picture."""

    name = "instant"
    version = "1"
    is_async = True

    def __init__(self) -> None:
        self._image = Image.new("RGB", (64, 64), "red")

    def refusals(self, z: Z) -> Sequence[str]:
        """Everything can be drawn."""
        return ()

    async def render(self, context: CallContext, z: Z, references: Sequence[ImageHandle]) -> Rendering:
        """The picture, at once."""
        return Rendering(self._image)


def write_rows(path: Path, number: int) -> None:
    filler = "A request of about sixty-five words has some four hundred characters. " * 6
    with path.open("w") as file:
        for i in range(number):
            row = {"id": f"row{i}", "question": f"{filler}{i}", "meta": {"category": "art", "number": i}}
            file.write(json.dumps(row) + "\n")


def batch(folder: Path, number: int, marks: list[float]) -> float:
    """Run a whole batch; its seconds."""
    machine = Machine([], renderer=InstantRenderer(), secrets=())
    program = check(parse(Source(TEMPLATE, "card.gprog")), machine.environment())
    write_rows(folder / "rows.jsonl", number)
    tenth = number // 10

    def on_end(tally: Tally, _: object) -> None:
        if tally.here in (tenth, number - tenth):
            marks.append(time.perf_counter())

    began = time.perf_counter()
    work = RowWork(folder / "rows.jsonl", Template(program))
    marks.append(time.perf_counter())
    out = folder / "out"
    with (
        BatchFolder(out, work.identity, resume=False) as place,
        Journal(place.journal, work.count) as journal,
    ):
        tally = asyncio.run(BatchRunner(machine, work, place, journal, Options(), on_end).run())
        marks.append(time.perf_counter())
        journal.write_outputs(out / "output.jsonl", out / "results.json")
    assert tally.done == number
    return time.perf_counter() - began


def bookkeeping(folder: Path, number: int) -> float:
    """The same rows without running programs: read, recorded, written in order; seconds."""
    machine = Machine([], renderer=InstantRenderer(), secrets=())
    program = check(parse(Source(TEMPLATE, "card.gprog")), machine.environment())
    write_rows(folder / "rows.jsonl", number)
    began = time.perf_counter()
    work = RowWork(folder / "rows.jsonl", Template(program))
    out = folder / "books"
    with (
        BatchFolder(out, work.identity, resume=False) as place,
        Journal(place.journal, work.count) as journal,
    ):
        failure = Failure("GP520", "x" * 400, "rows.jsonl", "service")
        for job in work.jobs(lambda index: journal.state(index) != "done"):
            journal.append(job.index, failed(job, failure, {"seconds": 1.0, "attempts": 1, "cost": 0.0}))
        journal.write_outputs(out / "output.jsonl", out / "results.json")
    return time.perf_counter() - began


def peak() -> float:
    """The most memory that this process has held, in MiB."""
    unit = 1024 if sys.platform == "darwin" else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 / unit


def child(number: int) -> None:
    """One measurement, printed as JSON."""
    with tempfile.TemporaryDirectory() as name:
        warm = Path(name) / "warm"
        warm.mkdir()
        batch(warm, 20, [])
        bookkeeping(warm, 20)
        before, marks = peak(), []
        seconds = batch(Path(name), number, marks)
        held = peak()
        books = bookkeeping(Path(name), number)
    surveyed, first, last, ended = marks
    growth = (ended - last) / (first - surveyed)
    print(
        json.dumps(
            {
                "rows": number,
                "ms": 1000 * seconds / number,
                "books_ms": 1000 * books / number,
                "last_tenth": growth,
                "before_mib": before,
                "peak_mib": held,
            }
        )
    )


def measure(numbers: Sequence[int], repeats: int) -> list[dict[str, Any]]:
    """The best of the repeats: what else the machine does can only add to it.

    All numbers take their turns in rounds, so that a disturbance meets one turn of each.
    """
    runs: dict[int, list[dict[str, float]]] = {number: [] for number in numbers}
    for _ in range(repeats):
        for number in numbers:
            command = [sys.executable, __file__, "--child", str(number)]
            done = subprocess.run(command, check=True, capture_output=True)
            runs[number].append(json.loads(done.stdout))
    return [
        {
            "rows": number,
            "ms_per_row": round(min(r["ms"] for r in found), 3),
            "bookkeeping_ms_per_row": round(min(r["books_ms"] for r in found), 3),
            "last_tenth_over_first": round(statistics.median(r["last_tenth"] for r in found), 3),
            "mib_before": round(min(r["before_mib"] for r in found), 1),
            "peak_mib": round(min(r["peak_mib"] for r in found), 1),
            "repeats": repeats,
        }
        for number, found in runs.items()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return 0
    found = measure(sorted(arguments.rows), arguments.repeats)
    print(f"{'rows':>7}{'ms a row':>11}{'bookkeeping':>13}{'last tenth':>12}{'peak MiB':>10}")
    for row in found:
        print(
            f"{row['rows']:>7}{row['ms_per_row']:>11.2f}{row['bookkeeping_ms_per_row']:>13.3f}"
            f"{row['last_tenth_over_first']:>12.2f}{row['peak_mib']:>10.1f}"
        )
    least, most = found[0], found[-1]
    ratios = {
        name: round(most[name] / least[name], 3)
        for name in ("ms_per_row", "bookkeeping_ms_per_row", "peak_mib")
    }
    print(f"{most['rows']} rows over {least['rows']}: " + ", ".join(f"{k} x {v}" for k, v in ratios.items()))
    print(
        "published for the release, bookkeeping: "
        + ", ".join(f"{v} ms at {k}" for k, v in UPSTREAM_MS.items())
    )
    kept = all(ratio <= GROWTH_BUDGET for ratio in ratios.values())
    print(f"budget: at most x {GROWTH_BUDGET}: {'kept' if kept else 'NOT KEPT'}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps(
            {
                "python": platform.python_version(),
                "rows": found,
                "ratios": ratios,
                "budget": GROWTH_BUDGET,
                "published_upstream_ms": UPSTREAM_MS,
            },
            indent=2,
        )
        + "\n"
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
