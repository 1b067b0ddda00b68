"""Numbers between bounds, as trees of digits.

    int_between(8, 12)  →  [8-9] | 1[0-2]

Numbers are written without leading zeros, floats with one or two decimals.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import lru_cache

from genevolve.grammar.constrain_nodes import NOTHING, Digit, Lit, Node, Token, alt, seq
from genevolve.grammar.lexer import MAX_INT

_MAX_SIDE = 16_384
_MOST_DIGITS = 9
_ANY = 10**_MOST_DIGITS - 1


@lru_cache(maxsize=256)
def int_between(low: float | None, high: float | None) -> Node:
    """Whole numbers from `low` to `high`, both included; a bound that is None leaves nine digits."""
    least, most = _bounds(low, high)
    return _token(_ints(least, most), "INT")


@lru_cache(maxsize=256)
def float_between(low: float | None, high: float | None) -> Node:
    """Numbers from `low` to `high` with one or two decimals."""
    found: list[Node] = []
    least, most = _bounds(low, high)
    for decimals in (1, 2):
        scale = Decimal(10) ** decimals
        lowest = _scaled(least if low is None else low, scale, ROUND_CEILING)
        highest = _scaled(most if high is None else high, scale, ROUND_FLOOR)
        if lowest < 0:
            found += (seq((Lit("-"), n)) for n in _decimals(max(1, -highest), -lowest, decimals))
        found += _decimals(max(0, lowest), highest, decimals)
    return _token(alt(found), "FLOAT")


@lru_cache(maxsize=256)
def size_between(low: float | None, high: float | None) -> Node:
    """Sizes whose sides are both in bounds."""
    least = max(1, math.ceil(low)) if low is not None else 1
    most = min(999_999, math.floor(high)) if high is not None else _MAX_SIDE
    side = _ints(least, most)
    return _token(seq((side, Lit("x"), side)), "SIZE")


def _token(node: Node, base: str) -> Node:
    return NOTHING if node is NOTHING else Token(node, base)


def _bounds(low: float | None, high: float | None) -> tuple[int, int]:
    least = max(-MAX_INT, math.ceil(low)) if low is not None and math.isfinite(low) else None
    most = min(MAX_INT, math.floor(high)) if high is not None and math.isfinite(high) else None
    if least is None:
        least = -_ANY if most is None or most >= -_ANY else -MAX_INT
    if most is None:
        most = max(_ANY, least) if least <= _ANY else MAX_INT
    return least, most


def _scaled(value: float, scale: Decimal, rounding: str) -> int:
    # Through text: a bound of 0.1 means the decimal that was written, not the float next to it.
    bounded = max(-float(_ANY), min(float(_ANY), float(value)))
    return int((Decimal(repr(bounded)) * scale).to_integral_value(rounding))


def _ints(low: int, high: int) -> Node:
    found: list[Node] = []
    if low < 0:
        found += (seq((Lit("-"), n)) for n in _whole(max(1, -high), -low))
    found += _whole(max(0, low), high)
    return alt(found)


def _whole(low: int, high: int) -> list[Node]:
    """Numbers from 0 on, without leading zeros: one alternative for each number of digits."""
    found: list[Node] = []
    for width in range(len(str(low)), len(str(max(high, 0))) + 1):
        first = max(low, 10 ** (width - 1) if width > 1 else 0)
        last = min(high, 10**width - 1)
        if first <= last:
            found += _digits(str(first), str(last))
    return found


def _decimals(low: int, high: int, decimals: int) -> list[Node]:
    """Numbers in steps of a decimal: `low` and `high` count the steps."""
    found: list[Node] = []
    step = 10**decimals
    for width in range(decimals + 1, len(str(max(high, step))) + 1):
        first = max(low, 10 ** (width - 1) if width > decimals + 1 else 0)
        last = min(high, 10**width - 1)
        if first <= last:
            found += _digits(str(first).zfill(width), str(last).zfill(width), width - decimals)
    return found


def _digits(low: str, high: str, point: int | None = None) -> list[Node]:
    """Numbers of as many digits as both bounds have, with a point before one of the digits.

    A run of full ranges is shared, so the tree stays linear in the number of digits.
    """

    def free(at: int) -> list[Node]:
        return [n for i in range(at, len(low)) for n in _digit(i, "0", "9")]

    def _digit(at: int, first: str, last: str) -> list[Node]:
        digit: Node = Lit(first) if first == last else Digit(first, last)
        return [Lit("."), digit] if at == point else [digit]

    def between(at: int, floor: bool, ceiling: bool) -> list[list[Node]]:
        if at == len(low):
            return [[]]
        if not floor and not ceiling:
            return [free(at)]
        first = low[at] if floor else "0"
        last = high[at] if ceiling else "9"
        if first == last and floor and ceiling:
            return [[*_digit(at, first, first), *tail] for tail in between(at + 1, True, True)]
        found = []
        inner_first, inner_last = first, last
        if floor and (first == last or low[at + 1 :].strip("0")):
            found += [[*_digit(at, first, first), *tail] for tail in between(at + 1, True, False)]
            inner_first = chr(ord(first) + 1)
        if ceiling and high[at + 1 :].strip("9"):
            inner_last = chr(ord(last) - 1)
        if inner_first <= inner_last:
            found.append([*_digit(at, inner_first, inner_last), *free(at + 1)])
        if inner_last != last:
            found += [[*_digit(at, last, last), *tail] for tail in between(at + 1, False, True)]
        return found

    return [seq(digits) for digits in between(0, True, True)]
