"""Pictures of strangers: known by decoding, kept as pixels only."""

from __future__ import annotations

import io

import pytest
from pictures import SVG, encoded, marked, picture, png_bomb, scans_bomb
from PIL import Image

from genevolve.interpreter.net.errors import FetchError
from genevolve.interpreter.net.pixels import reencode

MANY = 10_000_000


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_only_pixels_are_kept(kind: str) -> None:
    data = marked(kind)
    assert b"PRIVATE-METADATA" in data
    result = reencode(data, "x", MANY)
    assert b"PRIVATE" not in result.data
    assert b"<?php" not in result.data
    image = opened(result.data)
    assert image.info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert not image.getexif()
    # EXIF said that it lies on its side.
    assert image.size == (12, 20) == (result.width, result.height)
    r, g, b = image.convert("RGB").getpixel((3, 3))  # type: ignore[misc]
    assert r > 240
    assert max(g, b) < 15


def test_jpeg_stays_jpeg_and_the_rest_becomes_png() -> None:
    assert reencode(picture("JPEG"), "x", MANY).media_type == "image/jpeg"
    assert reencode(picture("WEBP"), "x", MANY).media_type == "image/png"
    assert reencode(picture("GIF"), "x", MANY).media_type == "image/png"


def test_transparency_is_kept() -> None:
    data = encoded(Image.new("RGBA", (4, 4), (10, 20, 30, 77)))
    assert opened(reencode(data, "x", MANY).data).getpixel((0, 0)) == (10, 20, 30, 77)


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "blue", "green")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    result = opened(reencode(data, "x", MANY).data)
    assert result.convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def test_a_cmyk_jpeg_is_made_rgb() -> None:
    assert opened(reencode(encoded(Image.new("CMYK", (8, 8)), "JPEG"), "x", MANY).data).mode == "RGB"


@pytest.mark.parametrize(
    ("data", "reason", "told"),
    [
        (b"", "type", "it is empty"),
        (SVG, "type", "web page or XML"),
        (b"<!DOCTYPE html><p>no", "type", "web page or XML"),
        (b'{"error": 1}', "type", "JSON"),
        (b"%PDF-1.7", "type", "begins with"),
        (picture("BMP"), "type", "begins with"),
        (picture("TIFF"), "type", "begins with"),
        (picture("PNG", (300, 300))[:-40], "decode", "damaged"),
        (picture("JPEG", (300, 300))[:400], "decode", "damaged"),
        (png_bomb(30_000, 30_000), "pixels", "too many pixels"),
        (png_bomb(4_000_000, 2), "pixels", "4000000x2"),
        (scans_bomb(300), "pixels", "scans"),
    ],
)
def test_what_is_no_good_is_refused_with_the_reason(data: bytes, reason: str, told: str) -> None:
    with pytest.raises(FetchError) as caught:
        reencode(data, "x", MANY)
    assert caught.value.reason == reason
    assert told in str(caught.value)
    assert not caught.value.retryable


def test_the_pixel_limit_is_exact() -> None:
    data = picture("PNG", (100, 100))
    assert reencode(data, "x", 10_000).width == 100
    with pytest.raises(FetchError, match="pixels"):
        reencode(data, "x", 9_999)
