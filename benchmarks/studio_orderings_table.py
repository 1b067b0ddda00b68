"""The section on known orderings of docs/benchmarks.md, from benchmarks/results/studio_orderings.json.

.venv/bin/python benchmarks/studio_orderings_table.py           # prints it
.venv/bin/python benchmarks/studio_orderings_table.py --write   # puts it in its place
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "studio_orderings.json"
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "have all figures.\n", "## Make training data"
NAMES = {
    "oracle": "the oracle",
    "random_reference": "as the oracle, but binds a random one of the pictures found",
    "blind_oracle": "the oracle, blind: knows the guides by heart, sees nothing that its calls show",
    "blind_unguided": "the same without the guides",
    "everything": "`everything`",
    "bare": "`bare`",
    "template": "`template`",
    "constant": "`constant`",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="replace the section in the page")
    arguments = parser.parse_args()
    text = section(json.loads(RESULTS.read_text(encoding="utf-8")))
    if not arguments.write:
        print(text)
        return 0
    page = PAGE.read_text(encoding="utf-8")
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    PAGE.write_text(f"{page[:begin]}\n{text}\n{page[end:]}", encoding="utf-8")
    return 0


def section(found: dict[str, Any]) -> str:
    """The tables, and what they say."""
    scores = found["scores"]
    lines = [f"Drawn by {found['renderer']}, judged by {found['judge']}.", ""]
    lines += ["| policy | KScore | knowledge | quality |", "|---|---|---|---|"]
    for name in sorted(scores, key=lambda n: -scores[n]["kscore"]["mean"]):
        tracks = scores[name]["track"]
        means = " | ".join(f"{tracks[t]['mean']:.3f}" for t in ("knowledge", "quality"))
        lines.append(f"| {NAMES[name]} | {shown(scores[name]['kscore'])} | {means} |")
    differences = found["orderings"]
    pairs = (
        ("random reference over bare", "bare < random_reference"),
        ("oracle over random reference", "random_reference < oracle"),
        ("oracle over bare", "bare < oracle"),
    )
    lines += ["", "Paired differences:", ""]
    lines += [f"- {told}: {shown(differences[name]['difference'], '+')}" for told, name in pairs]
    lines += ["", *_dropped(found["dropped"]), "", *_failed(found["claims"])]
    return "\n".join(lines) + "\n"


def _dropped(dropped: dict[str, Any]) -> list[str]:
    lines = [
        "What leaving out one skill costs, on the requests that need it: how much less often the constraints hold that",
        "need this skill, and those of whichever other skill lost most.",
        "",
        "| left out | requests | its own constraints | most that another lost | KScore |",
        "|---|---|---|---|---|",
    ]
    for skill, row in dropped.items():
        others = {k: v for k, v in row["constraints"].items() if k != skill}
        worst = min(others, key=lambda k: others[k]["mean"])
        own, other = shown(row["constraints"][skill], "+"), shown(others[worst], "+")
        score = f"{row['kscore']['difference']['mean']:+.3f}"
        lines.append(f"| `{skill}` | {row['rows']} | {own} | {other} (`{worst}`) | {score} |")
    return lines


def _failed(claims: dict[str, Any]) -> list[str]:
    """The claims, and which did not come out."""
    failed = [f"- {name}: {claim['figures']}" for name, claim in claims.items() if not claim["holds"]]
    if failed:
        return [f"Of {len(claims)} claims that the script checks, these did not come out:", "", *failed]
    below = ", ".join(name.removesuffix(" < 0.5") for name in claims if name.endswith(" < 0.5"))
    told = (
        f"All {len(claims)} claims that the script checks came out: the orderings above; the oracle at 0.9 or more and "
        f"the bare request at 0.4 or less, with their whole intervals; below 0.5, whole intervals too: {below}; each "
        "skill that is left out costs its own constraints (interval below 0), and no other's (no interval below 0). A "
        "picture differs in chance wherever its prompt differs, so single rows move both ways."
    )
    return textwrap.wrap(told, 120, break_long_words=False, break_on_hyphens=False)


def shown(interval: dict[str, Any], sign: str = "") -> str:
    return f"{interval['mean']:{sign}.3f} [{interval['low']:{sign}.3f}, {interval['high']:{sign}.3f}]"


if __name__ == "__main__":
    sys.exit(main())
