"""Shared by the storyboard tests: building z by hand, references on disk, reading a picture back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from genevolve.grammar.z import Constraint, Reference, Scalar, Settings, Z
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.renderers.storyboard import StoryboardRenderer
from genevolve.interpreter.values import ImageHandle

Rule = tuple[str, Mapping[str, Scalar]]


@lru_cache(maxsize=1)
def renderer() -> StoryboardRenderer:
    return StoryboardRenderer()


@lru_cache(maxsize=1)
def engine() -> Any:
    """One OCR engine for the session, on one thread."""
    from rapidocr import RapidOCR

    settings = {"EngineConfig.onnxruntime.intra_op_num_threads": 1, "Global.log_level": "critical"}
    return RapidOCR(params=settings)


def make_z(
    prompt: str,
    *,
    require: Sequence[Rule] = (),
    size: tuple[int, int] = (768, 768),
    references: Sequence[ImageHandle] = (),
    seed: int = 0,
    notes: Sequence[str] = (),
) -> Z:
    named = tuple(
        Reference(n, f"ref{n}", notes[n - 1] if n <= len(notes) else "", h.sha256)
        for n, h in enumerate(references, start=1)
    )
    constraints = tuple(Constraint(kind, arguments) for kind, arguments in require)
    return Z("a request", prompt, "", named, Settings(*size, seed=seed), constraints)


def draw(prompt: str, *, references: Sequence[ImageHandle] = (), **given: Any) -> Rendering:
    z = make_z(prompt, references=references, **given)
    return renderer().render(CallContext(), z, references)


def handle(path: Path) -> ImageHandle:
    with Image.open(path) as image:
        width, height = image.size
    return ImageHandle(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), width, height)


def photograph(path: Path, size: tuple[int, int] = (600, 400), seed: int = 1) -> ImageHandle:
    """A busy picture: coloured blocks and noise, hard to read letters on."""
    rng = np.random.default_rng(seed)
    w, h = size
    blocks = rng.integers(0, 255, (max(1, h // 40), max(1, w // 40), 3), dtype=np.uint8)
    image = Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)
    noise = rng.integers(-30, 30, (h, w, 3))
    Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)).save(path)
    return handle(path)


def scene(rendering: Rendering) -> dict[str, Any]:
    found = rendering.info["scene"]
    assert isinstance(found, dict)
    return found


def boxes(rendering: Rendering, noun: str) -> list[list[float]]:
    """The boxes of all copies of a thing, in the order of their index."""
    return [t["box"] for t in scene(rendering)["things"] if t["noun"] == noun]


def extent(rendering: Rendering, noun: str) -> list[float]:
    found = boxes(rendering, noun)
    assert found, f"no {noun} was drawn: {scene(rendering)['things']}"
    return [
        min(b[0] for b in found), min(b[1] for b in found), max(b[2] for b in found), max(b[3] for b in found)
    ]  # fmt: skip


def patches(image: Image.Image, colour: tuple[int, int, int], *, exact: bool = False) -> int:
    """How many separate patches a picture shows of a colour, or of its hue with all lights and shades.

    Specks are left out.
    """
    from skimage.color import rgb2hsv
    from skimage.measure import label, regionprops

    if exact:
        near = (np.abs(np.asarray(image).astype(int) - np.array(colour)) <= 14).all(axis=2)
    else:
        hue = rgb2hsv(np.array([[colour]], dtype=np.uint8))[0, 0, 0]
        hsv = rgb2hsv(np.asarray(image))
        apart = np.abs(hsv[..., 0] - hue)
        near = (np.minimum(apart, 1 - apart) < 0.035) & (hsv[..., 1] > 0.25) & (hsv[..., 2] > 0.25)
    areas = [r.area for r in regionprops(label(near, connectivity=2))]
    return sum(1 for a in areas if a >= 0.25 * max(areas))


def read_back(image: Image.Image) -> str:
    """What the OCR engine reads, without spaces and in capitals, from top to bottom."""
    image = image.copy()
    image.thumbnail((1280, 1280))  # the engine breaks lines of very large letters into words
    result = engine()(np.asarray(image.convert("RGB"))[:, :, ::-1].copy())
    return "".join(result.txts or ()).replace(" ", "").upper()


def squeezed(text: str) -> str:
    return "".join(text.split()).upper()
