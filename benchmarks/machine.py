"""The machine against its two budgets (DESIGN §9).

    python benchmarks/machine.py [--repeats N] [--slow SECONDS]

1. A program with n independent slow calls takes at most 1.1 times its critical path. The path is measured in the
   same turn: the slow tools one after the other along the longest path, with nothing of ours around them.
2. With instant tools a statement costs at most 0.5 ms, run record off and on. The figure is the whole of
   `Machine.run` without rendering (plan, checks before spending, calls, trace, z) over the number of statements;
   beside it stands what the same calls cost as bare asyncio tasks (or threads), as a yardstick.

Figures are the best of the repeats, as in `timeit`: what else the machine does can only add to them; the
medians stand beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import inspect
import json
import platform
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genevolve.grammar import builtins
from genevolve.grammar.checker import Checked, check
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.grammar.types import Parameter, Signature, Type
from genevolve.interpreter.budget import Budget
from genevolve.interpreter.cache import CallCache
from genevolve.interpreter.machine import Machine
from genevolve.interpreter.plan import plan
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Evidence, Snippet

RESULTS = Path(__file__).parent / "results" / "machine.json"
PATH_BUDGET = 1.1
STATEMENT_BUDGET_MS = 0.5
SIZES = (10, 50, 200, 500)
_LIMITS = {"max_calls": 1000, "max_references": 5, "max_prompt_chars": 200_000}
_FREE = Budget(calls=None, seconds=None, bytes=None)

_SLOW = Signature(
    "slow", (Parameter("a", Type.TEXT), Parameter("b", Type.TEXT, required=False, named_only=True)), Type.TEXT
)


class BenchTool:
    """A tool from a function; answers are not cached unless a version is given."""

    def __init__(
        self, signature: Signature, function: Callable[..., Any], version: str | None = None
    ) -> None:
        self.signature, self.function, self.version = signature, function, version
        self.is_async = inspect.iscoroutinefunction(function)

    def __call__(self, context: CallContext, /, *args: Any, **named: Any) -> Any:
        """Pass the arguments on."""
        return self.function(*args, **named)


# ---- slow calls --------------------------------------------------------------------------------------


def graphs() -> dict[str, tuple[str, int]]:
    """Programs by shape, each with the number of slow calls on its longest path."""
    found = {}
    for n in (1, 4, 16):
        lets = "".join(f'let a{i} = slow("call {i}")\n' for i in range(n))
        names = " ".join(f"{{a{i}}}" for i in range(n))
        found[f"{n} independent"] = (f'request "x"\n{lets}prompt "{names}"\n', 1)
    chain = "".join(f"let a{i} = slow(a{i - 1})\n" for i in range(1, 4))
    found["chain of 4"] = (f'request "x"\nlet a0 = slow("first")\n{chain}prompt "{{a3}}"\n', 4)
    sides = "".join(f'let s{i} = slow(top, b: "side {i}")\n' for i in range(4))
    joined = 'let end = slow("{s0} {s1} {s2} {s3}")\n'
    found["diamond of 6"] = (f'request "x"\nlet top = slow("top")\n{sides}{joined}prompt "{{end}}"\n', 3)
    return found


async def path_ratio(text: str, depth: int, seconds: float, style: str) -> tuple[float, float]:
    """Seconds of the run, and of its longest path alone."""

    def in_thread(a: str, b: str = "") -> str:
        time.sleep(seconds)
        return a + "."  # another argument for the next call, or the two would be one

    async def on_loop(a: str, b: str = "") -> str:
        await asyncio.sleep(seconds)
        return a + "."

    tool = BenchTool(_SLOW, on_loop if style == "async" else in_thread)
    machine = Machine([tool], budget=_FREE, secrets=())
    program = checked(text, machine)
    began = time.perf_counter()
    for _ in range(depth):
        if style == "async":
            await on_loop("x")
        else:
            in_thread("x")
    path = time.perf_counter() - began
    began = time.perf_counter()
    await machine.run(program)
    return time.perf_counter() - began, path


def measure_paths(seconds: float, repeats: int) -> list[dict[str, Any]]:
    """One row per shape and style. Turns are taken in rounds: a disturbance meets one turn of each row."""
    cases = [(style, shape) for style in ("async", "threads") for shape in graphs()]
    turns: dict[tuple[str, str], list[tuple[float, float]]] = {case: [] for case in cases}
    for _ in range(repeats):
        for style, shape in cases:
            turns[style, shape].append(asyncio.run(path_ratio(*graphs()[shape], seconds, style)))
    return [
        {
            "shape": shape,
            "tools": style,
            "run_s": round(min(t[0] for t in taken), 4),
            "path_s": round(min(t[1] for t in taken), 4),
            "ratio": round(min(t[0] for t in taken) / min(t[1] for t in taken), 4),
            "median_ratio": round(statistics.median(t[0] / t[1] for t in taken), 4),
        }
        for (style, shape), taken in turns.items()
    ]


# ---- instant calls -----------------------------------------------------------------------------------


def instant_program(statements: int) -> str:
    """Searches, questions to what they found, and what is said with the answers."""
    lines = ["program p(n: int = 2)", 'request "{n} towers"']
    made = 0
    while len(lines) < statements - 2:
        i = made
        made += 1
        lines += [
            f'let facts{i} = search("tower {i}", "iron beams of tower {i}", top_k: n)',
            f'let year{i} = ask(facts{i}, "When was tower {i} built?")',
            f'let said{i} = "built in {{year{i}}}"',
            f'avoid "a second tower {i}, {{said{i}}}"',
            f'require attribute("tower {i}", "made of iron")',
        ]
    lines = lines[: statements - 2]
    return "\n".join([*lines, 'prompt "{n} towers at dusk"', "render seed: n"]) + "\n"


def instant_tools(style: str) -> list[BenchTool]:
    found = Evidence(tuple(Snippet(f"fact {i}", "title", "towers.md", 1.0 / (i + 1)) for i in range(2)))

    def search(*queries: str, top_k: int) -> Evidence:
        return found

    def ask(evidence: Evidence, question: str) -> str:
        return "1889"

    async def search_on_loop(*queries: str, top_k: int) -> Evidence:
        return found

    async def ask_on_loop(evidence: Evidence, question: str) -> str:
        return "1889"

    pair = (search_on_loop, ask_on_loop) if style == "async" else (search, ask)
    return [BenchTool(builtins.SEARCH, pair[0], "1"), BenchTool(builtins.ASK, pair[1], "1")]


def checked(text: str, machine: Machine) -> Checked:
    program = check(parse(Source(text, "bench.gprog")), machine.environment(**_LIMITS))
    if not program.ok:
        sys.exit(f"the benchmark's program is wrong: {program.diagnostics[0]}")
    return program


async def bare(calls: int, style: str) -> float:
    """Seconds for as many empty calls as bare tasks or threads."""

    async def nothing() -> int:
        return 1

    async def threaded() -> int:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        threading.Thread(target=lambda: loop.call_soon_threadsafe(future.set_result, 1), daemon=True).start()
        return await future

    work: Callable[[], Awaitable[int]] = nothing if style == "async" else threaded
    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(calls)))
    return time.perf_counter() - began


def timed(machine: Machine, program: Checked, record: Path | None) -> float:
    async def once() -> float:
        gc.collect()
        began = time.perf_counter()
        await machine.run(program, render=False, record=record)
        return time.perf_counter() - began

    return asyncio.run(once())


@dataclass
class Case:
    """One row of the second table."""

    size: int
    style: str
    state: str
    machine: Machine
    program: Checked
    record: Path | None
    turns: list[float] = field(default_factory=list)
    yards: list[float] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """How many calls the program makes."""
        return plan(self.program).calls + sum(n.name == "ask" for n in plan(self.program).nodes)

    def turn(self) -> None:
        """Time it once, and the bare calls beside it."""
        self.turns.append(timed(self.machine, self.program, self.record))
        self.yards.append(asyncio.run(bare(self.calls, self.style)))

    def row(self) -> dict[str, Any]:
        """Milliseconds per statement."""
        best = 1000 * min(self.turns) / self.size
        return {
            "statements": self.size,
            "calls": self.calls,
            "tools": self.style,
            "state": self.state,
            "ms_per_statement": round(best, 4),
            "median_ms": round(1000 * statistics.median(self.turns) / self.size, 4),
            "bare_ms_per_statement": round(1000 * min(self.yards) / self.size, 4),
            "of_budget": round(best / STATEMENT_BUDGET_MS, 3),
        }


def measure_statements(repeats: int, folder: Path) -> list[dict[str, Any]]:
    """One row per size, style, and state of record and cache; turns are taken in rounds, as above."""
    cases = []
    cache = CallCache(folder / "cache.sqlite")
    states: list[tuple[str, CallCache | None, Path | None]] = [
        ("record off", None, None),
        ("record on", None, folder / "runs"),
        ("record on, cache warm", cache, folder / "runs"),
    ]
    for style in ("async", "threads"):
        for size in SIZES:
            for state, kept, record in states:
                machine = Machine(instant_tools(style), budget=_FREE, cache=kept, secrets=())
                cases.append(
                    Case(size, style, state, machine, checked(instant_program(size), machine), record)
                )
    for case in cases:  # warms what is warmed once: imports, the cache
        timed(case.machine, case.program, case.record)
    for _ in range(repeats):
        for case in cases:
            case.turn()
    cache.close()
    return [case.row() for case in cases]


def table(rows: list[dict[str, Any]]) -> str:
    heads = list(rows[0])
    cells = [heads, *([str(r[h]) for h in heads] for r in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    return "\n".join("  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in cells)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--slow", type=float, default=0.2, help="seconds that a slow call takes")
    arguments = parser.parse_args()
    paths = measure_paths(arguments.slow, arguments.repeats)
    with tempfile.TemporaryDirectory(dir=RESULTS.parent) as folder:
        statements = measure_statements(arguments.repeats, Path(folder))
    worst_path = max(r["ratio"] for r in paths)
    worst_statement = max(r["ms_per_statement"] for r in statements)
    print(table(paths), "", table(statements), "", sep="\n")
    print(f"run over critical path: {worst_path:.3f} at worst, {PATH_BUDGET} allowed")
    print(f"per statement: {worst_statement:.3f} ms at worst, {STATEMENT_BUDGET_MS} ms allowed")
    result = {
        "command": f"python benchmarks/machine.py --repeats {arguments.repeats} --slow {arguments.slow:g}",
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "critical_path": paths,
        "statements": statements,
        "worst": {"path_ratio": worst_path, "ms_per_statement": worst_statement},
        "budgets": {"path_ratio": PATH_BUDGET, "ms_per_statement": STATEMENT_BUDGET_MS},
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return int(worst_path > PATH_BUDGET or worst_statement > STATEMENT_BUDGET_MS)


if __name__ == "__main__":
    sys.exit(main())
