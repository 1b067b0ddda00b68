from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import genevolve.programs
from genevolve.grammar.builtins import TOOLS
from genevolve.grammar.errors import AuthorError, Cancelled
from genevolve.interpreter.images import ImageProblem
from genevolve.interpreter.library import Library
from genevolve.interpreter.library.embedder import Embedder, resolve_embedder
from genevolve.interpreter.protocols import CallContext, Registry, Tool
from genevolve.interpreter.tools.ask import LONGEST, AskTool
from genevolve.interpreter.tools.image import ImageTool
from genevolve.interpreter.tools.image_search import ImageSearchTool
from genevolve.interpreter.tools.pick import PickTool
from genevolve.interpreter.tools.search import SearchTool
from genevolve.interpreter.values import Evidence, ImageHandle, Images, Snippet

SAMPLES = Path(genevolve.programs.__file__).parent / "samples"
CONTEXT = CallContext()


@pytest.fixture(scope="module", params=["none", "minilm"])
def embedder(request: pytest.FixtureRequest) -> Embedder | None:
    return resolve_embedder(request.param)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, embedder: Embedder | None) -> Library:
    return Library.open(SAMPLES, cache_dir=tmp_path_factory.mktemp("cache"), embedder=embedder)


def test_every_built_in_tool_is_there(library: Library) -> None:
    tools: list[Tool] = [
        SearchTool(library),
        ImageSearchTool(library),
        ImageTool([SAMPLES]),
        PickTool(library.embedder),
        AskTool(library.embedder),
    ]
    assert all(isinstance(tool, Tool) for tool in tools)
    registry = Registry(tools)
    assert [registry[s.name].signature for s in TOOLS] == list(TOOLS)


def test_search(library: Library) -> None:
    tool = SearchTool(library)
    found = tool(CONTEXT, "lattice towers at dusk", "crema of espresso", top_k=4)
    assert {s.source for s in found.snippets} >= {"documents/falcon-9-dscovr.md", "documents/espresso.md"}
    assert len(found.snippets) <= 4
    assert tool(CONTEXT, "quantum chromodynamics") == Evidence()


def test_image_search_counts_ids_anew_for_every_call(library: Library) -> None:
    tool = ImageSearchTool(library)
    for query in ("black-and-white texture seen from above", "photographer with a tripod"):
        found = tool(CONTEXT, query, top_k=3)
        assert [i.id for i in found.items] == [f"IMG_{n:03d}" for n in range(1, len(found.items) + 1)]
        assert found.items
    assert tool(CONTEXT, "submarine") == Images()


def test_versions(library: Library, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Apples.")
    other = Library.open(tmp_path, cache_dir=tmp_path / "cache", embedder=library.embedder)
    assert SearchTool(library).version == ImageSearchTool(library).version != SearchTool(other).version
    (tmp_path / "a.txt").write_text("Bananas.")
    before = SearchTool(other).version
    other.index()
    assert SearchTool(other).version != before
    assert PickTool(library.embedder).version != AskTool(library.embedder).version
    assert ImageTool([SAMPLES]).version is None


def test_a_stopped_run_stops_tools(library: Library) -> None:
    context = CallContext()
    context.cancelled.set()
    for call in (
        lambda: SearchTool(library)(context, "x"),
        lambda: ImageSearchTool(library)(context, "x"),
        lambda: ImageTool([SAMPLES])(context, "x"),
        lambda: PickTool()(context, Images(), "x"),
        lambda: AskTool()(context, Evidence(), "x"),
    ):
        with pytest.raises(Cancelled):
            call()


# ---- image ----


def test_image_with_the_caption_beside_it() -> None:
    handle = ImageTool([SAMPLES / "images"])(CONTEXT, "orange-dahlia.jpg")
    assert handle.title == "Orange ball dahlia"
    assert handle.caption.startswith("An orange ball dahlia")


def test_image_without_a_caption(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "my_old-castle.png")
    (tmp_path / "my_old-castle.txt").symlink_to("/etc/hostname")
    handle = ImageTool([tmp_path])(CONTEXT, "my_old-castle.png")
    assert (handle.title, handle.caption) == ("my old castle", "my old castle")


def test_image_outside(tmp_path: Path) -> None:
    with pytest.raises(ImageProblem) as caught:
        ImageTool([tmp_path])(CONTEXT, "../../etc/passwd")
    assert caught.value.code == "GP412"


# ---- pick ----


def _candidates(*captions: str) -> Images:
    return Images(tuple(ImageHandle(f"/{n}.png", "", 1, 1, caption=c) for n, c in enumerate(captions)))


def test_pick_takes_the_best_caption(embedder: Embedder | None) -> None:
    images = _candidates("A tower by night.", "A tower at golden hour, seen from below.", "A bridge at noon.")
    assert PickTool(embedder)(CONTEXT, images, "the tower at golden hour").path == "/1.png"


def test_pick_takes_the_first_of_equals_and_when_nothing_fits(embedder: Embedder | None) -> None:
    images = _candidates("A red tower.", "A red tower.", "A bridge.")
    assert PickTool(embedder)(CONTEXT, images, "red tower").path == "/0.png"
    assert PickTool(embedder)(CONTEXT, images, "quantum chromodynamics").path == "/0.png"


def test_pick_without_candidates(embedder: Embedder | None) -> None:
    with pytest.raises(AuthorError, match="no candidates") as caught:
        PickTool(embedder)(CONTEXT, Images(), "tower")
    assert caught.value.code == "GP525"


# ---- ask ----


@pytest.mark.parametrize(
    ("query", "question", "part"),
    [
        ("Falcon 9 launch", "When and where did the rocket lift off?", "On 11 February 2015"),
        (
            "English bond",
            "How do courses alternate in English bond?",
            "courses of stretchers and courses of headers",
        ),
        ("tabby coat pattern", "Which mark does a tabby carry on its forehead?", "the letter M"),
        (
            "ancient coins struck",
            "Why are ancient coins not quite round?",
            "every blow fell a little differently",
        ),
        ("dahlia forms", "What does a ball dahlia look like?", "A ball dahlia is a globe of florets"),
    ],
)
def test_ask_quotes_the_sentence_that_answers(library: Library, query: str, question: str, part: str) -> None:
    evidence = SearchTool(library)(CONTEXT, query)
    tool = AskTool(library.embedder)
    answer = tool(CONTEXT, evidence, question)
    assert part in answer
    assert len(answer) <= LONGEST
    assert "\n" not in answer
    assert answer == tool(CONTEXT, evidence, question)


def test_ask_says_when_the_evidence_does_not_answer(library: Library) -> None:
    evidence = SearchTool(library)(CONTEXT, "Falcon 9 launch")
    with pytest.raises(AuthorError, match="does not answer 'What does butter cost"):
        AskTool(library.embedder)(CONTEXT, evidence, "What does butter cost in Norway?")


def test_ask_without_evidence(embedder: Embedder | None) -> None:
    with pytest.raises(AuthorError, match="no evidence") as caught:
        AskTool(embedder)(CONTEXT, Evidence(), "Why?")
    assert caught.value.code == "GP525"


def test_answers_are_bounded(embedder: Embedder | None) -> None:
    evidence = Evidence(tuple(Snippet("Towers " + f"tower {n} " * 120 + "end.") for n in range(9)))
    answer = AskTool(embedder)(CONTEXT, evidence, "Which tower?")
    assert 0 < len(answer) <= LONGEST
