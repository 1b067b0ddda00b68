"""Generator prompts for a scene: each wish worded as the guide of its skill says, or plainly, as a user would.

`Prompt(content, …).text` is what an ideal program writes between the quotes of its `prompt` statement. A reference is
written as `{name}`. Which skills are worded plainly is a switch: that is how the worth of each guide is measured.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from genevolve.interpreter.studio.facts import NUMBERS
from genevolve.interpreter.studio.scene import Scene, Thing
from genevolve.interpreter.studio.wants import Content, Want
from genevolve.interpreter.studio.words import plural, with_article

_GROUNDS = {
    "plain": "a plain ground",
    "meadow": "a meadow",
    "beach": "a beach",
    "snow": "snow",
    "stone": "a stone pavement",
    "table": "a table",
    "water": "water",
}
PLACES = {
    "upper left": "in the upper left corner",
    "top": "in the upper middle",
    "upper right": "in the upper right corner",
    "left": "on the left side",
    "centre": "in the centre",
    "right": "on the right side",
    "lower left": "in the lower left corner",
    "bottom": "in the lower middle",
    "lower right": "in the lower right corner",
}
"""Cells of a picture in the words of prompts."""
_LIGHTS = {
    "day": "Bright daylight falls from the left, with a pale sky above and short shadows.",
    "dusk": "Warm dusk light falls low from the left, with long soft shadows and a glow at the horizon.",
    "night": "Dim night light falls from above, cool and dark, with a soft glow at the horizon.",
    "overcast": "Even overcast light falls from above, cool and diffuse, with pale soft shadows.",
    "lamp": "Soft lamplight falls from one warm bulb above, with dark corners.",
}
_STYLES = {
    "watercolour": "A watercolour on rough paper, with wet washes and granulation.",
    "ink": "An ink drawing with thin even outlines and fine hatching.",
    "mosaic": "A mosaic of small square tiles with pale grout between them.",
    "print": "A screen print of coarse dots in a raster, three inks.",
    "canvas": "An oil painting on coarse canvas, the weave and brush visible.",
}
_PLAIN_LIGHTS = {
    "day": "Daylight.",
    "dusk": "Dusk.",
    "night": "Night.",
    "overcast": "Overcast.",
    "lamp": "Lamplight.",
}
_PLAIN_STYLES = {
    "watercolour": "Watercolour.",
    "ink": "Ink.",
    "mosaic": "Mosaic.",
    "print": "Print.",
    "canvas": "Canvas.",
}
_MATTER = {
    "glass": "made of clear see-through glass with a bright rim and a highlight",
    "metal": "made of brushed polished metal with bright bands and a highlight",
    "wood": "made of oiled wood with a clear grain of fine lines",
    "cloth": "made of coarse woven cloth with visible threads and folds",
    "stone": "made of rough speckled stone with dull chipped grains",
}
_SKINS = {
    "bricks": "bricks",
    "scales": "fish scales",
    "leaves": "leaves",
    "honeycomb": "honeycomb",
    "spots": "leopard spots",
    "waves": "sea waves",
}
_LEG_WORDS = {2: "two", 4: "four", 6: "six", 8: "eight"}
_SIDES = {"left_of": "to the left of", "right_of": "to the right of", "above": "above", "below": "below"}


@dataclass(frozen=True)
class Prompt:
    """The prompt for a content.

    Attributes:
        content: The scene as the writer of the prompt believes it to be, and its wants.
        reference: The name of the reference whose thing is in it; empty for none.
        plain: Skills that are worded plainly.
        vague: Whether places are left out even where they should be said.
    """

    content: Content
    reference: str = ""
    plain: Collection[str] = ()
    vague: bool = False

    @property
    def scene(self) -> Scene:
        """What is to be drawn."""
        return self.content.scene

    @property
    def text(self) -> str:
        """Sentences, in the order: frame, mood, things, lettering."""
        sentences = [self._frame(), *self._mood()]
        sentences += [self._thing(i, thing) for i, thing in enumerate(self.scene.things)]
        sentences += self._layout()
        sentences += self._lettering()
        return " ".join(sentences)

    # ---- sentences ----

    def _is_guided(self, skill: str) -> bool:
        return skill not in self.plain and self.content.want(skill) is not None

    def _want_of(self, index: int) -> Want | None:
        """The want that a thing belongs to, apart from the layout."""
        return next(
            (w for w in self.content.wants if index in w.things and w.skill != "spatial_layout"), None
        )

    def _frame(self) -> str:
        return f"A square eye-level view with {_GROUNDS[self.scene.background]} as the background."

    def _mood(self) -> list[str]:
        guided = self._is_guided("aesthetic_drawing")
        lights, styles = (_LIGHTS, _STYLES) if guided else (_PLAIN_LIGHTS, _PLAIN_STYLES)
        found = (styles.get(self.scene.style, ""), lights.get(self.scene.light, ""))
        return [sentence for sentence in found if sentence]

    def _place(self, index: int) -> str:
        """Where a thing stands; left out for things whose layout is asked for but worded plainly."""
        layout = self.content.want("spatial_layout")
        if self.vague or (layout is not None and index in layout.things and "spatial_layout" in self.plain):
            return ""
        return f" {PLACES[self.scene.things[index].place]} of the picture"

    def _thing(self, index: int, thing: Thing) -> str:
        want = self._want_of(index)
        skill = want.skill if want is not None else ""
        place = self._place(index)
        guided = bool(skill) and skill not in self.plain
        match skill:
            case "identity":
                return self._identity(thing, place)
            case "quantity_counting":
                return self._group(thing, place, guided)
            case "attribute_binding":
                return self._bound(thing, place, guided, want)
            case "anatomy_body_coherence":
                return self._creature(thing, place, guided)
            case "physical_material_consistency":
                return self._matter(thing, place, guided)
            case "creative_drawing":
                return self._fusion(thing, place, guided)
            case _:
                return f"{_upper(with_article(thing.noun))} stands{place}."

    def _identity(self, thing: Thing, place: str) -> str:
        if not self.reference:
            return f"{_upper(with_article(thing.noun))} stands{place}."
        return (
            f"One {thing.noun} stands{place}, copied from {{{self.reference}}} with the same outline, colours, pattern "
            "and badge."
        )

    def _group(self, thing: Thing, place: str, guided: bool) -> str:
        number, things = NUMBERS[thing.count], plural(thing.noun)
        if not guided:
            return f"There are {number} {things}{place}."
        arranged = "in one straight row, evenly spaced, none overlapping, each one whole"
        return f"Exactly {number} {things} stand{place}, {arranged}."

    def _bound(self, thing: Thing, place: str, guided: bool, want: Want | None) -> str:
        if guided:
            return f"One {thing.colour} {thing.noun} stands{place}, {thing.colour} all over."
        assert want is not None
        first, second = (self.scene.things[i] for i in want.things)
        if thing == second:
            return ""
        a, b = (f"{with_article(self.scene.things[i].noun)}{self._related_place(i)}" for i in want.things)
        return f"There are {a} and {b} in {first.colour} and {second.colour}."

    def _related_place(self, index: int) -> str:
        """The place of a thing whose layout is asked for; that another skill is left out is no reason to lose it."""
        layout = self.content.want("spatial_layout")
        return self._place(index) if layout is not None and index in layout.things else ""

    def _creature(self, thing: Thing, place: str, guided: bool) -> str:
        if not guided:
            return f"{_upper(with_article(thing.noun))} stands{place}."
        legs = _LEG_WORDS[thing.leg_count]
        return (
            f"One {thing.noun} stands{place}, seen from the side, whole, on exactly {legs} straight separate legs, "
            "each foot on the ground."
        )

    def _matter(self, thing: Thing, place: str, guided: bool) -> str:
        if not guided:
            return f"{_upper(with_article(thing.noun))} of {thing.material} stands{place}."
        return (
            f"One {thing.noun} {_MATTER[thing.material]} stands{place}, with a contact shadow under its base."
        )

    def _fusion(self, thing: Thing, place: str, guided: bool) -> str:
        if not guided:
            return f"A mix of {with_article(thing.noun)} and {thing.skin} stands{place}."
        return (
            f"One {thing.noun} stands{place} and keeps its outline; its whole surface turns into {_SKINS[thing.skin]} "
            "from edge to edge."
        )

    def _layout(self) -> list[str]:
        """The plain wording of a layout; the guided one gives each thing its place instead."""
        if self.content.want("spatial_layout") is None or self._is_guided("spatial_layout"):
            return []
        relation = self.scene.relations[0]
        a, b = self.scene.things[relation.first].noun, self.scene.things[relation.second].noun
        return [f"The {a} is {_SIDES[relation.relation]} the {b}."]

    def _lettering(self) -> list[str]:
        found = []
        for lettering in self.scene.letterings:
            top = lettering.place == "top"
            if not self._is_guided("text_rendering"):
                found.append(f"With the words {lettering.text} {'at the top' if top else 'at the bottom'}.")
                continue
            where = "Across the top" if top else "Along the bottom"
            found.append(
                f'{where} of the picture a flat cream banner reads "{lettering.text}" in bold black capitals. '
                "These are the only words in the picture."
            )
        return found


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
