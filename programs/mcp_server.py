"""genevolve as an MCP server: other programs' agents check, run and look up.

Whoever speaks to it may send any program. Programs run under the budget of the settings, open pictures of the
configured folders only, and so many at a time as the service allows; what is too large is refused before it is read
further. Nothing but protocol messages is written to standard output.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.resources import TextResource
from mcp_types import CallToolResult, ImageContent, TextContent, ToolAnnotations
from pydantic import Field

from genevolve.grammar.codes import CODES, explain
from genevolve.grammar.diagnostics import Findings
from genevolve.grammar.errors import (
    AuthorError,
    ConfigurationError,
    GenevolveError,
    ProgramError,
    ServiceError,
)
from genevolve.grammar.reader import MAX_BYTES
from genevolve.grammar.report import to_dict
from genevolve.interpreter.run import Run, version
from genevolve.interpreter.workers import Workers
from genevolve.programs.program import Program
from genevolve.programs.session import LIBRARY, SAMPLES, open_environment, open_machine
from genevolve.programs.skillbook import load_skills

if TYPE_CHECKING:
    from genevolve.grammar.checker import Checked
    from genevolve.grammar.types import Environment
    from genevolve.interpreter.config import Config
    from genevolve.programs.opened import OpenedMachine

T = TypeVar("T")

Search = Callable[[str, int], Sequence[Mapping[str, Any]]]
"""Looks up experiences: a request and how many, best first."""

log = logging.getLogger("genevolve.mcp")

INSTRUCTIONS = """\
genevolve answers image requests with typed programs (.gprog). Read genevolve://reference for the tools, predicates,
skills and settings in force, and genevolve://programs for examples. Write a program, check it with check_program until
it has no errors, then run it with run_program. explain tells what a diagnostic code means.
"""

# Only told: the parser refuses longer ones with a diagnostic, which says more than the SDK would.
Text = Annotated[
    str, Field(description="the text of a .gprog program", json_schema_extra={"maxLength": MAX_BYTES})
]

Request = Annotated[str, Field(max_length=8 * 1024, description="an image request")]


@dataclass(frozen=True)
class ServiceLimits:
    """What strangers' programs may take: runs at a time and waiting, checks at a time, bytes of what goes back."""

    runs: int = 2
    waiting: int = 8
    checks: int = 4
    image_bytes: int = 8 * 1024 * 1024
    parameter_chars: int = 64 * 1024


class Desk:
    """What the tools do, without the protocol.

    Args:
        config: the settings; image parameters and `image(...)` reach the folders under `images.allowed` only.
        search: looks up experiences; None when no store is configured.
        limits: of what strangers may take.
    """

    def __init__(
        self, config: Config, *, search: Search | None = None, limits: ServiceLimits | None = None
    ) -> None:
        self.config = config
        self.limits = limits or ServiceLimits()
        self._search = search
        self._runs = asyncio.Semaphore(self.limits.runs)
        self._checks = asyncio.Semaphore(self.limits.checks)
        self._opening = asyncio.Lock()
        self._machine: OpenedMachine | None = None
        self._waiting = 0

    async def check(self, text: str) -> Findings:
        """All that is wrong with a program."""
        environment = await self.environment()
        async with self._checks:
            return await _aside(lambda: Program.parse(text, "program.gprog").check(environment))

    async def format(self, text: str) -> str:
        """The program in its canonical layout. Raises `ProgramError`."""
        async with self._checks:
            return await _aside(lambda: Program.parse(text, "program.gprog").format())

    async def run(self, text: str, parameters: Mapping[str, object], *, render: bool) -> CallToolResult:
        """Run a program; its outcome as clients get it.

        Raises what `Machine.run` raises, and `ServiceError` when there is no room.
        """
        if len(json.dumps(parameters)) > self.limits.parameter_chars:
            raise AuthorError(f"the parameters are longer than {self.limits.parameter_chars:,} characters")
        if self._waiting >= self.limits.waiting:
            raise ServiceError(f"{self.limits.runs} programs run and {self._waiting} wait; try again later")
        machine = await self._opened()
        self._waiting += 1
        try:
            await self._runs.acquire()
        finally:
            self._waiting -= 1
        try:
            environment = machine.environment()
            checked = await _aside(lambda: _sound(text, environment))
            run = await machine.run(checked, parameters, render=render, record=machine.record_folder)
            return await _outcome(run, self.limits)
        finally:
            self._runs.release()

    async def experiences(self, request: str, k: int) -> list[Mapping[str, Any]]:
        """What was learned from similar requests. Raises `ConfigurationError` when no store is configured."""
        search = self._search
        if search is None:
            raise ConfigurationError(
                "no experience store is configured; start the server with --experience and the folder of a store"
            )
        async with self._checks:
            return list(await _aside(lambda: search(request, k)))

    async def environment(self) -> Environment:
        """What programs are checked against."""
        if self._machine is not None:
            return self._machine.environment()
        if self.config.mcp.servers:  # which tools those have is known when the machine is open
            return (await self._opened()).environment()
        return await _aside(lambda: open_environment(self.config))

    def close(self) -> None:
        """Close the machine, if it was opened."""
        if self._machine is not None:
            self._machine.close()

    async def _opened(self) -> OpenedMachine:
        """The machine, opened by the first run: indexing a library may take a while."""
        async with self._opening:
            if self._machine is None:
                allowed = self.config.images.allowed
                # Never the working folder: strangers' programs may read configured folders only.
                base = allowed[0] if allowed else SAMPLES / "images"
                self._machine = await _aside(lambda: open_machine(self.config, program_folder=base))
            return self._machine


def make_server(desk: Desk) -> MCPServer[Any]:
    """The MCP server over a desk."""
    server: MCPServer[Any] = MCPServer(
        "genevolve", version=version(), instructions=INSTRUCTIONS, log_level="WARNING"
    )
    _add_program_tools(server, desk)
    _add_lookup_tools(server, desk)
    _add_resources(server, desk)
    return server


def _add_program_tools(server: MCPServer[Any], desk: Desk) -> None:
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)

    @server.tool(annotations=reads, structured_output=False)
    async def check_program(text: Text) -> CallToolResult:
        """Say what is wrong in a program, without running it: diagnostics with codes, places and fixes."""
        return await _answer(desk.check(text), lambda found: _data({"ok": found.ok, **to_dict([found])}))

    @server.tool(annotations=reads, structured_output=False)
    async def format_program(text: Text) -> CallToolResult:
        """The program in its canonical layout."""
        return await _answer(desk.format(text), _text)

    @server.tool(structured_output=False)
    async def run_program(
        text: Text, parameters: dict[str, str | int | float | bool] | None = None, render: bool = True
    ) -> CallToolResult:
        """Run a program: gives z (prompt, references, settings, constraints), notes, the picture and the run record."""
        return await _answer(desk.run(text, parameters or {}, render=render), lambda run: run)


def _add_lookup_tools(server: MCPServer[Any], desk: Desk) -> None:
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)

    @server.tool(name="explain", annotations=reads, structured_output=False)
    async def explain_code(code: str) -> CallToolResult:
        """What a diagnostic code such as GP301 means, with an example and what to do."""
        if code.upper() not in CODES:
            return _text(f"there is no code {code[:16]!r}; codes look like GP301", error=True)
        return _text(explain(code))

    @server.tool(annotations=reads, structured_output=False)
    async def search_experiences(
        request: Request,
        k: Annotated[int, Field(ge=1, le=20)] = 1,
    ) -> CallToolResult:
        """What was learned from requests like this one, nearest first."""
        return await _answer(desk.experiences(request, k), lambda found: _data({"experiences": found}))


def _add_resources(server: MCPServer[Any], desk: Desk) -> None:
    def add(uri: str, name: str, text: str, description: str = "") -> None:
        server.add_resource(
            TextResource(uri=uri, name=name, text=text, description=description, mime_type="text/markdown")
        )

    @server.resource("genevolve://reference", name="reference", mime_type="text/markdown")
    async def reference() -> str:
        """The tools, predicates, skills and limits that programs have here."""
        return reference_page(await desk.environment())

    examples = {p.stem: p.read_text(encoding="utf-8") for p in sorted(LIBRARY.glob("*.gprog"))}
    whole = "\n".join(f"## {name}\n\n```\n{text}```\n" for name, text in examples.items())
    add("genevolve://programs", "programs", f"# Example programs\n\n{whole}", "programs that run as they are")
    for name, skill in load_skills(desk.config.skills.folders, override=desk.config.skills.override).items():
        add(f"genevolve://skills/{name}", name, skill.guide, skill.summary)
    for code, entry in CODES.items():
        add(f"genevolve://explain/{code}", code, explain(code), entry.title)
    language = language_page()
    if language is not None:
        add("genevolve://language", "language", language, "the reference of the language")


def language_page() -> str | None:
    """`docs/language.md`, where genevolve runs from a checkout."""
    for place in (Path(__file__).resolve().parents[1], Path.cwd()):
        page = place / "docs" / "language.md"
        if (place / "grammar" / "gprog.lark").is_file() and page.is_file():
            return page.read_text(encoding="utf-8")
    return None


def reference_page(environment: Environment) -> str:
    """What programs may call and use, as Markdown."""
    predicates = {s.name for s in environment.predicates()}
    tools = [s for s in environment.signatures.values() if s.name not in predicates]
    lines = ["# What programs may use here", "", "## Tools", ""]
    lines += [f"- `{s}`{': ' + s.doc if s.doc else ''}" for s in tools]
    lines += ["", "## Predicates, after `require`", ""]
    lines += [f"- `{s}`{': ' + s.doc if s.doc else ''}" for s in environment.predicates()]
    lines += ["", "## Skills, after `use skill`", ""]
    lines += [f"- `{s.name}`: {s.summary}" for s in environment.skills.values()]
    lines += [
        "",
        f"A program may make {environment.max_calls} calls and bind {environment.max_references} pictures.",
    ]
    return "\n".join(lines) + "\n"


# ---- answers -----------------------------------------------------------------------------------------


def _sound(text: str, environment: Environment) -> Checked:
    """A program without errors. Raises `ProgramError`."""
    program = Program.parse(text, "program.gprog")
    findings = program.check(environment)  # with what was wrong in reading it, which `checked` does not carry
    if not findings.ok:
        raise ProgramError(findings)
    return program.checked(environment)


async def _aside(work: Callable[[], T]) -> T:
    """Work in a thread, so that other requests are answered meanwhile."""
    return await Workers().call(work, "mcp")


async def _answer(work: Awaitable[T], shown: Callable[[T], CallToolResult]) -> CallToolResult:
    """The result; a failure as an error of the tool, with diagnostics where there are any, never a traceback."""
    try:
        return shown(await work)
    except ProgramError as error:
        return _data({"ok": False, **to_dict([error.findings])}, error=True)
    except GenevolveError as error:
        return _text(str(error), error=True)


def _text(text: str, *, error: bool = False) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], is_error=error)


def _data(data: Mapping[str, Any], *, error: bool = False) -> CallToolResult:
    text = json.dumps(data, ensure_ascii=False)
    return CallToolResult(
        content=[TextContent(text=text)], structured_content=json.loads(text), is_error=error
    )


async def _outcome(run: Run, limits: ServiceLimits) -> CallToolResult:
    notes = list(run.notes)
    picture: ImageContent | None = None
    if run.image is not None:
        png = await _aside(lambda: run.png)
        if len(png) <= limits.image_bytes:
            picture = ImageContent(data=base64.b64encode(png).decode("ascii"), mime_type="image/png")
        else:
            notes.append(f"the picture has {len(png):,} bytes, too many to send; it lies in the run record")
    result = _data(
        {
            "z": run.z.to_dict(),
            "notes": notes,
            "spent": dict(run.spent),
            "record": None if run.folder is None else str(run.folder),
        }
    )
    if picture is not None:
        result.content.append(picture)
    return result
