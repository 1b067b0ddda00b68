"""Other libraries' talk while they train: into a file beside the run, instead of through the command's output."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

_TALKERS = ("transformers", "trl", "accelerate", "datasets", "peft")


@contextlib.contextmanager
def talking_into(file: Path) -> Iterator[None]:
    """What is printed inside goes into the file; progress bars and remarks below errors are left out.

    Raises:
        OSError: The file cannot be written.
    """
    import datasets
    from transformers.utils import logging as of_transformers

    levels = {name: logging.getLogger(name).level for name in _TALKERS}
    bars, verbosity = of_transformers.is_progress_bar_enabled(), of_transformers.get_verbosity()
    sets = datasets.are_progress_bars_disabled()
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    of_transformers.disable_progress_bar()
    of_transformers.set_verbosity_error()
    datasets.disable_progress_bars()
    for name in _TALKERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with (
            file.open("a", encoding="utf-8") as stream,
            contextlib.redirect_stdout(stream),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        of_transformers.set_verbosity(verbosity)
        if bars:
            of_transformers.enable_progress_bar()
        if not sets:
            datasets.enable_progress_bars()
