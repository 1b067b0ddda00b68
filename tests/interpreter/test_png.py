"""Programs inside pictures: written, read back, and refused when the file is not what it should be."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from genevolve.grammar.errors import AuthorError
from genevolve.grammar.z import Constraint, Reference, Settings, Z
from genevolve.interpreter.png import extract, png_bytes

PROGRAM = 'request "Zwei Bälle — 两个球"\nprompt "two balls"\n'
FULL = Z(
    "Zwei Bälle",
    "two balls 两个球",
    "blur",
    (Reference(1, "ball", "the seams", "a" * 64, "IMG_001", "Ball"),),
    Settings(640, 480, 20, 4.0, 7),
    (Constraint("count", {"what": "ball", "operator": "==", "n": 2}),),
    ("quantity_counting",),
)


def picture(mode: str = "RGB", size: tuple[int, int] = (9, 7)) -> Image.Image:
    return Image.linear_gradient("L").resize(size).convert(mode)


def chunk(kind: bytes, body: bytes, crc: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def png_with(*chunks: bytes) -> bytes:
    plain = png_bytes(picture(), PROGRAM, FULL, "1")
    header = plain[:33]  # signature and IHDR
    return header + b"".join(chunks) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr"])
def test_round_trip_in_every_mode(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(png_bytes(picture(mode), PROGRAM, FULL, "1.2"))
    program, z = extract(file)
    assert program == PROGRAM
    assert z.to_json() == FULL.to_json()
    with Image.open(file) as image:
        image.load()
        assert image.text["genevolve.version"] == "1.2"


def test_same_input_same_bytes_and_nothing_else_inside(tmp_path: Path) -> None:
    image = picture()
    image.info.update({"date": "today", "exif": b"Exif\0\0camera", "comment": "private"})
    assert png_bytes(image, PROGRAM, FULL, "1") == png_bytes(image.copy(), PROGRAM, FULL, "1")
    data = png_bytes(image, PROGRAM, FULL, "1")
    assert b"camera" not in data
    assert b"private" not in data
    assert image.info["comment"] == "private", "the given picture stays as it was"


def test_transparency_of_a_palette_is_kept(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.info["transparency"] = 0
    file = tmp_path / "p.png"
    file.write_bytes(png_bytes(image, PROGRAM, FULL, "1"))
    with Image.open(file) as back:
        assert back.convert("RGBA").getpixel((0, 0))[3] == 0


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back(tmp_path: Path, text: str) -> None:
    file = tmp_path / "any.png"
    file.write_bytes(png_bytes(picture(), text, Z("r", text or "p"), "1"))
    assert extract(file) == (text, Z("r", text or "p"))


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "packed iTXt"])
def test_texts_as_other_tools_write_them(tmp_path: Path, kind: str) -> None:
    z = Z("r", "p")
    entries = [("genevolve.program", "request"), ("genevolve.z", z.to_json())]
    info = PngInfo()
    for key, text in entries:
        if kind.endswith("iTXt"):
            info.add_itxt(key, text, zip=kind.startswith("packed"))
        else:
            info.add_text(key, text, zip=kind == "zTXt")
    file = tmp_path / "b.png"
    picture().save(file, pnginfo=info)
    assert extract(file) == ("request", z)


def test_a_picture_without_a_program(tmp_path: Path) -> None:
    file = tmp_path / "plain.png"
    picture().save(file)
    with pytest.raises(AuthorError, match="carries no genevolve program"):
        extract(file)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(AuthorError, match="does not exist"):
        extract(tmp_path / "none.png")


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"GIF89a....", b"\xff\xd8\xff\xe0" + b"x" * 50])
def test_what_is_no_png(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "c.png"
    file.write_bytes(data)
    with pytest.raises(AuthorError, match="not a PNG"):
        extract(file)


def test_every_truncation_is_told(tmp_path: Path) -> None:
    whole = png_bytes(picture(), PROGRAM, FULL, "1")
    file = tmp_path / "d.png"
    for cut in range(8, len(whole) - 12, 7):
        file.write_bytes(whole[:cut])
        with pytest.raises(AuthorError, match=r"cut short|not a PNG"):
            extract(file)


def test_decompression_bombs_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "bomb.png"
    bomb = zlib.compress(b"A" * 50_000_000, 9)
    file.write_bytes(png_with(chunk(b"zTXt", b"genevolve.program\0\0" + bomb)))
    with pytest.raises(AuthorError, match="unpacks to more than"):
        extract(file)
    file.write_bytes(png_with(chunk(b"iTXt", b"genevolve.z\0\x01\0\0\0" + bomb)))
    with pytest.raises(AuthorError, match="unpacks to more than"):
        extract(file)


def test_a_huge_length_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "huge.png"
    file.write_bytes(png_with()[:33] + struct.pack(">I4s", 0xFFFFFFFF, b"tEXt") + b"x")
    with pytest.raises(AuthorError, match="4,294,967,295 bytes"):
        extract(file)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([chunk(b"tEXt", b"genevolve.program\0request", crc=1)], "checksum"),
        ([chunk(b"zTXt", b"genevolve.program\0\0not zlib")], "cannot be unpacked"),
        ([chunk(b"zTXt", b"genevolve.program\0\0" + zlib.compress(b"x" * 99)[:-6])], "cut short"),
        ([chunk(b"iTXt", b"genevolve.program\0")], "malformed"),
        ([chunk(b"iTXt", b"genevolve.program\0\0\0\0\0\xff\xfe")], "not UTF-8"),
        ([chunk(b"tEXt", b"genevolve.program\0r"), chunk(b"tEXt", b"genevolve.z\0{")], "the z in"),
        (
            [chunk(b"tEXt", b"genevolve.program\0r"), chunk(b"tEXt", b"genevolve.z\0" + b"[" * 100_000)],
            "the z in",
        ),
        ([chunk(b"tEXt", b"genevolve.program\0r"), chunk(b"tEXt", b'genevolve.z\0{"schema":"x"}')], "schema"),
    ],
)
def test_damaged_texts(tmp_path: Path, chunks: list[bytes], message: str) -> None:
    file = tmp_path / "e.png"
    file.write_bytes(png_with(*chunks))
    with pytest.raises(AuthorError, match=message):
        extract(file)


@given(st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_flipped_bytes_end_in_our_errors_or_in_the_truth(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(png_bytes(picture(), PROGRAM, FULL, "1"))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path / "f.png"
    file.write_bytes(bytes(whole))
    try:
        program, _ = extract(file)
    except AuthorError:
        return
    assert program == PROGRAM
