"""Scopes for constrained decoding: programs that grow by statements that check, and tools of strangers."""

from __future__ import annotations

import random
from dataclasses import replace

from genevolve.grammar.builtins import builtin_environment
from genevolve.grammar.constrain_spelled import refused
from genevolve.grammar.parser import parse_statement
from genevolve.grammar.scope import Scope
from genevolve.grammar.strings import quote
from genevolve.grammar.types import Environment, Parameter, Signature, SkillInfo, Type

SKILLS = {n: SkillInfo(n) for n in ("spatial_layout", "text_rendering", "attribute_binding")}

ODD_CHOICES = ('say "hi"', "back\\slash", "{brace}", "line\nbreak", "plain", "a/b & ~c", "[x]|(y)*")
STRANGE = (
    Signature(
        "weather",
        (
            Parameter("place", Type.TEXT, low=3, high=20),
            Parameter("days", Type.INT, required=False, named_only=True, low=1, high=14),
            Parameter("style", Type.TEXT, required=False, choices=ODD_CHOICES),
            Parameter("exact", Type.BOOL, required=False, named_only=True),
        ),
        Type.TEXT,
        cost=2,
    ),
    Signature(
        "crop",
        (Parameter("picture", Type.IMAGE), Parameter("to", Type.SIZE, low=16, high=512)),
        Type.IMAGE,
        cost=0,
    ),
    Signature(
        "mix", (Parameter("share", Type.FLOAT, low=-0.5, high=0.25), Parameter("on", Type.BOOL)), Type.FLOAT
    ),
    Signature("now", (), Type.TEXT, cost=0),
    Signature("must_name", (Parameter("a", Type.INT, named_only=True, low=-3, high=3),), Type.TEXT),
    # What cannot be written in a program cannot be called.
    Signature('bad"name', (Parameter("a", Type.TEXT),), Type.TEXT),
    Signature("let", (Parameter("a", Type.TEXT),), Type.TEXT),
    Signature("odd_name", (Parameter('x"y\\', Type.TEXT, named_only=True),), Type.TEXT),
    Signature("odd_option", (Parameter('x"y\\', Type.TEXT, required=False, named_only=True),), Type.TEXT),
    Signature("nothing_fits", (Parameter("a", Type.PREDICATE),), Type.TEXT),
    Signature("brightness", (Parameter("of", Type.TEXT),), Type.QUANTITY, cost=0),
    Signature(
        "tidy", (Parameter("strict", Type.BOOL, required=False, named_only=True),), Type.PREDICATE, cost=0
    ),
)


def environment() -> Environment:
    """The built-in tools, and those of strangers."""
    made = builtin_environment(dict(SKILLS)).with_tools(STRANGE)
    skills = {**made.skills, 'a"b': SkillInfo('a"b'), "for": SkillInfo("for"), "x-y": SkillInfo("x-y")}
    return replace(made, skills=skills)


ENVIRONMENT = environment()
STARTS = (
    ('request "a kite"',),
    (
        "program p(title: text, n: int = 3, big: bool = true, at: size, warm: float, photo: image)",
        'request "{title}, {n} kites"',
    ),
    ("program q(title: text)", 'request "{title}"', "..."),
)
_WORDS = (
    "kite", "red ball", "Straße", "Παρθενών", "塔", "a \"quoted\" word", "back\\slash", "{braces}", "first light",
    "tall—thin", "50 % of it", "an image of a lake", "🏔️"[:1], "dawn", "semi; colon", "# no comment", "x" * 30,
)  # fmt: skip
_NAMES = (
    "towers",
    "facts",
    "a",
    "b",
    "ref_1",
    "image1",
    "tower",
    "t",
    "search_result",
    "lets",
    "promptx",
    "_x",
)


def text(rng: random.Random, scope: Scope, *, spelled: bool = False, names: tuple[str, ...] = ()) -> str:
    """A string literal that a policy may write."""
    while True:
        pieces = [rng.choice(_WORDS) for _ in range(rng.randint(1, 4))]
        body = quote(" ".join(pieces), triple=False)[1:-1]
        for name in names:
            body += rng.choice((" ", ", ", ". ")) + f"{{{name}}}"
        insertable = [
            b.name for b in scope.names.values() if b.type in (Type.TEXT, Type.INT) and b.constant is None
        ]
        if insertable and rng.random() < 0.3:
            body += f" {{{rng.choice(insertable)}}}"
        if not (spelled and refused(body)):
            return f'"{body}"'


def statement(rng: random.Random, scope: Scope) -> str:
    """A statement of some kind; it need not check."""
    say = lambda **more: text(rng, scope, **more)  # noqa: E731  # short for the table below
    name = rng.choice(_NAMES)
    by_type = {t: [b.name for b in scope.names.values() if b.type is t] or ["nothing"] for t in Type}
    some = {t: rng.choice(names) for t, names in by_type.items()}
    unmentioned = tuple(scope.unmentioned)
    place = rng.choice(('"Oslo"', '"NY"', some[Type.TEXT]))
    size = rng.choice(("64x64", "1024x768", "63x64", some[Type.SIZE]))
    operator = rng.choice(("==", "!=", "<", "<=", ">", ">="))
    thing = rng.choice(('"ball"', '"Red  ball"', '"red ball"', say(), some[Type.TEXT]))
    other = rng.choice(('"dog"', '"ball"', say()))
    relation = rng.choice(("left_of", "above", "next_to", "inside", "behind"))
    body = say(spelled=True, names=unmentioned)[1:-1].replace("\\n", " ")
    return rng.choice(
        (
            f"let {name} = search({say()})",
            f"let {name} = search({say()}, {say()}, top_k: {rng.randint(0, 22)})",
            f"let {name} = search(\n    {say()},\n    top_k: 3,\n)",
            f"let {name} = image_search({say()}, top_k: {some[Type.INT]})",
            f"let {name} = image_search({say()})",
            f"let {name} = ask({some[Type.EVIDENCE]}, {say()})",
            f"let {name} = weather({say()}, days: {rng.randint(0, 15)}, exact: true)",
            f"let {name} = weather({place}, style: {quote(rng.choice(ODD_CHOICES), triple=False)})",
            f"let {name} = mix({rng.choice(('0.25', '-0.5', '0', '0.3', '0.1', some[Type.FLOAT]))}, {some[Type.BOOL]})",
            f"let {name} = now()",
            f"let {name} = must_name(a: {rng.randint(-4, 4)})",
            f"let {name} = crop({some[Type.IMAGE]}, 64x{rng.choice((8, 16, 512, 513))})",
            f"let {name} = pick({some[Type.IMAGES]}, {say()})",
            f"let {name} = {some[Type.IMAGES]}[{rng.randint(0, 5)}]",
            f"ref {name} = {some[Type.IMAGES]}[{rng.randint(0, 5)}] for {say(spelled=True)}",
            f"ref {name} = {some[Type.IMAGE]} for {say(spelled=True)}",
            f"ref {name} = pick({some[Type.IMAGES]}, {say()})\n    for {say(spelled=True)}",
            f"use skill {rng.choice((*SKILLS, 'nothing'))}",
            f'prompt "{body}"',
            f'prompt """\n{body}\n\nMore "words".\n"""',
            f"avoid {say(spelled=True)}",
            f'require text({say()}, at: "{rng.choice(("top", "middle", "top left"))}")',
            f"require text({some[Type.TEXT]})",
            f"require count({thing}) {operator} {rng.randint(0, 4)}",
            f"require count({thing}) {operator} {some[Type.INT]}",
            f"require attribute({thing}, {say()})",
            f'require relation({thing}, "{relation}", {other})',
            f"require resembles({some[Type.REFERENCE]})",
            f"require brightness({say()}) {operator} 9",
            "require tidy(strict: false)",
            f"render size: {size}, steps: {rng.choice((1, 500, 501))}",
            f"render seed: 7, guidance: {rng.choice(('4.5', '50.0', '51.0', '4', some[Type.FLOAT]))}",
            "render",
        )
    )


def after(lines: tuple[str, ...], env: Environment = ENVIRONMENT) -> Scope:
    """The scope after some statements, which must check."""
    scope = Scope.root(env)
    for line in lines:
        found, wrong = parse_statement(line)
        assert found is not None, wrong
        extension = scope.extend(found)
        assert extension.ok, extension.diagnostics
        scope = extension.scope
    return scope


WARNED = frozenset({"GP206", "GP408", "GP411"})
"""Warnings of what a policy is kept from."""


def grown(rng: random.Random, steps: int) -> tuple[Scope, list[str]]:
    """A scope after some random statements that check, and the statements that could be added to it next."""
    scope = after(rng.choice(STARTS))
    for _ in range(steps):
        good = additions(rng, scope, 12)
        if not good:
            break
        line = rng.choice(good)
        found, _ = parse_statement(line)
        assert found is not None
        scope = scope.extend(found).scope
    return scope, additions(rng, scope, 25)


def additions(rng: random.Random, scope: Scope, tries: int) -> list[str]:
    """Statements that check here, of those that are tried."""
    good = []
    for _ in range(tries):
        line = statement(rng, scope)
        found, _ = parse_statement(line)
        if found is None:
            continue
        extension = scope.extend(found)
        codes = {d.code for d in extension.diagnostics}
        if extension.ok and not codes & WARNED and leads_on(scope, extension.scope, line):
            good.append(line)
    return good


def leads_on(before: Scope, scope: Scope, line: str) -> bool:
    """Whether the program can still become whole: the prompt mentions each reference and comes before `render`."""
    if scope.has_prompt and scope.unmentioned:
        return False
    return not line.startswith("render") or before.has_prompt
