"""Renderers by name: `storyboard`, `diffusers:FOLDER?device=cpu`, `studio`, services, those that other packages bring.

`studio:count=0.3,side=768` is the simulated generator with other rates. Services are
`qwen-service:http://host:8001`, `gemini[:model]`, `openai:model` and `comfyui:workflow.json`.

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
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.protocols import Renderer

if TYPE_CHECKING:
    from genevolve.interpreter.config import Config
    from genevolve.interpreter.renderers.remote.common import Remote
    from genevolve.interpreter.renderers.remote.openai_images import Fetch

GROUP = "genevolve.renderers"


def open_renderer(spec: str, config: Config | None = None) -> Renderer:
    """The renderer that a spec names; nothing heavy is loaded yet, and no service is asked.

    Args:
        spec: `NAME` or `NAME:ARGUMENT`, as on the command line after `--renderer`.
        config: Settings, keys and addresses for renderers that ask services; by default they are read as
            `load_config` reads them, when such a renderer is opened.

    Raises:
        ConfigurationError: for an unknown name, a malformed argument, a missing key, or a renderer that cannot be
            imported or made.
    """
    name, _, argument = spec.strip().partition(":")
    if name in _BUILT_IN:
        return _BUILT_IN[name](argument)
    if name in REMOTE:
        from genevolve.interpreter.config import load_config

        return REMOTE[name](argument, config if config is not None else load_config())
    found = _entry_points().get(name)
    if not found:
        raise ConfigurationError(_unknown(name, spec))
    if len(found) > 1:
        packages = ", ".join(sorted(_package(point) for point in found))
        raise ConfigurationError(f"several packages bring a renderer named {name!r}: {packages}")
    return _made(found[0], argument)


def renderer_names() -> tuple[str, ...]:
    """All names that `open_renderer` knows, built in ones first."""
    built_in = (*_BUILT_IN, *REMOTE)
    return (*built_in, *sorted(set(_entry_points()) - set(built_in)))


def _storyboard(argument: str) -> Renderer:
    if argument:
        raise ConfigurationError(f"the storyboard renderer takes nothing after its name, not {argument!r}")
    from genevolve.interpreter.renderers.storyboard import StoryboardRenderer

    return StoryboardRenderer()


def _studio(argument: str) -> Renderer:
    from genevolve.interpreter.studio.generator import SimulatedGenerator

    return SimulatedGenerator.parse(argument)


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


_BUILT_IN: dict[str, Callable[[str], Renderer]] = {
    "storyboard": _storyboard,
    "diffusers": _diffusers,
    "studio": _studio,
}


def _remote(config: Config) -> Remote:
    from genevolve.interpreter.renderers.remote.common import Remote

    render = config.render
    return Remote(render.timeout, render.retries, render.rpm, config.secrets, config.endpoints)


def _qwen_service(argument: str, config: Config) -> Renderer:
    from genevolve.interpreter.renderers.remote.qwen_service import QwenServiceRenderer

    return QwenServiceRenderer.parse(argument, _remote(config))


def _gemini(argument: str, config: Config) -> Renderer:
    from genevolve.interpreter.renderers.remote.gemini import GeminiRenderer

    return GeminiRenderer.parse(argument, _remote(config))


def _openai(argument: str, config: Config) -> Renderer:
    from genevolve.interpreter.renderers.remote.openai_images import OpenAIRenderer

    return OpenAIRenderer.parse(argument, _remote(config), _fetch_with(config))


def _comfyui(argument: str, config: Config) -> Renderer:
    from genevolve.interpreter.renderers.remote.comfyui import ComfyUIRenderer

    return ComfyUIRenderer.parse(argument, _remote(config), config.render.comfyui)


def _fetch_with(config: Config) -> Fetch:
    """Downloads by the hardened fetcher, made when the first answer is a URL."""

    async def fetch(url: str, seconds: float) -> bytes:
        from genevolve.interpreter.backends.catalog import open_fetcher

        async with open_fetcher(config) as fetcher:
            return (await fetcher.fetch_bytes(url, seconds=seconds)).data

    return fetch


REMOTE: dict[str, Callable[[str, Config], Renderer]] = {
    "qwen-service": _qwen_service,
    "gemini": _gemini,
    "openai": _openai,
    "comfyui": _comfyui,
}
"""Renderers that ask services; each has `examine`, which asks whether they are well."""


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
