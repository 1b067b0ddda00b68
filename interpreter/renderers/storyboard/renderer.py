"""The storyboard as a `Renderer`: z in, a picture and honest notes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from genevolve.grammar.errors import AuthorError, ConfigurationError
from genevolve.grammar.z import Z
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.renderers.storyboard import (
    icons_food,
    icons_living,
    icons_places,
    icons_things,
)
from genevolve.interpreter.renderers.storyboard.draw import Painter
from genevolve.interpreter.renderers.storyboard.layout import Layout, lay_out
from genevolve.interpreter.renderers.storyboard.meaning import understand
from genevolve.interpreter.renderers.storyboard.photos import load
from genevolve.interpreter.renderers.storyboard.scene import Box, Scene
from genevolve.interpreter.renderers.storyboard.typeset import Typesetter
from genevolve.interpreter.values import ImageHandle

_VOCABULARY = (
    icons_living,
    icons_food,
    icons_things,
    icons_places,
)  # importing them fills the table of pictograms
_VERSION = "1"
MIN_SIDE, MAX_SIDE = 16, 8192


class StoryboardRenderer:
    """Draws what a z says as a flat illustration: references in place, lettering set, counted things, colours, layout.

    Deterministic: the same z and references give the same pixels. `Rendering.info["scene"]` has the boxes of all that
    was drawn, in pixels; `Rendering.notes` say what was not.

    Args:
        fonts: Font files for scripts that the bundled fonts lack.

    Raises:
        ConfigurationError: A font cannot be read.
    """

    name = "storyboard"

    def __init__(self, fonts: Sequence[Path] = ()) -> None:
        try:
            self._typesetter = Typesetter(fonts)
        except OSError as error:
            raise ConfigurationError(f"a font of the storyboard cannot be read: {error}") from error
        self._version = ""

    @property
    def version(self) -> str:
        """The drawing code's version and a hash of the fonts."""
        if not self._version:
            self._version = f"storyboard {_VERSION}, fonts {self._typesetter.digest()}"
        return self._version

    def refusals(self, z: Z) -> Sequence[str]:
        """Only a canvas that cannot be drawn is refused; all else is drawn as far as it goes, and noted."""
        width, height = z.settings.width, z.settings.height
        if not (MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE):
            return (
                f"The storyboard draws sizes from {MIN_SIDE} to {MAX_SIDE} pixels a side, not {width}x{height}.",
            )
        return ()

    def render(self, context: CallContext, z: Z, references: Sequence[ImageHandle]) -> Rendering:
        """Draw z.

        Raises:
            AuthorError: A reference cannot be read, or their number is not that of z, or the size is refused.
            Cancelled: The run was stopped.
        """
        if refused := self.refusals(z):
            raise AuthorError(refused[0])
        if len(references) != len(z.reference_images):
            raise AuthorError(
                f"z names {len(z.reference_images)} reference images, {len(references)} were given"
            )
        context.check()
        width, height = z.settings.width, z.settings.height
        photos = load(references, max(width, height))
        context.check()
        scene = understand(z)
        aspects = {n: p.width / p.height for n, p in photos.items()}
        layout = lay_out(scene, width, height, aspects, self._typesetter)
        context.check()
        painter = Painter(scene, layout, photos, self._typesetter, z.settings.seed, context.check)
        image = painter.paint()
        notes = tuple(dict.fromkeys([*scene.notes, *layout.notes, *painter.notes]))
        return Rendering(image, notes, {"scene": describe(scene, layout)})


def describe(scene: Scene, layout: Layout) -> dict[str, object]:
    """What was laid out, as plain data: boxes are [left, top, right, bottom] in pixels."""
    return {
        "size": [layout.width, layout.height],
        "setting": scene.setting,
        "light": list(scene.lights),
        "references": [
            {"ordinal": r.ordinal, "noun": r.thing.noun, "style": r.style, "box": _box(r.box)}
            for r in layout.references
        ],
        "things": [
            {"noun": i.thing.noun, "icon": i.thing.icon, "index": i.index, "box": _box(i.box)}
            for i in layout.items
        ],
        "texts": [
            {
                "value": t.text.value,
                "shown": " ".join(t.fitted.lines),
                "lines": len(t.fitted.lines),
                "size": t.fitted.size,
                "on": t.text.carrier.noun if t.text.carrier else None,
                "box": _box(t.box),
            }
            for t in [*layout.texts, *layout.texts_on_things]
        ],
    }


def _box(box: Box) -> list[float]:
    return [round(v, 1) for v in (box.x0, box.y0, box.x1, box.y1)]
