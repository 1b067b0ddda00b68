"""Requests: their truth holds, their wording gives nothing away, and their rows are complete."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest

from genevolve.grammar.builtins import POSITIONS, RELATIONS
from genevolve.grammar.errors import AuthorError
from genevolve.interpreter.studio.facts import Fact
from genevolve.interpreter.studio.phrasings import Subject, Wording
from genevolve.interpreter.studio.requests import (
    CATEGORIES,
    DOMINANT,
    LONGEST,
    Request,
    read_requests,
    requests_of,
    tally,
)
from genevolve.interpreter.studio.splits import PHRASINGS, SPLITS
from genevolve.interpreter.studio.truth import satisfied
from genevolve.interpreter.studio.wants import IDENTITY, SKILLS, Composer
from genevolve.interpreter.studio.world import World, make_world, seeded

_COLUMNS = {"id", "prompt", "gt_image", "eval_type", "category", "difficulty"}


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(7, 400)


@pytest.fixture(scope="module")
def requests(world: World) -> list[Request]:
    return [r for split in SPLITS for r in requests_of(world, split, 400 if split == "train" else 150)]


def test_there_are_sixteen_categories_eight_skills_two_tracks_three_difficulties(
    requests: list[Request],
) -> None:
    found = tally(requests)
    assert len(CATEGORIES) == 16
    assert set(found["category"]) == set(CATEGORIES)
    assert set(found["skill"]) == set(SKILLS)
    assert set(found["track"]) == {"knowledge", "quality"}
    assert set(found["difficulty"]) == {"easy", "medium", "hard"}
    assert 0.64 <= found["track"]["knowledge"] / len(requests) <= 0.76
    assert found["two_hops"] >= 0.05 * len(requests)


@pytest.mark.parametrize("track", ["knowledge", "quality"])
def test_both_tracks_ask_for_text_in_about_half(requests: list[Request], track: str) -> None:
    of_track = [r for r in requests if r.track == track]
    assert 0.35 <= sum("text_rendering" in r.skills for r in of_track) / len(of_track) <= 0.6


def test_every_request_has_one_to_four_constraints_and_its_own_truth_holds_them(
    requests: list[Request],
) -> None:
    for request in requests:
        assert 1 <= len(request.constraints) <= 4
        assert all(satisfied(c, request.scene, request.scene) for c in request.constraints)


def test_constraints_are_those_of_the_language(requests: list[Request]) -> None:
    for constraint in (c for r in requests for c in r.constraints):
        arguments = constraint.arguments
        match constraint.kind:
            case "text":
                assert arguments["at"] in POSITIONS
            case "relation":
                assert arguments["relation"] in RELATIONS
            case "count":
                assert arguments["operator"] == "=="
            case kind:
                assert kind in ("attribute", "resembles")


def test_no_two_things_of_a_scene_have_the_same_noun(requests: list[Request]) -> None:
    for request in requests:
        nouns = [t.noun for t in request.scene.things]
        assert len(set(nouns)) == len(nouns)


def test_a_truth_of_one_request_rarely_holds_another(requests: list[Request]) -> None:
    pairs = list(itertools.pairwise(r for r in requests if len(r.constraints) >= 3))
    held = sum(all(satisfied(c, b.scene, a.scene) for c in a.constraints) for a, b in pairs)
    assert held <= 0.01 * len(pairs)


def test_a_request_does_not_say_what_has_to_be_looked_up(world: World, requests: list[Request]) -> None:
    for request in (r for r in requests if r.track == "knowledge"):
        target = world.entities[request.entities[-1]]
        needed = {f.name for f in request.facts}
        words = set(re.findall(r"[A-Za-z]+|\d+", request.prompt))
        assert Fact.MOTTO.value not in needed or target.motto not in request.prompt
        assert Fact.FOUNDED.value not in needed or str(target.founded) not in words
        assert Fact.COLOURS.value not in needed or not set(target.colours) & words
        assert Fact.MASCOT.value not in needed or target.mascot not in words
        assert len(request.entities) == 1 or target.title not in request.prompt


def test_a_knowledge_request_names_its_entity_and_needs_one_reference(
    world: World, requests: list[Request]
) -> None:
    for request in requests:
        assert len(request.references) == (request.track == "knowledge")
        if request.references:
            assert world.entities[request.entities[0]].title in request.prompt
            assert request.references[0].entity == request.entities[-1]
            assert request.content.want(IDENTITY) is not None


def test_a_bare_request_quotes_nothing_and_arranges_nothing(requests: list[Request]) -> None:
    for request in requests:
        assert '"' not in request.prompt
        assert not re.search(r"\b(exactly|in a row|evenly)\b", request.prompt)


def test_requests_are_short_sentences_of_few_words(requests: list[Request]) -> None:
    for request in requests:
        assert 12 <= len(request.prompt.split()) <= LONGEST
        assert "  " not in request.prompt
        assert request.prompt[0].isupper()
        assert "{" not in request.prompt
    vocabulary = {w for r in requests for w in re.findall(r"\b[a-z]+\b", r.prompt)}
    assert len(vocabulary) < 420


def test_a_row_has_the_fields_of_the_benchmark_and_reads_back(requests: list[Request]) -> None:
    for request in requests[:200]:
        row = json.loads(json.dumps(request.to_dict()))
        assert set(row) >= _COLUMNS
        assert Request.from_dict(row) == request


@pytest.mark.parametrize("broken", [{}, {"id": 3}, {"wants": 1}])
def test_other_rows_are_refused_with_their_line(tmp_path: Path, broken: dict[str, object]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(broken) + "\n")
    with pytest.raises(AuthorError, match=r"rows\.jsonl:1"):
        list(read_requests(path))
    with pytest.raises(AuthorError, match="cannot be read"):
        list(read_requests(tmp_path / "none.jsonl"))


def test_a_longer_stream_begins_with_the_shorter(world: World) -> None:
    assert list(requests_of(world, "heldout", 30))[:10] == list(requests_of(world, "heldout", 10))


def test_a_split_without_more_requests_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genevolve.interpreter.studio.requests._TRIES", 3)
    monkeypatch.setattr("genevolve.interpreter.studio.requests.LONGEST", 10)
    with pytest.raises(AuthorError, match="no more than"):
        list(requests_of(world, "validation", 400))
    with pytest.raises(AuthorError, match="no split"):
        list(requests_of(world, "test", 1))


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_category_has_48_wordings_of_the_same_content(world: World, category: str) -> None:
    rng = seeded(0, "wordings", category)
    if category in DOMINANT:
        skills = {DOMINANT[category], "text_rendering", "attribute_binding"}
        content, subject = Composer(rng).compose(tuple(skills), 0), None
    else:
        entity = next(e for e in world.entities.values() if e.kind == category)
        content = Composer(rng, entity, entity.emblem).compose(("text_rendering", "attribute_binding"), 0)
        subject = Subject(entity, entity.title)
    texts = {Wording(content, subject, n).text for n in range(PHRASINGS)}
    assert len(texts) == PHRASINGS >= 30


def test_there_is_no_wording_beyond_the_last(world: World) -> None:
    content = Composer(seeded(0, "x")).compose(("text_rendering",), 0)
    with pytest.raises(ValueError, match="48 phrasings"):
        Wording(content, None, PHRASINGS)
