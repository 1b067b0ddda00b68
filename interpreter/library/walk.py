"""Looks through the folders of a library without reading a file: what is there, how large, and from when."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from genevolve.interpreter.images import read_regular
from genevolve.interpreter.library.captions import PICTURES, sidecar_names
from genevolve.interpreter.library.readers import DOCUMENTS
from genevolve.interpreter.library.text import decode

IGNORE_FILE = ".genevolveignore"
LARGEST_PICTURE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the library.

    `path` is its name inside the library (unique, with `/`), `file` the real file, `size` in bytes, `mtime` in
    nanoseconds. `sidecar` captions a picture; it is None for documents.
    """

    path: str
    file: Path
    size: int
    mtime: int
    is_picture: bool = False
    sidecar: Entry | None = None

    @property
    def stamp(self) -> str:
        """What changes when the file or its sidecar is written anew."""
        beside = f"|{self.sidecar.path}|{self.sidecar.stamp}" if self.sidecar is not None else ""
        return f"{self.size}|{self.mtime}{beside}"


@dataclass(slots=True)
class Listing:
    """The files of a library in the order of their paths, and what was left out with the reason."""

    entries: list[Entry] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def walk(
    roots: Sequence[Path], prefixes: Sequence[str], document_bytes: int, index: Path | None = None
) -> Listing:
    """List the files below the roots (resolved folders); paths of a root begin with its prefix.

    The folder of the index, if it lies inside a root, is no part of the library.
    """
    listing = Listing()
    for root, prefix in zip(roots, prefixes, strict=True):
        _Walk(root, prefix, roots, document_bytes, listing, index).run()
    listing.entries.sort(key=lambda entry: entry.path)
    listing.skipped.sort()
    return listing


class _Walk:
    """One root's turn."""

    def __init__(
        self,
        root: Path,
        prefix: str,
        roots: Sequence[Path],
        document_bytes: int,
        listing: Listing,
        index: Path | None,
    ) -> None:
        self._root = root
        self._prefix = prefix
        self._roots = roots
        self._document_bytes = document_bytes
        self._listing = listing
        self._index = index.resolve() if index is not None else None
        self._patterns = _ignore_patterns(root)

    def run(self) -> None:
        """Go through all folders, without recursion: folders may be nested as deep as the system allows."""
        waiting = [""]
        while waiting:
            below = waiting.pop()
            try:
                with os.scandir(self._root / below) as found:
                    items = sorted(found, key=lambda item: item.name)
            except OSError as error:
                self._skip(below or ".", f"the folder cannot be read: {error.strerror}")
                continue
            waiting.extend(self._folder(below, items))

    def _folder(self, below: str, items: Iterable[os.DirEntry[str]]) -> list[str]:
        """Keep the files of one folder; returns the folders in it."""
        folders: list[str] = []
        files: dict[str, Entry] = {}
        for item in items:
            path = f"{below}{item.name}"
            if item.name == IGNORE_FILE or self._is_ignored(path, item.name):
                continue
            try:
                path.encode()
            except UnicodeEncodeError:
                self._skip(path.encode(errors="backslashreplace").decode(), "its name is not UTF-8")
                continue
            if item.name.startswith("."):
                self._skip(path, "hidden")
            elif item.is_dir(follow_symlinks=False):
                if Path(item.path) != self._index:
                    folders.append(f"{path}/")
            elif (entry := self._file(path, item)) is not None:
                files[item.name] = entry
        self._pair(files)
        return folders

    def _file(self, path: str, item: os.DirEntry[str]) -> Entry | None:
        """A file, if it can be one of the library; its format and size are not looked at yet."""
        try:
            file = Path(item.path)
            if item.is_symlink():
                file = file.resolve(strict=True)
                if reason := self._flaw_of_link(file):
                    self._skip(path, reason)
                    return None
            status = file.stat()
        except (OSError, RuntimeError) as error:
            why = error.strerror if isinstance(error, OSError) else "a loop of links"
            self._skip(path, f"it cannot be looked at: {why}")
            return None
        if not stat.S_ISREG(status.st_mode):
            self._skip(path, "no regular file")
            return None
        return Entry(self._prefix + path, file, status.st_size, status.st_mtime_ns)

    def _flaw_of_link(self, target: Path) -> str:
        """Why a link to this file is not followed; empty when it is."""
        if not any(target.is_relative_to(root) for root in self._roots):
            return "a link that leads out of the library"
        if target.is_dir():
            return "a link to a folder; folders are read where they lie"
        if any(part.startswith(".") for part in target.relative_to(self._holder(target)).parts):
            return "a link to something hidden"
        return ""

    def _holder(self, file: Path) -> Path:
        return next(root for root in self._roots if file.is_relative_to(root))

    def _pair(self, files: dict[str, Entry]) -> None:
        """Give pictures their sidecars, and list what remains as documents."""
        used: set[str] = set()
        for name, entry in files.items():
            if Path(name).suffix.lower() not in PICTURES:
                continue
            beside = [other for other in sidecar_names(name) if other in files]
            used.update(beside)
            if entry.size > LARGEST_PICTURE:
                self._skip(entry.path, f"larger than {LARGEST_PICTURE:,} bytes", whole=True)
                continue
            sidecar = next((files[other] for other in beside if files[other].size), None)
            self._listing.entries.append(
                Entry(entry.path, entry.file, entry.size, entry.mtime, is_picture=True, sidecar=sidecar)
            )
        for name, entry in files.items():
            suffix = Path(name).suffix.lower()
            if name in used or suffix in PICTURES:
                continue
            if suffix not in DOCUMENTS:
                self._skip(entry.path, "its format is not read", whole=True)
            elif entry.size > self._document_bytes:
                self._skip(entry.path, f"larger than {self._document_bytes:,} bytes", whole=True)
            else:
                self._listing.entries.append(entry)

    def _is_ignored(self, path: str, name: str) -> bool:
        return any(fnmatchcase(path, p) or fnmatchcase(name, p) for p in self._patterns)

    def _skip(self, path: str, reason: str, *, whole: bool = False) -> None:
        self._listing.skipped.append((path if whole else self._prefix + path, reason))


def _ignore_patterns(root: Path) -> tuple[str, ...]:
    """The lines of the ignore file: shell patterns for names or for paths from the root."""
    try:
        text = decode(read_regular(root / IGNORE_FILE, 64 * 1024))
    except (OSError, OverflowError, ValueError):
        return ()
    lines = (line.strip().strip("/") for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))
