"""The folder of a store: refusing what is none, and proving that its database belongs to it."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from genevolve.experience_store.database import NAME, Database
from genevolve.grammar.errors import StorageError

MARKER = "store.json"


def check_folder(folder: Path, read_only: bool) -> None:
    """Refuse what is no store, and a store that has lost its database, before SQLite makes an empty one."""
    if folder.exists() and not folder.is_dir():
        raise StorageError(f"{folder} is a file; an experience store is a folder")
    file = folder / NAME
    try:
        lost = (folder / MARKER).exists() and (not file.exists() or file.stat().st_size == 0)
        waiting = file.with_name(NAME + "-wal")
        if lost and not (waiting.exists() and waiting.stat().st_size > 0):
            raise StorageError(
                f"the database of the experience store {folder} is missing or empty; restore {NAME} from a backup, "
                f"or remove {MARKER} to begin a new store"
            )
        if read_only and not file.exists():
            raise StorageError(f"there is no experience store in {folder}")
        if not read_only:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"the folder {folder} cannot be used: {error.strerror or error}") from error


def identify(database: Database, capacity: int | None) -> None:
    """Give a new store its name, and compare a store's name with the one in its folder."""
    with database.read() as connection:
        tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'state'").fetchone()
        row = connection.execute("SELECT store FROM state").fetchone() if tables else None
    if row is None:
        if database.read_only:
            raise StorageError(f"there is no experience store in {database.folder}")
        with database.write() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO state VALUES (1, ?, 0, 0, 0, ?, 0, 0)", (uuid.uuid4().hex, capacity)
            )
            row = connection.execute("SELECT store FROM state").fetchone()
    marker = database.folder / MARKER
    try:
        known = json.loads(marker.read_text("utf-8")).get("store")
    except (OSError, ValueError, AttributeError):
        known = None
    if known is None and not database.read_only:
        fresh = marker.with_name(f"{MARKER}.{uuid.uuid4().hex}.tmp")
        try:
            fresh.write_text(json.dumps({"store": row[0], "format": 1}) + "\n", "utf-8")
            fresh.replace(marker)
        except OSError as error:
            raise StorageError(f"the folder {database.folder} cannot be written: {error.strerror}") from error
    elif known is not None and known != row[0]:
        raise StorageError(
            f"{database.path} belongs to another store; put the right file back, or remove {MARKER} to accept this one"
        )
