"""Options that the subcommands of `genevolve experience` share: the store, filters, paging, output."""

from __future__ import annotations

import argparse
import math
import re
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from genevolve.grammar.errors import AuthorError, StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genevolve.experience_store.experience import Experience
    from genevolve.experience_store.records import Filters
    from genevolve.experience_store.store import ExperienceStore
    from genevolve.interpreter.config import ExperienceSettings

_PAGE = 50
_MOST = 100_000
_AGO = re.compile(r"(\d{1,6})\s*(h|d|w)")
_SECONDS = {"h": 3600, "d": 86_400, "w": 604_800}
_ID = re.compile(r"[0-9a-f]{4,64}")


class Place(NamedTuple):
    """Where the store is and how it is opened."""

    folder: Path
    settings: ExperienceSettings


def add_store_options(parser: argparse.ArgumentParser, *, json: bool = True) -> None:
    """Add `--store`, `--embedder`, `--config` and `--json`."""
    from genevolve.cli.options import add_config_option

    group = parser.add_argument_group("store")
    group.add_argument("--store", metavar="PATH", help="the store's folder (default: the configured one)")
    group.add_argument(
        "--embedder", metavar="MODEL", help="the embedding model (default: the configured one)"
    )
    add_config_option(parser)
    if json:
        parser.add_argument("--json", action="store_true", help="print data instead of text")


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which experiences are meant."""
    group = parser.add_argument_group("which experiences (all that is given must be true)")
    group.add_argument("--category", metavar="NAME", help="of this category")
    group.add_argument("--skill", metavar="NAME", help="whose best program used this skill")
    group.add_argument(
        "--slot", metavar="S1…S5", type=_slot, help="that differ in this slot, by number or name"
    )
    group.add_argument("--min-gap", metavar="X", type=_number, help="with at least this gap")
    group.add_argument("--max-gap", metavar="X", type=_number, help="with at most this gap")
    group.add_argument(
        "--since", metavar="DATE", type=moment_of, help="made at this time (2026-05-01, 36h, 7d, 2w) or later"
    )
    group.add_argument("--until", metavar="DATE", type=moment_of, help="made before this time")
    group.add_argument("--policy", metavar="NAME", help="of this policy")
    group.add_argument("--judge", metavar="NAME", help="of this judge")
    group.add_argument("--min-step", metavar="N", type=_whole, help="of this training step or a later one")
    group.add_argument("--max-step", metavar="N", type=_whole, help="of this training step or an earlier one")
    group.add_argument("--text", metavar="TEXT", help="whose request has this text, in any letter case")


def filters_of(arguments: argparse.Namespace) -> Filters:
    """The filters that the options stand for."""
    from genevolve.experience_store.records import Filters

    names = (
        "category", "skill", "slot", "min_gap", "max_gap", "since", "until", "policy", "judge", "min_step",
        "max_step", "text",
    )  # fmt: skip
    return Filters(**{name: getattr(arguments, name) for name in names})


def add_paging(parser: argparse.ArgumentParser) -> None:
    """Add `--limit` and `--offset`."""
    parser.add_argument(
        "--limit", metavar="N", type=_limit, default=_PAGE, help=f"at most so many (default {_PAGE})"
    )
    parser.add_argument("--offset", metavar="N", type=_whole, default=0, help="leave out so many first")


def add_consent(parser: argparse.ArgumentParser) -> None:
    """Add `--yes` and `--dry-run`."""
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done and do nothing")


def place_of(arguments: argparse.Namespace) -> Place:
    """The store that the options and the settings name.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    from genevolve.interpreter.config import load_config

    flags = {"experience.store": arguments.store, "experience.embedder": arguments.embedder}
    settings = load_config(file=arguments.config, flags=flags).experience
    return Place(settings.location, settings)


def open_store(arguments: argparse.Namespace, *, write: bool = False, make: bool = False) -> ExperienceStore:
    """Open the store, for reading only unless `write`; it has to be there already unless `make`.

    Raises:
        AuthorError: there is no store at that place.
        StorageError: it cannot be opened.
    """
    from genevolve.experience_store.database import NAME
    from genevolve.experience_store.store import ExperienceStore

    place = place_of(arguments)
    if not make and not (place.folder / NAME).exists():
        raise AuthorError(
            f"there is no experience store in {place.folder}; `genevolve experience import` or `add` makes one, "
            "--store names another"
        )
    return ExperienceStore.open(
        place.folder,
        embedder=place.settings.embedder,
        capacity=place.settings.capacity,
        read_only=not write,
    )


def columns() -> int:
    """How wide to write: the terminal's width, 100 where no terminal is."""
    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100


def agreed(question: str, arguments: argparse.Namespace) -> bool:
    """Whether the person agrees; without a terminal only `--yes` does.

    Raises:
        AuthorError: nobody can be asked.
    """
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise AuthorError(f"{question} Nobody can be asked here: say --yes, or look first with --dry-run")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def print_lines(lines: Sequence[str]) -> None:
    """Print lines that are safe already."""
    for line in lines:
        print(line)


def find(store: ExperienceStore, beginning: str) -> Experience:
    """The experience whose id begins so.

    Raises:
        AuthorError: none does, or several do.
    """
    text = beginning.strip().lower()
    if not _ID.fullmatch(text):
        raise AuthorError(f"{beginning!r} is no id: an id is written in 4 to 64 digits 0-9 and a-f")
    found = store.resolve(text)
    if not found:
        raise AuthorError(f"there is no experience {text}")
    if len(found) > 1:
        raise AuthorError(f"several experiences begin with {text}; write more of the id")
    experience = store.get(found[0])
    if experience is None:  # another process took it away just now
        raise StorageError(f"the experience {text} is gone")
    return experience


def moment_of(text: str) -> float:
    """Seconds since 1970 of a date, a date with a time (UTC), or a time ago such as `36h`, `7d`, `2w`."""
    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        return time.time() - int(ago[1]) * _SECONDS[ago[2]]
    try:
        found = datetime.fromisoformat(text.strip())
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        message = (
            "expected a date (2026-05-01), a date and time (2026-05-01T12:00), or a time ago (36h, 7d, 2w)"
        )
        raise argparse.ArgumentTypeError(message) from error


def _slot(text: str) -> str:
    from genevolve.experience_store.bundle import SLOTS, slot_id

    try:
        return slot_id(text.strip().replace(" ", "_").replace("-", "_"))
    except KeyError:
        known = ", ".join(f"{short} ({name})" for short, name in SLOTS.items())
        raise argparse.ArgumentTypeError(f"expected one of {known}") from None


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError("expected a number")
    return number


def _whole(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 2**53:
        raise argparse.ArgumentTypeError("expected a whole number, 0 or more")
    return number


def _limit(text: str) -> int:
    number = int(text)
    if not 1 <= number <= _MOST:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to {_MOST:,}")
    return number
