"""A world on disk.

    DIR/
        library/pages/*.md          what programs search: an ordinary library folder
        library/pictures/*.png
        requests/SPLIT.jsonl        a request a line
        ground_truth/ID.png         drawn when they are asked for; those of the held-out splits at once
        world.json                  the truth; outside the library, so that no search finds it
        studio.json                 what it was made from, and whether it is whole

Every file is written beside its place and then moved there, and `studio.json` says that all are there only in the end:
what was interrupted is no world yet, and making it again with the same arguments goes on where it stopped. The same
arguments give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.interpreter.studio.drawing import draw
from genevolve.interpreter.studio.pictures import encode
from genevolve.interpreter.studio.requests import Request, read_requests, requests_of
from genevolve.interpreter.studio.scene import Scene
from genevolve.interpreter.studio.splits import DEFAULT_SIZES, SPLITS
from genevolve.interpreter.studio.world import World, make_world

SCHEMA = "genevolve.studio-folder/1"
MOST_REQUESTS = 100_000
_IDENTITY = "studio.json"
_LOCK = ".lock"
_EAGER = ("heldout", "heldout_combos")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Recipe:
    """What a folder is made from."""

    seed: int = 7
    entities: int = 400
    sizes: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_SIZES))

    def __post_init__(self) -> None:
        if unknown := set(self.sizes) - set(SPLITS):
            raise AuthorError(f"there is no split {sorted(unknown)[0]!r}")
        if any(size < 0 for size in self.sizes.values()):
            raise AuthorError("a split has no fewer than 0 requests")
        if any(size > MOST_REQUESTS for size in self.sizes.values()):
            raise AuthorError(f"a split has at most {MOST_REQUESTS:,} requests")


@dataclass(frozen=True)
class Made:
    """What `make_folder` did: how many files were written now, how many were there, and what the world holds."""

    written: int
    kept: int
    entities: int
    near_duplicates: int
    decoys: int
    requests: Mapping[str, int]


def make_folder(
    folder: Path, recipe: Recipe, progress: Progress | None = None, *, ground_truths: str = "heldout"
) -> Made:
    """Write a world into a folder.

    Args:
        folder: Made when it is not there.
        recipe: Seed and sizes.
        progress: Told what is being written, how many are done, how many there are.
        ground_truths: `heldout`, `all` or `none`: which are drawn now.

    Raises:
        AuthorError: the folder holds something else, another process works in it, or the sizes cannot be had.
        StorageError: it cannot be written.
    """
    tell = progress or (lambda what, done, total: None)
    world = make_world(recipe.seed, recipe.entities)
    with _held(folder, recipe):
        writer = _Writer(folder)
        pages = list(world.pages())
        for done, page in enumerate(pages, start=1):
            writer.write(f"library/{page.path}", page.text.encode)
            tell("pages", done, len(pages))
        pictures = list(world.pictures())
        for done, picture in enumerate(pictures, start=1):
            writer.write(
                f"library/{picture.path}", partial(_drawn, picture.scene, picture.caption, picture.title)
            )
            tell("pictures", done, len(pictures))
        counts = {
            split: _write_requests(writer, world, split, recipe, tell, ground_truths) for split in SPLITS
        }
        writer.write("world.json", lambda: _json(world.to_dict()))
        writer.replace(_IDENTITY, _json({**_identity(recipe), "complete": True}))
    twins = sum(bool(e.twin_of) for e in world.entities.values())
    return Made(writer.written, writer.kept, len(world.entities) - twins, twins, len(world.decoys), counts)


def requests_file(folder: Path, split: str) -> Path:
    """Where the requests of a split lie."""
    return folder / "requests" / f"{split}.jsonl"


def find_request(folder: Path, id: str) -> Request:
    """The request with that id; raises `AuthorError` when the folder has none."""
    for split in SPLITS:
        path = requests_file(folder, split)
        if path.is_file() and id.startswith(f"{split}-"):
            for request in read_requests(path):
                if request.id == id:
                    return request
    raise AuthorError(f"there is no request {id!r} in {folder}")


def ground_truth(folder: Path, request: Request) -> Path:
    """The picture that meets a request, drawn now when it is not there yet; raises `StorageError`."""
    _Writer(folder).write(request.gt_image, partial(_drawn, request.scene))
    return folder / request.gt_image


class _Writer:
    """Writes files that are not there yet, each at once or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.written = self.kept = 0

    def write(self, name: str, data: Callable[[], bytes]) -> None:
        if (self._folder / name).is_file():
            self.kept += 1
            return
        self.replace(name, data())

    def replace(self, name: str, data: bytes) -> None:
        path = self._folder / name
        unfinished = path.with_name(f".{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(data)
            unfinished.replace(path)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise StorageError(f"{path} cannot be written: {error.strerror or error}") from error
        self.written += 1


def _write_requests(
    writer: _Writer, world: World, split: str, recipe: Recipe, tell: Progress, ground_truths: str
) -> int:
    size = recipe.sizes.get(split, 0)
    drawn = ground_truths == "all" or (ground_truths == "heldout" and split in _EAGER)
    lines = []
    for done, request in enumerate(requests_of(world, split, size), start=1):
        lines.append(json.dumps(request.to_dict(), ensure_ascii=False, sort_keys=True) + "\n")
        if drawn:
            writer.write(request.gt_image, partial(_drawn, request.scene))
        tell(split, done, size)
    writer.write(f"requests/{split}.jsonl", lambda: "".join(lines).encode())
    return size


@contextmanager
def _held(folder: Path, recipe: Recipe) -> Iterator[None]:
    """The folder, checked to be ours, and for this process alone."""
    from filelock import FileLock, Timeout

    _check(folder, recipe)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise AuthorError(f"another process is making a world in {folder}") from None
    except OSError as error:
        raise StorageError(f"{folder} cannot be written: {error.strerror or error}") from error
    try:
        if not (folder / _IDENTITY).is_file():
            _Writer(folder).replace(_IDENTITY, _json({**_identity(recipe), "complete": False}))
        yield
    finally:
        lock.release()
        with suppress(OSError):
            (folder / _LOCK).unlink(missing_ok=True)


def _check(folder: Path, recipe: Recipe) -> None:
    if folder.exists() and not folder.is_dir():
        raise AuthorError(f"{folder} is no folder")
    if not folder.is_dir() or not any(p.name != _LOCK for p in folder.iterdir()):
        return
    try:
        found = json.loads((folder / _IDENTITY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise AuthorError(f"{folder} is not empty, and what is there is no studio world") from None
    wanted = _identity(recipe)
    if link := next((p for p in _places(folder) if p.is_symlink()), None):
        raise AuthorError(f"{link} is a link; a world is written into folders of its own alone")
    if not isinstance(found, dict) or {k: found.get(k) for k in wanted} != wanted:
        raise AuthorError(f"{folder} holds a studio world of another seed or size; choose another folder")


def _places(folder: Path) -> tuple[Path, ...]:
    """The folders of a world."""
    library = folder / "library"
    return library, library / "pages", library / "pictures", folder / "requests", folder / "ground_truth"


def _drawn(scene: Scene, caption: str = "", title: str = "") -> bytes:
    return encode(draw(scene), caption, title)


def _identity(recipe: Recipe) -> dict[str, Any]:
    sizes = {split: recipe.sizes.get(split, 0) for split in SPLITS}
    return {"schema": SCHEMA, **asdict(recipe), "sizes": sizes}


def _json(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
