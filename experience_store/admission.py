"""What is let into the store: the rules, one function each, and what is said of an experience that breaks one.

    admit(experience, view) -> Admitted | Merged | Refused

`inspect` holds the rules that look at the experience alone; `find_duplicate` is the one that looks at the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from genevolve.experience_store.bundle import SLOTS
from genevolve.experience_store.experience import (
    Experience,
    ProgramRecord,
    canonical,
    program_digest,
    read_program,
)
from genevolve.experience_store.wording import (
    MAX_WORDS,
    MIN_WORDS,
    drives_terminal,
    holds_markup,
    is_imperative,
    length_of,
    names_of,
    overlap,
    restates,
)

MIN_GAP = 0.20
DUPLICATE_SIMILARITY = 0.97
"""Cosine of two requests' embeddings from which on they count as the same request …"""
DUPLICATE_OVERLAP = 0.80
"""… and the share of words that the bullets of every slot have in common: both make a duplicate."""
MAX_BYTES = 256 * 1024
MAX_BULLETS = 8
MAX_REQUEST = 8000
_MOST = 1e15
_EPSILON = 1e-6

CODES = {
    "not-plain": "control, invisible or direction-changing characters",
    "markup": "text that could be taken for a part of a prompt's frame",
    "too-large": "more than a teacher or the store can use",
    "gap": "the rewards do not differ enough, or the gap is not their difference",
    "protocol-failure": "the worst program lost by breaking the protocol only",
    "digest": "a program's digest does not fit its text",
    "no-request": "there is no request",
    "empty-bundle": "there is no advice",
    "no-difference": "every bullet is marked as standard",
    "bullet-length": f"a bullet has fewer than {MIN_WORDS} or more than {MAX_WORDS} words",
    "not-imperative": "a bullet does not tell what to do",
    "named-entity": "a bullet names something of the request",
    "restated-prompt": "a bullet repeats the request or a prompt",
    "repeated-bullet": "two bullets are nearly the same",
}
"""All reasons for refusal, with what they mean."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """It may be stored."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The store has nearly the same: `other` has its id; `replaces` tells that the new one has the larger gap."""

    other: str
    replaces: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not stored.

    Attributes:
        code: One of `CODES`.
        reason: A sentence for a person; it may quote the experience, escaped by whoever shows it.
    """

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A stored experience and the cosine of its request to the one in question."""

    experience: Experience
    similarity: float


class StoreView(Protocol):
    """What admission needs to know of the store."""

    def neighbours(self, experience: Experience, minimum: float) -> Iterator[Neighbour]:
        """Stored experiences whose requests are at least so similar, nearest first."""


def admit(experience: Experience, view: StoreView) -> Admitted | Merged | Refused:
    """Whether an experience may be stored beside what the store holds."""
    return inspect(experience) or find_duplicate(experience, view) or Admitted()


def inspect(experience: Experience) -> Refused | None:
    """The first rule that an experience breaks by itself, or None."""
    for rule in _RULES:
        refused = rule(experience)
        if refused is not None:
            return refused
    return None


def find_duplicate(experience: Experience, view: StoreView) -> Merged | None:
    """The stored experience that is nearly the same in request and in every slot, or None."""
    for near in view.neighbours(experience, DUPLICATE_SIMILARITY):
        if same_advice(experience, near.experience):
            return Merged(near.experience.id, experience.gap > near.experience.gap)
    return None


def same_advice(a: Experience, b: Experience) -> bool:
    """Whether the bullets of every slot have nearly the same words."""
    return all(
        overlap((x.text for x in a.bundle.slot(slot)), (x.text for x in b.bundle.slot(slot)))
        >= DUPLICATE_OVERLAP
        for slot in SLOTS
    )


def _plain(experience: Experience) -> Refused | None:
    key = experience.bundle.retrieval_key
    lines = {
        "the request": experience.request,
        "the best program": experience.best.text,
        "the worst program": experience.worst.text,
    }
    single = {"the trigger": key.trigger, "the summary": key.source_prompt_summary}
    single |= {f"a bullet of {name}": b.text for name, b in experience.bundle.guidance.bullets()}
    for index, fact in enumerate(experience.facts):
        lines[f"fact {index + 1}"] = fact
    for name in ("category", "judge", "policy", "embedder"):
        single[f"the {name}"] = getattr(experience, name)
    single |= {"a skill": " ".join(experience.skills)}
    for which, record in (("best", experience.best), ("worst", experience.worst)):
        single[f"the {which} program's record"] = " ".join(
            (record.observations, record.picture or "", record.protocol_error or "", record.reward.scoring)
        )
    for where, text in (*lines.items(), *single.items()):
        if drives_terminal(text, lines=where in lines):
            return Refused("not-plain", f"{where} has control, invisible or direction-changing characters")
    advice = [(f"a bullet of {name}", b.text) for name, b in experience.bundle.guidance.bullets()]
    for where, text in (("the trigger", key.trigger), ("the summary", key.source_prompt_summary), *advice):
        if holds_markup(text):
            return Refused(
                "markup", f"{where} has marks that could be taken for a part of the teacher's prompt"
            )
    return None


def _size(experience: Experience) -> Refused | None:
    if len(experience.request) > MAX_REQUEST:
        return Refused("too-large", f"the request has more than {MAX_REQUEST:,} characters")
    size = len(canonical(experience.to_dict()))
    if size > MAX_BYTES:
        return Refused("too-large", f"the experience takes {size:,} bytes; at most {MAX_BYTES:,} are kept")
    for name, bullets in experience.bundle.guidance:
        if len(bullets) > MAX_BULLETS:
            return Refused("too-large", f"{name} has {len(bullets)} bullets; at most {MAX_BULLETS} are kept")
    return None


def _gap(experience: Experience) -> Refused | None:
    rewards = (experience.best.reward.total, experience.worst.reward.total)
    numbers: list[float] = [experience.created, experience.gap, experience.step]
    for record in (experience.best, experience.worst):
        numbers += [n for n in record.reward.to_dict().values() if isinstance(n, int | float)]
    if not all(-_MOST <= n <= _MOST for n in numbers):  # refuses NaN as well
        return Refused(
            "gap", "the gap, the step, the time or a part of a reward is no number that can be kept"
        )
    if not all(-_EPSILON <= r <= 1 + _EPSILON for r in rewards):
        return Refused("gap", f"the rewards {rewards[0]:g} and {rewards[1]:g} are not both between 0 and 1")
    difference = rewards[0] - rewards[1]
    if not abs(difference - experience.gap) <= 1e-4:
        return Refused(
            "gap", f"the gap is given as {experience.gap:g}, but the rewards differ by {difference:g}"
        )
    if experience.gap < MIN_GAP - _EPSILON:
        return Refused("gap", f"the gap {experience.gap:.3f} is smaller than {MIN_GAP:.2f}")
    return None


def _protocol(experience: Experience) -> Refused | None:
    for which, record in (("best", experience.best), ("worst", experience.worst)):
        reason = record.protocol_error or _malformed(record)
        if reason:
            return Refused("protocol-failure", f"the {which} program broke the protocol: {reason}")
    return None


def _malformed(record: ProgramRecord) -> str | None:
    """What a program lacks to be an answer at all."""
    from genevolve.grammar.tree import Prompt, Request

    found = read_program(record.text).statements
    if found is None:
        return "it does not parse"
    if Request not in found:
        return "it has no request"
    return None if Prompt in found else "it has no prompt"


def _digests(experience: Experience) -> Refused | None:
    for which, record in (("best", experience.best), ("worst", experience.worst)):
        if record.digest != program_digest(record.text):
            return Refused("digest", f"the digest of the {which} program does not fit its text")
    if experience.best.digest == experience.worst.digest:
        return Refused("no-difference", "the best and the worst program are the same")
    return None


def _present(experience: Experience) -> Refused | None:
    key = experience.bundle.retrieval_key
    if not experience.request.strip():
        return Refused("no-request", "the request is empty")
    if not key.trigger.strip() or not key.source_prompt_summary.strip():
        return Refused("empty-bundle", "the retrieval key is empty")
    bullets = [b for _, b in experience.bundle.guidance.bullets()]
    if not bullets:
        return Refused("empty-bundle", "the guidance has no bullets")
    if all(b.standard for b in bullets):
        return Refused("no-difference", "every bullet is marked as standard: nothing was learned")
    return None


def _lengths(experience: Experience) -> Refused | None:
    for name, bullet in experience.bundle.guidance.bullets():
        count = length_of(bullet.text)
        if not MIN_WORDS <= count <= MAX_WORDS:
            asked = f"{MIN_WORDS} to {MAX_WORDS} are asked for"
            return Refused(
                "bullet-length", f"a bullet of {name} has {count} words; {asked}: {bullet.text[:80]!r}"
            )
    return None


def _mood(experience: Experience) -> Refused | None:
    for name, bullet in experience.bundle.guidance.bullets():
        if not is_imperative(bullet.text):
            reason = f"a bullet of {name} does not begin with an instruction: {bullet.text[:80]!r}"
            return Refused("not-imperative", reason)
    return None


def _entities(experience: Experience) -> Refused | None:
    names = names_of((experience.request, *experience.facts))
    for name, bullet in experience.bundle.guidance.bullets():
        found = names.within(bullet.text)
        if found is not None:
            return Refused(
                "named-entity", f"a bullet of {name} names {found!r}, which belongs to this request only"
            )
    return None


def _restatement(experience: Experience) -> Refused | None:
    prompts = (experience.best.text, experience.worst.text)
    for name, bullet in experience.bundle.guidance.bullets():
        if restates(bullet.text, experience.request, prompts):
            return Refused("restated-prompt", f"a bullet of {name} repeats the request: {bullet.text[:80]!r}")
    return None


def _repetition(experience: Experience) -> Refused | None:
    bullets = list(experience.bundle.guidance.bullets())
    for index, (name, bullet) in enumerate(bullets):
        for earlier, other in bullets[:index]:
            if overlap([bullet.text], [other.text]) >= 0.9:
                where = name if name == earlier else f"{earlier} and {name}"
                return Refused(
                    "repeated-bullet", f"two bullets of {where} say the same: {bullet.text[:80]!r}"
                )
    return None


_RULES: tuple[Callable[[Experience], Refused | None], ...] = (
    _present,
    _plain,
    _size,
    _gap,
    _protocol,
    _digests,
    _lengths,
    _mood,
    _entities,
    _restatement,
    _repetition,
)
"""Cheap rules and grave ones first: the first that is broken is the one that is reported."""
