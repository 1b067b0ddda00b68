"""The picture itself: counted, coloured and placed things, told from pixels and compared with the boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from storyboard_scenes import boxes, draw, extent, handle, patches, photograph, scene

from genevolve.interpreter.renderers.storyboard import lexicon as lex
from genevolve.interpreter.renderers.storyboard.arrange import grid
from genevolve.interpreter.renderers.storyboard.icons import ICONS, sprite
from genevolve.interpreter.renderers.storyboard.scene import Box


@pytest.mark.parametrize("noun", ["ball", "star", "heart", "cube", "coin", "umbrella", "vase", "key"])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 12, 29, 50])
def test_counted_things_are_as_many_patches_of_their_colour(noun: str, n: int) -> None:
    plural = noun + "s"
    rendering = draw(
        f"Exactly {n} fuchsia {plural if n > 1 else noun} on a white background.", size=(640, 640)
    )
    main = lex.COLOURS["fuchsia"]
    assert len(boxes(rendering, noun)) == n
    assert patches(rendering.image, main) == n


@pytest.mark.parametrize(
    "background", ["on a beach at sunset", "in a forest at night", "in a city street", "in a room"]
)
def test_counts_hold_on_every_ground(background: str) -> None:
    rendering = draw(f"Exactly 9 magenta balls {background}.", size=(700, 500))
    assert patches(rendering.image, lex.COLOURS["magenta"], exact=True) == 9


def test_counts_hold_over_a_photograph(tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    Image.fromarray(np.random.default_rng(3).integers(60, 200, (300, 400), dtype=np.uint8)).convert(
        "RGB"
    ).save(grey)
    prompt = "Exactly 5 fuchsia balls stand in front of the wall from the first reference image."
    rendering = draw(prompt, references=[handle(grey)])
    assert patches(rendering.image, lex.COLOURS["fuchsia"], exact=True) == 5


def test_two_groups_keep_their_colours_and_numbers() -> None:
    rendering = draw("Four fuchsia balls and six cyan balls.")
    assert patches(rendering.image, lex.COLOURS["fuchsia"]) == 4
    assert patches(rendering.image, lex.COLOURS["cyan"]) == 6


def test_required_colours_of_single_items_are_seen_left_and_right() -> None:
    rules = [
        ("attribute", {"what": "left panel", "value": "red"}),
        ("attribute", {"what": "right panel", "value": "blue"}),
    ]
    rendering = draw("Two panels stand side by side.", require=rules)
    for box, colour in zip(boxes(rendering, "panel"), ("red", "blue"), strict=True):
        middle = rendering.image.getpixel((round((box[0] + box[2]) / 2), round((box[1] + box[3]) / 2)))
        assert middle == lex.COLOURS[colour]


def test_copies_never_overlap_and_stay_inside() -> None:
    rendering = draw("Exactly 37 cats, 12 trees and eight stars.")
    width, height = rendering.image.size
    for noun in ("cat", "tree", "star"):
        found = [Box(*b) for b in boxes(rendering, noun)]
        for i, a in enumerate(found):
            assert a.x0 >= 0
            assert a.y0 >= 0
            assert a.x1 <= width
            assert a.y1 <= height
            assert not any(a.inset(0.2).overlaps(b) for b in found[i + 1 :])


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 10, 11, 24, 50, 99, 120])
@pytest.mark.parametrize("aspect", [0.3, 1.0, 3.2])
@pytest.mark.parametrize("cell", [Box(0, 0, 400, 100), Box(10, 20, 60, 500), Box(0, 0, 300, 300)])
def test_grids_fill_their_cell_without_leaving_it(n: int, aspect: float, cell: Box) -> None:
    found = grid(n, aspect, cell, cell.height, "base")
    assert len(found) == n
    for box in found:
        assert box.x0 >= cell.x0 - 0.5
        assert box.x1 <= cell.x1 + 0.5
        assert box.y0 >= cell.y0 - 0.5
        assert box.y1 <= cell.y1 + 0.5
        assert box.width == pytest.approx(box.height * aspect)
    assert len({round(b.y0) for b in found}) >= n / 10


def test_rows_are_kept_when_the_prompt_gives_them() -> None:
    found = boxes(draw("Exactly 12 coins in 3 rows of 4."), "coin")
    assert len({round(b[1]) for b in found}) == 3


@pytest.mark.parametrize(
    ("prompt", "a", "b", "holds"),
    [
        ("A red cup left of a vase.", "cup", "vase", lambda a, b: a[2] <= b[0]),
        ("A cup to the right of a vase.", "cup", "vase", lambda a, b: a[0] >= b[2]),
        ("A clock above a bed.", "clock", "bed", lambda a, b: a[3] <= b[1] + 2),
        ("A rug below a lamp.", "rug", "lamp", lambda a, b: a[1] >= b[3] - 2),
        (
            "A cat on a chair.",
            "cat",
            "chair",
            lambda a, b: b[1] < a[3] < b[3] and a[0] < b[2] and b[0] < a[2],
        ),
        ("A man in front of a house.", "man", "house", lambda a, b: a[3] >= b[3] and a[1] > b[1]),
        ("Three apples in a bowl.", "apple", "bowl", lambda a, b: a[3] > b[1] and a[1] < b[1]),
        ("A tree behind a bench.", "tree", "bench", lambda a, b: a[3] <= b[3]),
        ("Two dogs in the lower third.", "dog", "dog", lambda a, _: a[1] >= 768 * 2 / 3 - 1),
        ("A lighthouse on the right.", "lighthouse", "lighthouse", lambda a, _: a[0] >= 768 * 0.55),
        ("A sun in the top left corner.", "sun", "sun", lambda a, _: a[2] <= 768 * 0.4 and a[3] <= 768 * 0.4),
    ],
)
def test_relations_and_places_hold_in_the_boxes(prompt: str, a: str, b: str, holds: object) -> None:
    rendering = draw(prompt)
    assert callable(holds)
    assert holds(extent(rendering, a), extent(rendering, b)), scene(rendering)["things"]
    assert not [n for n in rendering.notes if "could not be put" in n]


def test_between_stands_between() -> None:
    rendering = draw("A dog sits between a tree and a bench.")
    tree, dog, bench = (extent(rendering, n) for n in ("tree", "dog", "bench"))
    assert tree[2] <= dog[0]
    assert dog[2] <= bench[0]


def test_contradictory_relations_are_noted_not_hidden() -> None:
    rules = [
        ("relation", {"a": "cat", "relation": "left_of", "b": "dog"}),
        ("relation", {"a": "dog", "relation": "left_of", "b": "cup"}),
        ("relation", {"a": "cup", "relation": "left_of", "b": "cat"}),
    ]
    assert any("could not be put" in n for n in draw("A cat, a dog and a cup.", require=rules).notes)


def test_side_by_side_panels_are_of_equal_width(tmp_path: Path) -> None:
    pair = [photograph(tmp_path / "a.png", (900, 300)), photograph(tmp_path / "b.png", (300, 500), seed=2)]
    prompt = "The first and second reference images stand side by side at equal width."
    left, right = scene(draw(prompt, references=pair, size=(1000, 600)))["references"]
    assert left["box"][2] - left["box"][0] == pytest.approx(right["box"][2] - right["box"][0], abs=0.2)
    assert left["box"][2] < right["box"][0]
    assert left["box"][1] == right["box"][1]


def test_a_reference_is_seen_where_the_prompt_puts_it(tmp_path: Path) -> None:
    path = tmp_path / "blue.png"
    Image.new("RGB", (300, 300), (10, 20, 240)).save(path)
    rendering = draw(
        "The lake from the first reference image on the right. A cat on the left.", references=[handle(path)]
    )
    pixels = np.asarray(rendering.image).astype(int)
    blue = (np.abs(pixels - (10, 20, 240)) < 12).all(axis=2)
    ys, xs = np.nonzero(blue)
    assert blue.mean() > 0.05
    assert xs.min() > 0.5 * rendering.image.width
    (reference,) = scene(rendering)["references"]
    x0, y0, x1, y1 = reference["box"]
    assert x0 <= xs.min() <= xs.max() <= x1
    assert y0 <= ys.min() <= ys.max() <= y1


def test_orientation_in_the_file_is_honoured(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    image = Image.new("RGB", (200, 100), (250, 250, 250))
    image.paste((230, 20, 20), (0, 0, 100, 100))
    exif = Image.Exif()
    exif[274] = 6  # shown after a quarter turn clockwise: the red half is above
    image.save(path, exif=exif, quality=95)
    shown = draw(
        "The first reference image fills the frame.", references=[handle(path)], size=(200, 400)
    ).image
    above, below = shown.getpixel((100, 60)), shown.getpixel((100, 340))
    assert isinstance(above, tuple)
    assert isinstance(below, tuple)
    assert above[1] < 80
    assert below[1] > 200


@pytest.mark.parametrize("name", sorted(ICONS))
def test_every_pictogram_shows_its_colour_and_stays_inside_its_sprite(name: str) -> None:
    icon = ICONS[name]
    figure = sprite(name, 120, (200, 40, 160))
    pixels = np.asarray(figure).astype(int)
    assert figure.height == 120
    assert abs(figure.width - 120 * icon.aspect) <= 1
    drawn = pixels[..., 3] > 128
    assert 0.06 < drawn.mean() < 0.99
    purple = drawn & (pixels[..., 0] > pixels[..., 1] + 25) & (pixels[..., 2] > pixels[..., 1] + 15)
    assert purple.sum() > 0.04 * drawn.sum()
    edge = np.concatenate([pixels[:, 0, 3], pixels[:, -1, 3]])
    assert (edge > 128).mean() < 0.6
