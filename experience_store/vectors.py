"""The vectors of all requests in one memory-mapped file, one fixed row each.

A cache beside the database, which has every vector as well: rows are found by number without reading the file, each
row carries its number and a checksum, and a row that is missing, damaged or another store's is not used but asked of
the database and written again. Rows never change, so several processes may write the same row at once.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

_MAGIC = b"GPVECTS1"
_HEADER = 4096
_ROW = struct.Struct("<II")
_RUN = 4096


def checksum(seq: int, data: bytes | memoryview) -> int:
    """CRC-32 of a vector's bytes (little-endian float32) that begins with its number."""
    return zlib.crc32(data, seq & 0xFFFFFFFF)


def _runs(seqs: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where numbers follow one another: begin and end of each stretch, a few thousand at most."""
    begin = 0
    for place in range(1, len(seqs) + 1):
        if place == len(seqs) or seqs[place] != seqs[place - 1] + 1 or place - begin >= _RUN:
            yield begin, place
            begin = place


class VectorFile:
    """Rows of one embedding model: row `seq - 1` holds the vector of experience `seq`.

    Args:
        path: The file; made when the first row is written.
        store: The store's name, 32 hex digits.
        embedder: The model's number in the store.
        dimension: Numbers in a vector.
        read_only: Rows are never written.
    """

    def __init__(
        self, path: Path, *, store: str, embedder: int, dimension: int, read_only: bool = False
    ) -> None:
        self.path = path
        self.dimension = dimension
        self.read_only = read_only
        self._stride = dimension * 4 + _ROW.size
        identity = f"{store}:{embedder}:{dimension}".encode()
        self._header = _MAGIC + struct.pack("<I", zlib.crc32(identity)) + identity
        self._map: NDArray[np.uint8] | None = None
        self._file: int | None = None

    def get(self, seq: int) -> Vectors | None:
        """The vector of an experience, (d,), or None when the file does not have it whole."""
        import numpy as np

        raw = self._raw(seq)
        if raw is None:
            return None
        number, crc = _ROW.unpack_from(raw.data, 0)
        data = raw[_ROW.size :]
        if number != seq & 0xFFFFFFFF or crc != checksum(seq, data.data):
            return None
        return np.frombuffer(data, dtype="<f4")

    def many(self, seqs: Sequence[int]) -> tuple[Vectors, NDArray[np.bool_]]:
        """The vectors of experiences, (n, d), and which of them the file has whole, (n,)."""
        import numpy as np

        numbers = np.asarray(seqs, dtype=np.int64)
        vectors = np.empty((len(numbers), self.dimension), dtype=np.float32)
        whole = np.zeros(len(numbers), dtype=bool)
        rows = self.rows(int(numbers.max(initial=0)))
        inside = np.flatnonzero(numbers <= len(rows))
        picked = rows[numbers[inside] - 1]
        vectors[inside] = picked["vector"]
        same = picked["number"] == (numbers[inside] & 0xFFFFFFFF)
        data, width = vectors.reshape(-1).view(np.uint8).data, self.dimension * 4
        for place, seq, crc in zip(
            inside[same].tolist(), numbers[inside][same].tolist(), picked["crc"][same].tolist(), strict=True
        ):
            whole[place] = crc == checksum(seq, data[place * width : (place + 1) * width])
        return vectors, whole

    def rows(self, count: int) -> NDArray[Any]:
        """The file's rows as they are, at least so many if it has them: "number", "crc", "vector"."""
        import numpy as np

        if count and (self._map is None or len(self._map) < _HEADER + count * self._stride):
            self._map = self._mapped(_HEADER + self._stride)
        form = np.dtype([("number", "<u4"), ("crc", "<u4"), ("vector", "<f4", (self.dimension,))])
        if self._map is None:
            return np.zeros(0, dtype=form)
        present = (len(self._map) - _HEADER) // self._stride
        return self._map[_HEADER : _HEADER + present * self._stride].view(form)

    def put(self, seqs: list[int], vectors: Vectors) -> bool:
        """Write rows. False when that failed, which costs time later and nothing else."""
        if self.read_only:
            return False
        try:
            for begin, end in _runs(seqs):
                rows = bytearray()
                for seq, vector in zip(seqs[begin:end], vectors[begin:end], strict=True):
                    data = vector.astype("<f4", copy=False).tobytes()
                    rows += _ROW.pack(seq & 0xFFFFFFFF, checksum(seq, data)) + data
                self._write(rows, _HEADER + (seqs[begin] - 1) * self._stride)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go of the file."""
        self._map = None
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None

    def _write(self, data: bytearray, place: int) -> None:
        view = memoryview(data)
        while view:  # a large write may be cut short
            written = os.pwrite(self._opened(), view, place)
            view, place = view[written:], place + written

    def _opened(self) -> int:
        if self._file is None:
            self._file = self._found() or self._made()
        return self._file

    def _found(self) -> int | None:
        with suppress(FileNotFoundError):
            file = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
            if os.pread(file, len(self._header), 0) == self._header:
                return file
            os.close(file)
        return None

    def _made(self) -> int:
        """A new file in the place of none, or of a foreign one, which is replaced and not cut: it may be mapped."""
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.pwrite(file, self._header.ljust(_HEADER, b"\0"), 0)
            fresh.replace(self.path)
        except OSError:
            os.close(file)
            fresh.unlink(missing_ok=True)
            raise
        self._map = None
        return file

    def _raw(self, seq: int) -> NDArray[np.uint8] | None:
        begin = _HEADER + (seq - 1) * self._stride
        if self._map is None or len(self._map) < begin + self._stride:
            self._map = self._mapped(begin + self._stride)
        if self._map is None:
            return None
        return self._map[begin : begin + self._stride]

    def _mapped(self, size: int) -> NDArray[np.uint8] | None:
        import numpy as np

        try:
            with self.path.open("rb") as file:
                if file.read(len(self._header)) != self._header or os.fstat(file.fileno()).st_size < size:
                    return None
                return np.asarray(np.memmap(file, dtype=np.uint8, mode="r"))
        except (OSError, ValueError):
            return None
