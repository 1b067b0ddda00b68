"""`ProgramAgent`: a DSPy module that fills a request or a sketch turn by turn, while its calls are executed.

    agent = ProgramAgent(machine)
    with dspy.context(lm=lm):
        prediction = agent(request="A stamp of the lighthouse of Velm with the word VELM.")
    prediction.program, prediction.outcome, prediction.z

Each turn is one call of the predictor `write`, whose instructions are the language card and whose demos are turns, so
that DSPy's optimizers improve what every turn reads. The loop, its budget and its refusals are those of
`genevolve.programs.synthesis`.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import dspy

from genevolve.grammar.errors import AuthorError, ConfigurationError, GenevolveError
from genevolve.grammar.strings import quote
from genevolve.interpreter.blocking import blocking
from genevolve.programs.modules.adapter import GprogAdapter
from genevolve.programs.modules.bridge import shortened, translate
from genevolve.programs.modules.fields import Gprog, GprogTurn
from genevolve.programs.modules.state import Saved
from genevolve.programs.policies.language_card import CARDS, Size
from genevolve.programs.policies.protocol import Dialogue, Emission, Limits, Message, Role, Stop
from genevolve.programs.program import Program
from genevolve.programs.synthesis.fill import fill
from genevolve.programs.synthesis.rollout import Bounds, Outcome, Rollout

if TYPE_CHECKING:
    from genevolve.interpreter.machine import Machine

Sampling = Literal["lm", "limits"]


class WriteTurn(dspy.Signature):  # type: ignore[misc]  # dspy has no types that mypy follows
    """Replaced by the language card."""

    surroundings: str = dspy.InputField(desc="the skills, tools and advice that there are")
    dialogue: dspy.History = dspy.InputField(desc="the turns so far and what they showed")
    message: str = dspy.InputField(desc="what the last turn showed, and which hole is to be filled")
    turn: GprogTurn = dspy.OutputField(desc="the next statements, up to the first call")


class Around:
    """A machine that copies of a module share; opened from the settings when it is first needed."""

    def __init__(self, machine: Machine | None) -> None:
        self._machine = machine
        self._own = machine is None
        self._lock = threading.Lock()

    @property
    def machine(self) -> Machine:
        """The machine."""
        from genevolve.programs.session import open_machine

        with self._lock:
            if self._machine is None:
                self._machine = open_machine()
            return self._machine

    def close(self) -> None:
        """Close the machine if it was opened here."""
        with self._lock:
            machine, self._machine = self._machine, None if self._own else self._machine
        if self._own and machine is not None:
            close = getattr(machine, "close", None)
            if callable(close):
                close()

    def __deepcopy__(self, memo: dict[int, object]) -> Around:
        """Optimizers copy modules; their copies work on the same machine."""
        return self


class ProgramAgent(Saved, dspy.Module):  # type: ignore[misc]  # dspy has no types that mypy follows
    """See the note at the top of this module.

    Args:
        machine: Where calls are executed; by default one is opened from the settings (`close()` closes it).
        bounds: What one program may spend.
        card: Which language card the instructions begin as: the short one is for small models.
    """

    def __init__(
        self, machine: Machine | None = None, *, bounds: Bounds | None = None, card: Size = "full"
    ) -> None:
        super().__init__()
        self.around = Around(machine)
        self.bounds = bounds or Bounds()
        self.card: Size = card
        self.adapter = GprogAdapter(repairs=0, shared=("surroundings",))
        self.write = dspy.Predict(WriteTurn.with_instructions(CARDS[card]))

    def forward(
        self,
        request: str | None = None,
        sketch: Program | str | None = None,
        *,
        seed: int = 0,
        guide: str | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> Any:
        """Fill a request or a sketch once.

        Args:
            request: What is asked for; the sketch is then `request "…"` and `...`.
            sketch: A program with holes, instead of a request.
            seed: Of the dialogue.
            guide: A decision guide for the system message.
            parameters: Values for the sketch's parameters.

        Returns:
            A `dspy.Prediction` with `program` (text; empty when it was not filled), `partial` (what was written so
            far), `outcome`, `reason`, `z` (None without a program), `trajectory` (a dictionary for each turn) and
            `rollout`.

        Raises:
            AuthorError: There is neither a request nor a sketch, or the sketch is wrong.
            ConfigurationError: There is no language model, or it is not set up rightly.
            ServiceError: The language model failed.
        """
        program = sketch_of(request, sketch)
        policy = self.as_policy(sampling="lm")
        (rollout,) = fill(
            program,
            policy,
            self.around.machine,
            seed=seed,
            bounds=self.bounds,
            guide=guide,
            parameters=parameters,
            card=self.card,
        )
        if rollout.outcome is Outcome.POLICY_FAILED and policy.failures:
            raise policy.failures[0]
        return prediction_of(rollout)

    def as_policy(self, *, sampling: Sampling = "limits", threads: int = 8) -> AgentPolicy:
        """This module as a policy.

        Args:
            sampling: Whether `Limits` says how turns are sampled, or the language model's own settings do.
            threads: How many dialogues are asked about at a time.
        """
        return AgentPolicy(self, sampling, threads)

    def close(self) -> None:
        """Close the machine if this module opened it."""
        self.around.close()


class AgentPolicy:
    """A `ProgramAgent` as a policy. Its language model is its predictor's, or that of the DSPy context."""

    takes_images = False
    constrained = False

    def __init__(self, agent: ProgramAgent, sampling: Sampling = "limits", threads: int = 8) -> None:
        self._agent = agent
        self._sampling = sampling
        self._threads = threads
        # Turns may be asked for in another thread; DSPy's settings and its trace belong to this context.
        self._context = contextvars.copy_context()
        lm = agent.write.lm or dspy.settings.lm
        if lm is None:
            raise ConfigurationError("no language model: use dspy.context(lm=…) or agent.set_lm(…)")
        self._model = str(getattr(lm, "model", type(lm).__name__))
        self.failures: list[GenevolveError] = []
        """What went wrong with the language model, in order."""

    @property
    def card(self) -> Size:
        """Which language card it reads."""
        return self._agent.card

    @property
    def name(self) -> str:
        """The module and its model; a module is opened by code, not by a spec."""
        return f"dspy:{type(self._agent).__name__}:{self._model}"

    @property
    def version(self) -> str:
        """The model, and a digest of what the module has learned."""
        import hashlib
        import json

        write = self._agent.write
        learned = json.dumps([write.signature.dump_state(), [str(d) for d in write.demos]], sort_keys=True)
        return f"{self._model}+{hashlib.sha256(learned.encode()).hexdigest()[:12]}"

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        """One emission for each dialogue, in order."""
        if len(dialogues) == 1 or self._threads == 1:
            return [self._turn(d, limits) for d in dialogues]
        with ThreadPoolExecutor(min(self._threads, len(dialogues))) as pool:
            return [*pool.map(lambda d: self._turn(d, limits), dialogues)]

    def release(self, ids: Sequence[str]) -> None:
        """Nothing is kept for a dialogue."""

    def close(self) -> None:
        """The agent and its model are closed by whoever opened them."""

    def _turn(self, dialogue: Dialogue, limits: Limits) -> Emission:
        # A context cannot be entered twice at a time; copies share the trace.
        return self._context.copy().run(self._predict, dialogue, limits)

    def _predict(self, dialogue: Dialogue, limits: Limits) -> Emission:
        agent = self._agent
        try:
            with dspy.context(adapter=agent.adapter):
                prediction = agent.write(
                    surroundings=surroundings(dialogue, agent.card),
                    dialogue=dspy.History(messages=[*_events(dialogue)]),
                    message=dialogue.messages[-1].text,
                    config=self._config(dialogue, limits),
                )
        except dspy.AdapterParseError as error:
            return Emission("", error=shortened(str(error)))
        except dspy.DSPyError as error:
            failure = translate(error)
            self.failures.append(failure)
            return Emission("", Stop.FAILED, error=str(failure))
        return Emission(str(prediction.turn))

    def _config(self, dialogue: Dialogue, limits: Limits) -> dict[str, Any]:
        if self._sampling == "lm":
            return {}
        from genevolve.programs.policies.endpoint import seed_of

        return {
            "temperature": limits.temperature,
            "top_p": limits.top_p,
            "max_tokens": limits.max_tokens,
            "seed": seed_of(dialogue),
        }


def sketch_of(request: str | None, sketch: Program | str | None) -> Program:
    """The program with holes that a request or a sketch is; raises `AuthorError`."""
    if (request is None) == (sketch is None):
        raise AuthorError("give either a request or a sketch")
    if isinstance(sketch, Program):
        return sketch
    if sketch is not None:
        return Program.parse(sketch, "<sketch>")
    try:
        return Program.parse(f"request {quote(request or '')}\n...\n", "<request>")
    except ValueError as error:
        raise AuthorError(f"this request cannot stand in a program: {error}") from error


def prediction_of(rollout: Rollout) -> Any:
    """What a rollout says, as a `dspy.Prediction`; see `ProgramAgent.forward`."""
    z, reason = None, rollout.reason
    if rollout.program is not None and rollout.session is not None:
        try:
            z = blocking(rollout.session.finish()).z
        except GenevolveError as error:  # a reference's file is gone, a disk is full
            reason = str(error)
    return dspy.Prediction(
        program=Gprog(rollout.program.source if rollout.program is not None else ""),
        partial=rollout.partial,
        outcome=rollout.outcome.value,
        reason=reason,
        z=z,
        trajectory=[*_trajectory(rollout)],
        rollout=rollout,
    )


def surroundings(dialogue: Dialogue, card: Size) -> str:
    """The system message without the language card, which is the predictor's instructions."""
    system = "\n\n".join(m.text for m in dialogue.messages if m.role is Role.SYSTEM)
    return system.replace(CARDS[card].strip("\n"), "", 1).strip("\n")


def _events(dialogue: Dialogue) -> Iterator[dict[str, str]]:
    """The turns before the last message: what was said to the policy, and what it wrote."""
    said: list[str] = []
    messages: Sequence[Message] = [m for m in dialogue.messages if m.role is not Role.SYSTEM]
    for message in messages[:-1]:
        if message.role is Role.ASSISTANT:
            yield {"message": "\n".join(said), "turn": message.text}
            said = []
        else:
            said.append(message.text)


def _trajectory(rollout: Rollout) -> Iterator[dict[str, Any]]:
    for turn in rollout.turns:
        yield {
            "text": turn.emission.text,
            "statements": [*turn.statements],
            "refused": turn.refused,
            "error": turn.emission.error,
        }
