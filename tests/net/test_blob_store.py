"""The store of downloads: whole files only, bounded, shared, distrustful of what lies on disk."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from genevolve.grammar.errors import StorageError
from genevolve.interpreter.net.store import BlobStore, Meta, StoredBlob

META: Meta = {"media_type": "image/png", "width": 1, "height": 1}


def put(store: BlobStore, key: str, size: int = 1000) -> StoredBlob:
    return store.put(key, key.encode().ljust(size, b"."), META)


def age(blob: StoredBlob, seconds: float) -> None:
    past = time.time() - seconds
    os.utime(blob.path, (past, past))


def files(store: BlobStore, name: str) -> list[Path]:
    return [p for p in (store.folder / name).rglob("*") if p.is_file()]


def test_what_is_put_is_found(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    blob = put(store, "http://a/")
    assert BlobStore(tmp_path).lookup("http://a/") == blob
    assert store.lookup("http://b/") is None
    assert blob.path.name == f"{blob.sha256}.png"


def test_equal_bytes_lie_there_once(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    paths = {store.put(f"http://a/{n}", b"same", META).path for n in range(5)}
    assert len(paths) == 1
    assert store.size() == 4


def test_damaged_files_are_fetched_anew(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    blob = put(store, "k")
    blob.path.write_bytes(b"x" * 1000)
    assert store.lookup("k") is None
    assert put(store, "k") == blob
    assert store.lookup("k") == blob


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b'{"sha256": 1, "suffix": "png", "meta": {}}',
        b'{"sha256": "../../../../etc/passwd", "suffix": "png", "meta": {}}',
        json.dumps({"sha256": "a" * 64, "suffix": "/../../x", "meta": {}}).encode(),
        json.dumps({"sha256": "a" * 64, "suffix": "png", "meta": []}).encode(),
        b"[" * 100_000,
    ],
)
def test_damaged_entries_are_misses(tmp_path: Path, entry: bytes) -> None:
    store = BlobStore(tmp_path)
    put(store, "k")
    files(store, "keys")[0].write_bytes(entry)
    assert store.lookup("k") is None


def test_old_entries_are_misses(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, max_age=100)
    put(store, "k")
    past = time.time() - 101
    os.utime(files(store, "keys")[0], (past, past))
    assert store.lookup("k") is None


def test_the_least_recently_used_files_go(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, max_bytes=10_000, in_use=50)
    for number in range(9):
        age(put(store, f"k{number}"), 1000 - number)
    assert store.lookup("k0") is not None  # used now
    for number in range(9, 30):
        age(put(store, f"k{number}"), 1000 - number)
        assert store.size() <= 11_000
    assert store.lookup("k0") is not None
    assert store.lookup("k1") is None
    assert store.lookup("k29") is not None
    past = time.time() - 60
    for entry in files(store, "keys"):
        os.utime(entry, (past, past))
    age(put(store, "last", 9000), 60)
    assert len(files(store, "keys")) <= 4


def test_files_in_use_stay_up_to_twice_the_bound(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, max_bytes=10_000, in_use=600)
    for number in range(18):
        put(store, f"k{number}")
    assert all(store.lookup(f"k{n}") for n in range(18))
    for number in range(18, 60):
        put(store, f"k{number}")
        assert store.size() <= 21_000


def test_not_every_put_looks_at_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    original = BlobStore._files
    monkeypatch.setattr(BlobStore, "_files", lambda self, name: looks.append(name) or original(self, name))
    store = BlobStore(tmp_path, max_bytes=320_000)
    for number in range(200):
        put(store, f"k{number}", 1000)
    assert len(looks) <= 25


def test_stale_parts_are_swept_and_fresh_ones_left(tmp_path: Path) -> None:
    parts = BlobStore(tmp_path).folder / "parts"
    stale, fresh = parts / "a.part", parts / "b.part"
    for path in (stale, fresh):
        path.write_bytes(b"half")
    past = time.time() - 7200
    os.utime(stale, (past, past))
    BlobStore(tmp_path)
    assert not stale.exists()
    assert fresh.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        BlobStore(tmp_path / "file" / "store")


def test_a_full_disk_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlobStore(tmp_path)

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left"):
        put(store, "k")
    assert not files(store, "parts")


def test_strange_keys(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    for key in ("", "\ud800", "x" * 100_000, "../../etc/passwd", "\0"):
        store.put(key, b"x", META)
        assert store.lookup(key) is not None


def test_another_process_that_hangs_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, lock_patience=0.2)

    async def produce() -> tuple[bytes, Meta]:
        return b"x", META

    async def main() -> StoredBlob:
        async with store._locked("k"):  # as another process would hold it
            return await store.once("k", produce)

    began = time.monotonic()
    assert asyncio.run(main()).sha256
    assert 0.15 < time.monotonic() - began < 3
    assert not files(store, "parts")


def test_several_event_loops_one_after_the_other(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    made = []

    async def produce() -> tuple[bytes, Meta]:
        made.append(1)
        await asyncio.sleep(0)
        return b"x", META

    for _ in range(3):
        asyncio.run(store.once("k", produce))
    assert len(made) == 1
