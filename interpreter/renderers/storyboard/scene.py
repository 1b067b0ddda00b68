"""What a prompt says, as data: things, lettering, relations, setting and light. Layout and drawing read only this."""

from __future__ import annotations

from dataclasses import dataclass, field

from genevolve.interpreter.renderers.storyboard.pen import Colour


@dataclass(frozen=True)
class Box:
    """A rectangle: left, top, right, bottom."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        """Right minus left."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Bottom minus top."""
        return self.y1 - self.y0

    @property
    def cx(self) -> float:
        """The middle, across."""
        return (self.x0 + self.x1) / 2

    @property
    def cy(self) -> float:
        """The middle, down."""
        return (self.y0 + self.y1) / 2

    @property
    def area(self) -> float:
        """Never negative."""
        return max(0.0, self.width) * max(0.0, self.height)

    def overlaps(self, other: Box) -> bool:
        """True when the two share some area."""
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1

    def inset(self, dx: float, dy: float | None = None) -> Box:
        """Smaller by `dx` at the sides and `dy` above and below, never inside out."""
        dy = dx if dy is None else dy
        dx, dy = min(dx, self.width / 2), min(dy, self.height / 2)
        return Box(self.x0 + dx, self.y0 + dy, self.x1 - dx, self.y1 - dy)

    def scaled(self, width: float, height: float) -> Box:
        """From fractions to pixels."""
        return Box(self.x0 * width, self.y0 * height, self.x1 * width, self.y1 * height)

    def ints(self) -> tuple[int, int, int, int]:
        """Rounded to whole pixels."""
        return round(self.x0), round(self.y0), round(self.x1), round(self.y1)


@dataclass(frozen=True)
class Place:
    """A part of the picture as fractions; None where the prompt leaves an axis open. `depth` is "back" or "front"."""

    x: tuple[float, float] | None = None
    y: tuple[float, float] | None = None
    depth: str = ""
    full: bool = False

    def merged(self, other: Place) -> Place:
        """This place, completed by the other."""
        return Place(self.x or other.x, self.y or other.y, self.depth or other.depth, self.full or other.full)


@dataclass
class Thing:
    """One kind of thing, `count` times. `ref` is the ordinal of the reference picture that shows it, if any."""

    noun: str
    icon: str | None
    count: int = 1
    counted: bool = False
    colours: list[tuple[str, Colour]] = field(default_factory=list)
    material: str = ""
    size: float = 1.0
    place: Place | None = None
    ref: int | None = None
    role: str = "subject"  # of a reference: "subject", "style" or "backdrop"
    rows: int = 0
    members: list[Thing] = field(default_factory=list)
    definite: bool = False
    sure: bool = False
    words: tuple[str, ...] = ()

    def item_colour(self, index: int) -> Colour | None:
        """The colour of one item: its own, or that of all."""
        if index < len(self.members) and self.members[index].colours:
            return self.members[index].colours[0][1]
        return self.colours[0][1] if self.colours else None

    @property
    def symbol(self) -> str:
        """The pictogram that is drawn: its own, or the labelled shape."""
        return self.icon or "panel"

    @property
    def drawable(self) -> bool:
        """Whether the storyboard may draw it: a known pictogram, a reference, or plain evidence of a thing."""
        return self.count > 0 and (self.icon is not None or self.ref is not None or self.sure)


@dataclass
class Lettering:
    """A quoted text and how it is set. `carrier` is the thing it is written on."""

    value: str
    role: str = "text"
    place: Place | None = None
    serif: bool | None = None
    bold: bool = True
    italic: bool = False
    capitals: bool = False
    scale: float = 1.0
    colour: Colour | None = None
    carrier: Thing | None = None
    exact: bool = False
    below: bool = False

    @property
    def shown(self) -> str:
        """The letters that are drawn."""
        return self.value.upper() if self.capitals and not self.exact else self.value


@dataclass(frozen=True)
class Link:
    """`a` stands in a relation to `b` (and, for "between", to `c`)."""

    a: Thing
    kind: str
    b: Thing
    c: Thing | None = None


@dataclass
class Scene:
    """All that was understood of z, and in `notes` what was not."""

    things: list[Thing] = field(default_factory=list)
    texts: list[Lettering] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    setting: str = ""
    setting_colour: Colour | None = None
    lights: list[str] = field(default_factory=list)
    side_by_side: bool = False
    depicted: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def reference(self, ordinal: int) -> Thing | None:
        """The thing that a reference shows, if it was mentioned."""
        return next((t for t in self.things if t.ref == ordinal), None)

    def note(self, sentence: str) -> None:
        """Say once what cannot be drawn."""
        if sentence not in self.notes:
            self.notes.append(sentence)
