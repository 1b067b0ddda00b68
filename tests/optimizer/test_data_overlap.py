"""What is nearly the same is found, and splits share nothing of it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genevolve.grammar.errors import AuthorError
from genevolve.optimizer.data.folder import DataFolder, read_rows
from genevolve.optimizer.data.overlap import (
    closest_by_meaning,
    components,
    jaccard,
    near_duplicates,
    normalized,
    shingles,
)
from genevolve.optimizer.data.splitting import deal, make, overlaps, read_report

WORDS = (
    "river",
    "stone",
    "lamp",
    "crown",
    "boat",
    "garden",
    "bell",
    "tower",
    "fish",
    "cloud",
    "ladder",
    "mirror",
)


def sentence(rng: random.Random, length: int = 24) -> list[str]:
    return [rng.choice(WORDS) + str(rng.randrange(40)) for _ in range(length)]


def test_ways_of_writing_the_same() -> None:
    assert normalized("  A “Red” KITE — over\tthe ﬁeld! ") == normalized("a red kite over the field")
    assert shingles("one two") == {"one two"}
    assert jaccard(shingles("a b c d"), shingles("a b c e")) == pytest.approx(1 / 3)


def test_pairs_are_those_that_an_exact_comparison_finds() -> None:
    rng = random.Random(4)
    texts = []
    for _ in range(60):
        words = sentence(rng)
        texts.append(" ".join(words))
        changed = list(words)
        for place in rng.sample(range(len(words)), rng.choice((0, 1, 2, 8))):
            changed[place] = "other"
        texts.append(" ".join(changed).upper() + ".")
    sets = [shingles(t) for t in texts]
    for threshold in (0.6, 0.8):
        exact = {
            (i, j) for i, j in itertools.combinations(range(120), 2) if jaccard(sets[i], sets[j]) >= threshold
        }
        found = {(p.first, p.second) for p in near_duplicates(texts, threshold)}
        assert found <= exact
        assert len(found) >= 0.97 * len(exact) > 10


def test_many_copies_are_cheap() -> None:
    found = near_duplicates(["the same text"] * 5_000)
    assert len(found) == 4_999
    assert components(5_000, [(p.first, p.second) for p in found]) == [list(range(5_000))]


class Letters:
    """Counts letters: near where the letters are the same."""

    name = "letters"

    def embed(self, texts: Sequence[str]) -> Any:
        rows = [[t.count(c) + 1e-9 for c in "abcdefghijklmnopqrstuvwxyz"] for t in texts]
        return np.array(rows, dtype=np.float32)

    embed_queries = embed


def test_the_nearest_in_meaning() -> None:
    assert closest_by_meaning(["abc", "xyz"], ["qqq", "zyx"], Letters()) == (1.0, 1, 1)
    assert closest_by_meaning([], ["a"], Letters()) is None


def test_splits_share_nothing(tmp_path: Path) -> None:
    rng = random.Random(1)
    rows = []
    for i in range(120):
        words = sentence(rng)
        rows.append({"id": f"a{i}", "prompt": " ".join(words), "entities": [f"e{i % 50}", f"f{i}"]})
        if i % 4 == 0:
            rows.append({"id": f"b{i}", "prompt": " ".join(words).title() + "!", "entities": []})
    with DataFolder(tmp_path / "d") as data:
        data.write("requests", rows, settings={})
        make(data, seed=3, embedder=Letters())
        report = read_report(data.path)
        assert report is not None
        parts = {n: list(read_rows(data.path / "splits" / f"{n}.jsonl")) for n in report["sizes"]}
        assert sum(map(len, parts.values())) == len(rows)
        assert len({r["id"] for p in parts.values() for r in p}) == len(rows)
        assert abs(report["sizes"]["train"] / len(rows) - 0.8) < 0.05
        for found in report["overlaps"].values():
            assert (found["equal"], found["near_duplicates"], found["shared_values"]) == (0, 0, 0)
            assert 0 < found["nearest_in_meaning"]["cosine"] <= 1
        before = (data.path / "splits" / "heldout.jsonl").read_bytes()
        make(data, seed=3)
        assert (data.path / "splits" / "heldout.jsonl").read_bytes() == before


def test_an_overlap_that_is_there_is_reported() -> None:
    parts = {
        "train": [{"prompt": "A red kite over the sea."}],
        "heldout": [{"prompt": "a red kite over the SEA"}],
    }
    found = overlaps(parts, 0.8, ())["train | heldout"]
    assert (found["equal"], found["near_duplicates"]) == (1, 1)
    assert found["examples"][0][2] == 1.0


def test_groups_that_cannot_be_dealt(tmp_path: Path) -> None:
    with pytest.raises(AuthorError, match="nothing is left for"):
        deal([list(range(10))], {"train": 0.8, "validation": 0.05, "heldout": 0.15}, 0)
    with DataFolder(tmp_path / "d") as data:
        data.write("requests", [{"id": 1, "prompt": "x"}], settings={})
        with pytest.raises(AuthorError, match="add up to 1"):
            make(data, {"train": 0.5})
        with pytest.raises(AuthorError, match="add up to 1"):
            make(data, {"train": 0.5, "other": 0.5})
