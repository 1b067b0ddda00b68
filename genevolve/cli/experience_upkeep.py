"""`genevolve experience verify`, `compact`, `snapshot`, `rollback`, `reembed`, `backup`: what keeps a store well."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from genevolve.cli.app import OK, SERVICE_FAILED, WRONG_INPUT
from genevolve.cli.experience_options import add_consent, add_store_options, agreed, open_store, place_of
from genevolve.cli.experience_text import moment, pad
from genevolve.cli.output import print_json, printable
from genevolve.cli.progress import Progress
from genevolve.grammar.errors import AuthorError, StorageError

if TYPE_CHECKING:
    from genevolve.experience_store.reports import Snapshot, VerifyReport

_TOLD = 50


def configure(action: str, parser: argparse.ArgumentParser) -> None:
    """Add the arguments of one of the actions."""
    match action:
        case "verify":
            parser.add_argument(
                "--repair",
                action="store_true",
                help="put right what can be; save what can be read of a damaged store",
            )
        case "snapshot":
            parser.add_argument(
                "name", nargs="?", metavar="NAME", help="the name; without one, all are listed"
            )
            parser.add_argument("--drop", action="store_true", help="forget the snapshot of this name")
        case "rollback":
            parser.add_argument(
                "to", metavar="NAME|GENERATION", help="a snapshot's name, or a generation's number"
            )
            add_consent(parser)
        case "compact":
            add_consent(parser)
        case "reembed":
            parser.add_argument("model", metavar="MODEL", help="as library.embedder takes it")
        case "backup":
            parser.add_argument("target", metavar="FOLDER", help="a folder that does not exist yet")
    add_store_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Do one of the actions."""
    actions = {
        "verify": _verify,
        "snapshot": _snapshot,
        "rollback": _rollback,
        "compact": _compact,
        "reembed": _reembed,
        "backup": _backup,
    }
    return actions[arguments.action](arguments)


def _verify(arguments: argparse.Namespace) -> int:
    report = _report(arguments)
    if arguments.json:
        print_json(report.to_dict())
    else:
        for problem in report.problems[:_TOLD]:
            state = (
                "lost" if problem.lost and problem.repaired else "repaired" if problem.repaired else "wrong"
            )
            print(printable(f"{state}  {problem.message} ({problem.code})"))
        if len(report.problems) > _TOLD:
            print(f"… and {len(report.problems) - _TOLD:,} more (--json lists all)")
        told = (
            "all is well" if not report.problems else "all is put right" if report.ok else "not all is well"
        )
        print(f"{report.experiences:,} experiences looked at, generation {report.generation:,}: {told}")
        if not report.ok and not arguments.repair:
            print("'genevolve experience verify --repair' puts right what can be", file=sys.stderr)
    return OK if report.ok else SERVICE_FAILED


def _report(arguments: argparse.Namespace) -> VerifyReport:
    try:
        with open_store(arguments, write=arguments.repair) as store:
            return store.verify(repair=arguments.repair)
    except StorageError:
        if not arguments.repair:
            raise
        from genevolve.experience_store.store import ExperienceStore

        return ExperienceStore.recover(place_of(arguments).folder)


def _snapshot(arguments: argparse.Namespace) -> int:
    if arguments.name is None:
        if arguments.drop:
            raise AuthorError("--drop needs the name of a snapshot")
        with open_store(arguments) as store:
            found = store.snapshots()
        if arguments.json:
            print_json([_plain(s) for s in found])
            return OK
        for each in found:
            print(
                f"{pad(each.name, 24)}  generation {each.generation:>8,}  {each.live:>9,} experiences  "
                f"{moment(each.created)}"
            )
        if not found:
            print("no snapshots yet", file=sys.stderr)
        return OK
    with open_store(arguments, write=True) as store:
        if arguments.drop:
            if not store.drop_snapshot(arguments.name):
                raise AuthorError(f"there is no snapshot {arguments.name!r}")
            print_json({"dropped": arguments.name}) if arguments.json else print("the snapshot is forgotten")
            return OK
        taken = store.snapshot(arguments.name)
    if arguments.json:
        print_json(_plain(taken))
    else:
        print(printable(f"{taken.name}: generation {taken.generation:,}, {taken.live:,} experiences"))
    return OK


def _plain(snapshot: Snapshot) -> dict[str, object]:
    return {
        "name": snapshot.name,
        "generation": snapshot.generation,
        "live": snapshot.live,
        "created": snapshot.created,
    }


def _rollback(arguments: argparse.Namespace) -> int:
    with open_store(arguments, write=not arguments.dry_run) as store:
        target: int | str = arguments.to
        if arguments.to.isdecimal() and arguments.to not in {s.name for s in store.snapshots()}:
            target = int(arguments.to)
        now = store.generation
        if arguments.dry_run and arguments.json:
            print_json({"dry_run": True, "to": target, "generation": now})
            return OK
        if arguments.dry_run:
            print(printable(f"the store would hold what it held at {target}; it is at generation {now:,}"))
            return OK
        question = f"Make the store hold what it held at {target}? It is at generation {now:,}."
        if not agreed(printable(question), arguments):
            print("nothing was changed", file=sys.stderr)
            return OK
        change = store.rollback(target)
    if arguments.json:
        print_json(
            {
                "changed": list(change.changed),
                "missing": list(change.missing),
                "generation": change.generation,
            }
        )
    else:
        print(
            f"{len(change.changed):,} experiences came or went; this is generation {change.generation:,} "
            f"('genevolve experience rollback {now}' undoes it)"
        )
        if change.missing:
            print(f"{len(change.missing):,} of that time are gone: they were compacted away", file=sys.stderr)
    return WRONG_INPUT if change.missing else OK


def _compact(arguments: argparse.Namespace) -> int:
    with open_store(arguments, write=not arguments.dry_run) as store:
        removed = store.stats().removed
        if arguments.dry_run and arguments.json:
            print_json({"dry_run": True, "removed": removed})
            return OK
        if arguments.dry_run:
            print(f"{removed:,} removed experiences would be forgotten, but for those that a snapshot needs")
            return OK
        question = f"Forget {removed:,} removed experiences for good, but for those that a snapshot needs?"
        if removed and not agreed(question, arguments):
            print("nothing was changed", file=sys.stderr)
            return OK
        gone = store.compact()
    print_json({"forgotten": gone}) if arguments.json else print(
        f"{gone:,} forgotten; the room is given back"
    )
    return OK


def _reembed(arguments: argparse.Namespace) -> int:
    with open_store(arguments, write=True) as store, Progress(sys.stderr, every=30.0) as shown:
        done = store.reembed(arguments.model, lambda done, total: shown.update("embed", done, total))
        name = store.embedder_name or ""
    print_json({"embedded": done, "embedder": name}) if arguments.json else print(
        printable(f"{done:,} embedded; the model is {name}")
    )
    return OK


def _backup(arguments: argparse.Namespace) -> int:
    with open_store(arguments) as store:
        target = store.backup(Path(arguments.target))
    print_json({"folder": str(target)}) if arguments.json else print(printable(f"copied to {target}"))
    return OK
