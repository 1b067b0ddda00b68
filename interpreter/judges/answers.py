"""What a judging model answered, read strictly: one JSON object with exactly the keys and values that were asked for.

A model's text is a stranger's data. Nothing is guessed from it: what does not fit is a complaint, in a sentence that
can be sent back to the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

MAX_ANSWER = 64 * 1024
_FENCED = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n?```", re.DOTALL | re.IGNORECASE)
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


class Complaint(ValueError):
    """What is wrong with an answer, as it is told to the model."""


def read_object(text: str) -> dict[str, Any]:
    """The JSON object that is the whole answer; a code fence around it and a leading thought are taken off.

    Raises `Complaint` for anything else: other text beside it, several objects, a key twice, NaN or Infinity.
    """
    if len(text) > MAX_ANSWER:
        raise Complaint(f"the answer is longer than {MAX_ANSWER:,} characters")
    bare = _THOUGHT.sub("", text).strip()
    fenced = _FENCED.fullmatch(bare)
    bare = fenced[1].strip() if fenced else bare
    if not bare:
        raise Complaint("the answer is empty")
    if not bare.startswith("{"):
        raise Complaint("the answer must begin with { and hold nothing but one JSON object")
    decoder = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)
    try:
        data, end = decoder.raw_decode(bare)
    except Complaint:
        raise
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "it is nested too deeply"
        raise Complaint(f"the answer is not valid JSON: {reason}") from error
    if bare[end:].strip():
        raise Complaint("there is text after the JSON object; the answer must be the object alone")
    assert isinstance(data, dict)  # it began with a brace
    return data


def check_keys(data: dict[str, Any], wanted: Sequence[str]) -> None:
    """Raise `Complaint` when keys are missing or there are others."""
    missing = [k for k in wanted if k not in data]
    extra = [k for k in data if k not in wanted]
    if missing:
        raise Complaint(f"these keys are missing: {', '.join(missing)}")
    if extra:
        raise Complaint(f"these keys are not asked for: {', '.join(_shown(k) for k in extra[:8])}")


def read_level(data: dict[str, Any], key: str, allowed: Sequence[float]) -> float:
    """A number out of a few. Raises `Complaint` for a text, a truth value or another number."""
    value = data[key]
    choices = ", ".join(f"{a:g}" for a in allowed)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Complaint(f"{key} must be a JSON number, one of {choices}, not {_shown(value)}")
    if value not in allowed:
        raise Complaint(f"{key} must be one of {choices}, not {_shown(value)}")
    return float(value)


def read_text(data: dict[str, Any], key: str, longest: int = 8000) -> str:
    """A text. Raises `Complaint` for another type or one that is too long."""
    value = data[key]
    if not isinstance(value, str):
        raise Complaint(f"{key} must be a JSON string, not {_shown(value)}")
    if len(value) > longest:
        raise Complaint(f"{key} must have at most {longest:,} characters")
    return value


def read_texts(data: dict[str, Any], key: str, least: int, most: int) -> list[str]:
    """A list of texts that are not empty. Raises `Complaint`."""
    value = data[key]
    if not isinstance(value, list) or not all(isinstance(v, str) and v.strip() for v in value):
        raise Complaint(f"{key} must be a JSON list of strings")
    if not least <= len(value) <= most:
        raise Complaint(f"{key} must hold {least} to {most} strings, not {len(value)}")
    return [v.strip() for v in value]


def read_flag(data: dict[str, Any], key: str) -> bool:
    """A truth value. Raises `Complaint`."""
    value = data[key]
    if not isinstance(value, bool):
        raise Complaint(f"{key} must be true or false, not {_shown(value)}")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        raise Complaint("a key stands twice in the JSON object")
    return data


def _no_constant(name: str) -> NoReturn:
    raise Complaint(f"{name} is no JSON number")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 60 else f"{text[:57]}..."
