"""Kills a small compilation again and again, and compares what comes out with a run that nobody disturbed.

    .venv/bin/python benchmarks/compile_kills.py                       # 20 kills, each of a run of its own
    .venv/bin/python benchmarks/compile_kills.py --each 5    # 20 kills, up to five of the same run
    .venv/bin/python benchmarks/compile_kills.py --steps 3 --kills 2 --each 2 --out /tmp/x.json

A mini policy evolves on a small studio world; in every fifth run it is also made and imitates first. SIGKILL falls at
moments drawn by --seed, anywhere between the start of the process and its end; the same command with --resume goes on.
A moment that comes after the end of a run that was killed before is none: runs are begun until there are --kills kills.
At the end the weights of the last checkpoint, the averaged teacher, all versions, the gate's records, the groups and
the experiences must be the very same bytes as those of the run that was left alone. The results tell for each run when
it was killed, in which phase it then was, and what differs (nothing, it is claimed).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

RESULTS = Path(__file__).parent / "results" / "compile_kills.json"
SMALL = {
    "policy.mini_vocabulary": 1200,
    "policy.mini_width": 96,
    "policy.mini_layers": 3,
    "policy.mini_heads": 4,
    "policy.mini_key_heads": 2,
    "policy.mini_feed": 256,
    "policy.mini_practice": 10,
    "rollouts.siblings": 3,
    "rollouts.requests": 3,
    "rollouts.turn_tokens": 256,
    "rollouts.tokens": 600,
    "training.learning_rate": 0.0005,
    "training.save_every": 2,
    "reward.judge": "inspector:no-ocr",
    "memory.min_gap": 0.02,
    "memory.gate": 0.3,
    "gate.every": 4,
    "gate.requests": 6,
    "limits.collapse": 0.0,
    "limits.kl": 0.0,
}
"""Loose thresholds, so that steps learn, remember and are taught: there is something that could differ."""

SHORT = {"cold_start.requests": 16, "cold_start.siblings": 2, "cold_start.epochs": 2.0}
LONG = {"cold_start.requests": 64, "cold_start.siblings": 4, "cold_start.plain": 3, "cold_start.epochs": 10.0}
LAYERS = ("genevolve", "grammar", "interpreter", "programs", "experience_store", "optimizer")
FROM_NOTHING = 5
"""Of so many runs the first is of a mini policy that is made and imitates; the others begin with one that can write."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20, help="kills in all")
    parser.add_argument("--each", type=int, default=1, help="kills of one run, at most")
    parser.add_argument("--steps", type=int, default=8, help="steps of evolution")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--work", type=Path, help="where the runs lie (default: a temporary folder)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    work = (arguments.work or Path(tempfile.mkdtemp(prefix="compile-kills-"))).resolve()
    world, code = make_world(work), frozen(work)
    began = time.monotonic()
    start = made_start(work, code, world)
    kinds = {
        "from nothing": Kind(code, world, "mini?threads=1", {**SMALL, **SHORT, "training.steps": 4}),
        "evolution": Kind(
            code, world, f"local:{start}?threads=1", {**SMALL, "training.steps": arguments.steps}
        ),
    }
    whole = {}
    for name, kind in kinds.items():
        whole[name] = uninterrupted(work / name.replace(" ", "-"), kind)
        print(f"{name}, undisturbed: {whole[name][1]:.1f} s, {whole[name][0]['figures']}", flush=True)
    chance = random.Random(arguments.seed)
    runs: list[dict[str, Any]] = []
    while (left := arguments.kills - sum(len(r["kills"]) for r in runs)) > 0:
        number = len(runs)
        name = "evolution" if number % FROM_NOTHING else "from nothing"
        wanted, seconds = whole[name]
        kills = killed(work / f"run-{number}", kinds[name], min(arguments.each, left), chance, seconds)
        ended = outcome(work / f"run-{number}")
        names = {*wanted, *ended} - {"figures"}
        differs = sorted(n for n in names if wanted.get(n) != ended.get(n))
        found = {"kind": name, "kills": kills, "differs": differs}
        runs.append(found)
        print(f"run {number}: {found}", flush=True)
        shutil.rmtree(work / f"run-{number}")
    same = sum(not r["differs"] for r in runs)
    result = {
        "kills": sum(len(r["kills"]) for r in runs),
        "runs": runs,
        "same": same,
        "claim": {"every run ended with the same bytes": same == len(runs)},
        "undisturbed": {
            name: {"seconds": round(s, 1), "weights": found["weights"], "figures": found["figures"]}
            for name, (found, s) in whole.items()
        },
        "steps": arguments.steps,
        "settings": {name: dict(kind.settings) for name, kind in kinds.items()},
        "seconds": round(time.monotonic() - began, 1),
        "command": "benchmarks/compile_kills.py " + " ".join(sys.argv[1:]),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{same} of {len(runs)} runs ended with the same bytes")
    return 0 if same == len(runs) else 1


class Kind(NamedTuple):
    """What is compiled from what."""

    code: Path
    world: Path
    policy: str
    settings: Mapping[str, Any]

    def command(self, folder: Path) -> list[str]:
        chosen = [f"--set={name}={value}" for name, value in self.settings.items()]
        suite = f"studio:{self.world / 'train'}"
        call = [sys.executable, "-m", "genevolve", "compile", "--policy", self.policy, "--suite", suite]
        return [*call, "--preset", "laptop", "--out", str(folder), "--resume", *chosen]

    def begin(self, folder: Path) -> subprocess.Popen[bytes]:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        with (folder.parent / f"{folder.name}.log").open("ab") as log:
            return subprocess.Popen(
                self.command(folder), cwd=self.code, env=environment, stdout=log, stderr=log
            )

    def finish(self, folder: Path) -> None:
        if self.begin(folder).wait() != 0:
            raise SystemExit(f"the run failed: see {folder.parent / f'{folder.name}.log'}")


def make_world(work: Path) -> Path:
    from genevolve.interpreter.studio.folder import Recipe, make_folder

    world = work / "world"
    if not (world / "studio.json").is_file():
        make_folder(world, Recipe(3, 64, {"train": 64, "validation": 8, "heldout": 4, "heldout_combos": 2}))
    return world


def frozen(work: Path) -> Path:
    """A copy of the code: what is changed in the repository meanwhile must not look like an effect of a kill."""
    code = work / "code"
    shutil.rmtree(code, ignore_errors=True)
    for layer in LAYERS:
        shutil.copytree(ROOT / layer, code / layer, ignore=shutil.ignore_patterns("__pycache__"))
    return code


def made_start(work: Path, code: Path, world: Path) -> Path:
    """A mini policy that can write programs, so that its attempts differ and teach; made once."""
    folder = work / "start"
    if not (folder / "policy").is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        kind = Kind(code, world, "mini?threads=1", {**SMALL, **LONG, "training.steps": 1, "gate.requests": 1})
        kind.finish(folder)
    return folder / "versions" / "v000"


def uninterrupted(folder: Path, kind: Kind) -> tuple[dict[str, Any], float]:
    """The run that nobody disturbs, and how long it takes."""
    shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    kind.finish(folder)
    return outcome(folder), time.monotonic() - began


def killed(
    folder: Path, kind: Kind, count: int, chance: random.Random, seconds: float
) -> list[dict[str, Any]]:
    """One run: killed so often, or until it ends before the next moment; left to end at last."""
    kills: list[dict[str, Any]] = []
    while len(kills) < count:
        process = kind.begin(folder)
        moment = chance.uniform(0, seconds)
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills.append({"after": round(moment, 2), **standing(folder)})
        else:  # it ended before: it is killed another time, from its beginning if it never was
            if kills:
                break
            shutil.rmtree(folder)
    kind.finish(folder)
    return kills


def standing(folder: Path) -> dict[str, Any]:
    """Where a run stood when it was killed."""
    try:
        state = json.loads((folder / "state.json").read_text("utf-8"))
    except FileNotFoundError:
        return {"phase": "before its first file", "step": None, "checkpoint": None}
    complete = [int(p.parent.name.partition("-")[2]) for p in folder.glob("checkpoints/*/complete.json")]
    return {"phase": state["phase"], "step": state["step"], "checkpoint": max(complete, default=None)}


def outcome(folder: Path) -> dict[str, Any]:
    """What a run ended with, as digests; times are left out, they are never the same."""
    from genevolve.experience_store.store import ExperienceStore

    state = json.loads((folder / "state.json").read_text("utf-8"))
    last = folder / "checkpoints" / f"checkpoint-{state['step']}"
    with ExperienceStore.open(folder / "experiences", embedder="auto", read_only=True) as store:
        experiences = list(store.ids())
    steps = [json.loads(line) for line in (folder / "steps.jsonl").read_text("utf-8").splitlines()]
    timed = ("seconds/", "tokens_per_second")
    names = sorted({k for s in steps for k in s["figures"] if not k.startswith(timed)})
    kept = ("loss", "kl", "sdl/loss", "reward/mean", "memory/hit_rate", "memory/size", "groups/degenerate")
    return {
        "state": [state["phase"], state["step"], state["best"], state["reason"]],
        "weights": digest(last / "model.safetensors"),
        "teacher": digest(last / "teacher.safetensors"),
        "start": digest(folder / "versions" / "v000" / "model.safetensors"),
        "versions": {p.parent.name: digest(p) for p in sorted(folder.glob("versions/v*/model.safetensors"))},
        "policy": digest(folder / "policy" / "model.safetensors"),
        "evaluations": {p.name: digest(p) for p in sorted(folder.glob("evaluations/*.jsonl"))},
        "groups": digest(folder / "groups.jsonl"),
        **{f"figure {n}": [s["figures"].get(n) for s in steps] for n in names},
        "experiences": hashlib.sha256(json.dumps(experiences).encode()).hexdigest(),
        "pictures": sorted(p.relative_to(folder).as_posix() for p in folder.glob("pictures/*/*.png")),
        "figures": [{k: round(s["figures"][k], 5) for k in kept if k in s["figures"]} for s in steps],
    }


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    raise SystemExit(main())
