"""Policies that need no model: what everything else must beat.

- `bare`: the request itself is the prompt.
- `template`: one fixed frame around the request, the same for every request: a full view, even light, all guards.
- `everything`: as `template`, with every skill used and every piece of advice in the prompt: the kitchen sink.
- `constant`: the same picture for every request.
- `blind:SPEC`: any other policy, with what its calls showed kept from it.

None of them is good; a judge or a generator that they could please would reward a trick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from genevolve.grammar.strings import quote
from genevolve.interpreter.studio.wants import SKILLS
from genevolve.programs.policies.oracle import request_text
from genevolve.programs.policies.protocol import Dialogue, Emission, Limits, Policy, Role, Stop

if TYPE_CHECKING:
    from genevolve.interpreter.config import Config

_FRAME = (
    "A square eye-level view of one clear scene. {request} Every thing stands alone in its own place, whole, with a "
    "margin around it, nothing overlaps. All lettering is printed on a plain white board across the picture, in large "
    "black capitals, spelled exactly as quoted."
)
_ADVICE = (
    "Exactly the stated number of things stand in one straight row, evenly spaced, none overlapping. Each thing keeps "
    "its own colour; colours do not mix. Each creature has all its legs, seen from the side, none hidden. Each "
    "material shows its surface, and each thing casts a shadow on the ground. The light is clear and comes from the "
    "upper left, with soft shadows. The first thing stands on the left side, the second on the right side."
)
_CONSTANT = "A square eye-level view with plain ground as the background. One red star stands in the centre."
_AVOID = "blurred edges, clutter, extra objects, misspelled words"
NAMES = ("bare", "template", "everything", "constant", "blind:SPEC")


class Baseline:
    """A policy whose program depends on the request alone."""

    takes_images = False
    constrained = False
    version = "1"

    def __init__(self, name: str) -> None:
        self.name = name

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        """The next turn of each dialogue."""
        return [self._turn(d) for d in dialogues]

    def release(self, ids: Sequence[str]) -> None:
        """There is nothing to forget."""

    def close(self) -> None:
        """There is nothing to free."""

    def _turn(self, dialogue: Dialogue) -> Emission:
        request = request_text(dialogue)
        if not request:
            return Emission("", Stop.FAILED, error="the request of the sketch cannot be read")
        skills = SKILLS if self.name == "everything" else ()
        if dialogue.turn < len(skills):
            return Emission(f"use skill {skills[dialogue.turn]}\n")
        if self.name == "bare":
            return Emission(f"prompt {quote(request)}\n")
        text = {
            "constant": _CONSTANT,
            "template": _FRAME.format(request=request),
            "everything": f"{_FRAME.format(request=request)} {_ADVICE}",
        }[self.name]
        return Emission(f"prompt {quote(text)}\navoid {quote(_AVOID)}\n")


class Blind:
    """A policy that sees the request and its own turns, and nothing that its calls showed."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.name = f"blind:{policy.name}"
        self.version = f"blind-1:{policy.version}"
        self.takes_images = False
        self.constrained = policy.constrained

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        """What the policy writes when every message after the opening one is empty."""
        return self._policy.act([_blinded(d) for d in dialogues], limits)

    def release(self, ids: Sequence[str]) -> None:
        """Forget these dialogues."""
        self._policy.release(ids)

    def close(self) -> None:
        """Free what the policy holds."""
        self._policy.close()


def open_contestant(spec: str, config: Config | None = None) -> Policy:
    """A baseline, or the policy that a spec names.

    Raises:
        ConfigurationError: There is none of that name, or it cannot be opened.
    """
    from genevolve.programs.policies.catalog import open_policy

    if spec in NAMES:
        return Baseline(spec)
    name, _, rest = spec.partition(":")
    if name == "blind" and rest:
        return Blind(open_contestant(rest, config))
    return open_policy(spec, config)


def _blinded(dialogue: Dialogue) -> Dialogue:
    opened = False
    messages = []
    for message in dialogue.messages:
        if message.role is Role.USER and opened:
            message = replace(message, text="Go on.", images=())
        opened = opened or message.role is Role.USER
        messages.append(message)
    return replace(dialogue, messages=tuple(messages))
