"""The call cache: shared by processes, bounded, and never the reason why a run fails."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes import handle

from genevolve.interpreter.cache import CallCache, arguments_json, call_key
from genevolve.interpreter.values import Evidence, Images, SizeValue, Snippet, Value

KEY = call_key("search", "1", arguments_json(("a",), {"top_k": 5}))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, said: list[str]) -> Iterator[CallCache]:
    cache = CallCache(tmp_path / "sub" / "calls.sqlite", notify=said.append)
    yield cache
    cache.close()


def test_the_key_depends_on_everything_and_not_on_the_order_of_names() -> None:
    data = arguments_json(("a", 1), {"x": 1.0, "y": True})
    same = arguments_json(("a", 1), {"y": True, "x": 1.0})
    others = [("a", "1"), ("a", 1.0), ("b", 1)]
    assert call_key("t", "1", data) == call_key("t", "1", same)
    keys = {
        call_key("t", "1", data),
        call_key("t", "2", data),
        call_key("u", "1", data),
        call_key("t", None, data),
    }
    keys |= {call_key("t", "1", arguments_json(o, {"x": 1.0, "y": True})) for o in others}
    assert len(keys) == 7


@pytest.mark.parametrize(
    "value",
    ["text ü \ud800", 7, 2.5, True, SizeValue(3, 4), Evidence((Snippet("a", "b", "c", 0.5),)), Images(())],
)
def test_values_come_back_as_they_were(cache: CallCache, value: Value) -> None:
    assert cache.get(KEY) is None
    cache.put(KEY, value)
    assert cache.get(KEY) == value
    assert type(cache.get(KEY)) is type(value)


def test_what_can_be_told_without_waiting(cache: CallCache, tmp_path: Path) -> None:
    assert cache.get_now(KEY) is None, "the file is not open yet"
    cache.put(KEY, "kept")
    assert cache.get_now(KEY) == "kept"
    with cache._lock:
        assert cache.get_now(KEY) is None, "another thread is at it"
        assert cache.get_now("other") is None
    cache.put(KEY, handle(tmp_path / "a.png"))
    assert cache.get_now(KEY) is None, "files are looked at elsewhere"
    assert cache.get(KEY) == handle(tmp_path / "a.png")


@pytest.mark.parametrize("end", ["put", "close"])
def test_quick_reads_count_as_use(tmp_path: Path, end: str) -> None:
    now = [0.0]
    cache = CallCache(tmp_path / "c.sqlite", max_bytes=1_000, clock=lambda: now[0])
    keys = [call_key("t", str(i), {}) for i in range(8)]
    for key in keys[:5]:
        now[0] += 100
        cache.put(key, "x" * 80)
    now[0] += 100
    assert cache.get_now(keys[0]) is not None
    if end == "close":
        cache.close()
    for key in keys[5:]:
        now[0] += 100
        cache.put(key, "x" * 80)
    assert cache.get(keys[0]) is not None
    assert cache.get(keys[1]) is None
    cache.close()


def test_it_lasts_beyond_the_object(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    first = CallCache(path)
    first.put(KEY, "kept")
    first.close()
    second = CallCache(path)
    assert second.get(KEY) == "kept"
    second.close()


def test_an_image_that_is_gone_or_changed_is_a_miss(cache: CallCache, tmp_path: Path) -> None:
    image = handle(tmp_path / "a.png")
    cache.put(KEY, Images((image,)))
    assert cache.get(KEY) == Images((image,))
    image.file.write_bytes(image.file.read_bytes() + b"!")
    assert cache.get(KEY) is None
    cache.put(KEY, handle(tmp_path / "b.png"))
    (tmp_path / "b.png").unlink()
    assert cache.get(KEY) is None
    assert cache.stats() == {"entries": 0, "bytes": 0}


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    now = [0.0]
    cache = CallCache(tmp_path / "c.sqlite", max_bytes=2_000, clock=lambda: now[0])
    keys = [call_key("t", str(i), {}) for i in range(12)]
    for key in keys[:6]:
        now[0] += 100
        cache.put(key, "x" * 100)
    now[0] += 100
    assert cache.get(keys[0]) is not None, "used again, so it is young"
    for key in keys[6:]:
        now[0] += 100
        cache.put(key, "x" * 100)
    kept = [i for i, key in enumerate(keys) if cache.get(key) is not None]
    assert cache.stats()["bytes"] <= 2_000
    assert 11 in kept
    assert 0 in kept
    assert 1 not in kept
    assert kept == sorted(kept)
    cache.close()


def test_the_size_is_counted_right_when_a_value_is_replaced(cache: CallCache) -> None:
    for size in (10, 1000, 20):
        cache.put(KEY, "x" * size)
    one = cache.stats()
    cache.clear()
    cache.put(KEY, "x" * 20)
    assert cache.stats() == one
    cache.clear()
    assert cache.stats() == {"entries": 0, "bytes": 0}


def test_what_is_larger_than_the_bound_is_not_kept(tmp_path: Path) -> None:
    cache = CallCache(tmp_path / "c.sqlite", max_bytes=500)
    cache.put(KEY, "x" * 1000)
    assert cache.get(KEY) is None
    cache.close()


def test_a_corrupt_file_is_moved_aside_and_said_once(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "c.sqlite"
    path.write_bytes(b"this is no database, by no means" * 100)
    cache = CallCache(path, notify=said.append)
    cache.put(KEY, "new")
    assert cache.get(KEY) == "new"
    assert len(said) == 1
    assert "corrupt" in said[0]
    assert [p.read_bytes()[:4] for p in tmp_path.glob("*.corrupt-*")] == [b"this"]
    cache.close()


def test_a_file_that_is_damaged_while_in_use(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "c.sqlite"
    cache = CallCache(path, notify=said.append)
    for i in range(200):
        cache.put(call_key("t", str(i), {}), "x" * 500)
    cache.close()
    data = bytearray(path.read_bytes())
    data[4096:60_000] = os.urandom(60_000 - 4096)
    path.write_bytes(bytes(data))
    for i in range(200):
        cache.get(call_key("t", str(i), {}))
        cache.put(call_key("t", str(i), {}), "again")
    assert cache.get(call_key("t", "5", {})) == "again"
    assert len(said) == 1
    cache.close()


def test_a_foreign_database_is_left_alone(tmp_path: Path, said: list[str]) -> None:
    path = tmp_path / "c.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE precious (x)")
    other.close()
    before = path.read_bytes()
    cache = CallCache(path, notify=said.append)
    cache.put(KEY, "x")
    cache.put(KEY, "x")
    assert cache.get(KEY) is None
    assert path.read_bytes() == before
    assert len(said) == 2, "once for reading, once for writing"
    cache.close()


def test_a_place_that_cannot_be_written(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = CallCache(tmp_path / "file" / "c.sqlite", notify=said.append)
    cache.put(KEY, "x")
    assert cache.get(KEY) is None
    assert said


def test_a_row_that_somebody_tampered_with_is_a_miss(cache: CallCache) -> None:
    cache.put(KEY, "x")
    with sqlite3.connect(cache.path) as other:
        other.execute('UPDATE calls SET value = \'{"type": "images", "value": 5}\'')
    other.close()
    assert cache.get(KEY) is None


def _work(path: Path, number: int, results: Any) -> None:
    cache = CallCache(path, max_bytes=50_000)
    good = 0
    for i in range(150):
        key = call_key("t", str((i * 7 + number) % 60), {})
        value = cache.get(key)
        good += value in (None, f"{(i * 7 + number) % 60}" * 50)
        cache.put(key, f"{(i * 7 + number) % 60}" * 50)
    cache.close()
    results.put(good)


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_many_processes_share_one_file(tmp_path: Path, method: str) -> None:
    context = multiprocessing.get_context(method)
    results = context.Queue()
    path = tmp_path / "shared.sqlite"
    workers = [context.Process(target=_work, args=(path, n, results)) for n in range(3)]
    for worker in workers:
        worker.start()
    assert [results.get(timeout=60) for _ in workers] == [150, 150, 150]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    cache = CallCache(path)
    stats = cache.stats()
    cache.close()
    assert 0 < stats["entries"] <= 60
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert raw.execute("SELECT sum(size) FROM calls").fetchone()[0] == stats["bytes"]
    raw.close()


def test_a_fork_does_not_use_its_parents_connection(cache: CallCache) -> None:
    cache.put(KEY, "parent")
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=lambda: results.put(cache.get(KEY)))
    child.start()
    assert results.get(timeout=30) == "parent"
    child.join()
    assert cache.get(KEY) == "parent"
