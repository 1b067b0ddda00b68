"""The encyclopedia: true pages, pictures that can be found, and what leads astray."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genevolve.grammar.errors import AuthorError
from genevolve.interpreter.library import Library
from genevolve.interpreter.studio.facts import KINDS, Fact
from genevolve.interpreter.studio.oracle import careless_query, fact_words, holds
from genevolve.interpreter.studio.pictures import View, picture_path
from genevolve.interpreter.studio.requests import requests_of
from genevolve.interpreter.studio.sight import see
from genevolve.interpreter.studio.world import World, careful_query, make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(7, 400)


@pytest.fixture(scope="module")
def pages(world: World, tmp_path_factory: pytest.TempPathFactory) -> Library:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "pages").mkdir()
    for page in world.pages():
        (folder / page.path).write_text(page.text, encoding="utf-8")
    library = Library.open(folder, embedder="none", cache_dir=tmp_path_factory.mktemp("index"))
    library.index()
    return library


def test_it_has_as_many_entities_as_asked_for_of_every_kind_and_near_duplicates_besides(world: World) -> None:
    originals = [e for e in world.entities.values() if not e.twin_of]
    assert len(originals) == 400
    assert {e.kind for e in originals} == set(KINDS)
    assert 40 <= len(world.entities) - 400 <= 120
    assert len(world.decoys) > 100


def test_relations_stay_inside_a_group_and_lead_to_the_right_kind(world: World) -> None:
    for entity in world.entities.values():
        for relation in KINDS[entity.kind].relations if not entity.twin_of else ():
            other = world.related(entity, relation.name)
            assert (other.kind, other.group) == (relation.target, entity.group)


def test_a_near_duplicate_shares_no_fact_that_could_be_mistaken(world: World) -> None:
    for twin in (e for e in world.entities.values() if e.twin_of):
        other = world.entities[twin.twin_of]
        assert (twin.kind, twin.noun) == (other.kind, other.noun)
        assert not set(twin.colours) & set(other.colours)
        assert twin.mascot != other.mascot
        assert twin.number != other.number
        assert twin.material != other.material
        assert twin.light != other.light


def test_a_page_has_120_to_250_words_and_tells_every_fact(world: World) -> None:
    by_path = {page.path: page.text for page in world.pages()}
    for entity in world.entities.values():
        text = by_path[world.source(entity)]
        assert 120 <= len(text.split()) <= 250
        for fact in Fact:
            assert holds(text, fact_words(entity, fact)), (entity.title, fact)
        assert all(world.entities[id].title in text for id in entity.relations.values())


def test_facts_stand_at_different_places_and_in_different_words(world: World) -> None:
    texts = [page.text for page in world.pages()]
    motto = [text.index("motto") / len(text) for text in texts if "motto" in text]
    assert min(motto) < 0.25
    assert max(motto) > 0.6
    assert sum("## " in text for text in texts) > 50
    assert sum("\n- " in text for text in texts) > 50


def test_a_decoy_bears_the_name_and_none_of_the_facts(world: World) -> None:
    for decoy in world.decoys:
        entity = world.entities[decoy.of]
        assert decoy.title.startswith(f"{entity.name} ")
        assert decoy.title != entity.title
        assert not {decoy.facts["first"], decoy.facts["second"]} & set(entity.colours)
        assert decoy.facts["mascot"] != entity.mascot


@pytest.mark.parametrize("fact", list(Fact))
def test_the_careful_query_finds_the_right_page_first_and_its_fact(
    world: World, pages: Library, fact: Fact
) -> None:
    first = told = 0
    for entity in world.entities.values():
        found = pages.search(careful_query(entity, [fact]), 3).snippets
        first += bool(found) and found[0].source == world.source(entity)
        text = " ".join(s.text for s in found if s.source == world.source(entity))
        told += holds(text, fact_words(entity, fact))
    assert first >= 0.97 * len(world.entities)
    assert told >= 0.97 * len(world.entities)


def test_the_careless_query_is_misled_in_a_quarter_to_sixty_percent(world: World, pages: Library) -> None:
    asked = [r for r in requests_of(world, "heldout", 400) if r.entities]
    wrong = 0
    for request in asked:
        found = pages.search(careless_query(world, request), 3).snippets
        wrong += not found or found[0].source != f"pages/{request.entities[0]}.md"
    assert 0.25 <= wrong / len(asked) <= 0.6


def test_its_data_read_back_is_the_same_world(world: World) -> None:
    again = World.from_dict(json.loads(json.dumps(world.to_dict())))
    assert again == world
    assert list(again.pages()) == list(world.pages())


@pytest.mark.parametrize(
    "broken", [{}, {"schema": "other"}, {"schema": "genevolve.studio/1", "seed": 1}, [], None]
)
def test_other_data_is_no_world(broken: object) -> None:
    with pytest.raises(ValueError, match="world"):
        World.from_dict(broken)  # type: ignore[arg-type]  # hostile on purpose


def test_too_few_entities_for_four_splits_are_refused() -> None:
    with pytest.raises(AuthorError, match="at least 32"):
        make_world(7, 31)


def test_other_seeds_make_other_worlds() -> None:
    assert not set(make_world(1, 64).entities) & set(make_world(2, 64).entities)


def test_the_library_finds_all_four_pictures_by_the_captions_inside_them(
    world_folder: Path, small_world: World, tmp_path: Path
) -> None:
    library = Library.open(world_folder / "library", embedder="none", cache_dir=tmp_path)
    for entity in small_world.entities.values():
        found = [i.source for i in library.search_images(f"emblem of {entity.title}", 5).items]
        assert {picture_path(entity.id, v) for v in (View.EMBLEM, View.FORMER, View.CROWD)} <= set(found)
        shown = [i.source for i in library.search_images(f"{entity.title} appearance", 5).items]
        assert picture_path(entity.id, View.APPEARANCE) in shown
    assert library.caption_source(picture_path(entity.id, View.EMBLEM)) == "metadata"


def test_the_right_emblem_is_often_not_the_first_result(
    world_folder: Path, small_world: World, tmp_path: Path
) -> None:
    library = Library.open(world_folder / "library", embedder="none", cache_dir=tmp_path)
    entities = list(small_world.entities.values())
    first = sum(
        library.search_images(f"emblem of {e.title}", 5).items[0].source == picture_path(e.id, View.EMBLEM)
        for e in entities
    )
    assert 0.05 <= first / len(entities) <= 0.6


def test_pictures_show_the_looks_that_the_world_knows(world_folder: Path, small_world: World) -> None:
    from PIL import Image

    read = 0
    entities = list(small_world.entities.values())[:12]
    for entity in entities:
        for view, look in ((View.EMBLEM, entity.emblem), (View.FORMER, entity.former.look)):
            with Image.open(world_folder / "library" / picture_path(entity.id, view)) as image:
                seen = see(image.convert("RGB"))
            read += len(seen) == 1 and seen[0].look == look
    assert read >= 0.95 * 2 * len(entities)
