"""Out of a store and into one: every format, and rows that strangers wrote."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from experience_samples import ADVICE, PlainEmbedder, bundle, experience, program
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genevolve.experience_store import exchange
from genevolve.experience_store.exchange import (
    ImportReport,
    export_experiences,
    format_of,
    import_experiences,
    read_rows,
    write_lines,
)
from genevolve.experience_store.exchange_lines import MAX_ROW, Row, parse_json, read_lines
from genevolve.experience_store.exchange_tables import schema
from genevolve.experience_store.experience import Experience, ProgramRecord, RewardParts
from genevolve.experience_store.store import ExperienceStore
from genevolve.grammar.errors import AuthorError, StorageError

TARGETS = ("all.jsonl", "all.parquet", "dataset")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ExperienceStore]:
    with ExperienceStore.open(tmp_path / "store", embedder=PlainEmbedder(), durable=False) as opened:
        yield opened


def full() -> Experience:
    """One with every field filled, and nulls where they may stand."""
    best = ProgramRecord.of(
        program("a kettle", "a kettle by the wall – größer, 水壺"),
        RewardParts(
            0.1 + 0.2, image=1 / 3, text=None, aesthetics=0.7, text_accuracy_na=True, scoring="release"
        ),
        observations="ab" * 32,
        picture="/pictures/../best.png",
    )
    return experience(
        7,
        request="ein Kessel – größer, 水壺",
        bundle=bundle(*ADVICE[:2], standard=ADVICE[2:4]),
        best=best,
        worst=ProgramRecord.of(program("a kettle", "other"), RewardParts(0.05)),
        gap=(0.1 + 0.2) - 0.05,
        facts=("The kettle holds two litres.",),
        skills=(),
    )


def some(n: int = 6) -> list[Experience]:
    return [*(experience(i) for i in range(n - 1)), full()]


@pytest.mark.parametrize("name", TARGETS)
def test_what_goes_out_comes_in_as_it_was(tmp_path: Path, store: ExperienceStore, name: str) -> None:
    sent = some()
    assert export_experiences(sent, tmp_path / name) == len(sent)
    assert [Experience.from_dict(r.data) for r in read_rows(tmp_path / name)] == sent
    report = import_experiences(store, tmp_path / name)
    assert (report.rows, report.added, report.bad) == (6, 6, 0)
    assert store.ids() == tuple(e.id for e in sent)


@pytest.mark.parametrize("name", TARGETS)
def test_importing_again_changes_nothing(tmp_path: Path, store: ExperienceStore, name: str) -> None:
    export_experiences(some(), tmp_path / name)
    import_experiences(store, tmp_path / name)
    before = (store.ids(), store.generation)
    report = import_experiences(store, tmp_path / name)
    assert (report.known, report.added, report.merged) == (6, 0, 0)
    assert (store.ids(), store.generation) == before


def test_importing_again_changes_nothing_where_the_capacity_could_not_hold_all(tmp_path: Path) -> None:
    twins = [experience(90, request="a ship1 beside a tower2", gap=0.3 + n / 10) for n in range(3)]
    rows = [*(experience(n, gap=0.2 + n % 7 / 10) for n in range(40)), *twins, twins[0]]
    export_experiences(rows, tmp_path / "a.jsonl")
    with ExperienceStore.open(
        tmp_path / "small", embedder=PlainEmbedder(), capacity=25, durable=False
    ) as small:
        first = import_experiences(small, tmp_path / "a.jsonl")
        assert (first.added, first.evicted, first.merged) == (41, 16, 2)

        def everything() -> object:
            with small._database.read() as connection:
                rows = connection.execute(
                    "SELECT id, live, seen, arrival FROM experiences ORDER BY id"
                ).fetchall()
                return rows, small.generation

        before = everything()
        for _ in range(2):
            again = import_experiences(small, tmp_path / "a.jsonl")
            assert (again.known, again.added, again.merged, again.evicted) == (44, 0, 0, 0)
            assert everything() == before
        small.set_capacity(30)  # there is room now: what had to go comes back
        third = import_experiences(small, tmp_path / "a.jsonl")
        assert (third.added, third.evicted, len(small)) == (5, 0, 30)
        assert import_experiences(small, tmp_path / "a.jsonl").known == 44
        gone = next(e for e in rows if e.id not in small.ids() and e.request != twins[0].request)
        assert small.add(gone).status == "added"  # whoever adds one by itself means it
        assert small.verify().problems == ()


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_goes_out_and_in(tmp_path: Path, store: ExperienceStore, name: str) -> None:
    assert export_experiences([], tmp_path / name) == 0
    assert import_experiences(store, tmp_path / name).rows == 0


def test_the_datasets_library_reads_the_folder_and_we_read_what_it_writes(
    tmp_path: Path, store: ExperienceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "SHARD", 4)
    sent = some()
    export_experiences(sent, tmp_path / "dataset")
    assert sorted(p.name for p in (tmp_path / "dataset/data").iterdir()) == [
        "train-00000.parquet",
        "train-00001.parquet",
    ]
    script = """
import sys, datasets
datasets.disable_progress_bars()
loaded = datasets.load_dataset(sys.argv[1] + "/dataset", cache_dir=sys.argv[1] + "/cache")["train"]
print(loaded.num_rows, loaded[5]["request"], loaded[0]["bundle"]["decision_guidance"]["focus"][0])
loaded.save_to_disk(sys.argv[1] + "/saved")
datasets.DatasetDict(train=loaded).save_to_disk(sys.argv[1] + "/saved_dict")
loaded.add_column("mine", [1] * 6).to_parquet(sys.argv[1] + "/more.parquet")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == f"6 {full().request} {ADVICE[0]}"
    for name in ("saved", "saved_dict", "more.parquet"):
        read = [
            Experience.from_dict(r.data) if not r.problem else r.problem for r in read_rows(tmp_path / name)
        ]
        assert read == sent, name


def test_a_dataset_of_exactly_full_files_has_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "SHARD", 3)
    export_experiences(some(6), tmp_path / "d")
    assert len(list((tmp_path / "d/data").iterdir())) == 2


# ---- targets ----


def test_a_target_that_exists_is_left_alone_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    target = tmp_path / "mine.jsonl"
    target.write_text("precious")
    with pytest.raises(AuthorError, match="--force replaces it"):
        export_experiences(some(), target)
    assert target.read_text() == "precious"
    assert export_experiences(some(), target, replace=True) == 6


def test_only_an_exported_dataset_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    export_experiences(some(3), folder)
    with pytest.raises(AuthorError, match="not empty"):
        export_experiences(some(), folder)
    assert export_experiences(some(), folder, replace=True) == 6
    (folder / "data" / "notes.txt").write_text("precious")
    with pytest.raises(AuthorError, match="other things"):
        export_experiences(some(), folder, replace=True)
    assert (folder / "data" / "notes.txt").read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d"]


@pytest.mark.parametrize("name", TARGETS)
def test_an_export_that_breaks_off_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    export_experiences(some(3), tmp_path / name)

    def breaking() -> Iterator[Experience]:
        yield from some(3)
        raise StorageError("the disk is gone")

    with pytest.raises(StorageError):
        export_experiences(breaking(), tmp_path / name, replace=True)
    assert len(list(read_rows(tmp_path / name))) == 3
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("name", "form", "found"),
    [
        ("a.jsonl", None, "jsonl"),
        ("a.PARQUET", None, "parquet"),
        ("a", None, "dataset"),
        ("a.txt", "jsonl", "jsonl"),
    ],
)
def test_formats_by_name(name: str, form: str | None, found: str) -> None:
    assert format_of(Path(name), form) == found


def test_an_unknown_format_is_told() -> None:
    with pytest.raises(AuthorError, match="suffix tells no format"):
        format_of(Path("a.csv"))
    with pytest.raises(AuthorError, match="there is no format 'xml'"):
        format_of(Path("a"), "xml")


def test_json_lines_carry_no_byte_that_drives_a_terminal() -> None:
    file = io.BytesIO()
    write_lines(file, [experience(1, request="\x1b[2J\x7f\u202e\x9b")])
    (line, rest) = file.getvalue().split(b"\n")
    assert rest == b""
    assert all(0x20 <= byte < 0x7F for byte in line)
    assert json.loads(line)["request"] == "\x1b[2J\x7f\u202e\x9b"


# ---- rows of strangers ----


def row(**changes: object) -> dict[str, Any]:
    return {**experience(1).to_dict(), **changes}


BAD_LINES: list[tuple[bytes, str, str]] = [
    (b"{", "unreadable", "it is not JSON"),
    (b"\xff\xfe{}", "unreadable", "it is not UTF-8"),
    (b"[1, 2]", "invalid", "experience is a list"),
    (b"null", "invalid", "experience is null"),
    (b"{}", "invalid", "has no 'request'"),
    (b"[" * 100_000, "unreadable", "nested more than"),
    (b'{"request": ' * 5000 + b"1" + b"}" * 5000, "unreadable", "nested more than"),
    (b'{"gap": NaN}', "unreadable", "NaN is not a number"),
    (b'{"gap": -Infinity}', "unreadable", "-Infinity is not a number"),
    (b'{"gap": ' + b"9" * 5000 + b"}", "unreadable", "digit"),
    (b'{"gap": 1, "gap": 2}', "unreadable", "'gap' stands twice"),
    (json.dumps(row(gap="much")).encode(), "invalid", "experience.gap is a text"),
    (json.dumps(row(gap=10**400)).encode(), "invalid", "too large"),
    (json.dumps(row(gap=True)).encode(), "invalid", "true or false"),
    (json.dumps(row(bundle=[])).encode(), "invalid", "bundle is a list"),
    (json.dumps(row(best="x")).encode(), "invalid", "experience.best is a text"),
    (json.dumps(row(steps=1)).encode(), "invalid", "'steps', which is not known"),
    (json.dumps(row(id="00")).encode(), "invalid", "does not fit the content"),
    (json.dumps(row(schema=9)).encode(), "invalid", "schema"),
    (json.dumps(row(request="\ud800")).encode(), "invalid", "half a character"),
    (json.dumps(row(request="a \x1b[2J ship")).encode(), "not-plain", "control"),
    (json.dumps(row(request="x" * 9000)).encode(), "too-large", "characters"),
    (b'{"request": "' + b"x" * (MAX_ROW + 10) + b'"}', "unreadable", "longer than"),
]


@pytest.mark.parametrize(("line", "code", "reason"), BAD_LINES)
def test_a_bad_line_is_told_and_the_good_ones_are_stored(
    tmp_path: Path, store: ExperienceStore, line: bytes, code: str, reason: str
) -> None:
    path = tmp_path / "mixed.jsonl"
    good = [json.dumps(experience(n).to_dict()).encode() for n in (2, 3)]
    path.write_bytes(b"\n".join([good[0], b"", line, good[1]]))
    report = import_experiences(store, path)
    assert (report.rows, report.added, report.bad) == (3, 2, 1)
    (skipped,) = report.skipped
    assert skipped.code == code
    assert reason in skipped.reason
    assert skipped.where == f"{path}, line 3"
    assert len(store) == 2


def test_lines_of_other_systems(tmp_path: Path, store: ExperienceStore) -> None:
    path = tmp_path / "windows.jsonl"
    lines = [json.dumps(experience(n).to_dict()).encode() for n in (2, 3)]
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines) + b"\r\n\r\n")
    assert import_experiences(store, path).added == 2


def test_a_long_line_is_passed_over_without_being_kept() -> None:
    file = io.BytesIO(b"x" * 5000 + b"\n{}\n" + b"y" * 5000)
    rows = list(read_lines(file, "f", limit=1000))
    assert [(r.where, bool(r.problem)) for r in rows] == [
        ("f, line 1", True),
        ("f, line 2", False),
        ("f, line 3", True),
    ]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(), c, max_size=3),
        max_leaves=20,
    )
)
def test_json_is_read_as_python_reads_it(value: object) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=300))
def test_bytes_are_rows_or_problems(data: bytes) -> None:
    for found in read_lines(io.BytesIO(data), "f", limit=100):
        assert bool(found.problem) or found.data is not None or data


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_row_damaged_anywhere_is_stored_or_told(store: ExperienceStore, data: st.DataObject) -> None:
    """Whatever stands at whatever place of a row, nothing is raised."""
    damaged: Any = json.loads(json.dumps(full().to_dict()))
    place, parts = damaged, []
    while isinstance(place, dict) and place:
        parts.append(data.draw(st.sampled_from(sorted(place))))
        place = place[parts[-1]]
    inner = damaged
    for part in parts[:-1]:
        inner = inner[part]
    inner[parts[-1]] = data.draw(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.lists(st.text(), max_size=2)
        | st.just({})
    )
    rows = [Row("f, line 1", damaged)]
    report = exchange.import_rows(store, rows)
    assert report.added + report.known + report.merged + report.bad == 1


# ---- tables of strangers ----


def parquet(path: Path, rows: list[dict[str, Any]], columns: Any = None) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows, schema=columns), path)
    return path


def plain(**changes: object) -> dict[str, Any]:
    return {"id": experience(1).id, **row(**changes)}


OTHER_TABLES: list[tuple[Callable[[], tuple[list[dict[str, Any]], Any]], str]] = [
    (lambda: ([{"text": "a"}], None), "there is no column 'request'"),
    (lambda: ([{**plain(), "request": 5}], None), "'request' has the type int64; it should be string"),
    (lambda: ([{**plain(), "gap": "x"}], None), "'gap' has the type string"),
    (lambda: ([{**plain(), "bundle": "x"}], None), "'bundle' has the type string; it should be struct"),
    (lambda: ([{**plain(), "skills": "x"}], None), "'skills' has the type string; it should be list"),
    (lambda: ([{**plain(), "skills": [["x"]]}], None), "'skills[]' has the type list"),
]


@pytest.mark.parametrize(("make", "reason"), OTHER_TABLES)
def test_a_table_of_something_else_is_one_problem(
    tmp_path: Path, store: ExperienceStore, make: Callable[[], tuple[list[dict[str, Any]], Any]], reason: str
) -> None:
    rows, columns = make()
    report = import_experiences(store, parquet(tmp_path / "other.parquet", rows * 3, columns))
    (skipped,) = report.skipped
    assert skipped.code == "unreadable"
    assert reason in skipped.reason


def test_bad_rows_of_a_table_are_told_by_their_number(tmp_path: Path, store: ExperienceStore) -> None:
    rows = [plain(), plain(gap=0.9), plain(request="y" * (MAX_ROW + 1)), {**experience(2).to_dict()}]
    path = parquet(tmp_path / "mixed.parquet", rows, schema())
    report = import_experiences(store, path)
    assert (report.rows, report.added) == (4, 2)
    assert [(s.where.rpartition(", ")[2], s.code) for s in report.skipped] == [
        ("row 2", "invalid"),
        ("row 3", "unreadable"),
    ]


def test_text_that_is_no_utf8_in_a_table_is_one_row(tmp_path: Path, store: ExperienceStore) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(
        [plain(), {"id": experience(2).id, **experience(2).to_dict()}], schema=schema()
    )
    bad = pa.array([b"\xff\xfe", experience(2).request.encode()], pa.binary()).view(pa.string())
    table = table.set_column(table.schema.get_field_index("request"), "request", bad)
    pq.write_table(table, tmp_path / "bad.parquet")
    report = import_experiences(store, tmp_path / "bad.parquet")
    assert report.added == 1
    assert "cannot be read" in report.skipped[0].reason


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", os.urandom(500)])
def test_what_is_no_table_is_told(tmp_path: Path, store: ExperienceStore, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    report = import_experiences(store, tmp_path / name)
    assert report.bad == 1
    assert report.added == 0


def test_a_damaged_table_gives_what_it_can_or_a_reason(tmp_path: Path, store: ExperienceStore) -> None:
    whole = tmp_path / "whole.parquet"
    export_experiences(some(6), whole)
    data = whole.read_bytes()
    for place in range(4, len(data), max(1, len(data) // 120)):
        broken = bytearray(data)
        broken[place] ^= 0x55
        (tmp_path / "broken.parquet").write_bytes(broken)
        report = import_experiences(store, tmp_path / "broken.parquet")
        assert report.rows == report.added + report.known + report.merged + report.bad
    (tmp_path / "cut.parquet").write_bytes(data[: len(data) // 2])
    assert "not a Parquet file" in import_experiences(store, tmp_path / "cut.parquet").skipped[0].reason
    known = {e.id for e in some(6)}
    assert set(store.ids()) <= known


def test_a_folder_without_data_is_told(tmp_path: Path, store: ExperienceStore) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(AuthorError, match=r"no \.parquet, \.jsonl or \.arrow files"):
        import_experiences(store, tmp_path / "empty")
    with pytest.raises(AuthorError, match="there is no file"):
        import_experiences(store, tmp_path / "nowhere")


def test_pictures_are_named_and_never_opened(tmp_path: Path, store: ExperienceStore) -> None:
    """A path in a row stays a text, wherever it points."""
    found = experience(4)
    best = ProgramRecord.of(found.best.text, found.best.reward, picture="../../etc/passwd")
    export_experiences([experience(4, best=best)], tmp_path / "d")
    assert import_experiences(store, tmp_path / "d").added == 1
    assert store.list()[0].best.picture == "../../etc/passwd"
    assert {p.name for p in (tmp_path / "d").rglob("*")} == {"README.md", "data", "train-00000.parquet"}


# ---- interruption ----


def test_an_import_that_was_killed_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    export_experiences([experience(n) for n in range(200)], path)
    script = """
import os, signal, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from experience_samples import PlainEmbedder
from genevolve.experience_store.exchange import import_experiences
from genevolve.experience_store.store import ExperienceStore
def told(done):
    if done == 100:
        os.kill(os.getpid(), signal.SIGKILL)
with ExperienceStore.open(sys.argv[1], embedder=PlainEmbedder()) as store:
    import_experiences(store, Path(sys.argv[2]), progress=told)
"""
    arguments = [sys.executable, "-c", script, str(tmp_path / "s"), str(path), str(Path(__file__).parent)]
    assert subprocess.run(arguments, timeout=120).returncode == -9
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder()) as store:
        already = len(store)
        assert 64 <= already < 100
        assert store.verify().ok
        report = import_experiences(store, path)
        assert (report.known, report.added, report.bad) == (already, 200 - already, 0)
        assert store.ids() == tuple(experience(n).id for n in range(200))


def test_a_report_tells_what_was_done_when_the_store_fails(tmp_path: Path, store: ExperienceStore) -> None:
    export_experiences([experience(n) for n in range(100)], tmp_path / "a.jsonl")
    report = ImportReport()

    def told(done: int) -> None:
        if done == 70:
            store.close()

    with pytest.raises(StorageError):
        import_experiences(store, tmp_path / "a.jsonl", report=report, progress=told)
    assert report.added == 64


def test_only_so_many_problems_are_kept(
    tmp_path: Path, store: ExperienceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "MAX_TOLD", 5)
    (tmp_path / "a.jsonl").write_text("[]\n" * 50)
    report = import_experiences(store, tmp_path / "a.jsonl")
    assert (report.bad, len(report.skipped)) == (50, 5)
    assert report.to_dict()["refused"] == {"invalid": 50}
