"""Where a pipeline lies: a folder or a hub repository, read without touching its weights."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genevolve.grammar.errors import ConfigurationError

INDEX = "model_index.json"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_COMPONENT = re.compile(r"[A-Za-z]\w*")
_MOST_JSON = 4 * 1024 * 1024  # bytes; a configuration is a few kilobytes
_SAMPLES = 16  # blocks of each weights file that go into the digest
_BLOCK = 64 * 1024  # bytes


class PipelineSource:
    """The files of one pipeline.

    The index and the components' configurations are enough to know what the pipeline can do, so a program is
    refused before gigabytes are loaded. Of a hub repository only those small files are fetched, from the
    local cache where it has them.

    Args:
        location: a folder, or a repository id such as `Qwen/Qwen-Image-Edit-2511`.
        revision: branch, tag or commit of a repository; None is the default branch.
        offline: use only what the local cache has.
    """

    def __init__(self, location: str, *, revision: str | None = None, offline: bool = False) -> None:
        self.location = location
        self.offline = offline
        self._revision = revision
        self._lock = threading.RLock()
        self._index: Mapping[str, Any] | None = None
        self._configs: dict[str, Mapping[str, Any]] = {}
        self._version: str | None = None
        path = Path(location).expanduser()
        self.folder: Path | None = path if path.is_dir() else None
        if self.folder is None:
            _expect_hub_id(location, path)

    @property
    def index(self) -> Mapping[str, Any]:
        """The content of `model_index.json`; raises `ConfigurationError` when there is no usable one."""
        with self._lock:
            if self._index is None:
                self._index = self._read_index()
            return self._index

    @property
    def class_name(self) -> str:
        """The pipeline class that the index names."""
        name: str = self.index["_class_name"]
        return name

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the parts that the index lists as present."""
        return tuple(n for n, v in self.index.items() if isinstance(v, list) and v[0] is not None)

    def component_class(self, name: str) -> str:
        """The class of a component, "" when the pipeline has no such component."""
        entry = self.index.get(name)
        return str(entry[1]) if isinstance(entry, list) and entry[1] else ""

    def config(self, component: str) -> Mapping[str, Any]:
        """The configuration of a component, empty when there is none."""
        with self._lock:
            if component not in self._configs:
                present = component in self.components
                path = self._file(f"{component}/config.json") if present else None
                self._configs[component] = _read_json(path) if path else {}
            return self._configs[component]

    @property
    def commit(self) -> str | None:
        """The commit of a hub repository's files, None for a folder."""
        if self.folder is not None:
            return None
        path = self._file(INDEX)
        parts = path.parts if path else ()
        return parts[parts.index("snapshots") + 1] if "snapshots" in parts else self._revision

    @property
    def version(self) -> str:
        """The commit of a repository, or a digest of a folder: it changes when the weights do."""
        with self._lock:
            if self._version is None:
                self._version = digest(self.folder) if self.folder else (self.commit or "unknown")
            return self._version

    def _read_index(self) -> Mapping[str, Any]:
        path = self._file(INDEX)
        if path is None:
            raise ConfigurationError(self._no_index())
        index = _read_json(path)
        name = index.get("_class_name")
        if isinstance(name, list):
            raise ConfigurationError(f"{self.location} brings its own pipeline code, which is never run")
        if not isinstance(name, str):
            raise ConfigurationError(f"{self.location}/{INDEX} does not name a pipeline class")
        for component, entry in index.items():
            if isinstance(entry, list):
                self._check_component(component, entry)
        return index

    def _check_component(self, name: str, entry: list[object]) -> None:
        whole = len(entry) == 2 and all(part is None or isinstance(part, str) for part in entry)
        if not whole or not _COMPONENT.fullmatch(name):
            raise ConfigurationError(f"{self.location}/{INDEX} has a malformed entry {name!r}")
        library = entry[0]
        if isinstance(library, str) and not _known_library(library):
            raise ConfigurationError(
                f"{self.location} loads its {name} with code of its own ({library}), which is never run"
            )
        if library is not None and self.folder is not None and not (self.folder / name).is_dir():
            raise ConfigurationError(f"{self.location} is incomplete: the folder {name} is missing")

    def _no_index(self) -> str:
        if self._file("modular_model_index.json") is not None:
            return f"{self.location} is a modular pipeline, which this renderer cannot use"
        if self._file("config.json") is not None:
            return f"{self.location} is a single model, not a diffusers pipeline: it has no {INDEX}"
        return f"{self.location} is not a diffusers pipeline: it has no {INDEX}"

    def _file(self, name: str) -> Path | None:
        """Where a small file lies on disk, None when the pipeline has no such file."""
        if self.folder is not None:
            path = self.folder / name
            return path if path.is_file() else None
        return _from_hub(self.location, name, self._revision, offline=self.offline)


def _expect_hub_id(location: str, path: Path) -> None:
    if path.is_file():
        raise ConfigurationError(f"{location} is a file; give a pipeline folder (with a {INDEX}) or a hub id")
    if not _HUB_ID.fullmatch(location):
        raise ConfigurationError(f"there is no pipeline folder {location}")


def _known_library(name: str) -> bool:
    import diffusers

    return name in ("diffusers", "transformers") or hasattr(diffusers.pipelines, name)


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > _MOST_JSON:
            raise ConfigurationError(f"{path} is too large to be a configuration")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not valid JSON") from error
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path} is not a configuration")
    return data


def _from_hub(repository: str, name: str, revision: str | None, *, offline: bool) -> Path | None:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        cached = try_to_load_from_cache(repository, name, revision=revision)
        if cached is not None:  # a path, or the hub library's mark for "known not to exist"
            return Path(cached) if isinstance(cached, str) else None
        return Path(hf_hub_download(repository, name, revision=revision, local_files_only=offline))
    except (
        LocalEntryNotFoundError
    ) as error:  # before its parent EntryNotFoundError: this one means "no answer"
        if _any_cached(repository, revision):
            return None
        if offline:
            raise ConfigurationError(
                f"{repository} was not downloaded, and the renderer is set to work offline"
            ) from error
        raise ConfigurationError(
            f"there is no folder {repository}, and the model hub does not answer; "
            "check the name, or download the pipeline and give its folder"
        ) from error
    except EntryNotFoundError:
        return None
    except GatedRepoError as error:
        raise ConfigurationError(
            f"{repository} is gated: accept its licence on the hub and set HF_TOKEN"
        ) from error
    except RevisionNotFoundError as error:
        raise ConfigurationError(f"{repository} has no revision {revision!r}") from error
    except RepositoryNotFoundError as error:
        raise ConfigurationError(
            f"there is neither a folder {repository} nor a hub repository of that name that may be read"
        ) from error
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise ConfigurationError(f"cannot read {repository} from the model hub: {error}") from error


def _any_cached(repository: str, revision: str | None) -> bool:
    """Whether the index was cached, so that another file which is not was never part of the repository."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(repository, INDEX, revision=revision), str)


def resolve_class(name: str, location: str) -> Any:
    """The pipeline class of the installed diffusers.

    Raises:
        ConfigurationError: when this version has no such class, or a library that the class needs is missing.
    """
    import diffusers

    found = getattr(diffusers, name, None) if re.fullmatch(r"\w+", name) else None
    if found is None or not isinstance(found, type):
        close = difflib.get_close_matches(name, [n for n in dir(diffusers) if n.endswith("Pipeline")], n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConfigurationError(
            f"{location} needs the pipeline class {name}, "
            f"which diffusers {diffusers.__version__} does not have{hint}"
        )
    if missing := getattr(found, "_backends", None):
        raise ConfigurationError(f"{name} needs libraries that are not all installed: {', '.join(missing)}")
    if not issubclass(found, diffusers.DiffusionPipeline):
        raise ConfigurationError(f"{name} is not a pipeline class of diffusers")
    return found


def digest(folder: Path) -> str:
    """SHA-256 over a pipeline folder: small files whole, of each large one its size and sampled blocks.

    Weights of the same shape that were trained differently differ in nearly every block, so samples tell them
    apart without reading tens of gigabytes.
    """
    total = hashlib.sha256()
    try:
        files = sorted(p for p in folder.rglob("*") if p.is_file() and not _hidden(p.relative_to(folder)))
        for path in files:
            size = path.stat().st_size
            total.update(f"{path.relative_to(folder).as_posix()}\0{size}\0".encode())
            with path.open("rb") as stream:
                if size <= _SAMPLES * _BLOCK:
                    total.update(stream.read())
                    continue
                for i in range(_SAMPLES):
                    stream.seek((size - _BLOCK) * i // (_SAMPLES - 1))
                    total.update(stream.read(_BLOCK))
    except OSError as error:
        raise ConfigurationError(f"cannot read the pipeline folder {folder}: {error.strerror}") from error
    return total.hexdigest()


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
