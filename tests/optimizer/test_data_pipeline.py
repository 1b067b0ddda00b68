"""All stages, from requests to exports: in the small world, and of recipes worded by templates and by a model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from genevolve.grammar.errors import AuthorError, ConfigurationError, ServiceError
from genevolve.interpreter.config import load_config
from genevolve.interpreter.judges.chat import Said
from genevolve.interpreter.judges.protocol import Case, Verdict
from genevolve.interpreter.renderers.catalog import open_renderer
from genevolve.optimizer.data import filtering, splitting, trajectories, truths
from genevolve.optimizer.data.export import export
from genevolve.optimizer.data.folder import DataFolder, read_rows
from genevolve.optimizer.data.recipes import ModelWriter, Recipe, TemplateWriter, read_recipes, written
from genevolve.optimizer.data.requests import from_recipes, from_studio
from genevolve.optimizer.data.stats import stats
from genevolve.optimizer.evaluation.baselines import open_contestant
from genevolve.optimizer.evaluation.suites import open_suite, problems
from genevolve.optimizer.evaluation.workshop import Loop
from genevolve.programs.policies.protocol import Dialogue, Emission, Limits, Policy, Stop
from genevolve.programs.session import open_environment, open_machine

RECIPES = [
    Recipe(
        "event poster",
        "text_rendering",
        "the Falcon 9 rocket",
        "the year of its first flight",
        ("quantity_counting",),
    ),
    Recipe("album cover", "creative_drawing", difficulty="hard"),
]


def pictures(world: Path, judge: Any = None) -> filtering.Pictures:
    suite = open_suite(f"studio:{world}/train")
    rows = {row.id: row for row in suite.rows}
    workshop = Loop(judge, 2, open_renderer("studio"))
    return filtering.Pictures(
        workshop, lambda row: suite.truth_path(rows[row["request_id"]]), {"renderer": "studio"}
    )


@pytest.fixture(scope="module")
def made(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of the small world, whose teacher makes mistakes."""
    from genevolve.interpreter.judges.catalog import open_judge

    folder = tmp_path_factory.mktemp("data") / "d"
    config = load_config(
        flags={
            "library.folders": [str(small_world / "library")],
            "library.embedder": "none",
            "cache.enabled": False,
        }
    )
    teacher = open_contestant(f"oracle:{small_world}?skipped_skill=0.5&wrong_image=0.4")
    with DataFolder(folder) as data, open_machine(config) as machine:
        from_studio(data, f"{small_world}/train", None)
        trajectories.make(data, teacher, machine, rollouts=3, seed=5)
        drawn = pictures(small_world, open_judge("inspector:no-ocr"))
        filtering.filter_rows(data, open_environment(config), filtering.Thresholds(keep=1), drawn)
        drawn.workshop.close()
        truths.make(data, None)
        splitting.make(data, {"train": 0.6, "validation": 0.2, "heldout": 0.2}, together=())
    return folder


def test_yields_go_down_and_are_told(made: Path) -> None:
    with DataFolder(made) as data:
        yields = dict(data.require("filtered").yields)
        assert list(yields) == ["trajectories", *filtering.DIMENSIONS, "kept"]
        numbers = list(yields.values())
        assert numbers == sorted(numbers, reverse=True)
        assert yields["trajectories"] == yields["protocol"] == 30
        assert 0 < yields["kept"] < 30
        kept, rejected = list(data.rows("filtered")), list(read_rows(made / "rejected.jsonl"))
        assert len(kept) + len(rejected) == 30
        assert len({r["request_id"] for r in kept}) == len(kept), "one of each request"
        assert {r["rejected_at"] for r in rejected} <= {*filtering.DIMENSIONS, "kept"}
        assert all(r["checks"]["picture"] >= 0.5 for r in kept)
        found = stats(data)
        assert found["outdated"] == []
        assert found["filtered"]["requests"] == len(kept)
        assert sum(found["splits"]["sizes"].values()) == data.require("truths").rows


def test_what_is_rejected_is_worse(made: Path) -> None:
    with DataFolder(made) as data:
        kept = [r["checks"]["picture"] for r in data.rows("filtered")]
    rejected = [
        r["checks"]["picture"] for r in read_rows(made / "rejected.jsonl") if r["rejected_at"] == "picture"
    ]
    assert all(low < high for low in rejected for high in kept)


def test_truths_are_the_scenes(made: Path, small_world: Path) -> None:
    suite = open_suite(f"studio:{small_world}/train")
    known = {row.id: row for row in suite.rows}
    with DataFolder(made) as data:
        rows = list(data.rows("truths"))
        assert rows
        for row in rows:
            exact = suite.truth_path(known[row["id"]])
            assert exact is not None
            with Image.open(made / row["gt_image"]) as ours, Image.open(exact) as theirs:
                assert ours.tobytes() == theirs.tobytes()


def test_a_stage_that_is_up_to_date_does_nothing(made: Path) -> None:
    with DataFolder(made) as data:
        before = data.require("truths")
        assert truths.make(data, None) == before


def test_datasets_reads_the_export_with_its_pictures(made: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    with DataFolder(made) as data:
        counts = export(data, tmp_path / "hf", "hf")
        with pytest.raises(AuthorError, match="not empty"):
            export(data, tmp_path / "hf", "hf")
    assert "split: train" in (tmp_path / "hf" / "README.md").read_text()
    files = {name: str(tmp_path / "hf" / "data" / f"{name}-00000.parquet") for name in counts}
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in loaded.items()} == counts
    row = loaded["train"][0]
    assert row["gt_image"].size == (384, 384)
    messages = row["trajectories"][0]["messages"]
    assert [m["role"] for m in messages[:3]] == ["system", "user", "assistant"]


def test_the_export_of_a_benchmark_is_read_as_one(made: Path, tmp_path: Path) -> None:
    with DataFolder(made) as data:
        counts = export(data, tmp_path / "b", "bench")
    suite = open_suite(f"genevolve-bench:{tmp_path / 'b'}")
    assert len(suite.rows) == counts["heldout"]
    assert not list(problems(suite))
    assert suite.truth_path(suite.rows[0]) is not None
    assert suite.rows[0].constraints


def test_upstream_messages(made: Path, tmp_path: Path) -> None:
    with DataFolder(made) as data:
        counts = export(data, tmp_path / "u", "upstream")
        with pytest.raises(ConfigurationError, match="no format"):
            export(data, tmp_path / "v", "other")
    rows = json.loads((tmp_path / "u" / "train.json").read_text())
    assert len(rows) == counts["train"]
    assert rows[0]["messages"][-1]["role"] == "assistant"
    assert rows[0]["gen_prompt"]


def test_messages_of_the_released_model(made: Path, tmp_path: Path) -> None:
    with DataFolder(made) as data:
        with pytest.raises(ConfigurationError, match="tools and skills"):
            export(data, tmp_path / "r", "released")
        counts = export(data, tmp_path / "r", "released", open_environment(load_config()))
        kept = data.require("filtered").rows
    assert sum(counts.values()) == kept
    assert "left out" not in counts
    row = json.loads((tmp_path / "r" / "train.json").read_text())[0]
    assert "<answer>" in row["messages"][-1]["content"]
    assert [m["role"] for m in row["messages"][:3]] == ["system", "user", "assistant"]


# ---- interruptions and failures ----------------------------------------------------------------------


class Wavering:
    """A teacher that fails for some requests until it is told not to."""

    name, version, takes_images, constrained = "wavering", "1", False, False

    def __init__(self) -> None:
        self.fails = True
        self.asked = 0

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        self.asked += len(dialogues)
        return [self._turn(i) for i in range(len(dialogues))]

    def _turn(self, index: int) -> Emission:
        if self.fails and index:
            return Emission("", Stop.FAILED, error="no answer")
        return Emission('prompt "A plain picture."\n')

    def release(self, ids: Sequence[str]) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is held."""


def test_a_teacher_that_fails_is_asked_again_only_where_it_failed(tmp_path: Path, small_world: Path) -> None:
    teacher = Wavering()
    policy: Policy = teacher
    config = load_config(
        flags={"library.folders": [str(small_world / "library")], "library.embedder": "none"}
    )
    with DataFolder(tmp_path / "d") as data, open_machine(config) as machine:
        from_recipes(data, RECIPES, TemplateWriter(), 2, 0)
        with pytest.raises(ServiceError, match="3 of 4"):
            trajectories.make(data, policy, machine)
        teacher.fails, asked = False, teacher.asked
        info = trajectories.make(data, policy, machine)
        assert teacher.asked == asked + 3
        assert (info.rows, info.yields["filled"]) == (4, 4)
        # A bare prompt is no sufficient program: the filters say at which step.
        found = filtering.filter_rows(data, machine.environment(), filtering.Thresholds(), None)
        assert found.rows == 0
        assert found.yields["protocol"] == 4
        with pytest.raises(AuthorError, match="--renderer"):
            _with_one_left(data)


def _with_one_left(data: DataFolder) -> None:
    row = next(iter(read_rows(data.path / "rejected.jsonl")))
    data.write("filtered", [row], settings={}, inputs=("trajectories",))
    truths.make(data, None)


class Choosy:
    """A judge that likes one seed best."""

    name, version = "choosy", "1"

    async def score(self, case: Case) -> Verdict:
        assert case.z is not None
        return Verdict({0: 0.2, 1: 0.9, 2: 0.6}[case.z.settings.seed])


def test_the_best_of_several_candidates_is_the_truth(tmp_path: Path, small_world: Path) -> None:
    teacher = Wavering()
    teacher.fails = False
    config = load_config(
        flags={"library.folders": [str(small_world / "library")], "library.embedder": "none"}
    )
    workshop = Loop(Choosy(), 2, open_renderer("storyboard"))
    with DataFolder(tmp_path / "d") as data, open_machine(config) as machine:
        from_recipes(data, RECIPES, TemplateWriter(), 1, 0)
        trajectories.make(data, teacher, machine)
        rows = [{**row, "checks": {"protocol": 1.0}} for row in data.rows("trajectories")]
        data.write("filtered", rows, settings={}, inputs=("trajectories",))
        drawing = truths.Drawing(workshop, {"renderer": "storyboard", "judge": "choosy"}, 3)
        truths.make(data, drawing)
        found = [row["truth"] for row in data.rows("truths")]
        assert [(t["seed"], t["score"]) for t in found] == [(1, 0.9)] * 2
        truths.make(data, replace(drawing, least=0.95))
        assert data.require("truths").rows == 0
    workshop.close()


# ---- recipes -----------------------------------------------------------------------------------------


def test_templates_say_what_the_recipe_asks_for(tmp_path: Path) -> None:
    rows = list(written(RECIPES, TemplateWriter(), 6, 0))
    assert len({r["id"] for r in rows}) == 12
    assert len({r["prompt"] for r in rows if r["category"] == "event poster"}) >= 4
    assert all("Falcon 9" in r["prompt"] for r in rows if r["category"] == "event poster")
    assert {r["track"] for r in rows} == {"knowledge", "quality"}
    assert rows == list(written(RECIPES, TemplateWriter(), 6, 0))
    # Requests that say the same are one.
    with DataFolder(tmp_path / "d") as data:
        info = from_recipes(data, [RECIPES[1]] * 2, TemplateWriter(), 1, 0)
        assert dict(info.yields) == {"written": 2, "distinct": 1}


@pytest.mark.parametrize(
    "row",
    [
        {"family": "", "dominant": "text_rendering"},
        {"family": "poster", "dominant": "other"},
        {"family": "poster", "dominant": "text_rendering", "secondary": "quantity_counting"},
        {"family": "poster", "dominant": "text_rendering", "difficulty": "huge"},
        {"family": "poster", "dominant": "text_rendering", "extra": 1},
        {"family": "p" * 500, "dominant": "text_rendering"},
    ],
)
def test_recipes_that_are_none(tmp_path: Path, row: Mapping[str, Any]) -> None:
    (tmp_path / "r.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(AuthorError, match="recipe 1"):
        read_recipes(tmp_path / "r.jsonl")


class Talker:
    """Stands in for a model behind an address: it says what it is given, in order."""

    version = "talker"

    def __init__(self, *said: str) -> None:
        self.said = list(said)
        self.heard: list[str] = []

    async def ask(self, messages: Sequence[Mapping[str, Any]]) -> Said:
        self.heard.append(str(messages[-1]["content"]))
        return Said(self.said.pop(0))


def test_a_model_words_recipes_and_is_told_what_cannot_be_read() -> None:
    talker = Talker("Sure! Here it is.", '{"request": "Draw  a\\nposter."}')
    assert ModelWriter(talker).write(RECIPES[0], 0) == "Draw a poster."  # type: ignore[arg-type]  # a stand-in
    assert "event poster" in talker.heard[0]
    assert "cannot be read" in talker.heard[1]
    with pytest.raises(ServiceError, match="3 tries"):
        ModelWriter(Talker("", "[]", '{"request": " "}')).write(RECIPES[0], 0)  # type: ignore[arg-type]  # a stand-in
