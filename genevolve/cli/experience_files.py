"""`genevolve experience export` and `import`: JSON lines, Parquet, Hugging Face dataset folders."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genevolve.cli.app import OK, WRONG_INPUT
from genevolve.cli.experience_options import add_filters, add_store_options, filters_of, open_store
from genevolve.cli.output import print_json, printable
from genevolve.cli.progress import Progress

if TYPE_CHECKING:
    from genevolve.experience_store.exchange import ImportReport
    from genevolve.experience_store.experience import Experience
    from genevolve.experience_store.reports import AddResult
    from genevolve.experience_store.store import ExperienceStore

_TOLD = 20
_FORMATS = ("jsonl", "parquet", "dataset")


def configure(action: str, parser: argparse.ArgumentParser) -> None:
    """Add the arguments of one of the actions."""
    if action == "export":
        parser.add_argument(
            "target",
            metavar="TARGET",
            help="a .jsonl or .parquet file, a folder for a dataset, or - for JSON lines",
        )
        parser.add_argument(
            "--force", action="store_true", help="replace a file, or a dataset that was exported"
        )
        add_filters(parser)
    else:
        parser.add_argument(
            "source",
            metavar="SOURCE",
            help="a .jsonl or .parquet file, a dataset folder, or - for JSON lines",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="read and judge every row, and store nothing"
        )
    parser.add_argument("--format", choices=_FORMATS, help="the format, where the name does not tell")
    add_store_options(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Do one of the actions."""
    return _export(arguments) if arguments.action == "export" else _import(arguments)


def _export(arguments: argparse.Namespace) -> int:
    from genevolve.experience_store.exchange import export_experiences, write_lines

    filters = filters_of(arguments)
    with open_store(arguments) as store, Progress(sys.stderr) as shown:
        ids = store.ids(filters)
        experiences = _each(store, ids)

        def told(done: int) -> None:
            shown.update("export", done, len(ids))

        if arguments.target == "-":
            sys.stdout.flush()
            written = write_lines(sys.stdout.buffer, experiences)
            sys.stdout.buffer.flush()
            return OK
        written = export_experiences(
            experiences, Path(arguments.target), form=arguments.format, replace=arguments.force, progress=told
        )
    if arguments.json:
        print_json({"target": arguments.target, "written": written})
    else:
        print(printable(f"{written:,} experiences written to {arguments.target}"))
    return OK


def _each(store: ExperienceStore, ids: tuple[str, ...]) -> Iterator[Experience]:
    for identity in ids:
        experience = store.get(identity)
        if experience is not None:  # somebody removed it meanwhile
            yield experience


def _import(arguments: argparse.Namespace) -> int:
    from genevolve.experience_store.exchange import ImportReport, import_rows, read_rows
    from genevolve.experience_store.exchange_lines import read_lines

    report = ImportReport()
    source = arguments.source
    rows = (
        read_lines(sys.stdin.buffer, "standard input")
        if source == "-"
        else read_rows(Path(source), arguments.format)
    )
    try:
        with Progress(sys.stderr, every=30.0) as shown:

            def told(done: int) -> None:
                shown.update("import", done, 0, f"{report.added} added, {report.bad} skipped")

            if arguments.dry_run:
                import_rows(_Judge(), rows, report=report, progress=told)
            else:
                with open_store(arguments, write=True, make=True) as store:
                    import_rows(store, rows, report=report, progress=told)
    except BaseException:
        if report.rows:  # what is stored stays, and the same command goes on
            _tell(report, arguments)
        raise
    _tell(report, arguments)
    return WRONG_INPUT if report.bad else OK


class _Judge:
    """Takes the place of a store: applies the rules that look at an experience alone, and keeps nothing."""

    def add_many(self, experiences: Sequence[Experience], *, again: bool = True) -> list[AddResult]:
        """What the rules say of each."""
        from genevolve.experience_store.admission import inspect
        from genevolve.experience_store.reports import AddResult

        refusals = [(e.id, inspect(e)) for e in experiences]
        return [AddResult("added" if r is None else "refused", i, refusal=r) for i, r in refusals]


def _tell(report: ImportReport, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json({**report.to_dict(), "dry_run": arguments.dry_run})
        return
    for skipped in report.skipped[:_TOLD]:
        print(printable(f"skipped  {skipped.where}: {skipped.reason} ({skipped.code})"), file=sys.stderr)
    if report.bad > _TOLD:
        print(f"skipped  {report.bad - _TOLD:,} more (--json lists the first 1,000)", file=sys.stderr)
    would = "would be " if arguments.dry_run else ""
    print(
        f"{report.rows:,} rows: {report.added:,} {would}added, {report.known:,} known, {report.merged:,} merged, "
        f"{report.bad:,} skipped"
    )
    if report.evicted:
        print(
            f"{report.evicted:,} experiences went to keep the capacity; a store of a larger capacity keeps them all",
            file=sys.stderr,
        )
