"""The settings of a compilation, section by section: each number with its range, its meaning and its default.

The defaults are the preset `paper`, which has METHOD's numbers; `LAPTOP` holds what the preset `laptop` has instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from genevolve.optimizer.mini import MiniSettings

_MINI = MiniSettings()
HUGE = 1_000_000_000
CARDS = ("auto", "full", "compact", "brief")
FORMULAS = ("paper", "release")
TEACHERS = ("live", "ema", "frozen")
NORMALISERS = ("kept", "all")
SCHEDULERS = ("cosine", "linear", "constant", "constant_with_warmup")
REPORTERS = ("trackio", "tensorboard", "wandb")


class Range(NamedTuple):
    """What a setting takes, and what it is for. Numbers lie from `least` (above it, if `beyond`) to `most`."""

    about: str
    least: float = 0
    most: float = HUGE
    beyond: bool = False
    choices: tuple[str, ...] = ()


def _of(
    default: Any,
    about: str,
    *,
    least: float = 0,
    most: float = HUGE,
    beyond: bool = False,
    choices: tuple[str, ...] = (),
) -> Any:
    return field(default=default, metadata={"range": Range(about, least, most, beyond, choices)})


@dataclass(frozen=True)
class PolicySection:
    """`[policy]`: whose weights are trained, and how."""

    policy: str = _of("", '"mini" (made from nothing), "smollm2", or "local:FOLDER-OR-HUB-ID?options"')
    card: str = _of("auto", "language card that it reads; auto: the one it asks for", choices=CARDS)
    train_forced: bool = _of(False, "whether tokens that the grammar left no choice about are trained on too")
    least_allowed: float = _of(
        0.1,
        "share of its probability that a policy gave to what the grammar allows; below it the token counts as forced",
        most=1,
    )
    lora_rank: int = _of(0, "rank of a LoRA adapter; 0 trains all weights", most=1024)
    lora_alpha: int = _of(32, "scale of the adapter", least=1)
    lora_dropout: float = _of(0.0, "dropout in the adapter", most=0.9)
    lora_targets: str = _of("all-linear", "layers with an adapter: names with commas, or all-linear")
    mini_vocabulary: int = _of(_MINI.vocabulary, "tokens of a mini policy", least=300, most=200_000)
    mini_width: int = _of(_MINI.width, "width of its hidden states", least=8, most=8192)
    mini_layers: int = _of(_MINI.layers, "its layers", least=2, most=200)
    mini_heads: int = _of(_MINI.heads, "its attention heads", least=1, most=256)
    mini_key_heads: int = _of(_MINI.key_heads, "its heads of keys and values", least=1, most=256)
    mini_feed: int = _of(_MINI.feed, "width of its feed-forward part", least=8, most=65_536)
    mini_context: int = _of(_MINI.context, "tokens that it reads at most", least=128, most=1_000_000)
    mini_practice: int = _of(
        _MINI.practice,
        "steps of practice in copying, before any text; 0: random weights",
        least=0,
        most=100_000,
    )
    mini_longest: int = _of(
        _MINI.longest, "bytes of one of its tokens, which go over spaces", least=1, most=_MINI.longest
    )


@dataclass(frozen=True)
class DataSection:
    """`[data]`: what is asked for."""

    suite: str = _of("", "requests to learn on: studio:DIR/train, or another suite of `genevolve bench`")
    requests: str = _of("", "the same from a file: a .jsonl with a request a line")
    validation: str = _of("", "suite of the gate; studio:DIR/validation for studio:DIR/train")
    sketch: str = _of("", "a .gprog whose request statement each request replaces; else `request` and `...`")
    limit: int = _of(0, "use the first N requests only; 0: all")


@dataclass(frozen=True)
class RolloutSection:
    """`[rollouts]`: how programs are written to learn from."""

    siblings: int = _of(6, "programs for each request (K)", least=2, most=256)
    requests: int = _of(8, "requests in a step", least=1, most=4096)
    temperature: float = _of(0.7, "of sampling", beyond=True, most=5)
    top_p: float = _of(0.95, "nucleus of sampling", beyond=True, most=1)
    turns: int = _of(11, "turns of a rollout", least=1, most=200)
    calls: int = _of(10, "tool calls of a rollout", most=200)
    turn_tokens: int = _of(1024, "tokens of a turn", least=8, most=1_000_000)
    tokens: int = _of(30_000, "tokens of a rollout", least=8)
    seconds: float = _of(
        0.0, "wall time of a batch of rollouts; 0: no limit (a limit makes runs differ from each other)"
    )


@dataclass(frozen=True)
class RewardSection:
    """`[reward]`: R = (1 - alpha) * picture + alpha * program."""

    renderer: str = _of(
        "", 'who draws: "studio" (its own suites), or any renderer; empty: as `genevolve bench`'
    )
    judge: str = _of("", 'who judges pictures: "inspector", "kscore:MODEL", …; empty: as `genevolve bench`')
    alpha: float = _of(0.5, "weight of the program's sufficiency", most=1)
    formula: str = _of("paper", "how dimensions become a KScore", choices=FORMULAS)
    workers: int = _of(2, "pictures drawn and judged at the same time", least=1, most=256)


@dataclass(frozen=True)
class MemorySection:
    """`[memory]`: the experiences and when they are used."""

    enabled: bool = _of(True, "without memory it is learned by reward alone")
    capacity: int = _of(500, "experiences that are kept", least=1)
    gate: float = _of(0.84, "cosine from which on a stored request counts as near", least=-1, most=1)
    min_gap: float = _of(0.2, "gap of rewards below which a pair teaches nothing", most=1)
    most_pairs: int = _of(8, "experiences of a step at most")
    embedder: str = _of("auto", "model of requests, as library.embedder takes it")
    summariser: str = _of(
        "embedded",
        'who words what a pair teaches: "embedded", or "dspy:POLICY" (a policy or a model with a key)',
    )


@dataclass(frozen=True)
class TrainingSection:
    """`[training]`: the optimizer."""

    steps: int = _of(200, "steps", least=1)
    learning_rate: float = _of(1e-6, "learning rate", beyond=True, most=1)
    scheduler: str = _of("cosine", "schedule of the learning rate", choices=SCHEDULERS)
    warmup: float = _of(0.0, "share of the steps in which it rises", most=1)
    rows_per_pass: int = _of(0, "rollouts of one forward and backward pass; 0: all of a step")
    max_grad_norm: float = _of(1.0, "norm at which gradients are cut", beyond=True)
    epsilon_low: float = _of(0.2, "clip of the ratio below", beyond=True, most=1)
    epsilon_high: float = _of(0.28, "clip of the ratio above", beyond=True)
    bf16: bool = _of(False, "compute in bfloat16")
    gradient_checkpointing: bool = _of(False, "compute layers twice instead of keeping them")
    save_every: int = _of(10, "steps between checkpoints, from which a killed run goes on", least=1)
    seed: int = _of(0, "of everything that is drawn")
    report_to: tuple[str, ...] = _of(
        (), "trackio, tensorboard or wandb, besides the run's own files", choices=REPORTERS
    )


@dataclass(frozen=True)
class DistillationSection:
    """`[distillation]`: L = L_GRPO + weight * SDL."""

    weight: float = _of(2.0, "weight of the distillation loss; 0: GRPO alone")
    teacher: str = _of("ema", "whose weights read the advice", choices=TEACHERS)
    ema_rate: float = _of(0.05, "how far an averaged teacher follows in a step", most=1)
    kl_weight: float = _of(1e-3, "weight of the divergence from the start")
    keep: float = _of(0.1, "share of a rollout's tokens that is distilled", beyond=True, most=1)
    clamp: float = _of(10.0, "bound of the difference of log-probabilities", beyond=True)
    max_ratio: float = _of(2.0, "bound of the importance ratio", beyond=True)
    max_token: float = _of(10.0, "bound of one token's loss", beyond=True)
    attach_ratio: bool = _of(False, "whether the ratio carries gradient")
    normaliser: str = _of("kept", "what a row's sum is divided by", choices=NORMALISERS)
    share_prefixes: bool = _of(True, "compute common beginnings once")
    recompute_rows: int = _of(0, "rows whose activations are kept at a time; 0: all")


@dataclass(frozen=True)
class ColdStartSection:
    """`[cold_start]`: imitation before evolution."""

    enabled: str = _of("auto", "auto: for mini alone", choices=("auto", "yes", "no"))
    teacher: str = _of("", "policy that shows how; empty: the oracle of a studio suite, which makes mistakes")
    requests: int = _of(400, "requests that it shows; 0: all", most=1_000_000)
    siblings: int = _of(4, "attempts at each request; best and worst give the guide", least=1, most=256)
    plain: int = _of(1, "attempts of a request to imitate without a guide", most=256)
    renamed: int = _of(
        0,
        "times that each of them is told again with other names, which teaches small policies to copy",
        most=1000,
    )
    epochs: float = _of(2.0, "passes over them", beyond=True, most=10_000)
    batch: int = _of(32, "trajectories of a step", least=1, most=65_536)
    learning_rate: float = _of(1e-5, "learning rate", beyond=True, most=1)
    warmup: float = _of(0.02, "share of the steps in which it rises", most=1)
    rows_per_pass: int = _of(0, "examples of one forward and backward pass; 0: all of a batch")
    longest: int = _of(4096, "tokens of an example; longer ones are left out", least=8)
    check_guide: int = _of(
        50, "validation requests on which it is measured whether a guide helps the start; 0: not measured"
    )


@dataclass(frozen=True)
class GateSection:
    """`[gate]`: when new weights replace the best ones."""

    every: int = _of(20, "steps between evaluations, rounded up to a checkpoint; 0: only at the end")
    requests: int = _of(100, "requests of the validation suite; 0: all of them")
    margin: float = _of(
        0.0, "the lower end of the 95 % interval of the mean difference must lie above this", least=-1, most=1
    )
    measure: str = _of(
        "score", "what is compared: score (KScore of the picture) or reward (R)", choices=("score", "reward")
    )
    temperature: float = _of(0.7, "of sampling in evaluations; 0: the likeliest tokens", most=5)
    seed: int = _of(1_000_003, "of the evaluations' rollouts")
    batch: int = _of(16, "requests shown to the policy together", least=1, most=4096)


@dataclass(frozen=True)
class LimitsSection:
    """`[limits]`: what ends a run before its last step; 0 switches a limit off."""

    hours: float = _of(0.0, "wall time, all sessions together")
    rollouts: int = _of(0, "rollouts")
    tokens: int = _of(0, "tokens that the policy writes", most=10**15)
    money: float = _of(0.0, "money for priced tools, pictures and judgements, by the prices of the settings")
    patience: int = _of(0, "steps without a better validation and without a better moving reward")
    window: int = _of(10, "steps of the moving reward", least=1, most=100_000)
    kl: float = _of(
        4.0, "divergence from the start, per token: a mean over the window above it is a collapse"
    )
    collapse: float = _of(
        0.5, "share of the first window's reward: a moving reward below it is a collapse", most=1
    )
    entropy: float = _of(0.001, "entropy, per token: a mean over the window below it is a collapse")


@dataclass(frozen=True)
class OutputSection:
    """`[output]`: what the run folder keeps."""

    pictures: bool = _of(True, "whether the best and the worst picture of each request are kept")
    checkpoints: int = _of(2, "checkpoints that are kept", least=1, most=10_000)
    licence: str = _of("", "licence of the base's weights, for the model card")


LAPTOP: Mapping[str, Any] = MappingProxyType(
    {
        "policy.policy": "mini",
        "rollouts.requests": 4,
        "rollouts.turn_tokens": 320,
        "rollouts.tokens": 800,
        "training.steps": 30,
        "training.learning_rate": 3e-4,
        "training.save_every": 5,
        "cold_start.requests": 1200,
        "cold_start.plain": 2,
        "cold_start.renamed": 7,
        "cold_start.epochs": 1.0,
        "cold_start.batch": 8,
        "cold_start.learning_rate": 6e-4,
        "cold_start.check_guide": 24,
        "gate.every": 10,
        "gate.requests": 48,
    }
)
"""What `laptop` has instead of the paper's numbers: a mini policy, and steps that take seconds on two cores."""
