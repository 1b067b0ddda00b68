"""From groups of trajectories to experiences: which pairs teach, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genevolve.experience_store.admission import inspect
from genevolve.experience_store.experience import Experience, RewardParts
from genevolve.experience_store.wording import MAX_WORDS, MIN_WORDS, is_imperative, length_of
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.optimizer.advice import DECISIONS
from genevolve.optimizer.contrast import _FOCUS, About, Attempt, Pair, Skipped, contrast, pair_of, summarise
from genevolve.optimizer.profile import profile

REQUEST = "A poster of the harbour bell of Velmora with its motto across the top."
GOOD = f'''
request "{REQUEST}"
let page = search("Velmora harbour motto", top_k: 3)
let motto = ask(page, "What is the motto of Velmora?")
let views = image_search("Velmora harbour bell", top_k: 3)
ref bell = views[0] for "copy its outline, its colours and its pattern"
use skill text_rendering
prompt """
Exactly three bells stand in a single row in the lower third, each as in {{bell}}, keep the outline unchanged.
On a plain banner across the top large capitals read "HOLD FAST". These are the only words.
"""
avoid "a fourth bell"
require count("bell") == 3
render seed: 1
'''
POOR = f"""
request "{REQUEST}"
let page = search("a poster of a bell with a motto across the top, beautiful style", top_k: 3)
prompt "A poster with some bells and a motto."
render seed: 1
"""


def attempt(text: str, total: float | None, error: str | None = None) -> Attempt:
    reward = None if total is None else RewardParts(total, image=total, text=total)
    return Attempt(text, parse(Source(text)).tree, reward, error)


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda d: d.advice[:40])
def test_advice_is_worded_as_the_store_admits_it(decision: object) -> None:
    for text in (decision.advice, decision.against):  # type: ignore[attr-defined]  # a row of the table
        if text:
            assert MIN_WORDS <= length_of(text) <= MAX_WORDS
            assert is_imperative(text)


def test_focus_is_worded_as_the_store_admits_it() -> None:
    for text in _FOCUS.values():
        assert MIN_WORDS <= length_of(text) <= MAX_WORDS
        assert is_imperative(text)
    assert set(_FOCUS) == {d.field for d in DECISIONS}


def test_the_experience_of_two_programs_is_admitted_and_says_what_differs() -> None:
    group = [attempt(POOR, 0.2), attempt(GOOD, 0.9), attempt(GOOD, 0.7)]
    found = contrast(About(REQUEST, category="poster", step=3), group)
    assert isinstance(found, Experience)
    assert inspect(found) is None, "the store takes it"
    assert found.gap == pytest.approx(0.7)
    assert found.skills == ("text_rendering",)
    said = {name: [str(b) for b in bullets] for name, bullets in found.bundle.guidance}
    assert any("picture" in b for b in said["recommended_tool_plan"])
    assert any("text rendering skill" in b for b in said["skill_routing_guidance"])
    assert any("exactly" in b for b in said["prompt_program_guidance"])
    assert "Velmora" not in str(said)
    assert set(found.bundle.slots) == {"S1", "S2", "S3", "S4", "S5"}


def test_what_both_did_is_standard() -> None:
    other = GOOD.replace("Exactly three bells stand in a single row in the lower third", "Bells stand there")
    found = contrast(About(REQUEST), [attempt(GOOD, 0.8), attempt(other, 0.4)])
    assert isinstance(found, Experience)
    assert all(b.standard for b in found.bundle.guidance.skill_routing_guidance)
    assert not any(b.standard for b in found.bundle.guidance.prompt_program_guidance)
    assert inspect(found) is None


def test_a_skill_that_only_the_worst_used_is_advised_against() -> None:
    worse = GOOD.replace(
        "use skill text_rendering", "use skill text_rendering\nuse skill anatomy_body_coherence"
    )
    found = contrast(About(REQUEST), [attempt(GOOD, 0.9), attempt(worse, 0.5)])
    assert isinstance(found, Experience)
    assert any("Skip the anatomy" in str(b) for b in found.bundle.guidance.skill_routing_guidance)


@pytest.mark.parametrize(
    ("group", "why"),
    [
        ([], Skipped.UNSCORED),
        ([attempt(GOOD, 0.9)], Skipped.UNSCORED),
        ([attempt(GOOD, 0.9), attempt(POOR, None)], Skipped.UNSCORED),
        ([attempt(GOOD, 0.5), attempt(POOR, 0.5)], Skipped.EQUAL),
        ([attempt(GOOD, 0.0, "no prompt"), attempt(POOR, 0.0, "no prompt")], Skipped.FAILED),
        ([attempt(GOOD, 0.9), attempt(POOR, 0.0, "no prompt")], Skipped.PROTOCOL),
        ([attempt(GOOD, 0.55), attempt(POOR, 0.5)], Skipped.SMALL_GAP),
        ([attempt(GOOD, 0.9), attempt(GOOD, 0.1)], Skipped.SAME),
    ],
)
def test_groups_that_teach_nothing_are_told_apart(group: list[Attempt], why: Skipped) -> None:
    assert contrast(About(REQUEST), group) is why


def test_a_gap_of_exactly_the_limit_counts() -> None:
    assert isinstance(pair_of([attempt(GOOD, 0.5), attempt(POOR, 0.3)]), Pair)


def test_who_broke_the_protocol_is_neither_best_nor_worst() -> None:
    broken = attempt(POOR, 0.0, "no final answer")
    pair = pair_of([attempt(GOOD, 0.9), broken, attempt(POOR, 0.4)])
    assert isinstance(pair, Pair)
    assert pair.worst.total == 0.4


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8), st.data())
def test_any_group_gives_a_pair_or_a_reason(totals: list[float | None], data: st.DataObject) -> None:
    group = [
        attempt(GOOD if i % 2 else POOR, t, data.draw(st.sampled_from([None, None, "broken"])))
        for i, t in enumerate(totals)
    ]
    found = pair_of(group)
    if isinstance(found, Pair):
        assert found.gap >= 0.2 - 1e-6
        assert found.best.protocol_error is None
        assert found.worst.protocol_error is None


def test_the_same_pair_is_worded_the_same() -> None:
    pair = Pair(attempt(GOOD, 0.9), attempt(POOR, 0.2))
    assert summarise(About(REQUEST), pair) == summarise(About(REQUEST), pair)


def test_the_profile_of_a_program() -> None:
    found = profile(parse(Source(GOOD)).tree)
    assert found.searches == (3,)
    assert found.pictures == (3,)
    assert found.asks == 1
    assert found.notes == (8,)
    assert found.first_picture == 1
    assert found.prompt.references == 1
    wanted = {
        "exact_count",
        "arrangement",
        "absolute_place",
        "quoted",
        "surface",
        "letter_style",
        "spelled_once",
    }
    assert wanted <= found.prompt.cues
    assert found.styled_queries == 0
    poor = profile(parse(Source(POOR)).tree)
    assert poor.styled_queries == 1
    assert poor.copied_queries == 1
    assert "exact_count" not in poor.prompt.cues


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[2] / "programs/library").glob("**/*.gprog")), ids=lambda f: f.stem
)
def test_every_program_of_the_library_has_a_profile(file: Path) -> None:
    found = profile(parse(Source(file.read_text())).tree)
    assert found.prompt.words > 0 or "..." in file.read_text() or "?" in file.read_text()
