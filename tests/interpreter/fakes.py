"""Tools, skills and renderers that take plain functions: tests of the interpreter need no network and no model."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from genevolve.grammar import builtins
from genevolve.grammar.checker import Checked, check
from genevolve.grammar.errors import AuthorError
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.grammar.types import Environment, Parameter, Signature, Type
from genevolve.grammar.z import Z
from genevolve.interpreter.machine import Machine
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.retry import RetryPolicy
from genevolve.interpreter.values import Evidence, ImageHandle, Images, Snippet, Value

QUICK = RetryPolicy(attempts=3, base=0.001, cap=0.002)
"""Retries without pauses worth waiting for."""


class FakeTool:
    """A tool whose answers a plain function gives: `function(context, *args, **named)`."""

    def __init__(self, signature: Signature, function: Callable[..., Any], version: str | None = "1") -> None:
        self.signature = signature
        self.function = function
        self.version = version
        self.is_async = inspect.iscoroutinefunction(function)
        self.calls: list[tuple[tuple[Value, ...], dict[str, Value]]] = []

    def __call__(self, context: CallContext, /, *args: Value, **named: Value) -> Any:
        self.calls.append((args, named))
        return self.function(context, *args, **named)


class FakeRenderer:
    """Draws what a plain function gives; by default one colour that depends on z."""

    name = "fake"
    version = "1"

    def __init__(
        self,
        draw: Callable[[CallContext, Z, Sequence[ImageHandle]], Any] | None = None,
        refuse: Callable[[Z], Sequence[str]] = lambda z: (),
    ) -> None:
        self._draw = draw or plain_picture
        self._refuse = refuse
        self.is_async = inspect.iscoroutinefunction(draw)
        self.rendered: list[Z] = []

    def refusals(self, z: Z) -> Sequence[str]:
        return self._refuse(z)

    def render(self, context: CallContext, z: Z, references: Sequence[ImageHandle]) -> Any:
        self.rendered.append(z)
        return self._draw(context, z, references)


@dataclass(frozen=True)
class FakeSkill:
    name: str
    summary: str = "a skill"
    guide: str = "Word the prompt well."
    expects: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()


def plain_picture(context: CallContext, z: Z, references: Sequence[ImageHandle]) -> Rendering:
    colour = tuple(bytes.fromhex(z.digest[:6]))
    return Rendering(Image.new("RGB", (16, 12), colour), ("one colour only",))


def handle(path: Path, colour: str = "red", **fields: Any) -> ImageHandle:
    """A small PNG on disk and its handle."""
    if not path.exists():
        Image.new("RGB", (8, 6), colour).save(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ImageHandle(str(path), digest, 8, 6, **fields)


def signature(name: str, *types: Type, returns: Type = Type.TEXT, cost: int = 1, **options: Any) -> Signature:
    """A signature with parameters `a`, `b`, …"""
    names = "abcdefgh"
    return Signature(
        name, tuple(Parameter(names[i], t) for i, t in enumerate(types)), returns, cost=cost, **options
    )


class World:
    """The built-in tools over a folder of generated pictures, all counted."""

    def __init__(self, folder: Path, found: int = 5) -> None:
        self.folder = folder
        self.found = found
        self.search = FakeTool(builtins.SEARCH, self._search)
        self.image_search = FakeTool(builtins.IMAGE_SEARCH, self._image_search)
        self.image = FakeTool(builtins.IMAGE, self._image)
        self.pick = FakeTool(builtins.PICK, lambda _, images, criterion: images.items[0])
        self.ask = FakeTool(builtins.ASK, lambda _, evidence, question: evidence.snippets[0].text)

    @property
    def tools(self) -> list[FakeTool]:
        return [self.search, self.image_search, self.image, self.pick, self.ask]

    def machine(self, *extra: FakeTool, **options: Any) -> Machine:
        replaced = {t.signature.name for t in extra}
        tools = [t for t in self.tools if t.signature.name not in replaced]
        options.setdefault("retry", QUICK)
        options.setdefault("secrets", ())
        return Machine([*tools, *extra], **options)

    def _search(self, _: CallContext, *queries: str, top_k: int) -> Evidence:
        return Evidence(
            tuple(
                Snippet(f"fact {i} on {q}", q, f"{q}.md", 1.0 / (i + 1))
                for q in queries
                for i in range(top_k)
            )
        )

    def _image_search(self, _: CallContext, query: str, top_k: int) -> Images:
        count = min(top_k, self.found)
        stem = hashlib.sha256(query.encode()).hexdigest()[:8]
        return Images(
            tuple(
                handle(
                    self.folder / f"{stem}-{i}.png",
                    f"#{stem[:6]}",
                    id=f"IMG_{i + 1:03}",
                    title=f"{query} {i}",
                )
                for i in range(count)
            )
        )

    def _image(self, _: CallContext, path: str) -> ImageHandle:
        file = self.folder / path
        if not file.exists():
            raise AuthorError(f"there is no image file {path!r}", code="GP413")
        return handle(file, source=path)


def checked(text: str, environment: Environment) -> Checked:
    """Parse and check; the text must be right."""
    return check(parse(Source(text, "test.gprog")), environment)


def run(machine: Machine, text: str, parameters: Mapping[str, object] | None = None, **options: Any) -> Any:
    """Check and run a text on a machine, blocking."""
    limits = options.pop("limits", {})
    return machine.run_sync(checked(text, machine.environment(**limits)), parameters, **options)
