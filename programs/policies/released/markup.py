"""One message of the released model, cut into thoughts and its one action.

    <think>The tower needs a look.</think>
    <tool_call>{"name": "image_search", "arguments": {"query": "the tower"}}</tool_call>

A tag counts where it stands outside of thoughts and outside of a JSON string, and nowhere else: a draft inside
`<think>` is a thought, and `</answer>` inside a string is text. Text before the action is a thought as well; after
the action nothing may stand. What is not exactly so is told to the model, and nothing of it is carried out.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

from genevolve.programs.policies.released.broken import Broken, Violation, shown
from genevolve.programs.policies.released.strict_json import read_object

Action = Literal["tool_call", "answer"]

_TAGS = ("think", "tool_call", "answer")
_MAX_DEPTH = 16
_SPACE = " \t\r\n"
_CLOSES = {"}": "{", "]": "["}


@dataclass(frozen=True)
class Round:
    """What the model thought, and what it does: the JSON object of a `<tool_call>` or of an `<answer>`."""

    thoughts: str
    action: Action
    payload: dict[str, object]


def read_round(text: str) -> Round | Violation:
    """Read one message; never raises."""
    thoughts: list[str] = []
    try:
        action, payload = _read(text, thoughts)
    except Broken as error:
        return error.violation
    return Round(_joined(thoughts), action, payload)


def thoughts_of(text: str) -> str:
    """The thoughts of a message, as far as it can be read."""
    thoughts: list[str] = []
    with contextlib.suppress(Broken):
        _read(text, thoughts)
    return _joined(thoughts)


def _joined(thoughts: list[str]) -> str:
    return "\n".join(t for t in (part.strip() for part in thoughts) if t)


class _Tag(NamedTuple):
    name: str
    closing: bool
    start: int
    end: int


def _next_tag(text: str, at: int) -> _Tag | None:
    """The first tag of the protocol from a place on."""
    found: list[_Tag] = []
    for name in _TAGS:
        for closing, written in ((False, f"<{name}>"), (True, f"</{name}>")):
            start = text.find(written, at)
            if start >= 0:
                found.append(_Tag(name, closing, start, start + len(written)))
    return min(found, key=lambda tag: tag.start, default=None)


def _read(text: str, thoughts: list[str]) -> tuple[Action, dict[str, object]]:
    at, drafted = 0, False
    while (tag := _next_tag(text, at)) is not None:
        thoughts.append(text[at : tag.start])
        if tag.closing:
            raise Broken(f"</{tag.name}> stands without <{tag.name}> before it. Nothing was carried out.")
        if tag.name == "think":
            end = text.find("</think>", tag.end)
            inside = text[tag.end : end if end >= 0 else len(text)]
            thoughts.append(inside)
            drafted = drafted or "<answer>" in inside or "<tool_call>" in inside
            if end < 0:
                draft = " What stands inside <think> is thinking and is never carried out." if drafted else ""
                raise Broken(f"<think> is not closed; write </think> and then one action.{draft}")
            at = end + len("</think>")
            continue
        return _action(text, tag)
    thoughts.append(text[at:])
    if drafted:
        raise Broken(
            "The action stands inside <think>. That is thinking and was not carried out: after </think>, write one "
            "<tool_call> or one <answer>."
        )
    if not text.strip():
        raise Broken(
            "The message is empty. Write one <tool_call>{…}</tool_call> or one <answer>{…}</answer>."
        )
    raise Broken(
        "There is no action. Each round has exactly one <tool_call>{…}</tool_call> or one <answer>{…}</answer>."
    )


def _action(text: str, tag: _Tag) -> tuple[Action, dict[str, object]]:
    action: Action = "answer" if tag.name == "answer" else "tool_call"
    start = _skip(text, tag.end)
    if not text.startswith("{", start):
        what = shown(text[start : start + 200]) if start < len(text) else "nothing"
        raise Broken(
            f"<{action}> holds one JSON object and nothing else, so '{{' must come first; here is {what}"
        )
    end = _object_end(text, start, action)
    payload = read_object(text[start:end], action)
    after = _skip(text, end)
    closing = f"</{action}>"
    if not text.startswith(closing, after):
        if after >= len(text):
            raise Broken(f"{closing} is missing after the JSON object. Nothing was carried out.")
        raise Broken(f"After the JSON object of <{action}> comes {closing}; here is {shown(text[after:])}")
    _nothing_after(text, after + len(closing), action)
    return action, payload


def _nothing_after(text: str, at: int, action: Action) -> None:
    rest = text[at:].strip()
    if not rest:
        return
    tag = _next_tag(text, at)
    while tag is not None and (tag.closing or tag.name == "think"):
        tag = _next_tag(text, tag.end)
    other = None if tag is None else tag.name
    if other == "answer" and action == "answer":
        raise Broken("There are two answers in one round. Write one. None was taken.")
    if other in ("tool_call", "answer") and other != action:
        raise Broken(
            "There is a tool call and an answer in one round. Write one of the two; neither was carried out."
        )
    if other == "tool_call":
        raise Broken("There are two tool calls in one round. Write one; neither was carried out.")
    raise Broken(f"Nothing may stand after </{action}>; here is {shown(rest)}. Nothing was carried out.")


def _skip(text: str, at: int) -> int:
    """The first place from here that is no white space."""
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _object_end(text: str, start: int, action: Action) -> int:
    """Where the JSON object that starts here ends: after the brace that closes it, strings skipped."""
    opened: list[str] = []
    at = start
    while at < len(text):
        character = text[at]
        if character == '"':
            at = _string_end(text, at, action)
            continue
        if character in "{[":
            opened.append(character)
            if len(opened) > _MAX_DEPTH:
                raise Broken(f"The JSON of <{action}> is nested more than {_MAX_DEPTH} deep.")
        elif character in _CLOSES:
            if opened.pop() != _CLOSES[character]:
                raise Broken(f"The JSON of <{action}> closes a bracket that is not open: {character!r}.")
            if not opened:
                return at + 1
        at += 1
    raise Broken(
        f"The JSON object of <{action}> is not closed: {len(opened)} brackets are open at the end. "
        "Nothing was carried out."
    )


def _string_end(text: str, start: int, action: Action) -> int:
    """The place after the quotation mark that ends a string."""
    at = start + 1
    while at < len(text):
        character = text[at]
        if character == '"':
            return at + 1
        if character == "\n":
            raise Broken(
                f"A string in the JSON of <{action}> goes over the end of its line: {shown(text[start:at])}. "
                'Write line breaks as \\n, and quotation marks inside of a string as \\".'
            )
        at += 2 if character == "\\" else 1
    raise Broken(
        f"A string in the JSON of <{action}> is not closed: it begins with {shown(text[start : start + 200])}. "
        "Nothing was carried out."
    )
