"""Recipes and the requests made of them (METHOD §5).

A recipe says what kind of request is wanted, not its words: a task family, the fact that has to be looked up, what has
to be recognised in the picture, what matters most and what besides, and how hard it is.

    {"family": "event poster", "fact": "the year in which the Falcon 9 first landed", "anchor": "the Falcon 9 rocket",
     "dominant": "text_rendering", "secondary": ["quantity_counting"], "difficulty": "medium"}

Requests come from templates (deterministic, no model), or from a language model behind an OpenAI-compatible address.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from genevolve.grammar.errors import AuthorError, ServiceError
from genevolve.interpreter.studio.wants import SKILLS
from genevolve.interpreter.studio.world import seeded
from genevolve.optimizer.data.folder import read_rows

if TYPE_CHECKING:
    from genevolve.interpreter.judges.chat import VisionModel

DIFFICULTIES = ("easy", "medium", "hard")
_LONGEST = 400
_LONGEST_REQUEST = 4_000
_TRIES = 3


@dataclass(frozen=True)
class Recipe:
    """What a request is to be about.

    Attributes:
        family: The task family: a poster, a cover, a diagram.
        anchor: What has to be recognised; empty when nothing is.
        fact: What has to be looked up; empty when nothing is.
        dominant: The skill that matters most.
        secondary: Skills that matter besides.
        difficulty: Of `DIFFICULTIES`.
    """

    family: str
    dominant: str
    anchor: str = ""
    fact: str = ""
    secondary: tuple[str, ...] = ()
    difficulty: str = "medium"

    @property
    def track(self) -> str:
        """`knowledge` when something has to be known, else `quality`."""
        return "knowledge" if self.anchor or self.fact else "quality"

    @property
    def skills(self) -> tuple[str, ...]:
        """All skills, the dominant one first."""
        return tuple(dict.fromkeys((self.dominant, *self.secondary)))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """The inverse of `dataclasses.asdict`; raises `ValueError` for anything else."""
        known = {"family", "dominant", "anchor", "fact", "secondary", "difficulty"}
        if unknown := set(data) - known:
            raise ValueError(f"a recipe has no {sorted(unknown)[0]!r}; it has {', '.join(sorted(known))}")
        texts = {name: data.get(name, "") for name in ("family", "dominant", "anchor", "fact")}
        if not all(isinstance(v, str) and len(v) <= _LONGEST for v in texts.values()):
            raise ValueError(f"texts of a recipe have at most {_LONGEST} characters")
        secondary, difficulty = data.get("secondary", []), data.get("difficulty", "medium")
        if not texts["family"].strip():
            raise ValueError("a recipe needs a family")
        if not isinstance(secondary, list) or any(s not in SKILLS for s in (texts["dominant"], *secondary)):
            raise ValueError(f"dominant and secondary are skills: {', '.join(SKILLS)}")
        if difficulty not in DIFFICULTIES:
            raise ValueError(f"the difficulty is {', '.join(DIFFICULTIES)}, not {difficulty!r}")
        return cls(**texts, secondary=tuple(secondary), difficulty=difficulty)


def read_recipes(path: Path) -> list[Recipe]:
    """The recipes of a file of JSON lines; raises `AuthorError` where one is none."""
    found = []
    for number, row in enumerate(read_rows(path), 1):
        try:
            found.append(Recipe.from_dict(row))
        except ValueError as error:
            raise AuthorError(f"{path}: recipe {number}: {error}") from error
    if not found:
        raise AuthorError(f"{path} holds no recipes")
    return found


class Writer(Protocol):
    """Words a recipe."""

    name: str

    def write(self, recipe: Recipe, seed: int) -> str:
        """A request; another seed gives other words. Raises `ServiceError` when none could be had."""


# ---- templates ---------------------------------------------------------------------------------------

_OPENINGS = (
    "Make {a} {family}",
    "I need {a} {family}",
    "Please design {a} {family}",
    "Could you draw {a} {family}",
    "For our archive we want {a} {family}",
    "Create {a} {family}",
)
_ANCHORS = (
    " that shows {anchor} as it really looks.",
    " of {anchor}, true to life.",
    " with {anchor}, clearly recognisable.",
)
_NO_ANCHORS = (".", " with a clear composition.", " that works at a glance.")
_FACTS = (
    "It has to get one thing right: {fact}.",
    "Look up {fact} and show it.",
    "What it tells must be true: {fact}.",
)
_CLAUSES: Mapping[str, tuple[str, ...]] = {
    "text_rendering": (
        "The title has to be readable and spelled right.",
        "Set one short line of lettering across the top, letter for letter.",
    ),
    "quantity_counting": (
        "Show exactly {n} people in it.",
        "There should be {n} lamps, no more and no fewer.",
    ),
    "attribute_binding": (
        "The left figure wears {one}, the right one {two}.",
        "One chair is {one}, the other {two}; they must not swap.",
    ),
    "spatial_layout": (
        "Divide it into two halves of equal width.",
        "The main subject stands at the left, an empty space for notes at the right.",
    ),
    "aesthetic_drawing": (
        "Give it the light of a late afternoon.",
        "Keep to a calm palette with one bright accent.",
    ),
    "creative_drawing": (
        "Draw it as if it were folded from paper.",
        "Merge the subject with the shape of a seashell.",
    ),
    "anatomy_body_coherence": (
        "Hands and faces must be drawn without faults.",
        "Someone is climbing a ladder in it; every limb has to be right.",
    ),
    "physical_material_consistency": (
        "Half of it is wet glass, the other half dry wood, and the light must show it.",
        "The metal parts mirror what stands beside them.",
    ),
}
_COLOURS = ("red", "blue", "green", "yellow", "white", "black")


class TemplateWriter:
    """Words recipes from templates: plain, repeatable, no model. Meant for trying things out."""

    name = "templates"

    def write(self, recipe: Recipe, seed: int) -> str:
        """See `Writer`."""
        rng = seeded(seed, "recipe", repr(asdict(recipe)))
        article = "an" if recipe.family[:1].lower() in "aeiou" else "a"
        opening = rng.choice(_OPENINGS).format(a=article, family=recipe.family)
        anchor = (
            rng.choice(_ANCHORS).format(anchor=recipe.anchor) if recipe.anchor else rng.choice(_NO_ANCHORS)
        )
        sentences = [opening + anchor]
        if recipe.fact:
            sentences.append(rng.choice(_FACTS).format(fact=recipe.fact))
        sentences += [_clause(skill, rng) for skill in recipe.skills]
        return " ".join(sentences)


def _clause(skill: str, rng: random.Random) -> str:
    one, two = rng.sample(_COLOURS, 2)
    return rng.choice(_CLAUSES[skill]).format(n=rng.randint(3, 9), one=one, two=two)


# ---- a language model --------------------------------------------------------------------------------

_SYSTEM = """\
You write requests that people send to an illustrator. You are given a recipe as JSON: the kind of picture (family), \
what has to be recognised in it (anchor), what has to be looked up to draw it right (fact), the skill that matters \
most (dominant), further skills (secondary), and the difficulty. Write one request of 25 to 90 words in plain English, \
as a person would. Name the anchor. Refer to the fact without telling it: the illustrator has to find it out. Ask for \
something that can be seen to be right or wrong for every skill. Do not name the skills and do not speak of recipes.

Answer with one JSON object and nothing else: {"request": "..."}
"""


class ModelWriter:
    """Words recipes with a language model behind an OpenAI-compatible address."""

    def __init__(self, model: VisionModel) -> None:
        self._model = model
        self.name = f"endpoint:{model.version}"

    def write(self, recipe: Recipe, seed: int) -> str:
        """See `Writer`."""
        import asyncio

        return asyncio.run(self._write(recipe, seed))

    async def _write(self, recipe: Recipe, seed: int) -> str:
        import json

        from genevolve.interpreter.judges.answers import Complaint, check_keys, read_object, read_text

        asked = json.dumps({**asdict(recipe), "variant": seed}, ensure_ascii=False)
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": _SYSTEM},
            {"role": "user", "content": asked},
        ]
        why = ""
        for _ in range(_TRIES):
            said = await self._model.ask(messages)
            try:
                data = read_object(said.text)
                check_keys(data, ("request",))
                text = " ".join(read_text(data, "request", _LONGEST_REQUEST).split())
                if text:
                    return text
                why = "the request is empty"
            except Complaint as complaint:
                why = str(complaint)
            messages += [
                {"role": "assistant", "content": said.text[:2_000]},
                {
                    "role": "user",
                    "content": f"That cannot be read: {why}. Answer with the JSON object alone.",
                },
            ]
        raise ServiceError(f"the model wrote no request in {_TRIES} tries: {why}")


def written(
    recipes: Sequence[Recipe], writer: Writer, per_recipe: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Rows of requests: each recipe worded so many times."""
    for number, recipe in enumerate(recipes):
        for variant in range(per_recipe):
            yield {
                "id": f"r{number:05d}-{variant}",
                "prompt": writer.write(recipe, seed + variant),
                "eval_type": f"{recipe.track}_anchored",
                "track": recipe.track,
                "category": recipe.family,
                "difficulty": recipe.difficulty,
                "skills": list(recipe.skills),
                "recipe": asdict(recipe),
                "writer": writer.name,
            }
