"""Batches for tests: rows, templates, and machines whose tools and renderer are plain functions."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from genevolve.grammar.checker import Checked, check
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.grammar.z import Z
from genevolve.interpreter.machine import Machine
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.retry import RetryPolicy
from genevolve.interpreter.tools.function_tool import FunctionTool
from genevolve.interpreter.values import ImageHandle
from genevolve.programs.batch.folder import BatchFolder
from genevolve.programs.batch.journal import Journal
from genevolve.programs.batch.rows import RowWork, Template
from genevolve.programs.batch.runner import BatchRunner, Options, Tally

TEMPLATE = """\
program card(question: text, n: int = 3)
request "{question}"
prompt "A card with {n} balloons: {question}"
"""

QUICK = RetryPolicy(attempts=2, base=0.001, cap=0.002)


class PlainRenderer:
    """Draws one colour that depends on z; `draw` may do something else first."""

    name = "plain"
    version = "1"
    is_async = True

    def __init__(self, draw: Callable[[Z], Any] | None = None) -> None:
        self.rendered: list[str] = []
        self._draw = draw

    def refusals(self, z: Z) -> Sequence[str]:
        return ()

    async def render(self, context: CallContext, z: Z, references: Sequence[ImageHandle]) -> Rendering:
        self.rendered.append(z.request)
        if self._draw is not None:
            result = self._draw(z)
            if asyncio.iscoroutine(result):
                await result
        return Rendering(Image.new("RGB", (8, 8), tuple(bytes.fromhex(z.digest[:6]))))


def machine(*tools: FunctionTool, renderer: PlainRenderer | None = None, **options: Any) -> Machine:
    options = {"retry": QUICK, "secrets": (), **options}
    return Machine(list(tools), renderer=renderer or PlainRenderer(), **options)


def checked(text: str, on: Machine) -> Checked:
    result = check(parse(Source(text, "card.gprog")), on.environment())
    assert result.ok, result.diagnostics
    return result


def write_rows(path: Path, rows: Sequence[Mapping[str, Any] | str | bytes]) -> Path:
    lines = [
        row if isinstance(row, bytes) else (row if isinstance(row, str) else json.dumps(row)).encode()
        for row in rows
    ]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def simple_rows(number: int) -> list[dict[str, Any]]:
    return [{"id": f"row{i}", "question": f"Card number {i}.", "category": i % 3} for i in range(number)]


def run(
    rows: Path,
    out: Path,
    on: Machine,
    *,
    template: str = TEMPLATE,
    resume: bool = False,
    given: Mapping[str, object] | None = None,
    limit: int | None = None,
    **options: Any,
) -> Tally:
    """A whole batch as the command line does it."""

    async def go(runner: BatchRunner) -> Tally:
        return await runner.run()

    work = RowWork(rows, Template(checked(template, on), given), limit=limit)
    with (
        BatchFolder(out, work.identity, resume=resume) as folder,
        Journal(folder.journal, work.count, folder.has_picture) as journal,
    ):
        tally = asyncio.run(go(BatchRunner(on, work, folder, journal, Options(**options))))
        journal.write_outputs(out / "output.jsonl", out / "results.json")
    return tally


def output(out: Path) -> list[dict[str, Any]]:
    """The results in the order of the rows; they are checked against the array."""
    rows = [json.loads(line) for line in (out / "output.jsonl").read_text().splitlines()]
    assert json.loads((out / "results.json").read_text()) == rows
    return rows


def journal_lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
