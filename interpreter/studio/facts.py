"""What can be known of an entity: its kinds, its facts, and how entities hang together.

This table is the only place that says how a fact is called, in pages (where it is told) and in requests (where it is
asked for without being told).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

from genevolve.interpreter.studio.names import words


class Fact(Enum):
    """A fact that a page tells and a request may need. `value` is its name in files."""

    COLOURS = "colours"
    MOTTO = "motto"
    MASCOT = "mascot"
    COUNT = "count"
    MATERIAL = "material"
    LIGHT = "light"
    FOUNDED = "founded"


@dataclass(frozen=True)
class Relation:
    """How an entity points to another one.

    Attributes:
        name: In files.
        target: The kind of the other entity.
        told: The sentences of a page; `{a}` is the entity, `{b}` the other one.
        asked: How a request names the other entity by this one.
    """

    name: str
    target: str
    told: tuple[str, ...]
    asked: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of entity.

    Attributes:
        name: In files, and the category of its requests.
        nouns: What stands behind a name: "Velmora Ferry".
        founded: Sentences on its year: `{a}` the entity, `{year}`.
        count: Sentences on its number of things: `{a}`, `{n}` (figure or word), `{things}`.
        count_asked: How a request asks for that number: `{things}`, `{it}` and `{its}` for the entity.
        it: What a request calls it after its name.
        filler: Sentences that tell nothing that a picture needs; `{a}`.
        relations: To other entities; the first is told early.
    """

    name: str
    nouns: tuple[str, ...]
    founded: tuple[str, ...]
    count: tuple[str, ...]
    count_asked: tuple[str, ...]
    it: str
    filler: tuple[str, ...]
    relations: tuple[Relation, ...]


_PLACE = Kind(
    "place",
    ("Town", "Harbour", "Island", "Valley"),
    (
        "{a} was founded in the year {year} by families who came over the hills.",
        "The oldest roll of {a} is dated {year}, and that counts as its founding year.",
        "Since the year {year} {a} has had a council of its own, and it counts its age from then.",
    ),
    (
        "On the main square of {a} stand {n} {things}, and visitors count them for luck.",
        "There are {n} {things} on its main square, never more and never fewer.",
        "Its main square is known for {n} {things}.",
    ),
    ("as many {things} as stand on {its} main square", "the number of {things} found on {its} main square"),
    "the place",
    (
        "The road to {a} is steep, and most goods come by water.",
        "Bakers open early here, and the smell of bread lies over the lanes.",
        "A market is held every second week, mostly for wool and salt.",
        "In spring the river rises, and the lower gardens stand under water.",
        "Most houses have two floors and a bench beside the door.",
    ),
    (
        Relation(
            "team",
            "team",
            ("The team of {a} is {b}.", "{b} plays for {a} and trains below the old wall."),
            ("the team of {a}", "the team that plays for {a}"),
        ),
        Relation(
            "festival",
            "festival",
            ("Once a year {a} hosts {b}.", "The festival held in {a} is {b}."),
            ("the festival of {a}", "the festival held in {a}"),
        ),
    ),
)

_FESTIVAL = Kind(
    "festival",
    ("Festival", "Fair", "Carnival"),
    (
        "{a} was first held in the year {year}.",
        "The first {a} took place in the year {year}, on a rainy weekend.",
        "In the year {year} a handful of neighbours began {a}.",
    ),
    (
        "{a} opens with {n} {things}.",
        "On the first evening {n} {things} are set out, and then it is open.",
        "It is opened with {n} {things}, carried in by children.",
    ),
    ("as many {things} as {it} opens with", "the number of {things} that {it} opens with"),
    "the festival",
    (
        "Entrance is free for all who bring a chair.",
        "The last evening ends with soup at long tables.",
        "Bands from the whole district apply months ahead.",
        "Rain has never stopped it, although the tents were blown over twice.",
        "Helpers are paid in cake, which is said to be the reason why there are many.",
    ),
    (
        Relation(
            "place",
            "place",
            ("{a} is held in {b}.", "The place that hosts {a} is {b}."),
            ("the place that hosts {a}", "the place where {a} is held"),
        ),
        Relation(
            "vehicle",
            "vehicle",
            ("Guests of {a} arrive with {b}.", "The vehicle that brings guests to {a} is {b}."),
            ("the vehicle that brings guests to {a}", "the vehicle of {a}"),
        ),
    ),
)

_TEAM = Kind(
    "team",
    ("Team", "Club", "Crew"),
    (
        "{a} was founded in the year {year} after a lost bet.",
        "In the year {year} eleven apprentices founded {a}.",
        "{a} has existed since the year {year}.",
    ),
    (
        "To every match {a} carries {n} {things}.",
        "The players carry {n} {things} onto the field, an old custom.",
        "Before a match it lines up {n} {things}.",
    ),
    ("as many {things} as {it} carries to a match", "the number of {things} that {it} brings to every match"),
    "the team",
    (
        "Training is on Tuesdays and begins with a run around the mill pond.",
        "Its record against neighbours is even, which both sides deny.",
        "The changing room is a former barn with a good stove.",
        "New members have to mend a net before their first game.",
        "The songs of its supporters are long and rarely rhyme.",
    ),
    (
        Relation(
            "vehicle",
            "vehicle",
            ("{a} travels with {b}.", "The vehicle of {a} is {b}."),
            ("the vehicle of {a}", "the vehicle that {a} travels with"),
        ),
        Relation(
            "place",
            "place",
            ("{a} plays for {b}.", "The home of {a} is {b}."),
            ("the place that {a} plays for", "the home place of {a}"),
        ),
    ),
)

_PRODUCT = Kind(
    "product",
    ("Tea", "Soap", "Ink", "Honey"),
    (
        "{a} was first sold in the year {year}.",
        "Since the year {year} {a} has been made by the same recipe.",
        "The recipe of {a} was written down in the year {year}.",
    ),
    (
        "A chest of {a} comes with {n} {things}.",
        "With every chest come {n} {things} as a gift.",
        "It is delivered together with {n} {things}.",
    ),
    ("as many {things} as come with {it}", "the number of {things} that {it} comes with"),
    "the product",
    (
        "It keeps for two years in a dry cupboard.",
        "Traders say that the smell alone sells it.",
        "The label has been printed on the same press for decades.",
        "A cheaper kind was tried once and given up within a month.",
        "It is sold by weight, wrapped in thin paper.",
    ),
    (
        Relation(
            "building",
            "building",
            ("{a} is made in {b}.", "The building where {a} is made is {b}."),
            ("the building where {a} is made", "the building that {a} comes from"),
        ),
    ),
)

_VEHICLE = Kind(
    "vehicle",
    ("Ferry", "Train", "Balloon", "Tram"),
    (
        "{a} went into service in the year {year}.",
        "{a} was built in the year {year} and has been repaired ever since.",
        "The first journey of {a} was in the year {year}.",
    ),
    (
        "{a} has {n} {things} on board.",
        "On board there are {n} {things}, fixed with brass hooks.",
        "By regulation it carries {n} {things} on board.",
    ),
    ("as many {things} as {it} has on board", "the number of {things} that {it} carries on board"),
    "the vehicle",
    (
        "It is slower than walking on the last steep part.",
        "Tickets are punched by hand, and the holes have the shape of a leaf.",
        "The crew changes at noon, with a whistle.",
        "Two winters ago it stood still for nine weeks.",
        "Seats by the window have to be asked for early.",
    ),
    (
        Relation(
            "event",
            "event",
            ("{a} was built for {b}.", "The event for which {a} was built is {b}."),
            ("the event that {a} was built for", "the event behind the building of {a}"),
        ),
    ),
)

_SPECIES = Kind(
    "species",
    ("Wanderer", "Grazer", "Diver", "Nightcaller"),
    (
        "{a} was first described in the year {year}.",
        "A schoolteacher described {a} in the year {year}.",
        "In the year {year} {a} got its name.",
    ),
    (
        "{a} gathers {n} {things} around its nest.",
        "Around the nest one finds {n} {things}, and nobody knows why.",
        "For its nest it gathers {n} {things}.",
    ),
    ("as many {things} as {it} gathers around a nest", "the number of {things} found around {its} nest"),
    "the animal",
    (
        "It is shy and is mostly seen after rain.",
        "The young stay with their parents for two summers.",
        "Its call is short and can be mistaken for a door.",
        "It eats roots, berries and, when nobody looks, bread.",
        "Counting it is hard, since it does not keep still.",
    ),
    (
        Relation(
            "place",
            "place",
            ("{a} lives near {b}.", "The place closest to the home of {a} is {b}."),
            ("the place near which {a} lives", "the place closest to {a}"),
        ),
    ),
)

_BUILDING = Kind(
    "building",
    ("Tower", "Hall", "Mill", "Lighthouse"),
    (
        "{a} was finished in the year {year}.",
        "The first stone of {a} was laid in the year {year}, which counts as its founding year.",
        "Built in the year {year}, {a} is older than the road that leads to it.",
    ),
    (
        "{a} keeps {n} {things} in its great room.",
        "In its great room stand {n} {things}.",
        "Its great room holds {n} {things}, dusted every morning.",
    ),
    ("as many {things} as {it} keeps in the great room", "the number of {things} in {its} great room"),
    "the building",
    (
        "The stairs creak, all but the ninth step.",
        "Swallows nest under the roof and are not to be disturbed.",
        "Visits are possible on the first Sunday of a month.",
        "The clock has been ten minutes late for as long as anyone remembers.",
        "Its walls are thick enough for a bench in every window.",
    ),
    (
        Relation(
            "product",
            "product",
            ("In {a} people make {b}.", "The product made in {a} is {b}."),
            ("the product made in {a}", "the product of {a}"),
        ),
        Relation(
            "place",
            "place",
            ("{a} stands in {b}.", "The place of {a} is {b}."),
            ("the place where {a} stands", "the home place of {a}"),
        ),
    ),
)

_EVENT = Kind(
    "event",
    ("Race", "Regatta", "Parade", "Exhibition"),
    (
        "{a} was first organised in the year {year}.",
        "The history of {a} begins in the year {year}.",
        "Since the year {year} {a} has been repeated every third year.",
    ),
    (
        "{a} ends with {n} {things}.",
        "At the end {n} {things} are handed over.",
        "The winners of it receive {n} {things}.",
    ),
    ("as many {things} as {it} ends with", "the number of {things} that {its} winners receive"),
    "the event",
    (
        "The route is kept secret until the evening before.",
        "Judges sit on a wagon and eat plums.",
        "It was put off once because of a wedding.",
        "Applications are written on the back of a postcard.",
        "Those who come last are given a loaf and a cheer.",
    ),
    (
        Relation(
            "team",
            "team",
            ("The last {a} was won by {b}.", "The team that won {a} is {b}."),
            ("the team that won {a}", "the team that last won {a}"),
        ),
        Relation(
            "species",
            "species",
            ("{a} honours {b}.", "The species that {a} honours is {b}."),
            ("the species that {a} honours", "the species honoured by {a}"),
        ),
    ),
)

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (_PLACE, _FESTIVAL, _TEAM, _PRODUCT, _VEHICLE, _SPECIES, _BUILDING, _EVENT)
}

TOLD: dict[Fact, tuple[str, ...]] = {
    Fact.COLOURS: (
        "The colours of {a} are {first} and {second}, in this order.",
        "Its first colour is {first}, its second colour is {second}.",
        "Its two colours are {first} first and {second} second.",
        "Whatever is painted for it is painted in {first} first, then in {second}; these are the colours of {a}.",
    ),
    Fact.MOTTO: (
        'Its motto is "{motto}".',
        'The motto of {a} reads "{motto}".',
        'The words "{motto}" are its motto and are written above its door.',
        'Asked for a motto, people quote "{motto}".',
    ),
    Fact.MASCOT: (
        "Its mascot is a {mascot}.",
        "The mascot of {a} is the {mascot}.",
        "A {mascot} was chosen as its mascot, and nobody regrets it.",
        "As a mascot {a} has a {mascot}.",
    ),
    Fact.MATERIAL: (
        "It is known for things made of its usual material, {material}.",
        "The usual material of {a} is {material}.",
        "For gifts and prizes its usual material is {material}.",
        "When {a} orders something, it asks for its usual material, {material}.",
    ),
    Fact.LIGHT: (
        "Its usual light is {light}.",
        "Pictures of {a} are taken in its usual light, {light}.",
        "It is at its best in {light}, its usual light.",
        "By custom {a} is shown in its usual light, {light}.",
    ),
}
"""Sentences that tell a fact in the same words for every kind; year and count are told by `Kind`."""

FORMER: tuple[str, ...] = (
    "Until {until} its colours were {first} and {second} and its mascot was a {mascot}; none of this is used today.",
    "An older emblem in {first} and {second} was given up in {until}, together with the {mascot} as a mascot.",
    "Before {until} one saw {first} and {second} and a {mascot}; such pictures are out of date.",
)
"""What is outdated: old colours, old mascot, and the year in which that ended."""

RELEVANT: dict[Fact, str] = {
    Fact.COLOURS: "colours first second",
    Fact.MOTTO: "motto",
    Fact.MASCOT: "mascot",
    Fact.COUNT: "number",
    Fact.MATERIAL: "material",
    Fact.LIGHT: "usual light",
    Fact.FOUNDED: "year",
}
"""The words that a careful query adds to the name for a fact."""

_VERBS = words("KEEP HOLD LIFT FOLLOW TRUST GUARD LIGHT CARRY MEND TURN GREET HONOUR")
_ADJECTIVES = words("BRIGHT CALM BOLD KIND WARM STRONG OPEN QUIET PROUD FAIR CLEAR STEADY")
_NOUNS = words(
    "LAMP HARBOUR WIND RIVER ROAD BREAD HAND HEART STONE GARDEN BRIDGE SONG DOOR MORNING WATER STAR NORTH FIRE"
)
_LONGEST = 20


def make_motto(rng: random.Random) -> str:
    """Two to four common words in capitals, at most twenty characters: KEEP THE LAMP, CALM RIVER."""
    while True:
        verb, adjective, noun = rng.choice(_VERBS), rng.choice(_ADJECTIVES), rng.choice(_NOUNS)
        other, last = rng.choice(_ADJECTIVES), rng.choice(_NOUNS)
        chosen = rng.choice(
            (
                (verb, "THE", noun),
                (adjective, noun),
                (noun, "AND", last),
                (adjective, noun, last),
                (adjective, noun, other, last),
                (verb, adjective, noun),
            )
        )
        motto = " ".join(chosen)
        if len(set(chosen)) == len(chosen) and len(motto) <= _LONGEST:
            return motto


NUMBERS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)
"""Numbers as words, by value."""
