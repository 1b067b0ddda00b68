"""DSPy's optimizers on programs' modules, quiet, in a context of their own, and with our errors.

better = bootstrap(agent, examples, ProgramReward(machine), lm=lm)
better = evolve(agent, examples, ProgramReward(machine), lm=lm, reflection_lm=strong, metric_calls=60)
better.save("agent.json")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import dspy

from genevolve.grammar.errors import AuthorError
from genevolve.programs.modules.bridge import hushed, translated

if TYPE_CHECKING:
    from genevolve.programs.modules.metric import ProgramReward

M = TypeVar("M")

KEEP = """\
The instruction describes a small language and how turns are written. Keep that description word for word: programs that
break it earn nothing. Add general advice at its end, in the imperative, without names of examples."""
"""What the reflecting model is told besides the feedback."""


def bootstrap(
    module: M,
    examples: Sequence[Any],
    reward: ProgramReward,
    *,
    lm: Any,
    teacher_lm: Any = None,
    threshold: float = 0.75,
    demos: int = 4,
    rounds: int = 1,
    quiet: bool = True,
) -> M:
    """A copy of the module with demos from its own runs that earned enough (`dspy.BootstrapFewShot`).

    Args:
        module: A `ProgramAgent` or `ProgramWriter`; it stays as it is.
        examples: `dspy.Example`s with `request` as input; see `metric`.
        reward: What a run earns.
        lm: The module's language model.
        teacher_lm: Who makes the runs; by default the same model.
        threshold: The least reward of a run that becomes a demo.
        demos: How many demos at most.
        rounds: How often one example is tried.
        quiet: Whether DSPy's own output is swallowed.

    Raises:
        AuthorError: There are no examples.
        GenevolveError: The language model failed; see `bridge`.
    """
    from dspy.teleprompt import BootstrapFewShot

    _some(examples)
    settings = {"lm": teacher_lm} if teacher_lm is not None else {}
    optimizer = BootstrapFewShot(
        metric=reward,
        metric_threshold=threshold,
        teacher_settings=settings,
        max_bootstrapped_demos=demos,
        max_labeled_demos=0,  # examples have no turns
        max_rounds=rounds,
    )
    _try_once(module, examples, teacher_lm or lm)
    with translated(), hushed(hushed=quiet), dspy.context(lm=lm):
        better: M = optimizer.compile(module, trainset=[*examples])
    return better


def evolve(
    module: M,
    examples: Sequence[Any],
    reward: ProgramReward,
    *,
    lm: Any,
    reflection_lm: Any,
    metric_calls: int,
    held_out: Sequence[Any] | None = None,
    minibatch: int = 3,
    seed: int = 0,
    threads: int = 1,
    quiet: bool = True,
) -> M:
    """A copy of the module with instructions that reflection on feedback has improved (`dspy.GEPA`).

    Args:
        module: A `ProgramAgent` or `ProgramWriter`; it stays as it is.
        examples: What is reflected on.
        reward: What a run earns, and what it missed, in words.
        lm: The module's language model.
        reflection_lm: Who proposes instructions; a strong model.
        metric_calls: How many runs are scored at most, about.
        held_out: What candidates are compared on; by default the examples themselves.
        minibatch: How many examples one reflection looks at.
        seed: Of the search.
        threads: How many runs at a time.
        quiet: Whether DSPy's own output is swallowed.

    Raises:
        GenevolveError: There are no examples, or the language model failed; see `bridge`.
    """
    from dspy.teleprompt import GEPA
    from dspy.teleprompt.gepa import InstructionProposer

    _some(examples)
    optimizer = GEPA(
        instruction_proposer=InstructionProposer(additional_instructions=KEEP, truncate_history_outputs=True),
        metric=reward.with_feedback,
        max_metric_calls=metric_calls,
        reflection_lm=reflection_lm,
        reflection_minibatch_size=minibatch,
        num_threads=threads,
        seed=seed,
    )
    _try_once(module, examples, lm)
    with translated(), hushed(hushed=quiet), dspy.context(lm=lm):
        compared = [*(examples if held_out is None else held_out)]
        better: M = optimizer.compile(module, trainset=[*examples], valset=compared)
    return better


def evaluate(module: Any, examples: Sequence[Any], reward: ProgramReward, *, lm: Any) -> float:
    """The mean reward of a module over examples, in [0, 1]. Raises what the module raises."""
    _some(examples)
    with translated(), dspy.context(lm=lm):
        return sum(reward(e, module(**e.inputs())) for e in examples) / len(examples)


def _try_once(module: Any, examples: Sequence[Any], lm: Any) -> None:
    """One run before a search: optimizers count a wrong key or a dead service as bad runs, this tells it at once."""
    with translated(), dspy.context(lm=lm):
        module(**examples[0].inputs())


def _some(examples: Sequence[Any]) -> None:
    if not examples:
        raise AuthorError("an optimizer needs examples")
