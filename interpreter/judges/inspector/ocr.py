"""Reading letters: RapidOCR, loaded once in a process, on one thread."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genevolve.grammar.errors import ConfigurationError

_lock = threading.Lock()
_SETTINGS = {
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    "Global.log_level": "critical",
}


def check_installed() -> None:
    """Raise `ConfigurationError` when the packages that read letters are not installed."""
    from importlib.util import find_spec

    missing = [name for name in ("rapidocr", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"the inspector reads lettering with {' and '.join(missing)}, which is not installed: "
            "pip install 'genevolve[judges]', or use inspector:no-ocr"
        )


def read_line(pixels: NDArray[np.uint8]) -> str:
    """The one line of lettering in a piece of a picture, (h, w, 3); empty when there is none."""
    with _lock:  # one engine, one thread: sessions of the runtime share their buffers
        found: Any = _engine()(pixels, use_det=False, use_cls=False, use_rec=True)
    texts = [t for t in (found.txts or ()) if isinstance(t, str)]
    return " ".join(texts).strip()


def read_lines(pixels: NDArray[np.uint8]) -> list[tuple[str, float, float]]:
    """All lines of lettering in a picture: text, and the middle of its box as shares of the picture."""
    with _lock:
        found: Any = _engine()(pixels, use_det=True, use_cls=False, use_rec=True)
    if found.boxes is None or found.txts is None:
        return []
    height, width = pixels.shape[:2]
    lines = []
    for box, text in zip(found.boxes, found.txts, strict=True):
        x, y = np.asarray(box, dtype=np.float64).mean(axis=0)
        if isinstance(text, str) and text.strip():
            lines.append((text.strip(), float(x) / width, float(y) / height))
    return lines


@lru_cache(maxsize=1)
def _engine() -> Any:
    check_installed()
    from rapidocr import RapidOCR

    return RapidOCR(params=dict(_SETTINGS))
