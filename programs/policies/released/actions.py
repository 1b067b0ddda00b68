"""What a round asks for, with every type as the protocol has it.

    {"name": "search", "arguments": {"queries": ["…"], "top_k": 5}}
    {"name": "image_search", "arguments": {"query": "…", "top_k": 5}}
    {"name": "query_knowledge", "arguments": {"skill_name": "text_rendering"}}
    {"gen_prompt": "…", "reference_images": [{"img_id": "IMG_001", "note": "…"}]}

Nothing is converted and nothing is left out in silence: `"5"` is no number, and a member that the protocol does not
have is told.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from genevolve.grammar.suggest import closest, did_you_mean, listed
from genevolve.grammar.types import Environment
from genevolve.programs.policies.released.broken import Broken, shown
from genevolve.programs.policies.released.gallery import Gallery, id_number
from genevolve.programs.policies.released.markup import Round
from genevolve.programs.policies.released.strict_json import kind

TOOLS = ("search", "image_search", "query_knowledge")
_SHOWN_IDS = 12


@dataclass(frozen=True)
class Search:
    """A text search of one or more queries. `top_k` is None where the model left it out."""

    queries: tuple[str, ...]
    top_k: int | None = None


@dataclass(frozen=True)
class ImageSearch:
    """A search for pictures."""

    query: str
    top_k: int | None = None


@dataclass(frozen=True)
class QueryKnowledge:
    """A skill whose guide is wanted."""

    skill: str


@dataclass(frozen=True)
class Chosen:
    """A picture that the answer takes as a reference, and what to copy from it."""

    id: str
    note: str


@dataclass(frozen=True)
class Answer:
    """The last word: what the generator reads, and its reference images in order."""

    gen_prompt: str
    references: tuple[Chosen, ...]


Call: TypeAlias = Search | ImageSearch | QueryKnowledge
Act: TypeAlias = Call | Answer


def read_action(said: Round, environment: Environment, gallery: Gallery) -> Act:
    """What a round asks for.

    Raises:
        Broken: A member is missing, unknown or of the wrong type; a tool, a skill or an id does not exist; ids are
            out of order.
    """
    if said.action == "answer":
        return _answer(said.payload, environment, gallery)
    _members(said.payload, ("name", "arguments"), (), "a tool call")
    name = _text(said.payload["name"], '"name"')
    if name not in TOOLS:
        raise Broken(
            f"There is no tool {shown(name)}{did_you_mean(closest(name, TOOLS))}; there are {listed(TOOLS)}."
        )
    arguments = said.payload["arguments"]
    if not isinstance(arguments, dict):
        raise Broken(f'"arguments" must be an object, and is {kind(arguments)}.')
    if name != "query_knowledge" and name not in environment.signatures:
        others = [t for t in TOOLS if t in environment.signatures or t == "query_knowledge"]
        raise Broken(f"The tool {name} is not available here; there are {listed(others)}.")
    match name:
        case "search":
            _members(arguments, ("queries",), ("top_k",), name)
            return Search(_queries(arguments["queries"], environment), _top_k(arguments, name, environment))
        case "image_search":
            _members(arguments, ("query",), ("top_k",), name)
            query = _query(arguments["query"], '"query"', name, environment)
            return ImageSearch(query, _top_k(arguments, name, environment))
    _members(arguments, ("skill_name",), (), name)
    return QueryKnowledge(_skill(arguments["skill_name"], environment))


# ---- tool calls --------------------------------------------------------------------------------------


def _queries(value: object, environment: Environment) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise Broken(f'"queries" must be an array of strings, and is {kind(value)}.')
    if not value:
        raise Broken('"queries" is empty; it needs at least one query.')
    return tuple(_query(q, f'query {i} of "queries"', "search", environment) for i, q in enumerate(value, 1))


def _query(value: object, what: str, tool: str, environment: Environment) -> str:
    query = " ".join(_text(value, what).split())
    limit = environment.signatures[tool].parameters[0].high
    if not query:
        raise Broken(f"{what} is empty.")
    if limit is not None and len(query) > limit:
        raise Broken(f"{what} has {len(query)} characters; {limit:g} are allowed.")
    return query


def _top_k(arguments: Mapping[str, object], tool: str, environment: Environment) -> int | None:
    if "top_k" not in arguments:
        return None
    value = arguments["top_k"]
    if not isinstance(value, int) or isinstance(value, bool):
        raise Broken(f'"top_k" must be a whole number, and is {kind(value)}.')
    bound = next((p for p in environment.signatures[tool].parameters if p.name == "top_k"), None)
    low, high = (1, 20) if bound is None else (bound.low or 1, bound.high or 20)
    if not low <= value <= high:
        raise Broken(f'"top_k" must be from {low:g} to {high:g}, and is {value}.')
    return value


def _skill(value: object, environment: Environment) -> str:
    skill = _text(value, '"skill_name"')
    if skill not in environment.skills:
        there = f"there are {listed(environment.skills)}" if environment.skills else "no skill is installed"
        hint = did_you_mean(closest(skill, environment.skills))
        raise Broken(f"There is no skill {shown(skill)}{hint}; {there}.")
    return skill


# ---- answers -----------------------------------------------------------------------------------------


def _answer(payload: Mapping[str, object], environment: Environment, gallery: Gallery) -> Answer:
    _members(payload, ("gen_prompt", "reference_images"), (), "an answer")
    prompt = _text(payload["gen_prompt"], '"gen_prompt"').strip()
    if not prompt:
        raise Broken('"gen_prompt" is empty.')
    listed_images = payload["reference_images"]
    if not isinstance(listed_images, list):
        raise Broken(f'"reference_images" must be an array of objects, and is {kind(listed_images)}.')
    if len(listed_images) > environment.max_references:
        raise Broken(
            f'"reference_images" has {len(listed_images)} entries; at most {environment.max_references} are allowed.'
        )
    chosen = tuple(_chosen(entry, i, gallery) for i, entry in enumerate(listed_images, 1))
    _in_order(chosen)
    return Answer(prompt, chosen)


def _chosen(entry: object, number: int, gallery: Gallery) -> Chosen:
    what = f'entry {number} of "reference_images"'
    if not isinstance(entry, dict):
        raise Broken(f"{what} must be an object with img_id and note, and is {kind(entry)}.")
    _members(entry, ("img_id", "note"), (), what)
    identity = _text(entry["img_id"], f'"img_id" of {what}').strip()
    note = " ".join(_text(entry["note"], f'"note" of {what}').split())
    if gallery.place(identity) is None:
        ids = gallery.ids
        if id_number(identity) is None:
            raise Broken(f"{shown(identity)} in {what} is no image id; ids look like IMG_001. {_there(ids)}")
        raise Broken(f"No search showed {identity}, which {what} takes. {_there(ids)}")
    return Chosen(identity, note)


def _there(ids: tuple[str, ...]) -> str:
    if not ids:
        return "No picture has been shown yet: call image_search first, or answer without references."
    some = ", ".join(ids[-_SHOWN_IDS:])
    return f"Shown were: {some}." if len(ids) <= _SHOWN_IDS else f"Shown were, among others: {some}."


def _in_order(chosen: tuple[Chosen, ...]) -> None:
    """Ids must ascend: only then do the order of the list and the numbers of the ids say the same."""
    for before, after in itertools.pairwise(chosen):
        if before.id == after.id:
            raise Broken(f'"reference_images" takes {after.id} twice; take each picture once.')
    if len({c.id for c in chosen}) < len(chosen):
        twice = next(c.id for i, c in enumerate(chosen) if c.id in {d.id for d in chosen[:i]})
        raise Broken(f'"reference_images" takes {twice} twice; take each picture once.')
    ids = [c.id for c in chosen]
    wanted = sorted(ids, key=lambda i: id_number(i) or 0)
    if ids != wanted:
        raise Broken(
            f'"reference_images" is not sorted by img_id: {", ".join(ids)}. Sort it ({", ".join(wanted)}) and make '
            "the ordinals of gen_prompt count in that order. Nothing was taken, so that no ordinal shifts."
        )


# ---- members -----------------------------------------------------------------------------------------


def _members(found: Mapping[str, object], needed: tuple[str, ...], free: tuple[str, ...], what: str) -> None:
    known = (*needed, *free)
    for name in found:
        if name not in known:
            hint = did_you_mean(closest(name, known))
            raise Broken(f"{what} has no member {shown(name)}{hint}; its members are {listed(known)}.")
    missing = [name for name in needed if name not in found]
    if missing:
        raise Broken(f"{what} needs {listed(missing)}.")


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise Broken(f"{what} must be a string, and is {kind(value)}.")
    return value
