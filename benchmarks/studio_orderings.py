"""Known orderings in the studio, on held-out requests, each with its 95 % interval.

    .venv/bin/python benchmarks/studio_orderings.py                        # everything, half an hour on two cores
    .venv/bin/python benchmarks/studio_orderings.py --rows 60 --out /tmp/x.json

It makes a world, runs every policy on the same requests with the simulated generator and the inspector (pixels alone),
and writes benchmarks/results/studio_orderings.json:

- `scores`: KScore of each policy, by track too. `blind_oracle` reads the request perfectly, knows all guides by heart
  and sees nothing that its calls show; `blind_unguided` does not know the guides either (they are observations, too).
- `orderings`: paired differences that must be positive.
- `dropped`: for each skill that the oracle leaves out, on the requests that need it, how many constraints of every
  skill hold less than with the whole oracle (requests that do not need it have the same program, byte for byte).
- `claims`: what is claimed of these figures, and whether it came out.

A run that was interrupted goes on where it ended when --work names its folder.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from genevolve.interpreter.config import load_config
from genevolve.interpreter.studio.folder import Recipe, make_folder
from genevolve.interpreter.studio.wants import SKILLS
from genevolve.optimizer.evaluation.bench import Plan, run_bench, suite_config
from genevolve.optimizer.evaluation.compare import compare
from genevolve.optimizer.evaluation.folder import Bench, open_bench
from genevolve.optimizer.evaluation.runner import Options
from genevolve.optimizer.evaluation.suites import Suite, open_suite

RESULTS = Path(__file__).parent / "results" / "studio_orderings.json"
SHORTCUTS = ("constant", "template", "everything", "bare", "blind_unguided", "blind_oracle")
BASELINES = ("constant", "template", "everything", "bare")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=400, help="held-out requests")
    parser.add_argument("--seed", type=int, default=7, help="of the world")
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument(
        "--work", type=Path, help="where the world and the runs lie (default: a temporary folder)"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="studio-orderings-"))
    began = time.monotonic()
    measured = Measured(work, arguments.seed, arguments.rows, arguments.parallel)
    found = measured.all()
    found["seconds"] = round(time.monotonic() - began, 1)
    found["command"] = f"benchmarks/studio_orderings.py --rows {arguments.rows} --seed {arguments.seed}"
    found["machine"] = f"{platform.machine()}, Python {platform.python_version()}"
    arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, claim in found["claims"].items():
        print(f"{'yes' if claim['holds'] else 'NO ':<4} {name}: {claim['figures']}")
    return 0 if all(c["holds"] for c in found["claims"].values()) else 1


class Measured:
    """Runs policies on the requests of one world, each once."""

    def __init__(self, work: Path, seed: int, rows: int, parallel: int) -> None:
        self.world = work / "world"
        self.runs = work / "runs"
        self.parallel = parallel
        sizes = {"train": 10, "validation": 10, "heldout": rows, "heldout_combos": 10}
        make_folder(self.world, Recipe(seed, 400, sizes))
        self.suite = open_suite(f"studio:{self.world}")

    def all(self) -> dict[str, Any]:
        oracle = self.bench("oracle", f"oracle:{self.world}")
        policies = {
            "oracle": oracle,
            "random_reference": self.bench("random_reference", f"oracle:{self.world}?reference=random"),
            **{name: self.bench(name, name) for name in BASELINES},
            "blind_oracle": self.bench("blind_oracle", f"blind:oracle:{self.world}"),
            "blind_unguided": self.bench(
                "blind_unguided", f"blind:oracle:{self.world}?drop={','.join(SKILLS)}"
            ),
        }
        scores = {name: self.figures(bench) for name, bench in policies.items()}
        pairs = (
            ("bare", "random_reference"),
            ("random_reference", "oracle"),
            ("bare", "oracle"),
            ("blind_oracle", "oracle"),
        )
        orderings = {f"{a} < {b}": compare(policies[a], policies[b])["overall"]["score"] for a, b in pairs}
        knowledge = compare(policies["blind_oracle"], oracle)["by"]["track"]["knowledge"]["score"]
        orderings["blind_oracle < oracle, knowledge track"] = knowledge
        dropped = {skill: self.dropped(skill, oracle) for skill in SKILLS}
        return {
            "suite": {"digest": self.suite.digest, "rows": len(self.suite.rows)},
            "renderer": oracle.facts["renderer"],
            "judge": oracle.facts["judge"],
            "scores": scores,
            "orderings": orderings,
            "dropped": dropped,
            "claims": claims(scores, orderings, dropped),
        }

    def figures(self, bench: Bench) -> dict[str, Any]:
        summary = bench.summary()
        tracks = {name: f["missing_as_zero"] for name, f in summary["by"]["track"].items()}
        overall = summary["overall"]
        return {
            "policy": bench.facts["policy"]["name"].replace(str(self.world), "WORLD"),
            **{k: overall[k] for k in ("rows", "scored", "failed", "unscored")},
            "kscore": overall["missing_as_zero"],
            "track": tracks,
            "difficulty": {n: f["missing_as_zero"] for n, f in summary["by"]["difficulty"].items()},
            "dimensions": {n: d["mean"] for n, d in overall["dimensions"].items()},
            "constraints": {n: d["mean"] for n, d in summary["constraints"].items()},
            "spent": summary["spent"],
        }

    def dropped(self, skill: str, oracle: Bench) -> dict[str, Any]:
        """The oracle without a skill against the whole oracle, on the requests that need it."""
        chosen = [row for row in self.suite.rows if skill in row.skills]
        rows = tuple(replace(row, index=index) for index, row in enumerate(chosen))
        suite = replace(self.suite, rows=rows)
        ids = {row.id for row in rows}
        results = tuple(r for r in oracle.results if r.id in ids)
        whole = replace(oracle, results=results, suite_digest=suite.digest)
        without = self.bench(f"without-{skill}", f"oracle:{self.world}?drop={skill}", suite)
        found = compare(whole, without)
        return {
            "rows": len(rows),
            "kscore": found["overall"]["score"],
            "constraints": {name: c["difference"] for name, c in found["constraints"].items()},
        }

    def bench(self, name: str, policy: str, suite: Suite | None = None) -> Bench:
        """A policy on the suite; nothing is run again that is there."""
        out = self.runs / name
        chosen = suite or self.suite
        config = suite_config(chosen, load_config(flags={"cache.enabled": False}), {})
        plan = Plan(chosen, policy, "studio", "inspector", out, self.parallel, Options(), resume=out.exists())
        began = time.monotonic()
        report = run_bench(plan, config)
        score = report.summary["overall"]["missing_as_zero"]["mean"]
        print(
            f"{name:<40} {len(chosen.rows):>4} rows {score:.4f} {time.monotonic() - began:6.1f} s", flush=True
        )
        return open_bench(out)


def claims(scores: dict[str, Any], orderings: dict[str, Any], dropped: dict[str, Any]) -> dict[str, Any]:
    """What is claimed, with the figures that decide it."""
    found: dict[str, Any] = {}

    def claim(name: str, holds: bool, figures: str) -> None:
        found[name] = {"holds": bool(holds), "figures": figures}

    for name, difference in orderings.items():
        interval = difference["difference"]
        claim(name, interval["low"] > 0, f"difference {shown(interval)}")
    claim("oracle >= 0.9", scores["oracle"]["kscore"]["low"] >= 0.9, shown(scores["oracle"]["kscore"]))
    claim("bare <= 0.4", scores["bare"]["kscore"]["high"] <= 0.4, shown(scores["bare"]["kscore"]))
    for name in SHORTCUTS:
        claim(f"{name} < 0.5", scores[name]["kscore"]["high"] < 0.5, shown(scores[name]["kscore"]))
    blind = scores["blind_oracle"]["track"]["knowledge"]
    claim("blind_oracle < 0.5 where facts are needed", blind["high"] < 0.5, shown(blind))
    for skill, row in dropped.items():
        own = row["constraints"][skill]
        others = {k: v for k, v in row["constraints"].items() if k != skill}
        worse = [k for k, v in others.items() if v["high"] < 0]
        claim(f"without {skill}: its own constraints fail", own["high"] < 0, shown(own))
        claim(
            f"without {skill}: no other fails",
            not worse,
            ", ".join(f"{k} {shown(others[k])}" for k in worse) or "none",
        )
    return found


def shown(interval: dict[str, Any]) -> str:
    return f"{interval['mean']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


if __name__ == "__main__":
    sys.exit(main())
