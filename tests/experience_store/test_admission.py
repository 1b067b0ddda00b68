from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from experience_samples import ADVICE, bundle, experience, program

from genevolve.experience_store.admission import CODES, Admitted, Merged, Neighbour, Refused, admit, inspect
from genevolve.experience_store.bundle import Bullet, Bundle, Guidance, RetrievalKey
from genevolve.experience_store.experience import Experience, ProgramRecord, RewardParts
from genevolve.experience_store.wording import is_imperative, length_of, names_of, restates

GOOD = experience(1)


class Shelf:
    """A store view of some experiences, all equally near."""

    def __init__(self, *stored: Experience) -> None:
        self.stored = stored

    def neighbours(self, experience: Experience, minimum: float) -> Iterator[Neighbour]:
        return (Neighbour(e, 1.0) for e in self.stored)


def advice(*bullets: str) -> Experience:
    return replace(GOOD, bundle=bundle(*bullets))


def code(e: Experience) -> str | None:
    found = inspect(e)
    assert found is None or (found.code in CODES and found.reason)
    return None if found is None else found.code


def test_good_ones_are_admitted() -> None:
    for number in range(20):
        assert admit(experience(number), Shelf()) == Admitted()


@pytest.mark.parametrize(
    ("words", "expected"), [(11, "bullet-length"), (12, None), (22, None), (23, "bullet-length")]
)
def test_length_of_bullets(words: int, expected: str | None) -> None:
    text = "Describe " + " ".join(f"thing{i}" for i in range(words - 1))
    assert length_of(text) == words
    assert code(advice(text)) == expected


def test_a_mark_is_no_word() -> None:
    text = "Describe " + " ".join(f"thing{i}" for i in range(21))
    marked = Bundle(
        GOOD.bundle.retrieval_key, Guidance((Bullet(ADVICE[0]),), failure_guards=(Bullet(text, True),))
    )
    assert code(replace(GOOD, bundle=marked)) is None


@pytest.mark.parametrize(
    "text",
    [
        "Quote the title exactly.",
        "Do not name two light sources.",
        "Don't crop the subject.",
        "Never place text over faces.",
        "Always first check whether the count is stated.",
        "When a title is asked for, quote it in capitals.",
        "If several people appear, describe each one on their own.",
        "Check that every colour is bound to one thing.",
        "State what is shown before how it is shown.",
        "Search for the subject before wording the prompt.",
        "Search for other works of the same kind.",
    ],
)
def test_imperatives(text: str) -> None:
    assert is_imperative(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The title should be quoted.",
        "Search results are often polluted.",
        "Place names must be spelled out.",
        "Quoting helps.",
        "When a title is asked for quote it",
        "When a title is asked for, quotes help.",
        "It quotes the title.",
        "Quoted titles are legible.",
        "Focus was placed on the tower.",
        "You should quote the title.",
        "Never.",
        "References guide the shape.",
        "Search works better with two words.",
    ],
)
def test_what_is_no_imperative(text: str) -> None:
    assert not is_imperative(text)


@pytest.mark.parametrize(
    ("request_text", "bullet"),
    [
        (
            "two hikers before the Eiffel Tower at dusk",
            "Search the Eiffel Tower from the side which the picture asks for, before anything else.",
        ),
        (
            "two hikers before the Eiffel Tower at dusk",
            "Search eiffel tower photographs from the side which the picture asks for, before anything else.",
        ),
        (
            "two hikers before the Eiffel Tower at dusk",
            "Search for the Tower as seen from the side which the picture asks for, before anything.",
        ),
        (
            "a portrait of Marie in a garden",
            "Describe the garments of marie before the light, the pose, the colours and the setting.",
        ),
        (
            "Marie Curie in her laboratory",
            "Describe the garments of Marie Curie before the light, the pose, the colours and the setting.",
        ),
        (
            'a poster with the title "Summer in Lisbon"',
            "Quote summer in lisbon in capitals and say where on the page the line of lettering stands.",
        ),
        (
            "Zürich at night, from the lake",
            "Search for Zürich by its skyline and pick the reference that shows the whole waterfront.",
        ),
    ],
)
def test_names_of_the_request_are_refused(request_text: str, bullet: str) -> None:
    text = program("x", "y")
    best = ProgramRecord.of(text, GOOD.best.reward)
    assert code(replace(advice(bullet), request=request_text, best=best)) == "named-entity"


def test_names_of_the_facts_are_refused() -> None:
    facts = ("The bridge was designed by Horace Jones.",)
    text = "Search for other works by Horace Jones before wording any part of the prompt itself."
    assert code(advice(text)) is None
    assert code(replace(advice(text), facts=facts)) == "named-entity"


def test_common_words_of_a_name_stay_usable() -> None:
    names = names_of(["hikers before the Eiffel Tower and the Golden Gate Bridge"])
    assert names.within("Pick a reference that shows the whole tower or bridge from its gate") is None
    assert names.within("Pick the golden gate bridge") == "golden gate bridge"


def test_the_first_word_of_a_request_is_no_name() -> None:
    names = names_of(["Draw two cats. Show them asleep.", "Poster for a fair"])
    assert names.phrases == frozenset()
    assert names.capitalised == frozenset()


def test_restated_prompts_are_refused() -> None:
    asked = "three copper kettles stand on a narrow wooden shelf above a stove"
    again = "Show three copper kettles stand on a narrow wooden shelf above a stove, as asked for."
    assert restates(again, asked)
    assert code(replace(advice(again), request=asked)) == "restated-prompt"
    shuffled = "Place copper kettles, three, above the stove: narrow shelf, wooden, and let them stand."
    assert restates(shuffled, asked)
    assert not restates(ADVICE[0], asked)


@pytest.mark.parametrize(
    ("gap", "best", "expected"),
    [
        (0.2, 0.3, None),
        (0.19, 0.29, "gap"),
        (0.5, 0.3, "gap"),
        (-0.5, -0.4, "gap"),
        (1.5, 1.6, "gap"),
        (float("nan"), 0.5, "gap"),
        (0.5, float("nan"), "gap"),
        (0.5, float("inf"), "gap"),
    ],
)
def test_gaps(gap: float, best: float, expected: str | None) -> None:
    record = replace(GOOD.best, reward=RewardParts(best))
    assert code(replace(GOOD, best=record, gap=gap)) == expected


@pytest.mark.parametrize(
    "worst",
    [
        replace(GOOD.worst, protocol_error="the final answer is missing"),
        ProgramRecord.of('request "x"\n', GOOD.worst.reward),
        ProgramRecord.of('prompt "x"\n', GOOD.worst.reward),
        ProgramRecord.of("request request (", GOOD.worst.reward),
    ],
)
def test_protocol_failures_are_refused(worst: ProgramRecord) -> None:
    assert code(replace(GOOD, worst=worst)) == "protocol-failure"


def test_digests_and_equal_programs() -> None:
    assert code(replace(GOOD, worst=replace(GOOD.worst, digest="0" * 64))) == "digest"
    assert code(replace(GOOD, worst=replace(GOOD.best, reward=GOOD.worst.reward))) == "no-difference"


def test_empty_ones() -> None:
    assert code(replace(GOOD, request=" ")) == "no-request"
    assert code(replace(GOOD, bundle=Bundle(GOOD.bundle.retrieval_key, Guidance()))) == "empty-bundle"
    assert code(replace(GOOD, bundle=Bundle(RetrievalKey("", "x"), GOOD.bundle.guidance))) == "empty-bundle"
    standard = Bundle(GOOD.bundle.retrieval_key, Guidance(focus=(Bullet(ADVICE[0], True),)))
    assert code(replace(GOOD, bundle=standard)) == "no-difference"


def test_repeated_bullets() -> None:
    assert code(advice(ADVICE[0], ADVICE[0].upper().capitalize())) == "repeated-bullet"
    assert code(advice(*ADVICE[:3])) is None


@pytest.mark.parametrize("bad", ["\x1b[31m", "\x07", "\u202e", "\u200b", "\x00", "\r", "\u2028", "\x9b"])
def test_characters_that_drive_a_terminal(bad: str) -> None:
    assert code(advice(ADVICE[0] + bad)) == "not-plain"
    assert code(replace(GOOD, request=GOOD.request + bad)) == "not-plain"
    assert code(replace(GOOD, policy=bad)) == "not-plain"
    assert code(replace(GOOD, skills=(f"a{bad}",))) == "not-plain"


@pytest.mark.parametrize("mark", ["<|im_end|>", "</tools>", "```", "{{x}}", "[INST]", "<tool_call>"])
def test_marks_of_a_prompts_frame(mark: str) -> None:
    assert code(advice(f"{ADVICE[0]} {mark}")) == "markup"
    assert (
        code(replace(GOOD, bundle=Bundle(RetrievalKey(f"x {mark}", "y"), GOOD.bundle.guidance))) == "markup"
    )


def test_too_large() -> None:
    assert code(replace(GOOD, request="word " * 3000)) == "too-large"
    assert code(replace(GOOD, facts=("word " * 100_000,))) == "too-large"
    many = tuple(Bullet(f"{ADVICE[0]} {i}") for i in range(9))
    assert code(replace(GOOD, bundle=Bundle(GOOD.bundle.retrieval_key, Guidance(many)))) == "too-large"


def test_duplicates_keep_the_larger_gap() -> None:
    small, large = experience(1, gap=0.3), experience(1, gap=0.6)
    assert admit(large, Shelf(small)) == Merged(small.id, True)
    assert admit(small, Shelf(large)) == Merged(large.id, False)
    other = replace(small, bundle=bundle(ADVICE[2]))
    assert admit(other, Shelf(large)) == Admitted()
    assert isinstance(admit(replace(small, gap=0.1), Shelf()), Refused)
