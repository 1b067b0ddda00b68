"""From two readings to scores: what a picture shows against what the ground truth shows and what was asked for.

`compare` takes readings from wherever they come: of pixels when it judges, of known scenes when the judge is measured.

Explicit checks come from the constraints; implicit ones hold for every picture (things stand alone and on the ground,
nothing is made of what nobody asked for). Without any constraints the ground truth's colours, places and looks are
explicit. Thresholds, by dimension:

- faithfulness: 1 when every kind of thing is there, none is added, the background is the asked one and nothing is left
  unexplained; 0 when less than half of the kinds are there or a quarter of the picture is not understood; else 0.5.
- visual_correctness: 1 when no check fails; 0.5 when one fails and at least half of the explicit ones hold; else 0,
  and always 0 when the identity is another one,
  things have grown into each other, or less than half of the kinds are there.
- text_accuracy: 1 when every line is right and in its place and no other is there; 0.5 when lines are right by three
  quarters on the mean, and no more other lines than wanted ones are there; else 0. None when no text is asked for.
- aesthetics: 1 when light, style and contrast are right, 0.5 when one is not, else 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from genevolve.grammar.z import Constraint
from genevolve.interpreter.judges.inspector.seen import UNREAD, Seen, SeenText, SeenThing
from genevolve.interpreter.studio.scene import Look

_APART = 0.06
"""How much further left or above one thing must be than another, as a share of the picture."""
_MOVED = 0.17
_FADED = 0.72
_SMALL = 0.5
"""How much smaller than in the ground truth all things may be."""
_CLUTTER, _CHAOS = 0.02, 0.25
_SAME_LOOK, _KINDRED_LOOK = 0.9, 0.6
_MOST_LEGIBLE = 0.75
_ROWS = {"top": (0.0, 1 / 3), "bottom": (2 / 3, 1.0)}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What, in words.
        dimension: Of KScore, where it counts.
        score: 0 to 1.
        explicit: Whether it was asked for by name.
        fatal: Whether failing it makes the dimension 0.
    """

    name: str
    dimension: str
    score: float
    explicit: bool = False
    fatal: bool = False

    @property
    def holds(self) -> bool:
        """Whether it is met in full."""
        return self.score >= 0.999


@dataclass(frozen=True)
class Comparison:
    """All checks and what follows from them."""

    checks: tuple[Check, ...]
    dimensions: Mapping[str, float | None]

    @property
    def parts(self) -> dict[str, float]:
        """Score of each check by its name."""
        return {c.name: round(c.score, 4) for c in self.checks}

    @property
    def failures(self) -> tuple[str, ...]:
        """Names of the checks that are not met, the worst first."""
        return tuple(c.name for c in sorted(self.checks, key=lambda c: c.score) if not c.holds)


@dataclass
class _Checks:
    found: list[Check] = field(default_factory=list)

    def add(
        self, dimension: str, name: str, score: float, *, explicit: bool = False, fatal: bool = False
    ) -> None:
        self.found.append(Check(name, dimension, float(score), explicit, fatal))

    def of(self, dimension: str) -> list[Check]:
        return [c for c in self.found if c.dimension == dimension]


def compare(truth: Seen, seen: Seen, constraints: Sequence[Constraint] = ()) -> Comparison:
    """Score a reading against the ground truth's, under the constraints of the request."""
    checks = _Checks()
    _faithfulness(checks, truth, seen)
    asked = _asked_texts(truth, constraints)
    for constraint in constraints:
        _explicit(checks, constraint, truth, seen)
    if not constraints:
        _all_explicit(checks, truth, seen)
    _implicit(checks, truth, seen, constraints)
    # Lines that the ground truth carries and that could not be read may stand in the picture as well.
    unread = sum(t.text == UNREAD for t in truth.texts)
    _texts(checks, asked, seen, unread)
    _aesthetics(checks, truth, seen)
    dimensions: dict[str, float | None] = {
        "faithfulness": _faithfulness_level(checks),
        "visual_correctness": _visual_level(checks.of("visual_correctness"), _present(checks)),
        "text_accuracy": _text_level(checks.of("text_accuracy"), bool(asked)),
        "aesthetics": _aesthetics_level(checks.of("aesthetics")),
    }
    return Comparison(tuple(checks.found), dimensions)


def wanted_texts(constraints: Sequence[Constraint]) -> tuple[str, ...]:
    """The lines of lettering that constraints ask for."""
    values = (c.arguments.get("value") for c in constraints if c.kind == "text")
    return tuple(dict.fromkeys(v for v in values if isinstance(v, str) and v))


# ---- faithfulness ------------------------------------------------------------------------------------


def _faithfulness(checks: _Checks, truth: Seen, seen: Seen) -> None:
    wanted = {t.noun for t in truth.things}
    there = {t.noun for t in seen.things}
    for noun in sorted(wanted):
        checks.add("faithfulness", f"there is a {noun}", noun in there)
    added = there - wanted
    checks.add("faithfulness", "nothing is added", 1.0 / (1 + len(added)))
    checks.add("faithfulness", "background", seen.background == truth.background)
    # What the ground truth itself leaves unexplained is the reader's weakness, not the picture's fault.
    clutter = max(0.0, seen.unexplained - truth.unexplained)
    checks.add("faithfulness", "no clutter", 1.0 if clutter <= _CLUTTER else max(0.0, 1 - clutter / _CHAOS))


def _present(checks: _Checks) -> float:
    """Share of the wanted kinds of things that are there."""
    kinds = [c for c in checks.found if c.name.startswith("there is a ")]
    return sum(c.score for c in kinds) / len(kinds) if kinds else 1.0


def _faithfulness_level(checks: _Checks) -> float:
    found = checks.of("faithfulness")
    share = _present(checks)
    chaos = any(c.name == "no clutter" and c.score <= 0 for c in found)
    if share < 0.5 or chaos:
        return 0.0
    return 1.0 if all(c.holds for c in found) else 0.5


# ---- visual correctness ------------------------------------------------------------------------------


def _explicit(checks: _Checks, constraint: Constraint, truth: Seen, seen: Seen) -> None:
    """The check of one constraint. Text has its own dimension; the picture's light and style have theirs."""
    arguments = constraint.arguments
    name, score, fatal = str(constraint), 0.0, False
    match constraint.kind:
        case "count":
            score = _count_holds(arguments, seen)
        case "attribute":
            if arguments.get("what") == "picture":
                return
            score = _attribute_holds(str(arguments.get("what")), str(arguments.get("value")), seen)
        case "relation":
            score = _relation_holds(arguments, seen)
        case "resembles":
            likeness = _likeness(arguments.get("what"), truth, seen)
            score = 1.0 if likeness >= _SAME_LOOK else likeness
            fatal = likeness < _KINDRED_LOOK
        case _:
            return
    checks.add("visual_correctness", name, score, explicit=True, fatal=fatal)


def _count_holds(arguments: Mapping[str, object], seen: Seen) -> float:
    what, number = str(arguments.get("what")), arguments.get("n")
    if not isinstance(number, int):
        return 1.0
    if what.startswith("leg of the "):
        noun = what.removeprefix("leg of the ")
        legs = [t.legs for t in seen.things if t.noun == noun for _ in range(t.count)]
        return sum(n == number for n in legs) / len(legs) if legs else 0.0
    found = _count(what, seen)
    operators = {
        "==": found == number,
        "!=": found != number,
        "<": found < number,
        "<=": found <= number,
        ">": found > number,
        ">=": found >= number,
    }
    if operators.get(str(arguments.get("operator")), False):
        return 1.0
    return max(0.0, 0.9 - abs(found - number) / max(1, number))


def _count(what: str, seen: Seen) -> int:
    """How many of a thing there are; `red ball` counts red ones only."""
    *attributes, noun = what.split() or [""]
    return sum(
        t.count for t in seen.things if t.noun == noun and set(attributes) <= {t.colour, t.material, t.skin}
    )


def _attribute_holds(what: str, value: str, seen: Seen) -> float:
    noun = _last_word(what)
    copies = [t for t in seen.things if t.noun == noun]
    total = sum(t.count for t in copies)
    having = sum(t.count for t in copies if value in (t.colour, t.material, t.skin))
    return having / total if total else 0.0


def _relation_holds(arguments: Mapping[str, object], seen: Seen) -> float:
    a, b = (_centre(str(arguments.get(k)), seen) for k in ("a", "b"))
    if a is None or b is None:
        return 0.0
    dx, dy = b[0] - a[0], b[1] - a[1]
    near = abs(dx) < 0.45 and abs(dy) < 0.45
    holds = {
        "left_of": dx > _APART,
        "right_of": dx < -_APART,
        "above": dy > _APART,
        "below": dy < -_APART,
        "next_to": near and abs(dx) > _APART and abs(dy) < abs(dx),
        "on": dy > 0 and near,
        "in_front_of": dy < 0,
        "behind": dy > 0,
        "inside": abs(dx) < 0.12 and abs(dy) < 0.12,
    }
    return float(holds.get(str(arguments.get("relation")), False))


def _centre(what: str, seen: Seen) -> tuple[float, float] | None:
    noun = _last_word(what)
    places = [p for t in seen.things if t.noun == noun for p in t.places]
    if not places:
        return None
    return sum(x for x, _ in places) / len(places), sum(y for _, y in places) / len(places)


def _last_word(what: str) -> str:
    return (what.split() or [""])[-1]


def _likeness(what: object, truth: Seen, seen: Seen) -> float:
    """How far the looks of the ground truth's things are kept, the worst of them.

    Further copies of a thing that look otherwise count against it: several guesses do not make one answer.
    """
    wanted = [t for t in truth.things if t.look is not None and (what is None or t.noun == what)]
    if not wanted:
        return 1.0
    return min(_shared_likeness(t, [o for o in seen.things if o.noun == t.noun]) for t in wanted)


def _shared_likeness(thing: SeenThing, copies: Sequence[SeenThing]) -> float:
    """The mean likeness of all copies."""
    total = sum(o.count for o in copies)
    return sum(o.count * _look_likeness(thing.look, o.look) for o in copies) / total if total else 0.0


def _look_likeness(wanted: Look | None, found: Look | None) -> float:
    if wanted is None or found is None:
        return 0.0
    pairs = (
        (wanted.outline == found.outline, 1),
        (wanted.colour == found.colour, 1),
        (wanted.pattern == found.pattern, 1),
        (wanted.second == found.second, 1),
        (wanted.figure == found.figure, 1.5),
    )
    return sum(w for same, w in pairs if same) / sum(w for _, w in pairs)


def _all_explicit(checks: _Checks, truth: Seen, seen: Seen) -> None:
    """Without constraints: everything about the ground truth's things was asked for."""
    for thing in truth.things:
        other = _counterpart(thing, seen)
        if other is None:
            continue
        name = thing.noun
        if thing.look is not None:
            likeness = _look_likeness(thing.look, other.look)
            checks.add(
                "visual_correctness",
                f"look of the {name}",
                1.0 if likeness >= _SAME_LOOK else likeness,
                explicit=True,
                fatal=likeness < _KINDRED_LOOK,
            )
        else:
            checks.add(
                "visual_correctness", f"colour of the {name}", thing.colour == other.colour, explicit=True
            )
        if thing.legs:
            checks.add("visual_correctness", f"legs of the {name}", thing.legs == other.legs, explicit=True)
        moved = max(abs(a - b) for a, b in zip(thing.centre, other.centre, strict=True))
        checks.add("visual_correctness", f"place of the {name}", moved <= _MOVED, explicit=True)


def _counterpart(thing: SeenThing, seen: Seen) -> SeenThing | None:
    """The thing in the other reading that is most like this one."""
    same = [t for t in seen.things if t.noun == thing.noun]
    return max(same, key=lambda t: (t.colour == thing.colour, t.look == thing.look, t.count), default=None)


def _implicit(checks: _Checks, truth: Seen, seen: Seen, constraints: Sequence[Constraint]) -> None:
    counted = {_last_word(str(c.arguments.get("what"))) for c in constraints if c.kind == "count"}
    counted -= {_last_word(str(c.arguments.get("what"))) for c in constraints if _of_legs(c)}
    for noun in sorted({t.noun for t in truth.things} & {t.noun for t in seen.things}):
        wanted, found = _count(noun, truth), _count(noun, seen)
        if noun not in counted:
            checks.add("visual_correctness", f"number of {noun}s", wanted == found)
        ours = [t for t in truth.things if t.noun == noun]
        theirs = [t for t in seen.things if t.noun == noun]
        _substance(checks, noun, ours, theirs, constraints)
        standing = sum(t.shadows for t in theirs) / max(1, sum(t.count for t in theirs))
        if sum(t.shadows for t in ours) >= sum(t.count for t in ours):
            checks.add(
                "visual_correctness", f"the {noun} touches the ground", 1.0 if standing > 0.5 else standing
            )
    # A picture within the picture shows everything, and nothing of it well.
    ratios = [
        max(t.side for t in seen.things if t.noun == noun)
        / max(t.side for t in truth.things if t.noun == noun)
        for noun in {t.noun for t in truth.things} & {t.noun for t in seen.things}
    ]
    small = bool(ratios) and max(ratios) < _SMALL
    checks.add("visual_correctness", "things are large enough", not small, fatal=small)
    grown = sum(t.merged for t in seen.things) > sum(t.merged for t in truth.things)
    checks.add("visual_correctness", "things stand apart", not grown, fatal=grown)


def _of_legs(constraint: Constraint) -> bool:
    return constraint.kind == "count" and str(constraint.arguments.get("what")).startswith("leg of the ")


def _substance(
    checks: _Checks,
    noun: str,
    ours: Sequence[SeenThing],
    theirs: Sequence[SeenThing],
    constraints: Sequence[Constraint],
) -> None:
    """Materials, skins and legs as nature and the request have them, where no constraint says so already."""
    asked = {str(c.arguments.get("value")) for c in constraints if c.arguments.get("what") == noun}
    plain = [t for t in theirs if t.look is None]
    for kind in ("material", "skin"):
        wanted = {getattr(t, kind) for t in ours if t.look is None}
        if not plain or not wanted or wanted & asked:
            continue
        found = {getattr(t, kind) for t in plain}
        checks.add("visual_correctness", f"{kind} of the {noun}", found <= wanted)
    legged = any(_of_legs(c) and str(c.arguments["what"]).endswith(f" {noun}") for c in constraints)
    if constraints and not legged and any(t.legs for t in ours):
        wanted_legs = {t.legs for t in ours}
        checks.add("visual_correctness", f"legs of the {noun}", {t.legs for t in theirs} <= wanted_legs)


def _visual_level(checks: Sequence[Check], present: float) -> float:
    failing = [c for c in checks if not c.holds]
    # Of things that are not there nothing is right.
    if present < 0.5 or any(c.fatal for c in failing):
        return 0.0
    if not failing:
        return 1.0
    explicit = [c for c in checks if c.explicit]
    held = sum(c.holds for c in explicit) / len(explicit) if explicit else 1.0
    return 0.5 if len(failing) == 1 and held >= 0.5 else 0.0


# ---- text --------------------------------------------------------------------------------------------


def _asked_texts(truth: Seen, constraints: Sequence[Constraint]) -> list[tuple[str, str]]:
    """Lines and the places they were asked for at; the ground truth's own where no constraint names any."""
    named = [
        (str(c.arguments.get("value")), str(c.arguments.get("at", "")))
        for c in constraints
        if c.kind == "text"
    ]
    if constraints:
        return named
    return [(t.text, _row(t.place)) for t in truth.texts if t.text != UNREAD]


def _row(place: tuple[float, float]) -> str:
    return next((name for name, (low, high) in _ROWS.items() if low <= place[1] < high), "")


def _texts(checks: _Checks, asked: Sequence[tuple[str, str]], seen: Seen, allowed: int) -> None:
    left = list(seen.texts)
    for text, at in asked:
        best = max(left, key=lambda t: similarity(text, t.text), default=None)
        score = similarity(text, best.text) if best is not None else 0.0
        checks.add("text_accuracy", f"text {text!r}", score, explicit=True)
        if best is not None and score >= 0.5:
            left.remove(best)
            if at:
                checks.add("text_accuracy", f"place of text {text!r}", _stands_at(best, at))
    # Lettering that nobody asked for is a fault; where no text is asked for at all it is something added.
    dimension = "text_accuracy" if asked else "faithfulness"
    others = max(0, len(left) - allowed)
    # More other lines than wanted ones are a list of guesses.
    checks.add(dimension, "no other lettering", others == 0, fatal=others > len(asked))


def _stands_at(text: SeenText, at: str) -> bool:
    x, y = text.place
    rows = {
        "top": y < 0.4,
        "bottom": y > 0.6,
        "left": x < 0.45,
        "right": x > 0.55,
        "center": abs(x - 0.5) < 0.2,
    }
    rows |= {"upper": y < 0.4, "lower": y > 0.6, "centre": abs(x - 0.5) < 0.2}
    return all(rows.get(word, True) for word in at.split())


def _text_level(checks: Sequence[Check], asked: bool) -> float | None:
    if not asked:
        return None
    if all(c.holds for c in checks):
        return 1.0
    if any(c.fatal and not c.holds for c in checks):
        return 0.0
    lines = [c.score for c in checks if c.explicit]
    return 0.5 if sum(lines) / len(lines) >= _MOST_LEGIBLE else 0.0


def similarity(wanted: str, found: str) -> float:
    """1 for the same letters in the same case, less by the share of letters that must change; spaces do not count."""
    a, b = "".join(wanted.split()), "".join(found.split())
    if not a:
        return 1.0
    if a == b:
        return 1.0
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return max(0.0, 1 - row[-1] / max(len(a), len(b)))


# ---- aesthetics --------------------------------------------------------------------------------------


def _aesthetics(checks: _Checks, truth: Seen, seen: Seen) -> None:
    checks.add("aesthetics", "light", seen.light == truth.light)
    checks.add("aesthetics", "style", seen.style == truth.style)
    checks.add("aesthetics", "contrast", seen.contrast >= _FADED * truth.contrast)


def _aesthetics_level(checks: Sequence[Check]) -> float:
    failing = sum(not c.holds for c in checks)
    return max(0.0, 1 - failing / 2)
