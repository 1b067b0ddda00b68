"""Pages of runs: what `genevolve report` writes."""

from __future__ import annotations

from pathlib import Path


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a run of `genevolve compile` or `genevolve bench`; returns where it is.

    Args:
        folder: The folder of the run.
        out: The file; `report.html` in the folder by default. Its folder is made.

    Raises:
        AuthorError: The folder is no run.
        StorageError: The folder cannot be read, or the file cannot be written.
    """
    from genevolve.optimizer.report.writing import make_report, save_report

    return save_report(make_report(folder), out or folder / "report.html")
