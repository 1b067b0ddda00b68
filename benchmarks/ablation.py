"""The ablation: does distilled experience teach more than reward alone, at equal rollouts?

    python benchmarks/ablation.py prepare    # world, teacher's trajectories, cold start
    python benchmarks/ablation.py run --processes 2    # all arms and seeds; goes on where it was stopped
    python benchmarks/ablation.py run --only full:0    # one of them
    python benchmarks/ablation.py summary    # benchmarks/results/ablation.json

Everything lies in `--work` (default build/ablation). One cold start is the start of all arms; a seed decides the
requests of each step, the rollouts, and the sampling of the evaluation. Every trained arm has the same steps, requests
and siblings, and every evaluation the same held-out requests of a studio world that shares neither entities nor
phrasings with training. Policies are evaluated as they sample (temperature and top-p of training), without memory or
guide, save for the arm `bundles_at_inference`, which reads the nearest bundle that rollouts of the cold start taught.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

RESULTS = Path(__file__).parent / "results" / "ablation.json"
WORLD_SEED, ENTITIES, TRAIN = 7, 400, 6000
MISTAKES = "ask=true&wrong_query=0.3&skipped_skill=0.4&wrong_image=0.35&vague_layout=0.3&missing_count=0.3"
TEACHER_REQUESTS, TEACHER_SIBLINGS = 1200, 4
COLD_EPOCHS, COLD_RATE, COLD_BATCH, COLD_RENAMED = 1.0, 6e-4, 8, 7
LEARN_FROM = 1200  # requests after those of the cold start: evolving sees new ones


@dataclass(frozen=True)
class Arm:
    """What an arm changes. `trains` is False for those that are only evaluated."""

    weight: float = 0.0
    teacher: str = "ema"
    shuffled: bool = False
    memory: bool = False
    trains: bool = True


ARMS: Mapping[str, Arm] = {
    "cold_start": Arm(trains=False),
    "grpo": Arm(),
    "full": Arm(weight=2.0, teacher="ema", memory=True),
    "full_frozen": Arm(weight=2.0, teacher="frozen", memory=True),
    "full_live": Arm(weight=2.0, teacher="live", memory=True),
    "full_shuffled": Arm(weight=2.0, teacher="ema", memory=True, shuffled=True),
    "bundles_at_inference": Arm(trains=False, memory=True),
}
DIFFERENCES = (
    ("grpo", "cold_start"),
    ("full", "cold_start"),
    ("full", "grpo"),
    ("full_frozen", "cold_start"),
    ("full_live", "cold_start"),
    ("full_shuffled", "cold_start"),
    ("full_frozen", "grpo"),
    ("full_live", "grpo"),
    ("full", "full_frozen"),
    ("full", "full_live"),
    ("full_shuffled", "grpo"),
    ("full", "full_shuffled"),
    ("bundles_at_inference", "cold_start"),
    ("full", "bundles_at_inference"),
)


@dataclass(frozen=True)
class Numbers:
    """Of all trained arms."""

    steps: int = 40
    requests: int = 6
    siblings: int = 6
    learning_rate: float = 1.5e-4
    temperature: float = 0.7
    top_p: float = 0.95
    heldout: int = 300
    split: str = "heldout"  # where policies are evaluated; numbers were chosen on "validation"
    validation: int = 60


# ---- parts -------------------------------------------------------------------------------------------


@contextmanager
def parts(work: Path, split: str, judge: str) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Suite, machine, workshop (one process) and text judge."""
    from genevolve.interpreter.config import load_config
    from genevolve.interpreter.judges.catalog import open_judge
    from genevolve.interpreter.renderers.catalog import open_renderer
    from genevolve.optimizer.evaluation.bench import suite_config
    from genevolve.optimizer.evaluation.suites import open_suite
    from genevolve.optimizer.evaluation.workshop import Processes
    from genevolve.programs.session import open_machine

    suite = open_suite(f"studio:{work}/world/{split}")
    config = suite_config(suite, load_config(), {})
    # A folder in which nothing lies: programs must not open the ground truths.
    with open_machine(config, renderer=open_renderer("studio"), program_folder=work / "programs") as machine:
        workshop = Processes("studio", judge, 1)
        try:
            yield suite, machine, workshop, open_judge("sufficiency")
        finally:
            workshop.close()


def requests_of(suite: Any, start: int, count: int) -> list[Any]:
    from genevolve.optimizer.evaluation.workshop import Wanted
    from genevolve.optimizer.evolution import Request
    from genevolve.programs.policies.context import as_sketch
    from genevolve.programs.program import Program

    rows = suite.rows[start : start + count]
    return [
        Request(
            Program.parse(as_sketch(row.request)),
            Wanted(row.request, row.id, row.category, row.constraints, suite.truth_path(row)),
        )
        for row in rows
    ]


def bounds_of(numbers: Numbers) -> Any:
    from genevolve.programs.policies.protocol import Limits
    from genevolve.programs.synthesis.rollout import Bounds

    turn = Limits(max_tokens=320, temperature=numbers.temperature, top_p=numbers.top_p)
    return Bounds(tokens=800, turn=turn)


def policy_of(folder: Path) -> Any:
    from genevolve.programs.policies.local import LocalPolicy

    return LocalPolicy.open(f"{folder}?threads=1&device=cpu")


# ---- cold start --------------------------------------------------------------------------------------


def prepare(work: Path) -> None:
    """World, teacher's rollouts, cold start; and whether a guide helps before anything is evolved."""
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "world" / "studio.json").is_file():
        make = ["studio", "make", str(work / "world"), "--seed", str(WORLD_SEED), "--entities", str(ENTITIES)]
        subprocess.run([sys.executable, "-m", "genevolve", *make, "--train", str(TRAIN)], check=True)
    if not (work / "cold" / "policy").is_dir():
        cold(work)
    guide_check(work, Numbers())


def taught(work: Path) -> tuple[list[Any], Any]:
    """The groups of the oracle with mistakes, and the environment that they were written in."""
    from genevolve.optimizer.evolution import Evolution, Settings
    from genevolve.programs.policies.catalog import open_policy

    groups: list[Any] = []
    with parts(work, "train", "inspector:no-ocr") as (suite, machine, workshop, text_judge):
        oracle = open_policy(f"oracle:{work}/world?{MISTAKES}")
        settings = Settings(siblings=TEACHER_SIBLINGS)
        evolution = Evolution(
            oracle, lambda _: [0], machine, workshop, text_judge, None, settings, end_token=0
        )
        for start in range(0, TEACHER_REQUESTS, 100):
            groups += evolution.step(requests_of(suite, start, 100), 0).groups
            print(f"teacher: {start + 100} requests", flush=True)
        return groups, machine.environment()


def cold(work: Path) -> None:
    import torch

    from genevolve.optimizer.coldstart import ColdStart, cold_start, dialogues_of, tokens_of
    from genevolve.optimizer.mini import make_mini, save_policy, size_of
    from genevolve.optimizer.renaming import names_of, retold
    from genevolve.programs.policies.local.chat import chat_format

    torch.set_num_threads(2)
    began = time.monotonic()
    groups, environment = taught(work)
    dialogues = dialogues_of(groups, environment, "brief", plain=2)
    alone = names_of([messages for messages, _ in dialogues]).things
    model, tokenizer = make_mini((m.text for messages, _ in dialogues for m in messages), alone=alone)
    form = chat_format(tokenizer)
    told_again = retold(dialogues, COLD_RENAMED, 0)
    examples = [tokens_of(messages, form, guided=guided) for messages, guided in told_again]
    settings = ColdStart(epochs=COLD_EPOCHS, batch=COLD_BATCH, learning_rate=COLD_RATE)
    trained = time.monotonic()
    told = cold_start(model, tokenizer, examples, settings, work / "cold" / "sft")
    save_policy(model, tokenizer, work / "cold" / "policy")
    facts = {
        **told,
        "parameters": size_of(model),
        "seconds_trajectories": trained - began,
        "seconds_training": time.monotonic() - trained,
    }
    (work / "cold" / "facts.json").write_text(json.dumps(facts, indent=1))
    print(facts)


def guide_check(work: Path, numbers: Numbers) -> None:
    """Reward with a guide minus without, of the cold start, on validation, before anything was evolved.

    The guide of a request is what the contrast of its own unguided rollouts taught.
    """
    file = work / "guide_check.json"
    if file.is_file():
        return
    from genevolve.optimizer.coldstart import guide_of
    from genevolve.optimizer.evaluation.statistics import bootstrap
    from genevolve.optimizer.evolution import Evolution, Settings

    with parts(work, "validation", "inspector:no-ocr") as (suite, machine, workshop, text_judge):
        policy = policy_of(work / "cold" / "policy")
        settings = Settings(siblings=numbers.siblings, bounds=bounds_of(numbers))
        made = Evolution(
            policy, policy.prompt_ids, machine, workshop, text_judge, None, settings, end_token=0
        )
        requests = requests_of(suite, 0, numbers.validation)
        step = made.step(requests, 0)
        guides = {g.request.wanted.id: guide_of(g) for g in step.groups}
        told = [r for r in requests if guides[r.wanted.id]]
        without = {g.request.wanted.id: _mean_total(g) for g in step.groups}
        guided = made.step([replace(r, guide=guides[r.wanted.id]) for r in told], 1)
        differences = [_mean_total(g) - without[g.request.wanted.id] for g in guided.groups]
    found = {
        "requests": len(differences),
        "without": sum(without[r.wanted.id] for r in told) / max(1, len(told)),
        "difference": bootstrap(differences).to_dict(),
    }
    file.write_text(json.dumps(found, indent=1))
    print("guide minus none:", found)


def _mean_total(group: Any) -> float:
    totals = [s.total for s in group.scored if s.total is not None]
    return sum(totals) / max(1, len(totals))


# ---- one arm -----------------------------------------------------------------------------------------


def run_arm(work: Path, name: str, seed: int, numbers: Numbers) -> None:
    """Train and evaluate one arm; the result is a file that is written last."""
    import torch

    torch.set_num_threads(1)
    arm, out = ARMS[name], work / "arms" / f"{name}-{seed}"
    result = out / "result.json"
    if result.is_file():
        return
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    policy = policy_of(work / "cold" / "policy")
    curve: list[dict[str, float]] = []
    store: Any = None
    if arm.trains or arm.memory:
        curve, store = evolved(work, out, arm, seed, numbers, policy)
    trained = time.monotonic()
    rows = evaluate(work, policy, seed, numbers, None if arm.trains else store)
    if store is not None:
        store.close()
    scores = [r["score"] for r in rows]
    data = {
        "arm": name,
        "seed": seed,
        "numbers": asdict(numbers),
        "kscore": sum(scores) / len(scores),
        "rows": rows,
        "curve": curve,
        "seconds": {"training": trained - began, "evaluation": time.monotonic() - trained},
    }
    result.write_text(json.dumps(data))
    print(
        f"{name}:{seed} kscore {data['kscore']:.4f} after {time.monotonic() - began:.0f} s "
        f"({data['seconds']['evaluation']:.0f} s evaluating)",
        flush=True,
    )


def evolved(
    work: Path, out: Path, arm: Arm, seed: int, numbers: Numbers, policy: Any
) -> tuple[list[dict[str, float]], Any]:
    """The curve of an arm's steps, and its memory; the policy's weights are changed in place."""
    import shutil

    from genevolve.experience_store.store import ExperienceStore
    from genevolve.optimizer.evolution import Evolution, Settings
    from genevolve.optimizer.trainer import Distillation, Teacher
    from genevolve.optimizer.training import Schedule, evolve

    curve: list[dict[str, float]] = []

    def on_step(record: Any) -> str | None:
        curve.append({"step": record.step, **record.figures})
        f = record.figures
        print(
            f"{out.name} {record.step}: reward {f['reward/mean']:.3f} image {f['reward/image']:.3f} "
            f"kl {f.get('kl', 0):.4f} "
            f"sdl {f.get('sdl/loss', 0):.3f} hit {f['memory/hit_rate']:.2f} norm {f.get('grad_norm', 0):.2f} "
            f"s {f['seconds/rollouts']:.1f}+{f['seconds/judging']:.1f}+{f.get('seconds/training', 0):.1f}",
            flush=True,
        )
        return None

    store = None
    if arm.memory:
        shutil.rmtree(out / "experiences", ignore_errors=True)
        store = ExperienceStore.open(out / "experiences", durable=False)
    settings = Settings(
        siblings=numbers.siblings, seed=seed, bounds=bounds_of(numbers), shuffle_bundles=arm.shuffled
    )
    with parts(work, "train", "inspector:no-ocr") as (suite, machine, workshop, text_judge):
        evolution = Evolution(
            policy,
            policy.prompt_ids,
            machine,
            workshop,
            text_judge,
            store,
            settings,
            end_token=policy.tokenizer.eos_token_id,
        )
        schedule = Schedule(
            steps=numbers.steps,
            requests=numbers.requests,
            learning_rate=numbers.learning_rate if arm.trains else 0.0,
            scheduler="cosine",
            warmup=0.1,
            temperature=numbers.temperature,
            seed=seed,
        )
        evolve(
            policy.model,
            policy.tokenizer,
            policy,
            evolution,
            requests_of(suite, TEACHER_REQUESTS, LEARN_FROM),
            schedule,
            Distillation(weight=arm.weight, teacher=Teacher(arm.teacher)),
            out=out / "trainer",
            on_step=on_step,
        )
    return curve, store


def evaluate(work: Path, policy: Any, seed: int, numbers: Numbers, store: Any) -> list[dict[str, Any]]:
    """One row for each held-out request: KScore (paper), dimensions, track and skills. A store gives guides."""
    from genevolve.interpreter.judges.formulas import kscore
    from genevolve.optimizer.evolution import seed_of
    from genevolve.programs.policies.context import guide_text
    from genevolve.programs.synthesis.fill import Task, fill_many

    found: list[dict[str, Any]] = []
    with parts(work, numbers.split, "inspector") as (suite, machine, workshop, _):
        for start in range(0, numbers.heldout, 60):
            count = min(60, numbers.heldout - start)
            wanted = requests_of(suite, start, count)
            guides: list[str | None] = [None] * count
            if store is not None:
                hits = [store.search(r.wanted.request, gate=-1.0) for r in wanted]
                guides = [guide_text(h[0].experience.bundle.to_dict()) if h else None for h in hits]
            tasks = [
                Task(r.sketch, (seed_of(seed, 10_000_019, r.wanted.id, 0),), guide)
                for r, guide in zip(wanted, guides, strict=True)
            ]
            rollouts = [r[0] for r in fill_many(tasks, policy, machine, bounds=bounds_of(numbers))]
            work_begun = [
                None
                if o.program is None or o.session is None
                else workshop.take(o.session, o.program.tree, r.wanted)
                for o, r in zip(rollouts, wanted, strict=True)
            ]
            for row, rollout, future in zip(
                suite.rows[start : start + count], rollouts, work_begun, strict=True
            ):
                done = None if future is None else future.result()
                verdict = None if done is None else done.verdict
                dimensions = (
                    dict(verdict.dimensions) if verdict is not None and verdict.score is not None else {}
                )
                found.append(
                    {
                        "id": row.id,
                        "track": row.track,
                        "skills": list(row.skills),
                        "outcome": rollout.outcome.value,
                        "score": kscore(dimensions, "paper") if dimensions else 0.0,
                        "dimensions": dimensions,
                        "guided": rollout.guide is not None,
                        "tokens": rollout.cost.tokens,
                    }
                )
    return found


# ---- all ---------------------------------------------------------------------------------------------


def run_all(work: Path, arms: Sequence[str], seeds: Sequence[int], processes: int, numbers: Numbers) -> None:
    """Each arm and seed in a process of its own, seeds first, so that what is there is always comparable."""
    waiting = [
        (a, s) for s in seeds for a in arms if not (work / "arms" / f"{a}-{s}" / "result.json").is_file()
    ]
    running: list[tuple[tuple[str, int], subprocess.Popen[bytes]]] = []
    failed: list[tuple[str, int]] = []
    while waiting or running:
        while waiting and len(running) < processes:
            arm, seed = waiting.pop(0)
            line = [sys.executable, __file__, "--work", str(work), "run", "--only", f"{arm}:{seed}"]
            line += [f"--{k.replace('_', '-')}={v}" for k, v in asdict(numbers).items()]
            running.append(((arm, seed), subprocess.Popen(line)))
        time.sleep(0.5)
        for item in list(running):
            if item[1].poll() is not None:
                running.remove(item)
                if item[1].returncode:
                    failed.append(item[0])
    if failed:
        raise SystemExit(f"these failed: {failed}")


# ---- summary -----------------------------------------------------------------------------------------


def interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Mean and its 95 % interval by Student's t over seeds; one seed has none."""
    import numpy as np
    from scipy import stats

    data = np.asarray(values, dtype=float)
    mean = float(data.mean())
    if len(data) < 2:
        return mean, None, None
    half = float(stats.t.ppf(0.975, len(data) - 1) * data.std(ddof=1) / np.sqrt(len(data)))
    return mean, mean - half, mean + half


def summary(work: Path, results: Path = RESULTS) -> dict[str, Any]:
    """All that has ended, with differences paired by seed."""
    runs: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for file in sorted((work / "arms").glob("*/result.json")):
        data = json.loads(file.read_text())
        runs[data["arm"]][data["seed"]] = data
    numbers = next(iter(next(iter(runs.values())).values()))["numbers"]
    report: dict[str, Any] = {
        "arms": {name: _arm_summary(runs[name]) for name in ARMS if name in runs},
        "differences": {},
        "requests": numbers["heldout"],
        "steps": numbers["steps"],
        "rollouts": numbers["steps"] * numbers["requests"] * numbers["siblings"],
        "numbers": numbers,
        "cold_start": json.loads((work / "cold" / "facts.json").read_text()),
        "guide_minus_none_on_validation": json.loads((work / "guide_check.json").read_text()),
        "command": "python benchmarks/ablation.py prepare && python benchmarks/ablation.py run && "
        "python benchmarks/ablation.py summary",
    }
    for a, b in DIFFERENCES:
        shared = sorted(runs.get(a, {}).keys() & runs.get(b, {}).keys())
        if not shared:
            continue
        pairs = [runs[a][s]["kscore"] - runs[b][s]["kscore"] for s in shared]
        mean, low, high = interval(pairs)
        base = sum(runs[b][s]["kscore"] for s in shared) / len(shared)
        report["differences"][f"{a}-{b}"] = {
            "mean": round(mean, 5),
            "low": _rounded(low),
            "high": _rounded(high),
            "relative": round(mean / base, 5),
            "seeds": shared,
        }
    results.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n")
    for name, arm in report["arms"].items():
        print(f"{name:22} {arm['mean']:.4f} {_bounds(arm)}  {arm['by']['track']}")
    for name, d in report["differences"].items():
        print(f"{name:36} {d['mean']:+.4f} {_bounds(d)}  {100 * d['relative']:+.1f} %")
    return report


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def _bounds(found: Mapping[str, Any]) -> str:
    return "(one seed)" if found["low"] is None else f"[{found['low']:+.4f}, {found['high']:+.4f}]"


def _arm_summary(by_seed: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    seeds = sorted(by_seed)
    mean, low, high = interval([by_seed[s]["kscore"] for s in seeds])
    rows = [row for s in seeds for row in by_seed[s]["rows"]]
    names = ("reward/mean", "reward/image", "kl", "entropy", "sdl/loss", "memory/hit_rate", "grad_norm")
    curves = {
        name: [
            round(sum(v) / len(v), 5)
            for step in range(len(by_seed[seeds[0]]["curve"]))
            if (v := [c["curve"][step][name] for c in by_seed.values() if name in c["curve"][step]])
        ]
        for name in names
    }
    return {
        "kscore": [round(by_seed[s]["kscore"], 5) for s in seeds],
        "seeds": seeds,
        "mean": round(mean, 5),
        "low": _rounded(low),
        "high": _rounded(high),
        "by": {
            "track": _means(rows, lambda r: [r["track"]]),
            "skill": _means(rows, lambda r: r["skills"]),
        },
        "dimensions": _dimension_means(rows),
        "filled": round(sum(r["outcome"] == "filled" for r in rows) / len(rows), 4),
        "curves": {name: values for name, values in curves.items() if values},
        "seconds": round(sum(sum(by_seed[s]["seconds"].values()) for s in seeds) / len(seeds), 1),
    }


def _means(rows: Sequence[Mapping[str, Any]], groups: Any) -> dict[str, float]:
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for group in groups(row):
            found[group].append(row["score"])
    return {name: round(sum(v) / len(v), 4) for name, v in sorted(found.items())}


def _dimension_means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, value in row["dimensions"].items():
            if value is not None:
                found[name].append(value)
    return {name: round(sum(v) / len(v), 4) for name, v in sorted(found.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("build/ablation"))
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare")
    commands.add_parser("summary")
    run = commands.add_parser("run")
    run.add_argument("--only", help="ARM:SEED")
    run.add_argument("--arms", nargs="*", default=list(ARMS))
    run.add_argument("--seeds", nargs="*", type=int, default=list(range(5)))
    run.add_argument("--processes", type=int, default=2)
    for name, value in asdict(Numbers()).items():
        run.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    if arguments.command == "prepare":
        prepare(work)
    elif arguments.command == "summary":
        summary(work)
    else:
        numbers = Numbers(**{name: getattr(arguments, name) for name in asdict(Numbers())})
        if arguments.only:
            arm, _, seed = arguments.only.partition(":")
            run_arm(work, arm, int(seed), numbers)
        else:
            run_all(work, arguments.arms, arguments.seeds, arguments.processes, numbers)


if __name__ == "__main__":
    main()
