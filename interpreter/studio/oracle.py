"""The oracle: from the truth of a request to the program that meets it, turn by turn; and how it can be crippled.

    oracle = Oracle(world, request)
    while (turn := oracle.next_turn(seen, number)) is not None: …

Its programs search before they say: a fact that no observation showed is not used but guessed. So a query that misses
leads to a wrong picture, as it would for anyone. `Switches` make the baselines that everything else is compared with;
`Mistakes` make training data in which some programs are worse than others for a known reason.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from genevolve.grammar.errors import AuthorError
from genevolve.grammar.strings import quote
from genevolve.grammar.z import Constraint
from genevolve.interpreter.library.text import terms
from genevolve.interpreter.studio.entities import LEAST, MOST, Entity
from genevolve.interpreter.studio.facts import NUMBERS, Fact, make_motto
from genevolve.interpreter.studio.guided import Prompt
from genevolve.interpreter.studio.palette import COLOURS, LIGHTS
from genevolve.interpreter.studio.pictures import View
from genevolve.interpreter.studio.requests import NeededFact, Request
from genevolve.interpreter.studio.scene import MATERIALS, Scene
from genevolve.interpreter.studio.wants import LEGGED, SKILLS, Content
from genevolve.interpreter.studio.words import LIGHT_WORDS, plural
from genevolve.interpreter.studio.world import World, careful_query, seeded
from genevolve.interpreter.values import Evidence, Images, Value

HOP, PAGE, PICTURES, REFERENCE = "hop", "page", "pictures", "look"
"""The names in the oracle's programs."""
_STYLE_WORDS = frozenset(
    terms(
        "picture card poster stamp cover banner label ticket calendar postcard wall plain ground snow stone beach "
        "meadow water table top bottom edge upper lower letters lettered words watercolour ink mosaic print canvas "
        "full view legs colours light left right above below dusk flat clear"
    )
)
_CARELESS_WORDS = 4
_QUESTIONS = {
    Fact.COLOURS.value: "What are the colours of {t}?",
    Fact.MOTTO.value: "What is the motto of {t}?",
    Fact.MASCOT.value: "What is the mascot of {t}?",
    Fact.COUNT.value: "How many {things} does {t} have?",
    Fact.MATERIAL.value: "What is the usual material of {t}?",
    Fact.LIGHT.value: "What is the usual light of {t}?",
    Fact.FOUNDED.value: "In which year did {t} begin?",
}


@dataclass(frozen=True)
class Mistakes:
    """How likely each mistake is, for trajectories that are to differ; 0 is never."""

    wrong_query: float = 0.0
    skipped_skill: float = 0.0
    wrong_image: float = 0.0
    vague_layout: float = 0.0
    missing_count: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Switches:
    """What the oracle leaves out.

    Attributes:
        drop: Skills that are neither used nor worded as their guides say.
        reference: `right`, `random` (any picture but the right one) or `none`.
        bare: The request itself is the prompt; nothing is looked up.
        ask: Whether each fact is asked for once more after the search, which gives short observations.
        mistakes: What goes wrong by chance.
    """

    drop: frozenset[str] = frozenset()
    reference: str = "right"
    bare: bool = False
    ask: bool = False
    mistakes: Mistakes = field(default_factory=Mistakes)

    def __post_init__(self) -> None:
        if unknown := self.drop - set(SKILLS):
            raise AuthorError(f"there is no skill {sorted(unknown)[0]!r}; there are {', '.join(SKILLS)}")
        if self.reference not in ("right", "random", "none"):
            raise AuthorError(f"the reference is right, random or none, not {self.reference!r}")


class Seen(Protocol):
    """What the program has observed so far."""

    def tells(self, title: str, words: Iterable[Sequence[str]]) -> bool:
        """Whether a passage under that title holds, for each group of words, one of them."""

    def pictures(self) -> Sequence[tuple[str, str]]:
        """Title and caption of each candidate picture, in order."""


class SeenValues:
    """Observations as a session keeps them (`Session.values`)."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def tells(self, title: str, words: Iterable[Sequence[str]]) -> bool:
        """See `Seen`."""
        found = [
            s.text
            for value in self._values.values()
            if isinstance(value, Evidence)
            for s in value.snippets
            if s.title.split(" › ")[0] == title
        ]
        return holds(" ".join(found), words)

    def pictures(self) -> Sequence[tuple[str, str]]:
        """See `Seen`."""
        value = self._values.get(PICTURES)
        return [(i.title, i.caption) for i in value.items] if isinstance(value, Images) else []


def holds(text: str, words: Iterable[Sequence[str]]) -> bool:
    """Whether a text has, for each group of words, one of them as whole words."""
    return all(any(re.search(rf"\b{re.escape(w)}\b", text) for w in group) for group in words)


class Oracle:
    """Writes the program of one request.

    Args:
        world: Where the request belongs to.
        request: The request and its truth.
        switches: What is left out.
    """

    def __init__(self, world: World, request: Request, switches: Switches | None = None) -> None:
        self._world, self.request = world, request
        self._switches = switches or Switches()
        mistakes = self._switches.mistakes
        self._chance = seeded(mistakes.seed, "oracle", request.id)
        self._wrong_query = self._chance.random() < mistakes.wrong_query
        self._wrong_image = self._chance.random() < mistakes.wrong_image
        self._vague = self._chance.random() < mistakes.vague_layout
        skipped = {s for s in request.skills if self._chance.random() < mistakes.skipped_skill}
        if self._chance.random() < mistakes.missing_count:
            skipped.add("quantity_counting")
        self._plain = self._switches.drop | skipped
        self._guess_seed = self._chance.randrange(2**31)
        self._steps = self._planned()

    @property
    def skills(self) -> tuple[str, ...]:
        """The skills that its program uses."""
        return tuple(s for s in self.request.skills if s not in self._plain)

    @property
    def turns(self) -> int:
        """How many turns the program takes."""
        return len(self._steps)

    def next_turn(self, seen: Seen, number: int) -> str | None:
        """The text of turn `number` (from 0) after what was seen; None when the program is complete."""
        if number >= len(self._steps):
            return None
        kind, argument = self._steps[number]
        match kind:
            case "search":
                return self._search(argument, seen)
            case "ask":
                return self._ask(argument)
            case "pictures":
                return f"let {PICTURES} = image_search({quote(self._image_query(seen))}, top_k: 5)\n"
            case "skill":
                return f"use skill {argument}\n"
            case _:
                return self._last(seen)

    # ---- plan ----

    def _planned(self) -> list[tuple[str, str]]:
        if self._switches.bare:
            return [("last", "")]
        steps: list[tuple[str, str]] = []
        source, target = self._ends()
        own = [
            f.name
            for f in self.request.facts
            if target is not None and f.entity == target.id and self._is_fact(f)
        ]
        if source is not None:
            steps.append(("search", HOP))
        if own:
            steps.append(("search", PAGE))
        if self._switches.ask:
            steps += [("ask", name) for name in own]
        if self.request.references and self._switches.reference != "none":
            steps.append(("pictures", ""))
        steps += [("skill", skill) for skill in self.skills]
        return [*steps, ("last", "")]

    def _ends(self) -> tuple[Entity | None, Entity | None]:
        """The entity that only leads to another one, and the one whose facts are needed."""
        chain = [self._world.entities[id] for id in self.request.entities]
        return (chain[0] if len(chain) > 1 else None), (chain[-1] if chain else None)

    @staticmethod
    def _is_fact(need: NeededFact) -> bool:
        return need.name in _QUESTIONS

    # ---- evidence ----

    def _search(self, name: str, seen: Seen) -> str:
        source, target = self._ends()
        assert target is not None
        if name == HOP:
            assert source is not None
            relation = next(f.name for f in self.request.facts if f.entity == source.id)
            query = f"{source.title} {relation}"
        else:
            facts = [Fact(f.name) for f in self.request.facts if f.entity == target.id and self._is_fact(f)]
            query = careful_query(target, facts) if self._knows_target(seen) else self._lost_query(facts)
        if self._wrong_query and (name == HOP or source is None):
            query = careless_query(self._world, self.request)
        return f"let {name} = search({quote(query)}, top_k: 3)\n"

    def _ask(self, fact: str) -> str:
        _, target = self._ends()
        assert target is not None
        question = _QUESTIONS[fact].format(t=target.title, things=plural(target.things))
        return f"let its_{fact} = ask({PAGE}, {quote(question)})\n"

    def _image_query(self, seen: Seen) -> str:
        source, target = self._ends()
        assert target is not None
        known = target if self._knows_target(seen) else source
        assert known is not None
        if self._wrong_query:
            return careless_query(self._world, self.request)
        is_emblem = self.request.references[0].view == View.EMBLEM.value
        return f"current emblem of {known.title}" if is_emblem else f"{known.title} appearance"

    def _knows_target(self, seen: Seen) -> bool:
        source, target = self._ends()
        assert target is not None
        return source is None or seen.tells(source.title, [(target.title,)])

    def _lost_query(self, facts: Sequence[Fact]) -> str:
        source, target = self._ends()
        assert source is not None
        assert target is not None
        return f"{source.title} {target.kind} {' '.join(f.value for f in facts)}"

    # ---- the last turn ----

    def _last(self, seen: Seen) -> str:
        size = f"render size: {self.request.scene.width}x{self.request.scene.height}"
        if self._switches.bare:
            return f"prompt {quote(self.request.prompt)}\n{size}\n"
        lines = []
        content = self._believed(seen)
        index = self._index(seen)
        if index is not None:
            note = "copy the outline, the colours, the pattern and the badge"
            lines.append(f"ref {REFERENCE} = {PICTURES}[{index}] for {quote(note)}")
        prompt = Prompt(content, REFERENCE if index is not None else "", self._plain, self._vague).text
        lines.append(f"prompt {_prompt_literal(prompt)}")
        lines.append(f"avoid {quote('blurred edges, clutter')}")
        lines += [line for c in content.constraints if (line := _requirement(c, index is not None))]
        return "\n".join([*lines, size]) + "\n"

    def _believed(self, seen: Seen) -> Content:
        """The content with every fact that was not seen replaced by a guess."""
        content = self.request.content
        _, target = self._ends()
        if target is None:
            return content
        guess = random.Random(self._guess_seed)  # noqa: S311  # repeatable chance, no secrets
        for want in content.wants:
            if (
                want.fact
                and want.fact in _QUESTIONS
                and not seen.tells(target.title, fact_words(target, Fact(want.fact)))
            ):
                scene = _guessed(content.scene, want.fact, want.things, guess)
                content = replace(content, scene=scene)
        return content

    def _index(self, seen: Seen) -> int | None:
        """Which candidate is bound; None when there is none to bind."""
        candidates = seen.pictures()
        if not self.request.references or self._switches.reference == "none" or not candidates:
            return None
        right = self._right(candidates)
        if self._switches.reference == "random" or self._wrong_image:
            others = [i for i in range(len(candidates)) if i != right]
            return random.Random(self._guess_seed).choice(others or [0])  # noqa: S311  # repeatable chance
        return 0 if right is None else right

    def _right(self, candidates: Sequence[tuple[str, str]]) -> int | None:
        wanted = self.request.references[0].path
        caption = _captions(self._world).get(wanted)
        return next((i for i, (_, text) in enumerate(candidates) if caption and text.endswith(caption)), None)


def program_text(request: Request, turns: Sequence[str]) -> str:
    """A whole program of the turns of an oracle."""
    return f"request {quote(request.prompt)}\n\n{''.join(turns)}"


def careless_query(world: World, request: Request) -> str:
    """What a hasty writer would search for: the invented name and the first words on style, without kind or fact."""
    entity = world.entities[request.entities[0]]
    found: list[str] = []
    for word in request.prompt.split():
        plain = word.strip(".,;?")
        if plain.islower() and plain not in found and _STYLE_WORDS.intersection(terms(plain)):
            found.append(plain)
    return " ".join((entity.name, *found[:_CARELESS_WORDS]))


def fact_words(entity: Entity, fact: Fact) -> list[tuple[str, ...]]:
    """What a text must hold to tell a fact: groups of words, one of each."""
    match fact:
        case Fact.COUNT:
            return [(str(entity.number), NUMBERS[entity.number]), (plural(entity.things),)]
        case Fact.LIGHT:
            return [(LIGHT_WORDS[entity.light],)]
        case _:
            return [(value,) for value in entity.values(fact)]


_known_captions: dict[int, dict[str, str]] = {}


def _captions(world: World) -> dict[str, str]:
    """Captions of the world's pictures by path; made once."""
    key = id(world)
    if key not in _known_captions:
        _known_captions.clear()
        _known_captions[key] = {p.path: p.caption for p in world.pictures()}
    return _known_captions[key]


def _guessed(scene: Scene, fact: str, things: Sequence[int], rng: random.Random) -> Scene:
    """The scene with something else where a fact belongs."""
    changed = list(scene.things)
    match Fact(fact):
        case Fact.COLOURS:
            for index, colour in zip(things, rng.sample(tuple(COLOURS), len(things)), strict=True):
                changed[index] = replace(changed[index], colour=colour)
        case Fact.MASCOT:
            taken = {t.noun for t in changed}
            noun = rng.choice([n for n in LEGGED if n not in taken] or list(LEGGED))
            changed[things[0]] = replace(changed[things[0]], noun=noun)
        case Fact.COUNT:
            changed[things[0]] = replace(changed[things[0]], count=rng.randint(LEAST, MOST))
        case Fact.MATERIAL:
            changed[things[0]] = replace(changed[things[0]], material=rng.choice(MATERIALS[1:]))
        case Fact.LIGHT:
            return replace(scene, light=rng.choice([n for n in LIGHTS if n != "flat"]))
        case _:
            text = make_motto(rng) if fact == Fact.MOTTO.value else str(rng.randint(1780, 1989))
            return replace(scene, letterings=tuple(replace(v, text=text) for v in scene.letterings))
    return replace(scene, things=tuple(changed))


def _prompt_literal(prompt: str) -> str:
    """The prompt in triple quotes, `{look}` left as an interpolation; invented texts hold no braces."""
    return f'"""\n{prompt}\n"""'


def _requirement(constraint: Constraint, has_reference: bool) -> str:
    a = constraint.arguments
    match constraint.kind:
        case "text":
            return f"require text({quote(str(a['value']))}, at: {quote(str(a['at']))})"
        case "count":
            return f"require count({quote(str(a['what']))}) == {a['n']}"
        case "attribute":
            return f"require attribute({quote(str(a['what']))}, {quote(str(a['value']))})"
        case "relation":
            return (
                f"require relation({quote(str(a['a']))}, {quote(str(a['relation']))}, {quote(str(a['b']))})"
            )
        case _:
            return f"require resembles({REFERENCE})" if has_reference else ""
