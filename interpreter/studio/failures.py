"""How the simulated generator fails: one table, from which the documentation is made too, and the rates.

Every failure has three rates: for a bare wording, for one that follows the guide half way, and for one that follows
it. Which of the three applies is decided by the wording alone (`levels` in the generator); nothing else helps, except
that a skill's own guard phrase in the negative prompt lowers that skill's failures a little.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from genevolve.grammar.errors import ConfigurationError

BARE, HALF, GUIDED = 0, 1, 2
LEVELS = ("bare", "half", "guided")


@dataclass(frozen=True)
class Failure:
    """One way to fail.

    Attributes:
        name: As in settings and traces.
        skill: Whose guide helps against it; "identity" for what only a reference helps against, "" for none.
        what: What goes wrong.
        half: Which wording helps a little.
        guided: Which wording helps.
        rates: Chance for each thing or text that it concerns: bare, half, guided.
        guards: Words of the negative prompt that lower the chance a little.
    """

    name: str
    skill: str
    what: str
    half: str
    guided: str
    rates: tuple[float, float, float]
    guards: tuple[str, ...] = ()


FAILURES: tuple[Failure, ...] = (
    Failure(
        "count",
        "quantity_counting",
        "The number of copies drifts by one or two.",
        "only one of the two",
        "the number with *exactly* before it, and an arrangement (row, column, circle, rows of) or a list of places",
        (0.72, 0.4, 0.012),
        ("extra copies", "missing copies", "partly hidden copies", "copies in the background"),
    ),
    Failure(
        "leak",
        "attribute_binding",
        "Things that are coloured in one sentence swap colours or materials.",
        "one sentence, but each thing with a place of its own",
        "one thing to a sentence, its colour before the noun",
        (0.78, 0.3, 0.01),
        ("swapped colours", "colour bleeding", "attributes on the wrong object"),
    ),
    Failure(
        "text",
        "text_rendering",
        "Letters are swapped, dropped, doubled or replaced.",
        "quoted, and either a place or a surface",
        "in double quotes, with a place and the surface that carries it",
        (0.93, 0.5, 0.012),
        ("misspelled lettering", "garbled letters", "doubled letters"),
    ),
    Failure(
        "lines",
        "text_rendering",
        "Two texts of one sentence run into one line.",
        "",
        "each text in a sentence of its own",
        (0.6, 0.6, 0.0),
        ("garbled letters",),
    ),
    Failure(
        "caption",
        "text_rendering",
        "Words appear that nobody asked for.",
        "",
        "the list is closed: these are the only words in the picture",
        (0.14, 0.14, 0.0),
        ("extra captions", "watermark"),
    ),
    Failure(
        "layout",
        "spatial_layout",
        "A thing stands anywhere.",
        "only a relation to another thing",
        "an absolute place: left third, upper right, bottom",
        (0.92, 0.5, 0.012),
        ("swapped left and right",),
    ),
    Failure(
        "merge",
        "spatial_layout",
        "Two things of one sentence grow into each other.",
        "no place, but no word such as *side by side* either",
        "each thing with an absolute place",
        (0.5, 0.16, 0.003),
        ("overlapping subjects", "merged objects"),
    ),
    Failure(
        "missing",
        "spatial_layout",
        "One of several things is left out.",
        "only a relation to another thing",
        "an absolute place",
        (0.12, 0.06, 0.004),
        ("cropped main subject",),
    ),
    Failure(
        "identity",
        "identity",
        "Outline, colours, pattern or figure are generic (each of them by itself).",
        "the reference is named with the thing, but not what to copy",
        "the thing, its reference by ordinal, and what to copy: outline, colours, pattern, figure",
        (0.93, 0.42, 0.006),
    ),
    Failure(
        "anatomy",
        "anatomy_body_coherence",
        "A creature has one or two legs too many or too few.",
        "only the number of legs",
        "the number of legs, and how they stand: seen from the side, apart, each touching the ground",
        (0.75, 0.35, 0.012),
        ("extra limbs", "fused", "detached limbs", "impossible joints"),
    ),
    Failure(
        "material",
        "physical_material_consistency",
        "The surface falls back to matt paint.",
        "one fact about the material",
        "two facts about it: grain, weave, bands, a bright rim, specks",
        (0.75, 0.35, 0.012),
        ("mismatched reflections",),
    ),
    Failure(
        "shadow",
        "physical_material_consistency",
        "A thing whose material is asked for floats: its contact shadow is missing.",
        "",
        "its contact shadow is mentioned",
        (0.6, 0.6, 0.008),
        ("floating objects", "missing contact shadows"),
    ),
    Failure(
        "skin",
        "creative_drawing",
        "What a thing should borrow from another world is left away.",
        "the outline of the host or the seam, not both",
        "the host keeps its outline, and its whole surface or skin turns into the guest's",
        (0.85, 0.4, 0.012),
        ("literal stock imagery", "collage seams", "second competing idea"),
    ),
    Failure(
        "light",
        "aesthetic_drawing",
        "The light is flat.",
        "one fact about it",
        "two facts about it: direction, hardness, warmth, shadows, where it fades",
        (0.78, 0.38, 0.012),
        ("flat lighting",),
    ),
    Failure(
        "style",
        "aesthetic_drawing",
        "The medium is not seen.",
        "one fact about its surface",
        "two facts about its surface: rough paper and uneven washes, tiles and grout, dots, hatching, woven threads",
        (0.78, 0.38, 0.012),
        ("plastic smoothness", "oversaturated colours", "cluttered background"),
    ),
    Failure(
        "length",
        "",
        "Each sentence of a prompt of more than 160 words is lost with a chance that grows with its length.",
        "",
        "at most 160 words",
        (0.75, 0.75, 0.0),
    ),
    Failure(
        "contradiction",
        "",
        "Each sentence of a prompt that contradicts itself is lost with this chance, for each contradiction.",
        "",
        "no contradictions: one number, one light, one style, one place for each thing",
        (0.14, 0.14, 0.0),
    ),
    Failure(
        "crowd",
        "",
        "Of more than six kinds of things each is left out with this chance for each one above six.",
        "",
        "at most six kinds of things",
        (0.12, 0.12, 0.0),
    ),
    Failure(
        "refused",
        "",
        "A thing that the negative prompt names is left out.",
        "",
        "the negative prompt names faults, not things that are wanted",
        (0.5, 0.5, 0.0),
    ),
)
"""All failures, in the order in which they are drawn by lot."""

BY_NAME = {failure.name: failure for failure in FAILURES}
LONG = 160
"""Words of a prompt beyond which sentences are lost."""
MANY = 6
"""Kinds of things beyond which some are left out."""
GUARD_HELPS = 0.85
"""What a rate is multiplied by when the negative prompt names one of the failure's guards."""
GUARD_WORDS = 60
"""Words of a negative prompt beyond which it is not heeded."""


@dataclass(frozen=True)
class Rates:
    """Chances of the failures: name to (bare, half, guided). What is not named has the table's rates."""

    values: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)

    def of(self, name: str, level: int) -> float:
        """The chance of a failure at a level."""
        return self.values.get(name, BY_NAME[name].rates)[level]

    @property
    def text(self) -> str:
        """What differs from the table, canonical; empty when nothing does."""
        return ",".join(
            f"{name}={'/'.join(f'{v:g}' for v in self.values[name])}"
            for name in sorted(self.values)
            if self.values[name] != BY_NAME[name].rates
        )

    @classmethod
    def parse(cls, text: str) -> Rates:
        """Read `count=0.3,text=0.9/0.5/0.02,all=0`, or the name of a TOML file with such keys.

        One number sets the bare rate; the two others keep their share of it. `all` goes for every failure. In a file,
        three rates are an array.

        Raises:
            ConfigurationError: an unknown name, a rate outside [0, 1], a file that cannot be read.
        """
        text = text.strip()
        if not text:
            return cls()
        if text.endswith(".toml"):
            return cls.from_mapping(_table(text))
        found: dict[str, object] = {}
        for part in text.split(","):
            name, mark, value = part.partition("=")
            if not mark:
                raise ConfigurationError(
                    f"rates of the studio are written name=rate, not {part.strip()!r:.60}"
                )
            try:
                numbers = [float(v) for v in value.split("/")]
            except ValueError:
                raise ConfigurationError(
                    f"the rate of {name.strip()!r:.40} is no number: {value!r:.40}"
                ) from None
            found[name.strip()] = numbers[0] if len(numbers) == 1 else numbers
        return cls.from_mapping(found)

    @classmethod
    def from_mapping(cls, data: Mapping[str, object]) -> Rates:
        """Rates by name: a number, or three of them. Raises `ConfigurationError`."""
        found: dict[str, tuple[float, float, float]] = {}
        if "all" in data:
            found = {failure.name: _rates(failure, data["all"]) for failure in FAILURES}
        for name, value in data.items():
            if name == "all":
                continue
            if name not in BY_NAME:
                raise ConfigurationError(
                    f"the studio has no failure {name!r:.40}; there are {', '.join(BY_NAME)}, all"
                )
            found[name] = _rates(BY_NAME[name], value)
        return cls(found)


def _rates(failure: Failure, value: object) -> tuple[float, float, float]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        bare = _share(failure.name, value)
        scale = bare / failure.rates[0] if failure.rates[0] else 0.0
        return bare, min(1.0, failure.rates[1] * scale), min(1.0, failure.rates[2] * scale)
    if isinstance(value, list | tuple) and len(value) == 3:
        a, b, c = (_share(failure.name, v) for v in value)
        return a, b, c
    raise ConfigurationError(f"the rate of {failure.name!r} is one number or three, not {value!r:.40}")


def _share(name: str, value: object) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or not 0 <= value <= 1
    ):
        raise ConfigurationError(f"the rate of {name!r} is a number from 0 to 1, not {value!r:.40}")
    return float(value)


def _table(path: str) -> dict[str, object]:
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the studio's rates {path!r:.120} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"the studio's rates {path!r:.120} are no TOML: {error}") from error
    return data


def markdown() -> str:
    """The table as the documentation shows it."""
    lines = [
        "| failure | guide | what goes wrong | helps half way | helps | bare | half | guided |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for f in FAILURES:
        guide = f"`{f.skill}`" if "_" in f.skill else "references" if f.skill else "—"
        rates = " | ".join(f"{r:g}" for r in f.rates)
        lines.append(f"| `{f.name}` | {guide} | {f.what} | {f.half or '—'} | {f.guided} | {rates} |")
    return "\n".join(lines) + "\n"
