"""What a compilation will do and what it costs, told before it begins.

All numbers of work are bounds: `steps × requests × siblings` rollouts, each with so many tokens and calls at most. How
long it takes is not known before a step was made; `measure` makes a few rollouts with the policy as it is to find out.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.optimizer.compiling.checks import notes
from genevolve.optimizer.compiling.data import Data, requests_of
from genevolve.optimizer.compiling.start import Spec, wants_cold_start

if TYPE_CHECKING:
    from genevolve.interpreter.config import Config
    from genevolve.optimizer.compiling.ground import Ground, Specs
    from genevolve.optimizer.compiling.settings import CompileSettings
    from genevolve.programs.policies.local.policy import LocalPolicy

_MEASURED = 2
"""Requests that `measure` rolls out on."""
_FLOAT = 4
_CHARGED_RENDERERS = ("gemini", "openai")
_CHARGED_JUDGES = ("kscore", "wise")
_CHARGED_SEARCHES = ("serper",)
_CHARGED_POLICIES = ("endpoint", "released")


@dataclass(frozen=True)
class Work:
    """How much of everything there is at most; None is unknown."""

    steps: int
    rollouts: int
    gate_rollouts: int
    teacher_rollouts: int
    tokens: int
    calls: int
    pictures: int
    judgements: int
    parameters: int | None
    memory_bytes: int | None
    disk_bytes: int | None
    money: float | None


@dataclass(frozen=True)
class Plan:
    """What is compiled from what, the work, and which services may ask for money.

    Attributes:
        facts: Names of everything that takes part, in the order they are told.
        work: The bounds.
        priced: What may cost money, and why; a run with any of it has to be agreed to.
        seconds: How long the rollouts of a step take, when it was measured.
    """

    facts: tuple[tuple[str, str], ...]
    work: Work
    priced: tuple[str, ...]
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON data."""
        from dataclasses import asdict

        return {
            "facts": dict(self.facts),
            "work": asdict(self.work),
            "priced": list(self.priced),
            "seconds_of_rollouts": self.seconds,
        }

    def to_text(self) -> str:
        """As lines to read."""
        w = self.work
        rows = [*self.facts, ("steps", f"{w.steps:,}")]
        rows.append(
            ("rollouts", f"{w.rollouts:,} to learn from, {w.gate_rollouts:,} to measure on validation")
        )
        if w.teacher_rollouts:
            rows.append(("cold start", f"{w.teacher_rollouts:,} rollouts of the teacher, then imitation"))
        rows += [
            ("at most", f"{w.tokens:,} tokens, {w.calls:,} tool calls"),
            ("pictures", f"{w.pictures:,} drawn and judged at most"),
            ("memory", "unknown" if w.memory_bytes is None else f"about {_size(w.memory_bytes)} for weights, "
             "gradients, optimizer and teacher, without activations"),
            ("disk", "unknown" if w.disk_bytes is None else f"about {_size(w.disk_bytes)}"),
        ]  # fmt: skip
        rows.append(("time", self._time()))
        if self.priced:
            money = (
                "unknown: no prices are set" if not w.money else f"{w.money:,.2f} at most, by the prices set"
            )
            rows += [("money", money), *(("", reason) for reason in self.priced)]
        else:
            rows.append(("money", "nothing: all of it runs on this machine"))
        return "\n".join(f"{name:<12}{value}" for name, value in rows)

    def _time(self) -> str:
        if self.seconds is None:
            return "unknown before the first step; --probe measures rollouts"
        hours = self.seconds * self.work.steps / 3600
        told = f"rollouts of a step: {self.seconds:.1f} s, so about {hours:.2f} h in all"
        return f"{told}; training and gates come on top"


def make_plan(
    settings: CompileSettings, spec: Spec, data: Data, specs: Specs, config: Config, out: Path
) -> Plan:
    """The plan of settings; opens no model and asks no service."""
    priced = priced_services(settings, specs, config)
    work = _work(settings, spec, data, config)
    validation = "none: every run ends with its last weights, accepted by nobody"
    if data.validation is not None:
        count = gate_size(settings, data)
        validation = f"{data.validation.name}, {count} of {len(data.validation.rows)} requests"
    teacher = settings.distillation.teacher if settings.distillation.weight else "none: GRPO alone"
    facts = (
        ("policy", f"{spec.text}{_trained(settings)}"),
        ("requests", f"{data.suite.name}, {len(data.suite.rows)} usable, {len(data.skipped)} not"),
        ("validation", validation),
        *((("sketch", data.sketch.name),) if data.sketch is not None else ()),
        ("renderer", f"{specs.renderer}, judge {specs.judge}, {specs.workers} at a time"),
        ("teacher", f"{teacher}, weight {settings.distillation.weight:g}"),
        ("memory of", f"{settings.memory.capacity} experiences" if settings.memory.enabled else "none"),
        ("out", str(out)),
        *notes(settings),
    )
    return Plan(facts, work, priced)


def gate_size(settings: CompileSettings, data: Data) -> int:
    """How many requests a gate has."""
    if data.validation is None:
        return 0
    rows = len(data.validation.rows)
    return min(rows, settings.gate.requests) if settings.gate.requests else rows


def gates(settings: CompileSettings) -> int:
    """How many evaluations there are at most, that of the start included."""
    steps, every = settings.training.steps, settings.gate.every
    return 2 + (steps - 1) // every if every else 2


def guide_rollouts(settings: CompileSettings, data: Data) -> int:
    """How many rollouts tell whether a guide helps the start, at most."""
    if data.validation is None or not settings.memory.enabled:
        return 0
    return 2 * settings.rollouts.siblings * min(len(data.validation.rows), settings.cold_start.check_guide)


def priced_services(settings: CompileSettings, specs: Specs, config: Config) -> tuple[str, ...]:
    """What may cost money."""
    found = []
    if (name := _name(specs.renderer)) in _CHARGED_RENDERERS:
        found.append(f"the renderer {name} is a service that charges for pictures")
    if (name := _name(specs.judge)) in _CHARGED_JUDGES:
        found.append(f"the judge {name} asks a model behind an API")
    asked = (*config.search.backends, *config.search.image_backends)
    if config.search.replay is None:
        found += [f"the searches ask {name}" for name in _CHARGED_SEARCHES if name in asked]
    if settings.memory.summariser.startswith("dspy:"):
        found.append(f"the summariser {settings.memory.summariser} asks a model")
    teacher = _name(settings.cold_start.teacher)
    if settings.cold_start.enabled != "no" and teacher in _CHARGED_POLICIES:
        found.append(f"the teacher of the cold start, {teacher}, is a model behind an API")
    found += [
        f"{name} has a price of {price:g}" for name, price in sorted(config.prices.items()) if price > 0
    ]
    return tuple(found)


def measure(ground: Ground, policy: LocalPolicy, settings: CompileSettings) -> float:
    """Seconds that the rollouts of a step take, with pictures and judgements, from a few of them.

    Requests are rolled out together in a run, which is faster than what a few of them show.
    """
    from genevolve.optimizer.compiling.loop import evolution_settings
    from genevolve.optimizer.rows import encoder

    requests = requests_of(ground.data.suite.rows[:_MEASURED], ground.data.sketch)
    evolution = ground.evolution(
        policy, encoder(policy), policy.format.ends[0], ground.data.suite, evolution_settings(settings)
    )
    began = time.monotonic()
    evolution.step(requests, 0)
    policy.refresh()
    return (time.monotonic() - began) * settings.rollouts.requests / len(requests)


# ---- parts -------------------------------------------------------------------------------------------


def _work(settings: CompileSettings, spec: Spec, data: Data, config: Config) -> Work:
    training, rollouts, section = settings.training, settings.rollouts, settings.cold_start
    learned = training.steps * rollouts.requests * rollouts.siblings
    gate = gates(settings) * gate_size(settings, data) + guide_rollouts(settings, data)
    teacher = 0
    if wants_cold_start(settings, spec):
        rows = len(data.suite.rows)
        teacher = (min(rows, section.requests) if section.requests else rows) * section.siblings
    every = learned + gate
    money = None
    if config.prices:
        tools = max((p for n, p in config.prices.items() if n != "renderer"), default=0.0)
        money = (every + teacher) * (rollouts.calls * tools + config.prices.get("renderer", 0.0))
    parameters = _parameters(settings, spec)
    memory, disk = _bytes(settings, parameters, data)
    return Work(
        steps=training.steps,
        rollouts=learned,
        gate_rollouts=gate,
        teacher_rollouts=teacher,
        tokens=every * min(rollouts.tokens, rollouts.turns * rollouts.turn_tokens),
        calls=(every + teacher) * rollouts.calls,
        pictures=every + teacher,
        judgements=every + teacher,
        parameters=parameters,
        memory_bytes=memory,
        disk_bytes=disk,
        money=money,
    )


def _parameters(settings: CompileSettings, spec: Spec) -> int | None:
    """How many weights a policy has: computed for a mini one, read off the files of one that lies here."""
    part = settings.policy
    if spec.mini:
        key = part.mini_width // part.mini_heads * part.mini_key_heads
        attention = 2 * part.mini_width * (part.mini_width + key)
        biases = 2 * (part.mini_width + key) if part.mini_practice else 0
        block = attention + biases + 3 * part.mini_width * part.mini_feed + 2 * part.mini_width
        return part.mini_vocabulary * part.mini_width + part.mini_layers * block + part.mini_width
    if spec.location == "smollm2":
        return 134_515_008
    folder = Path(spec.location.removeprefix("local:")).expanduser()
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files or (folder / "adapter_config.json").is_file():
        return None
    return sum(_tensors(file) for file in files)


def _tensors(file: Path) -> int:
    """How many numbers a safetensors file holds, by its head."""
    import json
    import math

    with file.open("rb") as stream:
        head = stream.read(min(int.from_bytes(stream.read(8), "little"), 100_000_000))
    try:
        entries = json.loads(head)
        return sum(math.prod(e["shape"]) for n, e in entries.items() if n != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return 0  # a damaged file is told when it is loaded


def _bytes(settings: CompileSettings, parameters: int | None, data: Data) -> tuple[int | None, int | None]:
    if parameters is None:
        return None, None
    weights = parameters * _FLOAT
    averaged = bool(settings.distillation.weight) and settings.distillation.teacher != "live"
    trained = weights if not settings.policy.lora_rank else weights // 50
    reference = weights if settings.distillation.kl_weight and not settings.policy.lora_rank else 0
    memory = weights + 3 * trained + reference + (trained if averaged else 0)
    checkpoint = 3 * trained + (trained if averaged else 0)
    versions = gates(settings) if data.validation is not None else 2
    return memory, checkpoint * (settings.output.checkpoints + 1) + (versions + 1) * trained


def _trained(settings: CompileSettings) -> str:
    rank = settings.policy.lora_rank
    return f", a LoRA adapter of rank {rank}" if rank else ", all weights"


def _name(spec: str) -> str:
    return spec.replace("?", ":").partition(":")[0].strip()


def _size(count: int) -> str:
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
