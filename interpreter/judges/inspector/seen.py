"""What a picture shows, as far as judging goes: read from pixels, or taken from a scene that is known.

Both readings give the same records, so that the same comparison serves to judge and to measure the judge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from genevolve.interpreter.studio.layout import lay_out
from genevolve.interpreter.studio.scene import CREATURES, Look, Scene, Thing

UNREAD = "\N{REPLACEMENT CHARACTER}"
"""Stands for a line of lettering that was seen and not read."""


@dataclass(frozen=True)
class SeenThing:
    """One kind of thing.

    Attributes:
        noun: What it is.
        colour: Of all copies; empty when a look covers it.
        material: How its surface is made; empty when a look covers it.
        skin: The pattern that it borrows; empty without.
        legs: Of each copy; 0 for things without.
        look: Its identity, if it has one.
        places: Middle of each copy, (across, down) as shares of the picture.
        shadows: How many copies touch the ground.
        merged: How many copies have grown into others.
        side: Of the largest copy, as a share of the picture's shorter side.
    """

    noun: str
    colour: str = ""
    material: str = ""
    skin: str = ""
    legs: int = 0
    look: Look | None = None
    places: tuple[tuple[float, float], ...] = ()
    shadows: int = 0
    merged: int = 0
    side: float = 0.0

    @property
    def count(self) -> int:
        """How many copies there are."""
        return len(self.places)

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the group."""
        n = max(1, len(self.places))
        return sum(x for x, _ in self.places) / n, sum(y for _, y in self.places) / n

    @property
    def spread(self) -> tuple[float, float]:
        """How far the group reaches, across and down."""
        if not self.places:
            return 0.0, 0.0
        xs, ys = [x for x, _ in self.places], [y for _, y in self.places]
        return max(xs) - min(xs), max(ys) - min(ys)


@dataclass(frozen=True)
class SeenText:
    """One line of lettering; `place` is its middle, as shares of the picture."""

    text: str
    place: tuple[float, float] = (0.5, 0.5)


@dataclass(frozen=True)
class Seen:
    """A picture as it was understood.

    Attributes:
        things: Kinds of things.
        texts: Lines of lettering.
        light: Which light falls on it.
        side: Where the light comes from.
        style: How it is made.
        background: What it stands on.
        contrast: 1, or less where all is faded.
        unexplained: Share of the picture that is covered by what was not understood.
    """

    things: tuple[SeenThing, ...] = ()
    texts: tuple[SeenText, ...] = ()
    light: str = "flat"
    side: str = ""
    style: str = "plain"
    background: str = "plain"
    contrast: float = 1.0
    unexplained: float = 0.0


def from_scene(scene: Scene) -> Seen:
    """What the picture of a scene shows."""
    layout = lay_out(scene)
    places: dict[int, list[tuple[float, float]]] = {}
    sides: dict[int, float] = {}
    for copy in layout.copies:
        x, y = copy.box.centre
        sides[copy.thing] = max(sides.get(copy.thing, 0.0), copy.side / min(scene.width, scene.height))
        places.setdefault(copy.thing, []).append((x / scene.width, y / scene.height))
    # Copies that stand on one spot are one to whoever sees them.
    things = [
        _thing(thing, tuple(dict.fromkeys(places.get(i, ()))), sides.get(i, 0.0))
        for i, thing in enumerate(scene.things)
    ]
    texts = [
        SeenText(v.text, (box.centre[0] / scene.width, box.centre[1] / scene.height))
        for v, box in zip(scene.letterings, layout.letterings, strict=True)
    ]
    return Seen(
        together(things),
        tuple(texts),
        scene.light,
        scene.light_from,
        scene.style,
        scene.background,
        float(scene.contrast),
    )


def together(things: list[SeenThing]) -> tuple[SeenThing, ...]:
    """Groups that look the same are one group to whoever sees them."""
    found: dict[SeenThing, SeenThing] = {}
    for thing in things:
        key = replace(thing, places=(), shadows=0, merged=0, side=0.0)
        other = found.get(key)
        if other is not None:
            thing = replace(
                thing,
                places=other.places + thing.places,
                shadows=other.shadows + thing.shadows,
                merged=other.merged + thing.merged,
                side=max(other.side, thing.side),
            )
        found[key] = thing
    return tuple(found.values())


def _thing(thing: Thing, places: tuple[tuple[float, float], ...], side: float) -> SeenThing:
    dressed = thing.look is not None
    return SeenThing(
        thing.noun,
        "" if dressed else thing.colour,
        "" if dressed else thing.material,
        "" if dressed else thing.skin,
        thing.leg_count if CREATURES.get(thing.noun) else 0,
        visible(thing.look),
        places,
        len(places) if thing.shadow else 0,
        len(places) if thing.merged_into is not None else 0,
        side,
    )


def visible(look: Look | None) -> Look | None:
    """A look as it can be seen: without a pattern nobody sees its second colour."""
    if look is None or look.pattern != "plain":
        return look
    return replace(look, second="black" if look.colour != "black" else "white")
