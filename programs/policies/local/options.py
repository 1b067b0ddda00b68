"""How a local policy is set up: what stands after the `?` of `local:FOLDER?device=cpu&dtype=bfloat16`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import parse_qsl

from genevolve.grammar.errors import ConfigurationError
from genevolve.grammar.suggest import closest, did_you_mean, listed

DTYPES = ("auto", "float32", "bfloat16", "float16")
BACKENDS = ("auto", "lean", "padded", "single")
CARDS = ("brief", "compact", "full")
ATTENTIONS = ("auto", "eager", "sdpa", "flash_attention_2", "flex_attention")
POLICY_FILE = "genevolve.json"
"""Beside the weights of a policy that was trained here: which card it was trained to read."""
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class LocalOptions:
    """Settings of one local policy.

    Attributes:
        device: `auto` (CUDA, then Apple's MPS, then the processor) or a torch device such as `cuda:1`.
        dtype: `auto` (bfloat16 on an accelerator, float32 on the processor) or one of `DTYPES`.
        adapter: A folder with a LoRA adapter, put on top of the model.
        base: The model under an adapter folder, instead of the one that the adapter names.
        attention: The attention of transformers that the model's own forward uses.
        constrained: Whether only what parses and checks is written.
        card: Which language card the model reads in its system message.
        backend: `auto`, or the only one to use; see `backends`.
        revision: Branch, tag or commit of a hub repository.
        offline: Never ask the hub; use what was downloaded before.
        pickle: Also read weights in pickle files, which can carry code.
        trust_remote_code: Run code that the model's repository brings.
        threads: Threads of torch on the processor; None leaves them as they are.
        kv_gib: How much memory keys and values may take between turns, GiB.
        images: Most pictures of a message that a vision-language model is shown.
        image_side: The longer side at which they are shown, pixels.
    """

    device: str = "auto"
    dtype: str = "auto"
    adapter: str | None = None
    base: str | None = None
    attention: str = "auto"
    constrained: bool = True
    card: Literal["brief", "compact", "full"] = "compact"
    backend: str = "auto"
    revision: str | None = None
    offline: bool = False
    pickle: bool = False
    trust_remote_code: bool = False
    threads: int | None = None
    kv_gib: float = field(default=2.0)
    images: int = 5
    image_side: int = 448

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for a value that cannot be."""
        for name, values in (
            ("dtype", DTYPES),
            ("backend", BACKENDS),
            ("card", CARDS),
            ("attention", ATTENTIONS),
        ):
            value = getattr(self, name)
            if value not in values:
                raise ConfigurationError(f"{name} is one of {listed(values)}, not {value!r}")
        if self.threads is not None and not 1 <= self.threads <= 1024:
            raise ConfigurationError(f"threads is a number from 1 to 1024, not {self.threads}")
        if not 0 <= self.kv_gib <= 4096:
            raise ConfigurationError(f"kv_gib is a number of GiB from 0 to 4096, not {self.kv_gib}")
        if not 0 <= self.images <= 20:
            raise ConfigurationError(f"images is a number from 0 to 20, not {self.images}")
        if not 32 <= self.image_side <= 4096:
            raise ConfigurationError(
                f"image_side is a number of pixels from 32 to 4096, not {self.image_side}"
            )

    @classmethod
    def parse(cls, query: str) -> LocalOptions:
        """Options from text such as `device=cpu&constrained=false`.

        Raises:
            ConfigurationError: For an unknown name or a value that is not of its kind.
        """
        return cls().merged(dict(parse_qsl(query, keep_blank_values=True)))

    @classmethod
    def of_folder(cls, folder: Path) -> LocalOptions:
        """What a policy's own folder says of its use: the card, and nothing else.

        Raises:
            ConfigurationError: The file is there and cannot be read.
        """
        file = folder / POLICY_FILE
        if not file.is_file():
            return cls()
        try:
            with file.open("rb") as opened:
                data = json.loads(opened.read(65_536))
            card = data["card"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigurationError(f"{file} does not say which card the policy reads: {error}") from error
        return cls().merged({"card": card})

    def merged(self, written: Mapping[str, object]) -> LocalOptions:
        """These options with others over them; texts are read, None is left out."""
        known = {f.name: str(f.type) for f in fields(self)}
        values: dict[str, object] = {}
        for name, value in written.items():
            if name not in known:
                hint = did_you_mean(closest(name, tuple(known))) or f"; there are {listed(tuple(known))}"
                raise ConfigurationError(f"local policies have no option {name!r}{hint}")
            if value is not None:
                values[name] = _read(name, value, known[name]) if isinstance(value, str) else value
        return replace(self, **cast("dict[str, Any]", values))


def _read(name: str, text: str, kind: str) -> object:
    if kind.startswith("bool"):
        if text.lower() not in _TRUTHS:
            raise ConfigurationError(f"{name} is true or false, not {text!r}")
        return _TRUTHS[text.lower()]
    try:
        if kind.startswith("int"):
            return int(text)
        return float(text) if kind.startswith("float") else text
    except ValueError as error:
        raise ConfigurationError(f"{name} is a number, not {text!r}") from error
