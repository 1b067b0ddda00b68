"""Image requests as typed programs.

    import genevolve

    program = genevolve.Program.load("poster.gprog")
    run = program.run(title="ROME")
    run.image.save("poster.png")

Names are loaded when they are first used: `import genevolve` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genevolve.experience_store.bundle import Bundle
    from genevolve.experience_store.experience import Experience
    from genevolve.experience_store.store import ExperienceStore
    from genevolve.grammar.errors import (
        AuthorError,
        Cancelled,
        ConfigurationError,
        GenevolveError,
        OperatorError,
        ProgramError,
        RunError,
        ServiceError,
        StorageError,
    )
    from genevolve.grammar.z import Z
    from genevolve.interpreter.config import Config, load_config
    from genevolve.interpreter.machine import Machine
    from genevolve.interpreter.png import extract
    from genevolve.interpreter.replay import replay
    from genevolve.interpreter.run import Run
    from genevolve.interpreter.tools.function_tool import tool
    from genevolve.interpreter.values import Evidence, ImageHandle, Images, SizeValue, Snippet
    from genevolve.optimizer.compiling.run import Compiled, compile
    from genevolve.programs.program import Program
    from genevolve.programs.session import open_environment, open_machine

_HOMES = {
    "experience_store.bundle": ("Bundle",),
    "experience_store.experience": ("Experience",),
    "experience_store.store": ("ExperienceStore",),
    "grammar.errors": (
        "AuthorError",
        "Cancelled",
        "ConfigurationError",
        "GenevolveError",
        "OperatorError",
        "ProgramError",
        "RunError",
        "ServiceError",
        "StorageError",
    ),
    "grammar.z": ("Z",),
    "interpreter.config": ("Config", "load_config"),
    "interpreter.machine": ("Machine",),
    "interpreter.png": ("extract",),
    "interpreter.replay": ("replay",),
    "interpreter.run": ("Run",),
    "interpreter.tools.function_tool": ("tool",),
    "interpreter.values": ("Evidence", "ImageHandle", "Images", "SizeValue", "Snippet"),
    "optimizer.compiling.run": ("Compiled", "compile"),
    "programs.program": ("Program",),
    "programs.session": ("open_environment", "open_machine"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AuthorError",
    "Bundle",
    "Cancelled",
    "Compiled",
    "Config",
    "ConfigurationError",
    "Evidence",
    "Experience",
    "ExperienceStore",
    "GenevolveError",
    "ImageHandle",
    "Images",
    "Machine",
    "OperatorError",
    "Program",
    "ProgramError",
    "Run",
    "RunError",
    "ServiceError",
    "SizeValue",
    "Snippet",
    "StorageError",
    "Z",
    "compile",
    "extract",
    "load_config",
    "open_environment",
    "open_machine",
    "replay",
    "tool",
]

# In a checkout, Python started from the repository's root finds this folder before the installed package; the
# layers then lie beside it, not inside it. Both ways of importing must see the same package.
_beside = _Path(__file__).resolve().parent.parent
if not (_Path(__file__).parent / "grammar").is_dir() and (_beside / "grammar" / "gprog.lark").is_file():
    __path__.append(str(_beside))


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'genevolve' has no attribute {name!r}")
    return getattr(import_module(f"genevolve.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
