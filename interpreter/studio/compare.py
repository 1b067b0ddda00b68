"""How far a drawn scene meets a request, scene against scene: no pixels are looked at.

It is the yardstick by which the generator's rates are set and judges of pixels are measured. The rules are those of
KScore's dimensions: each is 0, 0.5 or 1, the sum is weighted as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence

from genevolve.grammar.z import Constraint
from genevolve.interpreter.studio.palette import COLOURS
from genevolve.interpreter.studio.scene import MATERIALS, SKINS, STYLES, Scene, Thing, column_of, row_of

_WEIGHTS = {"faithfulness": 0.1, "visual_correctness": 0.4, "text_accuracy": 0.4, "aesthetics": 0.1}


def met(constraint: Constraint, truth: Scene, drawn: Scene) -> bool:
    """Whether a drawn scene holds what a constraint of a request says; see `wants` for the kinds."""
    arguments = constraint.arguments
    if constraint.kind == "text":
        row = {"top": 0, "bottom": 2}.get(str(arguments.get("at", "")))
        return any(
            v.text == arguments["value"] and (row is None or row_of(v.place) == row) for v in drawn.letterings
        )
    if constraint.kind == "count":
        return _counted(str(arguments["what"]), int(arguments["n"]), drawn)
    if constraint.kind == "attribute":
        return _attributed(str(arguments["what"]), str(arguments["value"]), drawn)
    if constraint.kind == "relation":
        return _related(str(arguments["a"]), str(arguments["relation"]), str(arguments["b"]), drawn)
    if constraint.kind == "resembles":
        looks = {t.look for t in truth.things if t.look is not None}
        nouns = {t.noun for t in truth.things if t.look is not None}
        found = [t for t in drawn.things if t.noun in nouns]
        # All of them: several guesses do not make one answer.
        return bool(found) and all(t.look in looks and t.merged_into is None for t in found)
    raise ValueError(f"a constraint of kind {constraint.kind!r} cannot be compared")


def _named(noun: str, drawn: Scene) -> list[Thing]:
    return [t for t in drawn.things if t.noun == noun]


def _counted(what: str, n: int, drawn: Scene) -> bool:
    if what.startswith("leg of the "):
        found = _named(what.removeprefix("leg of the "), drawn)
        return bool(found) and all(t.leg_count == n for t in found)
    return sum(t.count for t in _named(what, drawn)) == n


def _attributed(what: str, value: str, drawn: Scene) -> bool:
    if what == "picture":
        return value in ((drawn.style,) if value in STYLES else (drawn.light,))
    found = _named(what, drawn)
    if value in MATERIALS:
        return bool(found) and all(t.material == value and t.shadow for t in found)
    if value in SKINS:
        return bool(found) and all(t.skin == value for t in found)
    return value in COLOURS and bool(found) and all(t.colour == value and t.look is None for t in found)


def _related(a: str, relation: str, b: str, drawn: Scene) -> bool:
    first, second = _named(a, drawn), _named(b, drawn)
    if not first or not second or first[0].merged_into is not None or second[0].merged_into is not None:
        return False
    dx = column_of(second[0].place) - column_of(first[0].place)
    dy = row_of(second[0].place) - row_of(first[0].place)
    return {"left_of": dx > 0, "right_of": dx < 0, "above": dy > 0, "below": dy < 0, "next_to": dy == 0}[
        relation
    ]


def compare(truth: Scene, drawn: Scene, constraints: Sequence[Constraint]) -> dict[str, float | None]:
    """The four dimensions, and `score`, their weighted mean; `text_accuracy` is None when no text is wanted."""
    wanted = {t.noun for t in truth.things}
    there = {t.noun for t in drawn.things if t.merged_into is None}
    present = len(wanted & there) / len(wanted) if wanted else 1.0
    mood = [c for c in constraints if c.kind == "attribute" and c.arguments["what"] == "picture"]
    texts = [c for c in constraints if c.kind == "text"]
    seen = [c for c in constraints if c not in mood and c not in texts]
    dimensions: dict[str, float | None] = {
        "faithfulness": _half(present - (0.5 if there - wanted else 0.0)),
        "visual_correctness": _half(_share(seen, truth, drawn)) if seen else _half(present),
        "text_accuracy": _text(texts, truth, drawn),
        "aesthetics": _half((_share(mood, truth, drawn) if mood else 1.0) * (drawn.contrast >= 0.6)),
    }
    known = {k: v for k, v in dimensions.items() if v is not None}
    total = sum(_WEIGHTS[k] for k in known)
    return {**dimensions, "score": sum(_WEIGHTS[k] * v for k, v in known.items()) / total}


def _text(texts: Sequence[Constraint], truth: Scene, drawn: Scene) -> float | None:
    if not texts:
        return None
    extra = len(drawn.letterings) - len(truth.letterings)
    if extra > len(texts):  # a list of guesses
        return 0.0
    return _half(_share(texts, truth, drawn) - (0.5 if extra > 0 else 0.0))


def _share(constraints: Sequence[Constraint], truth: Scene, drawn: Scene) -> float:
    return sum(met(c, truth, drawn) for c in constraints) / len(constraints)


def _half(share: float) -> float:
    return 1.0 if share >= 0.999 else 0.5 if share >= 0.5 else 0.0
