from __future__ import annotations

import hashlib
import os
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from genevolve.interpreter.images import ImageLimits, ImageProblem, inspect, load_pixels, open_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "program"
    found.mkdir()
    return found


def save(file: Path, size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, None).save(file, **options)  # type: ignore[arg-type]  # options of any encoder
    return file


def code(path: str, *allowed: Path, limits: ImageLimits | None = None) -> str | None:
    """The code of the problem that opening ends in."""
    with pytest.raises(ImageProblem) as caught:
        open_image(path, allowed, limits or ImageLimits())
    assert str(caught.value)
    return caught.value.code


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("a.png", "image/png"), ("a.jpg", "image/jpeg"), ("a.jpeg", "image/jpeg"), ("a.webp", "image/webp")],
)
def test_formats(folder: Path, name: str, media_type: str) -> None:
    file = save(folder / "sub" / name)
    handle = open_image(f"sub/{name}", [folder])
    assert (handle.width, handle.height, handle.media_type) == (40, 30, media_type)
    assert handle.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert handle.source == f"sub/{name}"
    assert handle.file == file.resolve()
    assert load_pixels(handle).size == (40, 30)


def test_the_type_is_decided_by_decoding(folder: Path) -> None:
    save(folder / "a.png").rename(folder / "a.txt")
    assert open_image("a.txt", [folder]).media_type == "image/png"
    Image.new("RGB", (4, 4)).save(folder / "b.png", "JPEG")
    assert open_image("b.png", [folder]).media_type == "image/jpeg"


def test_a_phones_jpeg_with_several_pictures(folder: Path) -> None:
    first, second = Image.new("RGB", (20, 10), "red"), Image.new("RGB", (20, 10), "blue")
    first.save(folder / "a.jpg", "MPO", save_all=True, append_images=[second])
    handle = open_image("a.jpg", [folder])
    assert handle.media_type == "image/jpeg"
    assert load_pixels(handle).getpixel((5, 5))[0] > 200  # type: ignore[index]  # RGB pixels are tuples


def test_relative_paths_start_from_the_first_folder_in_which_they_exist(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    save(other / "a.png", (1, 1))
    assert open_image("a.png", [folder, other]).width == 1
    save(folder / "a.png", (2, 2))
    assert open_image("a.png", [folder, other]).width == 2
    assert open_image("a.png", [other, folder]).width == 1
    assert open_image(str(other / "a.png"), [folder, other]).source == "a.png"
    assert open_image("../other/a.png", [folder, other]).width == 1


def test_nothing_outside_the_allowed_folders_is_opened(folder: Path, tmp_path: Path) -> None:
    outside = save(tmp_path / "secret.png")
    save(tmp_path / "program-evil/a.png")
    (folder / "link.png").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path)
    for path in (
        "../../etc/passwd",
        "/etc/passwd",
        "../secret.png",
        str(outside),
        "link.png",
        "up/secret.png",
        "../program-evil/a.png",
        "sub/../../secret.png",
        "/etc/no-such-file-here",
        "..",
        "/",
    ):
        assert code(path, folder) == "GP412", path
    assert code("a.png") == "GP412"


def test_a_link_within_is_followed(folder: Path) -> None:
    save(folder / "a.png")
    (folder / "b.png").symlink_to("a.png")
    assert open_image("b.png", [folder]).source == "a.png"


@pytest.mark.parametrize(
    "path", ["none.png", "", "  ", "a\0b.png", "x" * 5_000, "https://example.com/a.png", "file:///etc/passwd"]
)
def test_what_does_not_exist(folder: Path, path: str) -> None:
    assert code(path, folder) == "GP413"


def test_a_loop_of_links(folder: Path) -> None:
    (folder / "loop.png").symlink_to("loop.png")
    assert code("loop.png", folder) in ("GP413", "GP414")


def test_what_is_no_picture(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("hello")
    (folder / "page.jpg").write_text("<html><svg/></html>")
    Image.new("P", (4, 4)).save(folder / "a.gif")
    os.mkfifo(folder / "pipe.png")
    for name, message in {
        "sub": "folder",
        "empty.png": "0 bytes",
        "text.png": "not a PNG",
        "page.jpg": "not a PNG",
        "a.gif": "not a PNG",
        "pipe.png": "no regular file",
    }.items():
        with pytest.raises(ImageProblem, match=message) as caught:
            open_image(name, [folder])
        assert caught.value.code == "GP414"


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_cut_pictures_are_noticed(folder: Path, name: str) -> None:
    noise = Image.frombytes("RGB", (64, 64), os.urandom(64 * 64 * 3))
    noise.save(folder / name)
    data = (folder / name).read_bytes()
    for share in (0.2, 0.5, 0.9):
        (folder / name).write_bytes(data[: int(len(data) * share)])
        assert code(name, folder) == "GP414", share


def _png(width: int, height: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(40_000, 40_000), (2_000_000_000, 1), (100_000, 30_000)])
def test_bombs_are_refused_before_they_are_decoded(folder: Path, size: tuple[int, int]) -> None:
    (folder / "bomb.png").write_bytes(_png(*size, zlib.compress(bytes(1_000_000))))
    assert code("bomb.png", folder) == "GP415"


def test_limits(folder: Path) -> None:
    save(folder / "a.png", (100, 100))
    size = (folder / "a.png").stat().st_size
    assert code("a.png", folder, limits=ImageLimits(max_bytes=size - 1)) == "GP415"
    assert code("a.png", folder, limits=ImageLimits(max_pixels=9_999)) == "GP415"
    assert code("a.png", folder, limits=ImageLimits(max_side=99)) == "GP415"
    assert open_image("a.png", [folder], ImageLimits(size, 10_000, 100)).width == 100


def test_a_bomb_of_text_is_refused(folder: Path) -> None:
    data = _png(4, 4, zlib.compress(bytes(20)))
    text = b"zTXt" + b"Comment\0\0" + zlib.compress(b"x" * 50_000_000)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    (folder / "a.png").write_bytes(data[:33] + chunk + data[33:])
    assert code("a.png", folder) == "GP414"


def test_orientation(folder: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    picture = Image.new("RGB", (40, 20), "red")
    picture.paste("blue", (0, 0, 20, 20))
    picture.save(folder / "a.png", exif=exif)
    handle = open_image("a.png", [folder])
    assert (handle.width, handle.height) == (20, 40)
    upright = load_pixels(handle)
    assert upright.size == (20, 40)
    assert upright.getpixel((10, 5)) == (0, 0, 255)
    assert upright.getexif().get(274) is None


@pytest.mark.parametrize(
    ("mode", "kept"),
    [("L", "RGB"), ("1", "RGB"), ("P", "RGB"), ("LA", "RGBA"), ("RGBA", "RGBA"), ("I;16", "RGB")],
)
def test_pixels_are_rgb_or_rgba(folder: Path, mode: str, kept: str) -> None:
    save(folder / "a.png", (8, 8), mode)
    assert load_pixels(open_image("a.png", [folder])).mode == kept


def test_sixteen_bits_are_scaled(folder: Path) -> None:
    Image.new("I;16", (4, 4), 32_768).save(folder / "a.png")
    assert load_pixels(open_image("a.png", [folder])).getpixel((1, 1)) in [(127,) * 3, (128,) * 3]


def test_cmyk(folder: Path) -> None:
    save(folder / "a.jpg", (8, 8), "CMYK")
    assert load_pixels(open_image("a.jpg", [folder])).mode == "RGB"


def test_a_palette_with_transparency(folder: Path) -> None:
    Image.new("P", (4, 4), 0).save(folder / "a.png", transparency=0)
    assert load_pixels(open_image("a.png", [folder])).getpixel((0, 0))[3] == 0  # type: ignore[index]  # a tuple


def test_pixels_of_another_file_are_not_taken(folder: Path) -> None:
    save(folder / "a.png")
    handle = open_image("a.png", [folder])
    save(folder / "a.png", (41, 31))
    with pytest.raises(ImageProblem, match="changed since") as caught:
        load_pixels(handle)
    assert caught.value.code == "GP414"
    (folder / "a.png").unlink()
    with pytest.raises(ImageProblem, match="no file") as caught:
        load_pixels(handle)
    assert caught.value.code == "GP413"


def _samples() -> list[bytes]:
    import io

    found = []
    for kind, mode in (("PNG", "RGB"), ("PNG", "P"), ("JPEG", "RGB"), ("WEBP", "RGBA"), ("JPEG", "CMYK")):
        exif = Image.Exif()
        exif[270] = "A caption"
        out = io.BytesIO()
        Image.frombytes(mode, (16, 16), bytes(range(256)) * len(Image.new(mode, (1, 1)).getbands())).save(
            out, kind, exif=exif
        )
        found.append(out.getvalue())
    return found


SAMPLES = _samples()


@settings(max_examples=1_500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), max_size=12),
    st.integers(0, 2_000),
)
def test_damaged_pictures_are_decoded_or_refused(
    data: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    damaged = bytearray(data)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    if cut < len(damaged) // 2:
        del damaged[len(damaged) - cut :]
    try:
        decoded = inspect(bytes(damaged), "x", ImageLimits(max_pixels=4_000_000))
    except ImageProblem as problem:
        code = problem.code
    else:
        code = None
        assert decoded.width * decoded.height <= 4_000_000
    assert code in (None, "GP414", "GP415")
