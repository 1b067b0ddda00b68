"""Invented names: pronounceable, from few syllables, and as far apart from each other as is asked for.

Two names are never within two letters of each other unless one was made as the other's near-duplicate. Names do not
end in what an index takes for an English ending, so a name in a query and in a text is always the same term.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations


def words(text: str) -> tuple[str, ...]:
    """The words of a list that is written as one text."""
    return tuple(text.split())


# A small inventory on purpose: a policy that reads words in pieces meets every piece often.
_FIRST = words(
    "bel bra cal dov dra elm fen fru gli gor hax hul ish jor kar kel lim lur mor nev nib ost pel qui ruv sko "
    "tam tov ulv vel wex yar zan"
)
_MIDDLE = words("a e i o u ba de do ga ki la lo mi na ni pu ra ro ti va ve zu")
_LAST = words(
    "bak bin dra dun fol gan hom kun lik lun mok nar nok pir quin rik rul tam tir tol van vik vor wan zil zor"
)
# Words that the inventory can make and that already mean something.
_TAKEN = words(
    "belgian belgium calico calvin caravan cardigan dragon elmira jordan karma kelvin limerick marzipan moravian "
    "nevada pelican tamarin velvet yarrow zanzibar galvan caliban taliban golan moldovan"
)
_VOWELS, _CONSONANTS = "aeiou", "bdfgklmnprtvz"
_APART = 2
_PATIENCE = 40


class Names:
    """A stream of new names from one seed.

    names = Names(random.Random(7))
    name = names.new()
    twin = names.near_duplicate(name)
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._near: set[str] = set()
        self._used: set[str] = set()

    def new(self) -> str:
        """A name more than two letters away from every name given before; capitalised."""
        for tries in range(10_000):
            middles = 1 + tries // _PATIENCE  # names get longer when the short ones are used up
            parts = [self._rng.choice(_FIRST), *(self._rng.choice(_MIDDLE) for _ in range(middles))]
            name = "".join((*parts, self._rng.choice(_LAST)))
            if _is_sayable(name) and self._near.isdisjoint(_deletions(name)):
                return self._take(name)
        raise RuntimeError("no name was found")  # the longest names alone are many millions

    def near_duplicate(self, name: str) -> str:
        """A new name that differs from a given one by one letter or a short ending; capitalised."""
        base = name.lower()
        found = [n for n in _variants(base) if n not in self._used and _is_sayable(n)]
        if not found:
            raise RuntimeError(f"no name is left that is nearly {name!r}")
        return self._take(self._rng.choice(found))

    def _take(self, name: str) -> str:
        self._used.add(name)
        self._near.update(_deletions(name))
        return name.capitalize()


def _variants(name: str) -> Iterator[str]:
    """Names with another letter of the same kind inside, and names with an ending more."""
    for place in range(1, len(name) - 1):
        letters = _VOWELS if name[place] in _VOWELS else _CONSONANTS
        yield from (name[:place] + c + name[place + 1 :] for c in letters if c != name[place])
    yield from (name + ending for ending in ("a", "o", "an", "or"))


def _is_sayable(name: str) -> bool:
    """No word that exists, no letter three times, no ending that a stemmer takes off."""
    if name in _TAKEN or name.endswith(("ing", "ed", "s", "e")):
        return False
    return all(len(set(name[i : i + 2])) > 1 for i in range(len(name) - 1))


def _deletions(name: str) -> set[str]:
    """The name with up to two letters left out: names within two edits of each other share one of these."""
    found = {name}
    for count in range(1, _APART + 1):
        for gone in combinations(range(len(name)), count):
            found.add("".join(c for i, c in enumerate(name) if i not in gone))
    return found
