"""One step of evolution in a real world: rollouts, pictures, judges, contrast, memory, rows."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evolving import Ground, ground, memory
from tiny_policies import Cast, Dubbed

from genevolve.experience_store.store import ExperienceStore
from genevolve.grammar.errors import ConfigurationError, ServiceError
from genevolve.interpreter.judges.protocol import Case, Verdict
from genevolve.interpreter.studio.generator import SimulatedGenerator
from genevolve.interpreter.values import Evidence
from genevolve.optimizer.contrast import summarise
from genevolve.optimizer.evaluation.workshop import Processes
from genevolve.optimizer.evolution import Settings, seed_of
from genevolve.programs.policies.oracle import open_oracle
from genevolve.programs.policies.protocol import Limits
from genevolve.programs.synthesis.rollout import Bounds, Outcome

THREE = Settings(siblings=3, seed=1)
TWO = Settings(siblings=2, seed=1)


@pytest.fixture(scope="module")
def place(small_world: Path, shared_cache: Path) -> Iterator[Ground]:
    with ground(small_world, shared_cache, 4) as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ExperienceStore]:
    with memory(tmp_path / "store") as made:
        yield made


def told(step: Any) -> dict[str, Any]:
    """All of a step that must be the same when it is made again."""
    return {
        "rows": step.rows,
        "figures": {n: v for n, v in step.figures.items() if not n.startswith("seconds/")},
        "groups": [(g.learned, g.guide, g.similarity, [s.why for s in g.scored]) for g in step.groups],
        "pictures": [s.png for g in step.groups for s in g.scored],
    }


# ---- the whole step ----------------------------------------------------------------------------------


def test_a_step_teaches_and_is_the_same_when_it_is_made_again(
    place: Ground, store: ExperienceStore, tmp_path: Path
) -> None:
    first = place.step(place.oracle(), store, THREE)
    with memory(tmp_path / "other") as other:
        again = place.step(place.oracle(), other, THREE)
        assert told(first) == told(again)
        assert [e.id for e in store.list()] == [e.id for e in other.list()]
        later = place.step(place.oracle(), other, THREE, number=2, requests=place.requests[:1])
    assert [s.rollout.seed for s in later.groups[0].scored] != [
        s.rollout.seed for s in first.groups[0].scored
    ]
    check_rows(place, first)
    check_memory(place, first, store)
    check_figures(first, store)


def check_rows(place: Ground, step: Any) -> None:
    """A row for each rollout, in order; its tokens are those that were sampled, scored by the model itself."""
    answer = step.answer()
    assert {len(column) for column in answer.values()} == {12}
    scored = [s for g in step.groups for s in g.scored]
    assert answer["reward"] == [s.total for s in scored]
    for row, one in zip(step.rows, scored, strict=True):
        turns = [t.emission.tokens for t in one.rollout.turns]
        assert row["prompt_ids"] == list(turns[0].prompt_ids)
        own = [i for i, m in zip(row["completion_ids"], row["env_mask"], strict=True) if m]
        assert own == [i for t in turns for i in t.ids]
        assert row["prompt_ids"] + row["completion_ids"] == [*turns[-1].prompt_ids, *turns[-1].ids]
    row = max(step.rows, key=lambda r: len(r["completion_ids"]))
    (logs,) = place.local.score([row["prompt_ids"]], [row["completion_ids"]], temperature=0.7)
    for mine, model, chosen in zip(row["logprobs"], logs, row["env_mask"], strict=True):
        assert mine == (pytest.approx(model, abs=1e-4) if chosen else 0.0)


def check_memory(place: Ground, step: Any, store: ExperienceStore) -> None:
    """Experiences say where they come from; a request is taught by what its own rollouts taught a moment ago."""
    taught = [g for g in step.groups if g.learned == "added"]
    assert len(taught) == 3
    assert not [g for g in step.groups if g.learned.startswith("refused")]
    stored = {e.request: e for e in store.list()}
    assert set(stored) == {g.request.wanted.request for g in taught}
    for group in taught:
        found = stored[group.request.wanted.request]
        totals = [s.total for s in group.scored]
        assert found.gap == pytest.approx(max(totals) - min(totals))
        assert found.gap >= 0.2
        assert (found.policy, found.step) == (place.local.version, 1)
        assert (found.judge, found.category) == ("inspector+sufficiency", group.request.wanted.category)
        assert group.similarity == pytest.approx(1.0)
        bullets = [b.text for _, b in found.bundle.guidance.bullets()]
        rows = [r for r, g in owners(step) if g is group]
        for row in rows:
            text = place.local.tokenizer.decode(row["teacher_prompt_ids"])
            plain = place.local.tokenizer.decode(row["prompt_ids"])
            assert all(b in text and b not in plain for b in bullets)
            assert text.endswith(plain[plain.index("<|im_start|>user") :])
    titles = {s.title for _, g in owners(step) for x in g.scored for s in passages(x.rollout.session)}
    facts = [f for e in stored.values() for f in e.facts]
    assert titles
    assert any(f.startswith(f"{t}: ") for f in facts for t in titles), (
        "what was found must not stand in advice"
    )
    for row, group in owners(step):
        assert (row["teacher_prompt_ids"] is None) == (group.guide is None or not row["train_row"])


def check_figures(step: Any, store: ExperienceStore) -> None:
    found, groups = step.figures, step.groups
    scored = [s for g in groups for s in g.scored]
    hits = [g.similarity for g in groups if g.guide is not None]
    assert found["memory/hit_rate"] == len(hits) / 4
    assert found["memory/similarity"] == pytest.approx(sum(hits) / len(hits))
    assert found["memory/added"] == sum(g.learned == "added" for g in groups) == len(store)
    assert found["memory/size"] == len(store)
    assert found["memory/taught_rows"] == sum(r["teacher_prompt_ids"] is not None for r in step.rows) / 12
    assert found["reward/mean"] == pytest.approx(sum(s.total for s in scored) / 12)
    lengths = [sum(r["env_mask"]) for r in step.rows]
    assert found["rollouts/completion_tokens_max"] == max(lengths)
    assert found["rollouts/completion_tokens"] == pytest.approx(sum(lengths) / 12)
    assert 10 < found["rollouts/prompt_words"] < 200
    texts = [s.rollout.program.source for s in scored]
    for tool in ("search", "image_search", "ask", "pick"):
        assert found[f"tools/{tool}"] == sum(f" {tool}(" in t for t in texts) / 12, tool
    assert found["tools/ask"] == 0, "what nobody used is logged, too"
    used = {n.removeprefix("skills/"): v for n, v in found.items() if n.startswith("skills/")}
    assert len(used) == 8
    for skill, share in used.items():
        assert share == sum(f"use skill {skill}\n" in t for t in texts) / 12, skill


def passages(session: Any) -> list[Any]:
    return [s for v in session.values.values() if isinstance(v, Evidence) for s in v.snippets]


def owners(step: Any) -> list[tuple[Any, Any]]:
    """Rows with their groups."""
    return list(zip(step.rows, (g for g in step.groups for _ in g.scored), strict=True))


def test_a_tiny_model_under_constraint_makes_a_step(place: Ground, store: ExperienceStore) -> None:
    """What it writes is noise that checks; the step is whole, and is the same when it is made again."""
    bounds = Bounds(turns=3, turn=Limits(max_tokens=48))
    settings = Settings(siblings=3, seed=4, bounds=bounds)
    asked = place.requests[:2]
    first = place.step(place.local, store, settings, requests=asked)
    assert told(first) == told(place.step(place.local, None, settings, requests=asked)) | {
        "figures": told(first)["figures"],
        "groups": told(first)["groups"],
    }
    assert first.figures["rollouts/filled"] > 0
    for row, group in owners(first):
        assert len(row["completion_ids"]) == len(row["env_mask"]) == len(row["logprobs"])
        assert sum(row["env_mask"]) > 0
        assert row["train_row"] == int(not group.degenerate)
        (logs,) = place.local.score([row["prompt_ids"]], [row["completion_ids"]], temperature=0.7)
        for mine, model, chosen in zip(row["logprobs"], logs, row["env_mask"], strict=True):
            assert mine == (pytest.approx(model, abs=1e-4) if chosen else 0.0)
    forced = place.step(place.local, None, replace(settings, train_forced=True), requests=asked)
    for row, plain in zip(forced.rows, first.rows, strict=True):
        assert row["completion_ids"] == plain["completion_ids"]
        assert sum(row["env_mask"]) >= sum(plain["env_mask"])


# ---- rollouts that end otherwise ---------------------------------------------------------------------


def seeds(place: Ground, request: int, siblings: int, number: int = 1) -> list[int]:
    name = place.requests[request].wanted.id
    return [seed_of(1, number, name, i) for i in range(siblings)]


def test_failures_and_spent_budgets_are_outcomes(place: Ground, store: ExperienceStore) -> None:
    first, second = seeds(place, 0, 3), seeds(place, 1, 3)
    endless = 'let a = search("a, which is searched for again and again")\n'
    lines = {first[0]: "%%% no program\n", first[1]: None, second[0]: endless}
    cast = Dubbed(Cast(open_oracle(str(place.folder)), lines), place.local)
    step = place.step(cast, store, THREE, requests=place.requests[:2])
    (garbage, failed, good), (repeats, *_) = (g.scored for g in step.groups)
    assert garbage.rollout.outcome is Outcome.GARBAGE
    assert garbage.total == 0
    assert failed.rollout.outcome is Outcome.POLICY_FAILED
    assert failed.total is None
    assert "lights went out" in failed.why
    assert good.total > 0.5
    assert repeats.rollout.outcome in (Outcome.REPEATS, Outcome.TURNS)
    assert repeats.total == 0
    assert [g.learned for g in step.groups] == ["the worst broke the protocol only", "gap too small"]
    rows = step.rows
    assert [r["train_row"] for r in rows] == [1, 0, 1, 1, 1, 1]
    assert [r["reward"] for r in rows][:2] == [0.0, None]
    assert sum(rows[1]["env_mask"]) == 0, "a row of a policy that said nothing stands for itself"
    assert rows[1]["prompt_ids"] == rows[0]["prompt_ids"]
    assert sum(rows[0]["env_mask"]) > 0
    assert step.figures["reward/unscored"] == pytest.approx(1 / 6)
    assert step.figures["rollouts/filled"] == pytest.approx(3 / 6)


def test_a_budget_of_one_turn_ends_rollouts_that_want_more(place: Ground) -> None:
    step = place.step(place.oracle(), None, replace(TWO, bounds=Bounds(turns=1)))
    outcomes = {s.rollout.outcome for g in step.groups for s in g.scored}
    assert outcomes & {Outcome.TURNS, Outcome.CALLS}
    for group in step.groups:
        for scored in group.scored:
            assert scored.total == 0 or scored.rollout.filled
    assert step.figures["memory/hit_rate"] == 0
    assert {g.learned for g in step.groups} == {"no memory"}


def test_degenerate_groups_are_counted_and_nobody_trains_on_them(
    place: Ground, store: ExperienceStore
) -> None:
    noise = dict.fromkeys(seeds(place, 1, 2), "%%% no program\n")
    silence = dict.fromkeys(seeds(place, 2, 2))
    cast = Dubbed(Cast(open_oracle(str(place.folder)), noise | silence), place.local)
    store_first(place, store)
    step = place.step(cast, store, TWO, requests=place.requests[:3])
    assert [g.learned for g in step.groups] == ["all equal", "all failed", "too few scored"]
    assert all(g.degenerate for g in step.groups)
    assert step.groups[0].guide is not None, "there is a bundle for it"
    assert [r["train_row"] for r in step.rows] == [0] * 6
    assert all(r["teacher_prompt_ids"] is None for r in step.rows)
    rewards = [r["reward"] for r in step.rows]
    assert rewards[0] == rewards[1] > 0.5
    assert rewards[2:] == [0.0, 0.0, None, None]
    assert step.figures["groups/degenerate"] == 1
    assert step.figures["memory/taught_rows"] == 0
    assert len(store) == 1


def store_first(place: Ground, store: ExperienceStore) -> None:
    """Put what the first request teaches into the memory."""
    place.step(place.oracle(), store, THREE, requests=place.requests[:1])
    assert len(store) == 1


# ---- judges and services that fail -------------------------------------------------------------------


class Judged:
    """A judge that is a plain function of the case."""

    name, version = "function", "1"

    def __init__(self, function: Any) -> None:
        self.score = function


def raises(case: Case) -> Verdict:
    raise RuntimeError("the eyes are closed")


def silent(case: Case) -> Verdict:
    return Verdict(None, unscored="it is too dark")


def nan(case: Case) -> Verdict:
    return Verdict(math.nan, {"faithfulness": 1.0})


async def slow(case: Case) -> Verdict:
    await asyncio.sleep(0)
    return Verdict(0.25)


@pytest.mark.parametrize("which", ["judge", "text_judge"])
@pytest.mark.parametrize(
    ("function", "why"), [(raises, "eyes are closed"), (silent, "too dark"), (nan, "no number")]
)
def test_what_no_judge_could_tell_is_never_zero(place: Ground, which: str, function: Any, why: str) -> None:
    blind = replace(place, **{which: Judged(function)})
    step = blind.step(place.oracle("bare=true"), None, TWO, requests=place.requests[:2])
    for scored in (s for g in step.groups for s in g.scored):
        assert scored.total is None
        assert scored.png is not None
        assert scored.why.startswith("unscored: ")
        assert why in scored.why
    assert [(r["reward"], r["train_row"]) for r in step.rows] == [(None, 0)] * 4
    assert step.figures["reward/unscored"] == 1
    assert step.figures["groups/degenerate"] == 1
    assert step.figures["reward/mean"] == 0


def test_one_unscored_sibling_leaves_the_others(place: Ground, store: ExperienceStore) -> None:
    real = place.judge
    seen: list[str] = []

    def often(case: Case) -> Verdict:
        seen.append(case.id)
        return silent(case) if seen.count(case.id) == 2 else real.score(case)

    step = replace(place, judge=Judged(often)).step(place.oracle(), store, replace(THREE, siblings=4))
    for group in step.groups:
        assert sum(s.total is None for s in group.scored) == 1
    for row, group in owners(step):
        assert row["train_row"] == int(row["reward"] is not None and not group.degenerate)
    assert any(r["train_row"] for r in step.rows)
    assert step.figures["reward/unscored"] == 0.25


def test_judges_of_programs_may_be_awaited(place: Ground) -> None:
    step = replace(place, text_judge=Judged(slow)).step(
        place.oracle("bare=true"), None, TWO, requests=place.requests[:1]
    )
    assert [s.reward.text for s in step.groups[0].scored] == [0.25, 0.25]


class Renderer(SimulatedGenerator):
    """The studio's generator, which fails as it is told."""

    error: Exception

    async def render(self, *args: Any) -> Any:
        raise self.error


@pytest.mark.parametrize(
    "error", [RuntimeError("a bug of somebody's"), ServiceError("nobody answers"), MemoryError()]
)
def test_a_renderer_that_fails_leaves_rollouts_unscored(
    place: Ground, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Renderer()
    broken.error = error
    monkeypatch.setattr(place.machine, "renderer", broken)
    step = place.step(place.oracle("bare=true"), None, TWO, requests=place.requests[:1])
    assert [(r["reward"], r["train_row"]) for r in step.rows] == [(None, 0)] * 2
    assert all(s.png is None for s in step.groups[0].scored)


def test_a_missing_key_ends_the_step(place: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_key(case: Case) -> Verdict:
        raise ConfigurationError("there is no key")

    with pytest.raises(ConfigurationError, match="no key"):
        replace(place, judge=Judged(no_key)).step(place.oracle("bare=true"), None, TWO)
    with pytest.raises(ConfigurationError, match="no key"):
        replace(place, text_judge=Judged(no_key)).step(place.oracle("bare=true"), None, TWO)


def test_processes_draw_and_judge_the_same_and_their_death_ends_the_step(place: Ground) -> None:
    asked = place.requests[:1]
    before = {p.pid for p in multiprocessing.active_children()}
    workshop = Processes("studio", "inspector:no-ocr", 1)
    try:
        apart = place.step(place.oracle(), None, TWO, requests=asked, workshop=workshop)
        assert apart.rows == place.step(place.oracle(), None, TWO, requests=asked).rows
        (worker,) = [p for p in multiprocessing.active_children() if p.pid not in before]
        worker.kill()
        worker.join()
        with pytest.raises(ServiceError, match="died"):
            place.step(place.oracle(), None, TWO, requests=asked, workshop=workshop)
    finally:
        workshop.close()


def test_a_rollout_that_is_late_is_counted(place: Ground) -> None:
    late = replace(TWO, bounds=Bounds(seconds=0.0))
    step = place.step(place.oracle(), None, late, requests=place.requests[:1])
    assert step.figures["rollouts/out_of_time"] == 1
    assert [r["train_row"] for r in step.rows] == [0, 0]


# ---- memory ------------------------------------------------------------------------------------------


def test_the_largest_gaps_are_kept_when_there_are_too_many(place: Ground, store: ExperienceStore) -> None:
    assert Settings().most_pairs == 8
    step = place.step(place.oracle(), store, replace(THREE, most_pairs=1))
    (kept,) = [g for g in step.groups if g.learned == "added"]
    rest = [g for g in step.groups if g.learned == "beyond the most of a step"]
    assert rest
    assert len(store) == 1

    def gap(group: Any) -> float:
        totals = [s.total for s in group.scored]
        return float(max(totals) - min(totals))

    assert gap(kept) >= max(map(gap, rest))


def test_a_pair_without_advice_leaves_its_place_to_the_next(place: Ground, store: ExperienceStore) -> None:
    asked: list[str] = []

    def picky(about: Any, pair: Any) -> Any:
        asked.append(about.request)
        return None if len(asked) == 1 else summarise(about, pair)

    step = place.step(place.oracle(), store, replace(THREE, most_pairs=1), summariser=picky)
    assert len(asked) == 2
    assert sorted(g.learned for g in step.groups).count("added") == 1
    assert "no decision differs" in [g.learned for g in step.groups]


def test_a_summariser_that_counts_is_logged(place: Ground, store: ExperienceStore) -> None:
    class Counting:
        def __call__(self, about: Any, pair: Any) -> Any:
            return summarise(about, pair)

        def take_figures(self) -> dict[str, float]:
            return {"memory/summaries_asked": 3.0}

    step = place.step(place.oracle(), store, TWO, requests=place.requests[:1], summariser=Counting())
    assert step.figures["memory/summaries_asked"] == 3


def test_shuffled_bundles_teach_other_requests(place: Ground, store: ExperienceStore) -> None:
    plain = place.step(place.oracle(), store, THREE)
    own = [g.guide for g in plain.groups]
    shuffled = place.step(place.oracle(), store, replace(THREE, shuffle_bundles=True))
    turned = [g.guide for g in shuffled.groups]
    places = [i for i, guide in enumerate(own) if guide is not None]
    assert len(places) >= 2
    for i in range(4):
        if i in places:
            assert turned[i] != own[i]
            assert turned[i] is None or turned[i] in own
        else:
            assert turned[i] is None
    assert [r["prompt_ids"] for r in shuffled.rows] == [r["prompt_ids"] for r in plain.rows]
    assert [r["completion_ids"] for r in shuffled.rows] == [r["completion_ids"] for r in plain.rows]
    alone = place.step(
        place.oracle(), store, replace(THREE, shuffle_bundles=True), requests=place.requests[:1]
    )
    assert alone.groups[0].guide is None, "there is no other request"


def test_a_gate_that_nothing_passes_leaves_the_teacher_silent(place: Ground, store: ExperienceStore) -> None:
    store_first(place, store)
    other = replace(place.requests[1].wanted, request="Something that nobody asked for before")
    asked = [replace(place.requests[1], wanted=other)]
    step = place.step(place.oracle(), store, TWO, requests=asked)
    assert step.groups[0].guide is None
    assert step.figures["memory/hit_rate"] == 0
    assert step.figures["memory/similarity"] == 0
    open_gate = place.step(place.oracle(), store, replace(TWO, gate=-1.0), requests=asked)
    assert open_gate.groups[0].guide is not None
    assert open_gate.figures["memory/hit_rate"] == 1


def test_a_teacher_that_would_read_too_much_is_not_asked(place: Ground, store: ExperienceStore) -> None:
    whole = place.step(place.oracle(), store, THREE, requests=place.requests[:1])
    reads = [len(r["teacher_prompt_ids"]) + len(r["completion_ids"]) for r in whole.rows]
    assert len(set(reads)) > 1
    narrow = place.step(place.oracle(), store, THREE, requests=place.requests[:1], context=sorted(reads)[1])
    assert [r["teacher_prompt_ids"] is not None for r in narrow.rows] == [
        n <= sorted(reads)[1] for n in reads
    ]
    assert all(r["train_row"] for r in narrow.rows), "its reward is known all the same"


def test_a_request_that_a_step_has_twice_is_rolled_out_anew(place: Ground) -> None:
    step = place.step(place.oracle(), None, TWO, requests=[place.requests[0]] * 2)
    drawn = [s.rollout.seed for g in step.groups for s in g.scored]
    assert len(set(drawn)) == 4
