"""What a z says in all: the prompt's scene, completed and overruled by its constraints and references."""

from __future__ import annotations

from dataclasses import replace

from genevolve.grammar.z import Constraint, Z
from genevolve.interpreter.renderers.storyboard import lexicon as lex
from genevolve.interpreter.renderers.storyboard.nouns import MAX_THINGS
from genevolve.interpreter.renderers.storyboard.phrases import Noun, phrases, sentences
from genevolve.interpreter.renderers.storyboard.reading import MAX_TEXTS, read
from genevolve.interpreter.renderers.storyboard.scene import Lettering, Link, Place, Scene, Thing

MAX_COUNT = 120
MAX_CONSTRAINTS = 200

_PLACES = {
    "top": Place((0.0, 1.0), (0.0, 0.3)),
    "bottom": Place((0.0, 1.0), (0.7, 1.0)),
    "left": Place((0.0, 0.42)),
    "right": Place((0.58, 1.0)),
    "center": Place((0.12, 0.88), (0.32, 0.68)),
    "top left": Place((0.0, 0.46), (0.0, 0.3)),
    "top right": Place((0.54, 1.0), (0.0, 0.3)),
    "bottom left": Place((0.0, 0.46), (0.7, 1.0)),
    "bottom right": Place((0.54, 1.0), (0.7, 1.0)),
}


def understand(z: Z) -> Scene:
    """The scene of a z. `require` is stronger than the prompt; references that no sentence names are shown too."""
    scene = read(z.gen_prompt, _depicted(z))
    for constraint in z.constraints[:MAX_CONSTRAINTS]:
        rule = _RULES.get(constraint.kind)
        if rule is None:
            scene.note(f"The storyboard knows no constraint named “{constraint.kind}”.")
        else:
            rule(scene, constraint)
    for reference in z.reference_images:
        thing = scene.reference(reference.ordinal)
        if thing is None:
            scene.things.append(Thing("", None, ref=reference.ordinal, sure=True))
            scene.note(f"The prompt does not say where reference image {reference.ordinal} belongs.")
    known = {r.ordinal for r in z.reference_images}
    for thing in scene.things:
        if thing.ref is not None and thing.ref not in known:
            scene.note(f"There is no reference image {thing.ref}.")
            thing.ref = None
    _tidy(scene)
    return scene


def _depicted(z: Z) -> frozenset[str]:
    """The nouns of the references' notes: what the pictures are there to show."""
    found = set()
    for reference in z.reference_images:
        for tokens in sentences(reference.note[:400].split(" not ")[0]):
            found |= {p.head for p in phrases(tokens) if isinstance(p, Noun)}
    return frozenset(found)


def _text(scene: Scene, constraint: Constraint) -> None:
    value = " ".join(str(constraint.arguments.get("value", "")).split())
    at = str(constraint.arguments.get("at", ""))
    if not value:
        return
    found = next((t for t in scene.texts if _same_text(t.value, value)), None)
    if found is None:
        if len(scene.texts) >= MAX_TEXTS:
            scene.note(f"No room is left for the required text “{value[:60]}”.")
            return
        found = Lettering(value, role="title" if not scene.texts and at in ("", "top") else "text")
        scene.texts.append(found)
    found.value, found.exact = value, True
    if at in _PLACES:
        wanted = _PLACES[at]
        # the prompt's own place may be finer ("across the top"): keep it where the two agree
        found.place = (
            wanted if found.place is None or not _agree(found.place, wanted) else found.place.merged(wanted)
        )
        found.carrier = None if found.place is wanted else found.carrier


def _same_text(a: str, b: str) -> bool:
    return " ".join(a.split()).casefold() == " ".join(b.split()).casefold()


def _agree(have: Place, wanted: Place) -> bool:
    for mine, other in ((have.x, wanted.x), (have.y, wanted.y)):
        if mine is not None and other is not None and not other[0] - 0.01 <= sum(mine) / 2 <= other[1] + 0.01:
            return False
    return True


def _count(scene: Scene, constraint: Constraint) -> None:
    what = str(constraint.arguments.get("what", ""))
    wanted = constraint.arguments.get("n", 1)
    operator = str(constraint.arguments.get("operator", "=="))
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not what.strip():
        return
    noun = _noun(what)
    if noun.head in lex.ABSTRACT and noun.named is None:
        scene.note(f"Counting “{what}” is left to the real renderer.")
        return
    found = _find(scene, what)
    total = sum(t.count for t in found)
    target = _target(total, operator, wanted)
    if target == total and found:
        for thing in found:
            thing.counted = thing.sure = True
        return
    if not found:
        made = _create(scene, noun)
        if made is None:
            return
        found = [made]
        total = made.count
    first = next((t for t in found if t.ref is None), found[0])
    if first.ref is not None:
        if target > 1:
            scene.note(f"{target} × “{what}” is left to the reference picture that shows it.")
        return
    first.count = max(0, target - (total - first.count))
    first.counted = first.sure = True


def _target(total: int, operator: str, n: int) -> int:
    """The count to draw: `n`, or what the prompt says where that holds already."""
    low = {">=": n, ">": n + 1}.get(operator)
    high = {"<=": n, "<": n - 1}.get(operator)
    if low is not None:
        return max(total, low)
    if high is not None:
        return max(0, min(total, high) if total else high)
    if operator == "!=":
        return total if total != n else n + 1
    return max(0, n)


def _attribute(scene: Scene, constraint: Constraint) -> None:
    what = str(constraint.arguments.get("what", ""))
    value = str(constraint.arguments.get("value", "")).lower()
    words = value.replace(",", " ").split()
    colour = next((c for i in range(len(words)) if (c := lex.colour_at(words, i))), None)
    material = next((w for w in words if w in lex.MATERIALS), "")
    noun = _noun(what)
    found = _find(scene, what)
    if not found and noun.head in lex.CLOTHES:
        found = [t for t in scene.things if t.icon in lex.LIVING][:1]
    if not found and noun.named and noun.head not in scene.depicted:
        made = _create(scene, noun)
        found = [made] if made else []
    if not found or not (colour or material or (words[:1] and words[0] in lex.SIZES)):
        scene.note(f"“{what}: {value}” is left to the real renderer.")
        return
    side = _side(what)
    for thing in found:
        if side is not None and thing.count > 1 and colour:
            _colour_member(thing, side, colour)
            continue
        if colour:
            thing.colours = [(colour[0], colour[1])]
        if material:
            thing.material = material
        thing.size = next((lex.SIZES[w] for w in words if w in lex.SIZES), thing.size)


def _colour_member(thing: Thing, side: int, colour: tuple[str, tuple[int, int, int], int]) -> None:
    index = 0 if side == 0 else thing.count - 1
    while len(thing.members) <= min(index, MAX_COUNT):
        thing.members.append(Thing(thing.noun, thing.icon, role="member"))
    thing.members[index].colours = [(colour[0], colour[1])]


def _relation(scene: Scene, constraint: Constraint) -> None:
    a, b = str(constraint.arguments.get("a", "")), str(constraint.arguments.get("b", ""))
    kind = str(constraint.arguments.get("relation", ""))
    sides = []
    for name in (a, b):
        noun = _noun(name)
        found = _find(scene, name)
        if not found and noun.head in lex.SETTINGS and noun.named is None:
            scene.setting = scene.setting or lex.SETTINGS[noun.head]
        elif not found and noun.head not in scene.depicted:
            made = _create(scene, noun)
            found = [made] if made else []
        sides.append(found)
    if not sides[0] or not sides[1]:
        scene.note(f"“{a} {kind.replace('_', ' ')} {b}” is left to the real renderer.")
        return
    for one in sides[0]:
        for other in sides[1][:1]:
            if one is not other:
                scene.links = [
                    k for k in scene.links if (k.a, k.b) != (one, other) and (k.b, k.a) != (one, other)
                ]
                scene.links.append(Link(one, kind, other))


def _resembles(scene: Scene, constraint: Constraint) -> None:
    ordinal = constraint.arguments.get("ref")
    if isinstance(ordinal, int) and scene.reference(ordinal) is None:
        scene.things.append(Thing("", None, ref=ordinal, sure=True))


_RULES = {
    "text": _text,
    "count": _count,
    "attribute": _attribute,
    "relation": _relation,
    "resembles": _resembles,
}


def _noun(what: str) -> Noun:
    """The noun phrase that a constraint names: "red dahlia", "left vase"."""
    for tokens in sentences("a " + what[:200]):
        for phrase in phrases(tokens):
            if isinstance(phrase, Noun):
                return phrase
    words = tuple(what.lower().split()[:4]) or ("thing",)
    return Noun(words, lex.icon_for(words), determiner="a")


def _side(what: str) -> int | None:
    words = what.lower().split()
    return 0 if "left" in words else 2 if "right" in words else None


def _find(scene: Scene, what: str) -> list[Thing]:
    """The things that a constraint means: by noun, then by colour and side where it names them."""
    noun = _noun(what)
    words = what.lower().split()
    head = lex.singular(words[-1]) if words else ""
    things = [
        t
        for t in scene.things
        if t.noun and (t.noun == noun.phrase or t.noun.split(" ")[-1] in (noun.head, head))
    ]
    if not things and noun.named:
        things = [t for t in scene.things if t.icon == noun.named and t.noun == t.icon] or [
            t for t in scene.things if t.icon == noun.named and noun.head == noun.named
        ]
    if noun.colours:
        name = noun.colours[0][0]
        coloured = [t for t in things if any(c[0] == name for c in t.colours)]
        members = [t for t in things if any(c[0] == name for m in t.members for c in m.colours)]
        things = coloured or members or [t for t in things if not t.colours and not t.members]
    side = _side(what)
    if side is not None and len(things) > 1:
        placed = [t for t in things if t.place is not None and t.place.x is not None]
        wanted = [t for t in placed if t.place and t.place.x and (sum(t.place.x) < 1) == (side == 0)]
        things = wanted or things[: 1 if side == 0 else None][-1:]
    return things


def _create(scene: Scene, noun: Noun) -> Thing | None:
    if len(scene.things) >= MAX_THINGS + 8:
        scene.note(f"No room is left for “{noun.phrase}”.")
        return None
    if noun.named is None and noun.head in lex.ABSTRACT | lex.CLOTHES:
        return None
    thing = Thing(
        noun.phrase, noun.named, colours=list(noun.colours), material=noun.material, size=noun.size, sure=True
    )
    scene.things.append(thing)
    return thing


def _tidy(scene: Scene) -> None:
    """Drop what is not drawn, say so, and bound the counts."""
    for thing in list(scene.things):
        if thing.noun and not thing.drawable:
            if thing.count > 0:
                scene.note(f"“{thing.noun}” is not drawn: the storyboard has no pictogram for it.")
            scene.things = [t for t in scene.things if t is not thing]
        elif thing.count > MAX_COUNT:
            scene.note(f"{thing.count} × “{thing.noun}” are asked for; {MAX_COUNT} are drawn.")
            thing.count = MAX_COUNT
        if thing.icon is None and thing.ref is None and thing.drawable:
            scene.note(f"“{thing.noun}” has no pictogram; a labelled shape stands for it.")
    kept = set(map(id, scene.things))
    scene.links = [
        k for k in scene.links if id(k.a) in kept and id(k.b) in kept and (k.c is None or id(k.c) in kept)
    ]
    for text in scene.texts:
        if text.carrier is not None and id(text.carrier) not in kept:
            text.carrier = None
    scene.texts = [t if t.value else replace(t, value=" ") for t in scene.texts if t.value]
