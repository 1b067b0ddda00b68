"""Where everything goes: lettering first, then reference pictures, then the groups of things.

Lettering never overlaps lettering. Things keep clear of lettering. Relations become the order of things in a row,
or one thing on, above, in or before another. What cannot be kept is said in the notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from genevolve.interpreter.renderers.storyboard.arrange import (
    Placed,
    Unit,
    arrange_row,
    habitat,
    largest_free,
    unsatisfied,
)
from genevolve.interpreter.renderers.storyboard.icons import ICONS
from genevolve.interpreter.renderers.storyboard.lettering import PlacedText, place_texts
from genevolve.interpreter.renderers.storyboard.scene import Box, Link, Place, Scene, Thing
from genevolve.interpreter.renderers.storyboard.typeset import Typesetter


@dataclass
class PlacedReference:
    """A reference picture: "full" fills the canvas, "card" is framed, "panel" is a clean part, "swatch" is small."""

    thing: Thing
    box: Box
    style: str

    @property
    def ordinal(self) -> int:
        """Which reference, from 1."""
        return self.thing.ref or 0


@dataclass
class Layout:
    """The solved picture, in pixels."""

    width: int
    height: int
    stage: Box
    horizon: float
    texts: list[PlacedText] = field(default_factory=list)
    texts_on_things: list[PlacedText] = field(default_factory=list)
    references: list[PlacedReference] = field(default_factory=list)
    items: list[Placed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def full(self) -> PlacedReference | None:
        """The reference that fills the canvas, if one does."""
        return next((r for r in self.references if r.style == "full"), None)


def lay_out(
    scene: Scene, width: int, height: int, aspects: Mapping[int, float], typesetter: Typesetter
) -> Layout:
    """Solve a scene for a canvas. `aspects` are the references' widths over heights by ordinal."""
    texts, notes = place_texts(scene, width, height, typesetter)
    stage = _stage([t.box for t in texts], width, height)
    layout = Layout(width, height, stage, stage.y0 + 0.62 * stage.height, texts=texts, notes=notes)
    references = _References(scene, layout, aspects)
    references.place()
    _Groups(scene, layout, aspects, references.aside).place()
    references.place_aside()
    layout.notes += unsatisfied(
        scene.links, layout.items, {r.ordinal: r.box for r in layout.references}, layout.full
    )
    return layout


def _stage(boxes: list[Box], width: int, height: int) -> Box:
    """The part of the canvas between the lettering at the top and at the bottom."""
    m = 0.035 * min(width, height)
    top, bottom = m, height - m
    for box in boxes:
        wide = box.width > 0.3 * width or box.x0 < 0.5 * width < box.x1
        if wide and box.y1 < 0.42 * height:
            top = max(top, box.y1 + m)
        elif wide and box.y0 > 0.6 * height:
            bottom = min(bottom, box.y0 - m)
    return Box(m, top, width - m, bottom)


class _References:
    """Decides how each reference is shown: behind everything, in its place, in panels, or as a small swatch."""

    def __init__(self, scene: Scene, layout: Layout, aspects: Mapping[int, float]) -> None:
        self.scene, self.layout, self.aspects = scene, layout, aspects
        self.things = sorted((t for t in scene.things if t.ref is not None), key=lambda t: t.ref or 0)
        self.aside: list[tuple[Thing, float]] = []

    def place(self) -> None:
        """Place all that do not stand among the things."""
        subjects = [t for t in self.things if t.role != "style"]
        full = self._full(subjects)
        if full is not None:
            canvas = Box(0, 0, self.layout.width, self.layout.height)
            self.layout.references.append(PlacedReference(full, canvas, "full"))
        rest = [t for t in subjects if t is not full]
        for thing in [t for t in rest if t.place is not None and (t.place.x or t.place.y)]:
            if not self._linked(thing):
                self._card(thing)
                rest.remove(thing)
        rest = [t for t in rest if not self._linked(t)]
        if rest and full is None:
            self._panels(rest)
        else:
            self.aside += [(t, 0.3) for t in rest]
        styles = [t for t in self.things if t.role == "style"]
        alone = (
            bool(styles)
            and len(styles) == len(self.things)
            and not any(t.ref is None for t in self.scene.things)
        )
        if alone:
            self._panels(styles)
        else:
            self.aside += [(t, 0.2 if subjects else 0.27) for t in styles]

    def _full(self, subjects: list[Thing]) -> Thing | None:
        for thing in subjects:
            if thing.place is not None and (thing.place.full or thing.place.depth == "back"):
                return thing
        for link in self.scene.links:
            behind = link.b if link.kind == "in_front_of" else link.a if link.kind == "behind" else None
            if behind is not None and any(behind is s for s in subjects):
                return behind
        if len(subjects) == 1 and not self.scene.side_by_side and not self._beside(subjects[0]):
            place = subjects[0].place
            if place is None or (place.x is None and place.y is None):
                return subjects[0]
        return None

    def _beside(self, thing: Thing) -> bool:
        kinds = ("left_of", "right_of", "between", "above", "below")
        return any(
            k.kind in kinds and thing in (k.a, k.b, k.c) and self._drawn(k, thing) for k in self.scene.links
        )

    def _drawn(self, link: Link, thing: Thing) -> bool:
        """Whether the link's other side is drawn beside the reference, and not part of it."""
        return all(t is thing or t is None or t.drawable for t in (link.a, link.b, link.c))

    def _linked(self, thing: Thing) -> bool:
        """Whether it is laid out among the things, because it stands in a relation to one."""
        return any(thing in (k.a, k.b, k.c) for k in self.scene.links) and self._beside(thing)

    def _card(self, thing: Thing) -> None:
        place = thing.place or Place()
        stage = self.layout.stage
        zone = _zone_box(place, self.layout, Box(stage.x0, stage.y0, stage.x1, stage.y1))
        zone = largest_free(zone, self._taken(), 0.02 * self.layout.width)
        aspect = min(max(self.aspects.get(thing.ref or 0, 1.0), 0.5), 2.0)
        if place.x is not None and place.x[1] - place.x[0] >= 0.99:
            aspect = zone.width / max(1.0, zone.height)
        w = min(zone.width, zone.height * aspect)
        h = min(zone.height, w / aspect)
        w = min(zone.width, max(w, h * 0.8))
        box = Box(zone.cx - w / 2, zone.cy - h / 2, zone.cx + w / 2, zone.cy + h / 2)
        self.layout.references.append(PlacedReference(thing, box, "card"))

    def _taken(self) -> list[Box]:
        boxes = [t.box for t in self.layout.texts]
        return boxes + [r.box for r in self.layout.references if r.style != "full"]

    def _panels(self, things: list[Thing]) -> None:
        """Equal panels: side by side on a wide stage or when the prompt says so, else one above the other."""
        stage = self.layout.stage
        others = [t for t in self.scene.things if t.ref is None]
        area = largest_free(stage, self._taken(), 0.02 * self.layout.width)
        if others:
            area = Box(area.x0, area.y0, area.x1, area.y0 + 0.62 * area.height)
        gap = 0.02 * min(self.layout.width, self.layout.height)
        n = len(things)
        columns = (
            n if self.scene.side_by_side or area.width > 0.8 * area.height or n == 1 else (1 if n <= 3 else 2)
        )
        if n > 3 and not self.scene.side_by_side:
            columns = (n + 1) // 2
        rows = -(-n // columns)
        w, h = (area.width - gap * (columns - 1)) / columns, (area.height - gap * (rows - 1)) / rows
        for i, thing in enumerate(things):
            r, c = divmod(i, columns)
            x, y = area.x0 + c * (w + gap), area.y0 + r * (h + gap)
            self.layout.references.append(PlacedReference(thing, Box(x, y, x + w, y + h), "panel"))

    def place_aside(self) -> None:
        """Small cards in the corners that are free once all else stands."""
        for thing, share in self.aside:
            box = self._corner(share) or self._corner(0.6 * share)
            if box is None:
                self.layout.notes.append(f"No room is left to show reference image {thing.ref}.")
            else:
                self.layout.references.append(PlacedReference(thing, box, "swatch"))

    def _corner(self, share: float) -> Box | None:
        stage = self.layout.stage
        side = share * min(self.layout.width, self.layout.height)
        side = min(side, stage.width * 0.45, stage.height * 0.45)
        left, right = stage.x0, stage.x1 - side
        spots = [(right, stage.y0), (left, stage.y0), (right, stage.y1 - side), (left, stage.y1 - side)]
        spots += [(stage.cx - side / 2, stage.y0), (right, stage.cy - side / 2), (left, stage.cy - side / 2)]
        taken = self._taken() + [i.box for i in self.layout.items]
        for x, y in spots:
            box = Box(x, y, x + side, y + side)
            if side >= 8 and not any(box.overlaps(t) for t in taken):
                return box
        return None


def _zone_box(place: Place, layout: Layout, default: Box) -> Box:
    """A place in pixels, inside the stage where the place leaves room for that."""
    w, h, stage = layout.width, layout.height, layout.stage
    x0, x1 = (place.x[0] * w, place.x[1] * w) if place.x else (default.x0, default.x1)
    y0, y1 = (place.y[0] * h, place.y[1] * h) if place.y else (default.y0, default.y1)
    box = Box(max(x0, stage.x0), max(y0, stage.y0), min(x1, stage.x1), min(y1, stage.y1))
    if box.height < 0.1 * h or box.width < 0.08 * w:
        box = Box(
            max(x0, stage.x0),
            min(max(y0, 0.02 * h), 0.8 * h),
            min(x1, stage.x1),
            max(min(y1, 0.98 * h), 0.2 * h),
        )
    return box


class _Groups:
    """Turns things and relations into units and gives each a row in a zone."""

    def __init__(
        self, scene: Scene, layout: Layout, aspects: Mapping[int, float], aside: list[tuple[Thing, float]]
    ) -> None:
        self.scene, self.layout, self.aspects = scene, layout, aspects
        self.aside = aside
        shown = {id(r.thing) for r in layout.references} | {id(t) for t, _ in aside}
        self.units: dict[int, Unit] = {}
        for thing in scene.things:
            if id(thing) not in shown and thing.drawable:
                self.units[id(thing)] = Unit(thing, aspect=self._aspect(thing), written=self._written(thing))
        self.order: list[tuple[Unit, Unit]] = []

    def place(self) -> None:
        """Lay out all units and record their boxes."""
        for link in self.scene.links:
            self._link(link)
        tops = list(dict.fromkeys(u.root for u in self.units.values()))
        zones = self._zones(tops)
        obstacles = [t.box for t in self.layout.texts]
        obstacles += [r.box for r in self.layout.references if r.style != "full"]
        for zone, units, anchor in zones:
            margin = 0.015 * min(self.layout.width, self.layout.height)
            free = largest_free(zone, obstacles, margin)
            row = arrange_row(units, free, anchor, self.order)
            self.layout.items += row
            obstacles += [p.cell for p in row]
        for item in [i for i in self.layout.items if i.thing.ref is not None]:
            self.layout.items.remove(item)
            self.layout.references.append(PlacedReference(item.thing, item.box, "card"))

    def _aspect(self, thing: Thing) -> float:
        if thing.ref is not None:
            return min(max(self.aspects.get(thing.ref, 1.0), 0.75), 1.2)
        return ICONS[thing.symbol].aspect

    def _written(self, thing: Thing) -> bool:
        return any(t.carrier is thing for t in self.scene.texts)

    def _link(self, link: Link) -> None:
        a, b = self.units.get(id(link.a)), self.units.get(id(link.b))
        if a is None or b is None:
            return
        if link.kind in ("on", "inside", "above", "below", "in_front_of", "behind"):
            swap = link.kind in ("below", "behind")
            kind = {"below": "above", "behind": "in_front_of"}.get(link.kind, link.kind)
            self._join(b if swap else a, kind, a if swap else b)
        elif link.kind == "right_of":
            self.order.append((b, a))
        else:
            self.order.append((a, b))
            if link.c is not None and id(link.c) in self.units:
                self.order[-1] = (b, a)
                self.order.append((a, self.units[id(link.c)]))

    def _join(self, a: Unit, kind: str, b: Unit) -> None:
        """Make one unit of two, unless they are one already or the prompt places them apart."""
        a = a.root
        if a is b.root:
            return
        high = kind == "above" and habitat(a.thing) == "sky" and not b.is_sky
        if high or (a.place and b.thing.place and a.place != b.thing.place):
            return
        b.join(a, kind)

    def _zones(self, tops: list[Unit]) -> list[tuple[Box, list[Unit], str]]:
        """Rows of units: those with places of their own first, then sky, horizon and ground."""
        stage = self.layout.stage
        out: dict[tuple[bool, float, Box, str], list[Unit]] = {}
        habitats = {u: self._habitat(u, tops) for u in tops}
        used = {habitats[u] for u in tops}
        for unit in tops:
            place = unit.place or Place()
            where = {"back": "back", "front": "ground"}.get(place.depth, habitats[unit])
            default = self._habitat_box(where, used, stage)
            zone = _zone_box(place, self.layout, stage if unit.thing.ref is not None else default)
            explicit = place.x is not None or place.y is not None
            anchor = "middle" if where == "sky" else "base"
            if where == "ground" and place.y is not None and place.y[1] < 0.5:
                anchor = "middle"
            key = (
                not explicit,
                zone.area if explicit else {"sky": 1, "back": 2, "ground": 3}[where],
                zone,
                anchor,
            )
            out.setdefault(key, []).append(unit)
        return [
            (zone, units, anchor)
            for (_, _, zone, anchor), units in sorted(out.items(), key=lambda e: e[0][:2])
        ]

    def _habitat(self, unit: Unit, tops: list[Unit]) -> str:
        """Where a unit stands by itself; units in one row share the ground."""
        ordered = {id(u.root) for pair in self.order for u in pair}
        if id(unit) in ordered:
            partners = [u.root for pair in self.order for u in pair if unit in (pair[0].root, pair[1].root)]
            kinds = {habitat(u.thing) for u in partners}
            return "ground" if len(kinds) > 1 or kinds & {"ground", "water"} else kinds.pop()
        if unit.thing.ref is not None:
            return "ground"
        own = habitat(unit.thing)
        return "ground" if own == "water" else own

    def _habitat_box(self, where: str, used: set[str], stage: Box) -> Box:
        h, y = stage.height, stage.y0
        full = self.layout.full is not None
        if where == "sky":
            return Box(stage.x0, y + 0.03 * h, stage.x1, y + (0.34 * h if len(used) > 1 else 0.9 * h))
        if where == "back":
            top = 0.3 if "sky" in used else 0.05
            bottom = self.layout.horizon + 0.03 * h if "ground" in used else y + 0.88 * h
            return Box(stage.x0, y + top * h, stage.x1, bottom)
        if "back" in used:
            return Box(stage.x0, self.layout.horizon - 0.02 * h, stage.x1, stage.y1 - 0.02 * h)
        top = 0.62 if full else 0.36 if "sky" in used else 0.32 if self.aside else 0.14
        return Box(stage.x0, y + top * h, stage.x1, stage.y1 - (0.03 if full else 0.1) * h)
