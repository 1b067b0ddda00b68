"""The simulated generator: English and references in, a picture out, with the mistakes that generators make.

It reads the prompt, the negative prompt, the pixels of the references and the settings; nothing else of z. The same of
these give the same picture. `intend` also tells what it meant to draw and which mistakes it made: that is for tests
and calibration, no judge gets it.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from genevolve.grammar.errors import AuthorError, ConfigurationError
from genevolve.grammar.z import Settings, Z
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.studio import drawing, failures, mistakes
from genevolve.interpreter.studio.failures import GUARD_HELPS, GUARD_WORDS, Rates
from genevolve.interpreter.studio.reading import Reading, count_words, printable, read
from genevolve.interpreter.studio.scene import MAX_SIDE, MIN_SIDE, Scene
from genevolve.interpreter.values import ImageHandle

if TYPE_CHECKING:
    from PIL.Image import Image

VERSION = "2"
SIDE = 384
"""The generator's own resolution: its pictures are at most this many pixels a side."""


@dataclass(frozen=True)
class Given:
    """All that the generator knows of a z."""

    prompt: str
    negative: str
    settings: Settings
    references: tuple[Image, ...]

    @classmethod
    def of(cls, z: Z, references: Sequence[Image]) -> Given:
        """Strip a z of its request, its constraints, its skills and whatever is told about the references."""
        return cls(z.gen_prompt, z.negative_prompt, z.settings, tuple(references))

    @property
    def digest(self) -> bytes:
        """What the lots are drawn from."""
        parts = [
            self.prompt,
            self.negative,
            self.settings.seed,
            *(drawing.digest(r) for r in self.references),
        ]
        return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogatepass")).digest()


@dataclass
class Trace:
    """What happened between the prompt and the scene.

    Attributes:
        failed: (failure, what it was about), in the order in which they happened.
        levels: For each failure, the level (0 bare, 1 half, 2 guided) of each thing or text that it concerned.
        notes: What was not read, in sentences.
        reading: What was understood.
    """

    failed: list[tuple[str, str]] = field(default_factory=list)
    levels: dict[str, list[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    reading: Reading = field(default_factory=Reading)

    def names(self) -> set[str]:
        """The failures that happened."""
        return {name for name, _ in self.failed}


class Lots:
    """Draws whether a failure happens, each from a stream of its own, and remembers."""

    def __init__(self, given: Given, rates: Rates, trace: Trace) -> None:
        self._seed = given.digest
        self._rates = rates
        self._trace = trace
        heeded = count_words(given.negative) <= GUARD_WORDS
        self._negative = printable(given.negative).lower() if heeded else ""
        self._helped = {
            f.name for f in failures.FAILURES if any(guard in self._negative for guard in f.guards)
        }

    def stream(self, name: str, about: str = "") -> random.Random:
        """Random numbers that depend on what was given and on this name only."""
        digest = hashlib.sha256(self._seed + f"{name}\0{about}".encode("utf-8", "surrogatepass")).digest()
        return random.Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 - reproducible, no secret

    def fails(self, name: str, about: str, level: int, weight: float = 1.0) -> bool:
        """Whether a failure happens to something worded at a level; `weight` multiplies the rate."""
        self._trace.levels.setdefault(name, []).append(level)
        rate = self._rates.of(name, level) * weight * (GUARD_HELPS if name in self._helped else 1.0)
        happens = self.stream(name, about).random() < rate
        if happens:
            self._trace.failed.append((name, about))
        return happens

    @property
    def negative(self) -> str:
        """The negative prompt, lower case; empty when it is too long to be heeded."""
        return self._negative


def intend(
    z: Z, references: Sequence[Image], rates: Rates | None = None, side: int = SIDE
) -> tuple[Scene, Trace]:
    """What the generator draws for a z, and the mistakes it makes on the way.

    Args:
        z: Of it only the prompt, the negative prompt and the settings are read.
        references: Pictures, in the order of `z.reference_images`.
        rates: Chances of the failures; by default those of the table.
        side: The longer side of the picture in pixels; 0 means that of the settings.
    """
    given = Given.of(z, references)
    trace = Trace()
    lots = Lots(given, rates or Rates(), trace)
    reading = _heard(given, lots)
    trace.reading = reading
    width, height = canvas(given.settings, side)
    scene = mistakes.compose(reading, given.references, lots, (width, height))
    trace.notes.extend(reading.notes)
    return scene, trace


def _heard(given: Given, lots: Lots) -> Reading:
    """The prompt as it is heard: sentences of a long or contradictory one get lost."""
    reading = read(given.prompt)
    lost: set[int] = set()
    excess = reading.words - failures.LONG
    for index in range(min(reading.sentences, 400)):
        if excess > 0 and lots.fails(
            "length", f"sentence {index + 1}", failures.BARE, min(1.0, excess / 160)
        ):
            lost.add(index)
        times = len(reading.contradictions)
        if times and lots.fails(
            "contradiction", f"sentence {index + 1}", failures.BARE, float(min(4, times))
        ):
            lost.add(index)
    if not lost:
        return reading
    heard = read(given.prompt, frozenset(lost))
    heard.note(f"The prompt is long or contradicts itself: {len(lost)} of its sentences had no effect.")
    for what in reading.contradictions:
        heard.contradict(what)
    return heard


def canvas(settings: Settings, side: int = SIDE) -> tuple[int, int]:
    """Width and height of the picture: the aspect of the settings, at the generator's own resolution.

    Args:
        settings: Of the z.
        side: The longer side; 0 means that of the settings.
    """
    longest = max(settings.width, settings.height)
    if side == 0 or longest == side:
        return settings.width, settings.height
    return (
        max(MIN_SIDE, round(settings.width * side / longest)),
        max(MIN_SIDE, round(settings.height * side / longest)),
    )


class SimulatedGenerator:
    """The studio's `Renderer`.

    Spec: `studio`, `studio:count=0.3,text=0.1` or `studio:rates.toml`; `side=768` sets another resolution, `side=0`
    the one of the settings.

    Args:
        rates: Chances of the failures.
        side: The longer side of its pictures; 0 means that of the settings.
    """

    name = "studio"

    def __init__(self, rates: Rates | None = None, side: int = SIDE) -> None:
        if side != 0 and not MIN_SIDE <= side <= MAX_SIDE:
            raise ConfigurationError(f"the studio draws {MIN_SIDE} to {MAX_SIDE} pixels a side, not {side}")
        self._rates = rates or Rates()
        self._side = side

    @classmethod
    def parse(cls, argument: str) -> SimulatedGenerator:
        """Make one from what follows `studio:`. Raises `ConfigurationError`."""
        parts = [p for p in argument.split(",") if p.strip()]
        sides = [p for p in parts if p.partition("=")[0].strip() == "side"]
        rest = ",".join(p for p in parts if p not in sides)
        try:
            side = int(sides[-1].partition("=")[2]) if sides else SIDE
        except ValueError:
            raise ConfigurationError(
                f"the side of the studio's pictures is a number: {sides[-1]!r:.40}"
            ) from None
        return cls(Rates.parse(rest), side)

    @property
    def version(self) -> str:
        """The versions of reading and drawing, and the rates where they differ from the table."""
        changed = f", rates {self._rates.text}" if self._rates.text else ""
        return f"studio {VERSION}, drawing {drawing.VERSION}, side {self._side}{changed}"

    def refusals(self, z: Z) -> Sequence[str]:
        """Only a canvas that cannot be drawn is refused."""
        width, height = z.settings.width, z.settings.height
        low, high = (MIN_SIDE, MAX_SIDE) if self._side == 0 else (1, 16384)
        if not (
            low <= width <= high and low <= height <= high and max(width, height) <= 6 * min(width, height)
        ):
            return (f"The studio cannot draw {width}x{height} pixels.",)
        return ()

    def render(self, context: CallContext, z: Z, references: Sequence[ImageHandle]) -> Rendering:
        """Draw z.

        Raises:
            AuthorError: a reference cannot be read, their number is not that of z, or the size is refused.
            Cancelled: the run was stopped.
        """
        from genevolve.interpreter.images import load_pixels

        if refused := self.refusals(z):
            raise AuthorError(refused[0])
        if len(references) != len(z.reference_images):
            raise AuthorError(
                f"z names {len(z.reference_images)} reference images, {len(references)} were given"
            )
        context.check()
        pictures = [load_pixels(handle) for handle in references]
        context.check()
        scene, trace = intend(z, pictures, self._rates, self._side)
        context.check()
        return Rendering(drawing.draw(scene), tuple(trace.notes), {"size": [scene.width, scene.height]})
