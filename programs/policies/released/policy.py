"""The policy `released:ADDRESS`: a server of the released GenEvolve checkpoint, asked in its own protocol.

policy = open_released("http://127.0.0.1:8000/v1")
policy = open_released("http://127.0.0.1:8000/v1?model=GenEvolve-8B&images=true&corrections=1")

Options: `model` (its name on the server), `corrections` (how often a broken round is told to the model in one turn),
`tokens` (of one round, thoughts included), `system` (a file with a system message to send instead of ours), and those
of `endpoint:` but `api_base`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from genevolve.grammar.errors import ConfigurationError
from genevolve.programs.modules.bridge import load_dspy
from genevolve.programs.policies.endpoint import (
    READERS,
    EndpointPolicy,
    Options,
    Spending,
    read_options,
    told_options,
)
from genevolve.programs.policies.protocol import Dialogue, Emission, Limits
from genevolve.programs.policies.released.talk import Manner, Talk

if TYPE_CHECKING:
    from genevolve.interpreter.config import Config
    from genevolve.interpreter.retry import RetryPolicy

PREFIX = "released:"
MODEL = "GenEvolve-8B"
"""What the release's own scripts call the checkpoint on a server."""

_MAX_SYSTEM = 128 * 1024


@dataclass(frozen=True)
class Own:
    """What a spec may say besides the options of `endpoint:`."""

    model: str = MODEL
    corrections: int = 2
    tokens: int = 4096
    system: str | None = None


def open_released(argument: str, config: Config | None = None) -> ReleasedPolicy:
    """The policy of a spec, with or without `released:` before it.

    Raises:
        ConfigurationError: The address, an option, a key or a file is wrong.
    """
    from genevolve.interpreter.config import load_config

    settings = config if config is not None else load_config()
    address, _, query = argument.removeprefix(PREFIX).partition("?")
    if not address:
        raise ConfigurationError(
            "released needs the address of a server, as in released:http://127.0.0.1:8000/v1"
        )
    given = read_options(query, _ALL, "released")
    own = Own(**{f.name: given.pop(f.name) for f in fields(Own) if f.name in given})
    return ReleasedPolicy(address, own, Options(api_base=address, **given), settings.secrets)


class ReleasedPolicy:
    """The released checkpoint behind a server; dialogues are asked about at the same time.

    It fills the `...` of a request: searches, skills, and then references and prompt in one answer.
    """

    constrained = False

    def __init__(
        self,
        address: str,
        own: Own | None = None,
        options: Options | None = None,
        secrets: Mapping[str, str] | None = None,
        *,
        retry: RetryPolicy | None = None,
    ) -> None:
        self.own = own or Own()
        self.options = replace(options or Options(), api_base=address)
        self._address = address
        self._manner = Manner(self.own.corrections, _system(self.own.system))
        self._server = _Server(f"openai/{self.own.model}", self.options, secrets or {}, retry=retry)
        self._talks: dict[str, Talk] = {}

    # ---- what it is ----

    @property
    def name(self) -> str:
        """The spec, with the options that are not the usual ones."""
        told = told_options(self.own, Own(), _OWN) + told_options(
            replace(self.options, api_base=None), Options(), READERS
        )
        return PREFIX + self._address + ("?" + "&".join(told) if told else "")

    @property
    def version(self) -> str:
        """The model and where it is served."""
        return f"{quote(self.own.model, safe='/.-_')}@{self._address.rstrip('/')}"

    @property
    def takes_images(self) -> bool:
        """Whether pictures are sent (`images=true`)."""
        return self.options.images

    @property
    def spending(self) -> Spending:
        """What it has cost so far."""
        return self._server.spending

    def talk(self, identity: str) -> Talk | None:
        """What was said to and by the model in a dialogue, until it is released."""
        return self._talks.get(identity)

    # ---- what it does ----

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        """One emission for each dialogue, in order; rounds that break the protocol are corrected in between."""
        limits = replace(limits, max_tokens=self.own.tokens)
        emissions: dict[int, Emission] = {}
        waiting: list[tuple[int, Talk]] = []
        for place, dialogue in enumerate(dialogues):
            talk = self._talks.setdefault(dialogue.id, Talk(dialogue, self._manner))
            failed = talk.begin(dialogue)
            if failed is None:
                waiting.append((place, talk))
            else:
                emissions[place] = failed
        while waiting:
            heard = self._server.act([talk.wanted for _, talk in waiting], limits)
            again: list[tuple[int, Talk]] = []
            for (place, talk), said in zip(waiting, heard, strict=True):
                emission = talk.hear(said)
                if emission is None:
                    again.append((place, talk))
                else:
                    emissions[place] = emission
            waiting = again
        return [emissions[place] for place in range(len(dialogues))]

    def release(self, ids: Sequence[str]) -> None:
        """Forget the rounds of these dialogues."""
        for identity in ids:
            self._talks.pop(identity, None)

    def close(self) -> None:
        """Close the connections."""
        self._talks.clear()
        self._server.close()


class _Server(EndpointPolicy):
    """The model behind its server, what it says taken as it is."""

    def _taken(self, text: str, parts: Sequence[Any]) -> str:
        """The answer, with thoughts that the server keeps apart back in their tags."""
        thinking = load_dspy().lm15.ThinkingPart
        thoughts = "\n".join(p.text for p in parts if isinstance(p, thinking) and p.text)
        if not thoughts or "<think>" in text:
            return text
        # The reading of a round must not find tags of its own in there.
        return f"<think>\n{thoughts.replace('</think>', '')}\n</think>\n{text}"


def _system(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        with Path(path).expanduser().open("rb") as file:
            data = file.read(_MAX_SYSTEM + 1)
        text = data.decode("utf-8")
    except OSError as error:
        raise ConfigurationError(f"released: {path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"released: {path}: this is not UTF-8") from error
    if len(data) > _MAX_SYSTEM or not text.strip():
        raise ConfigurationError(f"released: {path}: a system message has from 1 to {_MAX_SYSTEM:,} bytes")
    return text


def _number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 8) or not low <= int(text) <= high:
            raise ValueError(f"is a whole number from {low:,} to {high:,}")
        return int(text)

    return read


def _model(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("is the model's name on the server")
    return text


_OWN: Mapping[str, Callable[[str], Any]] = {
    "model": _model,
    "corrections": _number(0, 10),
    "tokens": _number(16, 131_072),
    "system": str,
}
_ALL = {**_OWN, **{name: reader for name, reader in READERS.items() if name != "api_base"}}
