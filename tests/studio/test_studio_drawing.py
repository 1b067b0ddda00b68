import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from genevolve.interpreter.studio.drawing import digest, draw
from genevolve.interpreter.studio.layout import lay_out
from genevolve.interpreter.studio.palette import COLOURS, GROUNDS, LIGHTS, LOOK_COLOURS, lit, nearest
from genevolve.interpreter.studio.scene import (
    CREATURES,
    FIGURES,
    LOOK_NOUNS,
    MATERIALS,
    NOUNS,
    OUTLINES,
    PATTERNS,
    SKINS,
    STYLES,
    SURFACES,
    Lettering,
    Look,
    Scene,
    Thing,
)
from genevolve.interpreter.studio.shapes import masks
from genevolve.interpreter.studio.sight import see

SCENE = Scene(
    things=(
        Thing("emblem", look=Look("shield", "red", "white", "chevron", "key")),
        Thing("star", count=4, place="top"),
    ),
    letterings=(Lettering("HARBOUR DAYS", "bottom"),),
    light="dusk",
    style="watercolour",
)


def pixels(scene: Scene) -> NDArray[np.float64]:
    return np.asarray(draw(scene)).astype(float)


def crop(scene: Scene, index: int = 0) -> NDArray[np.float64]:
    box = lay_out(scene).copies[index].box
    return pixels(scene)[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]


def test_the_same_scene_is_the_same_bytes_in_another_process() -> None:
    program = (
        "import sys, json\n"
        "from genevolve.interpreter.studio.scene import Scene\n"
        "from genevolve.interpreter.studio.drawing import digest, draw\n"
        "print(digest(draw(Scene.from_dict(json.loads(sys.stdin.read())))))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], input=SCENE.to_json(), capture_output=True, text=True, check=True
    ).stdout.strip()
    assert told == digest(draw(SCENE)) == digest(draw(SCENE))


@pytest.mark.parametrize("size", [(384, 384), (128, 128), (640, 384), (200, 512)])
def test_any_size_is_drawn(size: tuple[int, int]) -> None:
    image = draw(Scene(things=SCENE.things, letterings=SCENE.letterings, width=size[0], height=size[1]))
    assert image.size == size
    assert image.mode == "RGB"


def test_silhouettes_are_told_apart_at_thirty_pixels() -> None:
    names = [n for n in NOUNS if n != "emblem"]
    bodies = {n: masks(n, 30, CREATURES.get(n, 0)) for n in names}
    for i, a in enumerate(names):
        for b in names[:i]:
            difference = np.abs(bodies[a].body - bodies[b].body).sum() / 900
            details = np.abs(bodies[a].dark - bodies[b].dark).sum() / 900
            assert difference + details > 0.05, (a, b)


@pytest.mark.parametrize("noun", [n for n, legs in CREATURES.items() if legs])
@pytest.mark.parametrize("legs", range(1, 11))
def test_legs_can_be_counted(noun: str, legs: int) -> None:
    body = masks(noun, 75, legs).body > 0.5
    row = body[int(75 * 0.93)]
    assert int((np.diff(np.concatenate([[0], row.astype(int)])) == 1).sum()) == legs


@pytest.mark.parametrize("light", list(LIGHTS))
def test_the_colour_of_a_thing_is_seen_in_every_light(light: str) -> None:
    for colour in COLOURS:
        inside = crop(Scene(things=(Thing("heart", colour),), light=light, background="meadow"))
        middle = inside[inside.shape[0] // 3, inside.shape[1] // 2]
        assert nearest(tuple(int(v) for v in middle)) == colour


def test_lights_differ_in_brightness_hue_or_gradient() -> None:
    found = []
    for light in LIGHTS:
        field = pixels(Scene(light=light))
        top, bottom, corner = (
            field[:40].mean(axis=(0, 1)),
            field[-40:].mean(axis=(0, 1)),
            field[:20, :20].mean(),
        )
        found.append(np.array([*top, *bottom, field.mean(), corner]))
    assert all(np.abs(a - b).max() > 15 for i, a in enumerate(found) for b in found[:i])
    assert np.ptp(pixels(Scene(light="flat")), axis=(0, 1)).max() == 0


def test_styles_differ_in_texture() -> None:
    found = {}
    for style in STYLES:
        gray = pixels(Scene(light="day", style=style)).mean(axis=2)
        spectrum = np.abs(np.fft.rfft2(gray - gray.mean(axis=1, keepdims=True)))
        rings = [
            spectrum[:24].mean(),
            spectrum[24:80].mean(),
            spectrum[80:120].mean(),
            spectrum[120:190].mean(),
        ]
        found[style] = np.log1p([*rings, gray.std(axis=1).mean()])
    assert found["plain"].max() < 0.2
    names = list(found)
    assert all(np.abs(found[a] - found[b]).max() > 0.15 for i, a in enumerate(names) for b in names[:i])


def test_materials_and_skins_differ_from_paint_and_from_each_other() -> None:
    fields = [crop(Scene(things=(Thing("house", "blue", material=m),))) for m in MATERIALS]
    fields += [crop(Scene(things=(Thing("house", "blue", skin=s),))) for s in SKINS]
    assert all(np.abs(a - b).mean() > 4 for i, a in enumerate(fields) for b in fields[:i])


def test_the_contact_shadow_darkens_the_ground_under_a_thing() -> None:
    with_shadow, without = (Scene(things=(Thing("ball", shadow=s),), light="day") for s in (True, False))
    box = lay_out(without).copies[0].box
    strip = (slice(int(box.y1) - 2, int(box.y1) + 3), slice(int(box.x0) + 8, int(box.x0) + 20))
    assert pixels(without)[strip].mean() - pixels(with_shadow)[strip].mean() > 25


def test_shadows_fall_away_from_the_light() -> None:
    left, right = (
        pixels(Scene(things=(Thing("ball"),), light="day", light_from=side)) for side in ("left", "right")
    )
    box = lay_out(Scene(things=(Thing("ball"),))).copies[0].box
    y, beside = int(box.y1) - 3, slice(int(box.x1), int(box.x1) + 12)
    assert left[y, beside].mean() < right[y, beside].mean() - 20


def test_low_contrast_fades_things_and_letters() -> None:
    from dataclasses import replace

    faded = replace(SCENE, contrast=0.4)
    empty = replace(SCENE, things=(), letterings=())
    assert np.abs(pixels(faded) - pixels(empty)).mean() < 0.75 * np.abs(pixels(SCENE) - pixels(empty)).mean()


@pytest.mark.parametrize("surface", SURFACES)
def test_letters_are_drawn_dark_on_their_surface(surface: str) -> None:
    scene = Scene(letterings=(Lettering("OPEN", "top", surface),))
    box = lay_out(scene).letterings[0]
    area = pixels(scene)[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)].mean(axis=2)
    assert 0.03 < (area < 60).mean() < 0.5


def test_a_long_text_stays_inside_its_box() -> None:
    scene = Scene(
        letterings=(Lettering("W" * 28, "upper left", "none"), Lettering("A", "upper right", "none"))
    )
    ground = pixels(Scene())
    changed = np.abs(pixels(scene) - ground).max(axis=2) > 1
    box = lay_out(scene).letterings[0]
    outside = changed.copy()
    for b in lay_out(scene).letterings:
        outside[int(b.y0) - 1 : int(b.y1) + 2, int(b.x0) - 1 : int(b.x1) + 2] = False
    assert not outside.any()
    assert changed[:, int(box.x0) : int(box.x1)].any()


# Sight: looks are read back from pixels


def looks(noun: str) -> Iterator[Look]:
    for i in range(0, 36, 3):
        outline = OUTLINES[i % len(OUTLINES)] if noun == "emblem" else noun
        pattern = PATTERNS[1 + i % (len(PATTERNS) - 1)]
        first, second = LOOK_COLOURS[i % 11], LOOK_COLOURS[(i * 5 + 3) % 11]
        if first != second:
            yield Look(outline, first, second, pattern, FIGURES[(i * 7) % 12])


@pytest.mark.parametrize("noun", LOOK_NOUNS)
def test_a_look_is_read_from_its_picture(noun: str) -> None:
    for look in looks(noun):
        seen = see(draw(Scene(things=(Thing(noun, look=look, size="large"),), light="day")))
        assert [s.look for s in seen] == [look]


def test_all_looks_of_a_crowded_picture_are_seen() -> None:
    things = tuple(
        Thing("emblem", look=Look(o, "red", "blue", "halves", f), place=p)
        for o, f, p in zip(
            OUTLINES[:4], FIGURES, ("left", "right", "upper left", "lower right"), strict=False
        )
    )
    assert {s.look for s in see(draw(Scene(things=things, light="day")))} == {t.look for t in things}


def test_plain_things_have_no_look() -> None:
    seen = see(
        draw(
            Scene(
                things=(Thing("anchor", "green", size="large"), Thing("cup", "pink", place="left")),
                light="day",
            )
        )
    )
    assert {(s.noun, s.colour, s.look) for s in seen} == {("anchor", "green", None), ("cup", "pink", None)}


def test_sight_survives_any_picture() -> None:
    from PIL import Image

    chance = np.random.default_rng(0)
    for mode, size in (
        ("RGB", (64, 64)),
        ("RGB", (1, 1)),
        ("RGBA", (300, 40)),
        ("L", (900, 700)),
        ("RGB", (3, 500)),
    ):
        array = chance.integers(0, 255, (size[1], size[0], len(mode)), dtype=np.uint8).squeeze()
        image = Image.fromarray(
            array.reshape((size[1], size[0], len(mode)) if len(mode) > 1 else (size[1], size[0]))
        )
        assert isinstance(see(image), tuple)
    assert see(Image.new("RGB", (100, 100), "white")) == ()


def test_backgrounds_are_quiet() -> None:
    for ground in GROUNDS:
        for light in LIGHTS:
            field = pixels(Scene(background=ground, light=light))
            assert np.ptp(field, axis=2).max() < 90
            assert nearest_distance(field) > 45


def nearest_distance(field: NDArray[np.float64]) -> float:
    colours = np.array([lit(c, "flat") for c in COLOURS.values()], float)
    sample = field[::48, ::48].reshape(-1, 3)
    return np.sqrt(((sample[:, None] - colours[None]) ** 2).sum(-1)).min()
