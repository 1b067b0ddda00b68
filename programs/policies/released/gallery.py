"""The ids of pictures: `IMG_001`, `IMG_002`, … over a whole trajectory, in the order in which pictures are shown.

A picture that is found again keeps its id. Programs name pictures by a list and an index instead: the gallery knows
both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where a program finds a picture: the name of a list, and an index from 0."""

    name: str
    index: int


def picture_id(number: int) -> str:
    """The id of the n-th picture, from 1."""
    return f"IMG_{number:03d}"


def id_number(identity: str) -> int | None:
    """The number in a well-formed id, else None."""
    digits = identity.removeprefix("IMG_")
    if digits == identity or not 3 <= len(digits) <= 6 or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits)


class Gallery:
    """All pictures that were shown so far."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._ids: dict[str, str] = {}

    @property
    def ids(self) -> tuple[str, ...]:
        """All ids, in the order in which they were given."""
        return tuple(self._places)

    def show(self, name: str, pictures: Iterable[str]) -> list[str]:
        """Take in a list of pictures, each known by its hash or, when that is empty, by its place; gives their ids."""
        return [self._id(Place(name, i), picture) for i, picture in enumerate(pictures)]

    def place(self, identity: str) -> Place | None:
        """Where a program finds the picture of an id."""
        return self._places.get(identity)

    def put(self, identity: str, place: Place) -> None:
        """Take in a picture with the id that somebody else gave it; the first place of an id stays."""
        self._places.setdefault(identity, place)

    def _id(self, place: Place, picture: str) -> str:
        key = picture or f"{place.name}[{place.index}]"
        if key not in self._ids:
            self._ids[key] = picture_id(len(self._places) + 1)
            self._places[self._ids[key]] = place
        return self._ids[key]
