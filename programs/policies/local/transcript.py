"""The tokens of a dialogue as they were read and sampled, which is what its next prompt begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from genevolve.programs.policies.local.chat import ChatFormat, merged
from genevolve.programs.policies.protocol import Message, Role


@dataclass
class Transcript:
    """One dialogue's tokens.

    Attributes:
        ids: All of them so far.
        turns: For each turn that was written, by its place among the assistant's messages: its text and its ids.
    """

    ids: list[int] = field(default_factory=list)
    turns: dict[int, tuple[str, tuple[int, ...]]] = field(default_factory=dict)

    def prompt(self, form: ChatFormat, messages: Sequence[Message]) -> list[int]:
        """Everything before the next turn, its opening included.

        Turns that this policy wrote come as they were sampled. One whose message says something else than was
        written (an example, a turn of another policy, an edited one) is encoded from its text.
        """
        ids: list[int] = []
        before: Role | None = None
        closed = False
        turn = 0
        for message in merged(messages, form):
            joint = form.between(before, message.role) or ()
            ids += joint[1:] if closed else joint  # a turn that was closed has its end token already
            closed = False
            if message.role is Role.ASSISTANT:
                text, sampled = self.turns.get(turn, ("", ()))
                known = bool(sampled) and text == message.text
                ids += sampled if known else form.encode(message.text)
                closed = known and sampled[-1] in form.ends
                turn += 1
            else:
                ids += self.message_ids(form.encode(message.text), message)
            before = message.role
        joint = form.between(before, Role.ASSISTANT) or ()
        ids += joint[1:] if closed else joint
        self.ids = ids
        return ids

    def message_ids(self, encoded: list[int], message: Message) -> list[int]:
        """The tokens of a message that is not the policy's own; pictures are not shown to models of text."""
        return encoded

    def write(self, turn: int, text: str, ids: Sequence[int]) -> None:
        """Note what was written in a turn."""
        self.turns[turn] = (text, tuple(ids))


def decoded(tokenizer: object, before: Sequence[int], ids: Sequence[int], ends: Sequence[int]) -> str:
    """The text of sampled ids without their end token, as it stands after `before`.

    Tokenizers that mark words by a space before them drop that space at the start of a text, so the ids are decoded
    together with some of what they follow.
    """
    body = list(ids[:-1]) if ids and ids[-1] in ends else list(ids)
    if not body:
        return ""
    context = list(before[-4:])
    head, whole = _decode(tokenizer, context), _decode(tokenizer, context + body)
    return whole[len(head) :] if whole.startswith(head) else _decode(tokenizer, body)


def _decode(tokenizer: object, ids: list[int]) -> str:
    text: str = tokenizer.decode(  # type: ignore[attr-defined]  # of transformers, whose classes are not typed
        ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return text
