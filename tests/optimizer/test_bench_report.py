"""The page of a bench: what stands in it, what a stranger's row cannot do, and that a browser shows it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import chromium
import pytest
from bench_folders import FAILED, UNSCORED, row, scored, write_folder
from PIL import Image

from genevolve.grammar.errors import AuthorError
from genevolve.optimizer.evaluation.folder import open_bench
from genevolve.optimizer.evaluation.report import report_html
from genevolve.optimizer.evaluation.thumbnails import Thumbnails

EVIL = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">\" ' <b>"
)
TEXT = {"faithfulness": 1.0, "visual_correctness": 0.5, "text_accuracy": 1.0, "aesthetics": 0.0}


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "secret.png").write_bytes(b"no picture")
    a = [(row(i), [scored(round(0.1 * i, 1), {}, picture="images/x.png")]) for i in range(8)]
    b = [(row(i), [scored(0.9, {}, picture="images/x.png")]) for i in range(8)]
    evil = row(
        8, id=f"evil{EVIL}", request=EVIL * 3, category=EVIL, track="", truth="../secret.png", skills=(EVIL,)
    )
    rollout = scored(
        0.5,
        {EVIL: 0.5},
        reason=EVIL,
        program=EVIL,
        prompt=EVIL,
        picture="../../secret.png",
        parts={EVIL: 0.1},
    )
    rest = [(evil, [rollout]), (row(9, request="w" * 3000), [FAILED]), (row(10), [UNSCORED])]
    return write_folder(tmp_path / "a", [*a, *rest]), write_folder(tmp_path / "b", [*b, *rest], policy=EVIL)


def test_all_that_strangers_wrote_is_escaped(runs: tuple[Path, Path]) -> None:
    for page in (report_html(open_bench(runs[1])), report_html(*map(open_bench, runs))):
        assert page.count("<script") == page.count("</script>") == 1
        assert "<img src=x" not in page
        assert "onerror=&quot;" in page
        assert not re.search(r"(?:src|href)=[\"'](?!data:image/webp)", page)
        assert "http:" not in page.replace("http-equiv", "")
        assert "secret" not in re.sub(r"data:image/webp;base64,[^\"]*", "", page).replace(
            "../../secret.png", ""
        )


def test_what_the_page_tells(runs: tuple[Path, Path]) -> None:
    page = report_html(open_bench(runs[0]))
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page
    assert "script-src 'sha256-" in page
    assert page.count('<details class="row"') == 11
    assert page.count("<svg") >= 4
    assert "9 / 1 / 1" in page
    assert "the judge declined" in page
    both = report_html(*map(open_bench, runs))
    assert "B - A" in both
    assert both.count('class="fb"') >= 4


def test_two_runs_that_cannot_be_compared(runs: tuple[Path, Path], tmp_path: Path) -> None:
    other = write_folder(tmp_path / "c", [(row(0), [scored(1.0)])], digest="other")
    with pytest.raises(AuthorError, match="different suites"):
        report_html(open_bench(runs[0]), open_bench(other))


def test_thumbnails_keep_to_their_budget(tmp_path: Path) -> None:
    for i in range(6):
        Image.effect_noise((400, 300), 90 + i).convert("RGB").save(tmp_path / f"{i}.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    one = len(Thumbnails(1).of(tmp_path, "0.png"))
    thumbnails = Thumbnails(1, budget=3 * one)
    made = [thumbnails.of(tmp_path, f"{i}.png") for i in range(6)]
    assert 2 <= sum(map(bool, made)) <= 3
    assert sum(map(len, made)) <= 3 * one
    assert thumbnails.of(tmp_path, "0.png") == made[0]
    assert Thumbnails(10).side > Thumbnails(1000).side > Thumbnails(100_000).side
    for name in ("broken.png", "none.png", "../x.png", "", "a\0b"):
        assert thumbnails.of(tmp_path, name) == ""
    assert thumbnails.of(None, "0.png") == ""


# ---- in a browser ------------------------------------------------------------------------------------

needs_browser = pytest.mark.skipif(
    chromium.executable() is None,
    reason=f"no browser is installed ({', '.join(chromium.NAMES)}): apt-get install chromium",
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[chromium.Browser]:
    with chromium.Browser(tmp_path / "profile") as found:
        yield found


@needs_browser
def test_a_browser_shows_the_page_on_a_desk_and_on_a_phone(
    runs: tuple[Path, Path], tmp_path: Path, browser: chromium.Browser
) -> None:
    page = tmp_path / "report.html"
    page.write_text(report_html(*map(open_bench, runs)), encoding="utf-8")
    backgrounds = set()
    for width, height, dark in ((390, 844, False), (1280, 900, True)):
        browser.open(page, width, height, dark=dark)
        assert browser.run("document.documentElement.dataset.ready") == "yes"
        assert browser.run("document.title").startswith("bare on")
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run("document.querySelectorAll('.row img').length") == 18
        assert browser.run("[...document.images].every(i => !i.complete || i.naturalWidth > 0)")
        backgrounds.add(browser.run("getComputedStyle(document.body).backgroundColor"))
        with Image.open(io.BytesIO(browser.picture())) as shot:
            assert shot.size == (width, height)
            colours = shot.convert("RGB").getcolors(1 << 20)
            assert colours is not None
            assert len(colours) > 50
    assert len(backgrounds) == 2, "dark and light differ"
    assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []


@needs_browser
def test_rows_are_filtered_searched_and_ordered(
    runs: tuple[Path, Path], tmp_path: Path, browser: chromium.Browser
) -> None:
    page = tmp_path / "report.html"
    page.write_text(report_html(*map(open_bench, runs)), encoding="utf-8")
    browser.open(page, 390, 844)
    shown = "document.getElementById('shown').textContent"

    def choose(name: str, value: str, event: str = "change") -> str:
        change = f"e.value = {value!r}; e.dispatchEvent(new Event({event!r}))"
        script = f"(e => {{ {change} }})(document.getElementById({name!r}))"
        browser.run(script)
        return str(browser.run(shown))

    first = "[...document.querySelectorAll('.row')].find(r => !r.hidden).dataset.n"
    assert browser.run(shown) == "11 of 11 rows"
    assert browser.run(first) == "0", "what changed most stands first"
    assert choose("order", "best").startswith("11")
    assert browser.run(first) == "7"
    assert choose("state", "failed") == "1 of 11 rows"
    assert choose("state", "") == "11 of 11 rows"
    assert choose("q", "request number 3", "input") == "1 of 11 rows"
    browser.run("document.querySelector('.row:not([hidden]) summary').click()")
    assert browser.run("document.querySelector('.row:not([hidden])').open") is True
    assert "Three stars." in str(browser.run("document.querySelector('.row[open] .body').textContent"))
    assert browser.run("document.documentElement.scrollWidth") <= 390
