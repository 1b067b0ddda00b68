"""`Program`: one `.gprog` text, to be checked, run, formatted and compared from Python.

program = Program.load("poster.gprog")
program.check().ok                  # True
run = program.run(title="PARIS")    # a picture, with what it was made of
run.image, run.prompt, run.references, run.trace
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.grammar.diagnostics import Diagnostic, Findings, ordered
from genevolve.grammar.errors import AuthorError, ProgramError, StorageError
from genevolve.grammar.parser import Parsed, parse
from genevolve.grammar.reader import MAX_BYTES, read_source
from genevolve.grammar.span import Source, Span
from genevolve.grammar.tree import ProgramHeader, ProgramParameter, Tree

if TYPE_CHECKING:
    from genevolve.grammar.checker import Checked
    from genevolve.grammar.diff import ProgramDiff
    from genevolve.grammar.holes import HoleSite
    from genevolve.grammar.types import Environment
    from genevolve.interpreter.machine import Machine
    from genevolve.interpreter.run import Run
    from genevolve.programs.policies.protocol import Policy
    from genevolve.programs.synthesis.rollout import Rollout

SCHEMA = "genevolve.program/1"


class Program:
    """An immutable program. Equal programs say the same: comments count, layout does not.

    A text with mistakes is a program too; `check()` tells what is wrong with it, and only running or formatting
    it raises `ProgramError`.
    """

    def __init__(
        self, source: Source, problems: tuple[Diagnostic, ...] = (), path: Path | None = None
    ) -> None:
        self._source = source
        self._problems = problems
        self._path = path

    @classmethod
    def load(cls, path: str | Path) -> Program:
        """Read a `.gprog` file.

        Raises:
            AuthorError: There is no such file, or it is a folder.
            StorageError: The file cannot be read.
        """
        file = Path(path)
        try:
            with file.open("rb") as stream:
                # One byte more than is allowed is enough to tell that a file is too large.
                data = stream.read(MAX_BYTES + 1)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError) as error:
            raise AuthorError(f"there is no program {path}") from error
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
                raise AuthorError(f"there is no program {path}: {error.strerror}") from error
            raise StorageError(f"the program {path} cannot be read: {error}") from error
        source, problems = read_source(data, str(path))
        return cls(source, problems, file.absolute())

    @classmethod
    def parse(cls, text: str, name: str = "<string>") -> Program:
        """A program from its text; `name` is what diagnostics call it."""
        source, problems = read_source(text.encode("utf-8", "surrogatepass"), name)
        return cls(source, problems)

    # ---- what it says ----

    @property
    def source(self) -> str:
        """The text; its lines end in a line feed alone."""
        return self._source.text

    @property
    def path(self) -> Path | None:
        """The file it was loaded from."""
        return self._path

    @property
    def name(self) -> str:
        """The name in the header; else the file's, without its ending; else an empty text."""
        header = self._header
        if header is not None:
            return header.name
        return self._path.stem if self._path is not None else ""

    @cached_property
    def _parsed(self) -> Parsed:
        return parse(self._source)

    @property
    def tree(self) -> Tree:
        """The syntax tree: every statement that could be understood."""
        return self._parsed.tree

    @property
    def _header(self) -> ProgramHeader | None:
        return next((s for s in self.tree.statements if isinstance(s, ProgramHeader)), None)

    @property
    def parameters(self) -> tuple[ProgramParameter, ...]:
        """The parameters of the header, in order."""
        header = self._header
        return header.parameters if header is not None else ()

    @property
    def holes(self) -> tuple[HoleSite, ...]:
        """What a policy still has to fill, in the order of the text."""
        from genevolve.grammar.holes import find_holes
        from genevolve.programs.session import open_environment

        return find_holes(self.tree, open_environment())

    @property
    def digest(self) -> str:
        """SHA-256 of the formatted text in hex: equal for texts that differ in layout only."""
        return hashlib.sha256(self.format().encode()).hexdigest()

    # ---- what can be done with it ----

    def check(self, environment: Environment | None = None) -> Findings:
        """All that is wrong with it. Without an environment, the one that the configuration gives."""
        return Findings(self._source, ordered((*self._problems, *self.checked(environment).diagnostics)))

    def checked(self, environment: Environment | None = None) -> Checked:
        """The checker's own result, as `Machine.run` takes it."""
        from genevolve.grammar.checker import check
        from genevolve.programs.session import open_environment

        return check(self._parsed, environment if environment is not None else open_environment())

    def run(self, machine: Machine | None = None, /, **parameters: object) -> Run:
        """Run it and wait for the picture; works in notebooks, too.

        Args:
            machine: Where to run; by default one opened from the configuration for this run alone.
            **parameters: Values for the program's parameters.

        Raises:
            ProgramError: It does not check, a parameter is wrong, it has holes, or a call failed.
            ConfigurationError: The settings are wrong.
        """
        from genevolve.interpreter.blocking import blocking

        return blocking(self.arun(machine, **parameters))

    async def arun(self, machine: Machine | None = None, /, **parameters: object) -> Run:
        """As `run`, awaited."""
        from genevolve.programs.session import open_machine

        self._refuse_problems()
        if machine is not None:
            return await self._run_on(machine, parameters)
        folder = self._path.parent if self._path is not None else None
        with open_machine(program_folder=folder) as opened:
            return await self._run_on(opened, parameters)

    async def _run_on(self, machine: Machine, parameters: Mapping[str, object]) -> Run:
        from genevolve.programs.opened import OpenedMachine

        record = machine.record_folder if isinstance(machine, OpenedMachine) else None
        return await machine.run(self.checked(machine.environment()), parameters, record=record)

    def fill(
        self,
        policy: Policy | str,
        n: int = 1,
        seed: int = 0,
        machine: Machine | None = None,
        **options: Any,
    ) -> list[Rollout]:
        """Have a policy fill the holes, `n` times, and wait; works in notebooks, too.

        Args:
            policy: Who fills them, or the spec of one, such as `"smollm2"` (it is then closed at the end).
            n: How many rollouts; they differ in their seeds.
            seed: The first seed.
            machine: Where calls are executed; by default one opened from the configuration for this alone.
            **options: As `synthesis.fill.fill` takes them: `bounds`, `guide`, `parameters`, `keep`, …

        Returns:
            The rollouts, each with its outcome; those that were filled have a `program`.

        Raises:
            ProgramError: There are errors besides the holes, or a parameter is wrong or missing.
            ConfigurationError: The settings or the policy's spec are wrong.
        """
        from genevolve.programs.synthesis.fill import fill

        with ExitStack() as stack:
            acting, where = self._opened(policy, machine, stack)
            return fill(self, acting, where, n=n, seed=seed, **options)

    async def afill(
        self,
        policy: Policy | str,
        n: int = 1,
        seed: int = 0,
        machine: Machine | None = None,
        **options: Any,
    ) -> list[Rollout]:
        """As `fill`, awaited."""
        from genevolve.programs.synthesis.fill import afill

        with ExitStack() as stack:
            acting, where = self._opened(policy, machine, stack)
            return await afill(self, acting, where, n=n, seed=seed, **options)

    def _opened(
        self, policy: Policy | str, machine: Machine | None, stack: ExitStack
    ) -> tuple[Policy, Machine]:
        """The policy and the machine; what is opened here is closed with the stack."""
        from genevolve.programs.policies.catalog import open_policy
        from genevolve.programs.session import open_machine

        self._refuse_problems()
        if machine is None:
            folder = self._path.parent if self._path is not None else None
            machine = stack.enter_context(open_machine(program_folder=folder))
        if isinstance(policy, str):
            policy = open_policy(policy)
            stack.callback(policy.close)
        return policy, machine

    def format(self) -> str:
        """The text in its canonical layout; raises `ProgramError` when there are mistakes of syntax."""
        from genevolve.grammar.formatter import format_tree

        self._refuse_problems()
        return format_tree(self.tree)

    def diff(self, other: Program) -> ProgramDiff:
        """How another program differs from this one: calls, skills, references, prompt, constraints, settings."""
        from genevolve.grammar.diff import diff

        return diff(self.tree, other.tree)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data: name, parameters, statements (nodes by their class), digest.

        Raises `ProgramError` when there are mistakes of syntax.
        """
        return {
            "schema": SCHEMA,
            "name": self.name,
            "digest": self.digest,
            "parameters": [_plain(p) for p in self.parameters],
            "statements": [_plain(s) for s in self.tree.statements],
            "comments": list(self.tree.comments),
            "source": self.source,
        }

    def _refuse_problems(self) -> None:
        findings = Findings(self._source, ordered((*self._problems, *self._parsed.diagnostics)))
        if not findings.ok:
            raise ProgramError(findings)

    # ---- how it looks ----

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Program):
            return NotImplemented
        if self._parsed.diagnostics or other._parsed.diagnostics or self._problems or other._problems:
            return self.source == other.source
        return self.tree == other.tree

    def __hash__(self) -> int:
        return hash(self.tree)

    def __str__(self) -> str:
        return self.source

    def __repr__(self) -> str:
        name = self.name or self._source.name
        return f"<Program {name}, {len(self.tree.statements)} statements>"

    def _repr_html_(self) -> str:
        from genevolve.programs.notebook import highlight

        return highlight(self.source)


def _plain(node: Any) -> Any:
    """A node of the tree as JSON data. Spans and other fields that do not count for equality are left out."""
    if isinstance(node, Span):
        return None
    if dataclasses.is_dataclass(node) and not isinstance(node, type):
        fields = {f.name: _plain(getattr(node, f.name)) for f in dataclasses.fields(node) if f.compare}
        return {"node": type(node).__name__, **fields}
    return [_plain(item) for item in node] if isinstance(node, tuple) else node
