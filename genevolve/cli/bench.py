"""Measure a policy on a suite of requests, compare two runs, show them as a page.

genevolve bench SUITE --policy P --out DIR            run it, or with --resume what is left of it
genevolve bench show DIR                              the figures of a run, by another formula if you like
genevolve bench compare A B                           paired differences, and the rows that changed most
genevolve bench report DIR [OTHER] -o report.html     one page with the pictures inside; of two runs, side by side

SUITE is studio:DIR[/split] (a world that 'genevolve studio make' made), genevolve-bench:FOLDER (the public files),
wise:FILE, or a .jsonl file with a request a line. A policy is anything that 'genevolve synth' takes, or one that needs
no model: bare (the request itself is drawn), template, everything, constant, oracle:DIR, blind:POLICY.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.cli.app import OK, SERVICE_FAILED, WRONG_INPUT
from genevolve.cli.files import check_target, replace_file
from genevolve.cli.options import add_machine_options, machine_flags
from genevolve.cli.output import print_json, printable
from genevolve.cli.progress import Progress
from genevolve.grammar.errors import ConfigurationError

if TYPE_CHECKING:
    from genevolve.interpreter.judges.formulas import Formula
    from genevolve.optimizer.evaluation.bench import Plan, Report
    from genevolve.optimizer.evaluation.runner import Tally

ACTIONS = {"show": 1, "compare": 2, "report": 2}
_PLAIN_EVERY = 30.0
_TOLD = 10


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from genevolve.cli.synth import add_policy_options

    parser.add_argument("suite", metavar="SUITE|ACTION", help="what to run; or show, compare, report")
    parser.add_argument(
        "folders", metavar="DIR", type=Path, nargs="*", help="results folders, after an action"
    )
    parser.add_argument(
        "-o", "--out", metavar="DIR|FILE", type=Path, help="where results go; the .html file of a report"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as data")
    parser.add_argument(
        "--scoring",
        choices=("paper", "release"),
        help="how dimensions become a KScore: as in the paper (default) or in the authors' scorer",
    )
    run = parser.add_argument_group("runs")
    run.add_argument(
        "--judge",
        metavar="SPEC",
        help='"inspector" (studio suites), "kscore:<model>", "wise:<model>?prompts=<file>", "sufficiency"',
    )
    run.add_argument("--limit", metavar="N", type=_count, help="only the first N rows")
    run.add_argument("--rollouts", metavar="N", type=_count, default=1, help="programs a row (default: 1)")
    run.add_argument(
        "--parallel", metavar="N", type=_workers, default=2, help="pictures at the same time (default: 2)"
    )
    run.add_argument(
        "--batch",
        metavar="N",
        type=_count,
        default=16,
        help="rows that a policy is shown together (default: 16)",
    )
    run.add_argument("--resume", action="store_true", help="go on where an earlier run in this folder ended")
    add_policy_options(parser)
    add_machine_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Run a suite, or do the action."""
    action = arguments.suite
    if action not in ACTIONS:
        if arguments.folders:
            raise ConfigurationError(
                f"what is {str(arguments.folders[0])!r}? a run takes one suite; actions are {', '.join(ACTIONS)}"
            )
        return _run(arguments)
    least, most = (2, 2) if action == "compare" else (1, ACTIONS[action])
    if not least <= len(arguments.folders) <= most:
        needed = "two results folders" if least == 2 else "a results folder"
        raise ConfigurationError(f"bench {action} takes {needed}")
    match action:
        case "show":
            return _show(arguments)
        case "compare":
            return _compare(arguments)
        case _:
            return _report(arguments)


# ---- a run -------------------------------------------------------------------------------------------


def _run(arguments: argparse.Namespace) -> int:
    from genevolve.cli.run_batch import terminable
    from genevolve.interpreter.config import load_config
    from genevolve.optimizer.evaluation.bench import run_bench, suite_config
    from genevolve.optimizer.evaluation.suites import open_suite, problems
    from genevolve.programs.batch.folder import check_folder

    if arguments.out is None:
        raise ConfigurationError("a bench needs a folder for its results: --out DIR")
    check_folder(arguments.out, resume=arguments.resume)
    suite = open_suite(arguments.suite).limited(arguments.limit)
    for told, (id, why) in enumerate(problems(suite)):
        if told < _TOLD:
            print(printable(f"genevolve: row {id} cannot be used: {why}"), file=sys.stderr)
    flags = machine_flags(arguments)
    config = suite_config(suite, load_config(file=arguments.config, flags=flags), flags)
    plan = _plan(arguments, suite, config)
    with terminable(), Progress(sys.stderr, every=_PLAIN_EVERY) as progress:

        def on_end(tally: Tally) -> None:
            mean = "" if tally.mean is None else f", mean {tally.mean:.3f}"
            progress.update("rows", tally.ended, tally.rows, f"{tally.failed} failed{mean}".lstrip(", "))

        report = run_bench(plan, config, on_end)
    if arguments.json:
        print_json({"folder": str(plan.out), **report.summary})
    else:
        print(printable(figures_text(report.summary)))
        print(printable(f"{plan.out}: output.jsonl, summary.json, results_eval.json, images/"))
    return _exit_code(report)


def _plan(arguments: argparse.Namespace, suite: Any, config: Any) -> Plan:
    from genevolve.cli.synth import policy_spec, read_guide
    from genevolve.optimizer.evaluation.bench import Plan, default_judge, default_renderer
    from genevolve.optimizer.evaluation.runner import Options
    from genevolve.programs.policies.protocol import Limits
    from genevolve.programs.synthesis.rollout import Bounds

    turn, bounds = Limits(), Bounds()
    turn = Limits(
        arguments.max_tokens or turn.max_tokens,
        turn.temperature if arguments.temperature is None else arguments.temperature,
        turn.top_p if arguments.top_p is None else arguments.top_p,
    )
    bounds = Bounds(
        turns=arguments.max_turns or bounds.turns,
        seconds=bounds.seconds if arguments.max_seconds is None else arguments.max_seconds,
        turn=turn,
    )
    options = Options(
        seed=arguments.seed,
        rollouts=arguments.rollouts,
        batch=arguments.batch,
        formula=arguments.scoring or "paper",
        bounds=bounds,
        card=arguments.card,
        guide=None if arguments.guide is None else read_guide(arguments.guide),
    )
    return Plan(
        suite,
        policy_spec(arguments, config),
        default_renderer(suite, arguments.renderer, config),
        default_judge(suite, arguments.judge),
        arguments.out,
        arguments.parallel,
        options,
        arguments.resume,
    )


def _exit_code(report: Report) -> int:
    """0 when something was scored; 3 when services kept it from that; else 1."""
    overall = report.summary["overall"]
    if overall["scored"]:
        return OK
    return SERVICE_FAILED if overall["unscored"] or report.tally.failed < overall["rows"] else WRONG_INPUT


# ---- actions -----------------------------------------------------------------------------------------


def _show(arguments: argparse.Namespace) -> int:
    from genevolve.optimizer.evaluation.folder import open_bench

    summary = open_bench(arguments.folders[0], _formula(arguments)).summary()
    if arguments.json:
        print_json(summary)
    else:
        print(printable(figures_text(summary)))
    return OK


def _compare(arguments: argparse.Namespace) -> int:
    from genevolve.optimizer.evaluation.compare import compare
    from genevolve.optimizer.evaluation.folder import open_bench

    a, b = (open_bench(folder, _formula(arguments)) for folder in arguments.folders)
    found = compare(a, b)
    if arguments.json:
        print_json(found)
    else:
        print(printable(comparison_text(found)))
    return OK


def _report(arguments: argparse.Namespace) -> int:
    from genevolve.optimizer.evaluation.folder import open_bench
    from genevolve.optimizer.evaluation.report import report_html

    if arguments.out is None:
        raise ConfigurationError("where does the report go? -o report.html")
    check_target(arguments.out, ".html")
    benches = [open_bench(folder, _formula(arguments)) for folder in arguments.folders]
    page = report_html(*benches)
    replace_file(arguments.out, page.encode("utf-8", "replace"))
    print(printable(f"{arguments.out}: {len(page) / 1e6:.1f} MB, {len(benches[0].results)} rows"))
    return OK


def _formula(arguments: argparse.Namespace) -> Formula | None:
    from genevolve.interpreter.judges.formulas import parse_formula

    return None if arguments.scoring is None else parse_formula(arguments.scoring)


# ---- text --------------------------------------------------------------------------------------------


def figures_text(summary: Mapping[str, Any]) -> str:
    """The figures of a run as a table: all rows, then each group."""
    policy = summary["policy"]["name"] if isinstance(summary["policy"], dict) else summary["policy"]
    overall = summary["overall"]
    lines = [
        f"{summary['suite']}  policy {policy}, renderer {summary['renderer']}, judge {summary['judge']}",
        f"{overall['rows']} rows: {overall['scored']} scored, {overall['failed']} failed, "
        f"{overall['unscored']} unscored; formula {summary['formula']}",
        "",
        f"{'':<34}{'rows':>6}  {'score':<24}{'missing as 0':<14}" + "dimensions",
        _figures_line("all", overall),
    ]
    for name, groups in summary["by"].items():
        lines += ["", f"by {name}", *(_figures_line(f"  {group}", f) for group, f in groups.items())]
    if summary["constraints"]:
        lines += ["", "constraints held, by skill"]
        lines += [f"  {skill:<32}{f['n']:>6}  {_interval(f)}" for skill, f in summary["constraints"].items()]
    if summary["reasons"]:
        lines += ["", "why not"]
        lines += [f"  {r['count']:>5}  {r['state']}: {r['reason']}" for r in summary["reasons"]]
    return "\n".join(lines)


def comparison_text(found: Mapping[str, Any]) -> str:
    """Differences as a table, and the rows that changed most."""
    names = [
        found[x]["policy"]["name"] if isinstance(found[x]["policy"], dict) else found[x]["policy"]
        for x in "ab"
    ]
    lines = [f"A {names[0]}", f"B {names[1]}", f"{found['rows']} rows, B - A with 95 % intervals", ""]
    lines.append(f"{'':<34}{'A':>8}{'B':>8}  difference")
    lines += _difference_lines("all", found["overall"])
    for name, groups in found["by"].items():
        lines += ["", f"by {name}"]
        lines += [_difference_line(f"  {group}", f["score"]) for group, f in groups.items()]
    if found["constraints"]:
        lines += ["", "constraints held, by skill"]
        lines += [_difference_line(f"  {skill}", f) for skill, f in found["constraints"].items()]
    if found["changed"]:
        lines += ["", "changed most"]
        for row in found["changed"][:_TOLD]:
            lines.append(f"  {row['difference']:+.3f}  {row['id']}  {' '.join(row['request'].split())[:90]}")
    return "\n".join(lines)


def _difference_lines(name: str, found: Mapping[str, Any]) -> list[str]:
    lines = [
        _difference_line(name, found["score"]),
        _difference_line("missing as 0", found["missing_as_zero"]),
    ]
    return lines + [_difference_line(f"  {k}", v) for k, v in found["dimensions"].items()]


def _difference_line(name: str, found: Mapping[str, Any]) -> str:
    numbers = "".join(f"{'-' if v is None else format(v, '.3f'):>8}" for v in (found["a"], found["b"]))
    return f"{name[:34]:<34}{numbers}  {_interval(found['difference'], sign='+')}"


def _figures_line(name: str, found: Mapping[str, Any]) -> str:
    zero = found["missing_as_zero"]["mean"]
    dimensions = "  ".join(
        f"{k} {v['mean']:.2f}" for k, v in found["dimensions"].items() if v["mean"] is not None
    )
    missing = "-" if zero is None else f"{zero:.3f}"
    return f"{name[:34]:<34}{found['rows']:>6}  {_interval(found['score']):<24}{missing:<14}{dimensions}"


def _interval(found: Mapping[str, Any], sign: str = "") -> str:
    if found["mean"] is None:
        return "-"
    return f"{found['mean']:{sign}.3f} [{found['low']:{sign}.3f}, {found['high']:{sign}.3f}]"


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _workers(text: str) -> int:
    number = _count(text)
    if number > 256:
        raise argparse.ArgumentTypeError("must be at most 256")
    return number
