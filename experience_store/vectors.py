"""The vectors of all requests in one memory-mapped file, one fixed row each.

A cache beside the database, which has every vector as well: rows are found by number without reading the file, each
row carries its number and a checksum, and a row that is missing, damaged or another store's is not used but asked of
the database and written again. Rows never change, so several processes may write the same row at once.
"""

from __future__ import annotations

import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

_MAGIC = b"GPVECTS1"
_HEADER = 4096
_ROW = struct.Struct("<II")


def checksum(seq: int, data: bytes | memoryview) -> int:
    """CRC-32 of a vector's bytes (little-endian float32) that begins with its number."""
    return zlib.crc32(data, seq & 0xFFFFFFFF)


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

    def put(self, seqs: list[int], vectors: Vectors) -> bool:
        """Write rows. False when that failed, which costs time later and nothing else."""
        if self.read_only:
            return False
        try:
            for seq, vector in zip(seqs, vectors, strict=True):
                data = vector.astype("<f4", copy=False).tobytes()
                row = _ROW.pack(seq & 0xFFFFFFFF, checksum(seq, data)) + data
                os.pwrite(self._opened(), row, _HEADER + (seq - 1) * self._stride)
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
