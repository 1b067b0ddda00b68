"""Judge pictures, and measure judges.

genevolve judge score IMAGE --request TEXT --ground-truth IMAGE [--constraints FILE]
genevolve judge reliability [FILE.jsonl] [--planted N] --judge SPEC [--judge SPEC …] --out FOLDER

A line of FILE.jsonl: {"id", "prompt" (or "request", "question"), "image", "gt_image", "constraints": […]}; paths are
relative to the file. Judges: inspector, inspector:no-ocr, kscore:MODEL, wise:MODEL; see docs/judging.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.cli.app import OK, SERVICE_FAILED
from genevolve.cli.options import add_config_option
from genevolve.cli.output import print_json, printable
from genevolve.cli.progress import Progress
from genevolve.grammar.errors import AuthorError

if TYPE_CHECKING:
    from PIL.Image import Image

    from genevolve.grammar.z import Constraint
    from genevolve.interpreter.config import Config
    from genevolve.interpreter.judges.protocol import Verdict
    from genevolve.interpreter.judges.reliability import Trial

_REQUEST_KEYS = ("prompt", "request", "question")
_MAX_FILE = 256 * 1024 * 1024


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    score = actions.add_parser("score", help="judge one picture", allow_abbrev=False)
    score.add_argument("image", metavar="IMAGE", help="the picture")
    score.add_argument("--request", required=True, metavar="TEXT", help="what was asked for")
    score.add_argument("--ground-truth", metavar="IMAGE", help="a picture that meets the request")
    score.add_argument("--constraints", metavar="FILE", help="what the ground truth holds, as a JSON list")
    score.add_argument("--judge", metavar="SPEC", help="who judges (default: judge.judge of the settings)")
    reliability = actions.add_parser("reliability", help="measure judges", allow_abbrev=False)
    reliability.add_argument("file", nargs="?", metavar="FILE", help="pictures to judge, as JSON lines")
    reliability.add_argument("--judge", action="append", metavar="SPEC", help="a judge; repeat for several")
    reliability.add_argument(
        "--planted", type=_number, default=0, metavar="N", help="planted defects to judge"
    )
    reliability.add_argument("--seed", type=int, default=0, metavar="N", help="of the planted defects")
    reliability.add_argument(
        "--repeats", type=_positive, default=1, metavar="N", help="verdicts on each picture"
    )
    reliability.add_argument(
        "--out", required=True, metavar="FOLDER", help="the journal and the report go here"
    )
    for action in (score, reliability):
        add_config_option(action)
        action.add_argument("--rpm", metavar="N", help="ask a model for at most N verdicts a minute")
        action.add_argument(
            "--no-cache", action="store_true", help="neither read nor keep verdicts of models"
        )
        action.add_argument("--json", action="store_true", help="print data instead of text")


def execute(arguments: argparse.Namespace) -> int:
    """Judge or measure."""
    return {"score": _score, "reliability": _reliability}[arguments.action](arguments)


def _number(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= value <= 100_000:
        raise argparse.ArgumentTypeError(f"a whole number from 0 to 100,000, not {text!r:.40}")
    return value


def _positive(text: str) -> int:
    value = _number(text)
    if not value:
        raise argparse.ArgumentTypeError("must be 1 at least")
    return value


def _config(arguments: argparse.Namespace, *, repeated: bool = False) -> Config:
    from genevolve.interpreter.config import load_config

    flags = {
        "judge.rpm": arguments.rpm,
        # A kept verdict would make every repeat the same.
        "cache.enabled": False if arguments.no_cache or repeated else None,
    }
    return load_config(file=arguments.config, flags=flags)


# ---- score -------------------------------------------------------------------------------------------


def _score(arguments: argparse.Namespace) -> int:
    from genevolve.interpreter.judges.catalog import open_judge
    from genevolve.interpreter.judges.protocol import Case
    from genevolve.interpreter.judges.reliability import judge_one

    config = _config(arguments)
    judge = open_judge(arguments.judge or config.judge.judge, config)
    truth = None if arguments.ground_truth is None else _picture(Path(arguments.ground_truth))
    constraints = () if arguments.constraints is None else _constraints_of(Path(arguments.constraints))
    case = Case(arguments.request, _picture(Path(arguments.image)), truth, constraints, id=arguments.image)
    verdict = asyncio.run(judge_one(judge, case))
    if arguments.json:
        print_json(_verdict_data(verdict))
    else:
        _print_verdict(verdict)
    return OK if verdict.score is not None else SERVICE_FAILED


def _verdict_data(verdict: Verdict) -> dict[str, Any]:
    return {
        "score": verdict.score,
        "dimensions": dict(verdict.dimensions),
        "parts": dict(verdict.parts),
        "rationale": verdict.rationale,
        "unscored": verdict.unscored,
        "cost": verdict.cost,
        "judge": verdict.judge,
    }


def _print_verdict(verdict: Verdict) -> None:
    if verdict.score is None:
        print(printable(f"unscored: {verdict.unscored}"))
        return
    print(f"score {verdict.score:.3f}  ({printable(verdict.judge)})")
    for name, value in verdict.dimensions.items():
        print(f"  {printable(name):<20}{'does not apply' if value is None else f'{value:g}'}")
    print(printable(verdict.rationale))


# ---- reliability -------------------------------------------------------------------------------------


def _reliability(arguments: argparse.Namespace) -> int:
    from genevolve.cli.files import replace_file
    from genevolve.interpreter.judges.catalog import open_judge
    from genevolve.interpreter.judges.reliability import measure, planted_trials, report, unique

    config = _config(arguments, repeated=arguments.repeats > 1)
    specs = list(dict.fromkeys(arguments.judge or [config.judge.judge]))
    judges = {spec: open_judge(spec, config) for spec in specs}
    trials = [] if arguments.file is None else list(_trials(Path(arguments.file)))
    if arguments.planted:
        trials += planted_trials(arguments.planted, arguments.seed)
    if not trials:
        raise AuthorError("nothing to judge: give a file of pictures, or --planted N")
    if not unique(trials):
        raise AuthorError("two pictures have the same id")
    folder = Path(arguments.out)
    with Progress(sys.stderr) as progress:
        records = asyncio.run(
            measure(
                judges,
                trials,
                folder / "verdicts.jsonl",
                repeats=arguments.repeats,
                done=lambda done, total: progress.update("judge", done, total),
            )
        )
    data = report(trials, records)
    replace_file(folder / "report.json", (json.dumps(data, indent=2) + "\n").encode())
    if arguments.json:
        print_json(data)
    else:
        _print_report(data)
    return OK if any(r.score is not None for r in records) else SERVICE_FAILED


def _trials(path: Path) -> Iterator[Trial]:
    from genevolve.interpreter.images import read_regular
    from genevolve.interpreter.judges.protocol import Case
    from genevolve.interpreter.judges.reliability import Trial

    try:
        lines = read_regular(path, _MAX_FILE).decode("utf-8-sig").splitlines()
    except (OSError, OverflowError, UnicodeDecodeError) as error:
        raise AuthorError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise AuthorError(f"{where} is not valid JSON") from error
        if not isinstance(row, dict):
            raise AuthorError(f"{where}: expected an object")
        request = next((row[k] for k in _REQUEST_KEYS if isinstance(row.get(k), str)), None)
        if request is None or not isinstance(row.get("image"), str):
            raise AuthorError(f"{where}: a prompt and an image are needed")
        truth = row.get("gt_image")
        yield Trial(
            Case(
                request,
                _picture(path.parent / row["image"]),
                _picture(path.parent / truth) if isinstance(truth, str) else None,
                _constraints(row.get("constraints", []), where),
                id=str(row.get("id", number)),
                category=str(row.get("category", "")),
            )
        )


def _picture(path: Path) -> Image:
    from genevolve.interpreter.images import DEFAULT_LIMITS, decode, read_bytes

    return decode(read_bytes(path, str(path), DEFAULT_LIMITS.max_bytes), str(path))[0].convert("RGB")


def _constraints_of(path: Path) -> tuple[Constraint, ...]:
    from genevolve.interpreter.images import read_regular

    try:
        data = json.loads(read_regular(path, _MAX_FILE).decode("utf-8-sig"))
    except OSError as error:
        raise AuthorError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (OverflowError, ValueError, RecursionError) as error:
        raise AuthorError(f"{path}: is no JSON file: {error}") from error
    return _constraints(data, str(path))


def _constraints(data: object, where: str) -> tuple[Constraint, ...]:
    from genevolve.grammar.z import Constraint

    if not isinstance(data, list):
        raise AuthorError(f"{where}: constraints are a list of objects with kind and arguments")
    found = []
    for item in data:
        kind = item.get("kind") if isinstance(item, dict) else None
        arguments = item.get("arguments") if isinstance(item, dict) else None
        if not isinstance(kind, str) or not isinstance(arguments, dict):
            raise AuthorError(f"{where}: a constraint has a kind and arguments")
        if not all(isinstance(v, str | int | float | bool) for v in arguments.values()):
            raise AuthorError(f"{where}: arguments of a constraint are texts and numbers")
        found.append(Constraint(kind, arguments))
    return tuple(found)


def _print_report(data: dict[str, Any]) -> None:
    for name, row in data["judges"].items():
        print(printable(f"{name}: {row['verdicts']} verdicts, {row['unscored']} unscored"))
        print(f"  mean {_shown(row['mean'])}, variance of repeats {_shown(row['variance_of_repeats'])}")
        if row["cost"]:
            print(f"  cost {row['cost']:.4f}")
    for pair in data["agreement"]:
        print(
            printable(f"{' and '.join(pair['judges'])}: rank correlation {_shown(pair['rank_correlation'])}")
        )
        for name, kappa in pair["weighted_kappa"].items():
            print(printable(f"  weighted kappa of {name}: {_shown(kappa)}"))
    for name, rows in data["defects"].items():
        print(printable(f"{name}: planted defects"))
        for dimension, row in rows.items():
            print(
                printable(
                    f"  {dimension:<20}{row['planted']:>5} planted {row['noticed']:>5} noticed "
                    f"{row['nowhere_else']:>5} and nowhere else"
                )
            )


def _shown(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"
