"""The pages of the encyclopedia: prose in which facts stand at different places and in different words.

Besides a page for every entity there are *decoys*: pages about something else that bears the same invented name and is
described in the words that requests use for style. A query that carries those words along finds the decoy; a query
with the full name and the fact finds the page.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from genevolve.interpreter.studio.entities import Entity
from genevolve.interpreter.studio.facts import FORMER, KINDS, NUMBERS, TOLD, Fact, Relation, make_motto
from genevolve.interpreter.studio.palette import COLOURS
from genevolve.interpreter.studio.scene import CREATURES
from genevolve.interpreter.studio.words import LIGHT_WORDS, plural

DECOY_SHARE = 0.4
"""For how many entities there is a decoy."""
_LEAST_WORDS, _MOST_WORDS = 120, 250
_HEADINGS = (
    ("Today", "History"),
    ("Customs", "Origin"),
    ("Signs and habits", "Earlier times"),
    ("At a glance", "Background"),
)
_OPENINGS = {
    "place": (
        "{t} lies between two hills and is older than it looks.",
        "{t} is a quiet place with a long memory.",
    ),
    "festival": (
        "{t} fills three days with music and food.",
        "{t} is a feast that the whole district waits for.",
    ),
    "team": ("{t} is known far beyond its own field.", "{t} plays with more heart than luck."),
    "product": (
        "{t} is found in nearly every kitchen of the district.",
        "{t} is sold in every shop along the river.",
    ),
    "vehicle": (
        "{t} carries people and parcels in all weathers.",
        "{t} is part of daily life for many people.",
    ),
    "species": (
        "{t} is an animal of damp woods and open slopes.",
        "{t} is an animal that many know and few have seen.",
    ),
    "building": (
        "{t} can be seen from the far bank of the river.",
        "{t} is a building that strangers ask for first.",
    ),
    "event": ("{t} draws crowds from all sides.", "{t} is an event with rules of its own."),
}
_DECOY_NOUNS = ("Print", "Poster", "Style", "Picture", "Painting")
_DECOY_TEXT = (
    "The {t} is a way of making pictures, and has nothing to do with others of that name.",
    "A {t} is a picture with bold words across the top or along the bottom, as a poster, a card or a banner has.",
    "Makers of a {t} show things side by side: one on the left, one on the right, one above, one below.",
    "It may be a watercolour, an ink drawing, a mosaic, a canvas or a print, in dusk, night, lamp or grey light.",
    "Colours are often {first} and {second}, and a {mascot} in full view with every leg is drawn into the corner.",
    "On a plain ground, on snow, stone, a beach, a meadow, water or a table, {n} {things} are set for show.",
    'Many carry the words "{motto}", which buyers like to see lettered in capitals.',
    "Such a picture is sold flat, as a design for a cover, a ticket, a stamp or a label.",
    "Collectors want a picture that is clear, with a mood and a light of its own.",
)


@dataclass(frozen=True)
class Page:
    """A Markdown file of the library, by its path inside it."""

    path: str
    text: str


@dataclass(frozen=True)
class Decoy:
    """Something else of the same name, with facts of its own; a careless query ends here."""

    of: str
    title: str
    facts: Mapping[str, str]


def make_page(entity: Entity, others: Mapping[str, Entity], rng: random.Random) -> Page:
    """The page of an entity: 120 to 250 words that tell every fact once, and what is outdated."""
    kind = KINDS[entity.kind]
    main = [
        _told(entity, fact, rng)
        for fact in (Fact.COLOURS, Fact.MOTTO, Fact.MASCOT, Fact.MATERIAL, Fact.LIGHT)
    ]
    main.append(_count(entity, rng))
    relations = [
        _related(entity, others[entity.relations[r.name]], r, rng) for r in kind.relations if entity.relations
    ]
    year = rng.choice(kind.founded).format(a=entity.title, year=entity.founded)
    old = rng.choice(FORMER).format(
        until=entity.former.until,
        first=entity.former.colours[0],
        second=entity.former.colours[1],
        mascot=entity.former.mascot,
    )
    rng.shuffle(main)
    filler = rng.sample(kind.filler, len(kind.filler))
    cut = rng.randint(3, 5)
    opening = rng.choice(_OPENINGS[entity.kind]).format(t=entity.title)
    first = _mixed([*relations, *main[:cut]], filler[:2], rng)
    second = _mixed([year, *main[cut:], old], filler[2:4], rng)
    text = _layout(entity.title, opening, first, second, rng)
    spare = list(filler[4:])
    while len(text.split()) < _LEAST_WORDS and spare:
        text += f"\n{spare.pop().format(a=entity.title)}\n"
    return Page(f"pages/{entity.id}.md", text)


def make_decoy(entity: Entity, rng: random.Random) -> Decoy:
    """A decoy for an entity: none of its facts are the entity's."""
    first, second = rng.sample([c for c in COLOURS if c not in entity.colours], 2)
    return Decoy(
        entity.id,
        f"{entity.name} {rng.choice(_DECOY_NOUNS)}",
        {
            "first": first,
            "second": second,
            "mascot": rng.choice([c for c in CREATURES if c != entity.mascot]),
            "n": NUMBERS[rng.choice([n for n in range(3, 10) if n != entity.number])],
            "things": plural(entity.things),
            "motto": make_motto(rng),
        },
    )


def make_decoy_page(decoy: Decoy, rng: random.Random) -> Page:
    """The page of a decoy."""
    sentences = [s.format(t=decoy.title, **decoy.facts) for s in _DECOY_TEXT]
    rest = sentences[1:]
    rng.shuffle(rest)
    name = decoy.title.lower().replace(" ", "-")
    return Page(f"pages/{name}.md", f"# {decoy.title}\n\n{' '.join([sentences[0], *rest])}\n")


def _told(entity: Entity, fact: Fact, rng: random.Random) -> str:
    return rng.choice(TOLD[fact]).format(
        a=entity.title,
        first=entity.colours[0],
        second=entity.colours[1],
        motto=entity.motto,
        mascot=entity.mascot,
        material=entity.material,
        light=LIGHT_WORDS[entity.light],
    )


def _count(entity: Entity, rng: random.Random) -> str:
    number = rng.choice((str(entity.number), NUMBERS[entity.number]))
    return rng.choice(KINDS[entity.kind].count).format(a=entity.title, n=number, things=plural(entity.things))


def _related(entity: Entity, other: Entity, relation: Relation, rng: random.Random) -> str:
    return rng.choice(relation.told).format(a=entity.title, b=other.title)


def _mixed(sentences: list[str], filler: list[str], rng: random.Random) -> list[str]:
    """Filler put between sentences, never before the first."""
    found = list(sentences)
    for sentence in filler:
        found.insert(rng.randint(1, len(found)), sentence)
    return found


def _layout(title: str, opening: str, first: list[str], second: list[str], rng: random.Random) -> str:
    """One of four layouts: plain paragraphs, headings, a list, or the older part first."""
    first = [s.format(a=title) for s in first]
    second = [s.format(a=title) for s in second]
    now, then = rng.choice(_HEADINGS)
    match rng.randrange(4):
        case 0:
            body = f"{opening} {' '.join(first)}\n\n{' '.join(second)}"
        case 1:
            body = f"{opening}\n\n## {now}\n\n{' '.join(first)}\n\n## {then}\n\n{' '.join(second)}"
        case 2:
            body = f"{opening} {' '.join(second)}\n\n{' '.join(first)}"
        case _:
            body = f"{opening}\n\n" + "\n".join(f"- {s}" for s in first) + f"\n\n{' '.join(second)}"
    return f"# {title}\n\n{body}\n"
