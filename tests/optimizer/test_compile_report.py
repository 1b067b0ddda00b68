"""The page of a compile run: what stands in it, what damaged and hostile folders do to it, how a browser shows it."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import chromium
import pytest
from bench_folders import row, scored, write_folder
from compile_folders import Shape, write_lines, write_run
from PIL import Image

from genevolve.grammar.errors import AuthorError
from genevolve.optimizer.compiling.folder import RunFolder
from genevolve.optimizer.compiling.versions import Version, Versions
from genevolve.optimizer.report import steps as steps_section
from genevolve.optimizer.report import write_report
from genevolve.optimizer.report.changes import changes
from genevolve.optimizer.report.charts import MOST_POINTS, Axis, Series, chart
from genevolve.optimizer.report.page import safe
from genevolve.optimizer.report.run_folder import open_run
from genevolve.optimizer.report.steps import MOST_STEPS, evenly
from genevolve.optimizer.report.writing import Report, make_report

EVIL = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    "</details></section>\" ' <b>\u202e\x1b[31m\ud800"
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that no test changes."""
    return write_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


@pytest.fixture(scope="module")
def page(whole: Path) -> Report:
    return make_report(whole)


# ---- what it tells -----------------------------------------------------------------------------------


def test_what_was_run_and_how_it_stands(page: Report) -> None:
    assert page.notes == ()
    for told in (
        "mini compiled on studio:world/train",
        "<dd>mini a3c9</dd>",
        "The run is finished",
        "step 6 of 6",
    ):
        assert told in page.html
    for told in (
        "v002, of step 4",
        "inspector:2",
        "transformers 5.23",
        "480 rows",
        "loss.max_ratio",
        "1e-06",
    ):
        assert told in page.html
    assert page.facts["best"] == "v002"
    assert (page.facts["steps"], page.facts["groups"], page.facts["versions"]) == (6, 12, 4)


def test_curves_versions_and_decisions(page: Report, whole: Path) -> None:
    for title in ("Reward", "Gap", "Memory", "Distillation loss", "KL", "Entropy", "Gradient", "Speed"):
        assert f"<h3>{title}</h3>" in page.html
    reward = open_run(whole).steps[-1].figures["reward/mean"]
    assert f"R <b>{reward:.3g}</b>" in page.html
    assert page.html.count('class="dot taken"') == page.html.count('class="dot aside"') == 2
    for told in ("accepted, in use", "kept aside", "the interval holds 0", "+0.140 [+0.090, +0.190] to v000"):
        assert told in page.html
    assert "12 requests that both versions answered" in page.html
    for told in ("spatial layout", "words of the prompt", "KScore, knowledge", "visual correctness"):
        assert told in page.html


def test_pictures_differences_and_experiences(page: Report, whole: Path) -> None:
    assert page.html.count('<details class="fold step"') == 6
    assert (
        page.html.count('<img alt="the best picture"')
        == page.html.count('<img alt="the worst picture"')
        == 12
    )
    assert page.html.count('<details class="fold step" open') == 1
    assert "<ins>skill text_rendering</ins>" in page.html
    assert "1 unscored" in page.html
    assert "the title is legible" in page.html
    taught = page.html.count('<details class="fold experience"')
    assert taught == page.facts["experiences"]
    assert taught == sum(g.learned == "added" for g in open_run(whole).groups) > 3
    assert "Use the quantity counting skill" in page.html
    assert "S2 knowledge activation" in page.html


def test_what_it_cost(page: Report) -> None:
    assert "<dt>rollouts</dt><dd>72</dd>" in page.html
    assert "<dt>tokens written</dt><dd>10,800</dd>" in page.html
    assert "judging" in page.html
    assert "everything else" in page.html
    assert (
        "<h3>Cold start</h3><dl><dt>examples</dt><dd>310</dd><dt>last loss</dt><dd>0.42</dd></dl>"
        in page.html
    )
    assert "<dt>step</dt>" not in page.html


def test_experiences_that_were_found_stand_first(run: Path) -> None:
    groups = [json.loads(line) for line in (run / "groups.jsonl").read_text().splitlines()]
    weakest = re.findall(r"<dt>id</dt><dd>(\w{12})", make_report(run).html)[-1]
    from genevolve.experience_store.store import ExperienceStore

    with ExperienceStore.open(run / "experiences", embedder=None, read_only=True) as store:
        (full,) = store.resolve(weakest)
    for group in groups[:3]:
        group.update(guided=True, similarity=0.9, experience=full)
    write_lines(run / "groups.jsonl", groups)
    html = make_report(run).html
    assert "found 3 times" in html
    assert re.findall(r"<dt>id</dt><dd>(\w{12})", html)[0] == weakest


def test_what_a_run_writes_is_what_is_read(whole: Path, tmp_path: Path) -> None:
    """The same lines, written by the classes that a run writes with."""
    folder = tmp_path / "run"
    lines = {name: [json.loads(x) for x in (whole / name).read_text().splitlines()] for name in _LINES}
    with RunFolder(folder, resume=False) as made:
        identity = json.loads((whole / "compile.json").read_text())
        made.claim({k: v for k, v in identity.items() if k not in ("schema", "created")})
        made.set_state(phase="evolving", step=6, steps=6, reason="", best="v001")
        made.steps.append(lines["steps.jsonl"])
        made.groups.append(lines["groups.jsonl"])
        versions = Versions(folder)
        gate = {"mean": 0.1, "low": 0.02, "high": 0.2, "requests": 12}
        told = {"kscore": 0.5, "reward": 0.5, "requests": 12, "unscored": 1}
        for version in (
            Version("v000", 0, None, True, "the start"),
            Version("v001", 6, "v000", True, "y", gate, told),
        ):
            versions.write_evaluation(version.name, lines["evaluations/v000.jsonl"])
            versions.add(version, lambda part: None)
        report = make_report(folder)
    assert report.notes == ()
    assert (report.facts["phase"], report.facts["best"]) == ("evolving", "v001")
    assert (report.facts["steps"], report.facts["groups"], report.facts["versions"]) == (6, 12, 2)
    assert "+0.100 [+0.020, +0.200] to v000" in report.html
    assert "12 (1 unscored)" in report.html
    assert re.search(r"<dt>last change</dt><dd>\d{4}-\d\d-\d\dT", report.html)


_LINES = ("steps.jsonl", "groups.jsonl", "evaluations/v000.jsonl")


def test_the_page_of_a_bench(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bench", [(row(0), [scored(0.5, picture="images/x.png")])])
    written = write_report(folder, tmp_path / "new" / "page.html")
    assert written.read_text().startswith("<!doctype html>")
    assert "<h1>Benchmark</h1>" in written.read_text()


@pytest.mark.parametrize("name", ["empty", "missing", "file"])
def test_a_folder_that_is_no_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("{}")
    with pytest.raises(AuthorError):
        write_report(tmp_path / name)
    assert not list(tmp_path.rglob("report.html"))


# ---- what is damaged ---------------------------------------------------------------------------------


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    (tmp_path / "compile.json").write_text("{}")
    report = make_report(tmp_path)
    assert "There is no step yet" in report.html
    assert "Nothing has been spent" in report.html
    assert report.notes == ("state.json: missing",)
    (tmp_path / "state.json").write_text('{"phase": "evolving", "step": 3}')
    assert make_report(tmp_path).notes == ("steps.jsonl: missing", "groups.jsonl: missing")


def test_a_run_that_stopped_tells_why(run: Path) -> None:
    (run / "state.json").write_text(
        json.dumps({"phase": "failed", "step": 3, "steps": 9, "reason": "KL says collapse"})
    )
    html = make_report(run).html
    assert (
        '<p class="warn bad"><span class="state bad">The run is failed</span> at step 3 of 9: KL says' in html
    )
    assert "v002, of step 4" in html, "without a word of the state, the last accepted version counts"


def test_lines_that_cannot_be_read_are_left_out_and_told(run: Path) -> None:
    lines = (run / "steps.jsonl").read_text().splitlines()
    bad = json.loads(lines[1])
    bad["figures"] |= {"kl": float("nan"), "loss": 1e300, "entropy": 10**400, "grad_norm": "much", "x": None}
    more = ["[1, 2]", "no json", '{"figures": {}}', lines[3], "[" * 100_000, "", '{"step": 1e99}']
    (run / "steps.jsonl").write_text(
        "\n".join([lines[0], json.dumps(bad), *lines[2:], *more]) + "\n" + lines[5][:90]
    )
    groups = (run / "groups.jsonl").read_text().splitlines()
    (run / "groups.jsonl").write_bytes(b"\xff\xfe\n" + "\n".join(groups).encode() + b'\n{"step": 2}\n')
    report = make_report(run)
    assert report.facts["steps"] == 6
    assert report.facts["groups"] == 12
    told = "\n".join(report.notes)
    for words in (
        "steps.jsonl: lines are no JSON objects, and left out (line 7, line 8, line 11)",
        "kl is no finite number (step 2)",
        "loss is no finite number (step 2)",
        "lines without the number of a step are left out (line 9, line 13)",
        "steps stand there twice; the later line counts (step 4)",
        "the last line is cut off",
        "groups.jsonl: lines are no JSON objects, and left out (line 1)",
        "groups.jsonl: lines without a step or rewards are left out (line 14)",
    ):
        assert words in told
        assert safe(words.partition(" (")[0]) in report.html


def test_files_that_are_something_else(run: Path, tmp_path: Path) -> None:
    for name in ("steps.jsonl", "state.json"):
        (run / name).unlink()
        (run / name).mkdir()
    shutil.rmtree(run / "versions")
    (run / "versions").write_text("x")
    (run / "compile.json").write_bytes(b"{" * 50_000)
    (run / "experiences" / "experiences.sqlite").write_bytes(b"SQLite format 3\0" + b"\1" * 5000)
    (run / "evaluations" / "v002.jsonl").write_text(
        '{"id": "val1"}\n{"id": 7, "score": "x", "profile": []}\nnull\n'
    )
    report = make_report(run)
    told = "\n".join(report.notes)
    for words in ("steps.jsonl: cannot be read", "versions: cannot be read", "compile.json: damaged"):
        assert words in told
    assert "the store cannot be read" in told
    assert report.facts["experiences"] == 0


def test_pictures_that_are_none_or_lie_elsewhere(run: Path, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "secret.png")
    groups = [json.loads(line) for line in (run / "groups.jsonl").read_text().splitlines()]
    names: list[object] = [
        "../secret.png",
        str(tmp_path / "secret.png"),
        "",
        None,
        7,
        "a\0b",
        "http://x/y.png",
    ]
    for group, name in zip(groups, names, strict=False):
        group["best"]["picture"] = name
    groups[-1]["best"] = None
    (run / groups[8]["best"]["picture"]).write_bytes(b"\x89PNG\r\n\x1a\n")
    write_lines(run / "groups.jsonl", groups)
    html = make_report(run).html
    assert html.count('<img alt="the best picture"') == 12 - len(names) - 2
    assert "6 of 21 pictures are not here" in html


_STRANGE: tuple[object, ...] = (
    None,
    True,
    -1,
    1e308,
    10**30,
    "",
    EVIL,
    [],
    [None, EVIL, {}],
    {},
    {"x": EVIL},
    [[1]],
)


@pytest.mark.parametrize(
    "file", ["steps.jsonl", "groups.jsonl", "evaluations/v002.jsonl", "versions/v002/version.json"]
)
def test_any_value_in_any_place_gives_a_page(file: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Shape(steps=4, requests=1, validation=3, drawn=False))
    first, *rest = (json.loads(line) for line in (run / file).read_text().splitlines())
    changed = [{**first, key: value} for key in first for value in _STRANGE]
    inner = [k for k, v in first.items() if isinstance(v, dict)]
    changed += [{**first, k: {**first[k], x: v}} for k in inner for x in list(first[k])[:8] for v in _STRANGE]
    parts = [changed[i::4] for i in range(4)]
    if file.endswith(".json"):
        parts, rest = [[c] for c in changed[::7]], []
    for part in parts:
        write_lines(run / file, [*part, *rest])
        assert_harmless(make_report(run).html)


# ---- what is hostile ---------------------------------------------------------------------------------


def assert_harmless(html: str) -> None:
    """Nothing of what strangers wrote is markup, and nothing is loaded."""
    assert html.count("<script") == html.count("</script>") == 1
    assert "<img src=x" not in html
    assert not re.search(r"(?:src|href)=[\"'](?!data:image/webp;base64,|#)", html)
    assert not re.search(r"<[^>]*\s(?:style|on\w+)\s*=\s*[\"']", html)
    assert html.count("<section") == html.count("</section>")
    assert html.count("<details") == html.count("</details>")
    assert not set("\u202e\x1b\ud800") & set(html)


def test_all_that_strangers_wrote_is_escaped(run: Path) -> None:
    identity = json.loads((run / "compile.json").read_text())
    identity |= {"judge": EVIL, "renderer": {"name": EVIL}, "created": EVIL, "libraries": {EVIL: EVIL}}
    identity["policy"] = {"name": EVIL, "version": EVIL}
    identity["suite"]["name"] = identity["suite"]["digest"] = EVIL
    identity["settings"] |= {EVIL: EVIL, "more": {EVIL: {EVIL: [EVIL, {EVIL: EVIL}]}}}
    (run / "compile.json").write_text(json.dumps(identity))
    (run / "state.json").write_text(
        json.dumps({"phase": EVIL, "reason": EVIL, "best": EVIL, "updated": EVIL})
    )
    steps = [json.loads(line) for line in (run / "steps.jsonl").read_text().splitlines()]
    for step in steps:
        step["figures"] |= {f"{kind}{EVIL}": 0.5 for kind in ("", "tools/", "skills/", "seconds/")}
    write_lines(run / "steps.jsonl", steps)
    groups = [json.loads(line) for line in (run / "groups.jsonl").read_text().splitlines()]
    for group in groups:
        group["request"] = {"id": EVIL, "prompt": EVIL, "category": EVIL, "track": EVIL}
        group["learned"] = group["experience"] = group["best"]["picture"] = EVIL
        group["best"]["program"] = group["best"]["program"].replace(
            "A flat poster", EVIL.replace('"', "") + " poster"
        )
        group["worst"]["program"] = EVIL
        group["worst"]["reward"] = {EVIL: EVIL}
    write_lines(run / "groups.jsonl", groups)
    version = json.loads((run / "versions" / "v001" / "version.json").read_text())
    version |= {"parent": EVIL, "why": EVIL}
    (run / "versions" / "v001" / "version.json").write_text(json.dumps(version))
    rows = [
        {"id": EVIL, "score": 0.5, "track": EVIL, "dimensions": {EVIL: 1.0}, "profile": {"skills": [EVIL]}}
    ]
    for name in ("v000", "v002"):
        write_lines(run / "evaluations" / f"{name}.jsonl", rows)
    html = make_report(run).html
    assert_harmless(html)
    assert "onerror=&quot;" in html
    assert "&lt;U+202E&gt;" in html
    assert "script-src 'sha256-" in html


def test_a_difference_is_escaped_and_reads_like_the_command() -> None:
    found = changes('request "x" prompt "a black <b> cat"', 'request "x" prompt "a white <b> cat"')
    assert "clause: a <del>black</del> <ins>white</ins> &lt;b&gt; cat" in found.html
    assert "cannot be compared" in changes("prompt (", 'request "x"').html
    assert "say the same" in changes('request "x"', 'request  "x"').html


# ---- how much ----------------------------------------------------------------------------------------


def test_a_long_run_is_cut_at_equal_distances(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Shape(steps=90, requests=1, validation=3, drawn=False))
    html = make_report(run).html
    assert html.count('<details class="fold step"') == MOST_STEPS
    assert f"{MOST_STEPS} of 90 steps, at equal distances" in html
    assert "<b>Step 1</b>" in html
    assert "<b>Step 90</b>" in html
    assert len(html) < 2_500_000
    assert evenly([1, 2, 3], 5) == [1, 2, 3]
    assert evenly(list(range(1001)), 5) == [0, 250, 500, 750, 1000]


def test_the_ends_of_a_run_get_their_pictures_first(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = max(map(len, re.findall(r"data:image/webp;base64,[^\"]*", make_report(run).html)))
    monkeypatch.setattr(steps_section, "BUDGET", 10 * one)
    html = make_report(run).html
    made = [part.count("data:image/webp") for part in html.split('<details class="fold step"')[1:]]
    assert made[0] == made[-1] == 4
    assert sum(made) < 24
    assert "pictures are not here" in html


# ---- curves ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.2, 0.61, ("0.2", "0.3", "0.4", "0.5", "0.6", "0.7")),
        (0.0, 1.0, ("0.0", "0.2", "0.4", "0.6", "0.8", "1.0")),
        (3.0, 3.0, ("2.6", "2.8", "3.0", "3.2", "3.4")),
        (-1200.0, 900.0, ("-1,500", "-1,000", "-500", "0", "500", "1,000")),
        (0.0, 2e-6, ("0", "5.0e-07", "1.0e-06", "1.5e-06", "2.0e-06")),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: tuple[str, ...]) -> None:
    axis = Axis.of(low, high)
    assert tuple(re.findall(r"<span>([^<]*)</span>", axis.labels())) == ticks
    assert axis.ticks[0] <= low <= high <= axis.ticks[-1]


@pytest.mark.parametrize("values", [[0.0], [1e30, -1e30], [1e-30, 2e-30], [5.0, None, 5.0], [-0.0, 0.0]])
def test_any_numbers_can_be_drawn(values: list[float | None]) -> None:
    html = chart("x", range(len(values)), [Series("y", values)])
    assert "nan" not in html
    assert "inf" not in html
    assert html.count("<path") == 1


def test_gaps_stay_gaps_and_long_curves_are_thinned() -> None:
    html = chart("x", range(5), [Series("y", [1.0, 2.0, None, 3.0, None])])
    assert re.search(r'd="M[^M]*L[^M]*M[^ML]*h0.01"', html), "a line, a gap, a dot"
    assert 'data-y="1,2,,3,"' in html
    assert chart("x", range(2), [Series("y", [None, None])]) == ""
    long = chart("x", range(10_000), [Series("y", [float(i % 7) for i in range(10_000)])])
    points = re.search(r'data-x="([^"]*)"', long)
    assert points is not None
    assert 100 < len(points[1].split(",")) <= MOST_POINTS


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
def test_a_browser_shows_the_page_on_a_desk_and_on_a_phone(run: Path, browser: chromium.Browser) -> None:
    page = write_report(run)
    assert page == run / "report.html"
    backgrounds = set()
    for width, height, dark in ((390, 844, False), (1280, 900, True)):
        browser.open(page, width, height, dark=dark)
        assert browser.run("document.documentElement.dataset.ready") == "yes"
        assert browser.run("document.title") == "mini compiled on studio:world/train"
        browser.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run("document.querySelectorAll('.pair img').length") == 24
        shown = "Promise.all([...document.images].map(i => { i.loading = 'eager'; return i.decode(); })).then(() => 1)"
        found = browser.send("Runtime.evaluate", expression=shown, awaitPromise=True, returnByValue=True)
        assert found["result"].get("value") == 1, "every picture can be decoded"
        pair = "[...document.querySelector('.pair').children].map(c => c.getBoundingClientRect())"
        assert browser.run(f"(p => p[0].top === p[1].top && p[0].right <= p[1].left)({pair})") is True
        curve = "document.querySelector('.chart svg .line').getBoundingClientRect()"
        assert browser.run(f"{curve}.width") > 0.6 * min(width, 340)
        backgrounds.add(browser.run("getComputedStyle(document.body).backgroundColor"))
        with Image.open(io.BytesIO(browser.picture())) as shot:
            colours = shot.convert("RGB").getcolors(1 << 20)
            assert colours is not None
            assert len(colours) > 50
    assert len(backgrounds) == 2, "dark and light differ"
    assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []


@needs_browser
def test_a_pointer_reads_values_off_a_curve(run: Path, browser: chromium.Browser) -> None:
    page = write_report(run)
    browser.open(page, 1280, 900)
    box = "document.querySelector('.plot[data-x]').getBoundingClientRect()"
    place = browser.run(f"(b => [b.right - 1, b.top + 40])({box})")
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    tip = "document.querySelector('.plot[data-x] .tip')"
    last = open_run(run).steps[-1]
    told = str(browser.run(f"{tip}.textContent")).split("\n")
    assert told[0] == "step 6"
    assert float(told[1].split()[-1]) == pytest.approx(last.figures["reward/mean"], rel=1e-3)
    assert browser.run(f"{tip}.getBoundingClientRect().right") <= 1280
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    assert browser.run(f"{tip}.hidden") is True
