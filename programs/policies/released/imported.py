"""Trajectories of the upstream release as programs, with what their tools showed.

A row is a record with `messages` (a line of JSON, or an entry of `results.json`), or the list of messages itself. It
is read as strictly as the model itself: what the protocol does not allow makes the row unreadable, with the round and
the reason. Rounds that the release itself refused, and calls that failed, leave nothing behind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from genevolve.grammar.errors import AuthorError
from genevolve.grammar.parser import parse_statement
from genevolve.grammar.scope import Scope
from genevolve.grammar.strings import quote
from genevolve.grammar.types import Environment
from genevolve.interpreter.values import Snippet
from genevolve.programs.policies.quoting import one_line
from genevolve.programs.policies.released.actions import Answer, ImageSearch, QueryKnowledge, Search
from genevolve.programs.policies.released.broken import Violation
from genevolve.programs.policies.released.gallery import Gallery, Place, id_number
from genevolve.programs.policies.released.statements import Setting, Translation, remarks, translate
from genevolve.programs.program import Program

MAX_BYTES = 512 * 1024 * 1024
_MAX_LINE = 32 * 1024 * 1024
_FAILED = (
    "[tool error]",
    "format error",
    "response too long",
    "unknown tool",
    "unknown skill",
    "--- search error",
)


class Unreadable(AuthorError):
    """A row that is no program; the message says why."""


@dataclass(frozen=True)
class Picture:
    """A picture that a search showed: what the trajectory tells of it."""

    id: str
    title: str = ""
    url: str = ""
    file: str = ""
    page: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Shown:
    """What a search showed: `name` is the program's name for it."""

    name: str
    call: Search | ImageSearch
    snippets: tuple[Snippet, ...] = ()
    pictures: tuple[Picture, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """As plain JSON data."""
        call = self.call
        queries = call.queries if isinstance(call, Search) else (call.query,)
        told: dict[str, object] = {
            "name": self.name,
            "tool": "search" if isinstance(call, Search) else "image_search",
            "queries": list(queries),
            "top_k": call.top_k,
        }
        if isinstance(call, Search):
            told["snippets"] = [{"title": s.title, "url": s.source, "text": s.text} for s in self.snippets]
        else:
            told["pictures"] = [vars(p) for p in self.pictures]
        return told


@dataclass(frozen=True)
class Imported:
    """A trajectory as a program, with what its searches showed and what was left out."""

    program: Program
    shown: tuple[Shown, ...] = ()
    left_out: tuple[str, ...] = ()


def read_rows(path: Path) -> Iterator[tuple[int, object]]:
    """The rows of a JSON or JSON-lines file, counted from 1; a line that is no JSON comes as an `Unreadable`.

    Raises:
        AuthorError: The file cannot be read, is too large, or is neither.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise AuthorError(f"{path}: more than {MAX_BYTES:,} bytes")
        with path.open("rb") as file:
            while (first := file.read(1)) in (b" ", b"\n", b"\r", b"\t", b"\xef", b"\xbb", b"\xbf"):
                pass
            file.seek(0)
            if first == b"[":
                yield from enumerate(_array(file.read(), path), 1)
                return
            number = 0
            while line := file.readline(_MAX_LINE):
                number += 1
                if len(line) == _MAX_LINE and not line.endswith(b"\n"):
                    while (more := file.readline(_MAX_LINE)) and not more.endswith(b"\n"):
                        pass
                    yield number, Unreadable(f"the line has more than {_MAX_LINE:,} bytes")
                elif line.strip(b"\xef\xbb\xbf \t\r\n"):
                    yield number, _line(line)
    except OSError as error:
        raise AuthorError(f"{path}: cannot be read: {error.strerror or error}") from error


def _array(data: bytes, path: Path) -> list[object]:
    try:
        rows: object = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise AuthorError(f"{path}: this is not JSON: {one_line(str(error), 200)}") from error
    if not isinstance(rows, list):
        raise AuthorError(f"{path}: an array of records is needed")
    # One trajectory alone is an array of messages.
    alone = rows and all(isinstance(r, dict) and "role" in r for r in rows)
    return [rows] if alone else rows


def _line(line: bytes) -> object:
    try:
        row: object = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return Unreadable(f"this is not JSON: {one_line(str(error), 200)}")
    return row


def import_row(row: object, environment: Environment) -> Imported:
    """One trajectory as a program.

    Raises:
        Unreadable: It has no messages, breaks the protocol, or has no answer.
    """
    if isinstance(row, Unreadable):
        raise row
    messages = row.get("messages") if isinstance(row, dict) else row
    if not isinstance(messages, list):
        raise Unreadable("there are no messages")
    if not messages and isinstance(row, dict) and row.get("error"):
        raise Unreadable(f"the trajectory failed: {one_line(str(row['error']), 200)}")
    return _Import(environment).read([_message(m, i) for i, m in enumerate(messages, 1)])


def _message(message: object, number: int) -> tuple[str, str]:
    if not isinstance(message, Mapping):
        raise Unreadable(f"message {number} is no object")
    role, content = message.get("role"), message.get("content")
    if role not in ("system", "user", "assistant", "tool"):
        raise Unreadable(f"message {number} has no role that is known")
    if isinstance(content, list):  # text and pictures in parts
        texts = [p.get("text", "") for p in content if isinstance(p, Mapping) and p.get("type") == "text"]
        content = "\n".join(t for t in texts if isinstance(t, str))
    if not isinstance(content, str):
        raise Unreadable(f"message {number} has no text")
    return ("user" if role == "tool" else str(role)), content.replace("<image>", "").strip()


@dataclass
class _Import:
    """One trajectory on its way."""

    environment: Environment
    lines: list[str] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    gallery: Gallery = field(default_factory=Gallery)

    def read(self, messages: list[tuple[str, str]]) -> Imported:
        rest = [m for m in messages if m[0] != "system"]
        if not rest or rest[0][0] != "user" or not rest[0][1]:
            raise Unreadable("there is no request: the first message of the user's is missing")
        request = _sound(" ".join(rest[0][1].split()))
        self.scope = Scope.root(self.environment)
        self._write((f"request {quote(request, triple=False)}",))
        rounds = list(_rounds(rest[1:]))
        for number, (said, answered) in enumerate(rounds, 1):
            if self._round(number, said, answered):
                if number < len(rounds):
                    raise Unreadable(f"round {number} answers, and {len(rounds) - number} more follow")
                return self._finished()
        raise Unreadable(f"there is no answer in {len(rounds)} rounds")

    def _round(self, number: int, said: str, answered: str | None) -> bool:
        """Take in one round; True when it is the answer."""
        failed = answered is not None and answered.lower().startswith(_FAILED)
        found = translate(_sound(said), Setting(self.scope, self.gallery))
        if isinstance(found, Violation):
            if not failed:
                raise Unreadable(f"round {number}: {found.message}")
            self.left_out.append(f"round {number}, which was refused: {found.message}")
            return False
        if isinstance(found.act, Answer):
            self._write((*remarks(found.thoughts), *found.statements))
            return True
        if answered is None:
            raise Unreadable(f"round {number}: the call was never answered")
        if failed:
            self.left_out.append(f"round {number}, whose call failed: {one_line(answered, 160)}")
            return False
        self._write((*remarks(found.thoughts), *found.statements))
        self._observe(found, _sound(answered))
        return False

    def _observe(self, found: Translation, answered: str) -> None:
        match found.act:
            case Search():
                self.shown.append(Shown(found.name, found.act, snippets=tuple(_snippets(answered))))
            case ImageSearch():
                pictures = tuple(_pictures(answered))
                for index, picture in enumerate(pictures):
                    self.gallery.put(picture.id, Place(found.name, index))
                self.shown.append(Shown(found.name, found.act, pictures=pictures))
            case QueryKnowledge() | Answer():
                pass

    def _write(self, lines: tuple[str, ...]) -> None:
        for line in lines:
            self.lines.append(line)
            statement, _ = (None, ()) if line.startswith("#") else parse_statement(line)
            if statement is not None:
                extension = self.scope.extend(statement)
                wrong = next((d for d in extension.diagnostics if d.is_error), None)
                if wrong is not None:
                    raise Unreadable(wrong.message)
                self.scope = extension.scope

    def _finished(self) -> Imported:
        program = Program.parse("\n".join(self.lines) + "\n", "imported.gprog")
        findings = program.check(self.environment)
        if not findings.ok:
            raise Unreadable(next(d.message for d in findings.diagnostics if d.is_error))
        formatted = Program.parse(program.format(), "imported.gprog")
        return Imported(formatted, tuple(self.shown), tuple(self.left_out))


def _rounds(messages: list[tuple[str, str]]) -> Iterator[tuple[str, str | None]]:
    """What the model said in each round, and what it was answered."""
    said: str | None = None
    answered: str | None = None
    for role, text in messages:
        if role == "assistant":
            if said is not None:
                yield said, answered
            said, answered = text, None
        elif "FINAL STEP" in text and not text.startswith("<tool_response>"):
            continue
        elif said is None:
            raise Unreadable("the user speaks twice before the first round")
        elif answered is None:
            answered = text.removeprefix("<tool_response>").removesuffix("</tool_response>").strip()
        else:
            raise Unreadable("a round was answered twice")
    if said is not None:
        yield said, answered


def _sound(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


# ---- what tools showed -------------------------------------------------------------------------------


def _pictures(text: str) -> Iterator[Picture]:
    """The pictures of an image search, in order; the lines after an id belong to it."""
    found: dict[str, str] = {}
    for line in text.split("\n"):
        head, _, rest = line.partition(": title:")
        if id_number(head) is not None and rest:
            if found:
                yield Picture(**found)
            found = {"id": head, "title": rest.strip()}
            continue
        name, colon, value = line.strip().partition(": ")
        member = {"url": "url", "local_path": "file", "page_url": "page", "caption": "caption"}.get(name)
        if found and colon and member and line.startswith("  "):
            found.setdefault(member, value.strip())
        elif line.startswith("--- end") and found:
            yield Picture(**found)
            found = {}
    if found:
        yield Picture(**found)


def _snippets(text: str) -> Iterator[Snippet]:
    """The passages of a text search, in order."""
    found: dict[str, str] | None = None
    for line in text.split("\n"):
        head, _, rest = line.partition(". title:")
        if head.isascii() and head.isdigit() and ". title:" in line:
            if found is not None:
                yield _snippet(found)
            found = {"title": rest.strip()}
        elif found is not None and line.startswith("  url: "):
            found.setdefault("url", line[7:].strip())
        elif found is not None and line.startswith("  snippet: "):
            found.setdefault("snippet", line[11:].strip())
        elif line.startswith("--- ") and found is not None:
            yield _snippet(found)
            found = None
        elif found is not None and "snippet" in found:  # a passage of several lines
            found["snippet"] += f"\n{line.strip()}"
    if found is not None:
        yield _snippet(found)


def _snippet(found: Mapping[str, str]) -> Snippet:
    return Snippet(found.get("snippet", ""), found.get("title", ""), found.get("url", ""))
