"""Experiences as Arrow tables: Parquet files and the files of a Hugging Face dataset.

Files come from strangers. Only the columns of an experience are read, a batch at a time; a file that has not got them
is one problem, a row that cannot be read is one, and what follows a damaged place is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.experience_store.bundle import FIELD_SLOTS
from genevolve.experience_store.exchange_lines import MAX_ROW, Row
from genevolve.experience_store.experience import Experience
from genevolve.grammar.errors import ConfigurationError

if TYPE_CHECKING:
    import pyarrow as pa  # has no types: all of it is Any

ROWS = 256
"""Rows that are written at once."""
_READ = 64
"""Rows that are read at once: strangers' rows may be as long as `MAX_ROW` and longer."""
MAX_CHUNK = 1024**3
"""Bytes of one column of one row group, unpacked, as the file says: a small file may unpack to any size."""
_CONTAINERS = 200_000
"""Items of one list in a Parquet footer, columns included."""
_REQUIRED = ("request", "bundle", "best", "worst", "gap")


def schema() -> pa.Schema:
    """The columns of an experience, as `Experience.to_dict` names them, and its id."""
    import pyarrow as pa

    text, number, texts = pa.string(), pa.float64(), pa.list_(pa.string())
    scores = ("total", "image", "text", "faithfulness", "visual_correctness", "text_accuracy", "aesthetics")
    reward = pa.struct(
        [*((name, number) for name in scores), ("text_accuracy_na", pa.bool_()), ("scoring", text)]
    )
    names = ("observations", "picture", "protocol_error")
    program = pa.struct(
        [("text", text), ("digest", text), ("reward", reward), *((name, text) for name in names)]
    )
    key = pa.struct([("trigger", text), ("source_prompt_summary", text)])
    guidance = pa.struct([(name, texts) for name in FIELD_SLOTS])
    return pa.schema(
        [
            ("id", text),
            ("schema", pa.int32()),
            ("request", text),
            ("bundle", pa.struct([("retrieval_key", key), ("decision_guidance", guidance)])),
            ("best", program),
            ("worst", program),
            ("gap", number),
            ("category", text),
            ("skills", texts),
            ("judge", text),
            ("policy", text),
            ("embedder", text),
            ("step", pa.int64()),
            ("created", number),
            ("facts", texts),
        ]
    )


def write_parquet(
    path: Path, experiences: Iterable[Experience], progress: Callable[[int], None] | None = None
) -> int:
    """Write experiences into a new Parquet file, `ROWS` at a time; returns how many they were."""
    with _pyarrow():
        import pyarrow as pa
        import pyarrow.parquet as pq

        written = 0
        columns = schema()
        with pq.ParquetWriter(path, columns, compression="zstd") as writer:
            for batch in _batches(experiences):
                rows = [{"id": e.id, **e.to_dict()} for e in batch]
                writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=columns))
                written += len(rows)
                if progress is not None:
                    progress(written)
        return written


def read_parquet(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file, numbered from 1."""
    with _pyarrow():
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            file = pq.ParquetFile(
                path, thrift_container_size_limit=_CONTAINERS, thrift_string_size_limit=MAX_ROW * 16
            )
        except (pa.ArrowException, OSError) as error:
            yield Row(str(path), problem=f"it is not a Parquet file: {_first_line(error)}")
            return
        with file:
            problem = _misfit(file.schema_arrow) or _oversized(file.metadata)
            if problem:
                yield Row(str(path), problem=problem)
                return
            known = [name for name in file.schema_arrow.names if name in schema().names]
            yield from _rows(path, file.iter_batches(batch_size=_READ, columns=known, use_threads=False))


def read_arrow(path: Path) -> Iterator[Row]:
    """The rows of an Arrow stream, as `Dataset.save_to_disk` writes them, numbered from 1."""
    with _pyarrow():
        import pyarrow as pa

        try:
            with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
                problem = _misfit(stream.schema)
                if problem:
                    yield Row(str(path), problem=problem)
                    return
                known = [name for name in stream.schema.names if name in schema().names]
                yield from _rows(path, _validated(stream, known))
        except (pa.ArrowException, OSError) as error:
            yield Row(str(path), problem=f"it is not an Arrow stream: {_first_line(error)}")


def _validated(stream: Any, known: list[str]) -> Iterator[Any]:
    # Offsets in an Arrow file are used as they stand: a wrong one would read other memory.
    for batch in stream:
        batch.validate(full=True)
        yield batch.select(known)


def _rows(path: Path, batches: Iterable[Any]) -> Iterator[Row]:
    import pyarrow as pa

    number = 0
    try:
        for batch in batches:
            for start in range(0, batch.num_rows, _READ):
                for data, problem in _plain_rows(batch.slice(start, _READ)):
                    number += 1
                    yield Row(f"{path}, row {number}", data, problem)
    except (pa.ArrowException, OSError, MemoryError, OverflowError) as error:
        yield Row(f"{path}, after row {number}", problem=f"the file is damaged: {_first_line(error)}")


def _plain_rows(batch: Any) -> Iterator[tuple[object, str]]:
    """Rows as plain data with what is wrong with each, "" for nothing."""
    if batch.nbytes <= MAX_ROW:  # so is every row
        try:
            yield from [(_present(row), "") for row in batch.to_pylist()]
            return
        except (
            ValueError,
            OverflowError,
        ):  # a text that is not UTF-8, a date without a calendar: find the row
            pass
    for index in range(batch.num_rows):
        row = batch.slice(index, 1)
        if row.nbytes > MAX_ROW:
            yield None, f"the row is longer than {MAX_ROW:,} bytes"
            continue
        try:
            yield _present(row.to_pylist()[0]), ""
        except (ValueError, OverflowError) as error:
            yield None, f"it cannot be read: {_first_line(error)}"


def _present(data: object) -> object:
    """The data without nulls in objects: a table cannot leave a name out, so a null there says nothing."""
    if isinstance(data, Mapping):
        return {name: _present(value) for name, value in data.items() if value is not None}
    return data


def _misfit(found: pa.Schema) -> str:
    """Why a file's columns are not those of experiences, or ""."""
    missing = [name for name in _REQUIRED if name not in found.names]
    if missing:
        return f"these are not experiences: there is no column {missing[0]!r}"
    twice = [name for name in found.names if found.names.count(name) > 1]
    if twice:
        return f"the column {twice[0][:60]!r} stands there twice"
    for wanted in schema():
        if wanted.name in found.names:
            problem = _mismatch(found.field(wanted.name).type, wanted.type, wanted.name)
            if problem:
                return problem
    return ""


def _mismatch(found: Any, wanted: Any, where: str) -> str:
    import pyarrow.types as t

    if t.is_dictionary(found):
        found = found.value_type
    if t.is_null(found):
        return ""
    fits: bool
    if t.is_string(wanted):
        fits = t.is_string(found) or t.is_large_string(found) or t.is_string_view(found)
    elif t.is_struct(wanted):
        if not t.is_struct(found):
            return _wrong(where, found, "struct")
        inner = {found.field(i).name: found.field(i).type for i in range(found.num_fields)}
        fields = [wanted.field(i) for i in range(wanted.num_fields)]
        return next(
            (
                p
                for f in fields
                if f.name in inner
                if (p := _mismatch(inner[f.name], f.type, f"{where}.{f.name}"))
            ),
            "",
        )
    elif t.is_list(wanted):
        if not (t.is_list(found) or t.is_large_list(found) or t.is_fixed_size_list(found)):
            return _wrong(where, found, "list")
        return _mismatch(found.value_type, wanted.value_type, f"{where}[]")
    elif t.is_boolean(wanted):
        fits = t.is_boolean(found)
    else:
        fits = t.is_integer(found) or (t.is_floating(wanted) and t.is_floating(found))
    return "" if fits else _wrong(where, found, str(wanted))


def _wrong(where: str, found: Any, wanted: str) -> str:
    return f"the column {where!r} has the type {str(found)[:60]}; it should be {wanted}"


def _oversized(metadata: Any) -> str:
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for column in range(row_group.num_columns):
            chunk = row_group.column(column)
            if chunk.total_uncompressed_size > MAX_CHUNK:
                name = str(chunk.path_in_schema)[:60]
                return (
                    f"the column {name!r} unpacks to more than {MAX_CHUNK // 1024**2:,} MiB in one row group"
                )
    return ""


def _batches(experiences: Iterable[Experience]) -> Iterator[list[Experience]]:
    batch: list[Experience] = []
    for experience in experiences:
        batch.append(experience)
        if len(batch) == ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _first_line(error: BaseException) -> str:
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:200]


@contextmanager
def _pyarrow() -> Iterator[None]:
    try:
        import pyarrow.parquet  # noqa: F401  # to find out whether it is there
    except ImportError as error:
        raise ConfigurationError(
            f"Parquet needs the package pyarrow: pip install pyarrow ({error})"
        ) from error
    yield
