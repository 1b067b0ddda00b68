"""The experience bundle: what the best of several trajectories did that the worst did not, as short advice.

    from genevolve.experience_store.bundle import Bundle, Bullet, Guidance, RetrievalKey

    bundle = Bundle(
        RetrievalKey("posters with a quoted title", "A poster with one line of lettering over a landmark."),
        Guidance(focus=(Bullet("Quote every word that must be legible and say where on the page it stands."),)),
    )

Shapes only. Whether a bundle is good enough to be kept is decided in `admission`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from genevolve.experience_store.strictly import items, mapping, text
from genevolve.grammar.errors import AuthorError

STANDARD = "Standard:"
"""How a bullet begins, as text, that states what best and worst did alike."""

SLOTS: Mapping[str, str] = {
    "S1": "search_strategy",
    "S2": "knowledge_activation",
    "S3": "reference_selection",
    "S4": "prompt_construction",
    "S5": "failure_avoidance",
}

FIELD_SLOTS: Mapping[str, str] = {
    "focus": "S4",
    "recommended_tool_plan": "S1",
    "search_query_guidance": "S1",
    "skill_routing_guidance": "S2",
    "reference_selection_guidance": "S3",
    "prompt_program_guidance": "S4",
    "failure_guards": "S5",
}
"""Which slot each field of the guidance speaks to, in the order in which a teacher reads the fields."""


@dataclass(frozen=True, slots=True)
class Bullet:
    """One piece of advice.

    Attributes:
        text: The advice, without the mark.
        standard: True where best and worst did the same: the bullet states the best's behaviour.
    """

    text: str
    standard: bool = False

    def __str__(self) -> str:
        return f"{STANDARD} {self.text}" if self.standard else self.text

    @classmethod
    def parse(cls, written: str) -> Bullet:
        """A bullet from its text, with or without the mark. Spaces around it are dropped."""
        written = written.strip()
        if written.startswith(STANDARD):
            return cls(written.removeprefix(STANDARD).strip(), True)
        return cls(written)


@dataclass(frozen=True, slots=True)
class RetrievalKey:
    """What the experience is about: when it applies, and the request in a sentence."""

    trigger: str
    source_prompt_summary: str


@dataclass(frozen=True, slots=True)
class Guidance:
    """The seven fields of the decision guidance, each a tuple of bullets."""

    focus: tuple[Bullet, ...] = ()
    recommended_tool_plan: tuple[Bullet, ...] = ()
    search_query_guidance: tuple[Bullet, ...] = ()
    skill_routing_guidance: tuple[Bullet, ...] = ()
    reference_selection_guidance: tuple[Bullet, ...] = ()
    prompt_program_guidance: tuple[Bullet, ...] = ()
    failure_guards: tuple[Bullet, ...] = ()

    def __iter__(self) -> Iterator[tuple[str, tuple[Bullet, ...]]]:
        """Names of the fields with their bullets, in the order in which they are read."""
        for field in fields(self):
            yield field.name, getattr(self, field.name)

    def bullets(self) -> Iterator[tuple[str, Bullet]]:
        """Every bullet with the name of its field."""
        for name, found in self:
            for bullet in found:
                yield name, bullet


@dataclass(frozen=True, slots=True)
class Bundle:
    """A retrieval key and the guidance that is taken, whole, when the key is met."""

    retrieval_key: RetrievalKey
    guidance: Guidance

    def slot(self, slot: str) -> tuple[Bullet, ...]:
        """The bullets of a slot, by its short or its long name ("S3", "reference_selection").

        Raises:
            KeyError: there is no such slot.
        """
        short = slot_id(slot)
        return tuple(b for name, b in self.guidance.bullets() if FIELD_SLOTS[name] == short)

    @property
    def slots(self) -> tuple[str, ...]:
        """The short names of the slots in which best and worst differ."""
        found = {FIELD_SLOTS[name] for name, b in self.guidance.bullets() if not b.standard}
        return tuple(s for s in SLOTS if s in found)

    def to_dict(self) -> dict[str, dict[str, object]]:
        """Plain JSON data; marks are written into the bullets as `Standard: …`."""
        return {
            "retrieval_key": {
                "trigger": self.retrieval_key.trigger,
                "source_prompt_summary": self.retrieval_key.source_prompt_summary,
            },
            "decision_guidance": {name: [str(b) for b in found] for name, found in self.guidance},
        }

    @classmethod
    def from_dict(cls, data: object) -> Bundle:
        """The bundle of plain data.

        Raises:
            AuthorError: something is missing, unknown or of the wrong kind; the message names the place.
        """
        top = mapping(data, "bundle", required=("retrieval_key", "decision_guidance"))
        key = mapping(
            top["retrieval_key"], "bundle.retrieval_key", required=("trigger", "source_prompt_summary")
        )
        names = tuple(FIELD_SLOTS)
        where = "bundle.decision_guidance"
        guidance = mapping(top["decision_guidance"], where, required=names)
        parts = {name: _bullets(guidance[name], f"{where}.{name}") for name in names}
        trigger = text(key["trigger"], "bundle.retrieval_key.trigger")
        summary = text(key["source_prompt_summary"], "bundle.retrieval_key.source_prompt_summary")
        return cls(RetrievalKey(trigger, summary), Guidance(**parts))


def slot_id(slot: str) -> str:
    """The short name of a slot. Raises `KeyError` when there is no such slot."""
    for short, long in SLOTS.items():
        if slot.lower() in (short.lower(), long):
            return short
    raise KeyError(slot)


def _bullets(data: object, where: str) -> tuple[Bullet, ...]:
    found = tuple(Bullet.parse(text(b, f"{where}[{i}]")) for i, b in enumerate(items(data, where)))
    if any(b.text.startswith(STANDARD) for b in found):
        raise AuthorError(f"{where}: a bullet is marked {STANDARD!r} twice")
    return found
