from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genevolve.cli.app import run_command_line
from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.judges.agreement import rank_correlation, ranks, variance_within, weighted_kappa
from genevolve.interpreter.judges.catalog import open_judge
from genevolve.interpreter.judges.protocol import Case, Verdict
from genevolve.interpreter.judges.reliability import Trial, measure, planted_trials, read_journal, report
from genevolve.interpreter.studio.drawing import draw
from genevolve.interpreter.studio.scene import Scene, Thing

HALVES = (0.0, 0.5, 1.0)


class TestAgreement:
    def test_kappa_of_known_tables(self) -> None:
        a, b = [0, 0, 1, 1], [0, 1, 0, 1]
        assert weighted_kappa(a, a, (0, 1)) == 1.0
        assert weighted_kappa(a, b, (0, 1)) == pytest.approx(0.0)
        assert weighted_kappa([0, 1], [1, 0], (0, 1)) == pytest.approx(-1.0)
        # By hand: the squared distance is 0.125 as seen, 0.28125 by chance.
        assert weighted_kappa([0, 0.5, 1, 1], [0, 0.5, 0.5, 0.5], HALVES) == pytest.approx(
            1 - 0.125 / 0.28125
        )
        assert weighted_kappa([1, 1], [1, 1], HALVES) is None
        assert weighted_kappa([], [], HALVES) is None

    def test_rank_correlation_is_the_correlation_of_ranks(self) -> None:
        assert rank_correlation([1, 2, 3, 4], [10, 20, 30, 900]) == pytest.approx(1.0)
        assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
        iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
        hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
        assert rank_correlation(iq, hours) == pytest.approx(-29 / 165)
        assert rank_correlation([1, 1], [1, 2]) is None
        assert list(ranks([5, 1, 5, 9])) == [2.5, 1.0, 2.5, 4.0]
        values = np.random.default_rng(0).normal(size=(2, 40))
        expected = np.corrcoef(values.argsort(1).argsort(1))[0, 1]
        assert rank_correlation(list(values[0]), list(values[1])) == pytest.approx(expected)

    def test_variance_of_repeats(self) -> None:
        assert variance_within([[1, 0], [0.5, 0.5], [1]]) == pytest.approx(0.25)
        assert variance_within([[1.0]]) is None


class Wavering:
    """A judge of brightness whose second opinion differs; it fails on red pictures."""

    name, version = "wavering", "1"

    def __init__(self) -> None:
        self.asked = 0

    def score(self, case: Case) -> Verdict:
        self.asked += 1
        assert case.image is not None
        red, green, _ = case.image.getpixel((0, 0))  # type: ignore[misc]  # an RGB picture
        if red > 200 > green:
            return Verdict(None, unscored="red hurts")
        value = green / 255
        return Verdict(value, {"aesthetics": value})


def trials() -> list[Trial]:
    colours = {"dark": (0, 0, 0), "light": (250, 255, 250), "red": (255, 0, 0)}
    cases = {n: Case("r", Image.new("RGB", (4, 4), c), id=n) for n, c in colours.items()}
    return [
        Trial(cases["light"]),
        Trial(cases["dark"], "darkened", "aesthetics", "light"),
        Trial(cases["red"], "reddened", "aesthetics", "light"),
    ]


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    judge, journal = Wavering(), tmp_path / "j.jsonl"
    first = asyncio.run(measure({"w": judge}, trials()[:1], journal, repeats=2))
    with journal.open("a") as file:
        file.write('{"key": "cut of')
    assert len(read_journal(journal)) == 2
    journal.write_text("".join(line + "\n" for line in journal.read_text().splitlines()[:2]))
    records = asyncio.run(measure({"w": judge}, trials(), journal, repeats=2))
    assert judge.asked == 6
    assert [r.score for r in records[:2]] == [r.score for r in first]
    data = report(trials(), records)
    assert data["judges"]["w"]["unscored"] == 2
    assert data["judges"]["w"]["variance_of_repeats"] == 0.0
    row = {"planted": 2, "unscored": 1, "noticed": 1, "nowhere_else": 1}
    assert data["defects"]["w"] == {"aesthetics": row}


def test_planted_defects_are_noticed_where_they_are(tmp_path: Path) -> None:
    records = asyncio.run(
        measure({"i": open_judge("inspector")}, (made := planted_trials(10, 3)), tmp_path / "j.jsonl")
    )
    rows = report(made, records)["defects"]["i"].values()
    assert sum(r["planted"] for r in rows) == 10
    assert sum(r["noticed"] for r in rows) >= 9


class TestCommands:
    def picture(self, path: Path, colour: str = "red") -> str:
        draw(Scene((Thing("kite", colour),))).save(path)
        return str(path)

    def test_score(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        image, truth = self.picture(tmp_path / "a.png", "blue"), self.picture(tmp_path / "b.png")
        wanted = tmp_path / "c.json"
        wanted.write_text(json.dumps([{"kind": "attribute", "arguments": {"what": "kite", "value": "red"}}]))
        call = [
            "judge",
            "score",
            image,
            "--request",
            "a red kite",
            "--ground-truth",
            truth,
            "--judge",
            "inspector",
        ]
        assert run_command_line([*call, "--constraints", str(wanted), "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert data["dimensions"]["visual_correctness"] == 0
        assert data["dimensions"]["text_accuracy"] is None
        assert run_command_line(call) == 0
        assert "visual_correctness" in capsys.readouterr().out

    def test_mistakes_of_the_user(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        image = self.picture(tmp_path / "a.png")
        broken = tmp_path / "c.json"
        broken.write_text('[{"kind": 7}]')
        base = ["judge", "score", image, "--request", "x", "--judge", "inspector"]
        assert run_command_line([*base, "--constraints", str(broken)]) == 1
        assert run_command_line(["judge", "score", str(tmp_path / "no.png"), "--request", "x"]) == 1
        assert run_command_line([*base[:-1], "inspektor"]) == 2
        assert run_command_line(base) == 3  # unscored: there is no ground truth
        assert run_command_line(["judge", "reliability", "--out", str(tmp_path / "o")]) == 1
        told = capsys.readouterr().err
        assert "did you mean 'inspector'" in told
        assert "Traceback" not in told

    def test_reliability(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.picture(tmp_path / "a.png")
        self.picture(tmp_path / "b.png", "blue")
        rows = [{"id": n, "prompt": "a kite", "image": n, "gt_image": "a.png"} for n in ("a.png", "b.png")]
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        call = [
            "judge",
            "reliability",
            str(tmp_path / "rows.jsonl"),
            "--out",
            str(tmp_path / "out"),
            "--repeats",
            "2",
        ]
        judges = ["--judge", "inspector", "--judge", "inspector:no-ocr"]
        assert run_command_line([*call, *judges, "--json"]) == 0
        data = json.loads(capsys.readouterr().out)
        assert data["agreement"][0]["rank_correlation"] == pytest.approx(1.0)
        assert data["judges"]["inspector"]["variance_of_repeats"] == 0.0
        assert json.loads((tmp_path / "out" / "report.json").read_text()) == data


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("kscor:x", "did you mean 'kscore'"),
        ("inspector:fast", "no-ocr"),
        ("inspector?formula=papr", "did you mean 'paper'"),
        ("kscore:m?formul=paper", "did you mean 'formula'"),
        ("sufficiency:x", "nothing after its name"),
        ("kscore:m?formula", "name=value"),
    ],
)
def test_specifications_that_are_wrong(spec: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        open_judge(spec)
