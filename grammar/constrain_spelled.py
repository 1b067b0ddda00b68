r"""An automaton that stops a text before it spells a reference, an image id or a URL (GP401, GP404, GP405).

`grammar.ordinals` says what a prompt must not spell, as regular expressions. Constrained decoding needs to know at
every character whether a text is still sound, so those expressions are turned into one deterministic automaton over
the bytes of a string *as it is written in a program* (`\n` and `\"` escaped, `{name}` in braces). It refuses
somewhat more than the checker does, never less:

- What the expressions look for around a match (the end of a word, a unit that makes a number harmless) is dropped:
  a text is refused as soon as the match itself stands there. So every text that was not refused may end anywhere.
- Repetitions lose their bounds, and every character beyond ASCII may stand where a dash or a quote may.
- After a written ordinal no brace may open (`the second {tower}` counts a reference by hand).
"""

from __future__ import annotations

from array import array
from functools import lru_cache
from typing import NamedTuple

from genevolve.grammar import ordinals

START, DEAD, OPEN, INSIDE = 0, 1, 2, 3
"""States with a meaning: nothing seen yet, refused for good, after `{`, in the name between braces."""

_BLANKS = b" \n\t\r"
_WORD = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_BEYOND = frozenset(range(0x80, 0x100))
_ANY = frozenset(range(0x100))


class Automaton(NamedTuple):
    """`table[256 * state + byte]` is the next state; `START` is the first, `DEAD` has no way out."""

    table: array[int]
    states: int

    def run(self, text: bytes, state: int = START) -> int:
        """The state after a text."""
        table = self.table
        for byte in text:
            state = table[256 * state + byte]
        return state


@lru_cache(maxsize=1)
def automaton() -> Automaton:
    """The automaton of `grammar.ordinals`, made once in a process."""
    nfa = _Nfa()
    for pattern in ordinals.patterns():
        _Reader(pattern, nfa).read()
    _Reader(ordinals.counting_pattern() + r"\{", nfa).read()
    return _determinise(nfa)


# ---- a nondeterministic automaton over bytes ---------------------------------------------------------


class _Nfa:
    """States are numbers; state 0 starts every pattern anew at each byte, state 1 accepts."""

    def __init__(self) -> None:
        self.moves: list[list[tuple[frozenset[int], int]]] = [[], []]
        self.free: list[list[int]] = [[], []]

    def state(self) -> int:
        """A new state."""
        self.moves.append([])
        self.free.append([])
        return len(self.moves) - 1

    def edge(self, source: int, accepts: frozenset[int], target: int) -> None:
        """From a state to another on any of some bytes."""
        if accepts:
            self.moves[source].append((accepts, target))

    def closure(self, states: frozenset[int]) -> frozenset[int]:
        """These states and all that are reached from them for nothing."""
        seen, waiting = set(states), list(states)
        while waiting:
            for target in self.free[waiting.pop()]:
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
        return frozenset(seen)


class _Reader:
    """Reads one regular expression, of the kind that `grammar.ordinals` writes, into an `_Nfa`."""

    def __init__(self, pattern: str, nfa: _Nfa) -> None:
        self.pattern = pattern
        self.at = 0
        self.nfa = nfa

    def read(self) -> None:
        """Add the whole pattern; what it may start with and any text may end with adds nothing, so it is left out."""
        while self._peek("["):
            self._class(self.nfa.state())
            self._quantifier()
        while self._peek("(?"):
            start = self.at
            self._skip_group()
            if self.pattern.startswith("(?:", start) and self._quantifier()[0]:
                self.at = start
                break
        while self._peek("["):
            self._class(self.nfa.state())
            self._quantifier()
        self.nfa.free[self._alternatives(0)].append(1)
        if self.at != len(self.pattern):
            raise ValueError(f"cannot read {self.pattern!r} from {self.at}")

    def _peek(self, text: str) -> bool:
        return self.pattern.startswith(text, self.at)

    def _alternatives(self, source: int) -> int:
        target = self.nfa.state()
        while True:
            self.nfa.free[self._sequence(source)].append(target)
            if not self._peek("|"):
                return target
            self.at += 1

    def _sequence(self, source: int) -> int:
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            source = self._repeated(source)
        return source

    def _repeated(self, source: int) -> int:
        first = self.nfa.state()
        self.nfa.free[source].append(first)
        last = self._piece(first)
        after = self.nfa.state()
        self.nfa.free[last].append(after)
        least, many = self._quantifier()
        if not least:
            self.nfa.free[first].append(after)
        if many:
            self.nfa.free[last].append(first)
        return after

    def _quantifier(self) -> tuple[bool, bool]:
        """Whether the piece must come at all, and whether it may come again."""
        sign = self.pattern[self.at : self.at + 1]
        if sign and sign in "?*+":
            self.at += 1
            return sign == "+", sign != "?"
        if sign != "{":
            return True, False
        end = self.pattern.index("}", self.at)
        low, _, high = self.pattern[self.at + 1 : end].partition(",")
        self.at = end + 1
        return int(low) > 0, (high or low) != "1"

    def _piece(self, source: int) -> int:
        if self._peek("(?:"):
            self.at += 3
            target = self._alternatives(source)
            self.at += 1
            return target
        if self._peek("(?"):  # what stands around a match is dropped
            self._skip_group()
            return source
        if self._peek("["):
            return self._class(source)
        accepts = self._escape() if self._peek("\\") else frozenset(self._character())
        return self._accept(source, accepts) if accepts else source

    def _skip_group(self) -> None:
        depth = 0
        while True:
            character = self.pattern[self.at]
            if character == "\\":
                self.at += 1
            elif character == "[":
                self.at = self.pattern.index("]", self._after_first(self.at + 1))
            depth += (character == "(") - (character == ")")
            self.at += 1
            if not depth:
                return

    def _after_first(self, at: int) -> int:
        """Where to look for the end of a class: an escaped bracket does not close it."""
        while self.pattern[at] != "]":
            at += 2 if self.pattern[at] == "\\" else 1
        return at

    def _character(self) -> str:
        self.at += 1
        return self.pattern[self.at - 1]

    def _escape(self) -> frozenset[str]:
        """The characters of an escape; none for those that match between characters."""
        letter = self.pattern[self.at + 1]
        self.at += 2
        if letter == "d":
            return frozenset("0123456789")
        if letter == "w":
            return frozenset(map(chr, _WORD)) | {"\u0080"}
        if letter == "s":
            return frozenset(" ")
        return frozenset() if letter in "bZ" else frozenset(letter)

    def _class(self, source: int) -> int:
        self.at += 1
        negated = self._peek("^")
        self.at += negated
        accepts: set[str] = set()
        while not self._peek("]"):
            if self._peek("\\"):
                accepts |= self._escape()
                continue
            first = self._character()
            if self._peek("-") and self.pattern[self.at + 1] != "]":
                self.at += 1
                accepts |= set(map(chr, range(ord(first), ord(self._character()) + 1)))
            else:
                accepts.add(first)
        self.at += 1
        if negated:
            return self._accept(source, _ANY - {ord(c) for c in accepts if c < "\x80"} - frozenset(_BLANKS))
        return self._accept(source, frozenset(accepts))

    def _accept(self, source: int, accepts: frozenset[str] | frozenset[int]) -> int:
        """Edges for one character out of several, as it may be written in a string."""
        nfa, target = self.nfa, self.nfa.state()
        plain: set[int] = set()
        for item in accepts:
            if isinstance(item, int):
                plain.add(item)
            elif item == " ":
                self._blanks(source, target)
            elif item >= "\x80":
                self._beyond(source, item, target, alone=len(accepts) == 1)
            else:
                plain |= {ord(item.lower()), ord(item.upper())}
                if item == '"':
                    self._pair(source, item, target)
        nfa.edge(source, frozenset(plain), target)
        return target

    def _blanks(self, source: int, target: int) -> None:
        """Any run of white space counts as one space."""
        inner = self.nfa.state()
        for state in (source, inner):
            self.nfa.edge(state, frozenset(_BLANKS), inner)
            self._pair(state, "n", inner)
            self._pair(state, "t", inner)
        self.nfa.free[inner].append(target)

    def _pair(self, source: int, letter: str, target: int) -> None:
        escape = self.nfa.state()
        self.nfa.edge(source, frozenset(b"\\"), escape)
        self.nfa.edge(escape, frozenset(letter.encode()), target)

    def _beyond(self, source: int, character: str, target: int, *, alone: bool) -> None:
        """A character beyond ASCII: itself where it stands alone, any of them in a class of several."""
        if not alone:
            self.nfa.edge(source, _BEYOND, target)
            return
        for byte in character.encode()[:-1]:
            following = self.nfa.state()
            self.nfa.edge(source, frozenset({byte}), following)
            source = following
        self.nfa.edge(source, frozenset({character.encode()[-1]}), target)
        # Two such characters on two lines are joined when the program is elaborated.
        self.nfa.edge(target, frozenset(_BLANKS), target)


# ---- and a deterministic one --------------------------------------------------------------------------


def _determinise(nfa: _Nfa) -> Automaton:
    classes = _byte_classes(nfa)
    moves = [[(classes.within[accepts], target) for accepts, target in edges] for edges in nfa.moves]
    first = nfa.closure(frozenset({0}))
    numbers: dict[frozenset[int], int] = {first: START}
    rows: list[list[int]] = [[], [], [], []]
    waiting = [first]
    closures: dict[frozenset[int], frozenset[int]] = {frozenset(): first}
    while waiting:
        states = waiting.pop()
        reached: list[set[int]] = [set() for _ in classes.examples]
        for state in states:
            for accepts, target in moves[state]:
                for number in accepts:
                    reached[number].add(target)
        row = []
        for targets in map(frozenset, reached):
            if targets not in closures:
                closures[targets] = nfa.closure(targets) | first
            after = closures[targets]
            if 1 in after:
                row.append(DEAD)
                continue
            if after not in numbers:
                numbers[after] = len(rows)
                rows.append([])
                waiting.append(after)
            row.append(numbers[after])
        rows[numbers[states]] = row
    return Automaton(_table(rows, classes), len(rows))


def _table(rows: list[list[int]], classes: _Classes) -> array[int]:
    """The rows by bytes, with the states of a name between braces, where nothing is spelled."""
    table = array("h")
    inside = [INSIDE if byte in _WORD else START for byte in range(256)]
    for state, row in enumerate(rows):
        if state in (DEAD, OPEN, INSIDE):
            table.extend([DEAD] * 256 if state == DEAD else inside)
            continue
        table.extend(row[number] for number in classes.of)
        if table[256 * state + ord("{")] != DEAD:
            table[256 * state + ord("{")] = OPEN
    return table


class _Classes(NamedTuple):
    """Classes of bytes that no edge tells apart: of each byte, an example of each, those of a set of bytes."""

    of: list[int]
    examples: list[int]
    within: dict[frozenset[int], list[int]]


def _byte_classes(nfa: _Nfa) -> _Classes:
    sets = {accepts for moves in nfa.moves for accepts, _ in moves}
    keys = [tuple(byte in accepts for accepts in sets) for byte in range(256)]
    examples: dict[tuple[bool, ...], int] = {}
    for byte, key in enumerate(keys):
        examples.setdefault(key, byte)
    order = {key: n for n, key in enumerate(examples)}
    within = {
        accepts: [n for n, example in enumerate(examples.values()) if example in accepts] for accepts in sets
    }
    return _Classes([order[key] for key in keys], list(examples.values()), within)


def refused(text: str) -> bool:
    """Whether a text is refused, as it is written inside quotes; halves of characters may stand as surrogates."""
    return automaton().run(text.encode("utf-8", "surrogateescape")) == DEAD
