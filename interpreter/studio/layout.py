"""Where everything of a scene lies, in pixels: drawn pictures and those who check them read the same boxes.

Things stand in the nine cells of a stage; the strips above and below the stage are kept for lettering. Each thing's
box depends on its own place and arrangement alone; only where two groups want the same ground do they divide it.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import lru_cache

from genevolve.interpreter.studio.scene import Lettering, Scene, Thing, column_of, row_of

STAGE = (0.02, 0.16, 0.98, 0.845)
"""Left, top, right, bottom of the ground that things stand on, as shares of the picture."""
_BANDS = ((0.02, 0.142), (0.435, 0.557), (0.868, 0.985))
"""Upper and lower edges of the strips for lettering."""
_FILL = 0.86
"""Share of its cell that a thing takes; the rest is room for shadows and gaps."""
_SIZES = {"small": 0.66, "normal": 1.0, "large": 1.5}


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels: left, top, right, bottom."""

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
    def centre(self) -> tuple[float, float]:
        """The middle: across, down."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def overlaps(self, other: Box) -> bool:
        """Whether the two share some area."""
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of a thing: whose it is, which one, and the square it is drawn in."""

    thing: int
    copy: int
    x: int
    y: int
    side: int

    @property
    def box(self) -> Box:
        """The square."""
        return Box(self.x, self.y, self.x + self.side, self.y + self.side)


@dataclass(frozen=True, slots=True)
class Layout:
    """All that is drawn: the copies of things in drawing order, and a box for each lettering."""

    copies: tuple[Copy, ...]
    letterings: tuple[Box, ...]


@lru_cache(maxsize=256)
def lay_out(scene: Scene) -> Layout:
    """The layout of a scene; the same scene always gets the same."""
    texts = _texts(scene)
    taken = list(texts)
    copies: list[Copy] = []
    grounds = _grounds(scene, taken)
    for index, thing in enumerate(scene.things):
        if thing.merged_into is not None:
            copies.extend(_merged(index, thing, copies))
            continue
        copies.extend(_stand(index, thing, grounds[index], scene))
    return Layout(tuple(copies), tuple(texts))


def _texts(scene: Scene) -> list[Box]:
    found = []
    seats: dict[str, list[int]] = {}
    for i, lettering in enumerate(scene.letterings):
        seats.setdefault(lettering.place, []).append(i)
    for i, lettering in enumerate(scene.letterings):
        row, column = row_of(lettering.place), column_of(lettering.place)
        y0, y1 = _BANDS[row]
        x0, x1 = _text_columns(scene.letterings, row)[column]
        sharing = seats[lettering.place]
        step = (y1 - y0) / len(sharing)
        y0 += step * sharing.index(i)
        y1 = y0 + step * (0.94 if len(sharing) > 1 else 1.0)
        found.append(Box(x0 * scene.width, y0 * scene.height, x1 * scene.width, y1 * scene.height))
    return found


def _text_columns(letterings: tuple[Lettering, ...], row: int) -> dict[int, tuple[float, float]]:
    """Letterings of one row divide its width: the middle one has it all unless it has neighbours."""
    columns = {column_of(v.place) for v in letterings if row_of(v.place) == row}
    if 1 not in columns:
        return {0: (0.02, 0.49), 2: (0.51, 0.98)}
    if len(columns) == 1:
        return {1: (0.1, 0.9)}
    left = 0.34 if 0 in columns else 0.02
    right = 0.66 if 2 in columns else 0.98
    return {0: (0.02, 0.33), 1: (left, right), 2: (0.67, 0.98)}


def _grounds(scene: Scene, taken: list[Box]) -> dict[int, Box]:
    """The ground of each group: single things first, groups give way to them."""
    found: dict[int, Box] = {}
    standing = [i for i, t in enumerate(scene.things) if t.merged_into is None]
    seats: dict[str, list[int]] = {}
    for i in standing:
        if scene.things[i].count == 1:
            seats.setdefault(scene.things[i].place, []).append(i)
    for i in sorted(standing, key=lambda i: (scene.things[i].count > 1, i)):
        thing = scene.things[i]
        box = _wanted(thing, scene)
        if thing.count == 1:
            sharing = seats[thing.place]
            step = box.width / len(sharing)
            x0 = box.x0 + step * sharing.index(i)
            box = Box(x0, box.y0, x0 + step, box.y1)
        for other in (*taken, *found.values()):
            if box.overlaps(other):
                box = _cut(box, other)
        found[i] = box
    return found


def _wanted(thing: Thing, scene: Scene) -> Box:
    left, top, right, bottom = STAGE
    w, h = right - left, bottom - top
    row, column = row_of(thing.place), column_of(thing.place)
    cx, cy = left + w * (column + 0.5) / 3, top + h * (row + 0.5) / 3
    if thing.count == 1:
        x0, x1, y0, y1 = cx - w / 6, cx + w / 6, cy - h / 6, cy + h / 6
    elif thing.arrangement == "row":
        y0, y1 = cy - h / 6, cy + h / 6
        x0, x1 = _span(column if thing.count <= 6 else 1, left, right)
    elif thing.arrangement == "column":
        x0, x1 = cx - w / 6, cx + w / 6
        y0, y1 = _span(row, top, bottom) if thing.count <= 3 else (top, bottom)
    else:
        x0, x1 = _span(column, left, right) if column != 1 else (left + w / 6, right - w / 6)
        y0, y1 = _span(row, top, bottom) if row != 1 else (top + h / 8, bottom - h / 8)
    return Box(x0 * scene.width, y0 * scene.height, x1 * scene.width, y1 * scene.height)


def _span(index: int, low: float, high: float) -> tuple[float, float]:
    middle = (low + high) / 2
    return ((low, middle), (low, high), (middle, high))[index]


def _cut(box: Box, other: Box) -> Box:
    """What is left of a box beside, above or below another: the largest piece, never thinner than a few pixels."""
    pieces = [
        Box(box.x0, box.y0, min(box.x1, other.x0), box.y1),
        Box(max(box.x0, other.x1), box.y0, box.x1, box.y1),
        Box(box.x0, box.y0, box.x1, min(box.y1, other.y0)),
        Box(box.x0, max(box.y0, other.y1), box.x1, box.y1),
    ]
    wide = [p for p in pieces if p.width >= 12 and p.height >= 12]
    return max(wide, key=lambda p: p.width * p.height) if wide else box


def _stand(index: int, thing: Thing, box: Box, scene: Scene) -> list[Copy]:
    cell = min(scene.width * (STAGE[2] - STAGE[0]), scene.height * (STAGE[3] - STAGE[1]) * 1.4) / 3
    if thing.count == 1:
        fit = min(box.width, box.height) * _FILL
        side = fit * _SIZES[thing.size] if thing.size != "large" else min(fit * 1.5, cell * 1.5)
        return [_copy(index, 0, *box.centre, side)]
    seats, room = _seats(thing, box, scene.seed * 31 + index)
    side = min(room * _FILL, cell * _FILL) * min(1.0, _SIZES[thing.size])
    return [_copy(index, k, x, y, side) for k, (x, y) in enumerate(seats)]


def _seats(thing: Thing, box: Box, seed: int) -> tuple[list[tuple[float, float]], float]:
    """Middles of the copies, and the side of the square that each has for itself."""
    n, (cx, cy) = thing.count, box.centre
    if thing.arrangement == "row":
        step = min(box.width / n, box.height * 1.25)
        return [(cx + step * (k - (n - 1) / 2), cy) for k in range(n)], min(step, box.height)
    if thing.arrangement == "column":
        step = min(box.height / n, box.width * 1.25)
        return [(cx, cy + step * (k - (n - 1) / 2)) for k in range(n)], min(step, box.width)
    if thing.arrangement == "circle" and n > 2:
        return _ring(n, box)
    rows = 1 if n <= 2 else 2 if n <= 8 else 3
    if thing.arrangement == "scattered":
        return _scatter(n, box, seed)
    columns = math.ceil(n / rows)
    room = min(box.width / columns, box.height / rows)
    seats: list[tuple[float, float]] = []
    for r in range(rows):
        here = min(columns, n - r * columns)
        y = cy + room * (r - (rows - 1) / 2)
        seats.extend((cx + room * (k - (here - 1) / 2), y) for k in range(here))
    return seats, room


def _ring(n: int, box: Box) -> tuple[list[tuple[float, float]], float]:
    """Copies on an oval, each with as large a square as neighbours leave it."""
    cx, cy = box.centre
    turns = [2 * math.pi * k / n - math.pi / 2 for k in range(n)]

    def seats(room: float) -> list[tuple[float, float]]:
        rx, ry = (box.width - room) / 2, (box.height - room) / 2
        return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in turns]

    low, high = 0.0, min(box.width, box.height)
    for _ in range(16):
        room = (low + high) / 2
        found = seats(room)
        gap = min(max(abs(a[0] - b[0]), abs(a[1] - b[1])) for i, a in enumerate(found) for b in found[:i])
        low, high = (room, high) if gap >= room else (low, room)
    return seats(low), low


def _scatter(n: int, box: Box, seed: int) -> tuple[list[tuple[float, float]], float]:
    chance = random.Random(seed)  # noqa: S311 - a reproducible picture, no secret
    columns = max(1, math.ceil(math.sqrt((n + 1) * box.width / max(1.0, box.height))))
    rows = math.ceil((n + 1) / columns)
    w, h = box.width / columns, box.height / rows
    room = min(w, h) * 0.8
    cells = sorted(chance.sample(range(columns * rows), n))
    seats = []
    for cell in cells:
        x = box.x0 + w * (cell % columns + 0.5) + (chance.random() - 0.5) * (w - room)
        y = box.y0 + h * (cell // columns + 0.5) + (chance.random() - 0.5) * (h - room)
        seats.append((x, y))
    return seats, room


def _merged(index: int, thing: Thing, copies: list[Copy]) -> list[Copy]:
    hosts = [c for c in copies if c.thing == thing.merged_into]
    found = []
    for k in range(thing.count):
        host = hosts[k % len(hosts)]
        shift = round(host.side * 0.34)
        found.append(Copy(index, k, host.x + shift, host.y, host.side))
    return found


def _copy(index: int, k: int, x: float, y: float, side: float) -> Copy:
    whole = max(6, round(side))
    return Copy(index, k, round(x - whole / 2), round(y - whole / 2), whole)
