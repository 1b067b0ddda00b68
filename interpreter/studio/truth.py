"""Whether a scene holds a constraint: the exact answer that judges, who see pixels only, are measured against."""

from __future__ import annotations

from genevolve.grammar.z import Constraint
from genevolve.interpreter.studio.layout import lay_out
from genevolve.interpreter.studio.scene import Scene, Thing

LEG_OF = "leg of the "
"""What `count` begins with when it counts the legs of each copy of a creature."""


def satisfied(constraint: Constraint, scene: Scene, truth: Scene) -> bool:
    """Whether `scene` holds a constraint of a request whose ground truth is `truth`."""
    a = constraint.arguments
    match constraint.kind:
        case "text":
            return any(v.text == a["value"] and v.place == a["at"] for v in scene.letterings)
        case "count":
            return _counts(str(a["what"]), int(a["n"]), scene)
        case "attribute":
            return _has(str(a["what"]), str(a["value"]), scene)
        case "relation":
            return _stands(str(a["a"]), str(a["relation"]), str(a["b"]), scene)
        case "resembles":
            what = str(a["what"])
            looks = {t.look for t in truth.things if t.noun == what}
            return any(t.noun == what and t.look in looks for t in scene.things)
        case _:
            raise ValueError(f"the studio has no constraint of kind {constraint.kind!r}")


def _counts(what: str, n: int, scene: Scene) -> bool:
    if what.startswith(LEG_OF):
        found = _of(what.removeprefix(LEG_OF), scene)
        return bool(found) and all(t.leg_count == n for t in found)
    return sum(t.count for t in _of(what, scene)) == n


def _has(what: str, value: str, scene: Scene) -> bool:
    if what == "picture":
        return value in (scene.light, scene.style)
    return any(value in (t.colour, t.material, t.skin) for t in _of(what, scene))


def _stands(a: str, relation: str, b: str, scene: Scene) -> bool:
    first, second = _middle(a, scene), _middle(b, scene)
    if first is None or second is None:
        return False
    across, down = second[0] - first[0], second[1] - first[1]
    return {"left_of": across > 0, "right_of": across < 0, "above": down > 0, "below": down < 0}[relation]


def _middle(noun: str, scene: Scene) -> tuple[float, float] | None:
    """The middle of all copies of a noun, in pixels."""
    boxes = [c.box.centre for c in lay_out(scene).copies if scene.things[c.thing].noun == noun]
    if not boxes:
        return None
    return sum(x for x, _ in boxes) / len(boxes), sum(y for _, y in boxes) / len(boxes)


def _of(noun: str, scene: Scene) -> list[Thing]:
    return [t for t in scene.things if t.noun == noun]
