"""Brings the index up to date: looks at all files, reads the changed ones, embeds the new passages.

Three passes, each only over what the one before left: names, sizes and times of all files; bytes of the files that
differ in these; text and pixels of those whose bytes are new. A renamed or copied file is recognised by its bytes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from genevolve.interpreter.images import ImageProblem, inspect, read_regular
from genevolve.interpreter.library.captions import SIDECAR_BYTES, caption_from_name, caption_of
from genevolve.interpreter.library.embedder import Embedder
from genevolve.interpreter.library.passages import Passage
from genevolve.interpreter.library.pdf import PdfProcess, Unreadable
from genevolve.interpreter.library.readers import ReadLimits, read_document
from genevolve.interpreter.library.store import Content, Known, Store
from genevolve.interpreter.library.walk import LARGEST_PICTURE, Entry, Listing, walk

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is being done (`read` or `embed`), how many are done, and how many there are."""
Check: TypeAlias = Callable[[], None]
"""Called often; raises to stop."""

_READERS = 1
"""Changes when the readers give other passages for the same bytes."""
_COMMIT = 64
_EMBED = 64


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What indexing did.

    Paths of files that were added, changed, removed or renamed (same bytes: old path, new path), and the number of
    those left as they were; how many files were `read` from disk and how many passages and captions were `embedded`;
    `skipped` are the files that are not in the index, each with the reason; `seconds` is the wall time.
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    unchanged: int = 0
    read: int = 0
    embedded: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Source:
    """The folders of a library (resolved), what their paths begin with, and how much of a file is read."""

    roots: tuple[Path, ...]
    prefixes: tuple[str, ...]
    limits: ReadLimits


class _Transient(Exception):
    """A file that could not be read this time; the next index tries again."""


def update(
    store: Store,
    source: Source,
    embedder: Embedder | None,
    progress: Progress | None = None,
    check: Check = lambda: None,
    *,
    verify: bool = False,
) -> IndexReport:
    """Bring the index up to date with the folders.

    Args:
        store: the index.
        source: the folders.
        embedder: makes vectors of new passages; None for none.
        progress: told what is done.
        check: raises to stop; what was read until then is kept.
        verify: read all files, also those that look unchanged.
    """
    started = time.monotonic()
    listing = walk(source.roots, source.prefixes, source.limits.document_bytes, store.folder)
    run = _Run(store, source, embedder, progress or (lambda what, done, total: None), check)
    report = None if verify else run.idle(listing)
    if report is None:
        with store.writing(check):
            report = run.update(listing, verify)
    return replace(report, seconds=time.monotonic() - started)


class _Run:
    """One run over a listing."""

    def __init__(
        self, store: Store, source: Source, embedder: Embedder | None, progress: Progress, check: Check
    ) -> None:
        self._store = store
        self._source = source
        self._embedder = embedder
        self._progress = progress
        self._check = check
        self._read = 0
        self._passing: list[tuple[str, str]] = []
        self._pending: list[tuple[Entry, Content]] = []
        self._found: dict[str, Known] = {}

    def idle(self, listing: Listing) -> IndexReport | None:
        """The report when there is nothing to do, found out without becoming the writer."""
        known = self._store.files()
        if len(known) != len(listing.entries) or not self._store.state():
            return None
        if any(_differs(entry, known.get(entry.path)) for entry in listing.entries):
            return None
        if self._embedder is not None:
            contents = [k.content for k in known.values() if k.content is not None]
            if self._store.unembedded(contents, self._embedder.name):
                return None
        skipped = [(path, k.reason) for path, k in known.items() if k.content is None]
        return IndexReport(
            unchanged=len(known) - len(skipped), skipped=tuple(sorted([*listing.skipped, *skipped]))
        )

    def update(self, listing: Listing, verify: bool) -> IndexReport:
        known = self._store.files()
        todo = [e for e in listing.entries if verify or _differs(e, known.get(e.path))]
        with PdfProcess() as pdf:
            for done, entry in enumerate(todo):
                self._check()
                self._progress("read", done, len(todo))
                self._take(entry, pdf)
                if len(self._pending) >= _COMMIT:
                    self._keep()
        self._keep()
        self._progress("read", len(todo), len(todo))
        present = {entry.path for entry in listing.entries}
        gone = [path for path in known if path not in present]
        after = {path: k for path, k in known.items() if path in present} | self._found
        embedded = self._embed([k.content for k in after.values() if k.content is not None])
        self._store.commit(self._found, gone)
        return self._report(known, after, gone, embedded, listing)

    def _report(
        self,
        known: dict[str, Known],
        after: dict[str, Known],
        gone: Sequence[str],
        embedded: int,
        listing: Listing,
    ) -> IndexReport:
        lost: dict[int, list[str]] = {}
        for path in sorted(gone, reverse=True):
            if (content := known[path].content) is not None:
                lost.setdefault(content, []).append(path)
        added: list[str] = []
        changed: list[str] = []
        renamed: list[tuple[str, str]] = []
        unchanged = 0
        for path, now in sorted(after.items()):
            before = known.get(path)
            if now.content is None:
                continue
            if before is not None and before.content is not None:
                if before.content == now.content:
                    unchanged += 1
                else:
                    changed.append(path)
            elif lost.get(now.content):
                renamed.append((lost[now.content].pop(), path))
            else:
                added.append(path)
        skipped = [(path, k.reason) for path, k in after.items() if k.content is None]
        return IndexReport(
            tuple(added),
            tuple(changed),
            tuple(sorted(path for paths in lost.values() for path in paths)),
            tuple(renamed),
            unchanged,
            self._read,
            embedded,
            tuple(sorted([*listing.skipped, *skipped, *self._passing])),
        )

    # ---- reading ----

    def _take(self, entry: Entry, pdf: PdfProcess) -> None:
        """Read a file whose stamp is new: find its content, or make it, or say why there is none."""
        self._read += 1
        file = str(entry.file)
        try:
            content = self._picture(entry) if entry.is_picture else self._document(entry, pdf)
        except _Transient as error:
            self._found[entry.path] = Known(file, "", None, str(error))
        except Unreadable as error:
            self._found[entry.path] = Known(file, entry.stamp, None, str(error))
        else:
            if isinstance(content, Content):
                self._pending.append((entry, content))
            else:
                self._found[entry.path] = Known(file, entry.stamp, content)

    def _keep(self) -> None:
        ids = self._store.add_contents([content for _, content in self._pending])
        for (entry, _), number in zip(self._pending, ids, strict=True):
            self._found[entry.path] = Known(str(entry.file), entry.stamp, number)
        self._pending.clear()

    def _document(self, entry: Entry, pdf: PdfProcess) -> Content | int:
        limits = self._source.limits
        data = self._bytes(entry, limits.document_bytes)
        sha = hashlib.sha256(data).hexdigest()
        suffix = PurePosixPath(entry.path).suffix.lower()
        key = f"{_READERS}:document:{suffix}:{sha}"
        if (number := self._store.content_id(key)) is not None:
            return number
        title, passages = read_document(suffix, data, limits, pdf)
        return Content(key, False, title, passages, sha)

    def _picture(self, entry: Entry) -> Content | int:
        data = self._bytes(entry, LARGEST_PICTURE)
        sha = hashlib.sha256(data).hexdigest()
        sidecar = self._sidecar(entry)
        beside = (
            f"{PurePosixPath(sidecar[0]).suffix}:{hashlib.sha256(sidecar[1]).hexdigest()}" if sidecar else ""
        )
        key = f"{_READERS}:picture:{sha}:{beside}"
        named = f"{key}:{caption_from_name(entry.path)}"
        if (number := self._store.content_id(key, named)) is not None:
            return number
        try:
            decoded = inspect(data, PurePosixPath(entry.path).name)
        except ImageProblem as error:
            raise Unreadable(str(error)) from error
        caption = caption_of(entry.path, sidecar, decoded.metadata)
        return Content(
            named if caption.source == "name" else key,
            True,
            caption.title,
            (Passage(caption.text),),
            sha,
            decoded.width,
            decoded.height,
            decoded.media_type,
            caption.source,
        )

    def _sidecar(self, entry: Entry) -> tuple[str, bytes] | None:
        if entry.sidecar is None:
            return None
        try:
            return PurePosixPath(entry.sidecar.path).name.lower(), self._bytes(entry.sidecar, SIDECAR_BYTES)
        except (Unreadable, _Transient) as error:
            self._passing.append((entry.sidecar.path, f"as a caption: {error}"))
            return None

    def _bytes(self, entry: Entry, most: int) -> bytes:
        try:
            return read_regular(entry.file, most)
        except OverflowError as error:
            raise Unreadable(f"it is too large: {error}") from error
        except OSError as error:
            raise _Transient(f"it cannot be read: {error.strerror or error}") from error

    # ---- embedding ----

    def _embed(self, contents: Sequence[int]) -> int:
        if self._embedder is None:
            return 0
        missing = self._store.unembedded(contents, self._embedder.name)
        for start in range(0, len(missing), _EMBED):
            self._check()
            self._progress("embed", start, len(missing))
            batch = missing[start : start + _EMBED]
            vectors = self._embedder.embed([text for _, text in batch]).astype("<f4")
            self._store.add_vectors(
                self._embedder.name,
                {digest: vector.tobytes() for (digest, _), vector in zip(batch, vectors, strict=True)},
            )
        self._progress("embed", len(missing), len(missing))
        return len(missing)


def _differs(entry: Entry, known: Known | None) -> bool:
    return known is None or known.stamp != entry.stamp or known.file != str(entry.file)
