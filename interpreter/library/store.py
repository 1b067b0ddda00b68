"""The index on disk: one SQLite file, one writer at a time, readers always see a finished state.

What is read from a file is kept by its content (`contents`, `passages`, `vectors`) and committed while indexing goes
on, so that an interrupted run has not worked for nothing. Which content belongs to which path (`files`) changes in
one transaction at the end: until then readers see the library as it was.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from genevolve.grammar.errors import StorageError
from genevolve.interpreter.library.passages import Passage

FORMAT = 1
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE contents (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, is_picture INTEGER NOT NULL, title TEXT NOT NULL,
    sha256 TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, media_type TEXT NOT NULL,
    caption_source TEXT NOT NULL);
CREATE TABLE passages (
    content INTEGER NOT NULL REFERENCES contents ON DELETE CASCADE, ordinal INTEGER NOT NULL, heading TEXT NOT NULL,
    text TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (content, ordinal)) WITHOUT ROWID;
CREATE TABLE vectors (
    digest TEXT NOT NULL, model TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (digest, model)) WITHOUT ROWID;
CREATE TABLE files (
    path TEXT PRIMARY KEY, file TEXT NOT NULL, stamp TEXT NOT NULL, content INTEGER REFERENCES contents,
    reason TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX files_content ON files (content);
CREATE INDEX passages_digest ON passages (digest);
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What the index knows of a path: the stamp it had, and its content or the reason why it has none."""

    file: str
    stamp: str
    content: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """What was read from a document or a picture; the caption of a picture is its only passage."""

    key: str
    is_picture: bool
    title: str
    passages: tuple[Passage, ...]
    sha256: str
    width: int = 0
    height: int = 0
    media_type: str = ""
    caption_source: str = ""

    def spoken(self, passage: Passage) -> str:
        """What is embedded for a passage: it means more under its title and headings."""
        return spoken(self.title, passage.heading, passage.text)


@dataclass(frozen=True, slots=True)
class Row:
    """A passage of a file, or a picture with its caption, as searches need them."""

    path: str
    file: str
    title: str
    heading: str
    text: str
    digest: str
    sha256: str
    width: int
    height: int
    media_type: str
    caption_source: str
    vector: bytes | None


def spoken(title: str, heading: str, text: str) -> str:
    """Title, headings and text as one text."""
    return ". ".join(part for part in (title, heading, text) if part)


def digest_of(text: str) -> str:
    """A name for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Store:
    """The index file of one library, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "index.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"the folder {str(folder)!r} of the index cannot be made: {error.strerror}; "
                "let [cache] folder (GENEVOLVE_CACHE_FOLDER) name one that can be written to"
            ) from error
        if not self._is_usable():
            with self.writing():
                if not self._is_usable():
                    self._create()

    # ---- reading ----

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection on which all statements see one state. Translates SQLite's errors."""
        with self._translated(), closing(self._connect()) as connection:
            connection.execute("BEGIN")
            yield connection
            connection.execute("ROLLBACK")

    def files(self) -> dict[str, Known]:
        """What is known, by path."""
        with self.reading() as connection:
            found = connection.execute("SELECT path, file, stamp, content, reason FROM files")
            return {path: Known(*rest) for path, *rest in found}

    def state(self) -> str:
        """A digest of all paths and contents; empty before the first index."""
        with self.reading() as connection:
            return _meta(connection, "state")

    def rows(self, is_picture: bool, model: str) -> tuple[str, list[Row]]:
        """The state, and its passages or pictures in the order of their paths, with their vectors of that model."""
        with self.reading() as connection:
            found = connection.execute(
                "SELECT f.path, f.file, c.title, p.heading, p.text, p.digest, c.sha256, c.width, c.height,"
                " c.media_type, c.caption_source, v.vector FROM files f JOIN contents c ON c.id = f.content"
                " JOIN passages p ON p.content = c.id"
                " LEFT JOIN vectors v ON v.digest = p.digest AND v.model = ?"
                " WHERE c.is_picture = ? ORDER BY f.path, p.ordinal",
                (model, is_picture),
            )
            return _meta(connection, "state"), [Row(*row) for row in found]

    def counts(self, model: str) -> dict[str, int]:
        """Numbers of documents, pictures, passages, vectors of a model, and files without content."""
        with self.reading() as connection:
            return {
                name: int(connection.execute(query, args).fetchone()[0])
                for name, query, args in _counts(model)
            }

    def unembedded(self, contents: Sequence[int], model: str) -> list[tuple[str, str]]:
        """Digest and text of the passages of these contents that have no vector of the model."""
        with self.reading() as connection:
            connection.execute("CREATE TEMP TABLE wanted (id INTEGER PRIMARY KEY)")
            connection.executemany("INSERT OR IGNORE INTO wanted VALUES (?)", ((c,) for c in contents))
            found = connection.execute(
                "SELECT p.digest, min(c.title), min(p.heading), min(p.text) FROM passages p"
                " JOIN contents c ON c.id = p.content JOIN wanted w ON w.id = c.id"
                " WHERE NOT EXISTS (SELECT 1 FROM vectors v WHERE v.digest = p.digest AND v.model = ?)"
                " GROUP BY p.digest ORDER BY length(min(p.text)), p.digest",
                (model,),
            )
            return [(digest, spoken(*parts)) for digest, *parts in found]

    def content_id(self, *keys: str) -> int | None:
        """The content that goes by the first known of these keys."""
        with self.reading() as connection:
            for key in keys:
                row = connection.execute("SELECT id FROM contents WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    return int(row[0])
        return None

    # ---- writing ----

    @contextmanager
    def writing(self, check: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Be the only writer. Waits for another one, calling `check` meanwhile; a dead process holds no lock."""
        with self._translated(), closing(sqlite3.connect(self.folder / "writer.lock", timeout=0.2)) as lock:
            lock.isolation_level = None
            while True:
                try:
                    lock.execute("BEGIN EXCLUSIVE")
                    break
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                        raise
                check()
                time.sleep(0.05)
            try:
                yield
            finally:
                lock.execute("ROLLBACK")

    def add_contents(self, contents: Sequence[Content]) -> list[int]:
        """Keep contents; returns their ids in order. Searches do not see them before `commit`."""
        ids: list[int] = []
        with self._transaction() as connection:
            for content in contents:
                row = connection.execute("SELECT id FROM contents WHERE key = ?", (content.key,)).fetchone()
                ids.append(int(row[0]) if row is not None else _insert(connection, content))
        return ids

    def add_vectors(self, model: str, vectors: Mapping[str, bytes]) -> None:
        """Keep vectors (float32, little endian) by the digest of their text."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", ((d, model, v) for d, v in vectors.items())
            )

    def commit(self, files: Mapping[str, Known], gone: Sequence[str]) -> str:
        """Make these files the library: changed and new ones by path, and the paths that are gone. Returns the state.

        Contents that no file has any more, their passages and vectors are removed in the same transaction.
        """
        with self._transaction() as connection:
            connection.executemany("DELETE FROM files WHERE path = ?", ((path,) for path in gone))
            connection.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
                ((path, k.file, k.stamp, k.content, k.reason) for path, k in files.items()),
            )
            connection.execute(
                "DELETE FROM contents WHERE id NOT IN (SELECT content FROM files WHERE content NOT NULL)"
            )
            connection.execute("DELETE FROM vectors WHERE digest NOT IN (SELECT digest FROM passages)")
            state = _state(connection)
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('state', ?)", (state,))
        self._remove_old_words(state)
        return state

    def words_folder(self, is_picture: bool, state: str) -> Path:
        """Where the word index of a state lies."""
        return self.folder / "words" / f"{'pictures' if is_picture else 'documents'}-{state[:32]}"

    # ---- within ----

    def _remove_old_words(self, state: str) -> None:
        current = {self.words_folder(kind, state).name for kind in (True, False)}
        folder = self.folder / "words"
        if folder.is_dir():
            for old in folder.iterdir():
                if old.name not in current:
                    shutil.rmtree(old, ignore_errors=True)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._file.as_uri()}?mode=rw", timeout=30, uri=True, isolation_level=None
        )
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._translated(), closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(
                f"the library's index in {str(self.folder)!r} cannot be used: {error}; it may be deleted and is then "
                "made anew"
            ) from error

    def _is_usable(self) -> bool:
        """Whether there is an index of this format. A damaged or older one is not: it is only a copy and made anew."""
        if not self._file.is_file():
            return False
        try:
            with closing(self._connect()) as connection:
                return _meta(connection, "format") == str(FORMAT)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (
                sqlite3.SQLITE_BUSY,
                sqlite3.SQLITE_CANTOPEN,
                sqlite3.SQLITE_READONLY,
            ):
                raise StorageError(
                    f"the library's index in {str(self.folder)!r} cannot be opened: {error}"
                ) from error
            return False
        except sqlite3.DatabaseError:
            return False

    def _create(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                self._file.with_name(self._file.name + suffix).unlink()
        with self._translated(), closing(sqlite3.connect(self._file, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN;{_SCHEMA}")
            connection.execute("INSERT INTO meta VALUES ('format', ?)", (str(FORMAT),))
            connection.execute("COMMIT")


def _meta(connection: sqlite3.Connection, key: str) -> str:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return str(row[0]) if row is not None else ""


def _insert(connection: sqlite3.Connection, content: Content) -> int:
    cursor = connection.execute(
        "INSERT INTO contents (key, is_picture, title, sha256, width, height, media_type, caption_source)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            content.key,
            content.is_picture,
            content.title,
            content.sha256,
            content.width,
            content.height,
            content.media_type,
            content.caption_source,
        ),
    )
    number = cursor.lastrowid
    assert number is not None
    connection.executemany(
        "INSERT INTO passages VALUES (?, ?, ?, ?, ?)",
        (
            (number, ordinal, p.heading, p.text, digest_of(content.spoken(p)))
            for ordinal, p in enumerate(content.passages)
        ),
    )
    return number


def _state(connection: sqlite3.Connection) -> str:
    digest = hashlib.sha256()
    for path, file, key in connection.execute(
        "SELECT f.path, f.file, c.key FROM files f JOIN contents c ON c.id = f.content ORDER BY f.path"
    ):
        digest.update(f"{path}\0{file}\0{key}\n".encode())
    return digest.hexdigest()


def _counts(model: str) -> tuple[tuple[str, str, tuple[object, ...]], ...]:
    joined = "SELECT count(*) FROM files f JOIN contents c ON c.id = f.content WHERE c.is_picture = ?"
    return (
        ("documents", joined, (False,)),
        ("pictures", joined, (True,)),
        (
            "passages",
            "SELECT count(*) FROM passages p JOIN contents c ON c.id = p.content WHERE NOT c.is_picture",
            (),
        ),
        ("vectors", "SELECT count(*) FROM vectors WHERE model = ?", (model,)),
        ("skipped", "SELECT count(*) FROM files WHERE content IS NULL", ()),
    )
