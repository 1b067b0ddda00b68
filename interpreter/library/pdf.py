"""Reads PDF files in a process of their own.

A PDF is a program for a page machine: a few hostile bytes can ask for gigabytes or for hours. The reading process has
a limit of memory, and is ended when a file takes too long; the index goes on with the next one. The process is
started with the first PDF and serves all that follow.

Requests are one line, `<pages> <bytes>`, and the bytes of the file; answers are one line of JSON.
"""

from __future__ import annotations

import io
import json
import os
import re
import struct
import subprocess
import sys
import threading
import zlib
from contextlib import suppress
from types import TracebackType
from typing import IO

from genevolve.interpreter.library.passages import Block, Document, paragraphs
from genevolve.interpreter.library.text import clean

# What pypdf lets escape from damaged files besides its own errors.
_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_MEMORY = 2 * 1024**3
_TEXT = 16 * 1024 * 1024
"""Characters that are taken from one file."""


class Unreadable(Exception):
    """A file that cannot be read, and why. The index reports it; no user meets it as an error."""


class PdfProcess:
    """The reading process. Use as a context manager: leaving it ends the process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PdfProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was not yet written has no reader any more
                    pipe.close()
        process.wait()

    def read(self, data: bytes, pages: int, seconds: float) -> Document:
        """The text of a PDF, page by page. Raises `Unreadable` with the reason when there is none."""
        process = self._process = self._process or _start()
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            answer = _ask(process, data, pages)
        finally:
            timer.cancel()
        if answer is None:
            self.close()
            raise Unreadable(
                f"it took more than {seconds:g} seconds to read"
                if late.is_set()
                else "reading it broke down (too much memory, or too damaged)"
            )
        if late.is_set():  # it was ended just after it had answered
            self.close()
        return _document(answer)


def _start() -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(  # noqa: S603 - our own module, no shell, nothing of the user's on the command line
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )


def _ask(process: subprocess.Popen[bytes], data: bytes, pages: int) -> dict[str, object] | None:
    """The answer of the process, or None when it died."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(b"%d %d\n" % (pages, len(data)))
        process.stdin.write(data)
        process.stdin.flush()
        line = process.stdout.readline()
    except OSError:
        return None
    if not line.endswith(b"\n"):
        return None
    answer = json.loads(line)
    return answer if isinstance(answer, dict) else None


def _document(answer: dict[str, object]) -> Document:
    if isinstance(error := answer.get("error"), str):
        raise Unreadable(error)
    pages = answer.get("pages")
    title = answer.get("title")
    assert isinstance(pages, list)
    blocks: list[Block] = []
    for number, text in enumerate(pages, start=1):
        blocks.extend(paragraphs(_joined(str(text)), (f"page {number}",)))
    return Document(clean(title).strip() if isinstance(title, str) else "", tuple(blocks))


def _joined(text: str) -> str:
    """Words that were parted at a line's end are joined again."""
    return re.sub(r"(?<=[^\W\d_])[-\u00ad]\n(?=[^\W\d_A-Z])", "", clean(text))


# ---- in the reading process ----


def _serve(source: IO[bytes], sink: IO[bytes]) -> None:
    while header := source.readline(64):
        pages, size = map(int, header.split())
        data = source.read(size)
        sink.write(json.dumps(_extract(data, pages)).encode() + b"\n")
        sink.flush()


def _extract(data: bytes, pages: int) -> dict[str, object]:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            return {"error": "it is protected by a password"}
        texts: list[str] = []
        left = _TEXT
        for page in reader.pages:
            if len(texts) >= pages or left <= 0:
                break
            texts.append(page.extract_text()[:left])
            left -= len(texts[-1])
        information = reader.metadata
        title = information.title if information is not None else None
    except MemoryError:
        return {"error": "reading it takes too much memory"}
    except RecursionError:
        return {"error": "it is nested too deeply"}
    except (PyPdfError, *_FAULTS) as error:
        return {"error": f"it is a damaged PDF ({type(error).__name__})"}
    return {"title": title if isinstance(title, str) else None, "pages": texts}


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = _MEMORY if hard == resource.RLIM_INFINITY else min(_MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


if __name__ == "__main__":
    import logging

    logging.disable()
    _limit_memory()
    # What a library prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _serve(sys.stdin.buffer, answers)
