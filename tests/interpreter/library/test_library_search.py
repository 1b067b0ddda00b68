from __future__ import annotations

import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from library_tools import CountingEmbedder, picture, write

import genevolve.programs
from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.library import Library
from genevolve.interpreter.library.embedder import ModelEmbedder, resolve_embedder
from genevolve.interpreter.library.ranking import WordIndex, rank, relevance, similarities

SAMPLES = Path(genevolve.programs.__file__).parent / "samples"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def by_words(cache: Path) -> Library:
    return Library.open(SAMPLES, cache_dir=cache, embedder=None)


@pytest.fixture(scope="module")
def by_meaning(cache: Path) -> Library:
    library = Library.open(SAMPLES, cache_dir=cache, embedder="minilm")
    library.index()
    return library


# ---- the sample library, by words and with the real model ----


@pytest.mark.parametrize(
    ("query", "source"),
    [
        ("courses of stretchers and headers", "documents/brick-bonds.md"),
        ("golden hour shadows", "documents/golden-hour.pdf"),
        ("Chandra X-ray Observatory", "documents/eileen-collins.md"),
        ("denarius and aureus", "documents/coins-of-pompeii.html"),
        ("insulating foam of the external tank", "documents/space-shuttle.json"),
        ("mackerel tabby stripes", "documents/tabby-cats.txt"),
    ],
)
def test_words_find_every_format(by_words: Library, by_meaning: Library, query: str, source: str) -> None:
    assert by_words.search(query).snippets[0].source == source
    assert by_meaning.search(query).snippets[0].source == source


@pytest.mark.parametrize(
    ("query", "source"),
    [
        ("lighting for photos at sundown", "documents/golden-hour.pdf"),
        ("feline fur markings", "documents/tabby-cats.txt"),
        ("money in antiquity", "documents/coins-of-pompeii.html"),
        ("Chinese imperial garden", "documents/summer-palace.json"),
    ],
)
def test_meaning_finds_what_words_do_not_say(by_meaning: Library, query: str, source: str) -> None:
    assert by_meaning.search(query).snippets[0].source == source


@pytest.mark.parametrize(
    "query",
    [
        "quantum chromodynamics",
        "recipe for tomato soup",
        "football world cup",
        "tax return deadline",
        "mobile phone",
        "?!",
        "the",
    ],
)
def test_nothing_is_returned_only_because_nothing_better_exists(
    by_words: Library, by_meaning: Library, query: str
) -> None:
    for library in (by_words, by_meaning):
        assert library.search(query).snippets == ()
        assert library.search_images(query).items == ()


def test_pictures_by_caption(by_words: Library, by_meaning: Library) -> None:
    assert by_words.search_images("tabby cat with green eyes").items[0].source == "images/tabby-cat.jpg"
    found = by_meaning.search_images("kitten").items
    assert [(i.id, i.source, i.width, i.height, i.media_type) for i in found] == [
        ("IMG_001", "images/tabby-cat.jpg", 451, 300, "image/jpeg")
    ]
    tower = by_meaning.search_images("pagoda in China").items[0]
    assert tower.title == "Tower of Buddhist Incense, Summer Palace, Beijing"
    assert tower.file.read_bytes()[:2] == b"\xff\xd8"


def test_all_sample_pictures_have_captions_beside_them(by_words: Library) -> None:
    pictures = sorted(p.relative_to(SAMPLES).as_posix() for p in (SAMPLES / "images").glob("*.jpg"))
    assert len(pictures) == 12
    assert {by_words.caption_source(p) for p in pictures} == {"sidecar"}
    assert by_words.index().skipped == ()
    assert by_words.stats().documents == 13
    with pytest.raises(KeyError):
        by_words.caption_source("images/none.jpg")


def test_licence_notes_name_every_sample_picture() -> None:
    notes = (SAMPLES / "LICENSES.md").read_text(encoding="utf-8")
    for file in (SAMPLES / "images").glob("*.jpg"):
        assert f"`{file.name}`" in notes
    assert sum(f.stat().st_size for f in SAMPLES.rglob("*") if f.is_file()) < 1_500_000


def test_sources_titles_and_lengths(by_words: Library) -> None:
    snippet = by_words.search("aureus denarius worth", top_k=1).snippets[0]
    assert snippet.title == "Ancient coins and Pompeii › What coins were worth"
    for row in by_words._view(False, lambda: None).rows:
        assert len(row.text.split()) <= 150


def test_top_k_and_several_queries(by_meaning: Library) -> None:
    assert len(by_meaning.search("espresso coffee", top_k=2).snippets) == 2
    found = by_meaning.search(["espresso crema", "tabby patterns"], top_k=2).snippets
    assert {s.source for s in found} == {"documents/espresso.md", "documents/tabby-cats.txt"}
    scores = [s.score for s in by_meaning.search("space shuttle", top_k=20).snippets]
    assert scores == sorted(scores, reverse=True)


def test_the_same_search_gives_the_same_answer(by_meaning: Library, cache: Path) -> None:
    again = Library.open(SAMPLES, cache_dir=cache / "other", embedder="minilm")
    for query in ("rocket at dusk", "stones", "portrait"):
        assert by_meaning.search(query) == again.search(query)
        assert by_meaning.search_images(query) == again.search_images(query)
    assert by_meaning.version == again.version


def test_the_version_depends_on_the_model(by_words: Library, by_meaning: Library) -> None:
    assert by_words.version != by_meaning.version
    assert by_words.version == by_words.version


def test_searching_by_words_imports_no_torch(cache: Path) -> None:
    code = (
        "import sys\nfrom genevolve.interpreter.library import Library\n"
        f"library = Library.open({str(SAMPLES)!r}, cache_dir={str(cache / 'light')!r}, embedder=None)\n"
        "assert library.search('espresso').snippets and library.search_images('cat').items\n"
        "Library.open('.', cache_dir=sys.argv[1], embedder='auto')\n"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(cache / "light")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# ---- ranking ----


def test_ties_keep_the_order_of_paths(tmp_path: Path) -> None:
    for name in ("c", "a", "b"):
        write(tmp_path, **{f"{name}_txt": f"Same words, {name}{name}{name}."})
    library = Library.open(tmp_path, cache_dir=tmp_path / "cache", embedder=CountingEmbedder())
    found = library.search("same words").snippets
    assert [s.source for s in found] == ["a.txt", "b.txt", "c.txt"]


def test_equal_pictures_are_one_result(tmp_path: Path) -> None:
    for name in ("red_tile", "red_tile_copy"):
        picture(tmp_path / f"{name}.png")
    found = (
        Library.open(tmp_path, cache_dir=tmp_path / "cache", embedder=None).search_images("red tile").items
    )
    assert [i.source for i in found] == ["red_tile.png"]


def test_common_words_do_not_make_a_passage_relevant(tmp_path: Path) -> None:
    for number in range(60):
        write(tmp_path, **{f"{number}_txt": f"A picture of thing number {number}."})
    library = Library.open(tmp_path, cache_dir=tmp_path / "cache", embedder=None)
    assert library.search("picture of a thing with zeppelins").snippets == ()
    assert len(library.search("picture of thing").snippets) == 5


def test_saved_word_indexes_answer_alike(tmp_path: Path) -> None:
    texts = ["red brick wall", "green grass", "a wall of grass", ""]
    built = WordIndex.build(texts)
    built.save(tmp_path / "words")
    loaded = WordIndex.load(tmp_path / "words", len(texts))
    for query in ("wall", "grass wall", "nothing", ""):
        for a, b in zip(built.score(query), loaded.score(query), strict=True):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="other texts"):
        WordIndex.load(tmp_path / "words", 3)
    empty = WordIndex.build([])
    empty.save(tmp_path / "empty")
    assert WordIndex.load(tmp_path / "empty", 0).score("wall")[0].shape == (0,)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("abc ", max_size=12), max_size=8),
    st.lists(st.text("abcd ", max_size=8), min_size=1, max_size=3),
    st.integers(1, 5),
)
def test_ranking_any_texts(texts: list[str], queries: list[str], limit: int) -> None:
    embedder = CountingEmbedder()
    hits = rank(queries, WordIndex.build(texts), embedder.embed(texts), embedder, limit)
    assert len(hits) <= limit
    assert len({h.index for h in hits}) == len(hits)
    assert all(0 <= h.index < len(texts) and h.score > 0 for h in hits)
    assert all(0 <= fit <= 1.001 for fit in relevance(queries[0], texts, embedder))


# ---- embedders ----


def test_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_embedder(None) is None
    assert resolve_embedder("none") is None
    packaged = resolve_embedder("auto")
    assert packaged == resolve_embedder("minilm")
    assert packaged is not None
    assert packaged.name.startswith("all-MiniLM-L6-v2:")
    own = CountingEmbedder()
    assert resolve_embedder(own) is own
    assert resolve_embedder("sentence-transformers/all-mpnet-base-v2") == ModelEmbedder(
        "hub:sentence-transformers/all-mpnet-base-v2", "sentence-transformers/all-mpnet-base-v2", local=False
    )
    for bad in (tmp_path / "no", str(tmp_path / "no"), "./no", " "):
        with pytest.raises(ConfigurationError, match="no folder"):
            resolve_embedder(bad)
    with pytest.raises(ConfigurationError, match="holds no"):
        resolve_embedder(tmp_path)
    monkeypatch.setattr("genevolve.interpreter.library.embedder._MINILM", "no_such_package")
    assert resolve_embedder("auto") is None
    with pytest.raises(ConfigurationError, match="not installed"):
        resolve_embedder("minilm")


def test_a_folder_with_a_model_can_be_used(tmp_path: Path) -> None:
    packaged = resolve_embedder("minilm")
    assert isinstance(packaged, ModelEmbedder)
    copy = tmp_path / "my-model"
    shutil.copytree(packaged.location, copy)
    own = resolve_embedder(copy)
    assert own is not None
    assert own.name.startswith("my-model:")
    np.testing.assert_allclose(own.embed(["a cat"]), packaged.embed(["a cat"]), atol=1e-5)
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    assert resolve_embedder(copy) != own


def test_a_folder_that_only_looks_like_a_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    broken = resolve_embedder(tmp_path)
    assert broken is not None
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        broken.embed(["x"])


def test_loading_is_shared_and_vectors_are_unit_vectors() -> None:
    from genevolve.interpreter.library import embedder as module

    model = resolve_embedder("minilm")
    assert isinstance(model, ModelEmbedder)
    vectors = model.embed(["a cat", "a tabby kitten", "a brick wall"])
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    before = module._load.cache_info().misses
    assert model.embed([]).shape == (0, 0)
    resolve_embedder("minilm")
    model.embed_queries(["x"])
    assert module._load.cache_info().misses == before


def test_threads_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    assert isinstance(torch, types.ModuleType)
    from genevolve.interpreter.library import embedder as module

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(module, "_THREADS", 1)
    before = torch.get_num_threads()
    with module._few_threads():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_the_floor_is_the_models_own() -> None:
    model = resolve_embedder("minilm")
    assert model is not None
    texts = model.embed(["A ginger tabby cat with green eyes.", "The deadline for tax returns is in May."])
    cosines, floors = similarities(["a cat", "money"], texts, model)
    assert cosines[0, 0] > floors[0] > cosines[0, 1]
    assert all(0.15 < floor < 0.6 for floor in floors)
