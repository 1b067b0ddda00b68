"""What constrained decoding knows of a model's tokens: their bytes, masks over them, compiled grammars."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from genevolve.grammar.constrain_spelled import DEAD, automaton

if TYPE_CHECKING:
    import llguidance
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast

MAX_TOKEN_BYTES = 32
"""Longer tokens are never written, so that limits of length are kept."""

_GRAMMARS = 256
_ASCII = range(0x20, 0x7F)


@dataclass(eq=False)
class TokenInfo:
    """A tokenizer, as the constraint needs it; made once per model and shared by all rows and threads.

    Attributes:
        n_vocab: The width of the model's logits.
        eos_ids: The tokens that end a turn.
        texts: The bytes of each token (n_vocab,); empty for those that are no text.
        plain: Mask (words,) of the tokens that change nothing but the length of a string: no quote, backslash,
            brace or line break, no part of a character.
        usable: Mask (words,) of the tokens that a turn may hold.
    """

    n_vocab: int
    eos_ids: tuple[int, ...]
    texts: tuple[bytes, ...]
    ll: llguidance.LLTokenizer
    plain: NDArray[np.int32] = field(init=False)
    usable: NDArray[np.int32] = field(init=False)

    def __post_init__(self) -> None:
        import numpy as np

        self._by_text = {text: token for token, text in reversed(tuple(enumerate(self.texts))) if text}
        missing = [chr(b) for b in (0x0A, *_ASCII) if bytes((b,)) not in self._by_text]
        if missing:
            shown = "".join(missing[:8])
            raise ValueError(f"the tokenizer has no token for single characters such as {shown!r}")
        self.plain = self._bits(np.array([_is_plain(t) for t in self.texts]))
        self.usable = self._bits(np.array([0 < len(t) <= MAX_TOKEN_BYTES for t in self.texts]))
        self._grammars: OrderedDict[str, llguidance.LLMatcher] = OrderedDict()
        self._lock = Lock()
        self._unspelled: dict[int, NDArray[np.int32]] = {}
        self._columns: list[NDArray[np.uint8]] | None = None
        self._order: NDArray[np.int64] | None = None

    @classmethod
    def from_tokenizer(
        cls, tokenizer: PreTrainedTokenizerFast, n_vocab: int, eos_ids: Sequence[int]
    ) -> TokenInfo:
        """Read a fast tokenizer of transformers (byte-level or SentencePiece).

        Args:
            tokenizer: A fast tokenizer, or anything whose `backend_tokenizer` is one of `tokenizers`.
            n_vocab: The width of the model's logits; tokens beyond the tokenizer's own are never allowed.
            eos_ids: The tokens that end a turn.

        Raises:
            ValueError: The tokenizer cannot write every character, or there is no token that ends a turn.
        """
        from copy import copy

        import llguidance

        if not eos_ids:
            raise ValueError("no token ends a turn")
        backend = copy(tokenizer.backend_tokenizer)
        backend.no_padding()
        backend.no_truncation()
        try:
            ll = llguidance.LLTokenizer(backend.to_str(), n_vocab=n_vocab, eos_token=list(eos_ids))
        except ValueError as error:
            raise ValueError(f"the tokenizer cannot be used for constrained decoding: {error}") from error
        known = min(n_vocab, backend.get_vocab_size(with_added_tokens=True))
        special = set(eos_ids)
        added = backend.get_added_tokens_decoder()
        special |= {token for token, content in added.items() if content.special}
        texts = [
            b"" if t in special or ll.is_special_token(t) else ll.decode_bytes([t]) for t in range(known)
        ]
        texts += [b""] * (n_vocab - known)
        return cls(n_vocab, tuple(dict.fromkeys(eos_ids)), tuple(texts), ll)

    # ---- masks ----

    @property
    def words(self) -> int:
        """The width of a mask: 32 tokens an int32."""
        return (self.n_vocab + 31) // 32

    def _bits(self, allowed: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Truths (n_vocab,) as a mask (words,)."""
        import numpy as np

        padded = np.zeros(self.words * 32, np.bool_)
        padded[: self.n_vocab] = allowed
        return np.packbits(padded, bitorder="little").view(np.int32)

    def only(self, tokens: Sequence[int]) -> NDArray[np.int32]:
        """The mask of a few tokens."""
        import numpy as np

        bits = np.zeros(self.words, np.uint32)
        for token in tokens:
            bits[token >> 5] |= np.uint32(1 << (token & 31))
        return bits.view(np.int32)

    def unspelled(self, state: int) -> NDArray[np.int32]:
        """The tokens after which a text in this state of the automaton spells nothing that it must not."""
        found = self._unspelled.get(state)
        if found is None:
            # Two threads may compute the same mask; that costs time and nothing else.
            found = self._unspelled[state] = self._walk(state)
        return found

    def _walk(self, state: int) -> NDArray[np.int32]:
        import numpy as np

        if self._columns is None or self._order is None:
            self._columns, self._order = self._by_length()
        table = np.frombuffer(automaton().table, dtype=np.int16)
        states = np.full(self.n_vocab, state, np.int32)
        for column in self._columns:  # the first tokens are the longest, so those that go on are a prefix
            count = len(column)
            states[:count] = table[states[:count] * 256 + column]
        good = np.zeros(self.n_vocab, np.bool_)
        good[self._order] = states != DEAD
        return self._bits(good)

    def _by_length(self) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
        """The bytes of all tokens column by column, longest tokens first, and which tokens these are."""
        import numpy as np

        lengths = np.array([min(len(t), MAX_TOKEN_BYTES) for t in self.texts])
        order = np.argsort(-lengths, kind="stable")
        ordered = [self.texts[t] for t in order]
        columns = []
        for place in range(int(lengths.max())):
            count = int((lengths > place).sum())
            columns.append(np.array([t[place] for t in ordered[:count]], np.uint8))
        return columns, order

    # ---- texts and grammars ----

    def encode(self, text: bytes) -> list[int]:
        """Tokens whose bytes are the text: the longest that fits, again and again."""
        found: list[int] = []
        at = 0
        while at < len(text):
            for end in range(min(len(text), at + MAX_TOKEN_BYTES), at, -1):
                token = self._by_text.get(text[at:end])
                if token is not None:
                    found.append(token)
                    at = end
                    break
            else:
                raise ValueError(f"the tokenizer cannot write the byte {text[at]:#x}")
        return found

    def matcher(self, grammar: str) -> llguidance.LLMatcher:
        """A matcher at the start of a grammar; the last grammars are kept compiled.

        Raises:
            ValueError: The grammar does not compile.
        """
        import llguidance

        with self._lock:
            kept = self._grammars.get(grammar)
            if kept is not None:
                self._grammars.move_to_end(grammar)
                return kept.deep_copy()
        made = llguidance.LLMatcher(self.ll, grammar)
        if made.is_error():
            raise ValueError(f"the grammar of a statement does not compile: {made.get_error()}")
        with self._lock:
            self._grammars[grammar] = made
            if len(self._grammars) > _GRAMMARS:
                self._grammars.popitem(last=False)
        return made.deep_copy()


def _is_plain(text: bytes) -> bool:
    if not text or any(byte in b'"\\{}\n' for byte in text):
        return False
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
