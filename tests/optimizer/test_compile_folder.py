"""The run folder: what counts after a kill, what is taken back, versions and their gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genevolve.grammar.errors import AuthorError, ConfigurationError
from genevolve.optimizer.compiling import durable, gate
from genevolve.optimizer.compiling.folder import RunFolder
from genevolve.optimizer.compiling.run import choose_settings
from genevolve.optimizer.compiling.settings import read_settings
from genevolve.optimizer.compiling.versions import Version, Versions, rollback

IDENTITY: dict[str, Any] = {
    "settings": read_settings("laptop").to_dict(),
    "policy": {"name": "mini", "version": "made from nothing"},
    "suite": {"name": "studio:w/train", "digest": "abc", "rows": 3},
    "validation": None,
    "sketch": None,
    "renderer": "studio 1",
    "judge": "inspector 1",
}


def begun(path: Path) -> RunFolder:
    folder = RunFolder(path, resume=False)
    folder.claim(IDENTITY)
    folder.set_state(phase="evolving", step=0, best="v000")
    return folder


def checkpoint(folder: RunFolder, step: int, **facts: Any) -> Path:
    """A sealed checkpoint with a file, a copy of a store, and a line of each kind for every step so far."""
    path = folder.checkpoints / f"checkpoint-{step}"
    (path / "experiences").mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"weights %d" % step)
    (path / "experiences" / "experiences.sqlite").write_bytes(b"store %d" % step)
    folder.steps.append([{"step": step}])
    folder.groups.append([{"step": step, "n": 1}, {"step": step, "n": 2}])
    folder.step_pictures(step).joinpath("a-best.png").write_bytes(b"png")
    folder.seal(path, step, {"best": "v000", **facts})
    return path


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_newer_than_a_checkpoint_is_taken_back(tmp_path: Path) -> None:
    with begun(tmp_path / "run") as folder:
        checkpoint(folder, 1)
        checkpoint(folder, 2)
        folder.steps.append([{"step": 3}])
        with folder.groups.path.open("ab") as file:
            file.write(b'{"step": 3, "cut o')  # a kill in the middle of a line
        half = folder.checkpoints / "checkpoint-3"
        half.mkdir()
        (half / "model.safetensors").write_bytes(b"half")
        folder.step_pictures(3)
        folder.store.mkdir()
        (folder.store / "experiences.sqlite").write_bytes(b"store 3")
    with RunFolder(tmp_path / "run", resume=True) as folder:
        latest = folder.complete()[-1]
        assert (latest.step, folder.intact(latest)) == (2, True)
        folder.restore(latest)
        assert [x["step"] for x in lines(folder.steps.path)] == [1, 2]
        assert [x["step"] for x in lines(folder.groups.path)] == [1, 1, 2, 2]
        assert sorted(p.name for p in folder.checkpoints.iterdir()) == ["checkpoint-1", "checkpoint-2"]
        assert sorted(p.name for p in folder.pictures.iterdir()) == ["step-0001", "step-0002"]
        assert (folder.store / "experiences.sqlite").read_bytes() == b"store 2"
        folder.restore(None)
        assert lines(folder.steps.path) == []
        assert not folder.store.exists()
        assert not list(folder.checkpoints.iterdir())


def test_a_damaged_checkpoint_is_noticed(tmp_path: Path) -> None:
    with begun(tmp_path / "run") as folder:
        path = checkpoint(folder, 1)
        (path / "model.safetensors").write_bytes(b"weights X")
        assert not folder.intact(folder.complete()[0])
        (path / "complete.json").write_bytes(b"{")
        assert folder.complete() == []


def test_lines_shorter_than_the_checkpoint_knows_are_told(tmp_path: Path) -> None:
    with begun(tmp_path / "run") as folder:
        checkpoint(folder, 1)
        folder.steps.path.write_bytes(b"")
        with pytest.raises(AuthorError, match=r"steps\.jsonl is damaged"):
            folder.restore(folder.complete()[0])


def test_old_checkpoints_go(tmp_path: Path) -> None:
    with begun(tmp_path / "run") as folder:
        for step in (1, 2, 3, 10):
            checkpoint(folder, step)
        folder.prune(2)
        assert [c.step for c in folder.complete()] == [3, 10]
        assert sorted(p.name for p in folder.checkpoints.iterdir()) == ["checkpoint-10", "checkpoint-3"]


def test_who_may_write_where(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    for resume, said in ((False, "is not empty: choose another folder"), (True, "no compilation that could")):
        with pytest.raises(AuthorError, match=said):
            RunFolder(other, resume=resume)
    (tmp_path / "file").write_text("")
    with pytest.raises(AuthorError, match="is a file"):
        RunFolder(tmp_path / "file", resume=False)
    with begun(tmp_path / "run"):
        with pytest.raises(AuthorError, match="another process is working"):
            RunFolder(tmp_path / "run", resume=True)
        with pytest.raises(AuthorError, match="use --resume"):
            RunFolder(tmp_path / "run", resume=False)
    with RunFolder(tmp_path / "new", resume=True) as folder:  # a kill before the first file: it begins anew
        assert folder.identity is None


def test_another_compilation_is_refused_by_what_differs(tmp_path: Path) -> None:
    begun(tmp_path / "run").close()
    moved = IDENTITY | {"suite": {"name": "studio:elsewhere/train", "digest": "abc", "rows": 3}}
    with RunFolder(tmp_path / "run", resume=True) as folder:
        folder.claim(moved)
        with pytest.raises(AuthorError, match=r"suite .*def now"):
            folder.claim(moved | {"suite": {"name": "x", "digest": "def", "rows": 3}})
        with pytest.raises(AuthorError, match="judge"):
            folder.claim(moved | {"judge": "inspector 2"})


def test_settings_of_a_run_that_goes_on(tmp_path: Path) -> None:
    begun(tmp_path / "run").close()
    found = choose_settings(tmp_path / "run", None, None, ["limits.hours=2"], {}, resume=True)
    assert found.limits.hours == 2
    assert found.training == read_settings("laptop").training
    with pytest.raises(ConfigurationError, match=r"training\.steps \(30 then, 9 now\)"):
        choose_settings(tmp_path / "run", None, None, ["training.steps=9"], {}, resume=True)
    with pytest.raises(ConfigurationError, match=r"rollouts\.requests"):
        choose_settings(tmp_path / "run", "paper", None, [], {}, resume=True)


def test_folders_that_were_cut_off_are_settled(tmp_path: Path) -> None:
    durable.make_folder(tmp_path / "a", lambda p: (p / "x").write_bytes(b"1") and None)
    (tmp_path / "a").rename(tmp_path / ".a.old")  # killed between the two renames
    (tmp_path / ".a.part").mkdir()
    (tmp_path / ".b.json.1234.part").write_bytes(b"")
    durable.settle(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]
    assert (tmp_path / "a" / "x").read_bytes() == b"1"

    def fails(part: Path) -> None:
        (part / "x").write_bytes(b"2")
        raise ValueError

    with pytest.raises(ValueError):
        durable.make_folder(tmp_path / "a", fails)
    assert (tmp_path / "a" / "x").read_bytes() == b"1"


# ---- versions ----------------------------------------------------------------------------------------


def version(name: str, step: int, accepted: bool, parent: str | None = "v000") -> Version:
    scores = {"kscore": 0.5, "reward": 0.4, "requests": 2, "unscored": 0}
    return Version(name, step, parent, accepted, "because", None, scores)


def add(versions: Versions, made: Version) -> None:
    versions.add(made, lambda part: (part / "model.safetensors").write_text(made.name) and None)
    versions.write_evaluation(made.name, [{"id": "r", "score": 0.5, "reward": 0.4}])


def test_versions_and_rollback(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with begun(run) as folder:
        versions = Versions(run)
        assert versions.next_name() == "v000"
        for made in (
            version("v000", 0, True, None),
            version("v001", 1, True),
            version("v002", 2, False, "v001"),
        ):
            add(versions, made)
        checkpoint(folder, 2, best="v001")
        assert versions.next_name() == "v003"
    assert rollback(run, "v000").name == "v000"
    assert (run / "policy" / "model.safetensors").read_text() == "v000"
    card = (run / "policy" / "README.md").read_text()
    assert "Version v000" in card
    assert "KScore 0.5000" in card
    assert "digest `abc`" in card
    with RunFolder(run, resume=True) as folder:
        assert folder.state["best"] == "v000"
        assert folder.complete()[-1].facts["best"] == "v000"  # where a run that goes on looks
        assert folder.intact(folder.complete()[-1])
    with pytest.raises(AuthorError, match="v002 was never accepted"):
        rollback(run, "v002")
    for name in ("v009", "../v000", "x"):
        with pytest.raises(AuthorError, match="there is no version"):
            rollback(run, name)
    with pytest.raises(AuthorError, match="holds no compilation"):
        rollback(tmp_path / "nowhere", "v000")
    versions.forget_after(1)
    assert [v.name for v in versions.all()] == ["v000", "v001"]
    assert sorted(p.name for p in (run / "evaluations").iterdir()) == ["v000.jsonl", "v001.jsonl"]


def test_a_card_keeps_paths_and_markup_out(tmp_path: Path) -> None:
    settings = read_settings(
        "laptop", values={"policy.policy": "local:/home/someone/secret/models/tiny?device=cpu"}
    )
    hostile = {"name": "studio:/home/someone/w|`<b>\n# x/train", "digest": "d", "rows": 1}
    with RunFolder(tmp_path / "run", resume=False) as folder:
        folder.claim(IDENTITY | {"settings": settings.to_dict(), "suite": hostile})
        folder.set_state(phase="evolving", step=0, best="v000")
        versions = Versions(tmp_path / "run")
        add(versions, version("v000", 0, True, None))
    rollback(tmp_path / "run", "v000")
    card = (tmp_path / "run" / "policy" / "README.md").read_text()
    assert "someone" not in card
    assert "local:models/tiny?device=cpu" in card
    assert "<b>" not in card
    assert "\n# x" not in card


# ---- the gate's decision -----------------------------------------------------------------------------


def records(scores: list[float | None]) -> list[dict[str, Any]]:
    return [{"id": f"r{i}", "score": s, "reward": s} for i, s in enumerate(scores)]


def test_better_on_every_request_is_accepted() -> None:
    base = [0.1 * i for i in range(8)]
    found = gate.decide(records([b + 0.05 + 0.01 * (i % 2) for i, b in enumerate(base)]), records(list(base)))
    assert found.accepted
    assert found.interval.n == 8
    assert found.interval.low is not None
    assert found.interval.low > 0.049


def test_a_better_mean_alone_is_not_enough() -> None:
    base = [0.5] * 6
    lucky = [1.0, 0.5, 0.5, 0.45, 0.5, 0.45]
    found = gate.decide(records(lucky), records(list(base)))
    assert found.interval.mean is not None
    assert found.interval.mean > 0
    assert not found.accepted
    assert "not known to be better" in found.why


def test_the_margin_counts() -> None:
    base, better = records([0.5] * 5), records([0.6] * 5)
    assert gate.decide(better, base, margin=0.05).accepted
    assert not gate.decide(better, base, margin=0.1).accepted
    assert gate.decide(base, base, margin=-0.01).accepted  # whoever wants it may let equals through
    assert not gate.decide(base, base).accepted


def test_only_requests_that_both_were_scored_on_are_compared() -> None:
    found = gate.decide(records([0.9, None, 0.9, 0.9]), records([0.1, 0.1, None, 0.1]))
    assert found.interval.n == 2
    assert not gate.decide(records([0.9, None]), records([0.1, 0.1])).accepted
    assert not gate.decide(records([]), records([0.1])).accepted


def test_means_leave_out_what_was_not_scored() -> None:
    assert gate.means(records([0.2, None, 0.4])) == {
        "kscore": pytest.approx(0.3),
        "reward": pytest.approx(0.3),
        "requests": 3,
        "unscored": 1,
    }
    assert gate.means([])["kscore"] is None
