"""The oracle of a studio world as a policy: `oracle:DIR`, crippled by options.

`oracle:DIR?drop=text_rendering,spatial_layout&reference=random` leaves out two skills and binds a random picture;
`bare=true` renders the request itself; `ask=true` asks for each fact; `wrong_query=0.3` and the other fields of
`Mistakes` are chances of mistakes, drawn anew for each seed of a dialogue. The request is known by its text; of what
the tools showed, the oracle reads what a policy is shown, nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from urllib.parse import parse_qsl

from genevolve.grammar.errors import AuthorError, ConfigurationError
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.grammar.tree import Request as RequestStatement
from genevolve.grammar.tree import String
from genevolve.interpreter.studio.folder import requests_file
from genevolve.interpreter.studio.oracle import PICTURES, Mistakes, Oracle, Switches, holds
from genevolve.interpreter.studio.requests import Request, read_requests
from genevolve.interpreter.studio.splits import SPLITS
from genevolve.interpreter.studio.world import World
from genevolve.programs.policies.protocol import Dialogue, Emission, Limits, Message, Role, Stop

_CHANCES = ("wrong_query", "skipped_skill", "wrong_image", "vague_layout", "missing_count")
_PASSAGE = re.compile(r"passage \d+: (.*) - [^ ]+$")
_PICTURE = re.compile(rf"{PICTURES}\[\d+\]: (.*) \(\d+x\d+\)$")
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


@dataclass(frozen=True)
class SeenText:
    """Observations as a dialogue tells them."""

    messages: tuple[Message, ...]

    @cached_property
    def _passages(self) -> list[tuple[str, str]]:
        """Title and text of every passage that was shown."""
        found: list[tuple[str, list[str]]] = []
        for line in self._lines():
            if match := _PASSAGE.match(line):
                found.append((match[1].split(" › ")[0], []))
            elif line.startswith("|") and found:
                found[-1][1].append(line[1:].strip())
            else:
                found.append(("", []))
        return [(title, " ".join(parts)) for title, parts in found if title]

    def tells(self, title: str, words: Iterable[Sequence[str]]) -> bool:
        """Whether a passage under that title holds, for each group of words, one of them."""
        return holds(" ".join(text for shown, text in self._passages if shown == title), words)

    def pictures(self) -> Sequence[tuple[str, str]]:
        """Candidate pictures, in order: no title, and title and caption in one."""
        return [("", match[1]) for line in self._lines() if (match := _PICTURE.match(line))]

    def _lines(self) -> Iterable[str]:
        for message in self.messages:
            if message.role is Role.USER:
                yield from message.text.split("\n")


class OraclePolicy:
    """Writes the program of whatever request of its world a dialogue is about."""

    takes_images = False
    constrained = False

    def __init__(self, folder: Path, switches: Switches | None = None, name: str = "") -> None:
        self._folder = folder
        self._switches = switches or Switches()
        self._name = name or f"oracle:{folder}"
        self._world = World.load(folder)

    @cached_property
    def _requests(self) -> dict[str, Request]:
        found: dict[str, Request] = {}
        for split in SPLITS:
            path = requests_file(self._folder, split)
            if path.is_file():
                found.update((r.prompt, r) for r in read_requests(path))
        return found

    @property
    def name(self) -> str:
        """The spec that opens it again."""
        return self._name

    @property
    def version(self) -> str:
        """Depends on the world."""
        return f"oracle-1:{self._world.seed}:{len(self._world.entities)}"

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        """The next turn of each dialogue."""
        return [self._turn(dialogue) for dialogue in dialogues]

    def release(self, ids: Sequence[str]) -> None:
        """There is nothing to forget."""

    def close(self) -> None:
        """There is nothing to free."""

    def _turn(self, dialogue: Dialogue) -> Emission:
        try:
            request = self._requests.get(request_text(dialogue))
        except AuthorError as error:
            return Emission("", Stop.FAILED, error=str(error))
        if request is None:
            return Emission("", Stop.FAILED, error="the studio's oracle does not know this request")
        mistakes = replace(self._switches.mistakes, seed=dialogue.seed)
        oracle = Oracle(self._world, request, replace(self._switches, mistakes=mistakes))
        return Emission(oracle.next_turn(SeenText(dialogue.messages), dialogue.turn) or "")


def request_text(dialogue: Dialogue) -> str:
    """The request of the sketch that a dialogue begins with; empty when it cannot be read."""
    opening = next((m.text for m in dialogue.messages if m.role is Role.USER), "")
    lines = opening.split("\n")
    if "The sketch:" not in lines:
        return ""
    sketch: list[str] = []
    for line in lines[lines.index("The sketch:") + 1 :]:
        if line and not line.startswith("  "):
            break
        sketch.append(line[2:])
    tree = parse(Source("\n".join(sketch), "<sketch>")).tree
    for statement in tree.statements:
        if isinstance(statement, RequestStatement) and isinstance(statement.text, String):
            return "".join(part for part in statement.text.parts if isinstance(part, str))
    return ""


def open_oracle(argument: str) -> OraclePolicy:
    """The policy of `oracle:DIR?options`.

    Raises:
        ConfigurationError: The folder holds no world, or an option is unknown or malformed.
    """
    location, _, query = argument.partition("?")
    if not location:
        raise ConfigurationError("oracle needs the folder of a studio world, as in oracle:world")
    try:
        switches = parse_switches(query)
        return OraclePolicy(Path(location).expanduser(), switches, f"oracle:{argument}")
    except AuthorError as error:
        raise ConfigurationError(f"oracle:{argument}: {error}") from error


def parse_switches(query: str) -> Switches:
    """Options as `name=value&…`. Raises `AuthorError` for those that are unknown or malformed."""
    try:
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if query else {}
    except ValueError:
        raise AuthorError(f"options are written name=value and joined by &, not {query!r:.80}") from None
    wrong_query, skipped_skill, wrong_image, vague_layout, missing_count = (
        _chance(name, options.pop(name, "0")) for name in _CHANCES
    )
    mistakes = Mistakes(wrong_query, skipped_skill, wrong_image, vague_layout, missing_count)
    dropped = frozenset(s for s in options.pop("drop", "").split(",") if s)
    reference = options.pop("reference", "right")
    bare, ask = (_flag(name, options.pop(name, "false")) for name in ("bare", "ask"))
    if options:
        known = ", ".join(("drop", "reference", "bare", "ask", *_CHANCES))
        raise AuthorError(f"the oracle has no option {sorted(options)[0]!r}; there are {known}")
    return Switches(dropped, reference, bare, ask, mistakes)


def _chance(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise AuthorError(f"{name} is a chance from 0 to 1, not {text!r:.40}")
    return value


def _flag(name: str, text: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE):
        raise AuthorError(f"{name} is true or false, not {text!r:.40}")
    return text.lower() in _TRUE
