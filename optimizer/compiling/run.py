"""`compile(...)`: a policy is trained on what its own rollouts teach.

    compile("mini", suite="studio:world/train", out="compiled", preset="laptop")
    compile(out="compiled", resume=True)

A process may be killed at any moment. Whoever calls it again with `resume` goes on from the last complete checkpoint
and ends, on the same machine, with the same weights as a run that was never interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import (
    AuthorError,
    ConfigurationError,
    GenevolveError,
    ServiceError,
    StorageError,
)
from genevolve.optimizer.chance import undisturbed
from genevolve.optimizer.compiling import durable, gate
from genevolve.optimizer.compiling.checks import check_machine
from genevolve.optimizer.compiling.data import Data, about, open_data, requests_of
from genevolve.optimizer.compiling.folder import STORE, Checkpoint, RunFolder, identity_of
from genevolve.optimizer.compiling.ground import (
    PROGRAMS,
    Ground,
    Specs,
    bounds_of,
    config_of,
    specs_of,
)
from genevolve.optimizer.compiling.loop import (
    Listener,
    Run,
    Validation,
    distillation_of,
    evolution_settings,
    gate_settings,
    schedule_of,
)
from genevolve.optimizer.compiling.monitor import Monitor
from genevolve.optimizer.compiling.plan import Plan, gate_size, make_plan
from genevolve.optimizer.compiling.quiet import talking_into
from genevolve.optimizer.compiling.settings import CompileSettings, from_dict, read_settings
from genevolve.optimizer.compiling.start import (
    Spec,
    make_start,
    open_base,
    open_trained,
    read_spec,
    save_version,
    wants_cold_start,
)
from genevolve.optimizer.compiling.versions import Version, Versions

if TYPE_CHECKING:
    from genevolve.experience_store.store import ExperienceStore
    from genevolve.interpreter.config import Config
    from genevolve.programs.policies.local.policy import LocalPolicy

START = "v000"
COLD_FILE = "cold_start.json"
GUIDE_FILE = "start_guide.json"
LOG = "trainer.log"
FREE = ("limits.", "output.", "reward.workers", "training.report_to")
"""Settings that may differ when a run goes on: they change no weight of a step."""
_LIBRARIES = ("torch", "transformers", "trl")


@dataclass(frozen=True)
class Compiled:
    """How a run ended.

    Attributes:
        folder: The run folder.
        policy: The folder of the best version.
        best: Its name.
        step: Steps that were taken.
        reason: Why it ended early; empty when all steps were taken.
        report: The report's file, when it was written.
    """

    folder: Path
    policy: Path
    best: str
    step: int
    reason: str
    report: Path | None


@dataclass(frozen=True)
class Prepared:
    """A compilation that was looked through and not begun: settings, data, who draws and judges, the plan."""

    settings: CompileSettings
    spec: Spec
    data: Data
    specs: Specs
    config: Config
    out: Path
    plan: Plan


class Silent:
    """A listener that says nothing."""

    def phase(self, text: str) -> None:
        """See `Listener`."""

    def step(self, step: int, steps: int, figures: Mapping[str, float], seconds: float) -> None:
        """See `Listener`."""

    def version(self, version: Version) -> None:
        """See `Listener`."""


def compile(  # the command's name; builtins.compile is not used here
    policy: str | None = None,
    *,
    out: str | Path,
    suite: str | None = None,
    requests: str | Path | None = None,
    validation: str | None = None,
    sketch: str | Path | None = None,
    preset: str | None = None,
    file: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    config: Config | None = None,
    resume: bool = False,
    agreed: bool = False,
    listener: Listener | None = None,
) -> Compiled:
    """Train a policy on what its own rollouts teach, or go on with a run that was interrupted.

    Args:
        policy: `mini`, `smollm2` or `local:MODEL`.
        out: The run folder.
        suite: Requests to learn on, as `genevolve bench` takes them; or `requests`, a `.jsonl` file.
        requests: See `suite`.
        validation: Suite of the gate; that of the same studio world by default.
        sketch: A `.gprog` whose request statement each request replaces.
        preset: `laptop` (default) or `paper`.
        file: A TOML file of settings.
        settings: Single settings by dotted name, such as `{"training.steps": 40}`.
        config: Settings of the machine; by default they are read as `load_config` reads them.
        resume: Go on with the run in `out`; settings that were not given are those it began with.
        agreed: Whether services that cost money may be used.
        listener: Told how it goes.

    Returns:
        How it ended; the policy is a folder that `local:` takes.

    Raises:
        ConfigurationError: A setting, a policy, a suite's kind, a renderer or a judge is wrong, or it would cost
            money and nobody agreed.
        AuthorError: A file, a suite or the run folder is wrong.
        ServiceError: A service or a worker failed.
        StorageError: The disk is full, or a file cannot be written.
        KeyboardInterrupt: Ctrl-C; what the last checkpoint holds can be gone on from.
    """
    values = {
        "policy.policy": policy,
        "data.suite": suite,
        "data.requests": None if requests is None else str(requests),
        "data.validation": validation,
        "data.sketch": None if sketch is None else str(sketch),
        **(settings or {}),
    }
    chosen = choose_settings(
        Path(out), preset, None if file is None else Path(file), (), values, resume=resume
    )
    prepared = prepare(chosen, Path(out), config)
    return run(prepared, resume=resume, agreed=agreed, listener=listener)


def choose_settings(
    out: Path,
    preset: str | None,
    file: Path | None,
    assignments: Sequence[str],
    values: Mapping[str, Any],
    *,
    resume: bool,
) -> CompileSettings:
    """The settings of a run: of a new one those that are given, of one that goes on its own ones.

    Raises:
        ConfigurationError: A setting is wrong, or one that makes weights differ is to be changed in a run.
    """
    if not resume or not (out / "compile.json").is_file():
        return read_settings(preset or "laptop", file, assignments, values)
    known = from_dict(identity_of(out).get("settings"), str(out / "compile.json"))
    if preset is not None or file is not None:
        now = read_settings(preset or "laptop", file, assignments, values)
    else:
        given = {name: value for name, value in values.items() if value is not None}
        pairs = dict(a.partition("=")[::2] for a in assignments)
        now = known.with_values(pairs, "--set").with_values(given, "the call")
    before, after = _flat(known), _flat(now)
    changed = [n for n in after if before.get(n) != after[n] and not n.startswith(FREE)]
    if changed:
        told = ", ".join(f"{n} ({before.get(n)!r} then, {after[n]!r} now)" for n in changed)
        raise ConfigurationError(
            f"{out} was begun with other settings: {told}. A run that goes on keeps them; only limits, output, "
            "reward.workers and training.report_to may change"
        )
    return now


def prepare(settings: CompileSettings, out: Path, config: Config | None = None) -> Prepared:
    """Look through everything that can be without loading a model or asking a service.

    Raises:
        ConfigurationError: A setting, a policy or a suite's kind is wrong, a package is missing, or this is no place
            to train.
        AuthorError: A suite or the sketch is wrong.
    """
    from genevolve.interpreter.config import load_config

    spec = read_spec(settings.policy.policy)
    data = open_data(settings.data)
    given = load_config() if config is None else config
    specs = specs_of(settings, data, given)
    found = config_of(settings, data, given)
    _check_rows(settings, data)
    check_machine(settings)
    return Prepared(
        settings, spec, data, specs, found, out, make_plan(settings, spec, data, specs, found, out)
    )


def run(
    prepared: Prepared, *, resume: bool = False, agreed: bool = False, listener: Listener | None = None
) -> Compiled:
    """Do what was prepared; see `compile`."""
    if prepared.plan.priced and not agreed:
        reasons = "; ".join(prepared.plan.priced)
        raise ConfigurationError(f"this may cost money: {reasons}. Agree to it with --yes")
    told = listener or Silent()
    with RunFolder(prepared.out, resume=resume) as folder:
        if folder.state.get("phase") == "finished":
            told.phase("all steps were taken before")
            return _outcome(folder, "")
        try:
            with talking_into(folder.path / LOG):
                return _run(prepared, folder, told)
        except KeyboardInterrupt:
            _stopped(folder, "stopped", "interrupted")
            raise
        except (
            Exception
        ) as error:  # whatever it was, the state tells that the run has ended; it is raised again
            told_as = _translated(error, prepared.out)
            _stopped(folder, "failed", str(told_as) or type(error).__name__)
            if told_as is error:
                raise
            raise told_as from error


def _run(prepared: Prepared, folder: RunFolder, told: Listener) -> Compiled:
    settings = prepared.settings
    with ExitStack() as stack:
        told.phase("opening the library, the renderer and the judge")
        programs = folder.path / PROGRAMS
        ground = stack.enter_context(
            Ground(settings, prepared.data, prepared.config, prepared.specs, programs)
        )
        _check_sketch(prepared.data, ground)
        versions = Versions(folder.path)
        if not (versions.path(START) / "version.json").is_file():
            _begin(prepared, folder, ground, versions, told)
        else:
            folder.claim({**prepared.data.identity(), **_judges(ground)})
        checkpoint = _latest(folder)
        folder.restore(checkpoint)
        versions.forget_after(0 if checkpoint is None else checkpoint.step)
        policy = open_trained(versions.path(START), prepared.spec)
        stack.callback(policy.close)
        store = _open_store(settings, folder)
        if store is not None:
            stack.callback(store.close)
        made = _under_way(prepared, folder, ground, policy, store, versions, checkpoint, told)
        if checkpoint is None:
            _measure_start(made)
        if made.done == 0:
            _check_guide(made, prepared)
        return _evolve(prepared, made, checkpoint)


def _begin(prepared: Prepared, folder: RunFolder, ground: Ground, versions: Versions, told: Listener) -> None:
    """Make the weights that evolution starts from; the same each time, so that it may be cut off."""
    settings, spec = prepared.settings, prepared.spec
    told.phase("loading the policy" if not spec.mini else "preparing a mini policy")
    _seed(settings.training.seed)
    base = None if spec.mini else open_base(spec, settings.policy)
    version = "made from nothing" if base is None else base.version
    folder.claim(
        {
            "settings": settings.to_dict(),
            "policy": {"name": spec.text, "version": version},
            **prepared.data.identity(),
            **_judges(ground),
            "libraries": _libraries(),
        }
    )
    cold = wants_cold_start(settings, spec)
    folder.set_state(phase="cold_start", step=0, steps=settings.training.steps, reason="", best=None)
    if cold:
        told.phase("cold start: the teacher shows how, the policy imitates")
    work = folder.path / ".cold_start.part"
    policy, figures = make_start(settings, spec, ground, base, work)
    durable.remove(work)
    if figures:
        durable.write_json(folder.path / COLD_FILE, figures)
    why = "the start: after the cold start" if cold else "the start"
    start = Version(START, 0, None, True, why)
    versions.add(start, lambda part: save_version(policy, policy.model, part))
    policy.close()


def _under_way(
    prepared: Prepared,
    folder: RunFolder,
    ground: Ground,
    policy: LocalPolicy,
    store: ExperienceStore | None,
    versions: Versions,
    checkpoint: Checkpoint | None,
    told: Listener,
) -> Run:
    settings, data = prepared.settings, prepared.data
    facts: Mapping[str, Any] = {} if checkpoint is None else checkpoint.facts
    monitor = Monitor(settings.limits)
    if checkpoint is not None:
        monitor = Monitor.from_dict(settings.limits, facts.get("monitor") or {})
    validation = None
    if data.validation is not None:
        rows = data.validation.rows[: gate_size(settings, data)]
        from genevolve.optimizer.rows import encoder

        makes = ground.evolution(
            policy, encoder(policy), policy.format.ends[0], data.validation, gate_settings(settings)
        )
        validation = Validation(requests_of(rows, data.sketch), about(data.validation), makes)
    return Run(
        folder,
        settings,
        ground,
        policy,
        store,
        monitor,
        versions,
        validation,
        about(data.suite),
        told,
        best=str(facts.get("best", START)),
        gated=int(facts.get("gated", 0)),
        done=0 if checkpoint is None else checkpoint.step,
    )


def _measure_start(made: Run) -> None:
    """What the start earns: what the first candidate is compared with."""
    if made.validation is None:
        return
    versions = made.versions
    records = versions.read_evaluation(START)
    if records is None:
        made.listener.phase("measuring the start on validation")
        records = made.measure()
        versions.write_evaluation(START, records)
    start = replace(versions.get(START), validation=gate.means(records))
    versions.describe(start)
    made.listener.version(start)
    name = "kscore" if made.settings.gate.measure == "score" else "reward"
    made.monitor.validated(0, (start.validation or {})[name])


def _check_guide(made: Run, prepared: Prepared) -> None:
    """Whether advice helps the start: measured once, with chance of its own, before the first step."""
    settings, data, file = prepared.settings, prepared.data, made.folder.path / GUIDE_FILE
    count = settings.cold_start.check_guide
    if data.validation is None or not count or not settings.memory.enabled or file.is_file():
        return
    from genevolve.optimizer.compiling.guidance import check_guides, guide_text_of
    from genevolve.optimizer.rows import encoder
    from genevolve.optimizer.summarisers import close_summariser, open_summariser

    made.listener.phase("measuring whether a guide helps the start")
    policy, numbers = made.policy, gate_settings(settings)
    bounds = bounds_of(settings.rollouts)
    summariser = open_summariser(settings.memory.summariser, prepared.config)
    try:
        with undisturbed():
            found = check_guides(
                made.ground.evolution(
                    policy,
                    encoder(policy),
                    policy.format.ends[0],
                    data.validation,
                    replace(numbers, siblings=settings.rollouts.siblings, bounds=bounds),
                ),
                requests_of(data.validation.rows[:count], data.sketch),
                min_gap=settings.memory.min_gap,
                batch=settings.gate.batch,
                seed=settings.gate.seed,
                summariser=summariser,
            )
    finally:
        close_summariser(summariser)
        policy.refresh()
    durable.write_json(file, found)
    made.listener.phase(guide_text_of(found))


def _evolve(prepared: Prepared, made: Run, checkpoint: Checkpoint | None) -> Compiled:
    from genevolve.optimizer.rows import encoder
    from genevolve.optimizer.summarisers import close_summariser, open_summariser
    from genevolve.optimizer.training import evolve

    settings, data, folder, policy = prepared.settings, prepared.data, made.folder, made.policy
    steps = settings.training.steps
    folder.set_state(phase="evolving", step=made.done, steps=steps, reason="", best=made.best)
    ended = ""
    if made.done < steps:
        made.listener.phase("evolving")
        summariser = open_summariser(settings.memory.summariser, prepared.config)
        try:
            evolution = made.ground.evolution(
                policy,
                encoder(policy),
                policy.format.ends[0],
                data.suite,
                evolution_settings(settings),
                store=made.store,
                context=_context(policy),
                summariser=summariser,
            )
            ended = evolve(
                policy.model,
                policy.tokenizer,
                policy,
                evolution,
                requests_of(data.suite.rows, data.sketch),
                schedule_of(settings),
                distillation_of(settings),
                out=folder.checkpoints,
                on_step=made.on_step,
                on_saved=made.on_saved,
                resume=None if checkpoint is None else checkpoint.path,
            )
        finally:
            close_summariser(summariser)
    if made.validation is None:
        _keep_last(made)
    made.publish()
    folder.set_state(phase="stopped" if ended else "finished", step=made.done, reason=ended, best=made.best)
    return _outcome(folder, ended)


def _keep_last(made: Run) -> None:
    """Without validation the last weights are what users get; it is told that nobody measured them."""
    if made.done == 0 or any(v.step == made.done and v.name != START for v in made.versions.all()):
        return
    last = Version(
        made.versions.next_name(),
        made.done,
        made.best,
        True,
        "the last weights: there is no validation suite",
    )
    with undisturbed():
        made.versions.add(last, lambda part: save_version(made.policy, made.policy.model, part))
    made.best = last.name
    checkpoints = made.folder.complete()
    if checkpoints:
        made.folder.amend(checkpoints[-1], best=made.best)


# ---- parts -------------------------------------------------------------------------------------------


def _open_store(settings: CompileSettings, folder: RunFolder) -> ExperienceStore | None:
    from genevolve.experience_store.store import ExperienceStore

    memory = settings.memory
    if not memory.enabled:
        return None
    return ExperienceStore.open(folder.path / STORE, embedder=memory.embedder, capacity=memory.capacity)


def _latest(folder: RunFolder) -> Checkpoint | None:
    """The latest checkpoint whose files are as they were sealed."""
    for checkpoint in reversed(folder.complete()):
        if folder.intact(checkpoint):
            return checkpoint
    return None


def _check_rows(settings: CompileSettings, data: Data) -> None:
    wanted, there = settings.rollouts.requests, len(data.suite.rows)
    if there < wanted:
        raise AuthorError(
            f"a step has {wanted} requests, but {data.suite.name} has {there}; set rollouts.requests"
        )


def _check_sketch(data: Data, ground: Ground) -> None:
    """A sketch that cannot be filled is told before anything is made."""
    from genevolve.programs.synthesis.growth import Sketch

    if data.sketch is not None:
        for request in requests_of(data.suite.rows[:1], data.sketch):
            Sketch.of(request.sketch, ground.machine.environment(), {})


def _judges(ground: Ground) -> dict[str, str]:
    return {"renderer": ground.renderer_name, "judge": ground.judge_name}


def _libraries() -> dict[str, str]:
    from importlib import metadata

    from genevolve.interpreter.run import version

    return {"genevolve": version(), **{name: metadata.version(name) for name in _LIBRARIES}}


def _context(policy: LocalPolicy) -> int | None:
    config = policy.model.config.get_text_config(decoder=True)
    return getattr(config, "max_position_embeddings", None)


def _seed(seed: int) -> None:
    """All chance of the cold start: it is the same when it begins anew."""
    from transformers import set_seed

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    set_seed(seed)


def _outcome(folder: RunFolder, reason: str) -> Compiled:
    report = _report(folder.path)
    state = folder.state
    return Compiled(
        folder.path,
        folder.path / "policy",
        str(state.get("best") or START),
        int(state.get("step") or 0),
        reason,
        report,
    )


def _report(folder: Path) -> Path | None:
    try:
        from genevolve.optimizer.report import write_report

        found: Path = write_report(folder)
    except (GenevolveError, ImportError):
        return None  # the report can be made later; the policy is there
    return found


def _translated(error: Exception, out: Path) -> Exception:
    """What an operator can put right, as an error that says so; anything else as it is."""
    from genevolve.interpreter.renderers.diffusers.loading import is_out_of_memory

    if isinstance(error, GenevolveError):
        return error
    if is_out_of_memory(error):
        return ServiceError(
            "memory ran out; smaller training.rows_per_pass or rollouts.tokens, training.gradient_checkpointing, "
            "policy.lora_rank or a smaller policy need less. --resume goes on from the last checkpoint"
        )
    if isinstance(error, OSError):
        return StorageError(f"{error.filename or out}: {error.strerror or error}")
    return error


def _stopped(folder: RunFolder, phase: str, reason: str) -> None:
    if folder.identity is not None:
        folder.set_state(phase=phase, reason=reason[:500])


def _flat(settings: CompileSettings) -> dict[str, Any]:
    return {f"{s}.{k}": v for s, values in settings.to_dict().items() for k, v in values.items()}
