"""From rollouts to rows of training: the very tokens that were sampled, and who wrote which of them.

A row's prompt is everything before the first turn. Its completion holds the policy's turns and, between them, what they
observed; the mask tells them apart. Nothing is tokenised anew: the ids come from the emissions, and the prompt of
turn t + 1 must begin with all that turn t read and wrote. The teacher reads the same completion after a prompt with
the decision guide in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from genevolve.grammar.errors import GenevolveError
from genevolve.programs.policies.context import with_guide
from genevolve.programs.policies.protocol import Message, Role, Tokens
from genevolve.programs.synthesis.rollout import Rollout

if TYPE_CHECKING:
    from genevolve.programs.policies.local.policy import LocalPolicy

Encode: TypeAlias = Callable[[Sequence[Message]], Sequence[int]]
"""Messages to the ids of a prompt, the opening of the turn included: `encoder` gives it."""


def encoder(policy: LocalPolicy) -> Encode:
    """How a local policy of text writes the messages of a dialogue as ids."""
    from genevolve.programs.policies.local.chat import prompt_ids

    return lambda messages: prompt_ids(policy.format, messages)


class BrokenTranscript(GenevolveError):
    """The tokens of a rollout do not fit together: the policy does not keep what it sampled."""


@dataclass(frozen=True)
class Row:
    """One trajectory as training sees it.

    Attributes:
        prompt_ids: (P,) what the policy read before its first turn.
        completion_ids: (C,) its turns and what they observed.
        mask: (C,) 1 where the policy chose the token; 0 for observations and forced tokens.
        log_probs: (C,) log-probability of each chosen token over the whole vocabulary at its temperature; 0 elsewhere.
        turn_of: (C,) which turn a token belongs to, from 0; observations belong to the turn before them.
    """

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    mask: tuple[int, ...]
    log_probs: tuple[float, ...]
    turn_of: tuple[int, ...]

    @property
    def chosen(self) -> int:
        """How many tokens the policy chose."""
        return sum(self.mask)


def row_of(rollout: Rollout, *, forced: bool = False, least_allowed: float = 0.0) -> Row | None:
    """The row of a rollout; None when the policy recorded no tokens.

    Args:
        rollout: Of a local policy.
        forced: Whether tokens that the constraint left no choice about count as the policy's own.
        least_allowed: Where the policy gave less than this share of its probability to what could be sampled, the
            constraint chose, and the token counts as forced.

    Raises:
        BrokenTranscript: A later prompt does not begin with the earlier one and its turn.
    """
    written = [turn.emission.tokens for turn in rollout.turns]
    tokens = [t for t in written if t is not None and t.ids]
    if not tokens:
        return None
    prompt = tokens[0].prompt_ids
    so_far = list(prompt)
    completion: list[int] = []
    mask: list[int] = []
    log_probs: list[float] = []
    turn_of: list[int] = []
    for number, turn in enumerate(tokens):
        if list(turn.prompt_ids[: len(so_far)]) != so_far:
            raise BrokenTranscript(
                f"turn {number + 1} of a rollout was not written after what came before it; prompts only grow"
            )
        seen = turn.prompt_ids[len(so_far) :]
        completion += seen
        mask += [0] * len(seen)
        log_probs += [0.0] * len(seen)
        turn_of += [max(0, number - 1)] * len(seen)
        own = [1] * len(turn.ids) if forced else _own(turn, least_allowed)
        completion += turn.ids
        mask += own
        log_probs += [p if m else 0.0 for p, m in zip(turn.log_probs, own, strict=True)]
        turn_of += [number] * len(turn.ids)
        so_far = [*turn.prompt_ids, *turn.ids]
    return Row(tuple(prompt), tuple(completion), tuple(mask), tuple(log_probs), tuple(turn_of))


def _own(turn: Tokens, least_allowed: float) -> list[int]:
    """1 where the policy chose, 0 where the constraint did.

    The log of the share that could be sampled is log_prob − masked_log_prob. Where it is tiny the log-probability over
    the whole vocabulary says little about why the token was written, and a negative advantage would lower it without
    end: its KL term alone once outweighed all other gradients a thousand times.
    """
    floor = math.log(least_allowed) if least_allowed > 0 else -math.inf
    only = turn.forced or (False,) * len(turn.ids)
    logs = zip(turn.log_probs, turn.masked_log_probs, only, strict=True)
    return [int(not none and whole - masked >= floor) for whole, masked, none in logs]


def opening(rollout: Rollout) -> tuple[Message, ...]:
    """The messages before the first turn."""
    messages = rollout.dialogue.messages
    first = next((i for i, m in enumerate(messages) if m.role is Role.ASSISTANT), len(messages))
    return messages[:first]


def teacher_prompt(rollout: Rollout, guide: str, encode: Encode, row: Row) -> tuple[int, ...]:
    """The prompt of the teacher: the row's, with the guide in its system message.

    Raises:
        BrokenTranscript: Without a guide the messages do not give the row's own prompt, so that the teacher's would
            differ by more than the guide.
    """
    plain = tuple(encode(with_guide(opening(rollout), None)))
    if plain != row.prompt_ids:
        raise BrokenTranscript("the messages of a rollout do not give the prompt that its policy read")
    return tuple(encode(with_guide(opening(rollout), guide)))
