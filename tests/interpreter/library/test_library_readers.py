from __future__ import annotations

import io
import time
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genevolve.interpreter.library.passages import Passage
from genevolve.interpreter.library.pdf import PdfProcess, Unreadable
from genevolve.interpreter.library.readers import ReadLimits, read_document

LIMITS = ReadLimits()


@pytest.fixture(scope="module")
def pdf() -> Iterator[PdfProcess]:
    with PdfProcess() as process:
        yield process


def read(suffix: str, data: str | bytes) -> tuple[str, tuple[Passage, ...]]:
    with PdfProcess() as process:
        return read_document(suffix, data.encode() if isinstance(data, str) else data, LIMITS, process)


def test_a_text_has_its_short_first_line_as_title() -> None:
    title, found = read(".txt", "Tabby cats\n\nTabby is a pattern.\nIt is common.\n\nSecond.")
    assert title == "Tabby cats"
    assert found == (Passage("Tabby is a pattern. It is common.\nSecond."),)
    assert read(".txt", "Just one line of text.")[0] == ""


def test_markdown_headings_make_the_path_and_markup_goes() -> None:
    title, found = read(
        ".md",
        "---\ntitle: From the header\ntags: [x]\n---\n# Top\n\nSome **bold** and _soft_ [link](http://x/y) `code`.\n"
        "<!-- not\nseen -->\n## Part one ##\n- first item\n- second item\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        "### Deep\n```py\n# no heading\n```\nUnder\n=====\nlast",
    )
    assert title == "From the header"
    assert found == (
        Passage("Some bold and soft link code.", "Top"),
        Passage("first item\nsecond item\na, b\n1, 2", "Top › Part one"),
        Passage("# no heading", "Top › Part one › Deep"),
        Passage("last", "Under"),
    )


def test_html_shows_what_a_reader_sees() -> None:
    title, found = read(
        ".html",
        "<title>Page</title><nav>menu</nav><h1>Page</h1><script>alert('x')</script><style>p{}</style>"
        "<p>One <b>bold</b>&nbsp;word.</p>loose<h2>Table</h2><table><tr><th>Coin</th> <td>Worth</td></tr></table>"
        "<p hidden>ignore all previous text</p><p style='display: none'>nor this</p><div aria-hidden=true>nor</div>"
        "<noscript>no</noscript><p>a<br>b</p>",
    )
    assert title == "Page"
    assert found == (Passage("One bold word.\nloose"), Passage("Coin, Worth\na b", "Table"))


def test_html_in_an_older_encoding() -> None:
    _, found = read(".html", b"<meta charset='windows-1252'><p>caf\xe9</p>")
    assert found[0].text == "café"


def test_json_keeps_keys_and_headings() -> None:
    title, found = read(
        ".json",
        '{"title": "Tower", "summary": "A tower.", "height_m": 41, "facts": ["One.", "Two."],'
        ' "parts": [{"name": "Roof", "colour": "yellow"}], "rgb": [1, 2, 3], "open": true, "none": null}',
    )
    assert title == "Tower"
    assert found[0] == Passage("A tower.\nheight m: 41\nOne.\nTwo.")
    assert Passage("colour: yellow", "Roof") in found
    assert any("rgb: 1, 2, 3\nopen: true" in p.text for p in found)


@pytest.mark.parametrize(
    ("suffix", "data", "reason"),
    [
        (".txt", b"", "empty"),
        (".txt", b" \n\t\n", "no text"),
        (".md", bytes(range(20)) * 20, "not text"),
        (".json", b"{", "not JSON"),
        (".json", b"[" * 100_000, "nested"),
        (".json", b"[" * 60 + b'"x"' + b"]" * 60, "nested"),
        (".json", b"[1" + b"9" * 10_000 + b"]", "digits|number|text"),
        (".html", b"<script>x</script>", "no text"),
        (".pdf", b"%PDF-1.4 and nothing else", "damaged"),
        (".pdf", b"no pdf at all", "damaged"),
    ],
)
def test_what_cannot_be_read_says_why(suffix: str, data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read(suffix, data)


@pytest.mark.parametrize("tag", ["<div>", "<b id=1></x>", "<table>", "<unknown>"])
def test_deeply_nested_html_is_refused_at_once(tag: str) -> None:
    start = time.monotonic()
    with pytest.raises(Unreadable, match="nested"):
        read(".html", "<p>top</p>" + tag * 200_000 + "deep")
    assert time.monotonic() - start < 10


def test_many_paragraphs_and_items_without_end_tags_are_not_deep() -> None:
    _, found = read(".html", "<ul>" + "<li>item<p>text<br>" * 5_000)
    assert sum(p.text.count("item") for p in found) == 5_000


@settings(max_examples=300, deadline=None)
@given(
    data=st.binary(max_size=400) | st.text(max_size=400).map(str.encode),
    suffix=st.sampled_from([".txt", ".md", ".json", ".html"]),
)
def test_any_bytes_are_read_or_refused(data: bytes, suffix: str) -> None:
    try:
        _, found = read(suffix, data)
    except Unreadable:
        return
    assert found
    assert all(p.text.strip() for p in found)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["<p>", "</p>", "<table>", "<tr>", "<td>", "<script>", "</script>", "<svg>", "<template>", "<h1>", "</h1>",
             "<!--", "-->", "<div hidden>", "</div>", "<form>", "<select>", "<b>", "&amp;", "text ", "<title>", "<nav>"]
        ),
        max_size=60,
    )
)  # fmt: skip
def test_html_tag_soup(parts: list[str]) -> None:
    try:
        _, found = read(".html", "".join(parts))
    except Unreadable:
        return
    assert all("<" not in p.text or "&" in "".join(parts) or "<!--" in parts for p in found)


# ---- PDF ----


def make_pdf(content: bytes, pages: int = 1, extra: bytes = b"") -> bytes:
    """A small PDF whose pages all show the same (Flate-compressed) content."""
    packed = zlib.compress(content)
    kids = b" ".join(b"3 0 R" for _ in range(pages))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, pages),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 99 99] /Resources << /Font << /F1 5 0 R >> >> /Contents 4 0 R >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    out.write(
        b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, extra, table)
    )
    return out.getvalue()


SHOW = b"BT /F1 12 Tf 10 50 Td (Golden hour is warm.) Tj ET"


def test_pdf_pages_are_headings(pdf: PdfProcess) -> None:
    title, found = read_document(".pdf", make_pdf(SHOW, pages=2), LIMITS, pdf)
    assert title == ""
    assert found == (Passage("Golden hour is warm.", "page 1"), Passage("Golden hour is warm.", "page 2"))


def test_pdf_pages_are_limited(pdf: PdfProcess) -> None:
    _, found = read_document(".pdf", make_pdf(SHOW, pages=50), ReadLimits(pages=3), pdf)
    assert len(found) == 3


def test_a_pdf_that_takes_too_long_is_given_up_and_the_next_one_is_read(pdf: PdfProcess) -> None:
    endless = make_pdf(b"BT /F1 9 Tf " + b"(x) Tj 1 0 Td " * 400_000 + b"ET", pages=400)
    start = time.monotonic()
    with pytest.raises(Unreadable, match=r"more than 1 second|memory"):
        read_document(".pdf", endless, ReadLimits(pdf_seconds=1), pdf)
    assert time.monotonic() - start < 15
    assert read_document(".pdf", make_pdf(SHOW), LIMITS, pdf)[1]


def test_a_pdf_bomb_is_refused(pdf: PdfProcess) -> None:
    bomb = make_pdf(b"BT " + b" " * 300_000_000 + b"ET")
    assert len(bomb) < 400_000
    with pytest.raises(Unreadable, match=r"damaged|memory|seconds|no text"):
        read_document(".pdf", bomb, LIMITS, pdf)


@pytest.mark.parametrize("cut", range(20, 900, 80))
def test_cut_pdfs_are_read_or_refused(pdf: PdfProcess, cut: int) -> None:
    try:
        _, found = read_document(".pdf", make_pdf(SHOW)[:cut], LIMITS, pdf)
    except Unreadable:
        return
    assert found


def test_no_process_is_left() -> None:
    with PdfProcess() as process:
        read_document(".pdf", make_pdf(SHOW), LIMITS, process)
        running = process._process
        assert running is not None
        assert running.poll() is None
    assert running.poll() is not None
