"""The vocabulary of pictograms: a name, a drawing function, a shape, a usual colour and size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image

from genevolve.interpreter.renderers.storyboard.pen import WHITE, Colour, Ink, Pen, mix

Draw = Callable[[Pen, Ink], None]


@dataclass(frozen=True)
class Icon:
    """One pictogram.

    `aspect` is width over height, `size` its usual height beside the others (a person is 1), `habitat` where it
    stands when the prompt does not say: "sky", "back" (on the horizon), "water" or "ground". `board` is the part
    (left, top, right, bottom as fractions) that may carry lettering, if it has one.
    """

    name: str
    draw: Draw
    aspect: float
    colour: Colour
    size: float
    habitat: str
    board: tuple[float, float, float, float] | None = None


ICONS: dict[str, Icon] = {}


def icon(
    name: str,
    *,
    aspect: float = 1.0,
    colour: Colour,
    size: float = 1.0,
    habitat: str = "ground",
    board: tuple[float, float, float, float] | None = None,
) -> Callable[[Draw], Draw]:
    """Register a drawing function under a name."""

    def register(draw: Draw) -> Draw:
        if name in ICONS:
            raise ValueError(f"an icon named {name!r} is registered already")
        ICONS[name] = Icon(name, draw, aspect, colour, size, habitat, board)
        return draw

    return register


@lru_cache(maxsize=256)
def sprite(name: str, height: int, colour: Colour, variant: int = 0) -> Image.Image:
    """The pictogram at a height in pixels, on a transparent ground. Callers must not change it."""
    chosen = ICONS[name]
    pen = Pen(height, chosen.aspect)
    chosen.draw(pen, Ink(colour, variant))
    return pen.finish()


def wood_lines(p: Pen, x0: float, y0: float, x1: float, y1: float, colour: Colour, rows: int) -> None:
    """Boards: thin darker lines across a rectangle."""
    for i in range(1, rows):
        y = y0 + (y1 - y0) * i / rows
        p.rect(x0, y - 0.004, x1, y + 0.004, mix(colour, (60, 40, 20), 0.25))


def gloss(p: Pen, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
    """A soft highlight on a rounded body."""
    p.ellipse(x, y, rx, ry, mix(colour, WHITE, 0.45))
