"""Constrained decoding: which tokens may come next in a turn, so that all that is written parses and checks.

    tokens = TokenInfo.from_tokenizer(tokenizer, n_vocab=model.config.vocab_size, eos_ids=[2])   # once per model
    turn = TurnConstraint(dialogue.reach, tokens, max_tokens=limits.max_tokens)                   # one per row
    while not turn.done:
        token = sample(logits, turn.mask())
        turn.advance(token)

Statement by statement the grammar comes from `grammar.constrain` and is compiled by llguidance. Added to its mask
are: the end of the turn where the turn may end, the automaton of texts that must not spell references, and limits of
length, so that a turn is complete when its tokens are used up.

The end-of-turn token is one of the tokens that a mask may allow; after it `done` is true. When nothing but the end
of the turn can follow, the mask allows only end-of-turn tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from genevolve.grammar.constrain import MAX_COMMENTS, Following, next_statement
from genevolve.grammar.constrain_lark import write_grammar
from genevolve.grammar.constrain_nodes import NOTHING, Node
from genevolve.grammar.parser import parse_statement
from genevolve.grammar.scope import Scope
from genevolve.grammar.tree import Call, Let, Render, Statement
from genevolve.programs.policies.inside import Cursor, In
from genevolve.programs.policies.tokens import MAX_TOKEN_BYTES, TokenInfo

if TYPE_CHECKING:
    import llguidance
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from genevolve.programs.policies.protocol import Reach

__all__ = ["TokenInfo", "TurnConstraint", "apply_masks", "masks"]

MAX_ARGUMENT = 160
"""How many bytes the text of an argument, a purpose or `avoid` may have."""

MAX_COMMENT = 160
"""How many bytes a line of comment may have."""

_SLACK = 6  # tokens: the longest half of a character or name, and the end of the turn
_PROMPT_MARGIN = 256


class TurnConstraint:
    """What one row may write next. Not for several threads at once."""

    def __init__(
        self, reach: Reach, tokens: TokenInfo, *, max_tokens: int = 1024, comments: int = MAX_COMMENTS
    ) -> None:
        """Start a turn.

        Args:
            reach: What the turn may say.
            tokens: The tokenizer of the model.
            max_tokens: How many tokens the turn may have, the end-of-turn token included.
            comments: How many lines of comment may stand above a statement.
        """
        self._reach = reach
        self._tokens = tokens
        self._left = max_tokens
        self._comments = comments
        self._scope = reach.scope
        self._over = self._done = False
        self._asked = False  # whether an answer waits that costs no call, such as that of `ask`
        self._failures = 0
        self._queue: list[int] = []
        self._start_statement()

    # ---- what engines use ----

    @property
    def done(self) -> bool:
        """Whether the turn is over: an end-of-turn token was taken."""
        return self._done

    @property
    def failures(self) -> int:
        """How many complete statements did not check. The grammar leaves none out; this counts if it ever does."""
        return self._failures

    def mask(self) -> NDArray[np.int32]:
        """The tokens that may come now, (words,) int32: bit `i % 32` of word `i // 32` is token `i`.

        The array must not be changed.
        """
        settled = self._settled()
        if settled is not None:
            return settled
        import numpy as np

        bits = np.zeros(self._tokens.words, np.int32)
        self._matcher.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
        self._narrow(bits)
        return bits

    def forced(self) -> list[int]:
        """Tokens that have no alternative from here on; they may be taken (with `advance`) without sampling.

        May be empty where a mask has one token: then ask again after it.
        """
        if self._done:
            return []
        self._settled()
        if self._queue:
            return list(self._queue)
        if self._over:
            return list(self._tokens.eos_ids) if len(self._tokens.eos_ids) == 1 else []
        if self._cursor.in_text or not self._written:
            return []
        spare = self._left - self._reserve - _SLACK
        return list(self._matcher.compute_ff_tokens()[: max(0, spare)])

    def advance(self, token: int) -> None:
        """Take the token that was sampled.

        Raises:
            ValueError: The mask did not allow it. The constraint is of no further use then.
        """
        if self._done:
            raise ValueError("the turn is over")
        self._left -= 1
        if token in self._tokens.eos_ids:
            if not self._may_end():
                raise ValueError("the turn cannot end here")
            self._done = True
            return
        if self._over or (self._queue and self._queue[0] != token) or not self._matcher.consume_token(token):
            raise ValueError(f"token {token} cannot stand here")
        if self._queue:
            self._queue.pop(0)
        text = self._tokens.texts[token]
        self._written += text
        self._cursor.feed(text)
        self._ended_string()
        if self._matcher.is_stopped():
            self._segment_ends()

    # ---- statements ----

    def _start_statement(self) -> None:
        reach = self._reach
        self._following = _following(self._scope, reach, self._comments)
        self._written = b""
        self._before = 0
        self._cursor = Cursor()
        self._closing_cost: int | None = None
        self._reserve = 0
        if self._following.node is NOTHING:
            self._over = True
        else:
            self._begin(self._following.node, self._following.grammar, self._following.reserve)

    def _begin(self, node: Node, grammar: str, reserve: int) -> None:
        self._node = node
        self._reserve = reserve
        self._matcher: llguidance.LLMatcher = self._tokens.matcher(grammar)

    def _segment_ends(self) -> None:
        """A whole statement was written, or one up to its pause."""
        text = self._written.decode()
        rest = self._following.resume(text)
        if rest is not None:
            self._before = len(self._written)
            self._begin(rest, write_grammar(rest), self._following.reserve_in(rest))
            return
        statement, _ = parse_statement(text)
        extension = self._scope.extend(statement) if statement is not None else None
        if statement is None or extension is None or not extension.ok:
            self._failures += 1
            self._over = True
            return
        calls = extension.scope.calls_spent > self._scope.calls_spent
        self._scope = extension.scope
        self._asked = self._asked or (isinstance(statement, Let) and isinstance(statement.value, Call))
        if calls or self._reach.statement is not None or isinstance(statement, Render):
            self._over = True
        else:
            self._start_statement()

    def _may_end(self) -> bool:
        if self._over:
            return True
        if self._written or self._reach.statement is not None:
            return False
        # Whoever asks may want to read the answer before going on, as long as another turn can follow.
        return self._following.may_end or (self._asked and self._reach.may_call)

    # ---- masks ----

    def _settled(self) -> NDArray[np.int32] | None:
        """The mask when it follows without the grammar: a text that has to be closed, the end of the turn."""
        if self._done or self._over:
            return self._tokens.only(self._tokens.eos_ids)
        if not self._queue:
            self._close_in_time()
        if self._queue:
            return self._tokens.only(self._queue[:1])
        return self._tokens.only(self._tokens.eos_ids) if self._over else None

    def _narrow(self, bits: NDArray[np.int32]) -> None:
        """Take from a mask of the grammar what only this turn forbids, and add the end of the turn."""
        tokens = self._tokens
        bits &= tokens.usable
        if self._closing_cost is not None:
            # Tokens run out: only what leaves the way to the end as long as it is.
            kept = bits & tokens.plain
            if kept.any():
                bits[:] = kept
        if self._cursor.spelled:
            sound = bits & tokens.unspelled(self._cursor.state)
            # Nothing sound is left only inside what the author wrote.
            if sound.any():
                bits[:] = sound
        if self._may_end():
            bits |= tokens.only(tokens.eos_ids)

    # ---- limits ----

    def _ended_string(self) -> None:
        if not self._cursor.in_text:
            self._closing_cost = None

    def _close_in_time(self) -> None:
        """Fill the queue when a text is as long as it may be, or the turn has to come to its end."""
        cursor = self._cursor
        if self._left <= self._reserve + _SLACK:
            self._end_in_time()
        elif cursor.in_text and cursor.length >= self._most():
            self._queue = self._tokens.encode(self._closing_of_text())

    def _most(self) -> int:
        if self._cursor.place is In.COMMENT:
            return MAX_COMMENT
        if self._cursor.in_prompt:
            return max(1, self._scope.environment.max_prompt_chars - _PROMPT_MARGIN)
        request = self._written.lstrip().startswith(b"request ")
        return 4 * MAX_ARGUMENT if request else MAX_ARGUMENT

    def _end_in_time(self) -> None:
        """Few tokens are left: write the rest of the statement, then what the program lacks, then end.

        Inside a string there is no hurry: as long as plain text follows, the rest stays as long as it is.
        """
        if not self._written:
            if self._may_end() or self._following.prompt is NOTHING:
                self._over = True
            else:
                opening, quote, _ = (self._following.prompt.shortest or "").partition('"')
                self._queue = self._tokens.encode((opening + quote).encode())
            return
        if self._closing_cost is None:
            self._closing_cost = len(self._tokens.encode(self._completion())) + self._after_statement()
        cursor = self._cursor
        in_string = cursor.place in (In.OPENING, In.STRING, In.TRIPLE)
        free = in_string and cursor.settled and cursor.length + MAX_TOKEN_BYTES < self._most()
        if free and self._left > self._closing_cost + _SLACK:
            return
        self._queue = self._tokens.encode(self._completion())

    def _after_statement(self) -> int:
        """How many tokens the turn needs after this statement, at most."""
        following = self._following
        if not following.must_prompt or self._cursor.in_prompt:
            return 1
        return len((following.prompt.shortest or "").encode()) + MAX_TOKEN_BYTES

    def _completion(self) -> bytes:
        """What completes the statement, or what stands before its pause."""
        written = self._written[self._before :].decode("utf-8", "surrogateescape")
        rest = self._node.complete(written)
        if rest is None:
            raise AssertionError(f"a statement that the grammar took cannot be completed: {self._written!r}")
        return rest.encode("utf-8", "surrogateescape")

    def _closing_of_text(self) -> bytes:
        """What closes the string or comment that is open."""
        rest = self._completion()
        cursor = self._cursor.copy()
        for count, byte in enumerate(rest, 1):
            cursor.feed(bytes((byte,)))
            if not cursor.in_text:
                return rest[:count]
        return rest


def masks(constraints: Sequence[TurnConstraint]) -> NDArray[np.int32]:
    """The masks of several rows, (rows, words) int32, computed in parallel where that pays."""
    import numpy as np

    rows = len(constraints)
    words = constraints[0]._tokens.words if constraints else 0
    bits = np.zeros((rows, words), np.int32)
    waiting: list[tuple[llguidance.LLMatcher, int]] = []
    for row, constraint in enumerate(constraints):
        settled = constraint._settled()
        if settled is None:
            waiting.append((constraint._matcher, row))
        else:
            bits[row] = settled
    if len(waiting) > 1:
        _executor().unsafe_compute_mask_ptr(waiting, bits.ctypes.data, words * 4, rows)
    elif waiting:
        matcher, row = waiting[0]
        matcher.unsafe_compute_mask_ptr(bits[row].ctypes.data, words * 4)
    for _, row in waiting:
        constraints[row]._narrow(bits[row])
    return bits


def apply_masks(logits: torch.Tensor, bits: NDArray[np.int32]) -> torch.Tensor:
    """`logits` (rows, n_vocab) with -inf where the masks (rows, words) forbid a token; changed in place."""
    import numpy as np
    import torch

    if logits.device.type == "cpu":
        allowed = np.unpackbits(bits.view(np.uint8), axis=1, count=logits.shape[1], bitorder="little")
        return logits.masked_fill_(torch.from_numpy(allowed) == 0, float("-inf"))
    packed = torch.from_numpy(bits).to(logits.device)  # (rows, words)
    places = torch.arange(32, device=logits.device, dtype=torch.int32)
    spread = (packed[:, :, None] >> places) & 1  # (rows, words, 32)
    return logits.masked_fill_(spread.flatten(1)[:, : logits.shape[1]] == 0, float("-inf"))


@lru_cache(maxsize=1)
def _executor() -> llguidance.LLExecutor:
    import llguidance

    return llguidance.LLExecutor()


def _following(scope: Scope, reach: Reach, comments: int) -> Following:
    images = tuple(sorted(reach.images.items()))
    rest = (reach.may_call, reach.may_end, reach.follows, reach.avoid_names, comments)
    return _shared_following(scope, images, reach.statement, *rest)


@lru_cache(maxsize=128)
def _shared_following(
    scope: Scope,
    images: tuple[tuple[str, int], ...],
    statement: Statement | None,
    may_call: bool,
    may_end: bool,
    follows: tuple[Statement, ...],
    avoid_names: frozenset[str],
    comments: int,
) -> Following:
    """`next_statement`; siblings start with the same scope, so they share what comes first."""
    return next_statement(
        scope,
        images=dict(images),
        statement=statement,
        may_call=may_call,
        may_end=may_end,
        follows=follows,
        avoid_names=avoid_names,
        comments=comments,
    )
