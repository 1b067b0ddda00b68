"""What a setting takes, and how a written value becomes one: texts, numbers, sizes, paths, tables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from genevolve.grammar.suggest import closest, did_you_mean
from genevolve.interpreter.mcp.settings import parse_servers

MAX_NUMBER = 1_000_000_000
_BYTES = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]i?)?B?", re.IGNORECASE)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}

Kind: TypeAlias = Literal[
    "text", "texts", "bool", "int", "seconds", "bytes", "money", "path", "paths", "prices", "model", "comfyui", "mcp"
]  # fmt: skip


class Setting(NamedTuple):
    """One setting: what it takes, where its numbers begin and end, whether "none" is allowed, what it is for."""

    kind: Kind
    doc: str
    least: float = 0
    optional: bool = False
    most: float = MAX_NUMBER


def convert(value: object, setting: Setting, folder: Path) -> object:
    """The value of a setting; paths are relative to `folder`. Raises `ValueError` with what was expected."""
    if isinstance(value, Path):
        value = [value] if setting.kind == "paths" else str(value)
    if setting.optional and isinstance(value, str) and value.strip().lower() == "none":
        return None
    match setting.kind:
        case "text":
            return _text(value)
        case "bool":
            return _bool(value)
        case "path":
            return _path(_text(value), folder)
        case "model":
            return _model(_text(value), folder)
        case "paths":
            return _paths(value, folder)
        case "texts":
            return _texts(value)
        case "bytes":
            return _bytes(value, setting)
        case "prices":
            return _prices(value)
        case "comfyui" | "mcp":
            return (_comfyui if setting.kind == "comfyui" else parse_servers)(value, folder)
        case _:
            return _number(value, setting)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("expected a text that is not empty")
    if "\0" in value:
        raise ValueError("a text cannot hold a NUL character")
    return value.strip()


def _bool(value: object) -> bool:
    words = {
        "true": True,
        "1": True,
        "yes": True,
        "on": True,
        "false": False,
        "0": False,
        "no": False,
        "off": False,
    }
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    raise ValueError("expected true or false")


def _path(text: str, folder: Path) -> Path:
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"there is no such home folder: {text}") from error
    return Path(os.path.normpath(folder / path))


def _model(text: str, folder: Path) -> str:
    """A name or `kind:name`; a name that is a folder beside the configuration becomes an absolute path."""
    if "://" in text:  # the address of a service: what follows its last colon is a port
        return text
    kind, colon, name = text.rpartition(":")
    if name.startswith(("./", "../", "~")) or (len(name) > 1 and (folder / name).is_dir()):
        return f"{kind}{colon}{_path(name, folder)}"
    return text


def _paths(value: object, folder: Path) -> tuple[Path, ...]:
    if isinstance(value, str):
        value = [part for part in value.split(os.pathsep) if part.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError("expected a list of folders")
    return tuple(dict.fromkeys(_path(_text(str(v) if isinstance(v, Path) else v), folder) for v in value))


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError("expected a list of texts")
    return tuple(dict.fromkeys(_text(v) for v in value))


def _bytes(value: object, setting: Setting) -> int:
    if isinstance(value, str):
        match = _BYTES.fullmatch(value.strip())
        if match is None:
            raise ValueError('expected a size such as 1048576 or "512 MiB"')
        unit = (match[2] or "").lower()
        base = 1024 if unit.endswith("i") else 1000
        value = int(float(match[1]) * base ** _POWERS.get(unit[:1], 0))
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError('expected a size such as 1048576 or "512 MiB"')
    if value < setting.least:
        raise ValueError(f"expected at least {setting.least:,} bytes")
    return value


def _number(value: object, setting: Setting) -> int | float:
    whole = setting.kind == "int"
    kind = "a whole number" if whole else "a number"
    if isinstance(value, str):
        try:
            value = int(value) if whole else float(value)
        except ValueError:
            raise ValueError(f"expected {kind}") from None
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise ValueError(f"expected {kind} or 'none'" if setting.optional else f"expected {kind}")
    if not setting.least <= value <= setting.most:  # refuses NaN, too
        raise ValueError(f"expected {kind} from {setting.least:g} to {setting.most:,}")
    return value if whole else float(value)


def _prices(value: object) -> Mapping[str, float]:
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if not all(equals for _, equals, _ in pairs):
            raise ValueError("expected prices such as search=0.01,image_search=0.02")
        value = {name.strip(): price.strip() for name, _, price in pairs}
    if not isinstance(value, Mapping):
        raise ValueError("expected a table of tools and prices")
    price = Setting("money", "")
    try:
        return MappingProxyType({str(tool): float(_number(v, price)) for tool, v in value.items()})
    except ValueError as error:
        raise ValueError(f"prices: {error}") from error


def _comfyui(value: object, folder: Path) -> Mapping[str, object]:
    """Only the shape is checked here; the renderer checks the places against the workflow."""
    if not isinstance(value, Mapping):
        raise ValueError("expected a table with workflow, inputs, output and url")
    known = ("workflow", "inputs", "output", "url")
    for name in value:
        if name not in known:
            raise ValueError(f"unknown setting {name}{did_you_mean(closest(str(name), known))}")
    table = {str(name): given for name, given in value.items()}
    if "workflow" in table:
        table["workflow"] = _path(_text(table["workflow"]), folder)
    if not isinstance(table.get("inputs", {}), Mapping):
        raise ValueError('inputs: expected a table such as { prompt = "6.text", seed = "3.seed" }')
    return MappingProxyType(table)
