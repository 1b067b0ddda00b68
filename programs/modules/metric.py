"""Rewards of programs as metrics of DSPy's optimizers, and the feedback that says what a reward missed.

    reward = ProgramReward(machine)
    BootstrapFewShot(metric=reward, metric_threshold=0.75)
    GEPA(metric=reward.with_feedback, …)

The structure reward is computed by the interpreter alone: a program that does not check, or whose calls fail, earns
nothing; a complete one earns 0.2, and the rest for the share that it holds of what the example wants. An example is a
`dspy.Example` with `request` and, as far as they are known, `constraints` (plain data of `z`), `skills`, `references`
(how many at least) and `facts` (texts that the prompt must say).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dspy

from genevolve.grammar.errors import AuthorError, GenevolveError
from genevolve.grammar.report_text import to_text
from genevolve.grammar.z import Constraint, Z
from genevolve.interpreter.blocking import blocking
from genevolve.interpreter.judges.protocol import Case, Verdict
from genevolve.programs.modules.adapter import findings_of
from genevolve.programs.program import Program

if TYPE_CHECKING:
    from genevolve.interpreter.judges.protocol import Judge
    from genevolve.interpreter.machine import Machine

COMPLETE = 0.2
"""What a program earns for being one."""

ALPHA = 0.5
"""The judge's share, where there is a judge."""


@dataclass(frozen=True)
class Wanted:
    """What a good program for a request holds; what is not known is left empty and not scored."""

    constraints: tuple[Constraint, ...] = ()
    skills: tuple[str, ...] = ()
    references: int = 0
    facts: tuple[str, ...] = ()

    @classmethod
    def of(cls, example: Any) -> Wanted:
        """From an example of DSPy; raises `AuthorError` when a field is of the wrong kind."""
        try:
            constraints = tuple(_constraint(c) for c in example.get("constraints") or ())
            return cls(
                constraints,
                tuple(str(s) for s in example.get("skills") or ()),
                int(example.get("references") or 0),
                tuple(str(f) for f in example.get("facts") or ()),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise AuthorError(f"this example does not say what is wanted: {error!r}") from error


@dataclass(frozen=True)
class Scored:
    """A reward with what it was made of and what is missing.

    Attributes:
        score: In [0, 1].
        parts: `complete`, and of what was wanted the share that is there.
        missing: What is missing, a sentence each; this is the feedback that optimizers reflect on.
        judge: The judge's score; None without one, or when it could not tell.
    """

    score: float
    parts: Mapping[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    judge: float | None = None

    @property
    def feedback(self) -> str:
        """The reward in words."""
        lines = [f"Reward {self.score:.2f}."]
        lines += self.missing or ("Nothing that was wanted is missing.",)
        return "\n".join(lines)


class ProgramReward:
    """The reward of a prediction with a program, for any example; see the note at the top of this module.

    Args:
        machine: Where programs that come without z are run (without a picture); None scores those by their text alone
            as incomplete.
        judge: Scores whether the program is sufficient; its share is `alpha`. Where it cannot tell, the structure
            counts alone.
        alpha: The judge's share.
    """

    def __init__(
        self, machine: Machine | None = None, *, judge: Judge | None = None, alpha: float = ALPHA
    ) -> None:
        self._machine = machine
        self._judge = judge
        self._alpha = alpha

    def __call__(self, example: Any, prediction: Any, trace: Any = None) -> float:
        """The reward as a number, for `BootstrapFewShot` (with a threshold) and `dspy.Evaluate`."""
        return self.score(example, prediction).score

    def with_feedback(
        self,
        example: Any,
        prediction: Any,
        trace: Any = None,
        pred_name: str | None = None,
        pred_trace: Any = None,
    ) -> Any:
        """The reward with feedback, for GEPA: a `dspy.Prediction` with `score` and `feedback`."""
        scored = self.score(example, prediction)
        return dspy.Prediction(score=scored.score, feedback=scored.feedback)

    def score(self, example: Any, prediction: Any) -> Scored:
        """The reward with its parts. A prediction that holds no program is worth 0, with the reason."""
        wanted = Wanted.of(example)
        text = str(prediction.get("program") or "")
        told = [*_refusals(prediction)]
        if not text:
            partial, why = str(prediction.get("partial") or ""), str(prediction.get("reason") or "")
            said = f"There is no program: {why or prediction.get('report') or 'nothing was written'}."
            return Scored(0.0, {"complete": 0.0}, (said, *_about(partial), *told))
        z = prediction.get("z")
        if not isinstance(z, Z):
            try:
                z = self._run(text)
            except GenevolveError as error:
                return Scored(
                    0.0, {"complete": 0.0}, (f"The program does not run: {error}", *_about(text), *told)
                )
        parts = {"complete": 1.0}
        for name, share, missing in _shares(wanted, z):
            parts[name] = share
            told += missing
        shares = [share for name, share in parts.items() if name != "complete"]
        structure = COMPLETE + (1 - COMPLETE) * (sum(shares) / len(shares) if shares else 1.0)
        return self._judged(example, text, z, structure, parts, told)

    def _run(self, text: str) -> Z:
        if self._machine is None:
            raise AuthorError("it was not run")
        checked = Program.parse(text).checked(self._machine.environment())
        return blocking(self._machine.run(checked, render=False)).z

    def _judged(
        self,
        example: Any,
        text: str,
        z: Z,
        structure: float,
        parts: dict[str, float],
        told: list[str],
    ) -> Scored:
        if self._judge is None:
            return Scored(structure, parts, tuple(told))
        verdict = self._judge.score(Case(z.request, z=z, tree=Program.parse(text).tree))
        if not isinstance(verdict, Verdict):
            raise TypeError("a judge for metrics answers at once, not by a coroutine")
        if verdict.score is None:
            return Scored(structure, parts, tuple(told))
        score = (1 - self._alpha) * structure + self._alpha * verdict.score
        if verdict.score < 1 and verdict.rationale:
            told.append(f"The judge says: {verdict.rationale}")
        return Scored(score, parts, tuple(told), verdict.score)


def _shares(wanted: Wanted, z: Z) -> Iterator[tuple[str, float, list[str]]]:
    if wanted.constraints:
        missed = [c for c in wanted.constraints if not _holds(c, z)]
        told = [f"The program does not require {c}." for c in missed]
        yield "constraints", 1 - len(missed) / len(wanted.constraints), told
    if wanted.skills:
        unused = [s for s in wanted.skills if s not in z.skills]
        told = [f"The skill {s} would have helped and was not used." for s in unused]
        yield "skills", 1 - len(unused) / len(wanted.skills), told
    if wanted.references:
        bound = len(z.reference_images)
        lacks = bound < wanted.references
        told = [f"{bound} reference images are bound; {wanted.references} are needed."] if lacks else []
        yield "references", min(1.0, bound / wanted.references), told
    if wanted.facts:
        prompt = _folded(z.gen_prompt)
        unsaid = [f for f in wanted.facts if _folded(f) not in prompt]
        told = [f"The prompt does not say {f!r}." for f in unsaid]
        yield "facts", 1 - len(unsaid) / len(wanted.facts), told


def _holds(wanted: Constraint, z: Z) -> bool:
    """Whether some constraint says what is wanted; arguments that are not wanted may be anything."""
    return any(
        c.kind == wanted.kind
        and all(_folded(str(c.arguments.get(k))) == _folded(str(v)) for k, v in wanted.arguments.items())
        for c in z.constraints
    )


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _constraint(data: Any) -> Constraint:
    if isinstance(data, Constraint):
        return data
    return Constraint(str(data["kind"]), dict(data["arguments"]))


def _about(text: str) -> list[str]:
    """The checker's report on a text that is no program yet."""
    if not text.strip():
        return []
    findings = findings_of(text, None)
    return [to_text([findings], with_summary=False, width=100).strip("\n")] if not findings.ok else []


def _refusals(prediction: Any) -> Iterator[str]:
    """What a policy was told while it wrote."""
    trajectory: Sequence[Mapping[str, Any]] = prediction.get("trajectory") or ()
    for number, turn in enumerate(trajectory, 1):
        if turn.get("refused"):
            yield f"Turn {number} was refused: {turn['refused']}"
