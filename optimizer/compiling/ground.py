"""What rollouts stand on: the machine that executes calls, who draws and judges, the experience store.

Everything here can be opened anew in another process and gives the same answers; nothing of it is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from genevolve.optimizer.compiling.data import Data, with_truths
from genevolve.optimizer.evolution import Evolution, Settings, Step
from genevolve.programs.policies.protocol import Limits
from genevolve.programs.synthesis.rollout import Bounds

if TYPE_CHECKING:
    from genevolve.experience_store.store import ExperienceStore
    from genevolve.interpreter.config import Config
    from genevolve.interpreter.judges.protocol import Judge, Verdict
    from genevolve.interpreter.machine import Machine
    from genevolve.optimizer.compiling.sections import RolloutSection
    from genevolve.optimizer.compiling.settings import CompileSettings
    from genevolve.optimizer.contrast import Summarise
    from genevolve.optimizer.evaluation.suites import Suite
    from genevolve.optimizer.evaluation.workshop import Workshop
    from genevolve.optimizer.evolution import Request
    from genevolve.optimizer.rows import Encode
    from genevolve.programs.policies.protocol import Policy

PROGRAMS = "programs"
"""The folder inside the run folder from which programs may open pictures; nothing lies there."""
TEXT_JUDGE = "sufficiency"


@dataclass(frozen=True)
class Specs:
    """Who draws, who judges, and how many pictures at a time."""

    renderer: str
    judge: str
    workers: int


def specs_of(settings: CompileSettings, data: Data, config: Config) -> Specs:
    """Who draws and judges: the settings' word, else what suits the suite, as `genevolve bench` has it.

    Raises:
        ConfigurationError: No judge fits this suite by itself.
    """
    from genevolve.optimizer.evaluation.bench import default_judge, default_renderer

    reward = settings.reward
    return Specs(
        default_renderer(data.suite, reward.renderer or None, config),
        default_judge(data.suite, reward.judge or None),
        reward.workers,
    )


def config_of(settings: CompileSettings, data: Data, config: Config) -> Config:
    """The settings of the machine: the suite's own library, no run records, no clock unless one is asked for."""
    from genevolve.optimizer.evaluation.bench import suite_config

    found = suite_config(data.suite, config, {})
    # A limit of time would make runs differ by how busy the computer is.
    return replace(found, budget=replace(found.budget, seconds=settings.rollouts.seconds or None))


def bounds_of(section: RolloutSection, temperature: float | None = None) -> Bounds:
    """What a rollout may spend."""
    turn = Limits(
        section.turn_tokens, section.temperature if temperature is None else temperature, section.top_p
    )
    return Bounds(
        turns=section.turns,
        calls=section.calls,
        seconds=section.seconds or None,
        tokens=section.tokens,
        turn=turn,
    )


class Ground:
    """The machine, the workshop and the judges of a run. Close it, or use it in a `with` block.

    Args:
        settings: Of the compilation.
        data: What is asked for.
        config: As `config_of` gives it.
        specs: Who draws and judges.
        programs: Folder from which programs may open pictures.

    Raises:
        ConfigurationError: A renderer, a judge or a setting is wrong, or a key is missing.
        ServiceError: A service does not answer.
        StorageError: The library's index cannot be opened.
    """

    def __init__(
        self, settings: CompileSettings, data: Data, config: Config, specs: Specs, programs: Path
    ) -> None:
        from genevolve.interpreter.judges.catalog import open_judge
        from genevolve.interpreter.renderers.catalog import open_renderer
        from genevolve.optimizer.evaluation.workshop import Loop, Processes, is_local
        from genevolve.programs.session import open_machine

        self.settings, self.data, self.config = settings, data, config
        judge = open_judge(specs.judge, config)
        renderer = open_renderer(specs.renderer, config)
        self.text_judge: Any = open_judge(TEXT_JUDGE, config)
        self.renderer_name = f"{renderer.name} {renderer.version}"
        self.judge_name = f"{judge.name} {judge.version}"
        self.meter = Meter(judge)
        programs.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self.machine: Machine = stack.enter_context(
                open_machine(config, renderer=renderer, program_folder=programs)
            )
            self.workshop: Workshop = (
                Processes(specs.renderer, specs.judge, specs.workers)
                if is_local(specs.renderer, specs.judge)
                else Loop(self.meter, specs.workers)
            )
            stack.callback(self.workshop.close)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workers and close what is open."""
        self._stack.close()

    def evolution(
        self,
        policy: Policy,
        encode: Encode,
        end_token: int,
        suite: Suite,
        settings: Settings,
        *,
        store: ExperienceStore | None = None,
        context: int | None = None,
        summariser: Summarise | None = None,
    ) -> Evolution:
        """What makes steps for a policy on the requests of a suite; their ground truths are made in time."""
        more = {} if summariser is None else {"summariser": summariser}
        return _Prepared(
            suite,
            policy,
            encode,
            self.machine,
            self.workshop,
            self.text_judge,
            store,
            settings,
            end_token=end_token,
            judge_name=self.judge_name,
            context=context,
            **more,
        )


class _Prepared(Evolution):
    """Steps on requests of a suite, whose ground truths are made before their pictures are judged."""

    def __init__(self, suite: Suite, *parts: Any, **named: Any) -> None:
        super().__init__(*parts, **named)
        self._suite = suite

    def step(self, requests: Sequence[Request], number: int) -> Step:
        """See `Evolution.step`."""
        return super().step(with_truths(requests, self._suite), number)


class Meter:
    """A judge that remembers what its verdicts cost."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._spent = 0.0

    @property
    def name(self) -> str:
        """The judge's own."""
        return self._judge.name

    @property
    def version(self) -> str:
        """The judge's own."""
        return self._judge.version

    async def score(self, case: Any) -> Verdict:
        """The judge's word; its cost is kept."""
        import asyncio
        import inspect

        if inspect.iscoroutinefunction(self._judge.score):
            verdict: Verdict = await self._judge.score(case)
        else:
            said: Any = await asyncio.to_thread(self._judge.score, case)
            verdict = await said if inspect.isawaitable(said) else said
        self._spent += verdict.cost
        return verdict

    async def aclose(self) -> None:
        """Close the judge, if it can be closed."""
        close = getattr(self._judge, "aclose", None)
        if callable(close):
            await close()

    def take(self) -> float:
        """What was spent since this was last asked."""
        spent, self._spent = self._spent, 0.0
        return spent
