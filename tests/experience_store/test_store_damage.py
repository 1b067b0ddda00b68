"""Damaged, missing, foreign and unwritable files: recovery, or an error that says what to do; never a wrong answer."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from experience_samples import PlainEmbedder, experience

from genevolve.experience_store.database import NAME
from genevolve.experience_store.store import ExperienceStore
from genevolve.grammar.errors import StorageError

COUNT = 30
SAMPLES = [experience(n) for n in range(COUNT)]


def opened(folder: Path, **options: object) -> ExperienceStore:
    return ExperienceStore.open(folder, embedder=PlainEmbedder(), **options)  # type: ignore[arg-type]  # of `open`


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "store"
    with opened(made) as store:
        assert {r.status for r in store.add_many(SAMPLES)} == {"added"}
    return made


def index_of(folder: Path) -> Path:
    database = sqlite3.connect(folder / NAME)
    name = database.execute("SELECT name FROM index_file").fetchone()[0]
    database.close()
    return folder / str(name)


def finds_everything(folder: Path) -> None:
    with opened(folder) as store:
        for sample in SAMPLES:
            assert [h.experience.id for h in store.search(sample.request)] == [sample.id]
    with opened(folder) as store:
        assert store.verify().ok


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4] ^= 0x40
    path.write_bytes(data)


def swap(path: Path) -> None:
    """Another store's file, right in itself, under this one's name."""
    other = path.parent.parent / "other"
    with opened(other) as store:
        store.add_many([experience(n) for n in range(100, 100 + COUNT)])
    foreign = index_of(other) if path.suffix == ".faiss" else other / path.name
    shutil.copyfile(foreign, path)


def foreign(path: Path) -> None:
    path.write_bytes(b"something else entirely\n" * 500)


def remove(path: Path) -> None:
    path.unlink()


DAMAGES = [truncate, zero, flip, swap, foreign, remove]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_index_file_is_made_again(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(index_of(folder))
    finds_everything(folder)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_vector_file_is_not_believed(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / "vectors-1.f32")
    index_of(folder).unlink()  # so that vectors are needed
    finds_everything(folder)


@pytest.mark.parametrize("damage", [truncate, zero, flip, swap, foreign])
def test_verify_finds_a_bad_index_file(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(index_of(folder))
    with opened(folder) as store:
        report = store.verify()
        assert [p.code for p in report.problems] == ["index"]
        assert not report.ok
        assert store.verify(repair=True).ok
        assert store.verify().problems == ()


def test_an_index_file_of_an_earlier_generation_is_brought_up_to_date(folder: Path) -> None:
    index = index_of(folder)
    old = index.read_bytes()
    database = sqlite3.connect(folder / NAME)
    row = database.execute("SELECT * FROM index_file").fetchone()
    with opened(folder) as store:
        store.remove([SAMPLES[0].id])
        store.add(experience(99))
    index.write_bytes(old)
    database.execute("DELETE FROM index_file")
    database.execute("INSERT INTO index_file VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    database.commit()
    database.close()
    with opened(folder) as store:
        assert store.search(SAMPLES[0].request) == []
        assert store.search(experience(99).request)[0].experience.id == experience(99).id


def test_an_index_file_of_a_generation_to_come_is_not_used(folder: Path) -> None:
    database = sqlite3.connect(folder / NAME)
    database.execute("UPDATE index_file SET generation = generation + 50")
    database.commit()
    database.close()
    finds_everything(folder)


def test_a_database_put_back_from_a_backup_takes_the_index_with_it(folder: Path, tmp_path: Path) -> None:
    with opened(folder) as store:
        store.backup(tmp_path / "backup")
        store.remove([SAMPLES[0].id])
        for n in range(100, 110):
            store.add(experience(n))
    with opened(folder) as store:
        store.search(SAMPLES[1].request)
    shutil.copyfile(tmp_path / "backup" / NAME, folder / NAME)
    finds_everything(folder)


@pytest.mark.parametrize("damage", [zero, foreign])
def test_a_destroyed_database_is_said(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / NAME)
    with pytest.raises(StorageError, match="restore a backup"):
        opened(folder)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_cut_database_is_said_and_what_is_left_is_saved(folder: Path, share: float) -> None:
    path = folder / NAME
    os.truncate(path, int(path.stat().st_size * share))
    try:
        with opened(folder) as store:
            health = store.verify()
            assert not health.ok
            assert "restore a backup" in health.problems[0].message
    except StorageError as error:
        assert "backup" in str(error)  # noqa: PT017  # either is right: an error, or a report
    try:
        report = ExperienceStore.recover(folder)
    except StorageError as error:
        assert "restore a backup" in str(error)  # noqa: PT017  # nothing could be saved, and it is said
        return
    with opened(folder) as store:
        assert store.verify(repair=True).ok
        assert len(store) == report.experiences <= COUNT
        for kept in store.list(limit=None):
            assert kept in [s_with_model(s) for s in SAMPLES]
            assert store.search(kept.request)[0].experience.id == kept.id
    assert list(folder.glob(f"{NAME}.damaged-*"))


def s_with_model(sample: object) -> object:
    from dataclasses import replace

    return replace(sample, embedder="plain:1")  # type: ignore[type-var]  # an experience


def test_most_of_a_database_with_one_bad_page_is_saved(folder: Path) -> None:
    path = folder / NAME
    data = bytearray(path.read_bytes())
    pages = len(data) // 8192
    database = sqlite3.connect(path)
    root = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'experiences'").fetchone()[0]
    database.close()
    leaf = max(p for p in range(pages) if data[p * 8192] == 0x0D and p + 1 != root and p > 4)
    data[leaf * 8192 : leaf * 8192 + 8192] = bytes(8192)
    path.write_bytes(data)
    report = ExperienceStore.recover(folder)
    assert 0 < report.experiences <= COUNT
    with opened(folder) as store:
        assert store.verify(repair=True).ok
        assert len(store) == report.experiences


def test_the_database_of_another_store_is_refused(folder: Path, tmp_path: Path) -> None:
    with opened(tmp_path / "other") as store:
        store.add(experience(500))
    shutil.copyfile(tmp_path / "other" / NAME, folder / NAME)
    with pytest.raises(StorageError, match="belongs to another store"):
        opened(folder)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("s").mkdir()
    database = sqlite3.connect(tmp_path / "s" / NAME)
    database.execute("CREATE TABLE other (x)")
    database.commit()
    database.close()
    with pytest.raises(StorageError, match="another program's database"):
        opened(tmp_path / "s")


def test_a_lost_database_is_not_taken_for_a_new_store(folder: Path) -> None:
    (folder / NAME).unlink()
    with pytest.raises(StorageError, match="missing or empty"):
        opened(folder)


def test_a_store_of_a_newer_version_is_refused(folder: Path) -> None:
    database = sqlite3.connect(folder / NAME)
    database.execute("INSERT INTO migrations (name, at) VALUES ('9999-to-come', 0)")
    database.commit()
    database.close()
    with pytest.raises(StorageError, match="newer version"):
        opened(folder)


def test_a_damaged_row_is_never_shown_and_can_be_taken_out(folder: Path) -> None:
    victim = SAMPLES[3]
    database = sqlite3.connect(folder / NAME)
    body = database.execute("SELECT body FROM experiences WHERE id = ?", (victim.id,)).fetchone()[0]
    database.execute("UPDATE experiences SET body = ? WHERE id = ?", (body[:-9] + b"123456789", victim.id))
    database.commit()
    database.close()
    with opened(folder) as store:
        with pytest.raises(StorageError, match="damaged"):
            store.get(victim.id)
        report = store.verify(repair=True)
        assert [(p.code, p.lost) for p in report.problems] == [("body", victim.id)]
        assert store.verify().problems == ()
        assert store.search(victim.request) == []
        assert len(store) == COUNT - 1


def test_a_damaged_vector_is_never_used_and_made_again(folder: Path) -> None:
    database = sqlite3.connect(folder / NAME)
    database.execute("UPDATE vectors SET data = zeroblob(length(data)) WHERE key & 255 = 5")
    database.commit()
    database.close()
    with opened(folder) as store:
        with pytest.raises(StorageError, match="verify --repair"):
            store.search(SAMPLES[4].request)
        assert store.verify(repair=True).ok
        assert store.search(SAMPLES[4].request)[0].experience.id == SAMPLES[4].id


def test_wrong_counts_are_found_and_mended(folder: Path) -> None:
    database = sqlite3.connect(folder / NAME)
    database.execute("UPDATE state SET live = 7")
    database.execute("UPDATE experiences SET gap = 0.9 WHERE seq = 4")
    database.commit()
    database.close()
    with opened(folder) as store:
        assert sorted(p.code for p in store.verify(repair=True).problems) == ["columns", "count"]
        assert store.verify().problems == ()
        assert len(store) == COUNT


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(place)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not mounted:
        pytest.skip("no right to mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def fill_up(folder: Path) -> list[str]:
    kept = []
    with opened(folder) as store:
        for number in range(10_000):
            try:
                kept.append(store.add(experience(number)).id)
            except StorageError as error:
                assert re.search("disk|room|space", str(error))  # noqa: PT017  # the loop has to end here
                return kept
    raise AssertionError("the disk was never full")


def test_a_full_disk_is_said_and_loses_nothing(small_disk: Path) -> None:
    kept = fill_up(small_disk / "store")
    assert kept
    for path in (small_disk / "store").glob("*.f32"):
        path.unlink()  # make room
    with opened(small_disk / "store") as store:
        assert set(store.ids()) == set(kept)
        assert store.verify().ok


def test_a_limit_of_file_sizes_loses_nothing(tmp_path: Path) -> None:
    code = os.fork()
    if code == 0:
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
            kept = fill_up(tmp_path / "store")
            (tmp_path / "kept").write_text("\n".join(kept))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(code, 0)[1] == 0
    with opened(tmp_path / "store") as store:
        assert set((tmp_path / "kept").read_text().split()) == set(store.ids())
        assert store.verify(repair=True).ok


@pytest.fixture
def read_only_folder(folder: Path) -> Iterator[Path]:
    """A folder that nobody may write, root included: mounted so, or by its permissions."""
    if os.geteuid() == 0:
        for options in (["--bind"], ["-o", "remount,ro,bind"]):
            done = subprocess.run(
                ["mount", *options, str(folder), str(folder)], capture_output=True, check=False
            )
            if done.returncode:
                pytest.skip("no right to mount")
        yield folder
        subprocess.run(["umount", "-l", str(folder)], check=False)
        return
    folder.chmod(0o555)
    yield folder
    folder.chmod(0o755)


def test_a_read_only_folder_can_be_read_and_says_so_when_written(read_only_folder: Path) -> None:
    with opened(read_only_folder, read_only=True) as store:
        for sample in SAMPLES:
            assert store.search(sample.request)[0].experience.id == sample.id
        assert store.verify().ok
        with pytest.raises(StorageError, match="reading only"):
            store.add(experience(77))
    with pytest.raises(StorageError, match=r"reading only|read-only|may not be written"):
        opened(read_only_folder).add(experience(77))


def test_reading_only_writes_nothing(folder: Path) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with opened(folder, read_only=True) as store:
        store.search(SAMPLES[0].request)
        with pytest.raises(StorageError, match="reading only"):
            store.remove([SAMPLES[0].id])
    assert {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.endswith("-shm")} == before | {
        p.name: b"" for p in folder.iterdir() if p.name.endswith("-wal")
    }


def test_a_file_in_the_folders_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("x")
    with pytest.raises(StorageError, match="is a file"):
        opened(tmp_path / "s")
    with pytest.raises(StorageError, match="there is no experience store"):
        opened(tmp_path / "none", read_only=True)
