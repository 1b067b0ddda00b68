"""DSPy modules that write, abstract and judge programs. Importing this package does not import DSPy; its names do.

from genevolve.programs.modules import ProgramAgent, ProgramWriter, ExperienceAbstractor, ProgramJudge, LocalLM
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "ProgramAgent": "agent",
    "ProgramWriter": "writer",
    "ExperienceAbstractor": "abstractor",
    "ProgramJudge": "judge",
    "GprogAdapter": "adapter",
    "LocalLM": "local_lm",
    "ProgramReward": "metric",
    "bootstrap": "optimize",
    "evolve": "optimize",
    "save_module": "state",
    "load_module": "state",
    "Gprog": "fields",
    "GprogTurn": "fields",
}

__all__ = [*_HOMES]  # noqa: PLE0604  # names of the table, all texts


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from genevolve.programs.modules.bridge import load_dspy

    load_dspy()
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
