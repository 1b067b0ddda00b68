"""One dialogue with the released model, in its own protocol, beside the dialogue that the loop keeps.

The loop sees statements; the model sees what it wrote itself, thoughts included, and answers in its protocol. A round
that breaks the protocol is told to the model, a few times in a turn; every round is a model call, and there are
eleven.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from genevolve.grammar.tree import Prompt, Ref, StatementHole
from genevolve.programs.policies.context import Turn
from genevolve.programs.policies.protocol import Dialogue, Emission, Message, Reach, Role, Stop
from genevolve.programs.policies.quoting import without_markers
from genevolve.programs.policies.released import wire
from genevolve.programs.policies.released.broken import Violation
from genevolve.programs.policies.released.gallery import Gallery
from genevolve.programs.policies.released.statements import Setting, refused, translate
from genevolve.programs.synthesis.merge import has_holes

MAX_CALLS = 11
"""Model calls of a trajectory (METHOD §1), corrections included."""


@dataclass(frozen=True)
class Manner:
    """How a dialogue is held: corrections in one turn, and a system message instead of ours."""

    corrections: int = 2
    system: str | None = None


class Talk:
    """See the module. `wanted` is what the model is to be asked now."""

    def __init__(self, dialogue: Dialogue, manner: Manner) -> None:
        self._id, self._seed = dialogue.id, dialogue.seed
        self._manner = manner
        self._gallery = Gallery()
        self._messages: list[Message] = []
        self._read = 0  # messages of the loop that were taken over
        self._said = ""
        self._owed = ""  # a correction that the model was not sent in its turn
        self._calls = 0
        self._corrections = 0
        self._setting: Setting | None = None
        self._spent = Emission("", prompt_tokens=None, tokens_out=None)

    @property
    def messages(self) -> tuple[Message, ...]:
        """All that was said between us and the model."""
        return tuple(self._messages)

    @property
    def wanted(self) -> Dialogue:
        """What the model is asked."""
        return Dialogue(self._id, self._seed, tuple(self._messages))

    def begin(self, dialogue: Dialogue) -> Emission | None:
        """Take over what the loop said since the last turn; gives a turn at once when the model cannot be asked."""
        self._spent = Emission("")
        self._corrections = 0
        reach = dialogue.reach
        if reach is None:
            return _failed("the dialogue does not tell what may be written")
        # Later on, what the scope holds may be the model's own, from an answer that was taken in part.
        if not self._messages and (why := _unfit(reach)):
            return _failed(why)
        if self._calls >= MAX_CALLS:
            return _failed(
                f"{MAX_CALLS} model calls are spent, those for corrections included, without an answer"
            )
        if not self._take(dialogue, reach):
            return _failed("this dialogue was begun by another policy, and its rounds are not known")
        taken = reach.avoid_names
        self._setting = Setting(reach.scope, self._gallery, reach.may_call, reach.follows, taken)
        if not reach.may_call or self._calls + 1 >= MAX_CALLS:
            self._setting = replace(self._setting, may_call=False)
            self._messages.append(Message(Role.USER, wire.FINAL))
        return None

    def hear(self, emission: Emission) -> Emission | None:
        """Take in what the model said: the turn for the loop, or None when the model has to be asked again."""
        self._calls += 1
        self._spent = _sum(self._spent, emission)
        if emission.stop in (Stop.FAILED, Stop.REFUSED):
            return replace(
                emission, prompt_tokens=self._spent.prompt_tokens, tokens_out=self._spent.tokens_out
            )
        assert self._setting is not None
        self._messages.append(Message(Role.ASSISTANT, emission.text))
        found = translate(emission.text, self._setting)
        if not isinstance(found, Violation):
            return self._turn(found.text)
        told = wire.correction(found.message, cut=emission.stop is Stop.LENGTH)
        if self._corrections < self._manner.corrections and self._calls < MAX_CALLS:
            self._corrections += 1
            self._messages.append(Message(Role.USER, told))
            if self._calls + 1 >= MAX_CALLS and self._setting.may_call:
                self._setting = replace(self._setting, may_call=False)
                self._messages.append(Message(Role.USER, wire.FINAL))
            return None
        self._owed = told
        return self._turn(refused(emission.text, found))

    # ---- inside ----

    def _turn(self, text: str) -> Emission:
        self._said = text
        return replace(self._spent, text=text)

    def _take(self, dialogue: Dialogue, reach: Reach) -> bool:
        """Translate the loop's new messages; False when they do not go on from what was said here."""
        new = dialogue.messages[self._read :]
        if not self._messages:
            if [m.role for m in new] != [Role.SYSTEM, Role.USER]:
                return False
            guide = wire.guide_of(new[0].text)
            system = wire.system_text(reach.scope.environment, guide, self._manner.system)
            turn = new[1].turn or Turn()
            first = wire.asked(reach.request or new[1].text, turn.observations, self._gallery)
            self._messages = [Message(Role.SYSTEM, system), Message(Role.USER, first, new[1].images)]
        else:
            if [m.role for m in new] != [Role.ASSISTANT, Role.USER] or new[0].text != self._said:
                return False
            self._messages.append(Message(Role.USER, self._answer(new[1]), new[1].images))
        self._read = len(dialogue.messages)
        return True

    def _answer(self, message: Message) -> str:
        if self._owed:
            owed, self._owed = self._owed, ""
            return owed
        if message.turn is None:
            return wire.response(without_markers(message.text))
        return wire.told(message.turn, self._gallery)


def _unfit(reach: Reach) -> str:
    """Why the model cannot fill this hole: it writes answers as a whole, prompt and references together."""
    if reach.statement is not None:
        return "the released model answers whole requests; it fills '...', and no statement with '?'"
    if reach.scope.has_prompt or any(isinstance(s, Prompt) for s in reach.follows):
        return "the released model writes the prompt itself, and the sketch has one"
    if reach.scope.references or any(isinstance(s, Ref) for s in reach.follows):
        return "the released model chooses the references itself, and the sketch has some"
    if any(isinstance(s, StatementHole) or has_holes(s) for s in reach.follows):
        return "the released model fills one '...', and the sketch has more holes after it"
    return ""


def _failed(why: str) -> Emission:
    return Emission("", Stop.FAILED, error=why)


def _sum(spent: Emission, more: Emission) -> Emission:
    """The tokens of both; not known when those of one are not."""
    return replace(
        spent,
        prompt_tokens=_plus(spent.prompt_tokens, more.prompt_tokens),
        tokens_out=_plus(spent.tokens_out, more.tokens_out),
    )


def _plus(a: int | None, b: int | None) -> int | None:
    return (a or 0) + (b or 0) if a is not None or b is not None else None
