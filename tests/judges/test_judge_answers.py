from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judge_cases import GRADES

from genevolve.interpreter.judges import rubric
from genevolve.interpreter.judges.answers import Complaint, read_object
from genevolve.interpreter.judges.formulas import kscore, wiscore


def altered(**changes: object) -> str:
    data = {**GRADES, **changes}
    return json.dumps({k: v for k, v in data.items() if v is not Ellipsis})


class TestReading:
    @pytest.mark.parametrize(
        "text",
        [
            altered(),
            f"```json\n{altered()}\n```",
            f"  \n{altered()}\n",
            f"<think>perhaps {{1}}</think>\n{altered()}",
            altered(aesthetics=0.5, text_accuracy_na=True, text_accuracy=None),
        ],
    )
    def test_answers_as_asked(self, text: str) -> None:
        assert rubric.read_answer(text)["aesthetics"] == 0.5

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("", "empty"),
            ("Sure! " + altered(), "begin with"),
            (altered() + " I hope this helps", "text after"),
            (altered() + altered(), "text after"),
            (f"```json\n{altered()}\n```\nDone.", "begin with"),
            (altered(faithfulness="1"), 'faithfulness must be a JSON number, one of 0, 0.5, 1, not "1"'),
            (altered(faithfulness=True), "faithfulness must be a JSON number"),
            (altered(faithfulness=0.7), "one of 0, 0.5, 1, not 0.7"),
            (altered(faithfulness=None), "not null"),
            (altered(faithfulness=...), "missing: faithfulness"),
            (altered(score=1), 'not asked for: "score"'),
            (altered(text_accuracy_na=True), "must be null"),
            (altered(text_accuracy=None), "text_accuracy must be a JSON number"),
            (altered(text_accuracy_na="false"), "true or false"),
            (altered(hard_constraints=["one"]), "2 to 5"),
            (altered(hard_constraints="many"), "list of strings"),
            (altered(rationale=["a"]), "rationale must be a JSON string"),
            (altered(aesthetics=float("nan")), "NaN is no JSON number"),
            (altered()[:-1] + ', "faithfulness": 1}', "twice"),
            (altered()[:40], "not valid JSON"),
            ("[" * 5000, "begin with"),
            ('{"a":' * 5000, "not valid JSON"),
            ("[1, 2]", "begin with"),
        ],
    )
    def test_other_answers_are_complained_of(self, text: str, complaint: str) -> None:
        with pytest.raises(Complaint) as caught:
            rubric.read_answer(text)
        assert complaint in str(caught.value)

    @given(st.text(max_size=200))
    def test_any_text_is_read_or_complained_of(self, text: str) -> None:
        told = ""
        try:
            data = read_object(text)
        except Complaint as complaint:
            data, told = {}, str(complaint)
        assert isinstance(data, dict)
        assert told or data or text.strip().endswith("}") or text.strip().endswith("```")


class TestFormulas:
    @pytest.mark.parametrize(
        ("dimensions", "paper", "release"),
        [
            ((1, 1, 1, 1), 1.0, 1.0),
            ((1, 0.5, 1, 0.5), 0.75, 0.75),
            ((1, 1, None, 1), 1.0, 0.8),
            ((0, 0, None, 0), 0.0, 0.2),
            ((0.5, 0, None, 1), 0.25, 0.35),
        ],
    )
    def test_kscore(self, dimensions: tuple[float | None, ...], paper: float, release: float) -> None:
        named = dict(
            zip(
                ("faithfulness", "visual_correctness", "text_accuracy", "aesthetics"), dimensions, strict=True
            )
        )
        assert kscore(named, "paper") == pytest.approx(paper)
        assert kscore(named, "release") == pytest.approx(release)

    def test_only_text_may_be_absent(self) -> None:
        with pytest.raises(ValueError, match="faithfulness"):
            kscore({"faithfulness": None, "visual_correctness": 1, "text_accuracy": 1, "aesthetics": 1})

    def test_wiscore(self) -> None:
        assert wiscore({"consistency": 2, "realism": 1, "aesthetic_quality": 0}) == pytest.approx(0.8)
