"""A library: folders of the user's own documents and pictures that programs search."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.library.captions import caption_from_name
from genevolve.interpreter.library.embedder import Embedder, resolve_embedder
from genevolve.interpreter.library.indexer import Check, IndexReport, Progress, Source, update
from genevolve.interpreter.library.ranking import Hit, WordIndex, rank
from genevolve.interpreter.library.readers import ReadLimits
from genevolve.interpreter.library.store import FORMAT, Row, Store, spoken
from genevolve.interpreter.values import Evidence, ImageHandle, Images, Snippet

if TYPE_CHECKING:
    from genevolve.interpreter.library.ranking import Vectors

_FRESH = 2.0
"""Seconds for which the folders count as looked at."""
_CANDIDATES = 100


@dataclass(frozen=True, slots=True)
class LibraryStats:
    """How much a library holds; `embedder` is None when searches go by words alone."""

    folders: tuple[Path, ...]
    cache: Path
    documents: int
    pictures: int
    passages: int
    vectors: int
    skipped: int
    embedder: str | None


@dataclass(frozen=True)
class _View:
    """One state of the documents or of the pictures, ready to be searched."""

    state: str
    rows: list[Row]
    words: WordIndex
    vectors: Vectors | None


class Library:
    """Folders of documents and pictures, searched by words and by meaning.

    The index lies outside these folders, in the user's cache folder. Searches bring it up to date first when the
    folders were not looked at within the last two seconds; `index` does so explicitly and reports. A library may be
    used by several threads and several processes.

        library = Library.open("my-pictures")
        for snippet in library.search("how espresso is made").snippets:
            print(snippet.source, snippet.text)
    """

    def __init__(
        self, folders: Sequence[Path], store: Store, embedder: Embedder | None, limits: ReadLimits
    ) -> None:
        self.folders = tuple(folders)
        self.embedder = embedder
        self._store = store
        self._source = Source(self.folders, _prefixes(self.folders), limits)
        self._lock = threading.RLock()
        self._views: dict[bool, _View] = {}
        self._looked = float("-inf")

    @classmethod
    def open(
        cls,
        folder: str | Path | Sequence[str | Path],
        *,
        cache_dir: str | Path | None = None,
        embedder: str | Path | Embedder | None = "auto",
        limits: ReadLimits | None = None,
    ) -> Library:
        """Open a folder, or several as one library. Nothing is read yet.

        Args:
            folder: where the files lie. With several, sources begin with the folder's name.
            cache_dir: where indexes are kept; the user's cache folder without.
            embedder: "auto", "minilm", None or "none", a folder, a model's id, or an `Embedder`.
            limits: how much of a file is read.

        Raises:
            ConfigurationError: a folder does not exist, or the embedding model is not there.
            StorageError: the index cannot be written.
        """
        given = [folder] if isinstance(folder, str | Path) else list(folder)
        roots = _roots(given)
        chosen = resolve_embedder(embedder)
        if cache_dir is None:
            from platformdirs import user_cache_path

            cache_dir = user_cache_path("genevolve", appauthor=False)
        name = hashlib.sha256("\0".join(map(str, roots)).encode(errors="surrogateescape")).hexdigest()[:16]
        store = Store(Path(cache_dir).expanduser().absolute() / "libraries" / f"{FORMAT}-{name}")
        return cls(roots, store, chosen, limits or ReadLimits())

    @property
    def version(self) -> str:
        """A digest of the contents and of the embedding model: what searches return depends on nothing else."""
        state = self._refreshed(lambda: None)
        model = self.embedder.name if self.embedder is not None else "words"
        return hashlib.sha256(f"{state}\0{model}".encode()).hexdigest()[:24]

    def index(
        self, progress: Progress | None = None, *, check: Check = lambda: None, verify: bool = False
    ) -> IndexReport:
        """Bring the index up to date and tell what was done.

        Args:
            progress: called with `read` or `embed`, how many are done, how many there are.
            check: called often; raises to stop. What was read until then is kept.
            verify: read every file again, also those whose size and time are as before.

        Raises:
            StorageError: the index cannot be written.
            ConfigurationError: the embedding model cannot be loaded.
        """
        with self._lock:
            report = update(self._store, self._source, self.embedder, progress, check, verify=verify)
            self._looked = time.monotonic()
            return report

    def search(self, query: str | Sequence[str], top_k: int = 5, *, check: Check = lambda: None) -> Evidence:
        """The passages that answer the query, or any of several queries, best first; empty when none does."""
        view = self._view(False, check)
        snippets: list[Snippet] = []
        for hit, row in self._hits(query, view, top_k, lambda row: row.digest):
            title = row.title or caption_from_name(row.path)
            shown = f"{title} › {row.heading}" if row.heading else title
            snippets.append(Snippet(row.text, shown, row.path, hit.score))
        return Evidence(tuple(snippets))

    def search_images(self, query: str, top_k: int = 5, *, check: Check = lambda: None) -> Images:
        """The pictures whose captions fit, best first, with ids from IMG_001; empty when none does."""
        view = self._view(True, check)
        found: list[ImageHandle] = []
        for number, (hit, row) in enumerate(self._hits(query, view, top_k, lambda row: row.sha256), start=1):
            found.append(
                ImageHandle(
                    path=row.file,
                    sha256=row.sha256,
                    width=row.width,
                    height=row.height,
                    media_type=row.media_type,
                    id=f"IMG_{number:03d}",
                    title=row.title or caption_from_name(row.path),
                    caption=row.text,
                    source=row.path,
                    score=hit.score,
                )
            )
        return Images(tuple(found))

    def caption_source(self, path: str) -> str:
        """Where the caption of the picture with that source comes from: `sidecar`, `metadata` or `name`.

        Raises `KeyError` when the library has no such picture.
        """
        for row in self._view(True, lambda: None).rows:
            if row.path == path:
                return row.caption_source
        raise KeyError(path)

    def stats(self) -> LibraryStats:
        """How much the index holds now; the folders are not looked at."""
        model = self.embedder.name if self.embedder is not None else ""
        counts = self._store.counts(model)
        return LibraryStats(self.folders, self._store.folder, **counts, embedder=model or None)

    # ---- within ----

    def _hits(
        self, query: str | Sequence[str], view: _View, top_k: int, same: object
    ) -> list[tuple[Hit, Row]]:
        """Ranked rows; of rows that are the same only the first."""
        assert callable(same)
        queries = [query] if isinstance(query, str) else list(query)
        seen: set[str] = set()
        found: list[tuple[Hit, Row]] = []
        for hit in rank(queries, view.words, view.vectors, self.embedder, _CANDIDATES + top_k):
            row = view.rows[hit.index]
            name = same(row)
            if name not in seen and len(found) < top_k:
                seen.add(name)
                found.append((hit, row))
        return found

    def _refreshed(self, check: Check) -> str:
        with self._lock:
            if time.monotonic() - self._looked > _FRESH:
                self.index(check=check)
            return self._store.state()

    def _view(self, is_picture: bool, check: Check) -> _View:
        with self._lock:
            state = self._refreshed(check)
            view = self._views.get(is_picture)
            if view is None or view.state != state:
                view = self._views[is_picture] = self._load(is_picture)
            return view

    def _load(self, is_picture: bool) -> _View:
        model = self.embedder.name if self.embedder is not None else ""
        state, rows = self._store.rows(is_picture, model)
        return _View(state, rows, self._words(is_picture, state, rows), _matrix(rows) if model else None)

    def _words(self, is_picture: bool, state: str, rows: list[Row]) -> WordIndex:
        """The word index of a state: from disk where it is whole, else made from the rows and kept for the next."""
        folder = self._store.words_folder(is_picture, state)
        try:
            return WordIndex.load(folder, len(rows))
        except (OSError, ValueError, KeyError, EOFError):
            pass
        words = WordIndex.build([_searched(row) for row in rows])
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.{threading.get_ident()}")
        with suppress(OSError):  # the cache may be full or read-only; another process may have been faster
            try:
                words.save(unfinished)
                if folder.is_dir():
                    shutil.rmtree(folder)
                unfinished.rename(folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
        return words


def _searched(row: Row) -> str:
    """The words that find a row: its own, and those of its title and headings."""
    return spoken(row.title or caption_from_name(row.path), row.heading, row.text)


def _matrix(rows: list[Row]) -> Vectors | None:
    """The vectors of the rows, (n, d); a row without one gets zeros, which nothing resembles."""
    import numpy as np

    size = next((len(row.vector) for row in rows if row.vector is not None), 0)
    if not size:
        return None
    joined = b"".join(
        row.vector if row.vector is not None and len(row.vector) == size else bytes(size) for row in rows
    )
    return np.frombuffer(joined, dtype="<f4").reshape(len(rows), -1)


def _roots(folders: Sequence[str | Path]) -> tuple[Path, ...]:
    """The folders resolved, each once, none inside another."""
    if not folders:
        raise ConfigurationError("a library needs at least one folder")
    roots: list[Path] = []
    for folder in folders:
        path = Path(folder).expanduser()
        try:
            root = path.resolve()
            if not root.is_dir():
                what = "is no folder" if root.exists() else "does not exist"
                raise ConfigurationError(f"the library folder {str(path)!r} {what}")
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigurationError(f"the library folder {str(path)!r} cannot be opened: {error}") from error
        roots.append(root)
    unique = dict.fromkeys(roots)
    return tuple(
        root for root in unique if not any(root != other and root.is_relative_to(other) for other in unique)
    )


def _prefixes(roots: Sequence[Path]) -> tuple[str, ...]:
    """What sources begin with: nothing for one folder, distinct folder names for several."""
    if len(roots) == 1:
        return ("",)
    names: list[str] = []
    for root in roots:
        name = root.name or "root"
        number = 2
        while f"{name}/" in names:
            name = f"{root.name}-{number}"
            number += 1
        names.append(f"{name}/")
    return tuple(names)
