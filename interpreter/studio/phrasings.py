"""How requests are worded: every category has 48 phrasings, each a fixed choice of opener, order, joint and synonyms.

A phrasing is a number. The wording never says a fact that has to be looked up ("its motto", "its two colours"), and
never follows the guides of the skills: numbers are not arranged, words are not quoted, things share one sentence.
"""

from __future__ import annotations

from dataclasses import dataclass

from genevolve.interpreter.studio.entities import Entity
from genevolve.interpreter.studio.facts import KINDS, NUMBERS, Fact
from genevolve.interpreter.studio.scene import Scene, Thing
from genevolve.interpreter.studio.splits import PHRASINGS
from genevolve.interpreter.studio.wants import IDENTITY, Content, Want
from genevolve.interpreter.studio.words import GROUND_WORDS, LIGHT_WORDS, plural, with_article

OPENERS = (
    "A picture of {s} {g}.",
    "Draw {s} {g}.",
    "Please show {s} {g}.",
    "I need a card with {s} {g}.",
    "Make a poster of {s} {g}.",
    "A stamp that shows {s} {g}.",
    "Design a cover with {s} {g}.",
    "We would like a banner with {s} {g}.",
    "Create a label that has {s} {g}.",
    "For a ticket, show {s} {g}.",
    "Our calendar needs {s} {g}.",
    "Could you make a picture of {s} {g}?",
)
_JOINTS = ("Add {x}.", "There should also be {x}.", "Put in {x}.", "With it we want {x}.")
_CURRENT = (
    "the emblem of {s}",
    "the current emblem of {s}",
    "the emblem that {s} uses today",
    "the present emblem of {s}",
)
_ITSELF = ("{s} itself", "{s} as it looks today", "{s} in full view", "{s} as it appears now")
_TOP = ("across the top", "at the top", "at the upper edge", "on top of it all")
_BOTTOM = ("along the bottom", "at the bottom", "at the lower edge", "at the very bottom")
_LETTERED = ("{x} {at}", "{x} lettered {at}", "{x} in letters {at}", "{x} to be read {at}")
_NUMBERED = ("{n} {things}", "{n} {things} in all", "a set of {n} {things}", "{things}, {n} of them")
_PAIR_FACT = (
    "{a} in {its} first colour and {b} in {its} second colour",
    "{a} and {b}, painted in {its} first and second colour",
    "{a} and {b} in {its} two colours, in this order",
    "{a} of {its} first colour beside {b} of the second colour",
)
_PAIR = (
    "{a} and {b} in {one} and {two}",
    "{a} and {b}, {one} and {two} in this order",
    "{a} and {b} painted {one} and {two}",
    "{a} and {b} coloured {one} and {two}",
)
_WHOLE = (
    "{x} with all of the legs",
    "{x} with every leg in sight",
    "the whole of {x}, legs and all",
    "{x} complete with its legs",
)
_MADE_FACT = (
    "{a} of {its} usual material",
    "{a} made of {its} usual material",
    "{a} in the material that {it} is known for",
    "{a} from the material of {it}",
)
_MADE = ("{a} of {m}", "{a} made of {m}", "{a} that is made of {m}", "{a} all of {m}")
_GROWN = (
    "{a} with a skin of {skin}",
    "{a} covered in {skin}",
    "{a} that has grown {skin}",
    "a cross between {a} and {skin}",
)
_LIT_FACT = (
    "Use {its} usual light.",
    "It is seen in {its} usual light.",
    "All in {its} usual light.",
    "The light is {its} usual one.",
)
_LIT = ("Use {light}.", "It is seen in {light}.", "All in {light}.", "The light is {light}.")
_STYLED = ("Make it {style}.", "It should be {style}.", "All as {style}.", "As for the style, {style}.")
_STYLE_WORDS = {
    "watercolour": "a watercolour",
    "ink": "an ink drawing",
    "mosaic": "a mosaic",
    "print": "a print",
    "canvas": "a painting on canvas",
}
_SIDES = {
    "left_of": ("to the left of", "left of", "on the left of", "to the left of"),
    "right_of": ("to the right of", "right of", "on the right of", "to the right of"),
    "above": ("above", "over", "higher than", "above"),
    "below": ("below", "under", "lower than", "below"),
}
_STANDS = ("{a} is {side} {b}.", "{a} stands {side} {b}.", "{a} goes {side} {b}.", "We want {a} {side} {b}.")

_OCCASIONS = (
    "It is meant for a calendar with one picture for every month.",
    "We are going to print it on a postcard for our friends.",
    "It will hang as a poster in the hall beside the stairs.",
    "Think of a cover in a shop window, flat and clear.",
    "Collectors will see it as a label or as a stamp.",
    "Later it becomes a banner, with colours that people like.",
)
_SHORT = 20


@dataclass(frozen=True)
class Subject:
    """How a request names the entity whose facts it needs: by its own title, or by another entity and a relation."""

    entity: Entity
    named: str

    @property
    def it(self) -> str:
        """What it is called after it was named."""
        return KINDS[self.entity.kind].it


class Wording:
    """One phrasing of one content.

    Wording(content, subject, 17).text
    """

    def __init__(self, content: Content, subject: Subject | None, number: int) -> None:
        if not 0 <= number < PHRASINGS:
            raise ValueError(f"there are {PHRASINGS} phrasings, counted from 0, not {number}")
        self._content, self._subject = content, subject
        self._opener, self._variant = number % len(OPENERS), number // len(OPENERS)
        self._it = subject.it if subject is not None else ""
        self._its = f"{self._it}'s"

    @property
    def scene(self) -> Scene:
        """What is asked for."""
        return self._content.scene

    @property
    def text(self) -> str:
        """The request."""
        parts = [self._part(i, want) for i, want in enumerate(self._content.wants)]
        listed = [p for p in parts if p]
        told = self._told()
        bare = self._companions()
        listed.extend(bare)
        turn = (self._variant + self._opener) % max(1, len(listed))
        listed = listed[turn:] + listed[:turn]
        ground = GROUND_WORDS[self.scene.background]
        opener = OPENERS[self._opener]
        sentences = []
        if self._subject is not None:
            sentences.append(opener.format(s=self._identity(), g=ground))
            if listed:
                joint = _JOINTS[(self._variant + self._opener // 3) % len(_JOINTS)]
                sentences.append(joint.format(x=_listed(listed)))
        else:
            sentences.append(opener.format(s=_listed(listed), g=ground))
        text = " ".join([*sentences, *told])
        # Short requests come with an occasion, which a picture does not need and a search had better leave out.
        occasion = self._one(_OCCASIONS, 0)
        return f"{text} {occasion}" if len(text.split()) < _SHORT else text

    # ---- parts ----

    def _one(self, among: tuple[str, ...], place: int) -> str:
        return among[(self._variant + self._opener + place) % len(among)]

    def _identity(self) -> str:
        assert self._subject is not None
        thing = self.scene.things[0]
        among = _CURRENT if thing.noun == "emblem" else _ITSELF
        return self._one(among, 0).format(s=self._subject.named)

    def _part(self, i: int, want: Want) -> str:
        """What the request lists for a want; empty for those that are said in a sentence of their own."""
        things = [self.scene.things[t] for t in want.things]
        match want.skill:
            case "text_rendering":
                return self._lettering(i, want)
            case "quantity_counting":
                return self._number(i, want, things[0])
            case "attribute_binding":
                a, b = (with_article(t.noun) for t in things)
                among = _PAIR_FACT if want.fact else _PAIR
                return self._one(among, i).format(
                    a=a, b=b, its=self._its, one=things[0].colour, two=things[1].colour
                )
            case "anatomy_body_coherence":
                x = f"{self._its} mascot" if want.fact else with_article(things[0].noun)
                return self._one(_WHOLE, i).format(x=x)
            case "physical_material_consistency":
                among = _MADE_FACT if want.fact else _MADE
                a = with_article(things[0].noun)
                return self._one(among, i).format(a=a, its=self._its, it=self._it, m=things[0].material)
            case "creative_drawing":
                return self._one(_GROWN, i).format(a=with_article(things[0].noun), skin=things[0].skin)
            case _:
                return ""

    def _lettering(self, i: int, want: Want) -> str:
        lettering = self.scene.letterings[0]
        words = {
            "": f"the words {lettering.text}",
            Fact.MOTTO.value: f"{self._its} motto",
            Fact.FOUNDED.value: f"the founding year of {self._it}",
        }[want.fact]
        at = self._one(_TOP if lettering.place == "top" else _BOTTOM, i)
        return self._one(_LETTERED, i).format(x=words, at=at)

    def _number(self, i: int, want: Want, thing: Thing) -> str:
        things = plural(thing.noun)
        if want.fact and self._subject is not None:
            asked = KINDS[self._subject.entity.kind].count_asked
            return self._one(asked, i).format(things=things, it=self._it, its=self._its)
        return self._one(_NUMBERED, i).format(n=NUMBERS[thing.count], things=things)

    def _companions(self) -> list[str]:
        """Things that belong to no want but to the layout, or to none at all."""
        spoken = {t for w in self._content.wants if w.skill != "spatial_layout" for t in w.things}
        return [with_article(t.noun) for i, t in enumerate(self.scene.things) if i not in spoken]

    def _told(self) -> list[str]:
        """The sentences on light, style and layout."""
        found = []
        mood, layout = self._content.want("aesthetic_drawing"), self._content.want("spatial_layout")
        if layout is not None:
            a, b = (self._handle(i) for i in layout.things)
            side = self._one(_SIDES[self.scene.relations[0].relation], 1)
            sentence = self._one(_STANDS, 2).format(a=a, side=side, b=b)
            found.append(sentence[0].upper() + sentence[1:])
        if mood is not None and self.scene.light != "flat":
            among = _LIT_FACT if mood.fact else _LIT
            found.append(self._one(among, 3).format(its=self._its, light=LIGHT_WORDS[self.scene.light]))
        if self.scene.style != "plain":
            found.append(self._one(_STYLED, 1).format(style=_STYLE_WORDS[self.scene.style]))
        return found

    def _handle(self, index: int) -> str:
        """What a thing is called without saying more than is known."""
        for want in self._content.wants:
            if index in want.things and want.skill == IDENTITY:
                return "the emblem" if self.scene.things[index].noun == "emblem" else self._it
            if index in want.things and want.fact == Fact.MASCOT.value:
                return "the mascot"
        return f"the {self.scene.things[index].noun}"


def _listed(parts: list[str]) -> str:
    """`a, b and c`; commas inside a part make it `a; b; and c`."""
    if len(parts) < 2:
        return "".join(parts)
    mark = ";" if any("," in part for part in parts) else ","
    last = f"{mark} and" if mark == ";" else " and"
    return f"{f'{mark} '.join(parts[:-1])}{last} {parts[-1]}"
