"""A scene: everything that a picture of the studio shows, as plain data.

The same scene is always the same picture (`drawing.draw`). Ground truths, references and what the simulated generator
draws are all scenes. Every field is a word of a small fixed vocabulary or a number with bounds, so that a scene that
exists can be drawn; `ValueError` says what is wrong with one that cannot.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from genevolve.interpreter.studio.palette import COLOURS, GROUNDS, INKS, LIGHTS, LOOK_COLOURS

SCHEMA = "genevolve.scene/1"

PLACES = (
    *("upper left", "top", "upper right"),
    *("left", "centre", "right"),
    *("lower left", "bottom", "lower right"),
)
"""The nine cells of the picture, row by row."""

ARRANGEMENTS = ("scattered", "row", "column", "grid", "circle")
MATERIALS = ("plain", "glass", "metal", "wood", "cloth", "stone")
SKINS = ("bricks", "scales", "leaves", "honeycomb", "spots", "waves")
"""What a thing can borrow from another world (`Thing.skin`)."""
STYLES = ("plain", "watercolour", "ink", "mosaic", "print", "canvas")
SURFACES = ("none", "banner", "sign", "plaque")
SIZES = ("small", "normal", "large")
LIGHT_SIDES = ("", "left", "right")
RELATIONS = ("left_of", "right_of", "above", "below", "next_to")
PATTERNS = (
    "plain",
    "halves",
    "stripes",
    "bars",
    "diagonal",
    "checks",
    "cross",
    "chevron",
    "quarters",
    "border",
)
OUTLINES = ("shield", "disc", "pennant", "lozenge", "hexagon", "square")
"""Outlines of emblems."""
FIGURES = (
    *("star", "moon", "crown", "key", "fish", "bird"),
    *("tree", "bell", "anchor", "leaf", "flower", "heart"),
)
"""What the badge of a look can show."""

THINGS = (
    *("ball", "star", "lantern", "kite", "house", "tree", "boat", "cup", "bell", "crown", "key", "moon"),
    *("heart", "umbrella", "flower", "mushroom", "drum", "hat", "bottle", "candle", "wagon", "rocket"),
    *("anchor", "leaf", "gem", "tower"),
)
"""Silhouettes without legs."""
CREATURES: dict[str, int] = {"bird": 2, "cat": 4, "horse": 4, "beetle": 6, "spider": 8, "fish": 0}
"""Creatures and how many legs they have by nature. A fish never has legs."""
NOUNS = (*THINGS, *CREATURES, "emblem")
LOOK_NOUNS = (
    *("emblem", "boat", "kite", "house", "cup", "drum", "wagon", "rocket", "tower", "lantern", "bottle"),
    *("fish", "cat", "horse", "bird", "beetle", "hat", "ball"),
)
"""Nouns with room enough for a look of their own."""

MAX_COUNT = 12
MAX_THINGS = 8
MAX_LETTERINGS = 4
MAX_TEXT = 28
MIN_SIDE, MAX_SIDE = 64, 2048


@dataclass(frozen=True, slots=True)
class Look:
    """What makes one thing recognisable: an emblem, the paint of a vehicle, the coat of an animal.

    Attributes:
        outline: Of `OUTLINES` for an emblem, otherwise the noun.
        colour: The ground's colour.
        second: The pattern's colour, another one.
        pattern: How the second colour lies on the first.
        figure: What the badge in the middle shows.
    """

    outline: str
    colour: str
    second: str
    pattern: str
    figure: str

    def __post_init__(self) -> None:
        _among("outline", self.outline, (*OUTLINES, *LOOK_NOUNS))
        _among("colour of a look", self.colour, LOOK_COLOURS)
        _among("second colour of a look", self.second, LOOK_COLOURS)
        _among("pattern", self.pattern, PATTERNS)
        _among("figure", self.figure, FIGURES)
        if self.colour == self.second:
            raise ValueError(f"a look needs two colours, not {self.colour} twice")


@dataclass(frozen=True, slots=True)
class Thing:
    """One kind of thing, `count` times.

    Attributes:
        noun: Which silhouette.
        colour: Of all copies; not seen when there is a look.
        material: How the surface is filled.
        count: 1 to `MAX_COUNT`.
        place: Where the group stands.
        arrangement: How several copies stand; a single one stands in the middle of its place.
        size: Of each copy.
        legs: Of each copy, for creatures; None means as many as nature gives.
        skin: A pattern that the thing borrows from another ("a boat with the bricks of a wall").
        look: The identity it shows.
        shadow: Whether it touches the ground: without its contact shadow it floats.
        merged_into: Index of an earlier thing that it has grown into; None when it stands by itself.
    """

    noun: str
    colour: str = "red"
    material: str = "plain"
    count: int = 1
    place: str = "centre"
    arrangement: str = "row"
    size: str = "normal"
    legs: int | None = None
    skin: str = ""
    look: Look | None = None
    shadow: bool = True
    merged_into: int | None = None

    def __post_init__(self) -> None:
        _among("noun", self.noun, NOUNS)
        _among("colour", self.colour, COLOURS)
        _among("material", self.material, MATERIALS)
        _among("place", self.place, PLACES)
        _among("arrangement", self.arrangement, ARRANGEMENTS)
        _among("size", self.size, SIZES)
        _among("skin", self.skin, ("", *SKINS))
        _within("count", self.count, 1, MAX_COUNT)
        _flag("shadow", self.shadow)
        if self.legs is not None:
            if not CREATURES.get(self.noun):
                raise ValueError(f"a {self.noun} has no legs to count")
            _within("legs", self.legs, 1, 10)
        if self.look is not None and self.noun not in LOOK_NOUNS:
            raise ValueError(f"a {self.noun} has no room for a look")
        if self.look is not None and (self.look.outline in OUTLINES) != (self.noun == "emblem"):
            raise ValueError(f"the outline {self.look.outline!r} does not fit the noun {self.noun!r}")
        if self.noun == "emblem" and self.look is None:
            raise ValueError("an emblem needs a look")
        if self.merged_into is not None:
            _within("merged_into", self.merged_into, 0, MAX_THINGS)

    @property
    def leg_count(self) -> int:
        """How many legs each copy has in the picture."""
        return CREATURES.get(self.noun, 0) if self.legs is None else self.legs


@dataclass(frozen=True, slots=True)
class Lettering:
    """One line of lettering.

    Attributes:
        text: At most `MAX_TEXT` printable characters, no line break.
        place: Where it stands; rows above and below the things are kept free for it.
        surface: What carries it; "none" paints it on the background.
        colour: Of the letters.
        ground: Of the surface.
    """

    text: str
    place: str = "top"
    surface: str = "banner"
    colour: str = "black"
    ground: str = "cream"

    def __post_init__(self) -> None:
        if (
            not isinstance(self.text, str)
            or not 1 <= len(self.text) <= MAX_TEXT
            or not self.text.isprintable()
        ):
            raise ValueError(f"a lettering is 1 to {MAX_TEXT} printable characters, not {self.text!r:.60}")
        _among("place", self.place, PLACES)
        _among("surface", self.surface, SURFACES)
        _among("colour of lettering", self.colour, INKS)
        _among("ground of lettering", self.ground, INKS)


@dataclass(frozen=True, slots=True)
class Relation:
    """A fact about two things, by their indices; it draws nothing, the places do."""

    first: int
    relation: str
    second: int

    def __post_init__(self) -> None:
        _among("relation", self.relation, RELATIONS)
        _within("index of a thing", self.first, 0, MAX_THINGS)
        _within("index of a thing", self.second, 0, MAX_THINGS)


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture.

    Attributes:
        things: What stands in it, drawn in this order.
        letterings: What is written in it.
        relations: What holds between its things.
        light: Which light falls on it.
        light_from: The side that the light comes from; shadows fall to the other.
        style: How it is made.
        background: What it stands on.
        contrast: 1 as it should be; less fades things and letters into the background.
        width: In pixels.
        height: In pixels.
        seed: Of what the rest leaves open: where scattered copies lie, the grain of a style.
    """

    things: tuple[Thing, ...] = ()
    letterings: tuple[Lettering, ...] = ()
    relations: tuple[Relation, ...] = ()
    light: str = "flat"
    light_from: str = ""
    style: str = "plain"
    background: str = "plain"
    contrast: float = 1.0
    width: int = 384
    height: int = 384
    seed: int = 0

    def __post_init__(self) -> None:
        _members("things", self.things, Thing, MAX_THINGS)
        _members("letterings", self.letterings, Lettering, MAX_LETTERINGS)
        _members("relations", self.relations, Relation, 16)
        _among("light", self.light, LIGHTS)
        _among("side of the light", self.light_from, LIGHT_SIDES)
        _among("style", self.style, STYLES)
        _among("background", self.background, GROUNDS)
        if isinstance(self.contrast, bool) or not isinstance(self.contrast, int | float):
            raise ValueError(f"contrast is a number, not {self.contrast!r:.40}")
        if not 0.1 <= self.contrast <= 1:
            raise ValueError(f"contrast is 0.1 to 1, not {self.contrast}")
        _within("width", self.width, MIN_SIDE, MAX_SIDE)
        _within("height", self.height, MIN_SIDE, MAX_SIDE)
        _within("seed", self.seed, -(2**63), 2**63 - 1)
        for relation in self.relations:
            if max(relation.first, relation.second) >= len(self.things):
                raise ValueError("a relation names a thing that is not there")
        for index, thing in enumerate(self.things):
            if thing.merged_into is not None and thing.merged_into >= index:
                raise ValueError("a thing can only have grown into an earlier one")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data, with the schema's name."""
        data = asdict(self)
        for name in ("things", "letterings", "relations"):
            data[name] = list(data[name])
        return {"schema": SCHEMA, **data}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scene:
        """The inverse of `to_dict`; raises `ValueError` for anything else, unknown fields included."""
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
            raise ValueError(f"this is not a scene of schema {SCHEMA}")
        values = _known(cls, {k: v for k, v in data.items() if k != "schema"})
        try:
            things = [dict(_known(Thing, t)) for t in values.pop("things", ())]
            for thing in things:
                if thing.get("look") is not None:
                    thing["look"] = Look(**_known(Look, thing["look"]))
            return cls(
                things=tuple(Thing(**t) for t in things),
                letterings=tuple(Lettering(**_known(Lettering, v)) for v in values.pop("letterings", ())),
                relations=tuple(Relation(**_known(Relation, v)) for v in values.pop("relations", ())),
                **values,
            )
        except TypeError as error:
            raise ValueError(f"this scene is malformed: {error}") from error

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces."""
        return json.dumps(self.to_dict(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def row_of(place: str) -> int:
    """0 for the upper row of places, 1 for the middle one, 2 for the lower one."""
    return PLACES.index(place) // 3


def column_of(place: str) -> int:
    """0 for the left column of places, 1 for the middle one, 2 for the right one."""
    return PLACES.index(place) % 3


def holds(scene: Scene, relation: Relation) -> bool:
    """Whether a relation is true of the places in the scene."""
    first, second = scene.things[relation.first].place, scene.things[relation.second].place
    dx, dy = column_of(second) - column_of(first), row_of(second) - row_of(first)
    return {
        "left_of": dx > 0,
        "right_of": dx < 0,
        "above": dy > 0,
        "below": dy < 0,
        "next_to": dy == 0 and abs(dx) == 1,
    }[relation.relation]


_Record = TypeVar("_Record")


def _known(kind: type[_Record], data: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise ValueError(f"a {kind.__name__} is a mapping, not {type(data).__name__}")
    unknown = set(data) - {f.name for f in fields(kind)}  # type: ignore[arg-type]  # always a dataclass of ours
    if unknown:
        raise ValueError(f"a {kind.__name__} has no field {sorted(map(str, unknown))[0]!r:.60}")
    return dict(data)


def _among(what: str, value: object, allowed: Mapping[str, Any] | tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{what}: {value!r:.60} is none of {', '.join(repr(a) for a in allowed)}")


def _within(what: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{what} is a whole number from {low} to {high}, not {value!r:.40}")


def _flag(what: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{what} is true or false, not {value!r:.40}")


def _members(what: str, value: object, kind: type, most: int) -> None:
    if not isinstance(value, tuple) or not all(isinstance(v, kind) for v in value):
        raise ValueError(f"{what} is a tuple of {kind.__name__}")
    if len(value) > most:
        raise ValueError(f"a scene has at most {most} {what}")
