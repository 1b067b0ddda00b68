"""Opens a policy by its spec."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genevolve.programs.policies.protocol import Policy

if TYPE_CHECKING:
    from genevolve.interpreter.config import Config


def open_policy(spec: str, config: Config | None = None) -> Policy:
    """The policy that a spec names: `local:…`, `smollm2`, `endpoint:…`, `released:…`, `scripted:…`.

    Raises:
        ConfigurationError: There is no such policy, or it cannot be opened.
    """
    raise NotImplementedError
