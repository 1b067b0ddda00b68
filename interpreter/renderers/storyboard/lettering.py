"""Where texts stand: blocks at the edges, in the corners and the middle, large and never overlapping."""

from __future__ import annotations

from dataclasses import dataclass

from genevolve.interpreter.renderers.storyboard.scene import Box, Lettering, Place, Scene
from genevolve.interpreter.renderers.storyboard.typeset import Face, Fitted, Typesetter, fit

_CAPS = {"title": 0.15, "subtitle": 0.055, "caption": 0.042, "text": 0.085}
_BLOCK_GAP = 0.16  # of the letter size, between texts of one block


@dataclass
class PlacedText:
    """A text in its box (pixels), aligned "left", "center" or "right"."""

    text: Lettering
    fitted: Fitted
    box: Box
    align: str


@dataclass
class _Block:
    """Texts that share a region, one below the other."""

    region: Box
    anchor: str
    align: str
    texts: list[tuple[Lettering, Face, str]]


def place_texts(
    scene: Scene, width: int, height: int, typesetter: Typesetter
) -> tuple[list[PlacedText], list[str]]:
    """All texts that stand on the canvas itself; those on a thing are set when the thing is drawn."""
    notes: list[str] = []
    blocks: dict[tuple[str, str, Box], _Block] = {}
    free = [t for t in scene.texts if t.carrier is None]
    if not scene.things:
        for text in free:
            text.scale *= 1.5  # nothing but letters: let them fill the picture
    _default_places(free)
    for text in free:
        serif = text.serif if text.serif is not None else text.role == "title"
        face, shown, missing = typesetter.choose(text.shown, serif, text.bold, text.italic)
        if missing:
            notes.append(missing_note(text.value, missing))
        if not shown.strip():
            continue
        region, anchor, align = _region(text.place or Place(), width, height)
        block = blocks.setdefault((anchor, align, region), _Block(region, anchor, align, []))
        block.texts.append((text, face, shown))
    placed: list[PlacedText] = []
    ordered = sorted(
        blocks.values(), key=lambda b: (not any(t.role == "title" for t, _, _ in b.texts), -b.region.area)
    )
    for block in ordered:
        done, left_out = _place_block(block, placed, width, height)
        placed += done
        notes += [f"No room is left for the text “{t.value[:60]}”." for t in left_out]
    return placed, notes


def missing_note(value: str, missing: str) -> str:
    """The sentence about characters that no font has."""
    shown = " ".join(missing[:12])
    more = f" and {len(missing) - 12} more" if len(missing) > 12 else ""
    return f"The fonts have no glyphs for {shown}{more}; they are left out of “{value[:40]}”."


def _default_places(texts: list[Lettering]) -> None:
    """A title at the top, its subtitle beneath, captions at the bottom, the rest where room is."""
    top = any(t.place is not None and t.place.y is not None and t.place.y[1] <= 0.5 for t in texts)
    first = next((t for t in texts if t.role == "title"), None)
    for index, text in enumerate(texts):
        if text.place is not None and (
            text.place.y is not None or (text.place.x is not None and text.place.x != (0.0, 1.0))
        ):
            continue
        previous = texts[index - 1].place if index else None
        if text.role == "title" or (text.role == "text" and not top and first is None):
            text.place, top = Place((0.0, 1.0), (0.0, 0.3)), True
            text.role = "title" if len(text.value) <= 40 else text.role
        elif text.role == "subtitle":
            text.place = Place((0.0, 1.0), (0.0, 0.3))
        elif text.role == "caption" or previous is None:
            text.place = Place((0.0, 1.0), (0.7, 1.0))
        else:
            text.place = previous if index > 1 else Place((0.0, 1.0), (0.7, 1.0))


def _region(place: Place, width: int, height: int) -> tuple[Box, str, str]:
    """The box that a place gives to lettering, which edge it keeps to, and its alignment."""
    m = 0.05 * min(width, height)
    x0, x1 = place.x or (0.0, 1.0)
    y0, y1 = place.y or (0.12, 0.88)
    anchor = "top" if y0 <= 0.02 and y1 < 0.75 else "bottom" if y1 >= 0.98 and y0 > 0.25 else "middle"
    align = "left" if x0 <= 0.02 and x1 < 0.7 else "right" if x1 >= 0.98 and x0 > 0.3 else "center"
    box = Box(x0 * width, y0 * height, x1 * width, y1 * height)
    return (
        Box(max(box.x0, m), max(box.y0, m * 0.8), min(box.x1, width - m), min(box.y1, height - m * 0.8)),
        anchor,
        align,
    )


def _place_block(
    block: _Block, placed: list[PlacedText], width: int, height: int
) -> tuple[list[PlacedText], list[Lettering]]:
    """Fit a block beside what is placed: smaller and smaller, at last text by text."""
    shrink = 1.0
    for _ in range(14):
        settings = _fit_block(block, shrink, width, height)
        if settings is not None:
            box = _free_box(block, settings, placed, width, height)
            if box is not None:
                return _stack(block, settings, box), []
        shrink *= 0.82
    if len(block.texts) == 1:
        return [], [block.texts[0][0]]
    done: list[PlacedText] = []
    left: list[Lettering] = []
    for one in block.texts:
        more, out = _place_block(
            _Block(block.region, block.anchor, block.align, [one]), placed + done, width, height
        )
        done += more
        left += out
    return done, left


def _fit_block(block: _Block, shrink: float, width: int, height: int) -> list[Fitted] | None:
    short = min(width, height)
    floor = max(7.0, 0.016 * short)
    share = block.region.height / len(block.texts)
    out: list[Fitted] = []
    for text, face, shown in block.texts:
        cap = _CAPS[text.role] * min(height, width * 1.25) * text.scale * shrink
        if out and text.scale <= block.texts[0][0].scale and text.role != "title":
            cap = max(floor, min(cap, out[-1].size))  # what comes after is no larger than what comes before
        room = (
            share
            if len(block.texts) > 1 and text.role != "title"
            else block.region.height * (0.9 if len(block.texts) == 1 else 0.6)
        )
        fitted = fit(
            shown, face, block.region.width, max(room, floor * 1.3) * max(shrink, 0.5), max(cap, floor), floor
        )
        if fitted is None:
            return None
        out.append(fitted)
    return out


def _free_box(
    block: _Block, settings: list[Fitted], placed: list[PlacedText], width: int, height: int
) -> Box | None:
    """Where the block stands: at its edge, or moved from there until it is clear of other texts."""
    h = _height(settings)
    w = max(f.width for f in settings)
    region = block.region
    x0 = {"left": region.x0, "right": region.x1 - w, "center": region.cx - w / 2}[block.align]
    pad = 0.012 * min(width, height)
    start = {"top": region.y0, "bottom": region.y1 - h, "middle": region.cy - h / 2}[block.anchor]
    step = max(2.0, 0.02 * height)
    for k in range(60):
        for sign in (1,) if block.anchor == "top" else (-1,) if block.anchor == "bottom" else (1, -1):
            y = start + sign * k * step
            box = Box(x0, y, x0 + w, y + h)
            limit = Box(region.x0 - 1, 0.015 * height, region.x1 + 1, 0.985 * height)
            inside = box.y0 >= limit.y0 and box.y1 <= limit.y1
            if inside and not any(box.inset(-pad).overlaps(p.box) for p in placed):
                return box
        if k * step > 0.4 * height:
            break
    return None


def _height(settings: list[Fitted]) -> float:
    return sum(f.height for f in settings) + sum(f.size * _BLOCK_GAP for f in settings[1:])


def _stack(block: _Block, settings: list[Fitted], box: Box) -> list[PlacedText]:
    out = []
    y = box.y0
    for k, ((text, _, _), fitted) in enumerate(zip(block.texts, settings, strict=True)):
        y += fitted.size * _BLOCK_GAP if k else 0.0
        x0 = {"left": box.x0, "right": box.x1 - fitted.width, "center": box.cx - fitted.width / 2}[
            block.align
        ]
        out.append(PlacedText(text, fitted, Box(x0, y, x0 + fitted.width, y + fitted.height), block.align))
        y += fitted.height
    return out
