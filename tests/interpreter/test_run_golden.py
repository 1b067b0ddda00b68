"""Golden cases: programs in tests/golden/run with what a run says beside them.

A case may begin with `# run: {…}`: `parameters` for the program and a `budget`. `pytest
tests/interpreter/test_run_golden.py --update-golden` writes the expectations anew; read the difference.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes import QUICK, FakeRenderer, FakeSkill, FakeTool, World, plain_picture, signature

from genevolve.grammar import builtins
from genevolve.grammar.checker import check
from genevolve.grammar.codes import CODES
from genevolve.grammar.errors import AuthorError, ProgramError, RunError, ServiceError
from genevolve.grammar.parser import parse
from genevolve.grammar.report import to_text
from genevolve.grammar.span import Source
from genevolve.grammar.types import Type
from genevolve.grammar.z import Z
from genevolve.interpreter.budget import Budget
from genevolve.interpreter.machine import Machine
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.values import ImageHandle

GOLDEN = Path(__file__).parent.parent / "golden" / "run"
CASES = sorted(GOLDEN.glob("*.gprog"))


def _image(_: CallContext, path: str) -> ImageHandle:
    code = {"../": "GP412", "non": "GP413", "bro": "GP414"}.get(path[:3], "GP415")
    raise AuthorError(f"{CODES[code].title}: {path}", code=code)


def _fails(_: CallContext, a: str) -> str:
    raise ServiceError("the service does not answer", retryable=a == "busy")


def _slow(context: CallContext, a: str) -> str:
    context.cancelled.wait(5)
    return a


def _refuse(z: Z) -> list[str]:
    return ["it cannot be told the steps."] if z.settings.steps else []


def _draw(context: CallContext, z: Z, references: Any) -> Rendering:
    if "boom" in z.gen_prompt:
        raise MemoryError("out of memory")
    return plain_picture(context, z, references)


def machine(folder: Path, limits: dict[str, Any]) -> Machine:
    return World(folder, found=2).machine(
        FakeTool(builtins.IMAGE, _image),
        FakeTool(signature("fails", Type.TEXT), _fails),
        FakeTool(signature("slow", Type.TEXT), _slow),
        FakeTool(signature("lies", Type.TEXT, cost=0), lambda _, a: 5),
        FakeTool(
            signature("nothing", Type.TEXT, returns=Type.IMAGES),
            lambda _, a: World(folder, 0)._image_search(_, a, 1),
        ),
        skills={"s": FakeSkill("s")},
        renderer=FakeRenderer(_draw, _refuse),
        retry=QUICK,
        budget=Budget(**limits),
        call_timeout=0.05,
    )


def said(case: Path, folder: Path) -> tuple[str, list[str]]:
    """What running a case says, as text, and the codes of it."""
    text = case.read_text(encoding="utf-8")
    first = text.partition("\n")[0]
    options = json.loads(first.removeprefix("# run:")) if first.startswith("# run:") else {}
    on = machine(folder, options.get("budget", {}))
    checked = check(parse(Source(text, case.name)), on.environment())
    try:
        done = on.run_sync(checked, options.get("parameters"))
    except ProgramError as error:
        kind = "it ran and failed" if isinstance(error, RunError) else "it did not run"
        blame = ", a service is to blame" if isinstance(error, RunError) and error.service else ""
        shown = to_text([error.findings])
        return f"{kind}{blame}\n\n{shown}", [d.code for d in error.findings.diagnostics]
    return done.z.to_json(), []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_golden(case: Path, tmp_path: Path, update_golden: bool) -> None:
    found, codes = said(case, tmp_path)
    expected = case.with_suffix(".expected")
    if update_golden:
        expected.write_text(found, encoding="utf-8")
    assert found == expected.read_text(encoding="utf-8")
    assert not case.stem.startswith("GP") or case.stem.split("-")[0] in codes


def test_every_runtime_code_has_a_golden_case() -> None:
    have = {case.stem.split("-")[0] for case in CASES}
    assert {code for code, about in CODES.items() if about.runtime} - have == set()
