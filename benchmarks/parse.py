"""Parse and check, per token, against bare Lark on the same grammar (DESIGN §9: at most twice its time).

    python benchmarks/parse.py [--repeats N]

Bare Lark is `Lark(grammar, parser="lalr", lexer="basic").parse(text)`: tokens and a tree of them, nothing more.
Ours gives resolved strings, typed nodes with spans, comments in their places, and all of the checker's findings.
Both run on the same text in turn, so what else the machine does meets both; the ratio is the median of the
ratios of the turns. Loading is measured too: whole processes, `genevolve check` on 50 lines against `import lark`.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import lark
from lark import Lark

from genevolve.grammar.builtins import builtin_environment
from genevolve.grammar.checker import check
from genevolve.grammar.generate import grammar_text
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.grammar.types import Environment

RESULTS = Path(__file__).parent / "results" / "parse.json"
SIZES = (10, 50, 500)
BUDGET = 2.0
PROCESS_BUDGET = 3.0

_HEAD = """program cover(title: text = "PARIS", travellers: int = 2)

request "A 1990s travel-magazine cover: {travellers} backpackers before the tower at golden hour, titled {title}."

# evidence first
let facts = search("Eiffel Tower lattice structure", top_k: 5)
let towers = image_search("Eiffel Tower at golden hour, full view", top_k: 5)
ref tower = towers[0] for "copy the lattice structure and the light"
use skill text_rendering
"""
_TAIL = '''
prompt """
A 1990s travel-magazine cover. Exactly {travellers} backpackers stand in the lower third, in front of the
tower from {tower}. The title "{title}" runs across the top in bold serif capitals.
"""
render size: 1024x1024, steps: 40, guidance: 4.0, seed: 7
'''
_BODY = (
    'let fact{n} = search("tower number {n} at dusk", "lattice of iron beams", top_k: 5)',
    'require attribute("tower {n}", "made of iron")  # material',
    'let answer{n} = ask(fact{n}, "How high is tower number {n}?")',
    'require relation("tower {n}", "left_of", "hut {n}")',
    'avoid "warped lettering, tower {n}, {{answer{m}}}"',
    'require count("bird {n}") == travellers',
)


def program(statements: int) -> str:
    """A right program of that many statements, alike in its parts to those that people write."""
    lines = []
    for at in range(statements - 8):
        n = at // len(_BODY)
        lines.append(_BODY[at % len(_BODY)].format(n=n, m=n))
    return _HEAD + "\n".join(lines) + _TAIL


def environment() -> Environment:
    """The built-in tools, with room for the calls of a long program."""
    from genevolve.grammar.types import SkillInfo

    return Environment(
        builtin_environment().signatures, {"text_rendering": SkillInfo("text_rendering")}, max_calls=1000
    )


def timed(work: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    started = perf_counter()
    work()
    return perf_counter() - started


def compare(statements: int, repeats: int) -> dict[str, float]:
    """Times per token of bare Lark, `parse` and `parse` with `check`, in turn."""
    text = program(statements)
    source = Source(text)
    bare = Lark(grammar_text(), parser="lalr", lexer="basic", start="tree")
    tokens = sum(1 for _ in bare.lex(text))
    surroundings = environment()
    checked = check(parse(source), surroundings)
    assert len(checked.tree.statements) == statements
    assert checked.ok, [d for d in checked.diagnostics if d.is_error][:3]
    rounds = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(repeats):
            rounds.append(
                (
                    timed(lambda: bare.parse(text)),
                    timed(lambda: parse(source)),
                    timed(lambda: check(parse(source), surroundings)),
                )
            )
            gc.collect()
    finally:
        gc.enable()
    return {
        "statements": statements,
        "tokens": tokens,
        "lark_us_per_token": statistics.median(r[0] for r in rounds) / tokens * 1e6,
        "parse_us_per_token": statistics.median(r[1] for r in rounds) / tokens * 1e6,
        "parse_and_check_us_per_token": statistics.median(r[2] for r in rounds) / tokens * 1e6,
        "parse_ratio": statistics.median(r[1] / r[0] for r in rounds),
        "ratio": statistics.median(r[2] / r[0] for r in rounds),
    }


def compare_processes(repeats: int) -> dict[str, float]:
    """Whole processes in turn: `import lark`, and `genevolve check` on a file of about 50 lines."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.gprog"
        path.write_text(_HEAD + "\n".join(f'avoid "thing {n}"' for n in range(36)) + _TAIL, encoding="utf-8")
        lines = len(path.read_text(encoding="utf-8").splitlines())
        baseline = [sys.executable, "-c", "import lark"]
        ours = [sys.executable, "-m", "genevolve", "check", str(path)]
        rounds = []
        for _ in range(repeats):
            bare = timed(lambda: subprocess.run(baseline, check=True))
            whole = timed(lambda: subprocess.run(ours, check=True, capture_output=True))
            rounds.append((bare, whole))
    return {
        "lines": lines,
        "import_lark_ms": statistics.median(r[0] for r in rounds) * 1e3,
        "genevolve_check_ms": statistics.median(r[1] for r in rounds) * 1e3,
        "ratio": statistics.median(r[1] / r[0] for r in rounds),
    }


def main() -> int:
    """Measure, print the table, keep the results. Returns 1 when a budget is exceeded."""
    parser = argparse.ArgumentParser(description="parse and check against bare Lark")
    parser.add_argument("--repeats", type=int, default=40, help="turns per size (default: 40)")
    repeats = parser.parse_args().repeats
    rows = [compare(size, max(5, repeats if size < 500 else repeats // 2)) for size in SIZES]
    print(
        f"{'statements':>10} {'tokens':>7} {'Lark':>8} {'parse':>8} {'+ check':>8}   parse/Lark  (parse+check)/Lark"
    )
    for row in rows:
        print(
            f"{row['statements']:>10} {row['tokens']:>7} {row['lark_us_per_token']:>6.2f}us"
            f" {row['parse_us_per_token']:>6.2f}us {row['parse_and_check_us_per_token']:>6.2f}us"
            f"   {row['parse_ratio']:>10.2f}  {row['ratio']:>18.2f}"
        )
    process = compare_processes(max(5, repeats // 4))
    print(
        f"process: import lark {process['import_lark_ms']:.0f} ms, genevolve check of {process['lines']} lines"
        f" {process['genevolve_check_ms']:.0f} ms, ratio {process['ratio']:.2f}"
    )
    worst = max(row["ratio"] for row in rows)
    print(
        f"worst ratio {worst:.2f} (budget {BUDGET}), process ratio {process['ratio']:.2f} (budget {PROCESS_BUDGET})"
    )
    result = {
        "python": platform.python_version(),
        "lark": lark.__version__,
        "budget": BUDGET,
        "process_budget": PROCESS_BUDGET,
        "sizes": rows,
        "process": process,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0 if worst <= BUDGET and process["ratio"] <= PROCESS_BUDGET else 1


if __name__ == "__main__":
    raise SystemExit(main())
