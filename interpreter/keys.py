"""Keys and addresses of services: from the environment and from `.env`, kept out of sight."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from genevolve.grammar.errors import ConfigurationError
from genevolve.grammar.suggest import listed
from genevolve.interpreter.redact import Redactor, is_secret_name

MAX_FILE_BYTES = 1024 * 1024
_ADDRESS = "_BASE_URL"


class Secrets(Mapping[str, str]):
    """Keys of services by the names of their variables. Printing shows the names only."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = {name: value for name, value in (values or {}).items() if value}
        self._redactor = Redactor(self._values.values())

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Secrets({listed(sorted(self._values)) or 'none'})"

    def __reduce__(self) -> str | tuple[Any, ...]:
        # A pickle of a configuration would carry the keys to wherever it is stored.
        raise TypeError("secrets cannot be pickled")

    def redact(self, text: str) -> str:
        """The text with every key masked that has at least eight characters."""
        return self._redactor.text(text)


def read_services(project: Path | None, variables: Mapping[str, str]) -> tuple[Secrets, Mapping[str, str]]:
    """Keys and addresses of services, from `.env` and from the environment, which is stronger."""
    values = {} if project is None else _read_env_file(project.parent / ".env")
    values.update({name: value for name, value in variables.items() if _of_service(name)})
    endpoints = {name: value.strip() for name, value in values.items() if name.endswith(_ADDRESS)}
    keys = {name: value for name, value in values.items() if not name.endswith(_ADDRESS)}
    return Secrets(keys), MappingProxyType({n: v for n, v in endpoints.items() if v})


def _of_service(name: str) -> bool:
    return is_secret_name(name) or name.endswith(_ADDRESS)


def _read_env_file(path: Path) -> dict[str, str]:
    """Names that look like keys or addresses, with their values. Errors name lines, never what stands in them."""
    if not path.is_file():
        return {}
    try:
        text = path.read_bytes()[:MAX_FILE_BYTES].decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: not UTF-8 text") from None  # the cause would hold the bytes
    found: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip().removeprefix("export ").strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise ConfigurationError(f"{path}: line {number} is not of the form NAME=value")
        if _of_service(name):
            found[name] = _unquoted(value.strip())
    return found


def _unquoted(value: str) -> str:
    if value[:1] in ("'", '"'):
        end = value.find(value[0], 1)
        return value[1:end] if end > 0 else value[1:]
    return value.partition(" #")[0].rstrip()
