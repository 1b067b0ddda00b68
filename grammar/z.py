"""z, the prompt-reference program (METHOD: z = (g, R)): all that a renderer is given.

z is plain data. Its canonical JSON is what `replay` must reproduce byte for byte and what the PNG carries.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA = "genevolve.z/1"

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference image, in the order in which the prompt names it.

    `ordinal` starts at 1. `sha256` is of the file's bytes; `source` tells where it came from (a path inside
    the library, a URL); `note` is what to copy from it.
    """

    ordinal: int
    name: str
    note: str
    sha256: str
    id: str = ""
    title: str = ""
    source: str = ""
    media_type: str = "image/png"


@dataclass(frozen=True, slots=True)
class Constraint:
    """Something the picture must hold: a predicate with evaluated arguments.

    `kind` is the predicate's name; `arguments` maps its parameter names to values (for `count`: `what`,
    `operator`, `n`; for `resembles`: `ref`, the 1-based ordinal).
    """

    kind: str
    arguments: Mapping[str, Scalar]

    def __str__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in self.arguments.items())
        return f"{self.kind}({shown})"


@dataclass(frozen=True, slots=True)
class Settings:
    """How to render. None means the renderer's own default."""

    width: int = 1024
    height: int = 1024
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Z:
    """What an elaborated program says. `request` is kept so that judges and people can read it beside g."""

    request: str
    gen_prompt: str
    negative_prompt: str = ""
    reference_images: tuple[Reference, ...] = ()
    settings: Settings = field(default_factory=Settings)
    constraints: tuple[Constraint, ...] = ()
    skills: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data, with the schema's name."""
        return {
            "schema": SCHEMA,
            "request": self.request,
            "gen_prompt": self.gen_prompt,
            "negative_prompt": self.negative_prompt,
            "reference_images": [
                {k: getattr(r, k) for k in Reference.__slots__} for r in self.reference_images
            ],
            "settings": {k: getattr(self.settings, k) for k in Settings.__slots__},
            "constraints": [{"kind": c.kind, "arguments": dict(c.arguments)} for c in self.constraints],
            "skills": list(self.skills),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Z:
        """The inverse of `to_dict`; raises `ValueError` when the data is not a z of a known schema."""
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
            raise ValueError(f"this is not a z of schema {SCHEMA}")
        try:
            return cls(
                request=_text(data["request"]),
                gen_prompt=_text(data["gen_prompt"]),
                negative_prompt=_text(data["negative_prompt"]),
                reference_images=tuple(_reference(r) for r in data["reference_images"]),
                settings=_settings(data["settings"]),
                constraints=tuple(_constraint(c) for c in data["constraints"]),
                skills=tuple(_text(s) for s in data["skills"]),
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"this z is malformed: {error}") from error

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces, UTF-8 characters as they are, one trailing line break."""
        return json.dumps(self.to_dict(), ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value


def _number(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"expected a finite number, found {value!r:.40}")
    return value


def _whole(value: object) -> int:
    number = _number(value)
    if not isinstance(number, int):
        raise TypeError(f"expected a whole number, found {value!r:.40}")
    return number


def _reference(data: Mapping[str, Any]) -> Reference:
    texts = {key: _text(value) for key, value in data.items() if key != "ordinal"}
    return Reference(ordinal=_whole(data["ordinal"]), **texts)


def _settings(data: Mapping[str, Any]) -> Settings:
    return Settings(
        width=_whole(data["width"]),
        height=_whole(data["height"]),
        steps=None if data["steps"] is None else _whole(data["steps"]),
        guidance=None if data["guidance"] is None else _number(data["guidance"]),
        seed=_whole(data["seed"]),
    )


def _constraint(data: Mapping[str, Any]) -> Constraint:
    arguments = {
        _text(k): v if isinstance(v, str | bool) else _number(v) for k, v in data["arguments"].items()
    }
    return Constraint(_text(data["kind"]), arguments)
