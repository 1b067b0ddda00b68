"""Requests with exact ground truth: what a user writes, and the scene, constraints and facts behind it.

    for request in requests_of(world, "heldout", 400):
        request.prompt, request.scene, request.constraints

A row of a file (`Request.to_dict`) has the fields of the benchmark (METHOD: id, prompt, gt_image, eval_type, category,
difficulty) and everything else that is known. The stream of a split is the same for the same world, and a longer one
begins with the shorter.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from genevolve.grammar.errors import AuthorError
from genevolve.grammar.z import Constraint
from genevolve.interpreter.studio.entities import Entity
from genevolve.interpreter.studio.facts import KINDS, Relation
from genevolve.interpreter.studio.phrasings import Subject, Wording
from genevolve.interpreter.studio.pictures import View, picture_path
from genevolve.interpreter.studio.scene import Scene
from genevolve.interpreter.studio.splits import COMBOS, SPLITS, Shares, deal, is_reserved
from genevolve.interpreter.studio.wants import COSTS, IDENTITY, SKILLS, Composer, Content, Want
from genevolve.interpreter.studio.world import World, seeded

EVAL_TYPE = "studio"
KNOWLEDGE, QUALITY = "knowledge", "quality"
KNOWLEDGE_SHARE = 0.70
"""More than the paper's 0.56: who looks nothing up, but words all perfectly, must stay below half of the score."""
DIFFICULTIES = ("easy", "medium", "hard")
_WEIGHTS = (0.3, 0.4, 0.3)
DOMINANT: dict[str, str] = {
    "lettering": "text_rendering",
    "counting": "quantity_counting",
    "pairs": "attribute_binding",
    "creatures": "anatomy_body_coherence",
    "materials": "physical_material_consistency",
    "fusion": "creative_drawing",
    "mood": "aesthetic_drawing",
    "layout": "spatial_layout",
}
"""The categories of the quality track, and the skill that each is about."""
CATEGORIES: tuple[str, ...] = (*KINDS, *DOMINANT)
_TWO_HOPS = {"easy": 0.0, "medium": 0.25, "hard": 0.6}
_TRIES = 2_000
LONGEST = 45
"""Words of a request at most."""


@dataclass(frozen=True)
class NeededFact:
    """A fact that a request needs: of which entity, and which (the name of a fact or of a relation)."""

    entity: str
    name: str


@dataclass(frozen=True)
class NeededReference:
    """A picture that a request needs: which thing takes its look from it."""

    entity: str
    view: str
    path: str
    noun: str


@dataclass(frozen=True)
class Request:
    """A request and its truth.

    Attributes:
        id: Unique in a world.
        prompt: What the user writes.
        category: Of `CATEGORIES`.
        difficulty: Of `DIFFICULTIES`.
        track: `knowledge` or `quality`.
        split: Of `SPLITS`.
        phrasing: Category and number: which wording was used.
        content: The scene that meets it, and its wants.
        entities: Ids; the first is the one that the request names, the last the one whose facts it needs.
        facts: What has to be looked up, in that order.
        references: Which pictures have to be bound.
    """

    id: str
    prompt: str
    category: str
    difficulty: str
    track: str
    split: str
    phrasing: str
    content: Content
    entities: tuple[str, ...]
    facts: tuple[NeededFact, ...]
    references: tuple[NeededReference, ...]

    @property
    def scene(self) -> Scene:
        """The scene that meets the request."""
        return self.content.scene

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """What a picture must hold."""
        return self.content.constraints

    @property
    def skills(self) -> tuple[str, ...]:
        """The skills that it needs."""
        return self.content.skills

    @property
    def gt_image(self) -> str:
        """The path of its ground truth inside the world's folder."""
        return f"ground_truth/{self.id}.png"

    def to_dict(self) -> dict[str, Any]:
        """A row."""
        return {
            "id": self.id,
            "prompt": self.prompt,
            "gt_image": self.gt_image,
            "eval_type": EVAL_TYPE,
            "category": self.category,
            "difficulty": self.difficulty,
            "track": self.track,
            "split": self.split,
            "phrasing": self.phrasing,
            "skills": list(self.skills),
            "entities": list(self.entities),
            "facts_needed": [{"entity": f.entity, "fact": f.name} for f in self.facts],
            "references": [
                {"entity": r.entity, "view": r.view, "path": r.path, "noun": r.noun} for r in self.references
            ],
            "constraints": [{"kind": c.kind, "arguments": dict(c.arguments)} for c in self.constraints],
            "wants": [
                {"skill": w.skill, "things": list(w.things), "fact": w.fact} for w in self.content.wants
            ],
            "scene": self.scene.to_dict(),
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Request:
        """The inverse of `to_dict`; raises `ValueError` for anything else."""
        try:
            wants = tuple(Want(w["skill"], tuple(w["things"]), w["fact"]) for w in row["wants"])
            texts = {
                k: str(row[k])
                for k in ("id", "prompt", "category", "difficulty", "track", "split", "phrasing")
            }
            return cls(
                **texts,
                content=Content(Scene.from_dict(row["scene"]), wants),
                entities=tuple(row["entities"]),
                facts=tuple(NeededFact(f["entity"], f["fact"]) for f in row["facts_needed"]),
                references=tuple(NeededReference(**r) for r in row["references"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no row of studio requests: {error}") from error


def read_requests(path: Path) -> Iterator[Request]:
    """The requests of a file, one by one; raises `AuthorError` where a line is none."""
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield Request.from_dict(json.loads(line))
                except ValueError as error:
                    raise AuthorError(f"{path}:{number}: {error}") from error
    except OSError as error:
        raise AuthorError(f"{path} cannot be read: {error.strerror or error}") from error


def requests_of(world: World, split: str, count: int) -> Iterator[Request]:
    """The first so many requests of a split; raises `AuthorError` when a split has no more of them."""
    if split not in SPLITS:
        raise AuthorError(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
    maker = _Maker(world, split, deal(world, CATEGORIES)[split])
    seen: set[str] = set()
    for number in range(count):
        rng = seeded(world.seed, "request", split, str(number))
        for _ in range(_TRIES):
            request = maker.make(number, rng)
            if request.prompt not in seen and len(request.prompt.split()) <= LONGEST:
                break
        else:
            raise AuthorError(f"the split {split} has no more than {number} different requests in this world")
        seen.add(request.prompt)
        yield request


class _Maker:
    """Makes requests of one split."""

    def __init__(self, world: World, split: str, shares: Shares) -> None:
        self._world, self._split, self._shares = world, split, shares
        groups = set(shares.groups)
        self._by_kind: dict[str, list[Entity]] = {kind: [] for kind in KINDS}
        for entity in world.entities.values():
            if entity.group in groups:
                self._by_kind[entity.kind].append(entity)

    def make(self, number: int, rng: random.Random) -> Request:
        knowledge = rng.random() < KNOWLEDGE_SHARE
        difficulty = rng.choices(DIFFICULTIES, _WEIGHTS)[0]
        id = f"{self._split}-{number:05d}"
        if knowledge:
            return self._about(id, difficulty, rng)
        category = rng.choice(tuple(DOMINANT))
        skills = self._skills(rng, _quality_budget(difficulty, rng), DOMINANT[category])
        content = Composer(rng).compose(skills, seed=_scene_seed(rng))
        return self._worded(id, category, difficulty, content, None, (), (), rng)

    def _about(self, id: str, difficulty: str, rng: random.Random) -> Request:
        """A request that needs facts and a reference."""
        kind = rng.choice(tuple(KINDS))
        target = rng.choice(self._by_kind[kind])
        budget = 1 + DIFFICULTIES.index(difficulty)
        chain: tuple[Entity, ...] = (target,)
        named, facts = target.title, []
        if rng.random() < _TWO_HOPS[difficulty] and (hops := self._ways_to(target)):
            source, relation = rng.choice(hops)
            named = rng.choice(relation.asked).format(a=source.title)
            facts.append(NeededFact(source.id, relation.name))
            chain = (source, target)
        skills = self._skills(rng, budget, None)
        view = rng.choice((View.EMBLEM, View.APPEARANCE))
        look = target.emblem if view is View.EMBLEM else target.appearance
        content = Composer(rng, target, look).compose(skills, seed=_scene_seed(rng))
        for want in content.wants:
            if want.fact and want.skill != IDENTITY:
                facts.append(NeededFact(target.id, want.fact))
        reference = NeededReference(
            target.id, view.value, picture_path(target.id, view), content.scene.things[0].noun
        )
        subject = Subject(target, named)
        entities = tuple(e.id for e in chain)
        return self._worded(id, kind, difficulty, content, subject, entities, tuple(facts), rng, (reference,))

    def _worded(
        self,
        id: str,
        category: str,
        difficulty: str,
        content: Content,
        subject: Subject | None,
        entities: tuple[str, ...],
        facts: tuple[NeededFact, ...],
        rng: random.Random,
        references: tuple[NeededReference, ...] = (),
    ) -> Request:
        phrasing = rng.choice(self._shares.phrasings[category])
        return Request(
            id=id,
            prompt=Wording(content, subject, phrasing).text,
            category=category,
            difficulty=difficulty,
            track=QUALITY if subject is None else KNOWLEDGE,
            split=self._split,
            phrasing=f"{category}-{phrasing:02d}",
            content=content,
            entities=entities,
            facts=facts,
            references=references,
        )

    def _ways_to(self, target: Entity) -> list[tuple[Entity, Relation]]:
        """Entities that point to this one, each with the relation."""
        found = []
        for kind in KINDS.values():
            for relation in kind.relations:
                for entity in self._by_kind[kind.name]:
                    if entity.relations.get(relation.name) == target.id:
                        found.append((entity, relation))
        return found

    def _skills(self, rng: random.Random, budget: int, dominant: str | None) -> tuple[str, ...]:
        """Skills whose constraints fill the budget; text in about half; reserved pairs as the split demands."""
        reserved = self._split == COMBOS
        # A budget may be too small for a pair, or for a skill that brings two constraints: then the least that is not.
        sizes = (_options(budget + more, dominant, reserved) for more in range(3))
        options = next(found for found in sizes if found)
        with_text = [o for o in options if "text_rendering" in o]
        without = [o for o in options if "text_rendering" not in o]
        wanted = with_text if rng.random() < 0.5 else without
        return rng.choice(wanted or options)


def _options(budget: int, dominant: str | None, reserved: bool) -> list[tuple[str, ...]]:
    """All sets of skills that bring exactly so many constraints."""
    found: list[tuple[str, ...]] = []
    for size in range(1, budget + 1):
        for skills in combinations(SKILLS, size):
            if sum(COSTS[s] for s in skills) != budget or is_reserved(skills) != reserved:
                continue
            if dominant is None or dominant in skills:
                found.append(skills)
    return found


def _quality_budget(difficulty: str, rng: random.Random) -> int:
    return {"easy": rng.choice((1, 2)), "medium": 3, "hard": 4}[difficulty]


def _scene_seed(rng: random.Random) -> int:
    return rng.randrange(2**31)


def tally(requests: Sequence[Request]) -> dict[str, Any]:
    """How many requests of which track, category, difficulty and skill, and how long they are."""
    words = sorted(len(r.prompt.split()) for r in requests)

    def count(values: Iterator[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for value in values:
            found[value] = found.get(value, 0) + 1
        return dict(sorted(found.items()))

    return {
        "requests": len(requests),
        "track": count(r.track for r in requests),
        "category": count(r.category for r in requests),
        "difficulty": count(r.difficulty for r in requests),
        "skill": count(s for r in requests for s in r.skills),
        "constraints": count(str(len(r.constraints)) for r in requests),
        "two_hops": sum(len(r.entities) > 1 for r in requests),
        "with_text": sum("text_rendering" in r.skills for r in requests),
        "words": {"least": words[0], "median": words[len(words) // 2], "most": words[-1]} if words else {},
    }
