"""Renderers by name: `storyboard`, `diffusers:FOLDER?device=cpu`, and those that other packages bring.

A package adds a renderer with an entry point in the group `genevolve.renderers`: a function or class that
takes the text after the colon ("" without one) and returns a renderer.


    [project.entry-points."genevolve.renderers"]
    mine = "my_package:make_renderer"
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.protocols import Renderer

GROUP = "genevolve.renderers"


def open_renderer(spec: str) -> Renderer:
    """The renderer that a spec names; nothing heavy is loaded yet.

    Args:
        spec: `NAME` or `NAME:ARGUMENT`, as on the command line after `--renderer`.

    Raises:
        ConfigurationError: for an unknown name, a malformed argument, or a renderer that cannot be
            imported or made.
    """
    name, _, argument = spec.strip().partition(":")
    if name in _BUILT_IN:
        return _BUILT_IN[name](argument)
    found = _entry_points().get(name)
    if not found:
        raise ConfigurationError(_unknown(name, spec))
    if len(found) > 1:
        packages = ", ".join(sorted(_package(point) for point in found))
        raise ConfigurationError(f"several packages bring a renderer named {name!r}: {packages}")
    return _made(found[0], argument)


def renderer_names() -> tuple[str, ...]:
    """All names that `open_renderer` knows, built in ones first."""
    return (*_BUILT_IN, *sorted(set(_entry_points()) - set(_BUILT_IN)))


def _storyboard(argument: str) -> Renderer:
    if argument:
        raise ConfigurationError(f"the storyboard renderer takes nothing after its name, not {argument!r}")
    from genevolve.interpreter.renderers.storyboard import StoryboardRenderer

    return StoryboardRenderer()


def _diffusers(argument: str) -> Renderer:
    from genevolve.interpreter.renderers.diffusers import DiffusersRenderer, Options

    if not argument:
        raise ConfigurationError(
            "diffusers needs a pipeline folder or a hub id, as in diffusers:Qwen/Qwen-Image-Edit-2511"
        )
    location, mark, query = argument.rpartition("?")
    if not mark or Path(argument).expanduser().exists():  # a folder may have a question mark in its name
        return DiffusersRenderer(argument)
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise ConfigurationError(
            f"options of a renderer are written name=value and joined by &, not {query!r}"
        ) from None
    options = dict(pairs)
    if len(options) < len(pairs):
        raise ConfigurationError(f"an option of the renderer is given twice in {query!r}")
    return DiffusersRenderer(location, Options.parse(options))


_BUILT_IN: dict[str, Callable[[str], Renderer]] = {"storyboard": _storyboard, "diffusers": _diffusers}


def _entry_points() -> dict[str, list[metadata.EntryPoint]]:
    found: dict[str, list[metadata.EntryPoint]] = {}
    for point in metadata.entry_points(group=GROUP):
        found.setdefault(point.name, []).append(point)
    return found


def _made(point: metadata.EntryPoint, argument: str) -> Renderer:
    origin = f"the renderer {point.name!r} of {_package(point)}"
    try:
        make: Any = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{origin} cannot be imported: {error}") from error
    try:
        made = make(argument)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{origin} cannot be made with {argument!r}: {error}") from error
    if not isinstance(made, Renderer):
        raise ConfigurationError(f"{origin} is not a renderer: it lacks name, version, refusals or render")
    return made


def _package(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _unknown(name: str, spec: str) -> str:
    names = renderer_names()
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"there is no renderer {name!r}; did you mean {close[0]!r}?"
    if spec and Path(spec).expanduser().is_dir():
        return f"there is no renderer {spec!r}; a pipeline folder is written diffusers:{spec}"
    return f"there is no renderer {name!r}; there are {', '.join(names)}"
