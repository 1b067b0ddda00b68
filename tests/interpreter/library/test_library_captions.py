from __future__ import annotations

import json
from pathlib import Path

import pytest
from library_tools import picture, write
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from genevolve.interpreter.library import Library
from genevolve.interpreter.library.captions import caption_from_name


def caption(folder: Path, cache: Path, name: str = "castle.png") -> tuple[str, str, str]:
    """Caption, title and the caption's source as searches see them."""
    library = Library.open(folder, cache_dir=cache, embedder=None)
    row = next(row for row in library._view(True, lambda: None).rows if row.path == name)
    return row.text, row.title, library.caption_source(name)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pictures"


def test_sidecars_come_first_and_the_one_with_the_full_name_before_the_other(
    folder: Path, cache: Path
) -> None:
    info = PngInfo()
    info.add_text("Description", "A castle, from metadata.")
    picture(folder / "castle.png", pnginfo=info)
    write(
        folder,
        castle_txt="A castle,\nfrom a text.\n",
        **{"castle.png_json": json.dumps({"title": "T", "caption": "A keep."})},
    )
    assert caption(folder, cache) == ("A keep.", "T", "sidecar")
    (folder / "castle.png.json").unlink()
    assert caption(folder, cache) == ("A castle, from a text.", "", "sidecar")
    (folder / "castle.txt").unlink()
    assert caption(folder, cache) == ("A castle, from metadata.", "", "metadata")


def test_sidecars_are_no_documents(folder: Path, cache: Path) -> None:
    picture(folder / "castle.png")
    write(folder, castle_txt="A castle.", moat_txt="A moat is a ditch.")
    library = Library.open(folder, cache_dir=cache, embedder=None)
    assert [s.source for s in library.search("castle moat").snippets] == ["moat.txt"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("plain string", ("plain string", "")),
        ({"description": "A keep.", "tags": ["stone", "old", 3]}, ("A keep. — stone, old", "")),
        ({"title": "Keep"}, ("Keep", "Keep")),
        ({"title": "Keep", "keywords": ["stone"]}, ("stone", "Keep")),
    ],
)
def test_json_sidecars(folder: Path, cache: Path, value: object, found: tuple[str, str]) -> None:
    picture(folder / "castle.png")
    write(folder, castle_json=json.dumps(value))
    assert caption(folder, cache) == (*found, "sidecar")


@pytest.mark.parametrize("content", [b"", b"  \n", b"{", b"[1, 2]", b"[" * 100_000, bytes(range(32)) * 9])
def test_a_useless_sidecar_does_not_count(folder: Path, cache: Path, content: bytes) -> None:
    picture(folder / "castle_by_night.png")
    (folder / "castle_by_night.json").write_bytes(content)
    assert caption(folder, cache, "castle_by_night.png") == ("castle by night", "", "name")


def test_a_sidecar_that_is_too_large_is_reported(folder: Path, cache: Path) -> None:
    picture(folder / "castle.png")
    (folder / "castle.txt").write_text("x " * 200_000)
    report = Library.open(folder, cache_dir=cache, embedder=None).index()
    assert report.added == ("castle.png",)
    assert [path for path, reason in report.skipped if "too large" in reason] == ["castle.txt"]


def test_exif_xmp_and_titles(folder: Path, cache: Path) -> None:
    exif = Image.Exif()
    exif[270] = "A castle in EXIF."
    picture(folder / "a.jpg", exif=exif)
    xmp = (
        "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='r'><rdf:Description xmlns:dc='d'><dc:description>"
        "<rdf:Alt><rdf:li xml:lang='x-default'>Towers &amp; walls</rdf:li></rdf:Alt></dc:description>"
        "<dc:title><rdf:Alt><rdf:li>Fort</rdf:li></rdf:Alt></dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    picture(folder / "b.webp", xmp=xmp.encode())
    exif = Image.Exif()
    exif[40091] = "Ein Schloß".encode("utf-16-le")
    picture(folder / "c.jpeg", exif=exif)
    assert caption(folder, cache, "a.jpg") == ("A castle in EXIF.", "", "metadata")
    assert caption(folder, cache, "b.webp") == ("Towers & walls", "Fort", "metadata")
    assert caption(folder, cache, "c.jpeg")[0] == "Ein Schloß"


@pytest.mark.parametrize(
    "noise", ["OLYMPUS DIGITAL CAMERA", "SONY DSC", "Created with GIMP", '{"seed": 7}', "12345", ""]
)
def test_what_cameras_and_programs_write_is_no_caption(folder: Path, cache: Path, noise: str) -> None:
    info = PngInfo()
    info.add_text("Comment", noise)
    picture(folder / "old-castle.png", pnginfo=info)
    assert caption(folder, cache, "old-castle.png") == ("old castle", "", "name")


def test_hidden_characters_do_not_reach_captions(folder: Path, cache: Path) -> None:
    picture(folder / "castle.png")
    write(folder, castle_txt="A \u202ecastle\x1b[2J\u200b.")
    assert caption(folder, cache)[0] == "A castle[2J."


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("red_brick-wall.jpg", "red brick wall"),
        ("a/EiffelTower2024.jpg", "Eiffel Tower 2024"),
        ("Castle of Bran/IMG_0001.JPG", "Castle of Bran IMG 0001"),
        ("2024/trip to Rome/05/DSC1234.jpg", "trip to Rome DSC 1234"),
        ("IMG_0001.jpg", "IMG 0001"),
        ("___.png", ""),
        ("塔.png", "塔"),
    ],
)
def test_captions_from_names(path: str, words: str) -> None:
    assert caption_from_name(path) == words
