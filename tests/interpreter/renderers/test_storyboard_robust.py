"""Whatever comes in, a picture or one of our own errors comes out, always the same and in bounded time."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from storyboard_scenes import boxes, draw, handle, make_z, photograph, renderer, scene

from genevolve.grammar.errors import AuthorError, Cancelled, ConfigurationError, ServiceError
from genevolve.grammar.z import Constraint, Settings, Z
from genevolve.interpreter.protocols import CallContext, Renderer
from genevolve.interpreter.renderers.storyboard import StoryboardRenderer
from genevolve.interpreter.renderers.storyboard.scene import Box
from genevolve.interpreter.renderers.storyboard.typeset import FONTS
from genevolve.interpreter.values import ImageHandle

GOLDEN = Path(__file__).parent / "storyboard_layouts.json"

PROMPTS = {
    "cover": 'Exactly 2 backpackers stand in the lower third. The title "PARIS" runs across the top.',
    "still_life": "Two red cups stand left of a blue vase on a wooden table.",
    "groups": "On the left side a white vase with five red roses. On the right side three yellow balls.",
    "between": "A dog sits between a tree and a bench. Six birds fly in the sky.",
    "sign": 'A wooden sign on the right reads "OPEN".',
    "menu": 'A menu card. Near the top "ESPRESSO". In the centre "SINGLE 2.40". At the bottom "Mill Lane".',
}


@pytest.mark.parametrize("name", PROMPTS)
def test_layouts_are_as_they_were(name: str, update_golden: bool) -> None:
    """Boxes in pixels, two pixels of freedom for other builds of the font library."""
    found = scene(draw(PROMPTS[name]))
    known: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    if update_golden:
        known[name] = {"things": found["things"], "texts": found["texts"]}
        GOLDEN.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for kind in ("things", "texts"):
        assert len(found[kind]) == len(known[name][kind])
        for mine, golden in zip(found[kind], known[name][kind], strict=True):
            assert mine.get("noun", mine.get("value")) == golden.get("noun", golden.get("value"))
            assert mine["box"] == pytest.approx(golden["box"], abs=2)


def test_it_is_a_renderer_and_its_version_names_its_fonts(tmp_path: Path) -> None:
    plain = StoryboardRenderer()
    assert isinstance(plain, Renderer)
    assert plain.name == "storyboard"
    font = FONTS / "SourceSansPro-Bold.ttf"
    assert StoryboardRenderer([font]).version != plain.version
    assert StoryboardRenderer().version == plain.version
    with pytest.raises(ConfigurationError):
        StoryboardRenderer([tmp_path / "none.ttf"])


@pytest.mark.parametrize("name", PROMPTS)
def test_the_same_z_gives_the_same_pixels(name: str, tmp_path: Path) -> None:
    references = [photograph(tmp_path / "a.png")] if name == "cover" else []
    first, second = (draw(PROMPTS[name], references=references) for _ in range(2))
    assert first.image.tobytes() == second.image.tobytes()
    assert first.notes == second.notes
    assert first.info == second.info


def test_the_seed_changes_only_the_background() -> None:
    a, b = draw("A house in a meadow.", seed=1), draw("A house in a meadow.", seed=2)
    assert a.info == b.info
    assert a.image.tobytes() != b.image.tobytes()


@pytest.mark.parametrize("size", [(64, 64), (64, 4096), (4096, 64), (4096, 4096), (333, 777)])
def test_every_size_is_drawn(size: tuple[int, int], tmp_path: Path) -> None:
    prompt = 'Three cats on a table. The cup from the first reference image. "TITLE" at the top.'
    rendering = draw(prompt, size=size, references=[photograph(tmp_path / "a.png")])
    assert rendering.image.size == size
    assert rendering.image.mode == "RGB"
    for kind in ("things", "texts", "references"):
        for found in scene(rendering)[kind]:
            x0, y0, x1, y1 = found["box"]
            assert x1 >= x0
            assert y1 >= y0


@pytest.mark.parametrize("size", [(8, 8), (20_000, 100), (0, 0)])
def test_impossible_sizes_are_refused(size: tuple[int, int]) -> None:
    z = Z("r", "A cat.", settings=Settings(*size))
    assert len(renderer().refusals(z)) == 1
    with pytest.raises(AuthorError):
        renderer().render(CallContext(), z, [])


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "   \n\n  ",
        "a" * 20_000,
        "two cats left of a dog on a table, " * 600,
        " ".join(f'"text {n}"' for n in range(1000)),
        '"' * 5_000,
        "“" * 5_000,
        "exactly " * 3_000,
        "the first reference image " * 800,
        "in the left of the right of the top of " * 400,
        "a cat on a chair on a table on a boat on a bed on a bench on a car on a horse on a rock on a book.",
        "999999 cats and 0 dogs and 1000000000000 birds.",
        "صورة لقطة على طاولة مع عنوان «مرحبا»",
        "🐈🐕 \ud800 \u202e desrever \x00 \x1b[31m",
        'A cat\r\nA dog\r\n"\r\n"',
        "'tis the cats' meow, rock 'n' roll",
    ],
    ids=range(16),
)
def test_strange_prompts_are_drawn(prompt: str) -> None:
    rendering = draw(prompt, size=(256, 256))
    assert rendering.image.size == (256, 256)
    json.dumps(rendering.info)


def test_a_thousand_texts_are_bounded_and_counted_in_the_notes() -> None:
    rendering = draw(" ".join(f'"text {n}"' for n in range(1000)))
    shown = len(scene(rendering)["texts"])
    noted = sum("No room is left for the text" in n for n in rendering.notes)
    assert shown + noted == 24
    assert any("976 more texts" in n for n in rendering.notes)


def test_more_copies_than_can_be_counted_are_bounded_and_noted() -> None:
    rendering = draw("Exactly 5000 birds.")
    assert len(boxes(rendering, "bird")) == 120
    assert any("5000" in n and "120" in n for n in rendering.notes)


def test_things_without_a_pictogram_are_labelled_and_noted() -> None:
    rendering = draw("Three red trombones stand on the left.")
    assert len(boxes(rendering, "trombone")) == 3
    assert any("trombone" in n for n in rendering.notes)


def test_five_references_of_odd_shapes(tmp_path: Path) -> None:
    shapes = [(1, 5000), (5000, 1), (1, 1), (700, 300), (33, 900)]
    handles = []
    for n, size in enumerate(shapes):
        path = tmp_path / f"{n}.png"
        Image.new("RGB", size, (40 * n, 90, 200)).save(path)
        handles.append(handle(path))
    names = ["first", "second", "third", "fourth", "fifth"]
    prompt = " ".join(f"The thing from the {n} reference image." for n in names)
    rendering = draw(prompt, references=handles)
    assert [r["ordinal"] for r in scene(rendering)["references"]] == [1, 2, 3, 4, 5]


def test_transparent_references_are_shown_on_white(tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    Image.new("RGBA", (100, 100), (255, 0, 0, 0)).save(path)
    shown = draw(
        "The first reference image fills the frame.", references=[handle(path)], size=(128, 128)
    ).image
    assert shown.getpixel((64, 64)) == (255, 255, 255)


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty", "gone", "changed"])
def test_broken_references_are_our_errors(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    good = photograph(path)
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
        broken = good
    elif damage == "changed":
        Image.new("RGB", (5, 5)).save(path)
        broken = good
    else:
        path.write_bytes(
            {"cut": data[: len(data) // 2], "garbage": b"\x89PNG" + data[200:400], "empty": b""}[damage]
        )
        import hashlib

        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        broken = ImageHandle(str(path), digest, good.width, good.height)
    with pytest.raises((AuthorError, ServiceError)):
        draw("The first reference image.", references=[broken])


def test_the_number_of_references_must_be_that_of_z(tmp_path: Path) -> None:
    picture = photograph(tmp_path / "a.png")
    z = make_z("The first reference image.", references=[picture])
    with pytest.raises(AuthorError):
        renderer().render(CallContext(), z, [])


def test_a_stopped_run_stops() -> None:
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(Cancelled):
        renderer().render(CallContext(cancelled=stopped), make_z("A cat."), [])


_VOCABULARY = """
a the two exactly 7 red wooden large cat cats vase table sign tower backpackers stars left of right above on in
front between and , . ; : with without no one other from the first reference image second top bottom lower third
centre corner "HELLO" "two words" title reads says bold serif letters golden hour night beach wearing hat jacket
holds it they its like across background foreground fills half rows is are
"""
_WORDS = st.sampled_from([*_VOCABULARY.split(), "\n\n"])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(words=st.lists(_WORDS, max_size=60), size=st.sampled_from([(96, 96), (200, 64), (64, 160)]))
def test_any_sequence_of_known_words_is_drawn(words: list[str], size: tuple[int, int]) -> None:
    rendering = draw(" ".join(words), size=size)
    assert rendering.image.size == size
    assert all(isinstance(n, str) and n for n in rendering.notes)
    json.dumps(rendering.info)


_SCALARS = st.one_of(st.text(max_size=30), st.integers(-5, 200), st.booleans(), st.floats(allow_nan=False))
_RULES = st.builds(
    Constraint,
    st.sampled_from(["text", "count", "attribute", "relation", "resembles", "other"]),
    st.dictionaries(
        st.sampled_from(["value", "at", "what", "operator", "n", "a", "b", "relation", "ref"]),
        _SCALARS,
        max_size=5,
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(prompt=st.text(max_size=300), rules=st.lists(_RULES, max_size=4), seed=st.integers(0, 2**63 - 1))
def test_any_text_and_any_constraints_are_drawn(prompt: str, rules: list[Constraint], seed: int) -> None:
    z = Z("r", prompt, settings=Settings(80, 80, seed=seed), constraints=tuple(rules))
    rendering = renderer().render(CallContext(), z, [])
    assert rendering.image.size == (80, 80)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    words=st.lists(_WORDS, max_size=40),
    noun=st.sampled_from(["cat", "vase", "star", "table", "umbrella", "backpacker"]),
    n=st.integers(0, 60),
)
def test_required_counts_are_drawn_whatever_the_prompt_says(words: list[str], noun: str, n: int) -> None:
    rule = ("count", {"what": noun, "operator": "==", "n": n})
    rendering = draw(" ".join(words), require=[rule], size=(200, 200))
    assert len([t for t in scene(rendering)["things"] if t["noun"].split(" ")[-1] == noun]) == n


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(words=st.lists(_WORDS, max_size=60), size=st.sampled_from([(300, 300), (600, 200), (200, 600)]))
def test_texts_on_the_canvas_never_overlap(words: list[str], size: tuple[int, int]) -> None:
    rendering = draw(" ".join(words), size=size)
    found = [Box(*t["box"]) for t in scene(rendering)["texts"] if t["on"] is None]
    for i, a in enumerate(found):
        assert a.x0 >= 0
        assert a.x1 <= size[0]
        assert a.y0 >= 0
        assert a.y1 <= size[1]
        assert not any(a.inset(0.5).overlaps(b) for b in found[i + 1 :])
