"""From what was read to the scene that is drawn: content, and the mistakes that the wording did not prevent."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from genevolve.interpreter.studio import lexicon as lex
from genevolve.interpreter.studio.clauses import ANYTHING
from genevolve.interpreter.studio.failures import BARE, GUIDED, HALF, MANY
from genevolve.interpreter.studio.identity import fitting, look_of
from genevolve.interpreter.studio.palette import COLOURS, readable_on
from genevolve.interpreter.studio.reading import Reading, ReadText, ReadThing
from genevolve.interpreter.studio.scene import (
    CREATURES,
    LOOK_NOUNS,
    MAX_COUNT,
    MAX_LETTERINGS,
    MAX_TEXT,
    MAX_THINGS,
    PLACES,
    Lettering,
    Scene,
    Thing,
    column_of,
    row_of,
)

if TYPE_CHECKING:
    from PIL.Image import Image

    from genevolve.interpreter.studio.generator import Lots

_NATURAL = (
    "centre",
    "left",
    "right",
    "bottom",
    "top",
    "lower left",
    "lower right",
    "upper left",
    "upper right",
)
_LETTERS = "ABCDEFGHIJKLMNOPRSTUVWYZ"
_SMALL = _LETTERS.lower()
_SMALL_PRINT = ("EST 1904", "LOREM", "SALE", "No 7", "AVENU", "PRIMO", "GRAND", "TEKST")


def compose(reading: Reading, references: Sequence[Image], lots: Lots, size: tuple[int, int]) -> Scene:
    """The scene that a reading becomes.

    Args:
        reading: What was understood.
        references: Pictures, by ordinal less one.
        lots: Decides which mistakes happen.
        size: Width and height in pixels.
    """
    kept = _kept(reading, references, lots)
    things = [_built(thing, label, reading, references, lots) for label, thing in kept]
    things = _leaked(kept, things, lots)
    letterings = _letterings(reading, lots)
    things = _stood(kept, things, lots)
    light = _light(reading, lots)
    return Scene(
        things=tuple(_merged(kept, things, lots)),
        letterings=tuple(letterings),
        light=light,
        light_from=reading.light_from if light != "flat" else "",
        style=_style(reading, lots),
        background=reading.background or "plain",
        width=size[0],
        height=size[1],
        seed=lots.stream("seed").randrange(2**31),
    )


Named = list[tuple[str, ReadThing]]


def _kept(reading: Reading, references: Sequence[Image], lots: Lots) -> Named:
    """The things that are drawn at all, each with a label of its own for the lots."""
    found: Named = []
    times: dict[str, int] = {}
    for thing in reading.things:
        noun = thing.noun or _noun_shown(thing, references)
        if not noun:
            reading.note("A reference is named, but nothing in it could be recognised.")
            continue
        thing.noun = noun
        times[noun] = times.get(noun, 0) + 1
        found.append((f"{noun} {times[noun]}", thing))
    found = [(a, t) for a, t in found if not (_refused(t.noun, lots) and lots.fails("refused", a, BARE))]
    excess = len(found) - MANY
    if excess > 0:
        found = [(a, t) for a, t in found if not lots.fails("crowd", a, BARE, min(8.0, float(excess)))]
    if len(found) > 1:
        several = [(a, t) for a, t in found if not lots.fails("missing", a, _placing(t))]
        found = several or found[:1]
    if len(found) > MAX_THINGS:
        reading.note(f"Only {MAX_THINGS} kinds of things fit into a picture.")
        chosen = sorted(lots.stream("choice").sample(range(len(found)), MAX_THINGS))
        found = [found[i] for i in chosen]
    return found


def _noun_shown(thing: ReadThing, references: Sequence[Image]) -> str:
    seen = fitting(thing, references, random.Random(0)) if thing.noun == ANYTHING else None  # noqa: S311 - no secret
    return seen.noun if seen is not None else ""


def _refused(noun: str, lots: Lots) -> bool:
    words = lots.negative.replace(",", " ").split()
    return any(lex.singular(word)[0] == noun for word in words if word not in lex.SKINS)


def _placing(thing: ReadThing) -> int:
    if thing.places:
        return GUIDED
    return HALF if thing.relations else BARE


def _built(thing: ReadThing, label: str, reading: Reading, references: Sequence[Image], lots: Lots) -> Thing:
    chance = lots.stream("look of", label)
    colour = chance.choice(thing.colours) if thing.colours else chance.choice(tuple(COLOURS))
    look = look_of(thing, label, references, lots) if _has_look(thing) else None
    if look is None and thing.references:
        seen = fitting(thing, references, chance)
        if seen is not None and not lots.fails("identity", f"{label}: colours", HALF):
            colour = seen.colour
    return Thing(
        noun=thing.noun,
        colour=colour,
        material=_material(thing, label, lots),
        count=_count(thing, label, lots),
        arrangement=_arrangement(thing, lots.stream("arrangement", label)),
        size=thing.size,
        legs=_leg_count(thing, label, lots),
        skin=_skin(thing, label, lots),
        look=look,
        shadow=_shadow(thing, label, reading, lots),
    )


def _has_look(thing: ReadThing) -> bool:
    if thing.noun == "emblem":
        return True
    return thing.noun in LOOK_NOUNS and bool(thing.references or thing.figure)


# Numbers


def _count(thing: ReadThing, label: str, lots: Lots) -> int:
    chance = lots.stream("number", label)
    if thing.count is None and not thing.plural:
        return 1
    if thing.count is None:
        return chance.randint(2, 5)
    wanted = chance.choice(sorted(thing.counts)) if len(thing.counts) > 1 else thing.count
    if wanted == 1:
        return 1
    arranged = bool(_listed(thing)) or thing.arranged not in ("", "scattered")
    level = HALF if thing.exact != arranged else GUIDED if arranged else BARE
    if len(thing.counts) > 1:
        level = BARE
    wanted = min(wanted, MAX_COUNT + 2)
    if not lots.fails("count", label, level, 0.85 if wanted <= 3 else 1.0):
        return min(wanted, MAX_COUNT)
    drift = chance.choice((-2, -1, -1, 1, 1, 2) if wanted > 3 else (-1, 1, 1))
    drifted = max(1, wanted + drift)
    return drifted if drifted <= MAX_COUNT else MAX_COUNT - 1


def _listed(thing: ReadThing) -> str:
    """How copies stand whose places are listed one by one; empty when they are not."""
    if thing.count is None or thing.count < 2 or len(thing.places) != thing.count:
        return ""
    if len({row_of(p) for p in thing.places}) == 1:
        return "row"
    return "column" if len({column_of(p) for p in thing.places}) == 1 else "scattered"


def _arrangement(thing: ReadThing, chance: random.Random) -> str:
    return _listed(thing) or thing.arranged or chance.choice(("scattered", "scattered", "grid", "row"))


# Bodies, matter, skins


def _leg_count(thing: ReadThing, label: str, lots: Lots) -> int | None:
    usual = CREATURES.get(thing.noun, 0)
    if not usual:
        return None
    wanted = thing.legs if thing.legs is not None else usual
    cues = len(thing.leg_cues - {"legs"})
    if thing.references and "outline" in thing.copied:
        level = GUIDED  # the body is copied, legs and all
    elif thing.legs is None:
        level = BARE
    else:
        level = GUIDED if cues >= 2 else HALF
    if not lots.fails("anatomy", label, level):
        return wanted
    chance = lots.stream("legs", label)
    wrong = [n for n in range(max(1, wanted - 2), min(10, wanted + 2) + 1) if n != wanted]
    return chance.choice(wrong)


def _material(thing: ReadThing, label: str, lots: Lots) -> str:
    if not thing.material:
        return "plain"
    level = GUIDED if len(thing.matter) >= 2 else HALF if thing.matter else BARE
    return "plain" if lots.fails("material", label, level) else thing.material


def _shadow(thing: ReadThing, label: str, reading: Reading, lots: Lots) -> bool:
    if not thing.material:
        return True
    return not lots.fails("shadow", label, GUIDED if thing.shadow or reading.shadows else BARE)


def _skin(thing: ReadThing, label: str, lots: Lots) -> str:
    if not thing.skin:
        return ""
    seam = bool(thing.seams)
    level = GUIDED if thing.host and seam else HALF if thing.host or len(thing.seams) > 1 else BARE
    return "" if lots.fails("skin", label, level) else thing.skin


# Attributes


def _leaked(kept: Named, things: list[Thing], lots: Lots) -> list[Thing]:
    """Colours and materials wander among the things of one sentence."""
    groups: dict[int, list[int]] = {}
    for i, (_, thing) in enumerate(kept):
        if thing.sharing >= 0 and not thing.bound:
            groups.setdefault(thing.sharing, []).append(i)
        elif thing.colours or thing.material:
            lots.fails("leak", kept[i][0], GUIDED, 0.0)
    for members in groups.values():
        if len(members) < 2:
            continue
        label = " and ".join(kept[i][0] for i in members)
        level = HALF if all(kept[i][1].places for i in members) else BARE
        if lots.fails("leak", label, level):
            _rotate(things, members)
    return things


def _rotate(things: list[Thing], members: list[int]) -> None:
    colours = [things[i].colour for i in members]
    materials = [things[i].material for i in members]
    if len(set(colours)) > 1:
        for k, i in enumerate(members):
            things[i] = replace(things[i], colour=colours[k - 1])
    elif len(set(materials)) > 1:
        for k, i in enumerate(members):
            things[i] = replace(things[i], material=materials[k - 1])


# Places


def _stood(kept: Named, things: list[Thing], lots: Lots) -> list[Thing]:
    """Gives each thing its place: said ones first, then those that follow from a relation, then the rest."""
    found: dict[int, str] = {}
    alone = len(kept) == 1
    for i, (label, thing) in enumerate(kept):
        if thing.places:
            said = _said(thing, lots.stream("place", label))
            wrong = lots.fails("layout", label, GUIDED)
            found[i] = _elsewhere(said, found, things, lots.stream("place", label)) if wrong else said
    for i, (label, thing) in enumerate(kept):
        if i in found or not thing.relations:
            continue
        found[i] = _related(i, kept, things, found, lots, label)
    for i, (label, _) in enumerate(kept):
        if i in found:
            continue
        if alone or not lots.fails("layout", label, BARE):  # a single thing stands in the middle by itself
            found[i] = _natural(found, things)
        else:
            found[i] = _elsewhere("", found, things, lots.stream("place", label))
    return [replace(thing, place=found[i]) for i, thing in enumerate(things)]


def _said(thing: ReadThing, chance: random.Random) -> str:
    if _listed(thing):
        rows = {row_of(p) for p in thing.places}
        columns = {column_of(p) for p in thing.places}
        row = rows.pop() if len(rows) == 1 else 1
        column = columns.pop() if len(columns) == 1 else 1
        return PLACES[3 * row + column]
    return thing.places[0] if len(thing.places) == 1 else chance.choice(thing.places)


def _taken(found: dict[int, str], things: list[Thing]) -> set[str]:
    """Cells that are in use; a group takes the cells around its place."""
    taken: set[str] = set()
    for i, place in found.items():
        taken.add(place)
        if things[i].count > 1:
            row, column = row_of(place), column_of(place)
            if things[i].arrangement == "row":
                taken |= {PLACES[3 * row + c] for c in range(3) if column == 1 or abs(c - column) < 2}
            elif things[i].arrangement == "column":
                taken |= {PLACES[3 * r + column] for r in range(3)}
            else:
                taken |= {p for p in PLACES if abs(row_of(p) - row) < 2 and abs(column_of(p) - column) < 2}
    return taken


def _elsewhere(not_here: str, found: dict[int, str], things: list[Thing], chance: random.Random) -> str:
    taken = _taken(found, things)
    free = [p for p in PLACES if p not in taken and p != not_here]
    return chance.choice(free or [p for p in PLACES if p != not_here])


def _natural(found: dict[int, str], things: list[Thing]) -> str:
    taken = _taken(found, things)
    return next((p for p in _NATURAL if p not in taken), "centre")


def _related(i: int, kept: Named, things: list[Thing], found: dict[int, str], lots: Lots, label: str) -> str:
    relation, noun = kept[i][1].relations[0]
    other = next((k for k, (_, t) in enumerate(kept) if t.noun == noun and k != i), None)
    failed = lots.fails("layout", label, HALF)
    chance = lots.stream("place", label)
    if other is None or failed:
        return _elsewhere("", found, things, chance)
    if other not in found:
        found[other] = _anchor(relation)
    row, column = row_of(found[other]), column_of(found[other])
    seats = {
        "left_of": [(row, c) for c in range(column)],
        "right_of": [(row, c) for c in range(2, column, -1)],
        "above": [(r, column) for r in range(row)],
        "below": [(r, column) for r in range(2, row, -1)],
        "next_to": [(row, c) for c in range(3) if abs(c - column) == 1],
    }[relation]
    cells = [PLACES[3 * r + c] for r, c in seats]
    taken = _taken(found, things)
    free = [c for c in cells if c not in taken] or cells
    return free[0] if free else _elsewhere("", found, things, chance)


def _anchor(relation: str) -> str:
    return {"left_of": "right", "right_of": "left", "above": "centre", "below": "top"}.get(relation, "centre")


def _merged(kept: Named, things: list[Thing], lots: Lots) -> list[Thing]:
    """Two single things of one sentence may grow into each other."""
    for i in range(1, len(kept)):
        (a, first), (b, second) = kept[i - 1], kept[i]
        if first.sentence != second.sentence or things[i].count > 1 or things[i - 1].count > 1:
            continue
        vague = BARE if first.together or second.together else HALF
        level = GUIDED if first.places and second.places else vague
        if lots.fails("merge", f"{a} and {b}", level) and things[i - 1].merged_into is None:
            things[i] = replace(things[i], merged_into=i - 1)
    return things


# Lettering


def _letterings(reading: Reading, lots: Lots) -> list[Lettering]:
    found: list[Lettering] = []
    texts = reading.texts[:MAX_LETTERINGS]
    if len(reading.texts) > MAX_LETTERINGS:
        reading.note(f"Only {MAX_LETTERINGS} texts fit into a picture.")
    skipped: set[int] = set()
    for i, text in enumerate(texts):
        if i in skipped:
            continue
        label = f"text {i + 1}"
        value = text.text
        follower = i + 1 if text.crowded and i + 1 < len(texts) and texts[i + 1].crowded else None
        if follower is not None and lots.fails("lines", label, BARE):
            value = f"{value} {texts[follower].text}"[:MAX_TEXT]
            skipped.add(follower)
        found.append(_lettering(replace(text, text=value), label, lots))
    if found:
        chance = lots.stream("caption")
        if (
            lots.fails("caption", "picture", GUIDED if reading.closed else BARE)
            and len(found) < MAX_LETTERINGS
        ):
            taken = {v.place for v in found}
            free = [
                p for p in ("lower left", "lower right", "upper right", "bottom", "top") if p not in taken
            ]
            found.append(Lettering(chance.choice(_SMALL_PRINT), chance.choice(free), "none", "black"))
    return found


def _lettering(text: ReadText, label: str, lots: Lots) -> Lettering:
    told = int(bool(text.place)) + int(bool(text.surface))
    level = BARE if not text.quoted or told == 0 else GUIDED if told == 2 else HALF
    chance = lots.stream("letters", label)
    value = "".join(c if c.isprintable() else " " for c in text.text).strip() or "?"
    if lots.fails("text", label, level, 1 + max(0, len(value) - 12) / 26):
        value = garbled(value, chance)
    surface = text.surface or chance.choice(("none", "sign", "plaque"))
    ground = text.ground or "cream"
    colour = text.colour or ("black" if surface == "none" else readable_on(ground))
    if surface != "none" and colour == ground:
        colour = readable_on(ground)
    place = text.place or chance.choice(("top", "bottom", "centre", "lower left", "upper right"))
    return Lettering(value, place, surface, colour, ground)


def garbled(text: str, chance: random.Random) -> str:
    """The text with one to three letters swapped, dropped, doubled or replaced; never the same."""
    for _ in range(20):
        letters = list(text)
        for _ in range(chance.randint(1, 2 if len(text) < 8 else 3)):
            at = chance.randrange(len(letters))
            way = chance.randrange(4)
            if way == 0 and at + 1 < len(letters):
                letters[at], letters[at + 1] = letters[at + 1], letters[at]
            elif way == 1 and len(letters) > 2:
                del letters[at]
            elif way == 2:
                letters.insert(at, letters[at])
            else:
                letters[at] = chance.choice(_SMALL if letters[at].islower() else _LETTERS)
        wrong = "".join(letters)[:MAX_TEXT].strip()
        if wrong and wrong != text:
            return wrong
    return "X" + text[1:] if text[:1] != "X" else "Z" + text[1:]


# Light and style


def _light(reading: Reading, lots: Lots) -> str:
    if not reading.lights:
        return "flat"
    wanted = lots.stream("which light").choice(sorted(set(reading.lights)))
    level = _described(len(reading.light_cues), reading)
    return "flat" if lots.fails("light", wanted, level) else wanted


def _style(reading: Reading, lots: Lots) -> str:
    if not reading.styles:
        return "plain"
    wanted = lots.stream("which style").choice(sorted(set(reading.styles)))
    level = _described(len(reading.style_words & lex.STYLE_CUES[wanted]), reading)
    return "plain" if lots.fails("style", wanted, level) else wanted


def _described(cues: int, reading: Reading) -> int:
    """Praise ("stunning, 8k") takes away what a description gave."""
    return max(BARE, (GUIDED if cues >= 2 else HALF if cues == 1 else BARE) - min(2, reading.praise))
