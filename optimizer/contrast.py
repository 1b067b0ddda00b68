"""From several trajectories of one request to one experience: what the best did that the worst did not.

    found = contrast(request, outcomes, step=12, policy="…", judge="…")
    if isinstance(found, Experience): store.add(found)

METHOD §3: the best and the worst by reward; kept only if they differ by at least 0.20 and not by a mere failure of
protocol. The summary is made here from profiles and the structural diff, without a model and without names; a
language model may word it instead (`genevolve.programs.modules`), under the same admission.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from genevolve.experience_store.bundle import Bullet, Bundle, Guidance, RetrievalKey
from genevolve.experience_store.experience import Experience, ProgramRecord, RewardParts
from genevolve.experience_store.wording import names_of, restates
from genevolve.grammar.tree import Tree
from genevolve.optimizer.advice import DECISIONS, Decision
from genevolve.optimizer.profile import Profile, profile

MIN_GAP = 0.20
MAX_BULLETS = 3
"""Bullets of one field; those that tell a difference come first."""

_EPSILON = 1e-9


@dataclass(frozen=True)
class Attempt:
    """One scored trajectory.

    Attributes:
        text: The program, formatted; empty when there is none.
        tree: Its tree; None when there is none.
        reward: What it earned; None when it could not be scored.
        protocol_error: Why it is no valid answer; None for a valid one.
        observations: Digest of what its calls observed.
        picture: Path of its picture.
        facts: What its evidence said, briefly.
    """

    text: str
    tree: Tree | None
    reward: RewardParts | None
    protocol_error: str | None = None
    observations: str = ""
    picture: str | None = None
    facts: tuple[str, ...] = ()

    @property
    def total(self) -> float | None:
        """R, when it was scored."""
        return None if self.reward is None else self.reward.total


class Skipped(Enum):
    """Why a group teaches nothing. `value` is how it is counted and told."""

    UNSCORED = "too few scored"
    EQUAL = "all equal"
    FAILED = "all failed"
    PROTOCOL = "the worst broke the protocol only"
    SMALL_GAP = "gap too small"
    SAME = "no decision differs"


@dataclass(frozen=True)
class Pair:
    """The best and the worst of a group."""

    best: Attempt
    worst: Attempt

    @property
    def gap(self) -> float:
        """Δ = R⁺ − R⁻."""
        return (self.best.total or 0.0) - (self.worst.total or 0.0)


@dataclass(frozen=True)
class About:
    """Where a group stands: its request and what made it."""

    request: str
    category: str = ""
    judge: str = ""
    policy: str = ""
    step: int = 0
    created: float = field(default_factory=time.time)


Summarise = Callable[[About, Pair], Bundle | None]
"""Words what a pair teaches; None when nothing differs."""


def pair_of(group: Sequence[Attempt], min_gap: float = MIN_GAP) -> Pair | Skipped:
    """The pair of a group that teaches, or why there is none.

    A trajectory that broke the protocol is left out when at least two others are scored: what it lacks is known
    already. Ties go to the earlier trajectory.
    """
    scored = [a for a in group if a.total is not None]
    if len(scored) < 2:
        return Skipped.UNSCORED
    valid = [a for a in scored if a.protocol_error is None]
    if not valid:
        return Skipped.FAILED
    totals = [a.total or 0.0 for a in scored]
    if max(totals) - min(totals) < _EPSILON:
        return Skipped.EQUAL
    if len(valid) < 2:
        return Skipped.PROTOCOL
    best = max(valid, key=lambda a: a.total or 0.0)
    worst = min(valid, key=lambda a: a.total or 0.0)
    pair = Pair(best, worst)
    if pair.gap < min_gap - _EPSILON:
        return Skipped.SMALL_GAP
    return pair


def summarise(about: About, pair: Pair) -> Bundle | None:
    """The advice of a pair, from the table of decisions; None when the two decided alike everywhere.

    Fields without a difference hold what the best did, marked as standard. Advice that happens to say what this very
    request or its programs say, or a name of theirs, is left out: the store would refuse all of it.
    """
    if pair.best.tree is None or pair.worst.tree is None:
        return None
    best, worst = profile(pair.best.tree), profile(pair.worst.tree)
    names = names_of((about.request, *pair.best.facts, *pair.worst.facts))
    prompts = (pair.best.text, pair.worst.text)

    def fits(bullet: Bullet) -> bool:
        return not restates(bullet.text, about.request, prompts) and names.within(bullet.text) is None

    fields: dict[str, tuple[Bullet, ...]] = {}
    for name in dict.fromkeys(d.field for d in DECISIONS):
        fields[name] = _bullets([d for d in DECISIONS if d.field == name], best, worst, fits)
    differing = [b for found in fields.values() for b in found if not b.standard]
    if not differing:
        return None
    focus = _focus(fields)
    guidance = Guidance(focus=(focus,) if fits(focus) else (), **fields)
    return Bundle(RetrievalKey(_trigger(best), _summary(best)), guidance)


def _bullets(
    decisions: Sequence[Decision], best: Profile, worst: Profile, fits: Callable[[Bullet], bool]
) -> tuple[Bullet, ...]:
    told: list[Bullet] = []
    shared: list[Bullet] = []
    for d in decisions:
        here, there = d.has(best), d.has(worst)
        if here and not there:
            told.append(Bullet(d.advice))
        elif there and not here and d.against:
            told.append(Bullet(d.against))
        elif here and there:
            shared.append(Bullet(d.advice, standard=True))
    told, shared = [b for b in told if fits(b)], [b for b in shared if fits(b)]
    return tuple((told or shared[:1])[:MAX_BULLETS])


_FOCUS: Mapping[str, str] = {
    "recommended_tool_plan": "Look up first what the request leaves open, because the attempts parted at searching.",
    "search_query_guidance": "Word the queries with care, because the attempts parted at what their searches found.",
    "skill_routing_guidance": "Choose the fitting skills before composing, because the attempts parted at this choice.",
    "reference_selection_guidance": "Choose and describe references with care, because the attempts parted at that.",
    "prompt_program_guidance": "Write the prompt by clauses in concrete words, because the attempts parted here.",
    "failure_guards": "Guard against the known failures in so many words, because the attempts parted at that.",
}


def _focus(fields: Mapping[str, tuple[Bullet, ...]]) -> Bullet:
    """Where most of the difference lies, as advice."""
    counts = {name: sum(not b.standard for b in found) for name, found in fields.items()}
    return Bullet(_FOCUS[max(counts, key=lambda name: counts[name])])


_SKILL_TOPICS: Mapping[str, str] = {
    "text_rendering": "readable words",
    "quantity_counting": "a fixed number of things",
    "spatial_layout": "things at given places",
    "attribute_binding": "things with colours of their own",
    "anatomy_body_coherence": "whole creatures",
    "physical_material_consistency": "materials and shadows",
    "aesthetic_drawing": "a light and a manner of drawing",
    "creative_drawing": "one thing in the form of another",
}


def _topics(best: Profile) -> list[str]:
    found = [topic for skill, topic in _SKILL_TOPICS.items() if skill in best.skills]
    return found + (["the look of one particular thing"] if best.notes else [])


def _trigger(best: Profile) -> str:
    topics = _topics(best)
    kind = "that relies on facts to look up" if best.searches else "that states all it needs"
    return f"a picture {kind}" + (f", with {_listed(topics)}" if topics else "")


def _summary(best: Profile) -> str:
    topics = _topics(best)
    return f"A request for a picture with {_listed(topics)}." if topics else "A request for a plain picture."


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def contrast(
    about: About,
    group: Sequence[Attempt],
    *,
    min_gap: float = MIN_GAP,
    summariser: Summarise = summarise,
) -> Experience | Skipped:
    """The experience of a group, ready for the store's admission, or why there is none."""
    pair = pair_of(group, min_gap)
    if isinstance(pair, Skipped):
        return pair
    bundle = summariser(about, pair)
    return Skipped.SAME if bundle is None else experience_of(about, pair, bundle)


def experience_of(about: About, pair: Pair, bundle: Bundle) -> Experience:
    """A pair with its advice, as the store takes it or refuses it.

    Raises:
        ValueError: An attempt of the pair has no reward.
    """
    skills = tuple(sorted(profile(pair.best.tree).skills)) if pair.best.tree is not None else ()
    return Experience(
        about.request,
        bundle,
        _record(pair.best),
        _record(pair.worst),
        pair.gap,
        category=about.category,
        skills=skills,
        judge=about.judge,
        policy=about.policy,
        step=about.step,
        created=about.created,
        facts=tuple(dict.fromkeys((*pair.best.facts, *pair.worst.facts))),
    )


def _record(attempt: Attempt) -> ProgramRecord:
    if attempt.reward is None:
        raise ValueError("an attempt without a reward is no part of a pair")
    return ProgramRecord.of(
        attempt.text,
        attempt.reward,
        observations=attempt.observations,
        picture=attempt.picture,
        protocol_error=attempt.protocol_error,
    )
