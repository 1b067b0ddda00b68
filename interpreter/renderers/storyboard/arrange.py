"""The geometry of groups: grids that can be counted, rows with an order, one thing on or before another."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from genevolve.interpreter.renderers.storyboard.icons import ICONS
from genevolve.interpreter.renderers.storyboard.lexicon import ON_THE_GROUND
from genevolve.interpreter.renderers.storyboard.scene import Box, Link, Place, Thing

GAP = 0.16
_SURFACE = {
    "table": 0.05,
    "chair": 0.50,
    "armchair": 0.60,
    "bench": 0.50,
    "bed": 0.46,
    "boat": 0.74,
    "cube": 0.12,
    "book": 0.02,
    "car": 0.12,
    "bus": 0.10,
    "rock": 0.12,
    "plate": 0.35,
    "paper": 0.3,
    "ship": 0.58,
    "horse": 0.40,
    "mountain": 0.35,
    "house": 0.06,
    "armrest": 0.5,
    "bridge": 0.64,
    "panel": 0.04,
    "sign": 0.04,
}
_VERBS = {
    "left_of": "to the left of",
    "right_of": "to the right of",
    "above": "above",
    "below": "below",
    "on": "on",
    "inside": "inside",
    "next_to": "next to",
    "in_front_of": "in front of",
    "behind": "behind",
    "between": "between",
}


def habitat(thing: Thing) -> str:
    """Where a thing stands by itself: "sky", "back", "water" or "ground"."""
    return "ground" if thing.noun.split(" ")[-1] in ON_THE_GROUND else ICONS[thing.symbol].habitat


@dataclass
class Placed:
    """One drawn item: a thing's `index`-th copy in its box. `cell` is the room that its unit was given."""

    thing: Thing
    index: int
    box: Box
    cell: Box
    depth: int = 0
    angle: float = 0.0
    grounded: bool = True
    height: float = 0.0  # before it was turned by `angle` (degrees, clockwise)
    root: tuple[float, float] | None = None  # where a stem ends


@dataclass(eq=False)
class Unit:
    """A thing, and what stands on, in, above or before it. The tree's root is laid out as one."""

    thing: Thing
    aspect: float
    written: bool = False
    parent: Unit | None = None
    parts: list[tuple[str, Unit]] = field(default_factory=list)

    @property
    def root(self) -> Unit:
        """The unit that this one belongs to."""
        unit = self
        while unit.parent is not None:
            unit = unit.parent
        return unit

    @property
    def place(self) -> Place | None:
        """Its own place, or that of all parts."""
        if self.thing.place is not None:
            return self.thing.place
        places = {p.place for _, p in self.parts}
        return places.pop() if len(places) == 1 else None

    @property
    def is_sky(self) -> bool:
        """Whether the thing is usually in the sky."""
        return habitat(self.thing) == "sky"

    @property
    def size(self) -> float:
        """Usual height beside others."""
        if self.thing.ref is not None:
            return 3.0 * self.thing.size
        own = ICONS[self.thing.symbol].size * self.thing.size
        return max(own, 0.9) * 1.3 if self.written else own

    @property
    def total(self) -> float:
        """Height of the whole tree in the same measure."""
        height = self.size
        for kind, part in self.parts:
            if kind in ("on", "inside"):
                height = max(height, self.size * (1 - _SURFACE.get(self.thing.icon or "", 0.1)) + part.total)
            elif kind == "above":
                height += part.total * 1.1
        return height

    @property
    def span(self) -> float:
        """Width that the tree would like, in the same measure."""
        columns = self.thing.count if self.thing.count <= 6 else math.ceil(math.sqrt(self.thing.count * 1.6))
        width = self.aspect * self.size * columns * (1 + GAP)
        beside: dict[str, float] = {}
        for kind, part in self.parts:
            beside[kind] = beside.get(kind, 0.0) + part.span
        return max([width, *beside.values()])

    def join(self, other: Unit, kind: str) -> None:
        """Put another unit on, in, above or before this one."""
        other.parent = self
        self.parts.append((kind, other))


def grid(n: int, aspect: float, cell: Box, cap: float, anchor: str, rows: int = 0) -> list[Box]:
    """`n` equal boxes of an aspect inside a cell, in rows that a person can count: at most ten to a row.

    `cap` bounds their height. They stand on the cell's base ("base") or around its middle ("middle").
    """
    if n <= 0:
        return []
    best: tuple[float, int] = (0.0, 1)
    choices = [math.ceil(n / rows)] if 0 < rows <= n else range(1, min(n, 10) + 1)
    for columns in choices:
        lines = math.ceil(n / columns)
        h = min(cap, cell.height / (lines + GAP * (lines - 1)), cell.width / (columns * aspect * (1 + GAP)))
        even = 1.0 if n % columns == 0 else 0.93
        # what stands on the ground should not stand in the air
        flat = 1.0 if lines == 1 or n > 10 else (0.3 if n <= 5 else 0.6) if anchor == "base" else 0.72
        if h * even * flat > best[0] * 1.0001:
            best = (h * even * flat, columns)
    columns = best[1]
    lines = math.ceil(n / columns)
    h = min(cap, cell.height / (lines + GAP * (lines - 1)), cell.width / (columns * aspect * (1 + GAP)))
    w, step_x, step_y = h * aspect, h * aspect * (1 + GAP), h * (1 + GAP)
    if columns > 1 and lines == 1:
        # spread a single row a little, but keep it a group
        step_x = min((cell.width - w) / (columns - 1), w * 1.45 + 0.02 * cell.width)
    height = step_y * (lines - 1) + h
    top = cell.y1 - height if anchor == "base" else cell.cy - height / 2
    out = []
    for i in range(n):
        r, c = divmod(i, columns)
        in_row = min(columns, n - r * columns)
        left = cell.cx - (step_x * (in_row - 1) + w) / 2
        x, y = left + c * step_x, top + r * step_y
        out.append(Box(x, y, x + w, y + h))
    return out


def arrange_row(units: list[Unit], zone: Box, anchor: str, order: list[tuple[Unit, Unit]]) -> list[Placed]:
    """Units beside each other in a zone, in the order that the relations ask for, none overlapping."""
    units = _sorted(units, order)
    tied = {id(u.root) for pair in order for u in pair}
    if len(units) >= 4 and anchor == "base" and not any(id(u) in tied for u in units):
        crowd = sum(u.span / u.total for u in units) * zone.height * 0.8
        if crowd > 1.7 * zone.width:
            return _two_rows(units, zone, order)
    return _one_row(units, zone, anchor, order)


def _one_row(units: list[Unit], zone: Box, anchor: str, order: list[tuple[Unit, Unit]]) -> list[Placed]:
    units = _sorted(units, order)
    tallest = max(u.total for u in units)
    weights = [max(0.2, u.span) for u in units]
    gap = 0.025 * zone.width if len(units) > 1 else 0.0
    room = max(1.0, zone.width - gap * (len(units) - 1))
    # heights shrink less than real sizes do: a cup beside a house must still be seen
    relative = [(u.total / tallest) ** 0.55 for u in units]
    wanted = [w / u.total * zone.height * r for w, u, r in zip(weights, units, relative, strict=True)]
    total = sum(wanted)
    if total > room:
        widths = [room * w / total for w in wanted]
    else:
        spare = (room - total) / len(units)
        widths = [w + spare for w in wanted]
    out: list[Placed] = []
    x = zone.x0
    for unit, width, r in zip(units, widths, relative, strict=True):
        height = zone.height * r
        y0 = zone.y1 - height if anchor == "base" else zone.cy - height / 2
        cell = Box(x, y0, x + width, y0 + height)
        out += _unit(unit, cell, anchor)
        x += width + gap
    return out


def _two_rows(units: list[Unit], zone: Box, order: list[tuple[Unit, Unit]]) -> list[Placed]:
    """Many units on a tall zone: the larger ones behind, the smaller ones in front and lower."""
    ranked = sorted(units, key=lambda u: -u.total)
    half = (len(units) + 1) // 2
    back = [u for u in units if any(u is r for r in ranked[:half])]
    front = [u for u in units if not any(u is b for b in back)]
    middle = zone.y0 + 0.53 * zone.height
    upper = Box(zone.x0, zone.y0, zone.x1, middle)
    return _one_row(back, upper, "base", order) + _one_row(
        front, Box(zone.x0, middle, zone.x1, zone.y1), "base", order
    )


def _sorted(units: list[Unit], order: list[tuple[Unit, Unit]]) -> list[Unit]:
    """A stable topological order; what stands in a circle keeps the order of mention."""
    inside = {id(u) for u in units}
    pairs = [(a.root, b.root) for a, b in order]
    pairs = [(a, b) for a, b in pairs if id(a) in inside and id(b) in inside and a is not b]
    rest, out = list(units), []
    while rest:
        free = next((u for u in rest if not any(b is u and a in rest for a, b in pairs)), rest[0])
        rest.remove(free)
        out.append(free)
        # bring its neighbours up, so that pairs stay together
        follow = [b for a, b in pairs if a is free and b in rest]
        rest = follow + [u for u in rest if u not in follow] if follow else rest
    return out


def _unit(unit: Unit, cell: Box, anchor: str) -> list[Placed]:
    """One tree inside its cell."""
    if not unit.parts:
        cap = cell.height
        boxes = grid(unit.thing.count, unit.aspect, cell, cap, anchor, unit.thing.rows)
        return [Placed(unit.thing, i, b, cell) for i, b in enumerate(boxes)]
    above = [p for k, p in unit.parts if k == "above"]
    standing = [p for k, p in unit.parts if k in ("on", "inside")]
    before = [p for k, p in unit.parts if k == "in_front_of"]
    body = cell
    out: list[Placed] = []
    if above:
        share = sum(p.total for p in above) / len(above)
        top = cell.height * min(0.6, max(0.3, share / (share + unit.size)))
        for placed in _beside(above, Box(cell.x0, cell.y0, cell.x1, cell.y0 + top * 0.94), "middle"):
            placed.grounded = False
            out.append(placed)
        body = Box(cell.x0, cell.y0 + top, cell.x1, cell.y1)
    if standing:
        return out + _standing(unit, standing, body, [k for k, _ in unit.parts]) + _before(before, body)
    back = Box(body.x0, body.y0, body.x1, body.y1 - 0.12 * body.height) if before else body
    boxes = grid(unit.thing.count, unit.aspect, back, back.height, "base", unit.thing.rows)
    out += [Placed(unit.thing, i, b, cell, depth=-1 if before else 0) for i, b in enumerate(boxes)]
    return out + _before(before, body)


def _before(units: list[Unit], body: Box) -> list[Placed]:
    if not units:
        return []
    front = Box(body.x0, body.y1 - 0.52 * body.height, body.x1, body.y1)
    placed = _beside(units, front, "base")
    for p in placed:
        p.depth += 2
    return placed


def _beside(units: list[Unit], cell: Box, anchor: str) -> list[Placed]:
    return arrange_row(units, cell, anchor, [])


def _standing(unit: Unit, parts: list[Unit], body: Box, kinds: list[str]) -> list[Placed]:
    """What stands on a surface or in a vessel, and the thing beneath it."""
    surface = _SURFACE.get(unit.thing.icon or "", 0.1)
    tall = max(p.total for p in parts)
    own = unit.size
    share = own / (own * (1 - surface) + tall)
    if unit.thing.icon in ("table", "bed", "bench") and unit.thing.count == 1:
        share = max(share, 0.85 * body.width / unit.aspect / body.height)
        height = body.height * min(0.48, max(0.3, share))
    else:
        height = body.height * min(0.62, max(0.3, share))
    base = Box(body.x0, body.y1 - height, body.x1, body.y1)
    boxes = grid(unit.thing.count, unit.aspect, base, height, "base", unit.thing.rows)
    inside = "inside" in kinds
    out = [Placed(unit.thing, i, b, body, depth=1 if inside else 0) for i, b in enumerate(boxes)]
    left, right = min(b.x0 for b in boxes), max(b.x1 for b in boxes)
    top = min(b.y0 for b in boxes)
    own_height = boxes[0].height
    floor = top + own_height * (surface if not inside else 0.22)
    room = (
        max(right - left, 0.5 * body.width)
        if unit.thing.icon not in ("table", "bed", "bench")
        else (right - left) * 0.9
    )
    middle = (left + right) / 2
    stand = Box(middle - room / 2, body.y0, middle + room / 2, floor)
    if (
        inside
        and unit.thing.icon == "vase"
        and unit.thing.count == 1
        and all(p.thing.icon in _STEMS for p in parts)
    ):
        return out + _bouquet(parts, body, middle, top + 0.10 * own_height)
    parts = sorted(parts, key=lambda p: sum(p.place.x) if p.place and p.place.x else 1.0)
    for p in _beside(parts, stand, "base"):
        p.depth += 0 if inside else 1
        p.grounded = p.grounded and not inside
        out.append(p)
    return out


_STEMS = {"flower", "leaf", "palm", "pencil"}


def _bouquet(parts: list[Unit], body: Box, x: float, y: float) -> list[Placed]:
    """Stems that fan out of a vase's mouth at (x, y), in one arc or two, no head over another."""
    items = [(p, i) for p in parts for i in range(p.thing.count)]
    aspect = max(p.aspect for p in parts)
    room = max(1.0, min(y - body.y0, body.width * 0.5))
    rings = [items] if len(items) <= 7 else [items[: (len(items) * 3) // 5], items[(len(items) * 3) // 5 :]]
    out = []
    for k, ring in enumerate(rings):
        reach = room * (1.0 if k == 0 else 0.62)
        spread = 64.0 * min(1.0, len(ring) / 5 + 0.3)
        # heads are about half as wide as a flower is high, and must fit along their arc
        h = min(reach, math.radians(2 * spread) * reach * 0.8 / max(1, len(ring)) / 0.56, 0.62 * room)
        w = h * aspect
        for i, (part, index) in enumerate(ring):
            t = 0.5 if len(ring) == 1 else i / (len(ring) - 1)
            a = math.radians((t - 0.5) * 2 * spread)
            cx, cy = x + (reach - h / 2) * math.sin(a), y - (reach - h / 2) * math.cos(a)
            ex = (h * abs(math.sin(a)) + w * abs(math.cos(a))) / 2
            ey = (h * abs(math.cos(a)) + w * abs(math.sin(a))) / 2
            box = Box(cx - ex, cy - ey, cx + ex, cy + ey)
            placed = Placed(part.thing, index, box, body, depth=k - 2, angle=math.degrees(a), grounded=False)
            placed.height, placed.root = h, (x, y)
            out.append(placed)
    return out


def largest_free(zone: Box, obstacles: list[Box], margin: float) -> Box:
    """The largest part of a zone, cut side by side, that keeps clear of the obstacles."""
    free = zone
    for box in sorted(obstacles, key=lambda b: -b.area):
        grown = Box(box.x0 - margin, box.y0 - margin, box.x1 + margin, box.y1 + margin)
        if not free.overlaps(grown):
            continue
        cuts = [
            Box(free.x0, free.y0, free.x1, min(free.y1, grown.y0)),
            Box(free.x0, max(free.y0, grown.y1), free.x1, free.y1),
            Box(free.x0, free.y0, min(free.x1, grown.x0), free.y1),
            Box(max(free.x0, grown.x1), free.y0, free.x1, free.y1),
        ]
        best = max(cuts, key=lambda b: b.area)
        if best.area > 0.12 * zone.area:
            free = best
    return free


def unsatisfied(
    links: list[Link], items: list[Placed], references: dict[int, Box], full: object | None
) -> list[str]:
    """A sentence for each relation that the layout does not keep."""
    notes = []
    for link in links:
        a, b = _extent(link.a, items, references), _extent(link.b, items, references)
        if (
            a is None
            or b is None
            or holds(link.kind, a, b, _extent(link.c, items, references) if link.c else None)
        ):
            continue
        if full is not None and link.kind in ("above", "below", "on", "inside", "next_to"):
            continue  # within the photograph
        names = [t.noun or f"reference image {t.ref}" for t in (link.a, link.b)]
        notes.append(f"“{names[0]}” could not be put {_VERBS.get(link.kind, link.kind)} “{names[1]}”.")
    return notes


def _extent(thing: Thing, items: list[Placed], references: dict[int, Box]) -> Box | None:
    if thing.ref is not None:
        return references.get(thing.ref)
    boxes = [i.box for i in items if i.thing is thing]
    if not boxes:
        return None
    return Box(
        min(b.x0 for b in boxes), min(b.y0 for b in boxes), max(b.x1 for b in boxes), max(b.y1 for b in boxes)
    )


def holds(kind: str, a: Box, b: Box, c: Box | None = None) -> bool:
    """Whether two boxes stand in a relation."""
    match kind:
        case "left_of":
            return a.cx < b.cx and a.x1 <= b.x1
        case "right_of":
            return a.cx > b.cx and a.x0 >= b.x0
        case "above":
            return a.cy < b.cy
        case "below":
            return a.cy > b.cy
        case "on":
            return a.y1 <= b.y1 + 1 and a.x0 < b.x1 and b.x0 < a.x1
        case "inside":
            return a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1
        case "in_front_of":
            return a.y1 >= b.y1 - 1 or (b.y0 <= a.y0 and a.y1 <= b.y1)
        case "behind":
            return holds("in_front_of", b, a)
        case "between" if c is not None:
            return min(b.cx, c.cx) < a.cx < max(b.cx, c.cx)
        case _:
            gap = max(a.x0 - b.x1, b.x0 - a.x1, 0.0)
            return gap <= 2.0 * max(a.width, b.width)
