"""Many experiences for tests and benchmarks, written straight into the tables: making a million takes a minute."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from experience_samples import experience
from numpy.typing import NDArray

from genevolve.experience_store.experience import canonical
from genevolve.experience_store.records import put_vector, request_key
from genevolve.experience_store.store import ExperienceStore

Vectors = NDArray[np.float32]

NAME = "requestnumber"


@dataclass
class Given:
    """An embedder whose vectors are given: a request is the number of its row."""

    rows: Vectors
    name: str = "given:1"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """The rows of the requests; anything else gets a fixed direction."""
        found = np.zeros((len(texts), self.rows.shape[1]), dtype=np.float32)
        for place, text in enumerate(texts):
            number = text.partition(NAME)[2]
            if number.isdigit():
                found[place] = self.rows[int(number)]
            else:
                found[place, len(text) % self.rows.shape[1]] = 1.0
        return found

    embed_queries = embed


def sample(number: int) -> Any:
    """A well-formed experience whose request is a number."""
    return experience(number % 5, request=f"a picture of {NAME}{number}")


def fill(folder: Path, vectors: Vectors, embedder: Given) -> None:
    """A store with these vectors, written straight into its tables; the first one goes through the front door."""
    with ExperienceStore.open(folder, embedder=embedder, capacity=None) as store:
        assert store.add(sample(0)).status == "added"
    mark = 987654321987
    template = replace(experience(1, request=f"a picture of {NAME}{mark}"), embedder=embedder.name)
    body = canonical(template.to_dict())
    data = template.to_dict()
    del data["embedder"]
    named = canonical(data)
    connection = sqlite3.connect(folder / "experiences.sqlite", isolation_level=None)
    connection.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000;")
    for begin in range(1, len(vectors), 20_000):
        connection.execute("BEGIN IMMEDIATE")
        for number in range(begin, min(begin + 20_000, len(vectors))):
            identity = hashlib.sha256(named.replace(str(mark), str(number)).encode()).hexdigest()
            packed = zlib.compress(body.replace(str(mark), str(number)).encode(), 1)
            request = f"a picture of {NAME}{number}"
            row = (
                number + 1,
                identity,
                1,
                number + 1,
                request_key(request),
                request,
                template.gap,
                template.category,
            )
            rest = (
                "\ntext_rendering\n",
                "S4",
                template.judge,
                template.policy,
                1,
                template.created,
                1,
                packed,
            )
            connection.execute(f"INSERT INTO experiences VALUES ({','.join('?' * 16)})", row + rest)
            connection.execute(
                "INSERT INTO changes (generation, seq, live) VALUES (?, ?, 1)", (number + 1, number + 1)
            )
            put_vector(connection, 1, number + 1, vectors[number])
        connection.execute("COMMIT")
    count = len(vectors)
    connection.execute("UPDATE state SET generation = ?, live = ?, arrivals = ?", (count, count, count))
    connection.execute("DELETE FROM index_file")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
