"""Which look a thing gets: read from the pixels of its reference, or made up."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from genevolve.interpreter.studio.failures import BARE, GUIDED, HALF
from genevolve.interpreter.studio.lexicon import ALL_ASPECTS
from genevolve.interpreter.studio.palette import LOOK_COLOURS
from genevolve.interpreter.studio.reading import ReadThing
from genevolve.interpreter.studio.scene import FIGURES, LOOK_NOUNS, OUTLINES, PATTERNS, Look
from genevolve.interpreter.studio.sight import Seen, see

if TYPE_CHECKING:
    from PIL.Image import Image

    from genevolve.interpreter.studio.generator import Lots

_PATTERNS = tuple(p for p in PATTERNS if p != "plain")
_HEARD = 0.5
"""Chance that a part of a look is drawn as the words describe it: words alone rarely make an emblem."""


def fitting(thing: ReadThing, references: Sequence[Image], chance: random.Random) -> Seen | None:
    """What a thing's reference shows of it: of several that fit as well, any one."""
    ordinal = next((o for o in thing.references if 1 <= o <= len(references)), None)
    if ordinal is None:
        return None
    seen = see(references[ordinal - 1])
    for fits in (
        [s for s in seen if s.noun == thing.noun and s.look is not None],
        [s for s in seen if s.look is not None],
        [s for s in seen if s.noun == thing.noun],
        list(seen),
    ):
        if fits:
            return chance.choice(fits)
    return None


def look_of(thing: ReadThing, label: str, references: Sequence[Image], lots: Lots) -> Look:
    """The look of a thing: each aspect copied from its reference, or generic."""
    chance = lots.stream("identity", label)
    generic = _generic(thing, chance)
    seen = fitting(thing, references, chance)
    bound = seen is not None
    if seen is None and references:
        seen = fitting(ReadThing(thing.noun, references=[1]), references, chance)
    known = seen.look if seen is not None else None
    parts = {
        "outline": generic.outline,
        "colour": generic.colour,
        "second": generic.second,
        "pattern": generic.pattern,
        "figure": generic.figure,
    }
    for aspect in ALL_ASPECTS:
        if aspect == "outline" and thing.noun != "emblem":
            continue
        level = BARE
        if bound:
            level = GUIDED if thing.copying and aspect in thing.copied else HALF
        if lots.fails("identity", f"{label}: {aspect}", level) or known is None:
            continue
        if aspect == "colours":
            parts["colour"], parts["second"] = known.colour, known.second
        elif aspect != "outline" or known.outline in OUTLINES:
            parts[aspect] = getattr(known, aspect)
    return Look(**parts)


def _generic(thing: ReadThing, chance: random.Random) -> Look:
    """A made up look; parts that the prompt describes are sometimes heard."""
    colour, second = chance.sample(LOOK_COLOURS, 2)
    described = [*thing.colours, *([thing.pale] if thing.pale in LOOK_COLOURS else [])]
    if described and chance.random() < _HEARD:
        colour = described[0]
        if len(described) > 1 and described[1] != colour:
            second = described[1]
    if colour == second:
        second = next(c for c in LOOK_COLOURS if c != colour)
    pattern, figure, outline = chance.choice(_PATTERNS), chance.choice(FIGURES), chance.choice(OUTLINES)
    if thing.pattern and chance.random() < _HEARD:
        pattern = thing.pattern
    if thing.figure and chance.random() < _HEARD:
        figure = thing.figure
    if thing.outline and chance.random() < _HEARD:
        outline = thing.outline
    if thing.noun != "emblem":
        outline = thing.noun if thing.noun in LOOK_NOUNS else "ball"
    return Look(outline, colour, second, pattern, figure)
