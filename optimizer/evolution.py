"""One step of evolution up to the loss: rollouts, pictures, rewards, contrast, memory, and what the teacher reads.

    evolution = Evolution(policy, machine, workshop, store, settings)
    step = evolution.step(rows, number=12)
    step.answer(count)     # what TRL's `rollout_func` returns
    step.figures           # what is logged

The policy is the model in training itself, seen through `LocalPolicy`; the store may be None (GRPO alone).

What fails on the policy's side (no program, no picture, a budget that is spent) earned 0. What fails on ours (a judge,
a service, somebody's code) earned nothing that is known: such rollouts, and those of groups in which all rewards are
alike, are rows that nobody trains on. Only what would spoil every step ends one: a setting, a disk, dead workers.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from genevolve.experience_store.experience import RewardParts
from genevolve.grammar.errors import GenevolveError, OperatorError, ServiceError
from genevolve.grammar.formatter import format_tree
from genevolve.interpreter.blocking import blocking
from genevolve.interpreter.judges.formulas import Formula
from genevolve.interpreter.judges.protocol import Verdict
from genevolve.interpreter.values import Evidence, Images, Value, to_json
from genevolve.optimizer.contrast import (
    MIN_GAP,
    About,
    Attempt,
    Pair,
    Skipped,
    Summarise,
    experience_of,
    pair_of,
    summarise,
)
from genevolve.optimizer.profile import Profile, profile
from genevolve.optimizer.rewards import ALPHA, nothing_earned, reward_of
from genevolve.optimizer.rows import Encode, Row, opening, row_of, teacher_prompt
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
        least_allowed: Share of its probability that a policy gave to what the constraint allowed, below which the
            token counts as forced.
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
    least_allowed: float = 0.1
    shuffle_bundles: bool = False


ROW_FIELDS = (
    "prompt_ids",
    "completion_ids",
    "logprobs",
    "env_mask",
    "reward",
    "teacher_prompt_ids",
    "train_row",
)
"""What a row says to the trainer. `reward` is None where there is none, `teacher_prompt_ids` without a bundle."""


@dataclass(frozen=True)
class Request:
    """A request to learn on, and what is known of its picture. `guide` is shown to the rollouts, for measuring it."""

    sketch: Program
    wanted: Wanted
    guide: str | None = None


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
    """The siblings of one request, what they taught, and what their teacher reads (None: the plain context).

    `experience` is the id of the experience whose guide that is.
    """

    request: Request
    scored: tuple[Scored, ...]
    learned: str
    guide: str | None = None
    similarity: float | None = None
    experience: str | None = None

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
        return {name: [row[name] for row in self.rows] for name in ROW_FIELDS}


class Evolution:
    """Makes steps. Keeps nothing between them but the store.

    Args:
        policy: The policy in training; it must record tokens.
        encode: Messages to the ids of the policy's prompt; `rows.encoder` of a local policy.
        machine: Where calls are executed.
        workshop: Where pictures are drawn and judged.
        text_judge: Who judges programs.
        store: The memory; None learns by reward alone.
        settings: The numbers.
        end_token: What stands for an empty completion, which is never trained on.
        summariser: Who words what a pair teaches. If it has `take_figures() -> {name: number}`, what that gives (since
            it was last asked) is logged with the step.
        judge_name: Name and version of the judges, for provenance.
        context: Tokens that the model reads at most. A teacher that would read more than that, with its guide and the
            completion, is not asked. None is no limit.
        judges: Programs that are judged, and pairs that are worded, at a time.
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
        context: int | None = None,
        judges: int = 4,
    ) -> None:
        self._policy, self._encode, self._machine, self._workshop = policy, encode, machine, workshop
        self._text_judge, self._store, self._settings = text_judge, store, settings
        self._end, self._summarise, self._judge_name = end_token, summariser, judge_name
        self._context, self._judges = context, judges

    @property
    def siblings(self) -> int:
        """Rollouts of each request."""
        return self._settings.siblings

    def step(self, requests: Sequence[Request], number: int) -> Step:
        """Roll out, score, contrast and retrieve for a list of requests.

        The same policy, store, requests and number give the same step.

        Raises:
            ConfigurationError: A setting or a key is missing.
            ServiceError: The processes that draw and judge have died.
            StorageError: The store cannot be written.
            BrokenTranscript: The policy does not keep the tokens that it sampled.
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
        ended = time.monotonic()
        found = figures(groups, sorted(self._machine.environment().skills)) | self._memory_figures(rows)
        times = {
            "seconds/rollouts": rolled - began,
            "seconds/judging": judged - rolled,
            "seconds/memory": ended - judged,
        }
        return Step(groups, {**found, **times}, rows)

    # ---- rollouts and rewards ----

    def _roll_out(self, requests: Sequence[Request], number: int) -> list[list[Rollout]]:
        k, seed = self._settings.siblings, self._settings.seed
        met: Counter[str] = Counter()
        tasks = []
        for request in requests:
            name = request.wanted.id
            # A request that a step has twice is rolled out anew, not copied.
            seeds = tuple(seed_of(seed, number, name, k * met[name] + i) for i in range(k))
            tasks.append(Task(request.sketch, seeds, request.guide, id=name))
            met[name] += 1
        return fill_many(tasks, self._policy, self._machine, bounds=self._settings.bounds)

    def _score(
        self, requests: Sequence[Request], rollouts: Sequence[Sequence[Rollout]]
    ) -> list[list[Scored]]:
        """Pictures of all rollouts are begun at once; programs are judged as their pictures come."""
        pairs = [(q, r) for q, found in zip(requests, rollouts, strict=True) for r in found]
        work = [self._begin(rollout, request.wanted) for request, rollout in pairs]
        with ThreadPoolExecutor(max(1, self._judges), thread_name_prefix="programs") as pool:
            judged: list[Scored | Future[Scored]] = []
            for (request, rollout), future in zip(pairs, work, strict=True):
                done = future if isinstance(future, Scored) else self._finished(rollout, future)
                if isinstance(done, Scored):
                    judged.append(done)
                else:
                    judged.append(pool.submit(self._judge_program, request, rollout, done))
            scored = iter([j if isinstance(j, Scored) else j.result() for j in judged])
        return [[next(scored) for _ in found] for found in rollouts]

    def _begin(self, rollout: Rollout, wanted: Wanted) -> Future[Done] | Scored:
        """The picture under way, or what a rollout without a program earned."""
        if rollout.program is None or rollout.session is None:
            if rollout.outcome in _NOT_ITS_DOING:
                return self._unscored(rollout, f"{rollout.outcome.value}: {rollout.reason}")
            return self._nothing(rollout, f"{rollout.outcome.value}: {rollout.reason}")
        try:
            return self._workshop.take(rollout.session, rollout.program.tree, wanted)
        except OperatorError:
            raise
        except GenevolveError as error:
            return self._unscored(rollout, f"unscored: {error}")

    def _finished(self, rollout: Rollout, future: Future[Done]) -> Done | Scored:
        """A judged picture, or what a rollout without one earned."""
        from genevolve.programs.batch.outcome import configuration_error

        try:
            done = future.result()
        except BrokenProcessPool as error:
            raise ServiceError("a process that draws and judges has died; is there enough memory?") from error
        except (
            Exception
        ) as error:  # other people's code draws: what it could not do says nothing of the program
            wrong = configuration_error(error)
            if wrong is not None:
                raise wrong from error
            return self._unscored(
                rollout, f"unscored: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            )
        if done.png is None:
            if done.kind == "service":
                return self._unscored(rollout, f"unscored: {done.error}")
            return self._nothing(rollout, done.error)
        if done.verdict is None or not _is_told(done.verdict):
            return replace(self._unscored(rollout, f"unscored: {_why(done.verdict)}"), png=done.png)
        return done

    def _judge_program(self, request: Request, rollout: Rollout, done: Done) -> Scored:
        """The reward of a judged picture, with the word of the judge of programs."""
        from genevolve.optimizer.evaluation.workshop import Piece, judged

        assert done.verdict is not None
        assert done.z is not None
        assert rollout.program is not None
        values = dict(rollout.session.values) if rollout.session is not None else {}
        wanted = replace(request.wanted, truth=None, constraints=())  # it judges by the request alone
        piece = Piece(wanted, done.z, (), rollout.program.source, rollout.program.tree, values)
        text = blocking(judged(self._text_judge, piece, None))
        if not _is_told(text):
            return replace(self._unscored(rollout, f"unscored: {_why(text)}"), png=done.png)
        settings = self._settings
        reward = reward_of(done.verdict, text, alpha=settings.alpha, formula=settings.formula)
        return Scored(rollout, self._tokens(rollout), reward, done.verdict.rationale, done.png)

    def _tokens(self, rollout: Rollout) -> Row | None:
        settings = self._settings
        # What could be sampled was also cut at top-p, which keeps at least that share of what is allowed.
        least = settings.least_allowed * min(1.0, settings.bounds.turn.top_p)
        return row_of(rollout, forced=settings.train_forced, least_allowed=least)

    def _unscored(self, rollout: Rollout, why: str) -> Scored:
        return Scored(rollout, self._tokens(rollout), None, why)

    def _nothing(self, rollout: Rollout, why: str) -> Scored:
        return Scored(rollout, self._tokens(rollout), nothing_earned(self._settings.formula), why)

    # ---- memory ----

    def _learn(
        self, requests: Sequence[Request], scored: Sequence[Sequence[Scored]], number: int
    ) -> list[str]:
        """Add what each group taught, the largest gaps first; what became of each group, in a word."""
        said = ["no memory"] * len(requests)
        if self._store is None:
            return said
        version = self._policy.version
        waiting: list[tuple[int, About, Pair]] = []
        for i, (request, group) in enumerate(zip(requests, scored, strict=True)):
            wanted = request.wanted
            # A clock would make two runs of one seed differ.
            made = float(number)
            about = About(wanted.request, wanted.category, self._judge_name, version, number, created=made)
            pair = pair_of([attempt_of(s) for s in group], self._settings.min_gap)
            if isinstance(pair, Pair):
                waiting.append((i, about, pair))
            else:
                said[i] = pair.value
        waiting.sort(key=lambda w: (-w[2].gap, w[0]))
        left = self._settings.most_pairs
        while waiting:
            tried, waiting = waiting[:left], waiting[left:]
            if not tried:
                said[waiting.pop()[0]] = "beyond the most of a step"
                continue
            for (i, about, pair), bundle in zip(tried, self._worded(tried), strict=True):
                if bundle is None:
                    said[i] = Skipped.SAME.value
                    continue
                left -= 1
                result = self._store.add(experience_of(about, pair, bundle))
                said[i] = result.status if result.refusal is None else f"refused: {result.refusal.code}"
        return said

    def _worded(self, pairs: Sequence[tuple[int, About, Pair]]) -> list[Bundle | None]:
        """What pairs teach, in their order; a summariser may ask a service, so several are asked at a time."""
        with ThreadPoolExecutor(max(1, self._judges), thread_name_prefix="summaries") as pool:
            return list(pool.map(lambda p: self._summarise(p[1], p[2]), pairs))

    def _guides(self, requests: Sequence[Request]) -> list[Guided]:
        if self._store is None:
            return [(None, None, None)] * len(requests)
        found: list[Guided] = []
        for request in requests:
            hits = self._store.search(request.wanted.request, gate=self._settings.gate)
            if hits:
                found.append((_guide(hits[0].experience.bundle), hits[0].similarity, hits[0].experience.id))
            else:
                found.append((None, None, None))
        if self._settings.shuffle_bundles:
            return _rotated(found)
        return found

    # ---- rows ----

    def _row(self, group: Group, scored: Scored) -> dict[str, Any]:
        row = scored.row
        trains = row is not None and row.chosen > 0 and scored.total is not None and not group.degenerate
        if row is None:
            prompt = list(self._encode(opening(scored.rollout))) or [self._end]
            row = Row(tuple(prompt), (self._end,), (0,), (0.0,), (0,))
        teacher = None
        if trains and group.guide is not None:
            teacher = list(teacher_prompt(scored.rollout, group.guide, self._encode, row))
            if self._context is not None and len(teacher) + len(row.completion_ids) > self._context:
                teacher = None
        return {
            "prompt_ids": list(row.prompt_ids),
            "completion_ids": list(row.completion_ids),
            "logprobs": list(row.log_probs),
            "env_mask": list(row.mask),
            "reward": scored.total,
            "teacher_prompt_ids": teacher,
            "train_row": int(trains),
        }

    def _memory_figures(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """What of the memory stands in no group: its size, rows with a teacher, what the summariser counted."""
        found = {
            "memory/size": float(len(self._store)) if self._store is not None else 0.0,
            "memory/taught_rows": _share(r["teacher_prompt_ids"] is not None for r in rows),
        }
        take_figures = getattr(self._summarise, "take_figures", None)
        if callable(take_figures):
            found.update(take_figures())
        return found


Guided: TypeAlias = tuple[str | None, float | None, str | None]
"""A guide, the similarity of its request, and the id of its experience; nothing where there is none."""
_NOT_ITS_DOING = (Outcome.POLICY_FAILED, Outcome.STOPPED, Outcome.PROGRAM_FAILED)
"""How rollouts end that say nothing of what their policy decided."""


def _is_told(verdict: Verdict) -> bool:
    """Whether a judge said how good something is, in numbers that can be reckoned with."""
    known = [verdict.score, *(d for d in verdict.dimensions.values() if d is not None)]
    return all(n is not None and math.isfinite(n) and 0 <= n <= 1 for n in known)


def _why(verdict: Verdict | None) -> str:
    if verdict is None:
        return "nobody judges pictures here"
    return verdict.unscored or f"{verdict.judge or 'the judge'} gave no number in [0, 1]"


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
    facts = [fact for value in values.values() for fact in _facts(value)]
    error = None if scored.png is not None or scored.reward is None else scored.why
    return Attempt(
        format_tree(rollout.program.tree),
        rollout.program.tree,
        scored.reward,
        protocol_error=error,
        observations=hashlib.sha256(seen.encode()).hexdigest(),
        facts=tuple(dict.fromkeys(facts)),
    )


_LONGEST_FACT = 240
"""Characters of a passage that an experience keeps."""


def _facts(value: Value) -> list[str]:
    """What an observation said, briefly: names in it belong to the request, so that no advice may hold them."""
    if isinstance(value, Evidence):
        told = [f"{s.title}: {' '.join(s.text.split())}"[:_LONGEST_FACT] for s in value.snippets[:3]]
    elif isinstance(value, Images):
        told = [f"{i.title} {i.caption}".strip()[:_LONGEST_FACT] for i in value.items[:3]]
    else:
        told = [" ".join(value.split())[:_LONGEST_FACT]] if isinstance(value, str) else []
    return [t for t in told if t.strip(": ")]


def figures(groups: Sequence[Group], skills: Sequence[str] = ()) -> dict[str, float]:
    """What is logged of a step: rewards, outcomes, lengths, gaps, memory, and what the programs decided.

    Args:
        groups: Of the step.
        skills: Names of skills that are logged also where nobody used them.
    """
    scored = [s for g in groups for s in g.scored]
    totals = [s.total for s in scored if s.total is not None]
    by_group = [[s.total for s in g.scored if s.total is not None] for g in groups]
    lengths = [s.row.chosen for s in scored if s.row is not None]
    found: dict[str, float] = {
        "reward/mean": _mean(totals),
        "reward/gap": _mean([max(t) - min(t) for t in by_group if len(t) > 1]),
        "reward/unscored": _share(s.total is None for s in scored),
        "groups/degenerate": _share(g.degenerate for g in groups),
        "rollouts/filled": _share(s.rollout.filled for s in scored),
        "rollouts/out_of_time": _share(s.rollout.outcome is Outcome.TIME for s in scored),
        "rollouts/turns": _mean([float(s.rollout.cost.turns) for s in scored]),
        "rollouts/calls": _mean([float(s.rollout.cost.calls) for s in scored]),
        "rollouts/tokens": float(sum(s.rollout.cost.tokens for s in scored)),
        "rollouts/completion_tokens": _mean([float(n) for n in lengths]),
        "rollouts/completion_tokens_max": float(max(lengths, default=0)),
    }
    for name in ("image", "text", "faithfulness", "visual_correctness", "text_accuracy", "aesthetics"):
        values = [getattr(s.reward, name) for s in scored if s.reward is not None]
        found[f"reward/{name}"] = _mean([v for v in values if v is not None])
    return found | _memory(groups) | _decisions(scored, skills)


def _memory(groups: Sequence[Group]) -> dict[str, float]:
    """How often a bundle was found, how near its request was, and what became of the pairs."""
    said = Counter(g.learned.partition(":")[0] for g in groups)
    return {
        "memory/hit_rate": _share(g.guide is not None for g in groups),
        "memory/similarity": _mean([g.similarity for g in groups if g.similarity is not None]),
        **{f"memory/{name}": float(said[name]) for name in ("added", "merged", "refused")},
    }


def _decisions(scored: Sequence[Scored], skills: Sequence[str]) -> dict[str, float]:
    """Which share of the programs uses each tool and each skill, and how long their prompts are."""
    found = [profile(s.rollout.program.tree) for s in scored if s.rollout.program is not None]
    uses: Counter[str] = Counter({f"skills/{name}": 0 for name in skills})
    for p in found:
        uses.update(f"skills/{name}" for name in p.skills)
    for name, used in _TOOLS.items():
        uses[f"tools/{name}"] = sum(bool(used(p)) for p in found)
    shares = {name: count / max(1, len(found)) for name, count in sorted(uses.items())}
    return {"rollouts/prompt_words": _mean([float(p.prompt.words) for p in found]), **shares}


_TOOLS: Mapping[str, Callable[[Profile], object]] = {
    "search": lambda p: p.searches,
    "image_search": lambda p: p.pictures,
    "ask": lambda p: p.asks,
    "pick": lambda p: p.picks,
    "ref": lambda p: p.notes,
}


def _share(told: Iterable[bool]) -> float:
    """Which part of these is true; 0 of nothing."""
    return _mean([float(t) for t in told])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _guide(bundle: Bundle) -> str:
    return guide_text(bundle.to_dict())


def _rotated(found: list[Guided]) -> list[Guided]:
    """Each guide goes to the next request that has another one; where all are the same, nobody gets any."""
    places = [i for i, (guide, *_) in enumerate(found) if guide is not None]
    turned = list(found)
    for at, here in enumerate(places):
        others = [i for i in (*places[at + 1 :], *places[:at]) if found[i][0] != found[here][0]]
        turned[here] = found[others[0]] if others else (None, None, None)
    return turned
