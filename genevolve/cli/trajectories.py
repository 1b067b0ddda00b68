"""Turn trajectories of the released GenEvolve into programs, and programs into such trajectories.

genevolve trajectories import results.json -o programs/    a program for each trajectory, and what its searches showed
genevolve trajectories export rollouts.jsonl -o out.jsonl  rollouts of `synth --trajectories`, or .gprog files

A row that cannot be taken is told with its number and the reason, and left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from genevolve.cli.app import OK, WRONG_INPUT
from genevolve.cli.files import check_target, replace_file
from genevolve.cli.inputs import SUFFIX
from genevolve.cli.options import add_config_option
from genevolve.cli.output import print_json, printable
from genevolve.grammar.errors import AuthorError, StorageError

if TYPE_CHECKING:
    from genevolve.grammar.types import Environment
    from genevolve.interpreter.backends.bundle import Bundle
    from genevolve.interpreter.values import ImageHandle
    from genevolve.programs.policies.released.imported import Imported, Picture, Shown

_OBSERVATIONS = "observations.jsonl"
_RECORDING = "recording"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    take = commands.add_parser("import", help="trajectories to programs", allow_abbrev=False)
    take.add_argument(
        "file", metavar="FILE", type=Path, help="JSON or JSON lines: records with messages, or messages alone"
    )
    take.add_argument("-o", "--out", metavar="DIR", type=Path, required=True, help="where programs go")
    take.add_argument(
        "--pictures",
        metavar="FOLDER",
        type=Path,
        help="where the downloaded pictures lie; they are found by file name alone",
    )
    give = commands.add_parser("export", help="rollouts and programs to trajectories", allow_abbrev=False)
    give.add_argument(
        "files",
        metavar="FILE",
        type=Path,
        nargs="+",
        help="lines of synth --trajectories, or .gprog programs",
    )
    give.add_argument(
        "-o", "--out", metavar="FILE.jsonl", type=Path, required=True, help="where trajectories go"
    )
    for command in (take, give):
        command.add_argument("--json", action="store_true", help="print the outcome as data")
        add_config_option(command)


def execute(arguments: argparse.Namespace) -> int:
    """Import or export; 1 when not one row could be taken."""
    from genevolve.programs.session import open_environment

    environment = open_environment(config_file=arguments.config)
    done, left_out = (_import if arguments.action == "import" else _export)(arguments, environment)
    if arguments.json:
        print_json({"done": done, "left_out": left_out})
    else:
        for row in left_out:
            place = f"{row['file']}:{row['row']}" if row["row"] is not None else row["file"]
            print(printable(f"{place}: {row['reason']}"), file=sys.stderr)
        what = "programs" if arguments.action == "import" else "trajectories"
        print(printable(f"{len(done)} {what} in {arguments.out}, {len(left_out)} rows left out"))
    return OK if done else WRONG_INPUT


# ---- import ------------------------------------------------------------------------------------------


def _import(
    arguments: argparse.Namespace, environment: Environment
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    from genevolve.programs.batch.names import safe_name
    from genevolve.programs.policies.released.imported import Unreadable, import_row, read_rows

    out: Path = arguments.out
    _folder(out)
    done: list[dict[str, object]] = []
    left_out: list[dict[str, object]] = []
    observations: list[str] = []
    bundle: Bundle | None = None
    names: set[str] = set()
    for number, row in read_rows(arguments.file):
        try:
            imported = import_row(row, environment)
        except Unreadable as error:
            left_out.append({"file": str(arguments.file), "row": number, "reason": str(error)})
            continue
        name = _free(safe_name(_identity(row, number)), names)
        file = out / f"{name}{SUFFIX}"
        replace_file(file, imported.program.source.encode())
        told = {"id": name, "shown": [s.to_dict() for s in imported.shown], "left_out": imported.left_out}
        observations.append(json.dumps(told, ensure_ascii=True) + "\n")
        if imported.shown:
            bundle = bundle or _bundle(out / _RECORDING)
        kept = 0 if bundle is None else _record(imported, bundle, arguments.pictures)
        done.append(
            {
                "row": number,
                "file": str(file),
                "searches": len(imported.shown),
                "recorded": kept,
                "left_out": list(imported.left_out),
            }
        )
    if observations:
        replace_file(out / _OBSERVATIONS, "".join(observations).encode())
    return done, left_out


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise AuthorError(f"{path}: this is no folder") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot be made: {error.strerror or error}") from error


def _bundle(folder: Path) -> Bundle:
    from genevolve.interpreter.backends.bundle import Bundle

    return Bundle.create(folder)


def _identity(row: object, number: int) -> str:
    identity = row.get("id") if isinstance(row, dict) else None
    return str(identity) if isinstance(identity, str | int) and identity != "" else f"row-{number}"


def _free(name: str, names: set[str]) -> str:
    """The name, with a number behind it when another row has it already."""
    found, count = name, 1
    while found in names:
        count += 1
        found = f"{name}-{count}"
    names.add(found)
    return found


def _record(imported: Imported, bundle: Bundle, pictures: Path | None) -> int:
    """Keep what searches showed so that `genevolve run` can be answered from it; gives how many searches."""
    from genevolve.interpreter.backends.bundle import Call, Kept
    from genevolve.interpreter.values import Evidence, Images
    from genevolve.programs.policies.released.actions import Search

    kept = 0
    for shown in imported.shown:
        if isinstance(shown.call, Search):
            call = Call("search", shown.call.queries, shown.call.top_k or 5)
            value: Evidence | Images = Evidence(shown.snippets)
        else:
            found = _handles(shown, pictures)
            # With a picture missing, the others would move to other indices.
            if found is None:
                continue
            call = Call("image_search", (shown.call.query,), shown.call.top_k or 5)
            value = Images(found)
        bundle.add(call, Kept(value), "trajectory")
        kept += 1
    return kept


def _handles(shown: Shown, folder: Path | None) -> tuple[ImageHandle, ...] | None:
    """The pictures of a search, None when not all of them are there."""
    if folder is None or not shown.pictures:
        return None
    found = [_handle(picture, folder) for picture in shown.pictures]
    return None if None in found else tuple(h for h in found if h is not None)


def _handle(picture: Picture, folder: Path) -> ImageHandle | None:
    from genevolve.interpreter.images import ImageProblem, open_image

    # A path in somebody's file may lead anywhere: only its last part is looked for, in the one folder that was given.
    name = PurePosixPath(picture.file.replace("\\", "/")).name
    if not name:
        return None
    try:
        handle = open_image(name, [folder])
    except ImageProblem:
        return None
    return replace(
        handle,
        id=picture.id,
        title=picture.title,
        caption=picture.caption,
        source=picture.url or handle.source,
    )


# ---- export ------------------------------------------------------------------------------------------


def _export(
    arguments: argparse.Namespace, environment: Environment
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    from genevolve.programs.policies.released.exported import Untold, export_program, export_rollout
    from genevolve.programs.policies.released.imported import Unreadable
    from genevolve.programs.program import Program

    check_target(arguments.out, ".jsonl")
    done: list[dict[str, object]] = []
    left_out: list[dict[str, object]] = []
    lines: list[str] = []
    for file, number, row in _rows(arguments.files):
        try:
            if isinstance(row, Program):
                record = export_program(row, environment)
            elif isinstance(row, dict):
                record = export_rollout(row, environment)
            else:
                raise row if isinstance(row, Unreadable) else Untold("this is no rollout of genevolve")
        except (Untold, Unreadable) as error:
            left_out.append({"file": str(file), "row": number, "reason": str(error)})
            continue
        identity = file.stem if number is None else f"{file.stem}-{number}"
        lines.append(json.dumps({"id": identity, **record}, ensure_ascii=True) + "\n")
        done.append({"file": str(file), "row": number, "id": identity, "rounds": record["rounds"]})
    replace_file(arguments.out, "".join(lines).encode())
    return done, left_out


def _rows(files: list[Path]) -> Iterator[tuple[Path, int | None, object]]:
    from genevolve.programs.policies.released.imported import read_rows
    from genevolve.programs.program import Program

    for file in files:
        if file.suffix == SUFFIX:
            yield file, None, Program.load(file)
        else:
            for number, row in read_rows(file):
                yield file, number, row
