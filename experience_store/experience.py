"""An experience: a bundle with all that it was made of, named by the hash of its content."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from genevolve.experience_store.bundle import Bundle
from genevolve.experience_store.strictly import (
    flag,
    mapping,
    number,
    optional_number,
    optional_text,
    text,
    texts,
    whole,
)
from genevolve.grammar.errors import AuthorError

SCHEMA = 1
"""Version of the plain form of an experience."""


@dataclass(frozen=True, slots=True)
class RewardParts:
    """A reward with all that it was made of. Parts that a judge did not give are None.

    Attributes:
        total: R = (1 − α)·image + α·text, as the optimizer used it.
        image: The image reward (KScore), 0 to 1.
        text: The text reward, 0 to 1.
        faithfulness, visual_correctness, text_accuracy, aesthetics: The four dimensions of the image reward.
        text_accuracy_na: True when no text was asked for.
        scoring: How the dimensions were weighted: "paper" or "release".
    """

    total: float
    image: float | None = None
    text: float | None = None
    faithfulness: float | None = None
    visual_correctness: float | None = None
    text_accuracy: float | None = None
    aesthetics: float | None = None
    text_accuracy_na: bool = False
    scoring: str = "paper"

    def to_dict(self) -> dict[str, object]:
        """Plain JSON data."""
        return {name: getattr(self, name) for name in _REWARD}

    @classmethod
    def from_dict(cls, data: object, where: str = "reward") -> RewardParts:
        """The reward of plain data. Raises `AuthorError`."""
        d = mapping(data, where, required=("total",), optional=_REWARD)
        parts = {name: optional_number(d.get(name), f"{where}.{name}") for name in _PARTS}
        return cls(
            number(d["total"], f"{where}.total"),
            **parts,
            text_accuracy_na=flag(d.get("text_accuracy_na", False), f"{where}.text_accuracy_na"),
            scoring=text(d.get("scoring", "paper"), f"{where}.scoring"),
        )


_PARTS = ("image", "text", "faithfulness", "visual_correctness", "text_accuracy", "aesthetics")
_REWARD = ("total", *_PARTS, "text_accuracy_na", "scoring")


@dataclass(frozen=True, slots=True)
class ProgramRecord:
    """One of the two programs that were compared.

    Attributes:
        text: The program.
        digest: SHA-256 of its formatted text in hex (`Program.digest`).
        reward: What it earned.
        observations: Digest of all that its calls observed, "" when it called nothing.
        picture: Path of its picture, None when it made none.
        protocol_error: Why it broke the protocol (a missing reference, no final answer), None when it did not.
    """

    text: str
    digest: str
    reward: RewardParts
    observations: str = ""
    picture: str | None = None
    protocol_error: str | None = None

    @classmethod
    def of(
        cls,
        text: str,
        reward: RewardParts,
        *,
        observations: str = "",
        picture: str | None = None,
        protocol_error: str | None = None,
    ) -> ProgramRecord:
        """A record of a program's text; the digest is computed."""
        return cls(text, program_digest(text), reward, observations, picture, protocol_error)

    def to_dict(self) -> dict[str, object]:
        """Plain JSON data."""
        return {
            "text": self.text,
            "digest": self.digest,
            "reward": self.reward.to_dict(),
            "observations": self.observations,
            "picture": self.picture,
            "protocol_error": self.protocol_error,
        }

    @classmethod
    def from_dict(cls, data: object, where: str = "program") -> ProgramRecord:
        """The record of plain data. Raises `AuthorError`."""
        d = mapping(
            data,
            where,
            required=("text", "digest", "reward"),
            optional=("observations", "picture", "protocol_error"),
        )
        return cls(
            text(d["text"], f"{where}.text"),
            text(d["digest"], f"{where}.digest"),
            RewardParts.from_dict(d["reward"], f"{where}.reward"),
            text(d.get("observations", ""), f"{where}.observations"),
            optional_text(d.get("picture"), f"{where}.picture"),
            optional_text(d.get("protocol_error"), f"{where}.protocol_error"),
        )


@dataclass(frozen=True)
class Experience:
    """What one comparison of two trajectories taught.

    Attributes:
        request: The request that both answered.
        bundle: The advice.
        best, worst: The two programs.
        gap: `best.reward.total - worst.reward.total`.
        category: The request's category, "" when unknown.
        skills: The skills that the best program used.
        judge, policy, embedder: Names with versions. `embedder` is what the store of origin used; it may be "".
        step: The training step.
        created: When, in seconds since 1970 (UTC).
        facts: What the evidence said, briefly: its proper nouns must not stand in the advice.
    """

    request: str
    bundle: Bundle
    best: ProgramRecord
    worst: ProgramRecord
    gap: float
    category: str = ""
    skills: tuple[str, ...] = ()
    judge: str = ""
    policy: str = ""
    embedder: str = ""
    step: int = 0
    created: float = 0.0
    facts: tuple[str, ...] = ()

    @cached_property
    def id(self) -> str:
        """SHA-256 of the canonical JSON of everything but the embedder, in hex: 64 characters.

        The embedder is left out, so that an experience keeps its name when a store changes its model.
        """
        data = self.to_dict()
        del data["embedder"]
        return hashlib.sha256(canonical(data).encode()).hexdigest()

    def to_dict(self) -> dict[str, object]:
        """Plain JSON data, without the id (which follows from it)."""
        return {
            "schema": SCHEMA,
            "request": self.request,
            "bundle": self.bundle.to_dict(),
            "best": self.best.to_dict(),
            "worst": self.worst.to_dict(),
            "gap": self.gap,
            "category": self.category,
            "skills": list(self.skills),
            "judge": self.judge,
            "policy": self.policy,
            "embedder": self.embedder,
            "step": self.step,
            "created": self.created,
            "facts": list(self.facts),
        }

    @classmethod
    def from_dict(cls, data: object) -> Experience:
        """The experience of plain data; an "id" in it must be the right one.

        Raises:
            AuthorError: something is missing, unknown, of the wrong kind, or the id does not fit the content.
        """
        names = ("request", "bundle", "best", "worst", "gap")
        more = (*_TEXTS, "schema", "id", "skills", "step", "created", "facts")
        d = mapping(data, "experience", required=names, optional=more)
        if d.get("schema", SCHEMA) != SCHEMA:
            raise AuthorError(f"experience.schema is {d['schema']!r}; this version reads schema {SCHEMA}")
        found = cls(
            text(d["request"], "experience.request"),
            Bundle.from_dict(d["bundle"]),
            ProgramRecord.from_dict(d["best"], "experience.best"),
            ProgramRecord.from_dict(d["worst"], "experience.worst"),
            number(d["gap"], "experience.gap"),
            skills=texts(d.get("skills", ()), "experience.skills"),
            step=whole(d.get("step", 0), "experience.step"),
            created=number(d.get("created", 0.0), "experience.created"),
            facts=texts(d.get("facts", ()), "experience.facts"),
            **{name: text(d.get(name, ""), f"experience.{name}") for name in _TEXTS},
        )
        if d.get("id", found.id) != found.id:
            raise AuthorError("experience.id does not fit the content: it was changed, or damaged")
        return found


_TEXTS = ("category", "judge", "policy", "embedder")


def canonical(data: object) -> str:
    """JSON with sorted keys and no spaces: equal data gives equal text."""
    return json.dumps(data, ensure_ascii=True, sort_keys=True, separators=(",", ":"))


class Reading(NamedTuple):
    """What a program's text is.

    Attributes:
        digest: SHA-256 of the formatted text in hex; of the text itself when that is broken.
        statements: Kinds of its statements; None when it does not parse.
    """

    digest: str
    statements: frozenset[type] | None


@lru_cache(maxsize=8)  # the rules of admission read both programs several times
def read_program(source: str) -> Reading:
    """Parse a program's text.

    Raises:
        AuthorError: the text holds half a character, so that it has no bytes to hash.
    """
    from genevolve.grammar.formatter import format_tree
    from genevolve.grammar.parser import parse
    from genevolve.grammar.span import Source

    text(source, "program.text")
    parsed = parse(Source(source, "<experience>"))
    broken = any(d.severity.name == "ERROR" for d in parsed.diagnostics)
    shown = source if broken else format_tree(parsed.tree)
    kinds = None if broken else frozenset(type(s) for s in parsed.tree.statements)
    return Reading(hashlib.sha256(shown.encode()).hexdigest(), kinds)


def program_digest(source: str) -> str:
    """SHA-256 of a program's formatted text in hex, as `Program.digest`; of the text itself when that is broken.

    Raises:
        AuthorError: the text holds half a character, so that it has no bytes to hash.
    """
    return read_program(source).digest
