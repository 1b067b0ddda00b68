"""How a diffusers renderer is set up: what a person writes after the `?` of `diffusers:FOLDER?device=cpu`."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from genevolve.grammar.errors import ConfigurationError

DTYPES = ("auto", "float32", "float16", "bfloat16")
OFFLOADS = ("none", "model", "sequential")


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of one renderer.

    Attributes:
        device: `auto` (CUDA, then Apple's MPS, then the processor) or a torch device such as `cuda:1`.
        dtype: `auto` (bfloat16 on CUDA and MPS, float32 on the processor) or one of `DTYPES`.
        offload: `none` keeps the whole pipeline on the device; `model` moves one component at a time there;
            `sequential` moves single layers (least memory, slowest).
        offline: never ask the hub; use what was downloaded before.
        revision: branch, tag or commit of a hub repository; None is its default branch.
        variant: file variant such as `fp16`; None is the plain files.
        pipeline: class to load the folder with instead of the one that it names.
        strength: how far an image-to-image pipeline may leave its picture, in (0, 1]; None is its default.
        safetensors: refuse weights in pickle files, which can carry code.
    """

    device: str = "auto"
    dtype: str = "auto"
    offload: str = "none"
    offline: bool = False
    revision: str | None = None
    variant: str | None = None
    pipeline: str | None = None
    strength: float | None = None
    safetensors: bool = True

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for a value that cannot be."""
        _one_of("dtype", self.dtype, DTYPES)
        _one_of("offload", self.offload, OFFLOADS)
        if self.strength is not None and not (math.isfinite(self.strength) and 0 < self.strength <= 1):
            raise ConfigurationError(f"strength is a number above 0 and up to 1, not {self.strength}")

    @classmethod
    def parse(cls, written: Mapping[str, str]) -> Options:
        """Options from text, as they stand in a renderer's address or in a settings file.

        Raises:
            ConfigurationError: for an unknown name or a value that is not of its kind.
        """
        names = [f.name for f in fields(cls)]
        values: dict[str, object] = {}
        for name, text in written.items():
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(names)}"
                raise ConfigurationError(f"the diffusers renderer has no option {name!r}{hint}")
            values[name] = _value(name, text)
        return cls(**values)  # type: ignore[arg-type]  # _value gives each name its own type


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(f"{name} is one of {', '.join(choices)}, not {value!r}")


def _value(name: str, text: str) -> object:
    if name in ("offline", "safetensors"):
        lowered = text.strip().lower()
        if lowered in ("true", "yes", "on", "1"):
            return True
        if lowered in ("false", "no", "off", "0"):
            return False
        raise ConfigurationError(f"{name} is true or false, not {text!r}")
    if name == "strength":
        try:
            return float(text)
        except ValueError:
            raise ConfigurationError(f"strength is a number above 0 and up to 1, not {text!r}") from None
    if not text.strip():
        raise ConfigurationError(f"the option {name!r} of the diffusers renderer is empty")
    return text.strip()
