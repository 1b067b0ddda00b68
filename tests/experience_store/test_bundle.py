from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from experience_samples import ADVICE, experience

from genevolve.experience_store.bundle import FIELD_SLOTS, SLOTS, Bullet, Bundle, Guidance, RetrievalKey
from genevolve.experience_store.experience import Experience, ProgramRecord, RewardParts, program_digest
from genevolve.grammar.errors import AuthorError
from genevolve.programs.program import Program


def test_fields_and_slots() -> None:
    assert list(FIELD_SLOTS) == [name for name, _ in Guidance()]
    assert set(FIELD_SLOTS.values()) == set(SLOTS)
    made = Bundle(
        RetrievalKey("a", "b"),
        Guidance(
            focus=(Bullet("x"),),
            prompt_program_guidance=(Bullet("y", True),),
            failure_guards=(Bullet("z", True),),
        ),
    )
    assert made.slot("S4") == made.slot("prompt_construction") == (Bullet("x"), Bullet("y", True))
    assert made.slots == ("S4",)
    with pytest.raises(KeyError):
        made.slot("S6")


def test_marks() -> None:
    assert Bullet.parse(" Standard:  keep it ") == Bullet("keep it", True)
    assert str(Bullet("keep it", True)) == "Standard: keep it"
    assert Bullet.parse(str(Bullet("keep"))) == Bullet("keep")


def test_plain_data_comes_back_the_same() -> None:
    for number in range(10):
        one = experience(number, facts=("a fact",))
        again = Experience.from_dict(json.loads(json.dumps(one.to_dict())))
        assert again == one
        assert again.id == one.id
        assert Experience.from_dict(one.to_dict() | {"id": one.id}) == one


def test_the_id_follows_from_the_content_but_not_from_the_model() -> None:
    one = experience(1)
    assert len(one.id) == 64
    assert experience(1, embedder="other").id == one.id
    assert experience(1, step=99).id != one.id


BROKEN: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda d: d.pop("request"), "experience has no 'request'"),
    (lambda d: d.update(more=1), "experience has 'more', which is not known"),
    (lambda d: d.update(gap="0.5"), "experience.gap is a text"),
    (lambda d: d.update(gap=True), "experience.gap is true or false"),
    (lambda d: d.update(gap=float("nan")), "experience.gap is not a finite number"),
    (lambda d: d.update(step=1.5), "experience.step is the number 1.5"),
    (lambda d: d.update(step=2**60), "experience.step is a large number"),
    (lambda d: d.update(request="\ud800"), "experience.request holds half a character"),
    (lambda d: d.update(skills="x"), "experience.skills is a text"),
    (lambda d: d.update(skills=[1]), r"experience.skills\[0\] is the number 1"),
    (lambda d: d.update(id="0" * 64), "does not fit the content"),
    (lambda d: d.update(schema=9), "schema is 9"),
    (lambda d: d["bundle"]["decision_guidance"].pop("focus"), "decision_guidance has no 'focus'"),
    (
        lambda d: d["bundle"]["decision_guidance"].update(focus=["Standard: Standard: x"]),
        "marked 'Standard:' twice",
    ),
    (lambda d: d["bundle"].update(retrieval_key=None), "retrieval_key is null"),
    (lambda d: d["best"].update(reward={"total": None}), "best.reward.total is null"),
    (lambda d: d.update(gap=10**400), "experience.gap is a number that is too large"),
    (
        lambda d: d["best"]["reward"].update(image=-(10**400)),
        "best.reward.image is a number that is too large",
    ),
    (lambda d: d.update(step=10**400), "experience.step is a large number"),
    (lambda d: d["best"].update(text="a\ud800"), "best.text holds half a character"),
    (lambda d: d["best"].update(picture=3), "best.picture is the number 3"),
    (lambda d: d["worst"]["reward"].update(text_accuracy_na=1), "text_accuracy_na is the number 1"),
]


@pytest.mark.parametrize(("breaking", "message"), BROKEN)
def test_what_is_wrong_is_named(breaking: Callable[[dict[str, Any]], object], message: str) -> None:
    data = json.loads(json.dumps(experience(1).to_dict()))
    breaking(data)
    with pytest.raises(AuthorError, match=message):
        Experience.from_dict(data)


@pytest.mark.parametrize("data", [None, 3, "x", [], [1]])
def test_anything_else_is_refused(data: object) -> None:
    with pytest.raises(AuthorError):
        Experience.from_dict(data)


def test_digests_are_those_of_programs() -> None:
    text = 'request   "a"\nprompt "b"'
    assert program_digest(text) == Program.parse(text).digest == program_digest(text + "\n")
    assert program_digest("request (") != program_digest("request ((")
    with pytest.raises(AuthorError, match="half a character"):
        program_digest('request "a\ud800"')
    with pytest.raises(AuthorError, match="half a character"):
        ProgramRecord.of('request "\udfff"', RewardParts(0.5))


def test_reward_parts() -> None:
    parts = RewardParts(0.7, image=0.8, text=0.6, faithfulness=1.0, text_accuracy_na=True, scoring="release")
    assert RewardParts.from_dict(parts.to_dict()) == parts
    assert RewardParts.from_dict({"total": 1}) == RewardParts(1.0)


def test_advice_of_the_samples_is_long_enough() -> None:
    assert all(12 <= len(a.split()) <= 22 for a in ADVICE)
