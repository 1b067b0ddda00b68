"""One step of evolution up to the loss: rollouts, pictures, rewards, contrast, memory, and what the teacher reads.

    evolution = Evolution(policy, machine, workshop, store, settings)
    step = evolution.step(rows, number=12)
    step.answer(count)     # what TRL's `rollout_func` returns
    step.figures           # what is logged

The policy is the model in training itself, seen through `LocalPolicy`; the store may be None (GRPO alone).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genevolve.experience_store.experience import RewardParts
from genevolve.grammar.formatter import format_tree
from genevolve.interpreter.judges.formulas import Formula
from genevolve.interpreter.values import Evidence, to_json
from genevolve.optimizer.contrast import MIN_GAP, About, Attempt, Skipped, Summarise, contrast, summarise
from genevolve.optimizer.profile import profile
from genevolve.optimizer.rewards import ALPHA, nothing_earned, reward_of
from genevolve.optimizer.rows import Encode, Row, row_of, teacher_prompt
from genevolve.programs.policies.context import guide_text
from genevolve.programs.program import Program
from genevolve.programs.synthesis.fill import Task, fill_many
from genevolve.programs.synthesis.rollout import Bounds, Outcome, Rollout

if TYPE_CHECKING:
    from genevolve.experience_store.bundle import Bundle
    from genevolve.experience_store.store import ExperienceStore
    from genevolve.interpreter.judges.protocol import Judge
    from genevolve.interpreter.machine import Machine
    from genevolve.optimizer.evaluation.workshop import Done, Wanted, Workshop
    from genevolve.programs.policies.protocol import Policy


@dataclass(frozen=True)
class Settings:
    """The numbers of a step; the defaults are the paper's.

    Attributes:
        siblings: K, rollouts of a request.
        alpha: Weight of the text reward.
        formula: How KScore is computed.
        min_gap: Δ below which a pair teaches nothing.
        most_pairs: Experiences of one step at most.
        gate: The smallest cosine at which a bundle is retrieved.
        seed: Of everything that is drawn.
        bounds: What a rollout may spend.
        train_forced: Whether tokens without an alternative count as the policy's own.
        shuffle_bundles: A control: every row is taught by another row's bundle.
    """

    siblings: int = 6
    alpha: float = ALPHA
    formula: Formula = "paper"
    min_gap: float = MIN_GAP
    most_pairs: int = 8
    gate: float = 0.84
    seed: int = 0
    bounds: Bounds = field(default_factory=Bounds)
    train_forced: bool = False
    shuffle_bundles: bool = False


@dataclass(frozen=True)
class Request:
    """A request to learn on, and what is known of its picture."""

    sketch: Program
    wanted: Wanted


@dataclass(frozen=True)
class Scored:
    """One rollout with its reward. `reward` is None when it could not be scored; `why` tells."""

    rollout: Rollout
    row: Row | None
    reward: RewardParts | None
    why: str = ""
    png: bytes | None = None

    @property
    def total(self) -> float | None:
        """R, when there is one."""
        return None if self.reward is None else self.reward.total


@dataclass(frozen=True)
class Group:
    """The siblings of one request, what they taught, and what their teacher reads (None: the plain context)."""

    request: Request
    scored: tuple[Scored, ...]
    learned: str
    guide: str | None = None
    similarity: float | None = None

    @property
    def degenerate(self) -> bool:
        """Whether nothing can be told from these rewards: fewer than two, or all alike."""
        totals = [s.total for s in self.scored if s.total is not None]
        return len(totals) < 2 or max(totals) - min(totals) < 1e-9


@dataclass(frozen=True)
class Step:
    """All groups of a step, and its figures."""

    groups: tuple[Group, ...]
    figures: Mapping[str, float]
    rows: tuple[Mapping[str, Any], ...]

    def answer(self) -> dict[str, list[Any]]:
        """As TRL's `rollout_func` returns it: lists with an entry for each rollout, in the order of the groups."""
        return {name: [row[name] for row in self.rows] for name in self.rows[0]}


class Evolution:
    """Makes steps. Keeps nothing between them but the store.

    Args:
        policy: The policy in training; it must record tokens.
        encode: `prompt_ids` of the policy.
        machine: Where calls are executed.
        workshop: Where pictures are drawn and judged.
        text_judge: Who judges programs.
        store: The memory; None learns by reward alone.
        settings: The numbers.
        end_token: What stands for an empty completion, which is never trained on.
        summariser: Who words what a pair teaches.
        judge_name: Name and version of the judges, for provenance.
    """

    def __init__(
        self,
        policy: Policy,
        encode: Encode,
        machine: Machine,
        workshop: Workshop,
        text_judge: Judge,
        store: ExperienceStore | None,
        settings: Settings,
        *,
        end_token: int,
        summariser: Summarise = summarise,
        judge_name: str = "",
    ) -> None:
        self._policy, self._encode, self._machine, self._workshop = policy, encode, machine, workshop
        self._text_judge, self._store, self._settings = text_judge, store, settings
        self._end, self._summarise, self._judge_name = end_token, summariser, judge_name

    def step(self, requests: Sequence[Request], number: int) -> Step:
        """Roll out, score, contrast and retrieve for a list of requests.

        The same policy, store, requests and number give the same step.
        """
        began = time.monotonic()
        rollouts = self._roll_out(requests, number)
        rolled = time.monotonic()
        scored = self._score(requests, rollouts)
        judged = time.monotonic()
        learned = self._learn(requests, scored, number)
        guides = self._guides(requests)
        groups = tuple(
            Group(request, tuple(found), what, *guide)
            for request, found, what, guide in zip(requests, scored, learned, guides, strict=True)
        )
        rows = tuple(self._row(group, s) for group in groups for s in group.scored)
        times = {"seconds/rollouts": rolled - began, "seconds/judging": judged - rolled}
        return Step(groups, {**figures(groups), **times}, rows)

    # ---- rollouts and rewards ----

    def _roll_out(self, requests: Sequence[Request], number: int) -> list[list[Rollout]]:
        k = self._settings.siblings
        tasks = [
            Task(r.sketch, tuple(seed_of(self._settings.seed, number, r.wanted.id, i) for i in range(k)))
            for r in requests
        ]
        return fill_many(tasks, self._policy, self._machine, bounds=self._settings.bounds)

    def _score(
        self, requests: Sequence[Request], rollouts: Sequence[Sequence[Rollout]]
    ) -> list[list[Scored]]:
        work = [
            [self._begin(rollout, request.wanted) for rollout in found]
            for request, found in zip(requests, rollouts, strict=True)
        ]
        return [
            [self._scored(request, rollout, future) for rollout, future in zip(found, futures, strict=True)]
            for request, found, futures in zip(requests, rollouts, work, strict=True)
        ]

    def _begin(self, rollout: Rollout, wanted: Wanted) -> Future[Done] | None:
        if rollout.program is None or rollout.session is None:
            return None
        return self._workshop.take(rollout.session, rollout.program.tree, wanted)

    def _scored(self, request: Request, rollout: Rollout, future: Future[Done] | None) -> Scored:
        row = row_of(rollout, forced=self._settings.train_forced)
        formula = self._settings.formula
        if future is None:
            if rollout.outcome in (Outcome.POLICY_FAILED, Outcome.STOPPED, Outcome.PROGRAM_FAILED):
                return Scored(rollout, row, None, f"{rollout.outcome.value}: {rollout.reason}")
            return Scored(rollout, row, nothing_earned(formula), rollout.reason)
        done = future.result()
        if done.png is None:
            earned = None if done.kind == "service" else nothing_earned(formula)
            return Scored(rollout, row, earned, done.error)
        if done.verdict is None or done.verdict.score is None:
            why = "" if done.verdict is None else done.verdict.unscored
            return Scored(rollout, row, None, f"unscored: {why}", done.png)
        text = self._judge_program(request, rollout, done)
        reward = reward_of(done.verdict, text, alpha=self._settings.alpha, formula=formula)
        why = done.verdict.rationale if reward is not None else f"unscored: {text.unscored}"
        return Scored(rollout, row, reward, why, done.png)

    def _judge_program(self, request: Request, rollout: Rollout, done: Done) -> Any:
        from genevolve.interpreter.judges.protocol import Case

        session = rollout.session
        values = dict(session.values) if session is not None else {}
        tree = rollout.program.tree if rollout.program is not None else None
        case = Case(request.wanted.request, z=done.z, tree=tree, values=values, id=request.wanted.id)
        return self._text_judge.score(case)

    # ---- memory ----

    def _learn(
        self, requests: Sequence[Request], scored: Sequence[Sequence[Scored]], number: int
    ) -> list[str]:
        """Add what each group taught, the largest gaps first; what became of each group, in a word."""
        said = ["no memory"] * len(requests)
        if self._store is None:
            return said
        found: list[tuple[float, int, Any]] = []
        for i, (request, group) in enumerate(zip(requests, scored, strict=True)):
            about = About(
                request.wanted.request,
                request.wanted.category,
                self._judge_name,
                self._policy.version,
                number,
                created=float(number),  # a clock would make two runs of one seed differ
            )
            made = contrast(
                about,
                [attempt_of(s) for s in group],
                min_gap=self._settings.min_gap,
                summariser=self._summarise,
            )
            if isinstance(made, Skipped):
                said[i] = made.value
            else:
                found.append((-made.gap, i, made))
        for rank, (_, i, experience) in enumerate(sorted(found, key=lambda f: f[:2])):
            if rank >= self._settings.most_pairs:
                said[i] = "beyond the most of a step"
                continue
            result = self._store.add(experience)
            said[i] = result.status if result.refusal is None else f"refused: {result.refusal.code}"
        return said

    def _guides(self, requests: Sequence[Request]) -> list[tuple[str | None, float | None]]:
        if self._store is None:
            return [(None, None)] * len(requests)
        found: list[tuple[str | None, float | None]] = []
        for request in requests:
            hits = self._store.search(request.wanted.request, gate=self._settings.gate)
            if hits:
                found.append((_guide(hits[0].experience.bundle), hits[0].similarity))
            else:
                found.append((None, None))
        if self._settings.shuffle_bundles:
            return _rotated(found)
        return found

    # ---- rows ----

    def _row(self, group: Group, scored: Scored) -> dict[str, Any]:
        row = scored.row
        trains = row is not None and row.chosen > 0 and scored.total is not None and not group.degenerate
        if row is None:
            prompt = list(self._encode(scored.rollout.dialogue.messages)) or [self._end]
            row = Row(tuple(prompt), (self._end,), (0,), (0.0,), (0,))
        teacher = None
        if trains and group.guide is not None:
            teacher = list(teacher_prompt(scored.rollout, group.guide, self._encode, row))
        return {
            "prompt_ids": list(row.prompt_ids),
            "completion_ids": list(row.completion_ids),
            "logprobs": list(row.log_probs),
            "env_mask": list(row.mask),
            "reward": scored.total,
            "teacher_prompt_ids": teacher,
            "train_row": int(trains),
        }


def seed_of(seed: int, step: int, request: str, sibling: int) -> int:
    """A seed of 31 bits for one rollout, the same on every machine."""
    text = json.dumps([seed, step, request, sibling]).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") >> 1


def attempt_of(scored: Scored) -> Attempt:
    """What contrast looks at."""
    rollout = scored.rollout
    if rollout.program is None:
        return Attempt("", None, scored.reward, protocol_error=rollout.reason or rollout.outcome.value)
    session = rollout.session
    values = dict(session.values) if session is not None else {}
    seen = json.dumps({n: to_json(v) for n, v in sorted(values.items())}, sort_keys=True)
    facts = tuple(
        s.title for v in values.values() if isinstance(v, Evidence) for s in v.snippets[:3] if s.title
    )
    error = None if scored.png is not None or scored.reward is None else scored.why
    return Attempt(
        format_tree(rollout.program.tree),
        rollout.program.tree,
        scored.reward,
        protocol_error=error,
        observations=hashlib.sha256(seen.encode()).hexdigest(),
        facts=tuple(dict.fromkeys(facts)),
    )


def figures(groups: Sequence[Group]) -> dict[str, float]:
    """What is logged of a step: rewards, outcomes, gaps, memory, and what the programs decided."""
    scored = [s for g in groups for s in g.scored]
    totals = [s.total for s in scored if s.total is not None]
    best_minus_worst = [
        max(t) - min(t) for g in groups if len(t := [s.total for s in g.scored if s.total is not None]) > 1
    ]
    found: dict[str, float] = {
        "reward/mean": _mean(totals),
        "reward/gap": _mean(best_minus_worst),
        "reward/unscored": sum(s.total is None for s in scored) / max(1, len(scored)),
        "groups/degenerate": sum(g.degenerate for g in groups) / max(1, len(groups)),
        "memory/hit_rate": sum(g.guide is not None for g in groups) / max(1, len(groups)),
        "memory/added": float(sum(g.learned == "added" for g in groups)),
        "rollouts/filled": sum(s.rollout.filled for s in scored) / max(1, len(scored)),
        "rollouts/turns": _mean([float(s.rollout.cost.turns) for s in scored]),
        "rollouts/calls": _mean([float(s.rollout.cost.calls) for s in scored]),
        "rollouts/tokens": float(sum(s.rollout.cost.tokens for s in scored)),
    }
    for name in ("image", "text", "faithfulness", "visual_correctness", "text_accuracy", "aesthetics"):
        values = [getattr(s.reward, name) for s in scored if s.reward is not None]
        found[f"reward/{name}"] = _mean([v for v in values if v is not None])
    return found | _decisions(scored)


def _decisions(scored: Sequence[Scored]) -> dict[str, float]:
    """How many rollouts use each tool and each skill."""
    uses: Counter[str] = Counter()
    filled = [s.rollout.program.tree for s in scored if s.rollout.program is not None]
    for tree in filled:
        p = profile(tree)
        uses.update(f"skills/{name}" for name in p.skills)
        tools = {
            "search": p.searches,
            "image_search": p.pictures,
            "ask": p.asks,
            "pick": p.picks,
            "ref": p.notes,
        }
        uses.update(f"tools/{name}" for name, used in tools.items() if used)
    return {name: count / max(1, len(filled)) for name, count in sorted(uses.items())}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _guide(bundle: Bundle) -> str:
    return guide_text(bundle.to_dict())


def _rotated(found: list[tuple[str | None, float | None]]) -> list[tuple[str | None, float | None]]:
    """Each guide goes to the next request that has one; a single guide goes to nobody."""
    places = [i for i, (guide, _) in enumerate(found) if guide is not None]
    turned = list(found)
    for here, there in zip(places, [*places[1:], *places[:1]], strict=True):
        turned[here] = found[there] if here != there else (None, None)
    return turned
