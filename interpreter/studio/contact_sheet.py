"""A contact sheet of the generator's failures: for each one, pictures of a bare and of a guided wording."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from PIL import Image, ImageDraw, ImageFont

from genevolve.grammar.z import Settings, Z
from genevolve.interpreter.studio.drawing import draw
from genevolve.interpreter.studio.failures import BY_NAME
from genevolve.interpreter.studio.generator import intend
from genevolve.interpreter.studio.scene import Look, Scene, Thing

_GAP, _CAPTION, _LEFT = 10, 62, 150
_REFERENCE = Scene(
    things=(Thing("emblem", look=Look("shield", "red", "yellow", "chevron", "key"), size="large"),),
    light="day",
)


@dataclass(frozen=True)
class Pair:
    """Two wordings of one wish: the bare one, and the one that the guide of the skill asks for."""

    failure: str
    bare: str
    guided: str
    reference: bool = False


PAIRS: tuple[Pair, ...] = (
    Pair(
        "count",
        "Seven yellow stars on a meadow.",
        "Exactly seven yellow stars stand in one straight row in the centre, on a meadow.",
    ),
    Pair(
        "leak",
        "A cup on the left and a bell on the right in red and blue.",
        "A red cup stands on the left. A blue bell stands on the right.",
    ),
    Pair(
        "text",
        "A banner with the words HARBOUR DAYS.",
        'Across the top a cream banner reads "HARBOUR DAYS" in black capitals. These are the only words.',
    ),
    Pair(
        "layout",
        "A green kite left of a brown house.",
        "A green kite stands in the upper left. A brown house stands in the lower right.",
    ),
    Pair(
        "merge",
        "An orange boat and a purple house side by side.",
        "An orange boat stands on the left. A purple house stands on the right.",
    ),
    Pair(
        "identity",
        "The large emblem of the town in the centre.",
        "The large emblem from the first reference image stands in the centre: "
        "same outline, colours, pattern and figure.",
        reference=True,
    ),
    Pair(
        "anatomy",
        "A large black horse.",
        "A large black horse, seen from the side, whole, on exactly four straight legs, each touching the ground.",
    ),
    Pair(
        "material",
        "A large brown house of wood.",
        "A large brown house of oiled wood with a visible grain, a contact shadow under its base.",
    ),
    Pair(
        "shadow",
        "A large blue bottle of clear glass with a bright rim.",
        "A large blue bottle of clear glass with a bright rim and a contact shadow under its base.",
    ),
    Pair(
        "skin",
        "A mix of a large turquoise boat and bricks.",
        "A large turquoise boat keeps its outline; its whole surface turns into bricks from edge to edge.",
    ),
    Pair(
        "light",
        "A large red tower at dusk.",
        "A large red tower. Warm dusk light falls low, with long soft shadows and a glow at the horizon.",
    ),
    Pair(
        "style",
        "A large green tree. Mosaic.",
        "A large green tree. A mosaic of small square tiles with pale grout.",
    ),
)
"""What the sheet shows, from top to bottom."""


def contact_sheet(each: int = 3, side: int = 192) -> Image.Image:
    """The sheet: a row for each failure; bare wordings on the left, guided ones on the right.

    The bare pictures are chosen so that the failure is seen: the first seeds at which it happens, and the first at
    which it does not. The guided pictures are those of the first seeds, whatever happens.

    Args:
        each: Pictures of each wording, at least 2.
        side: Of each picture, in pixels.
    """
    columns = 2 * each
    width = _LEFT + columns * (side + _GAP) + 3 * _GAP
    height = len(PAIRS) * (side + _CAPTION) + 44
    sheet = Image.new("RGB", (width, height), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    middle = _LEFT + each * (side + _GAP) + 2 * _GAP
    pen.text((_LEFT, 10), "bare wording", fill=(20, 20, 20), font=_font(22))
    pen.text((middle, 10), "worded as the guide says", fill=(20, 20, 20), font=_font(22))
    for row, pair in enumerate(PAIRS):
        y = 44 + row * (side + _CAPTION)
        pen.text((_GAP, y + side // 2 - 24), pair.failure, fill=(20, 20, 20), font=_font(20))
        pen.text((_GAP, y + side // 2), _rates(pair.failure), fill=(90, 90, 90), font=_font(14))
        for x, prompt in ((_LEFT, pair.bare), (middle, pair.guided)):
            pictures = _pictures(pair, prompt, each)
            for i, picture in enumerate(pictures):
                small = picture.resize((side, side), Image.Resampling.LANCZOS)
                sheet.paste(small, (x + i * (side + _GAP), y))
            for k, line in enumerate(_wrapped(prompt, each * (side + _GAP), _font(15))[:2]):
                pen.text((x, y + side + 6 + 19 * k), line, fill=(60, 60, 60), font=_font(15))
    return sheet


def _pictures(pair: Pair, prompt: str, each: int) -> list[Image.Image]:
    given = [draw(_REFERENCE)] if pair.reference and prompt == pair.guided else []
    shown: dict[bool, list[Scene]] = {True: [], False: []}
    first: list[Scene] = []
    for seed in range(60):
        scene, trace = intend(Z("", prompt, settings=Settings(384, 384, seed=seed)), given)
        others = trace.names() - {pair.failure, "layout", "caption"}
        if prompt == pair.guided or not others:
            shown[pair.failure in trace.names()].append(scene)
            first.append(scene)
    if prompt == pair.guided:
        return [draw(scene) for scene in first[:each]]
    chosen = [*shown[True][: each - 1], *shown[False][:1], *shown[True][each - 1 :], *first]
    return [draw(scene) for scene in chosen[:each]]


def _rates(name: str) -> str:
    bare, _, guided = BY_NAME[name].rates
    return f"{bare:.0%} to {guided:.1%}"


def _wrapped(text: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _font(size: int) -> ImageFont.FreeTypeFont:
    folder = resources.files("genevolve.interpreter.renderers.storyboard") / "fonts"
    with resources.as_file(folder / "SourceSansPro-Regular.ttf") as path:
        return ImageFont.truetype(path, size)
