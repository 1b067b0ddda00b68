"""Constrained decoding: which tokens may come next in a turn, so that all that is written parses and checks.

    tokens = TokenInfo.from_tokenizer(tokenizer, n_vocab=model.config.vocab_size, eos_ids=[2])   # once per model
    turn = TurnConstraint(dialogue.reach, tokens, max_tokens=limits.max_tokens)                   # one per row
    while not turn.done:
        token = sample(logits, turn.mask())
        turn.advance(token)

The end-of-turn token is one of the tokens that a mask may allow; after it `done` is true. When nothing but the end
of the turn can follow, the mask allows only end-of-turn tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from genevolve.programs.policies.protocol import Reach


@dataclass(frozen=True)
class TokenInfo:
    """What the constraint needs to know of a tokenizer; made once per model and shared by all rows."""

    n_vocab: int
    eos_ids: tuple[int, ...]

    @classmethod
    def from_tokenizer(cls, tokenizer: object, n_vocab: int, eos_ids: Sequence[int]) -> TokenInfo:
        """Read a fast tokenizer of transformers (byte-level or SentencePiece).

        Args:
            tokenizer: A `PreTrainedTokenizerFast`.
            n_vocab: The width of the model's logits; tokens beyond the tokenizer's own are never allowed.
            eos_ids: The tokens that end a turn.
        """
        raise NotImplementedError

    @property
    def words(self) -> int:
        """The width of a mask: 32 tokens an int32."""
        return (self.n_vocab + 31) // 32


class TurnConstraint:
    """What one row may write next. Not for several threads at once."""

    def __init__(self, reach: Reach, tokens: TokenInfo, *, max_tokens: int = 1024) -> None:
        raise NotImplementedError

    @property
    def done(self) -> bool:
        """Whether the turn is over: an end-of-turn token was consumed."""
        raise NotImplementedError

    def mask(self) -> NDArray[np.int32]:
        """The tokens that may come now, (words,) int32: bit `i % 32` of word `i // 32` is token `i`."""
        raise NotImplementedError

    def forced(self) -> list[int]:
        """Tokens that have no alternative from here on; they may be appended (with `advance`) without sampling."""
        raise NotImplementedError

    def advance(self, token: int) -> None:
        """Take the token that was sampled. Raises `ValueError` for one that the mask did not allow."""
        raise NotImplementedError


def masks(constraints: Sequence[TurnConstraint]) -> NDArray[np.int32]:
    """The masks of several rows, (rows, words) int32, computed in parallel where that pays."""
    raise NotImplementedError


def apply_masks(logits: torch.Tensor, bits: NDArray[np.int32]) -> torch.Tensor:
    """`logits` (rows, n_vocab) with -inf where the masks (rows, words) forbid a token; changed in place."""
    raise NotImplementedError
