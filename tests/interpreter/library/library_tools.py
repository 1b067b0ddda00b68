"""What the tests of the library share: an embedder that counts, and pictures made on the spot."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from genevolve.interpreter.library.text import terms

if TYPE_CHECKING:
    from genevolve.interpreter.library.embedder import Vectors


class CountingEmbedder:
    """Words as directions: texts that share words are alike. Remembers which texts it was given."""

    def __init__(self, name: str = "counting", size: int = 64) -> None:
        self.name = name
        self.size = size
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.embedded.extend(texts)
        return self.embed_queries(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self.size), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in terms(text):
                vectors[row, int(hashlib.sha256(word.encode()).hexdigest(), 16) % self.size] += 1
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vectors = (vectors / np.maximum(lengths, 1e-6)).astype(np.float32)
        return unit


def write(folder: Path, **files: str) -> None:
    """Write text files; `a__b_md` is `a/b.md`."""
    for name, text in files.items():
        stem, _, suffix = name.replace("__", "/").rpartition("_")
        file = folder / f"{stem}.{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def picture(file: Path, size: tuple[int, int] = (40, 30), colour: str = "red", **options: object) -> Path:
    """Write a plain picture in the format of its suffix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(file, **options)  # type: ignore[arg-type]  # options of any encoder
    return file
