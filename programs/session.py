"""From settings to a machine: which tools, skills, renderer, cache and budget programs get.

`open_environment` is what `genevolve check` needs and stays cheap: it reads settings and skills and opens nothing.
`open_machine` opens everything that running needs; it is closed by `close()` or a `with` block.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genevolve.grammar.builtins import PREDICATES, TOOLS
from genevolve.grammar.types import Environment
from genevolve.interpreter.config import Config, load_config
from genevolve.interpreter.tools.installed import InstalledTools, installed_tools
from genevolve.programs.skillbook import load_infos, load_skills

if TYPE_CHECKING:
    from genevolve.interpreter.mcp.catalog import McpTools
    from genevolve.interpreter.protocols import Renderer, Tool
    from genevolve.interpreter.tools.function_tool import FunctionTool
    from genevolve.programs.opened import OpenedMachine

# Resolved: an editable installation is a farm of links, and a library does not follow links out of its folder.
SAMPLES = Path(__file__).resolve().parent / "samples"
"""A small library of documents and photographs; searched when no folder is configured."""

LIBRARY = Path(__file__).resolve().parent / "library"
"""The example programs."""


def open_environment(
    config: Config | None = None,
    *,
    config_file: str | Path | None = None,
    flags: Mapping[str, object] | None = None,
    ask: bool = False,
) -> Environment:
    """What programs are checked against: built-in tools, tools declared in this process, skills, limits.

    Args:
        config: The settings; by default they are read as `load_config` reads them.
        config_file: The project's file, instead of searching for it.
        flags: Settings by dotted name, stronger than all others.
        ask: Whether MCP servers are asked for their tools. Otherwise none is started: their tools are those that they
            listed when a run or `genevolve doctor` last asked them.

    Raises:
        ConfigurationError: A setting or a skill is wrong.
        ServiceError: An MCP server was asked, does not answer, and what its tools are was never known.
    """
    settings = config if config is not None else load_config(file=config_file, flags=flags)
    installed = _installed()
    signatures = (*TOOLS, *(tool.signature for tool in _added(installed.tools)))
    prices = settings.prices
    absent: Mapping[str, str] = installed.absent
    if settings.mcp.servers:
        from genevolve.interpreter.mcp.catalog import known_signatures

        known, unknown = known_signatures(settings, [s.name for s in (*PREDICATES, *signatures)], ask=ask)
        signatures, absent = (*signatures, *known), {**absent, **unknown}
    priced = [replace(s, price=prices[s.name]) if s.name in prices else s for s in signatures]
    skills = load_infos(settings.skills.folders, override=settings.skills.override)
    environment = Environment({s.name: s for s in (*PREDICATES, *priced)}, skills, absent=absent)
    calls = settings.budget.calls
    return environment if calls is None else replace(environment, max_calls=calls)


def open_machine(
    config: Config | None = None,
    *,
    program_folder: Path | None = None,
    samples: bool = True,
    renderer: Renderer | None = None,
    tools: Sequence[Tool] = (),
    verbose: bool = False,
) -> OpenedMachine:
    """A machine as the settings describe it. Close it, or use it in a `with` block.

    Args:
        config: The settings; by default they are read as `load_config` reads them.
        program_folder: Where relative paths of images start, and one of the folders that `image(...)` may read;
            by default the working folder.
        samples: Whether the packaged sample library is searched when no folder is configured.
        renderer: Draws the pictures, instead of the one in the settings.
        tools: More tools, besides the built-in ones and those declared with `@genevolve.tool`.
        verbose: Whether traces keep tracebacks of failed tools.

    Raises:
        ConfigurationError: A setting, a skill, a folder or the renderer is wrong.
        ServiceError: An MCP server does not answer, and what its tools are was never known.
        StorageError: The library's index cannot be opened.
    """
    from genevolve.interpreter.renderers.catalog import open_renderer
    from genevolve.programs.opened import OpenedMachine, close_all

    settings = config if config is not None else load_config()
    skills = load_skills(settings.skills.folders, override=settings.skills.override)
    drawn_by = renderer if renderer is not None else open_renderer(settings.render.renderer, settings)
    builtin = _builtin_tools(settings, program_folder, samples=samples)
    try:
        installed = _installed()
        everything = [*builtin, *_added(installed.tools), *tools]
        absent = installed.absent
        served = _served_tools(settings, everything)
        if served is not None:
            everything += served.tools
            absent |= served.absent
        closing = () if served is None else (served,)
        return OpenedMachine(
            settings, everything, skills, drawn_by, verbose=verbose, absent=absent, closing=closing
        )
    except BaseException:
        close_all(builtin)
        raise


def image_folders(config: Config, program_folder: Path | None) -> tuple[Path, ...]:
    """Where `image(...)` may read: the program's folder, those of the settings, the packaged photographs.

    The first one is where relative paths start.
    """
    base = (program_folder if program_folder is not None else Path.cwd()).absolute()
    return tuple(dict.fromkeys((base, *config.images.allowed, SAMPLES / "images")))


def library_folders(config: Config, *, samples: bool = True) -> tuple[Path, ...]:
    """What the searches read: the folders of the settings, else the packaged samples."""
    if config.library.folders:
        return config.library.folders
    return (SAMPLES / "documents", SAMPLES / "images") if samples else ()


def _installed() -> InstalledTools:
    """The tools of other packages."""
    return installed_tools({s.name for s in (*PREDICATES, *TOOLS)})


def _added(installed: Sequence[Tool]) -> list[Tool]:
    """The tools of other packages and those declared in this process; some were declared by such a package."""
    # Nothing can be declared before the module is there, and importing it would slow `genevolve check` down.
    module = sys.modules.get("genevolve.interpreter.tools.function_tool")
    declared: tuple[FunctionTool, ...] = module.declared_tools() if module is not None else ()
    return [*installed, *(d for d in declared if not any(d is i for i in installed))]


def _served_tools(config: Config, others: Sequence[Tool]) -> McpTools | None:
    """The tools of the configured MCP servers, connected."""
    if not config.mcp.servers:
        return None
    from genevolve.interpreter.mcp.catalog import open_tools

    return open_tools(config, [*(p.name for p in PREDICATES), *(t.signature.name for t in others)])


def _builtin_tools(config: Config, program_folder: Path | None, *, samples: bool) -> list[Tool]:
    """The tools of `grammar.builtins`; without backends and without any folder there is nothing to search."""
    from genevolve.interpreter.backends.catalog import needs_backends, open_backends
    from genevolve.interpreter.library import Library
    from genevolve.interpreter.library.embedder import resolve_embedder
    from genevolve.interpreter.tools.ask import AskTool
    from genevolve.interpreter.tools.image import ImageTool
    from genevolve.interpreter.tools.image_search import ImageSearchTool
    from genevolve.interpreter.tools.pick import PickTool
    from genevolve.interpreter.tools.search import SearchTool

    embedder = resolve_embedder(config.library.embedder)
    tools: list[Tool] = [
        ImageTool(image_folders(config, program_folder)),
        PickTool(embedder),
        AskTool(embedder),
    ]
    folders = library_folders(config, samples=samples)

    def open_library() -> Library | None:
        if not folders:
            return None
        return Library.open(folders, cache_dir=config.cache.location, embedder=embedder)

    if needs_backends(config):
        from genevolve.interpreter.backends.tools import BackendImageSearchTool, BackendSearchTool

        texts, pictures = open_backends(config, open_library)
        tools += [BackendSearchTool(texts), BackendImageSearchTool(pictures)]
    elif (library := open_library()) is not None:
        tools += [SearchTool(library), ImageSearchTool(library)]
    return tools
