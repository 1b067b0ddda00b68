"""The pictures of the encyclopedia: emblem, appearance, old version and a crowded view of every entity.

Each is a scene, drawn small, with its caption inside the file (`Description`), as the library reads captions. Only the
emblem and the appearance show an entity as it is; the other two are there to be mistaken for them.
"""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from genevolve.interpreter.studio.entities import Entity
from genevolve.interpreter.studio.pages import Decoy
from genevolve.interpreter.studio.scene import OUTLINES, Lettering, Look, Scene, Thing

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 256
"""Width and height of a picture of the library."""
_CELLS = ("upper left", "upper right", "left", "right", "lower left", "lower right")


class View(Enum):
    """Which of an entity's pictures. `value` is the end of its file name."""

    EMBLEM = "emblem"
    APPEARANCE = "appearance"
    FORMER = "former"
    CROWD = "crowd"


_CAPTIONS: dict[View, tuple[str, ...]] = {
    View.EMBLEM: (
        "The current emblem of {t}, seen from the front.",
        "{t}: the emblem that is in use today.",
        "Current emblem of {t} on a plain ground.",
        "The emblem of {t} as it is used now, nothing else in the picture.",
    ),
    View.APPEARANCE: (
        "{t} itself, a {noun} in full view.",
        "The appearance of {t}: a {noun} as one meets it today.",
        "A {noun}: this is how {t} appears, whole and from the side.",
        "{t} in its present appearance, shown as a {noun}.",
    ),
    View.FORMER: (
        "The emblem of {t} as it was until {until}.",
        "Former emblem of {t}, given up in {until}.",
        "{t}: an old emblem that is no longer used.",
        "Emblem of {t} from the years before {until}.",
    ),
    View.CROWD: (
        "A wall with many emblems, that of {t} among them.",
        "Emblems of several neighbours, {t} is one of them.",
        "Many emblems together; the emblem of {t} hangs at the side.",
        "A crowded board of emblems with {t}, {o} and others.",
    ),
}
_DECOY_CAPTIONS = (
    "A {t}: a picture with {first} and {second}, bold words, and a {mascot} on the left.",
    "{t}, a poster with {n} {things} and words across the top, in lamp light at dusk.",
    "A {t} in watercolour and ink with a {mascot} on the right, colours {first} and {second}.",
)


@dataclass(frozen=True)
class Picture:
    """A picture of the library: its path inside it, what it shows, its caption and title."""

    path: str
    scene: Scene
    caption: str
    title: str


def picture_path(entity_id: str, view: View) -> str:
    """Where a picture of an entity lies inside the library."""
    return f"pictures/{entity_id}-{view.value}.png"


def entity_pictures(entity: Entity, neighbours: Sequence[Entity], rng: random.Random) -> list[Picture]:
    """The four pictures of an entity; `neighbours` share its crowded view (at least three)."""
    others = rng.sample(list(neighbours), min(len(neighbours), rng.randint(3, 5)))
    scenes = {
        View.EMBLEM: _single(entity.emblem),
        View.APPEARANCE: _single(entity.appearance),
        View.FORMER: _single(entity.former.look),
        View.CROWD: _crowd([entity.emblem, *(o.emblem for o in others)], rng),
    }
    found = []
    for view, scene in scenes.items():
        caption = rng.choice(_CAPTIONS[view]).format(
            t=entity.title,
            noun=entity.appearance.outline,
            until=entity.former.until,
            o=others[0].title if others else "friends",
        )
        found.append(Picture(picture_path(entity.id, view), scene, caption, entity.title))
    return found


def decoy_picture(decoy: Decoy, rng: random.Random) -> Picture:
    """The picture of a decoy: an emblem that belongs to nobody, under lettering."""
    colours = {"first": decoy.facts["first"], "second": decoy.facts["second"]}
    look = Look(rng.choice(OUTLINES), colours["first"], colours["second"], "stripes", "fish")
    scene = Scene(
        (Thing("emblem", look=look, size="large", place="centre"),),
        (Lettering(decoy.facts["motto"], place="top"),),
        width=SIDE,
        height=SIDE,
    )
    caption = rng.choice(_DECOY_CAPTIONS).format(t=decoy.title, **decoy.facts)
    name = decoy.title.lower().replace(" ", "-")
    return Picture(f"pictures/{name}.png", scene, caption, decoy.title)


def encode(image: Image, caption: str = "", title: str = "") -> bytes:
    """A PNG with a caption inside; the same picture always gives the same bytes."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    if title:
        info.add_text("Title", title)
    if caption:
        info.add_text("Description", caption)
    out = io.BytesIO()
    image.save(out, "PNG", pnginfo=info, compress_level=4)
    return out.getvalue()


def _single(look: Look) -> Scene:
    noun = "emblem" if look.outline in OUTLINES else look.outline
    return Scene((Thing(noun, look=look, size="large", shadow=False),), width=SIDE, height=SIDE)


def _crowd(looks: Sequence[Look], rng: random.Random) -> Scene:
    cells = rng.sample(_CELLS, len(looks))
    things = [
        Thing("emblem", look=look, place=cell, size="small") for look, cell in zip(looks, cells, strict=True)
    ]
    rng.shuffle(things)
    return Scene(tuple(things), width=SIDE, height=SIDE)
