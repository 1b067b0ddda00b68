"""`genevolve experience add`, `remove`, `restore`, `prune`: what changes the experiences of a store."""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from genevolve.cli.app import OK, WRONG_INPUT
from genevolve.cli.experience_options import (
    add_consent,
    add_filters,
    add_store_options,
    agreed,
    columns,
    filters_of,
    find,
    open_store,
    print_lines,
)
from genevolve.cli.output import print_json, printable
from genevolve.grammar.errors import AuthorError

if TYPE_CHECKING:
    from genevolve.experience_store.experience import Experience
    from genevolve.experience_store.reports import AddResult
    from genevolve.experience_store.store import ExperienceStore

_SHOWN = 20
_MAX_FILE = 4 * 1024 * 1024
_PARTS = ("request", "bundle", "best", "worst", "best_reward", "worst_reward")


def configure(action: str, parser: argparse.ArgumentParser) -> None:
    """Add the arguments of one of the actions."""
    if action == "add":
        parser.add_argument(
            "files", nargs="*", metavar="FILE", help="experiences as JSON, one a file; - is standard input"
        )
        _add_parts(parser)
    elif action == "restore":
        parser.add_argument("ids", nargs="+", metavar="ID", help="the whole id")
    elif action == "remove":
        parser.add_argument("ids", nargs="+", metavar="ID", help="the beginning of an id")
        add_consent(parser)
    else:
        parser.add_argument(
            "--keep", metavar="N", type=_keep, help="of those that are meant, keep the N newest"
        )
        add_consent(parser)
        add_filters(parser)
    add_store_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Do one of the actions."""
    actions = {"add": _add, "remove": _remove, "restore": _restore, "prune": _prune}
    return actions[arguments.action](arguments)


# ---- add ----


def _add_parts(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("one experience from its parts, instead of files")
    group.add_argument("--request", metavar="TEXT", help="the request that both programs answered")
    group.add_argument(
        "--bundle", metavar="FILE", help="the bundle as JSON: retrieval_key and decision_guidance"
    )
    group.add_argument("--best", metavar="FILE", help="the better program")
    group.add_argument("--worst", metavar="FILE", help="the other one")
    group.add_argument(
        "--best-reward", metavar="X", type=_reward, help="what the better program earned, 0 to 1"
    )
    group.add_argument("--worst-reward", metavar="X", type=_reward, help="what the other one earned")
    group.add_argument("--best-picture", metavar="PATH", help="the picture of the better program")
    group.add_argument("--worst-picture", metavar="PATH", help="the picture of the other one")
    group.add_argument("--category", metavar="NAME", default="", help="the request's category")
    group.add_argument("--judge", metavar="NAME", default="", help="who gave the rewards")
    group.add_argument("--policy", metavar="NAME", default="", help="who wrote the programs")
    group.add_argument("--step", metavar="N", type=int, default=0, help="the training step")


def _add(arguments: argparse.Namespace) -> int:
    given = [name for name in _PARTS if getattr(arguments, name) is not None]
    if bool(arguments.files) == bool(given):
        raise AuthorError("name files with experiences, or give one by its parts (--request, --bundle, …)")
    found = [(name, _read_experience(name)) for name in arguments.files] or [
        ("the experience", _assembled(arguments))
    ]
    with open_store(arguments, write=True, make=True) as store:
        results = [(name, store.add(experience)) for name, experience in found]
    if arguments.json:
        print_json([{"source": name, **_outcome(result)} for name, result in results])
    else:
        for name, result in results:
            print(printable(f"{name}: {_told(result)}"), file=sys.stdout if result.stored else sys.stderr)
    return OK if all(r.stored for _, r in results) else WRONG_INPUT


def _outcome(result: AddResult) -> dict[str, object]:
    refusal = result.refusal
    return {
        "status": result.status,
        "id": result.id,
        "generation": result.generation,
        "replaced": result.replaced,
        "evicted": list(result.evicted),
        "refusal": None if refusal is None else {"code": refusal.code, "reason": refusal.reason},
    }


def _told(result: AddResult) -> str:
    if result.refusal is not None:
        return f"refused ({result.refusal.code}): {result.refusal.reason}"
    text = f"{result.status} {result.id}"
    if result.replaced is not None:
        text += f", in place of {result.replaced[:12]}, which had a smaller gap"
    if result.evicted:
        text += f"; {len(result.evicted)} went to keep the capacity"
    return text


def _read_experience(name: str) -> Experience:
    from genevolve.experience_store.experience import Experience

    return Experience.from_dict(_read_json(name))


def _assembled(arguments: argparse.Namespace) -> Experience:
    from genevolve.experience_store.bundle import Bundle
    from genevolve.experience_store.experience import Experience, ProgramRecord, RewardParts

    missing = [n for n in _PARTS if getattr(arguments, n) is None]
    if missing:
        raise AuthorError(
            f"--{missing[0].replace('_', '-')} is missing: an experience is given by all of its parts"
        )
    rewards = [RewardParts(arguments.best_reward), RewardParts(arguments.worst_reward)]
    best, worst = _read_program(arguments.best), _read_program(arguments.worst)
    return Experience(
        arguments.request,
        Bundle.from_dict(_read_json(arguments.bundle)),
        ProgramRecord.of(best, rewards[0], picture=_absolute(arguments.best_picture)),
        ProgramRecord.of(worst, rewards[1], picture=_absolute(arguments.worst_picture)),
        rewards[0].total - rewards[1].total,
        category=arguments.category,
        skills=_skills(best),
        judge=arguments.judge,
        policy=arguments.policy,
        step=arguments.step,
        created=time.time(),
    )


def _read_program(name: str) -> str:
    from genevolve.cli.inputs import read_input
    from genevolve.grammar.reader import read_source

    program = read_input(Path(name))
    source, problems = read_source(program.data, program.name)
    if problems:
        raise AuthorError(f"{name}: {problems[0].message}")
    return source.text


def _skills(program: str) -> tuple[str, ...]:
    from genevolve.grammar.parser import parse
    from genevolve.grammar.span import Source
    from genevolve.grammar.tree import Use

    statements = parse(Source(program, "best.gprog")).tree.statements
    return tuple(
        dict.fromkeys(s.skill for s in statements if isinstance(s, Use) and isinstance(s.skill, str))
    )


def _read_json(name: str) -> object:
    from genevolve.experience_store.exchange_lines import parse_json

    try:
        if name == "-":
            data = sys.stdin.buffer.read(_MAX_FILE + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise AuthorError(f"{name}: cannot be read: {error.strerror}") from error
    if len(data) > _MAX_FILE:
        raise AuthorError(f"{name}: the file is larger than {_MAX_FILE // 1024**2} MiB")
    try:
        return parse_json(data.removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        raise AuthorError(f"{name}: {error}") from error


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).absolute())


# ---- remove, restore, prune ----


def _remove(arguments: argparse.Namespace) -> int:
    with open_store(arguments, write=not arguments.dry_run) as store:
        found = [find(store, beginning) for beginning in arguments.ids]
        return _take_out(store, list({e.id: e for e in found}), found, arguments)


def _prune(arguments: argparse.Namespace) -> int:
    from genevolve.experience_store.records import Filters

    filters = filters_of(arguments)
    if filters == Filters() and arguments.keep is None:
        raise AuthorError("say what to prune: by filters, or with --keep how many of the newest to keep")
    with open_store(arguments, write=not arguments.dry_run) as store:
        ids = list(store.ids(filters))
        if arguments.keep is not None:
            ids = ids[: max(0, len(ids) - arguments.keep)]
        shown = [e for e in map(store.get, ids[:_SHOWN]) if e is not None]
        return _take_out(store, ids, shown, arguments)


def _take_out(
    store: ExperienceStore, ids: list[str], shown: list[Experience], arguments: argparse.Namespace
) -> int:
    from genevolve.cli.experience_text import table

    if arguments.dry_run and arguments.json:
        print_json({"dry_run": True, "would_remove": ids})
        return OK
    if not ids:
        print("nothing to remove", file=sys.stderr)
        if arguments.json:
            print_json({"removed": [], "generation": store.generation})
        return OK
    if not arguments.json:
        print_lines(table(shown[:_SHOWN], columns()))
        if len(ids) > len(shown[:_SHOWN]):
            print(f"… and {len(ids) - len(shown[:_SHOWN]):,} more")
    noun = "experience" if len(ids) == 1 else "experiences"
    if arguments.dry_run:
        print(f"{len(ids):,} {noun} would be removed")
        return OK
    if not agreed(f"Remove {len(ids):,} {noun}?", arguments):
        print("nothing was removed", file=sys.stderr)
        return OK
    change = store.remove(ids)
    if arguments.json:
        print_json(
            {
                "removed": list(change.changed),
                "missing": list(change.missing),
                "generation": change.generation,
            }
        )
    else:
        print(
            f"{len(change.changed):,} removed; 'genevolve experience rollback {change.generation - 1}' "
            "brings them back until the store is compacted"
        )
    return OK


def _restore(arguments: argparse.Namespace) -> int:
    with open_store(arguments, write=True) as store:
        change = store.restore(arguments.ids)
    if arguments.json:
        print_json(
            {
                "restored": list(change.changed),
                "missing": list(change.missing),
                "generation": change.generation,
            }
        )
    else:
        print(f"{len(change.changed):,} restored")
        for identity in change.missing:
            print(printable(f"{identity}: not among the removed ones"), file=sys.stderr)
    return WRONG_INPUT if change.missing else OK


def _reward(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("expected a reward, from 0 to 1")
    return number


def _keep(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("expected a whole number, 0 or more")
    return number
