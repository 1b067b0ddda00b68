"""What judges by a model share: the cache, the bounded repair of answers, failures that end as unscored verdicts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from genevolve.grammar.errors import AuthorError, ServiceError
from genevolve.interpreter.cache import CallCache, canonical
from genevolve.interpreter.config import Config
from genevolve.interpreter.judges.answers import Complaint
from genevolve.interpreter.judges.chat import Picture, VisionModel
from genevolve.interpreter.judges.protocol import Verdict
from genevolve.interpreter.workers import Workers

T = TypeVar("T")

CACHE_FILE = "judgements.sqlite"
_QUOTED = 4000
"""Characters of a wrong answer that are sent back with the complaint."""


def open_cache(config: Config) -> CallCache | None:
    """The cache of judgements; None when caching is off. Raises nothing: a cache that cannot be used says so once."""
    if not config.cache.enabled:
        return None
    return CallCache(config.cache.location / CACHE_FILE, max_bytes=config.cache.size)


def quoted(text: str, longest: int = 20_000) -> str:
    """A stranger's text as a JSON string: it cannot close the quotes or begin a new section."""
    return json.dumps(text[:longest], ensure_ascii=False)


def content_key(judge: str, version: str, texts: Sequence[str], pictures: Sequence[Picture]) -> str:
    """What a judgement depends on, as one hash: judge, rubric and model, texts, and the pictures as they are sent."""
    data = [judge, version, list(texts), [[p.label, p.sha256] for p in pictures]]
    return hashlib.sha256(canonical(data).encode()).hexdigest()


async def judged(
    model: VisionModel,
    cache: CallCache | None,
    key: str,
    messages: Sequence[Mapping[str, Any]],
    read: Callable[[str], Mapping[str, Any]],
    verdict: Callable[[Mapping[str, Any]], Verdict],
    name: str,
) -> Verdict:
    """Ask, read, repair; the verdict with its cost, unscored when there is no usable answer.

    Args:
        model: who is asked.
        cache: answers by `key`; only readable ones are kept, and one that was kept costs nothing.
        key: see `content_key`.
        messages: the conversation so far.
        read: reads an answer into JSON data; raises `Complaint`.
        verdict: makes the verdict of that data.
        name: of the judge, for the verdict.
    """
    kept = await _kept(cache, key, read)
    if kept is not None:
        return verdict(kept)
    cost = 0.0
    try:
        found, cost, problem = await _answer(model, messages, read)
    except (ServiceError, AuthorError) as error:
        return Verdict(None, unscored=str(error), judge=name)
    if found is None:
        return Verdict(None, unscored=problem, cost=cost, judge=name)
    if cache is not None:
        text = canonical(found)
        await Workers().call(lambda: cache.put(key, text), "judgement")
    made = verdict(found)
    return Verdict(
        made.score, made.dimensions, made.parts, made.rationale, made.unscored, round(cost, 9), made.judge
    )


async def _answer(
    model: VisionModel, messages: Sequence[Mapping[str, Any]], read: Callable[[str], Mapping[str, Any]]
) -> tuple[Mapping[str, Any] | None, float, str]:
    """The data, what it cost, and what was wrong with the last answer when there is no data."""
    talk = list(messages)
    cost = 0.0
    problem = ""
    for _ in range(model.settings.repairs + 1):
        try:
            said = await model.ask(talk)
        except ServiceError as error:
            if not cost:
                raise
            return None, cost, str(error)  # what was spent before must not be forgotten
        cost += model.price(said)
        try:
            return read(said.text), cost, ""
        except Complaint as complaint:
            problem = f"the model {model.model} gave no usable answer: {complaint}"
            talk = [
                *messages,
                {"role": "assistant", "content": said.text[:_QUOTED]},
                {
                    "role": "user",
                    "content": f"That answer cannot be read: {complaint}. Answer again, with the JSON object alone.",
                },
            ]
    return None, cost, problem


async def _kept(
    cache: CallCache | None, key: str, read: Callable[[str], Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    if cache is None:
        return None
    value = await Workers().call(lambda: cache.get(key), "judgement")
    if not isinstance(value, str):
        return None
    try:
        return read(value)  # as strict as with a fresh one: the file may have been changed
    except Complaint:
        return None
