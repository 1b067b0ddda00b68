"""A bench from beginning to end: suite, policy, machine, workshop, results folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import ConfigurationError
from genevolve.optimizer.evaluation.baselines import open_contestant
from genevolve.optimizer.evaluation.folder import OUTPUT, write_figures
from genevolve.optimizer.evaluation.runner import BenchRunner, Listener, Options, Tally
from genevolve.optimizer.evaluation.suites import Suite
from genevolve.optimizer.evaluation.workshop import Loop, Processes, Workshop, is_local
from genevolve.programs.batch.folder import BatchFolder
from genevolve.programs.batch.journal import Journal

if TYPE_CHECKING:
    from genevolve.interpreter.config import Config
    from genevolve.programs.policies.protocol import Policy

STUDIO_RENDERER, STUDIO_JUDGE = "studio", "inspector"
PROGRAMS = "programs"
"""The folder inside the results folder from which programs may open pictures; nothing lies there."""


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        suite: The rows.
        policy: Spec of who writes the programs.
        renderer: Spec of who draws.
        judge: Spec of who judges.
        out: The results folder.
        parallel: Pictures at a time.
        options: How rows are run.
        resume: Whether a run that is there goes on.
    """

    suite: Suite
    policy: str
    renderer: str
    judge: str
    out: Path
    parallel: int = 2
    options: Options = field(default_factory=Options)
    resume: bool = False


@dataclass(frozen=True)
class Report:
    """How it ended: how the rows stand, and the figures."""

    tally: Tally
    summary: Mapping[str, Any]


def suite_config(suite: Suite, config: Config, flags: Mapping[str, object]) -> Config:
    """The settings, with the suite's own library searched by words alone, unless the call says something else.

    `flags` are those that the call gave: what they name stays. Raises `ConfigurationError`.
    """
    from dataclasses import replace

    library = config.library
    if suite.libraries and not flags.get("library.folders"):
        library = library._replace(folders=tuple(p.absolute() for p in suite.libraries))
    if suite.kind == "studio" and not flags.get("library.embedder"):
        library = library._replace(embedder="none")
    return replace(config, library=library, runs=config.runs._replace(record=False))


def run_bench(plan: Plan, config: Config, on_end: Listener | None = None) -> Report:
    """Run a suite, or what is left of it, and write its figures.

    Raises:
        AuthorError: The folder holds something else.
        ConfigurationError: A policy, renderer or judge cannot be opened.
        OperatorError: The disk is full, or the processes that draw have died.
        KeyboardInterrupt: Ctrl-C; what has ended is in the folder.
    """
    from genevolve.interpreter.judges.catalog import open_judge
    from genevolve.interpreter.renderers.catalog import open_renderer
    from genevolve.programs.session import open_machine

    judge = open_judge(plan.judge, config)
    renderer = open_renderer(plan.renderer, config)
    policy = open_contestant(plan.policy, config)
    try:
        identity = _identity(
            plan, policy, f"{renderer.name} {renderer.version}", f"{judge.name} {judge.version}"
        )
        with (
            # A folder of its own: programs must not open the ground truths that lie beside the call.
            open_machine(config, renderer=renderer, program_folder=plan.out / PROGRAMS) as machine,
            BatchFolder(plan.out, identity, resume=plan.resume) as folder,
            Journal(folder.journal, len(plan.suite.rows), folder.has_picture) as journal,
        ):
            local = is_local(plan.renderer, plan.judge)
            workshop: Workshop = (
                Processes(plan.renderer, plan.judge, plan.parallel) if local else Loop(judge, plan.parallel)
            )
            try:
                runner = BenchRunner(
                    plan.suite, policy, machine, workshop, folder, journal, plan.options, on_end
                )
                tally = runner.run()
            finally:
                workshop.close()
                journal.write_outputs(folder.path / OUTPUT, folder.path / "results.json")
            return Report(tally, write_figures(plan.out))
    finally:
        policy.close()


def _identity(plan: Plan, policy: Policy, renderer: str, judge: str) -> dict[str, Any]:
    """What makes two runs the same run; the results folder keeps it."""
    suite, options = plan.suite, plan.options
    bounds = asdict(options.bounds)
    return {
        "suite": {"name": suite.name, "digest": suite.digest, "rows": len(suite.rows)},
        "truths": None if suite.folder is None else str(suite.folder.absolute()),
        "policy": {"name": policy.name, "version": policy.version},
        "renderer": renderer,
        "judge": judge,
        "formula": options.formula,
        "seed": options.seed,
        "rollouts": options.rollouts,
        "bounds": bounds,
        "guide": options.guide,
        "card": options.card,
    }


def default_renderer(suite: Suite, given: str | None, config: Config) -> str:
    """Who draws: the call's, the studio for its own suites, else the settings'."""
    return given or (STUDIO_RENDERER if suite.kind == "studio" else config.render.renderer)


def default_judge(suite: Suite, given: str | None) -> str:
    """Who judges: the call's, or the inspector for the studio's suites.

    Raises `ConfigurationError` for other suites: no judge fits them all.
    """
    if given:
        return given
    if suite.kind == "studio":
        return STUDIO_JUDGE
    hint = "wise:MODEL?prompts=FILE" if suite.kind == "wise" else "kscore:MODEL"
    raise ConfigurationError(
        f"who judges? --judge {hint} asks a vision model; --judge sufficiency looks at programs alone"
    )
