"""Have a policy fill the holes of a sketch, or write a whole program for a request.

What the author wrote stays as it is. Calls are executed while the program is written; the policy reads what they found
before it goes on. The result is an ordinary program: read it, edit it, run it without any model.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.cli.app import OK, SERVICE_FAILED, WRONG_INPUT
from genevolve.cli.files import check_target, replace_file
from genevolve.cli.inputs import SUFFIX
from genevolve.cli.options import add_machine_options, machine_flags
from genevolve.cli.output import print_exactly, print_json, printable, wants_color
from genevolve.cli.progress import Progress
from genevolve.cli.run import load_program, parse_values
from genevolve.grammar.errors import AuthorError, ConfigurationError
from genevolve.grammar.tree import Call, String

if TYPE_CHECKING:
    from genevolve.interpreter.config import Config
    from genevolve.interpreter.machine import Machine
    from genevolve.programs.policies.protocol import Policy
    from genevolve.programs.program import Program
    from genevolve.programs.synthesis.fill import Progress as Round
    from genevolve.programs.synthesis.rollout import Rollout

MAX_GUIDE_BYTES = 256 * 1024
_PLAIN_EVERY = 30.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "sketch",
        metavar="REQUEST|SKETCH",
        help="what is asked for, as text; or a .gprog file with holes, or - for standard input",
    )
    parser.add_argument(
        "-o",
        "--out",
        metavar="FILE.gprog",
        type=Path,
        help="write the filled program here, not to the output",
    )
    parser.add_argument("--n", metavar="N", type=_count, default=1, help="how many rollouts (default: 1)")
    parser.add_argument(
        "--keep",
        choices=("best", "all"),
        default="best",
        help="write the best filled program, or each one, its seed in its name (default: best)",
    )
    parser.add_argument("--trajectories", metavar="FILE.jsonl", type=Path, help="write every rollout here")
    parser.add_argument("--json", action="store_true", help="print the outcome as data")
    add_policy_options(parser)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="values",
        help="a value for a parameter of the sketch; repeat for several",
    )
    add_machine_options(parser)


def add_policy_options(parser: argparse.ArgumentParser) -> None:
    """Add what says who fills holes, and what it may spend."""
    group = parser.add_argument_group("policies")
    group.add_argument(
        "--policy",
        metavar="SPEC",
        help='"smollm2", "local:<model>", "endpoint:<model>", "scripted:<program>", … (default: the configured one)',
    )
    group.add_argument("--seed", metavar="N", type=_seed, default=0, help="of the first rollout (default: 0)")
    group.add_argument("--temperature", metavar="T", type=_amount, help="of sampling (default: 0.7)")
    group.add_argument("--top-p", metavar="P", type=_share, help="of sampling (default: 0.95)")
    group.add_argument("--max-turns", metavar="N", type=_count, help="turns of a rollout (default: 11)")
    group.add_argument("--max-tokens", metavar="N", type=_count, help="tokens of a turn (default: 1024)")
    group.add_argument("--max-seconds", metavar="S", type=_amount, help="of a rollout (default: 600)")
    group.add_argument(
        "--guide",
        metavar="FILE",
        type=Path,
        help="a decision guide: text, or the JSON of an experience bundle",
    )
    group.add_argument(
        "--card",
        choices=("auto", "full", "compact", "brief"),
        default="auto",
        help="how much of the language it is told",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Fill the sketch, write what was filled, and show what was added."""
    from genevolve.interpreter.config import load_config
    from genevolve.programs.session import open_machine

    values = parse_values(arguments.values)
    program, folder = load_sketch(arguments.sketch)
    if arguments.out is not None:
        check_target(arguments.out, SUFFIX)
        _keep_sketch(arguments)
    if arguments.trajectories is not None:
        check_target(arguments.trajectories, ".jsonl")
    config = load_config(file=arguments.config, flags=machine_flags(arguments))
    spec = policy_spec(arguments, config)
    with open_machine(config, program_folder=folder) as machine:
        rollouts = fill_with(spec, program, machine, arguments, config, values, n=arguments.n)
        kept = _kept(rollouts, arguments.keep)
    if arguments.trajectories is not None:
        write_trajectories(arguments.trajectories, rollouts)
    files = _write(kept, arguments)
    if files and (moved := moved_pictures(kept, files, folder)):
        print(printable(f"note: the paths {', '.join(moved)} start from {folder}"), file=sys.stderr)
    if arguments.json:
        print_json(_data(rollouts, kept, files))
    else:
        _show(rollouts, kept, files, to_output=arguments.out is None)
    return exit_code(rollouts)


def load_sketch(given: str) -> tuple[Program, Path]:
    """The sketch that the argument names or, when it names no file, the request that it is.

    Raises `AuthorError` for a file that does not exist, and a request that is empty or no text.
    """
    from genevolve.programs.policies.context import as_sketch
    from genevolve.programs.program import Program

    if given == "-" or given.endswith(SUFFIX):
        return load_program(given)
    if not given.strip():
        raise AuthorError("the request is empty; say what the picture should show")
    try:
        return Program.parse(as_sketch(given), "request.gprog"), Path.cwd()
    except ValueError as error:  # bytes that are no text in the terminal's encoding
        raise AuthorError(f"this request cannot stand in a program: {error}") from error


def _keep_sketch(arguments: argparse.Namespace) -> None:
    """Refuse to write over the sketch: it is what is filled again another time."""
    several = arguments.keep == "all" and arguments.n > 1
    if several or not arguments.sketch.endswith(SUFFIX) or not arguments.out.exists():
        return
    if Path(arguments.sketch).samefile(arguments.out):
        raise AuthorError(
            f"{arguments.out}: this is the sketch itself; write the filled program to another file"
        )


def policy_spec(arguments: argparse.Namespace, config: Config) -> str:
    """Who fills: the option, else the setting; raises `ConfigurationError` when neither says it."""
    spec = arguments.policy or config.policy.policy
    if not spec:
        from genevolve.programs.policies.catalog import policy_names

        names = ", ".join(policy_names())
        raise ConfigurationError(
            f"who fills the holes? --policy SPEC, or policy.policy in the settings ({names})"
        )
    return str(spec)


def fill_with(
    spec: str,
    program: Program,
    machine: Machine,
    arguments: argparse.Namespace,
    config: Config,
    values: dict[str, object],
    *,
    n: int,
) -> list[Rollout]:
    """Open the policy, fill, close it; draws a line of progress."""
    from genevolve.programs.policies.catalog import open_policy
    from genevolve.programs.policies.protocol import Limits
    from genevolve.programs.synthesis.fill import fill
    from genevolve.programs.synthesis.rollout import Bounds

    guide = None if arguments.guide is None else read_guide(arguments.guide)
    turn, bounds = Limits(), Bounds()
    turn = Limits(
        arguments.max_tokens or turn.max_tokens,
        turn.temperature if arguments.temperature is None else arguments.temperature,
        turn.top_p if arguments.top_p is None else arguments.top_p,
    )
    bounds = Bounds(
        turns=arguments.max_turns or bounds.turns,
        calls=bounds.calls,
        seconds=bounds.seconds if arguments.max_seconds is None else arguments.max_seconds,
        turn=turn,
    )
    policy: Policy = open_policy(spec, config)
    try:
        with Progress(sys.stderr, every=_PLAIN_EVERY) as progress:

            def tell(round_: Round) -> None:
                progress.update("filling", round_.ended, round_.ended + round_.running, f"turn {round_.turn}")

            return fill(
                program,
                policy,
                machine,
                n=n,
                seed=arguments.seed,
                bounds=bounds,
                guide=guide,
                parameters=values,
                card=arguments.card,
                progress=tell,
            )
    finally:
        policy.close()


def read_guide(path: Path) -> str:
    """A decision guide from a file: text, or a bundle as JSON; raises `AuthorError` when it is neither."""
    from genevolve.programs.policies.context import guide_text

    try:
        with path.open("rb") as file:
            data = file.read(MAX_GUIDE_BYTES + 1)
    except OSError as error:
        raise AuthorError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_GUIDE_BYTES:
        raise AuthorError(f"{path}: a decision guide has at most {MAX_GUIDE_BYTES:,} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AuthorError(f"{path}: this is not UTF-8") from error
    if path.suffix.lower() != ".json":
        return text
    try:
        bundle: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AuthorError(f"{path}: this is not JSON: {error}") from error
    # An experience, as `genevolve experience export` writes it, carries its bundle.
    if isinstance(bundle, dict) and isinstance(bundle.get("bundle"), dict):
        bundle = bundle["bundle"]
    if not isinstance(bundle, dict):
        raise AuthorError(f"{path}: a decision guide as JSON is an object with decision_guidance")
    return guide_text(bundle)


def write_trajectories(path: Path, rollouts: Sequence[Rollout]) -> None:
    """One rollout a line, as JSON."""
    lines = (json.dumps(r.to_dict(), ensure_ascii=True) + "\n" for r in rollouts)
    replace_file(path, "".join(lines).encode())


def moved_pictures(kept: Sequence[Rollout], files: Sequence[Path], folder: Path) -> list[str]:
    """Paths of pictures that the written programs will look for somewhere else: beside themselves, not in `folder`."""
    moved: set[str] = set()
    for rollout, file in zip(kept, files, strict=True):
        if rollout.program is not None and file.parent.resolve() != folder.resolve():
            moved.update(p for p in _pictures(rollout.program.tree) if not Path(p).is_absolute())
    return sorted(moved)


def _pictures(node: object) -> Iterator[str]:
    """What `image("…")` opens anywhere in a tree."""
    if isinstance(node, tuple):
        for part in node:
            yield from _pictures(part)
    elif is_dataclass(node):
        if isinstance(node, Call) and node.name == "image":
            texts = (a.value for a in node.arguments)
            yield from (t.plain for t in texts if isinstance(t, String) and t.plain)
        yield from _pictures(tuple(getattr(node, f.name) for f in fields(node)))


def exit_code(rollouts: Sequence[Rollout]) -> int:
    """0 when something was filled; 1 when the author's own statements are wrong; 3 when a service failed.

    A policy that did not manage is a service that failed, and so is a tool under a statement of the author's.
    """
    from genevolve.programs.synthesis.rollout import Outcome

    if any(r.filled for r in rollouts):
        return OK
    program = all(r.outcome is Outcome.PROGRAM_FAILED and not r.service for r in rollouts)
    return WRONG_INPUT if program else SERVICE_FAILED


# ---- what is written and shown -----------------------------------------------------------------------


def _kept(rollouts: Sequence[Rollout], keep: str) -> list[Rollout]:
    from genevolve.interpreter.blocking import blocking
    from genevolve.programs.synthesis.ranking import best

    return [r for r in rollouts if r.filled] if keep == "all" else blocking(best(rollouts))


def _write(kept: Sequence[Rollout], arguments: argparse.Namespace) -> list[Path]:
    out: Path | None = arguments.out
    if out is None:
        return []
    several = arguments.keep == "all" and arguments.n > 1
    files: list[Path] = []
    for rollout in kept:
        file = out.with_name(f"{out.stem}-{rollout.seed}{out.suffix}") if several else out
        assert rollout.program is not None
        replace_file(file, rollout.program.source.encode())
        files.append(file)
    return files


def _show(
    rollouts: Sequence[Rollout], kept: Sequence[Rollout], files: Sequence[Path], *, to_output: bool
) -> None:
    """Programs go to the output when no file takes them, and all else to the error stream then."""
    from genevolve.programs.synthesis.showing import filled_text, unfilled_text

    stream = sys.stderr if to_output else sys.stdout
    for rollout in rollouts:
        if not rollout.filled:
            print(printable(f"seed {rollout.seed}: {unfilled_text(rollout)}"), file=stream)
        elif len(rollouts) > 1:
            print(printable(f"seed {rollout.seed}: {rollout.outcome.value}: {rollout.reason}"), file=stream)
    places: list[Path | None] = [*files] or [None] * len(kept)
    for rollout, file in zip(kept, places, strict=True):
        print(filled_text(rollout, color=wants_color(stream)), end="", file=stream)
        cost = rollout.cost
        spent = f"{cost.turns} turns, {cost.calls} calls, {cost.tokens} tokens, {cost.seconds:.1f} s"
        print(printable(f"{file}: {spent}" if file is not None else spent), file=stream)
        if to_output and rollout.program is not None:
            print_exactly(rollout.program.source)


def _data(rollouts: Sequence[Rollout], kept: Sequence[Rollout], files: Sequence[Path]) -> dict[str, Any]:
    from genevolve.programs.synthesis.showing import last_refusal

    places = dict(zip((r.seed for r in kept), map(str, files), strict=False))
    chosen = {r.seed for r in kept}
    return {
        "rollouts": [
            {
                "seed": r.seed,
                "outcome": r.outcome.value,
                "reason": r.reason,
                "refused": None if r.filled else last_refusal(r) or None,
                "kept": r.seed in chosen,
                "file": places.get(r.seed),
                "program": None if r.program is None else r.program.source,
                "diff": r.diff.to_dict(),
                "cost": r.to_dict()["cost"],
            }
            for r in rollouts
        ]
    }


# ---- options -----------------------------------------------------------------------------------------


def _count(text: str) -> int:
    number = _whole(text)
    if number is None or not 1 <= number <= 10_000:
        raise argparse.ArgumentTypeError("must be a whole number from 1 to 10,000")
    return number


def _seed(text: str) -> int:
    number = _whole(text)
    if number is None or number >= 2**63:
        raise argparse.ArgumentTypeError("must be a whole number from 0")
    return number


def _whole(text: str) -> int | None:
    # Digits alone: int() takes signs, blanks and underscores, and refuses thousands of digits by an error.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None


def _amount(text: str) -> float:
    number = _real(text)
    if not 0 <= number < 1e9:
        raise argparse.ArgumentTypeError("must be a number from 0")
    return number


def _share(text: str) -> float:
    number = _real(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError("must be a number above 0 and at most 1")
    return number


def _real(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan  # in no range
