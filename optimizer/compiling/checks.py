"""What would end a run only after its cold start, asked before anything is made."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from genevolve.grammar.errors import ConfigurationError

if TYPE_CHECKING:
    from genevolve.optimizer.compiling.settings import CompileSettings

_TRACKERS = {"trackio": ("trackio",), "tensorboard": ("tensorboard", "tensorboardX"), "wandb": ("wandb",)}
"""The packages with one of which a tracker works."""
ROOM = 200
"""Tokens of a turn below which constrained decoding hurries: it keeps 130 to 150 back, to end from anywhere."""


def check_machine(settings: CompileSettings) -> None:
    """Whether this process and what is installed can do what the settings ask for.

    Raises:
        ConfigurationError: A tracker or the embedding model is missing, this is one of several processes, or several
            GPUs are visible.
    """
    from genevolve.optimizer.training import check_alone

    check_alone()
    for name in settings.training.report_to:
        if not any(importlib.util.find_spec(package) for package in _TRACKERS[name]):
            raise ConfigurationError(
                f"{name} is not installed, which training.report_to names: pip install {name}"
            )
    _check_embedder(settings)


def notes(settings: CompileSettings) -> tuple[tuple[str, str], ...]:
    """What the settings mean and may surprise, for the plan."""
    found = []
    if settings.limits.kl and not settings.distillation.kl_weight:
        found.append(
            (
                "note",
                "limits.kl stops nothing: with distillation.kl_weight = 0 no divergence is computed",
            )
        )
    if settings.rollouts.turn_tokens < ROOM:
        found.append(
            (
                "note",
                f"rollouts.turn_tokens = {settings.rollouts.turn_tokens} leaves constrained policies little to choose: "
                f"below about {ROOM} tokens every statement is cut short, so that the turn still ends in time",
            )
        )
    return tuple(found)


def _check_embedder(settings: CompileSettings) -> None:
    from genevolve.experience_store.space import Space

    if settings.memory.enabled and Space(settings.memory.embedder).name is None:
        raise ConfigurationError(
            "memory.enabled needs an embedding model: pip install 'genevolve[embeddings]', or name one with "
            "memory.embedder; --set memory.enabled=false learns by reward alone"
        )
