"""The chat format of a model, at the level of tokens.

A dialogue becomes token ids piece by piece: a *joint* before each message (what closes the message before it and opens
this one) and the message's text. Joints are read off the tokenizer's own chat template once, by rendering messages
that are easy to find again; texts are encoded with every special token switched off, so that a `<|im_end|>` inside of
a search result is a handful of ordinary tokens. What was written stays as it was sampled: the prompt of the next turn
begins with exactly the tokens of this one.

Templates that cannot be taken apart that way (they rewrite earlier messages) give way to ChatML where the tokenizer
knows its markers, and to a plain format otherwise, whose messages end with the end-of-text token.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genevolve.grammar.errors import ConfigurationError
from genevolve.programs.policies.protocol import Message, Role

MARKS = ("Qk7vZsys", "Wx3pLusr", "Rb9nTast", "Hd5mFusr", "Jc2gYast", "Vt8kNusr")
"""Texts that no template contains, and that stand between other words without growing together with them."""
FIXED_DATE = "26 Jul 2024"
"""What templates that write today's date are told: a prompt must not depend on the day."""


class TextEncoder:
    """Encodes texts without ever making a special token."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.get_added_vocab()
        self.control = frozenset(int(i) for i in (*added.values(), *tokenizer.all_special_ids))
        self._markers = sorted((str(text) for text in added if len(str(text)) > 1), key=len, reverse=True)
        self._plain = _without_markers(tokenizer)

    def __call__(self, text: str) -> list[int]:
        """The ids of a text; none of them is special, whatever the text says."""
        clean = text.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair cannot be encoded
        ids = self._ids(clean)
        if not self.control.isdisjoint(ids):
            ids = [i for piece in self._broken(clean) for i in self._ids(piece)]
        return [i for i in ids if i not in self.control]

    def _ids(self, text: str) -> list[int]:
        if not text:
            return []
        if self._plain is not None:
            found: list[int] = self._plain.encode(text, add_special_tokens=False).ids
            return found
        encoded = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return [int(i) for i in encoded.input_ids]

    def _broken(self, text: str) -> list[str]:
        """The text in pieces that part inside of every marker: for tokenizers that find them all the same."""
        cuts = {0, len(text)}
        for marker in self._markers:
            at = text.find(marker)
            while at >= 0:
                cuts.add(at + 1)
                at = text.find(marker, at + 1)
        ordered = sorted(cuts)
        return [text[a:b] for a, b in itertools.pairwise(ordered)]


def _without_markers(tokenizer: Any) -> Any:
    """A copy of a fast tokenizer that takes every added token for ordinary text; None for slow ones."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    from tokenizers import Tokenizer

    data = json.loads(backend.to_str())
    for token in data.get("added_tokens") or ():
        token["special"] = True
    data["truncation"] = data["padding"] = None
    plain = Tokenizer.from_str(json.dumps(data))
    plain.encode_special_tokens = True
    return plain


@dataclass(frozen=True)
class ChatFormat:
    """How messages become tokens.

    Attributes:
        name: `template`, `chatml` or `plain`.
        opening: Ids before the first message, by its role.
        joints: Ids between two messages, by their roles; the text of a turn follows (…, ASSISTANT). After an
            assistant's message they begin with the end-of-turn token.
        ends: The tokens that end a turn; the first is the format's own.
        exact: Whether whole dialogues come out exactly as the template writes them.
        encode: Texts to ids.
    """

    name: str
    opening: dict[Role, tuple[int, ...]]
    joints: dict[tuple[Role, Role], tuple[int, ...]]
    ends: tuple[int, ...]
    exact: bool
    encode: TextEncoder

    def between(self, before: Role | None, after: Role) -> tuple[int, ...] | None:
        """What stands between two messages; None when messages of these roles are one to the template."""
        if before is None:
            found = self.opening.get(after)
            return self.opening[Role.USER] if found is None else found
        return self.joints.get((before, after))


def chat_format(tokenizer: Any, *, more_ends: Sequence[int] = ()) -> ChatFormat:
    """The format of a tokenizer's chat template, ChatML, or the plain one.

    Args:
        tokenizer: Of transformers.
        more_ends: Further tokens that end a turn (of the model's generation settings).

    Raises:
        ConfigurationError: The tokenizer has no token that could end a turn.
    """
    encode = TextEncoder(tokenizer)
    found = _from_template(tokenizer, encode) if getattr(tokenizer, "chat_template", None) else None
    if found is None:
        found = _chatml(tokenizer, encode) or _plain(tokenizer, encode)
    known = [*found.ends, *more_ends, *([] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id])]
    ends = tuple(dict.fromkeys(int(i) for i in known))
    return ChatFormat(found.name, found.opening, found.joints, ends, found.exact, encode)


def _special(tokenizer: Any, text: str) -> tuple[int, ...]:
    """The ids of a text of the template's own, special tokens read as such."""
    return tuple(int(i) for i in tokenizer(text, add_special_tokens=False).input_ids)


def _render(tokenizer: Any, roles: str, *, turn: bool = False) -> str | None:
    """The template over marked messages; None when it refuses them. `roles` is like "sua"."""
    from jinja2.exceptions import TemplateError

    names = {"s": "system", "u": "user", "a": "assistant"}
    marks = {"s": iter(MARKS[:1]), "u": iter(MARKS[1::2]), "a": iter(MARKS[2::2])}
    messages = [{"role": names[r], "content": next(marks[r])} for r in roles]
    try:
        text = tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=turn,
            enable_thinking=False,
            date_string=FIXED_DATE,
        )
    except (TemplateError, ValueError, TypeError, KeyError, AttributeError, IndexError):
        return None  # templates are programs of strangers: they may refuse roles, or fail
    return text if isinstance(text, str) else None


def _from_template(tokenizer: Any, encode: TextEncoder) -> ChatFormat | None:
    """The format of the tokenizer's template, if it can be taken apart and put together again."""
    system, user_1, assistant_1, user_2, *_ = MARKS
    whole = _render(tokenizer, "suau", turn=True)
    with_system = whole is not None
    if whole is None:
        whole = _render(tokenizer, "uau", turn=True)
    marks = [system, user_1, assistant_1, user_2] if with_system else [user_1, assistant_1, user_2]
    pieces = _split(whole, marks)
    alone = _split(_render(tokenizer, "u", turn=True), [user_1])
    if pieces is None or alone is None:
        return None
    head, *between, last = pieces
    closing = between[-1]  # assistant to user
    turn = last  # user to the turn that is to be written: what stood there when earlier turns were written
    joints = {(Role.USER, Role.ASSISTANT): turn, (Role.ASSISTANT, Role.USER): closing}
    if with_system:
        joints[Role.SYSTEM, Role.USER] = between[0]
    twice = _split(_render(tokenizer, "suu"), [system, user_1, user_2])
    if with_system and twice is not None:
        joints[Role.USER, Role.USER] = twice[2]
    opening = {Role.USER: alone[0]} | ({Role.SYSTEM: head} if with_system else {})
    ids = {roles: _special(tokenizer, text) for roles, text in joints.items()}
    end = _end_of_turn(tokenizer, ids[Role.ASSISTANT, Role.USER], encode)
    if end is None:
        return None
    ids[Role.ASSISTANT, Role.USER] = end
    openings = {role: _special(tokenizer, text) for role, text in opening.items()}
    made = ChatFormat("template", openings, ids, (end[0],), exact=True, encode=encode)
    if not _first_turn_equal(tokenizer, made, with_system):
        return None
    exact = between[-2] == turn  # earlier turns look like the one that is to be written
    return ChatFormat("template", openings, ids, (end[0],), exact, encode)


def _split(text: str | None, marks: Sequence[str]) -> list[str] | None:
    """What stands before, between and after marks; None unless each is there once and in order."""
    if text is None or any(text.count(mark) != 1 for mark in marks):
        return None
    pieces: list[str] = []
    for mark in marks:
        before, found, text = text.partition(mark)
        if not found:
            return None
        pieces.append(before)
    return [*pieces, text]


def _end_of_turn(tokenizer: Any, ids: tuple[int, ...], encode: TextEncoder) -> tuple[int, ...] | None:
    """The joint after a turn from its end token on; None when a turn ends with no token of its own."""
    at = next((i for i, token in enumerate(ids) if token in encode.control), None)
    if at is None:
        return None
    blank = tokenizer.decode(list(ids[:at])).strip() == ""
    return ids[at:] if blank else None


def _first_turn_equal(tokenizer: Any, made: ChatFormat, with_system: bool) -> bool:
    """Whether the first prompt of a dialogue is, token by token, what the template makes of it."""
    roles = "su" if with_system else "u"
    whole = _render(tokenizer, roles, turn=True)
    if whole is None:
        return False
    messages = [Message(Role.SYSTEM, MARKS[0])] if with_system else []
    return prompt_ids(made, [*messages, Message(Role.USER, MARKS[1])]) == list(_special(tokenizer, whole))


def _chatml(tokenizer: Any, encode: TextEncoder) -> ChatFormat | None:
    """ChatML, when the tokenizer knows its markers."""
    vocabulary = tokenizer.get_added_vocab()
    if not {"<|im_start|>", "<|im_end|>"} <= set(vocabulary):
        return None
    end = int(vocabulary["<|im_end|>"])
    line = _special(tokenizer, "\n")
    return _marked(
        "chatml",
        {role: _special(tokenizer, f"<|im_start|>{role.value}\n") for role in Role},
        (end, *line),
        encode,
    )


def _plain(tokenizer: Any, encode: TextEncoder) -> ChatFormat:
    """Headings in words; messages end with the end-of-text token, which no text can contain."""
    end = tokenizer.eos_token_id
    if end is None:
        raise ConfigurationError(
            "the tokenizer has no chat template and no end-of-text token to end a turn with"
        )
    headings = {role: tuple(encode(f"### {role.value.capitalize()}\n")) for role in Role}
    return _marked("plain", headings, (int(end),), encode)


def _marked(
    name: str, headings: dict[Role, tuple[int, ...]], close: tuple[int, ...], encode: TextEncoder
) -> ChatFormat:
    joints = {(a, b): close + headings[b] for a in Role for b in Role}
    return ChatFormat(name, dict(headings), joints, (close[0],), exact=True, encode=encode)


def merged(messages: Sequence[Message], form: ChatFormat) -> list[Message]:
    """Messages that the format cannot tell apart as one; a system message elsewhere than first is the user's."""
    found: list[Message] = []
    for i, message in enumerate(messages):
        role = message.role
        if role is Role.SYSTEM and (i > 0 or Role.SYSTEM not in form.opening):
            role = Role.USER
        if found and form.between(found[-1].role, role) is None:
            last = found.pop()
            found.append(
                Message(last.role, f"{last.text}\n\n{message.text}", (*last.images, *message.images))
            )
        else:
            found.append(Message(role, message.text, message.images))
    return found


def prompt_ids(form: ChatFormat, messages: Sequence[Message]) -> list[int]:
    """All of a dialogue and the opening of the turn that is to be written, from its texts alone."""
    ids: list[int] = []
    before: Role | None = None
    for message in merged(messages, form):
        ids += form.between(before, message.role) or ()
        ids += form.encode(message.text)
        before = message.role
    ids += form.between(before, Role.ASSISTANT) or ()
    return ids
