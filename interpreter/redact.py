"""Keys never reach a trace, an error, a value or a record.

What tools return and what errors say is scrubbed where it enters the machine: later stages hold nothing to hide.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from genevolve.interpreter.values import Evidence, ImageHandle, Images, SizeValue, Value

_NAMES = re.compile(
    r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(?:_|$)", re.IGNORECASE
)
_SHORTEST = 8
MASK = "[redacted]"


def is_secret_name(name: str) -> bool:
    """Whether a variable of that name holds a key: `OPENAI_API_KEY`, `SEARCH_TOKEN`, `DB_PASSWORD`."""
    return _NAMES.search(name) is not None


def secrets_of(environment: Mapping[str, str] | None = None) -> frozenset[str]:
    """The values of the environment variables whose names look like keys.

    Values of fewer than eight characters are left out: masking them would blank out ordinary words.
    """
    variables = os.environ if environment is None else environment
    return frozenset(v for k, v in variables.items() if is_secret_name(k) and len(v.strip()) >= _SHORTEST)


class Redactor:
    """Replaces secrets in texts, values and JSON data."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # Longest first: a secret that contains another one goes as a whole.
        kept = sorted({s for s in secrets if len(s) >= _SHORTEST}, key=lambda s: (-len(s), s))
        self._pattern = re.compile("|".join(map(re.escape, kept))) if kept else None

    def text(self, text: str) -> str:
        """The text with every secret masked."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def value(self, value: Value) -> Value:
        """A value of the language with its texts masked; paths stay as they are, a file must be found again."""
        if self._pattern is None:
            return value
        match value:
            case str():
                return self.text(value)
            case Evidence(snippets):
                return Evidence(tuple(self._fields(s, ("text", "title", "source")) for s in snippets))
            case Images(items):
                return Images(tuple(self._fields(i, ("id", "title", "caption", "source")) for i in items))
            case ImageHandle():
                masked: ImageHandle = self._fields(value, ("id", "title", "caption", "source"))
                return masked
            case bool() | int() | float() | SizeValue():
                return value

    def data(self, data: Any) -> Any:
        """JSON data with every text in it masked, keys of objects included."""
        if self._pattern is None:
            return data
        match data:
            case str():
                return self.text(data)
            case dict():
                return {self.text(str(k)): self.data(v) for k, v in data.items()}
            case list() | tuple():
                return [self.data(v) for v in data]
            case _:
                return data

    def _fields(self, item: Any, names: tuple[str, ...]) -> Any:
        changes = {n: self.text(getattr(item, n)) for n in names}
        return dataclasses.replace(item, **changes)
