"""Makes the pictures and the PDF of the sample library from the photographs that two Python packages carry.

Run it from anywhere with scikit-image and scikit-learn installed: `python programs/samples/prepare.py`. The results
are kept in the repository, so nobody needs to run it; it documents what was done to each photograph. The terms of
each one stand in `LICENSES.md`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from PIL import Image

HERE = Path(__file__).resolve().parent
LONG_SIDE = 640


class Photograph(NamedTuple):
    """Where a photograph comes from and what it is called here."""

    package: str
    file: str
    name: str


PHOTOGRAPHS = (
    Photograph("skimage", "data/astronaut.png", "eileen-collins"),
    Photograph("skimage", "data/rocket.jpg", "falcon-9-on-the-pad"),
    Photograph("skimage", "data/hubble_deep_field.jpg", "hubble-extreme-deep-field"),
    Photograph("skimage", "data/chelsea.png", "tabby-cat"),
    Photograph("skimage", "data/coffee.png", "espresso-cup"),
    Photograph("skimage", "data/coins.png", "coins-of-pompeii"),
    Photograph("skimage", "data/brick.png", "brick-wall"),
    Photograph("skimage", "data/grass.png", "grass"),
    Photograph("skimage", "data/gravel.png", "gravel"),
    Photograph("skimage", "data/camera.png", "photographer"),
    Photograph("sklearn", "datasets/images/china.jpg", "tower-of-buddhist-incense"),
    Photograph("sklearn", "datasets/images/flower.jpg", "orange-dahlia"),
)

GOLDEN_HOUR = (
    (
        "Golden hour",
        (
            "Golden hour is the time shortly after sunrise and shortly before sunset. The sun then",
            "stands no more than about six degrees above the horizon. How long it lasts depends on",
            "latitude and season: near the equator it is over in less than half an hour, while in a",
            "northern summer it can go on for more than an hour.",
            "",
            "Low sunlight takes a longer way through the air. Air scatters blue light more than red,",
            "so what arrives is warm: about 3,500 kelvin, against about 5,500 kelvin at noon. Shadows",
            "are long, soft at their edges and bluish, because only the sky lights them.",
        ),
    ),
    (
        "Working with low light",
        (
            "With the sun behind the camera, fronts of buildings glow and colours look rich. With the",
            "sun to the side, texture shows: stone, bricks, folds of cloth. With the sun behind the",
            "subject, hair and leaves get a bright rim and the subject itself turns dark.",
            "",
            "Blue hour follows golden hour in the evening. The sun is then four to eight degrees below",
            "the horizon, the sky is deep blue, and lamps and lit windows are about as bright as the sky.",
        ),
    ),
)


def prepare_photographs() -> None:
    """Write every photograph as a JPEG of at most `LONG_SIDE` pixels, without metadata."""
    for package, file, name in PHOTOGRAPHS:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise SystemExit(f"the package {package} is not installed")
        with Image.open(Path(spec.origin).parent / file) as picture:
            small = picture.convert("L" if picture.mode == "L" else "RGB")
        small.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
        small.save(HERE / "images" / f"{name}.jpg", quality=88, optimize=True)


def prepare_pdf() -> None:
    """Write the document on golden hour: two pages of plain PDF with a standard font."""
    pages = [_page(title, lines) for title, lines in GOLDEN_HOUR]
    first_page = 5
    kids = " ".join(f"{first_page + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Title (Golden hour) >>",
    ]
    for i, content in enumerate(pages):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> "
            + f"/Contents {first_page + 2 * i + 1} 0 R >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    (HERE / "documents" / "golden-hour.pdf").write_bytes(_pdf(objects))


def _page(title: str, lines: tuple[str, ...]) -> bytes:
    """The content stream of one page: a heading and lines of text, with `'` moving to the next line."""
    shown = "\n".join(f"({line.replace('(', '[').replace(')', ']')}) '" for line in lines)
    return f"BT /F1 18 Tf 60 760 Td ({title}) Tj ET\nBT /F1 11 Tf 16 TL 60 740 Td\n{shown}\nET".encode(
        "latin-1"
    )


def _pdf(objects: list[bytes]) -> bytes:
    """A PDF file of these numbered objects, catalogue first and document information fourth."""
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R /Info 4 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        table,
    )
    return bytes(out)


if __name__ == "__main__":
    prepare_photographs()
    prepare_pdf()
