"""Tools that other installed packages bring.

A package offers a tool with an entry point in the group `genevolve.tools`, named as programs call the tool. It stands
for what `@genevolve.tool` made, or for a class of a `Tool` that takes no arguments.

    [project.entry-points."genevolve.tools"]
    palette = "my_package.tools:palette"

A package that is broken breaks no program but those that call its tool, and these are told why it is not there.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from genevolve.grammar.errors import GenevolveError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from genevolve.interpreter.protocols import Tool

GROUP = "genevolve.tools"


class InstalledTools(NamedTuple):
    """The tools that could be loaded; and why others could not, by the name that programs would use."""

    tools: tuple[Tool, ...]
    absent: dict[str, str]


def installed_tools(taken: Collection[str] = ()) -> InstalledTools:
    """Load the tools of all installed packages.

    Args:
        taken: Names that a package cannot use: those of predicates and built-in tools.
    """
    tools: list[Tool] = []
    absent: dict[str, str] = {}
    if not any(_offers_tools(folder, _changed(folder)) for folder in sys.path):
        return InstalledTools((), absent)
    for name, points in _entry_points().items():
        packages = ", ".join(sorted({_package(point) for point in points}))
        if name in taken:
            absent[name] = f"the tool {name!r} of {packages} cannot be used: that name is built in"
        elif len(points) > 1:
            absent[name] = f"several packages bring a tool {name!r}: {packages}; uninstall all but one"
        else:
            loaded = _loaded(points[0], f"the package {packages} brings {name!r}")
            if isinstance(loaded, str):
                absent[name] = loaded
            else:
                tools.append(loaded)
    return InstalledTools(tuple(tools), absent)


def _loaded(point: EntryPoint, offer: str) -> Tool | str:
    """The tool, or a sentence that says why there is none."""
    from genevolve.interpreter.protocols import Tool

    try:
        found: object = point.load()
        made = found() if isinstance(found, type) else found
        tool = made if isinstance(made, Tool) else None
        name = tool.signature.name if tool is not None else ""
    except (Exception, SystemExit) as error:  # other people's code: whatever it raises is told, not passed on
        return f"{offer}, but loading it fails with {_said(error)}"
    if tool is None:
        return f"{offer}, but {point.value} is no tool; is '@genevolve.tool' missing?"
    if name != point.name:
        return f"{offer}, but the tool calls itself {name!r}; the entry point needs the same name"
    return tool


def _said(error: BaseException) -> str:
    said = str(error) if isinstance(error, (GenevolveError, ImportError, AttributeError, OSError)) else ""
    return f"{type(error).__name__}: {' '.join(said.split())[:300]}" if said else type(error).__name__


def _entry_points() -> dict[str, list[EntryPoint]]:
    from importlib import metadata

    found: dict[str, list[EntryPoint]] = {}
    for point in metadata.entry_points(group=GROUP):
        found.setdefault(point.name, []).append(point)
    return found


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _changed(folder: str) -> int:
    try:
        return Path(folder or ".").stat().st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(maxsize=64)
def _offers_tools(folder: str, _changed: int) -> bool:
    """Whether a package in a folder of `sys.path` names the group.

    `importlib.metadata` would answer the same after reading the metadata of every package, which costs more than
    checking a program does.
    """
    try:
        with os.scandir(folder or ".") as entries:
            infos = [e.path for e in entries if e.name.endswith((".dist-info", ".egg-info"))]
    except OSError:
        return False
    for info in infos:
        try:
            if GROUP.encode() in (Path(info) / "entry_points.txt").read_bytes():
                return True
        except OSError:
            continue
    return False
