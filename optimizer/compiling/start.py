"""The weights that evolution starts from: a model that is loaded or made from nothing, after its cold start.

The result lies in `versions/v000`, and every session of a run loads it from there: what is trained is the same whether
the run was interrupted or not. A cold start that was cut off begins anew and, seeded, comes out the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from genevolve.grammar.errors import AuthorError, ConfigurationError
from genevolve.optimizer.compiling.ground import Ground, bounds_of
from genevolve.programs.policies.local.options import LocalOptions

if TYPE_CHECKING:
    from genevolve.optimizer.compiling.sections import PolicySection
    from genevolve.optimizer.compiling.settings import CompileSettings
    from genevolve.optimizer.evolution import Group
    from genevolve.programs.policies.language_card import Size
    from genevolve.programs.policies.local.policy import LocalPolicy
    from genevolve.programs.policies.protocol import Message

MINI = "mini"
MISTAKES = "ask=true&wrong_query=0.3&skipped_skill=0.4&wrong_image=0.35&vague_layout=0.3&missing_count=0.3"
"""How the oracle errs when it shows how: attempts must differ, or there is no guide to learn to follow."""
_ELSEWHERE = re.compile(r"(endpoint|released|scripted|oracle)(:|$)")
_NOT_KEPT = ("adapter", "base", "pickle")


@dataclass(frozen=True)
class Spec:
    """A policy that can be trained: where it lies, and the options that it was named with."""

    text: str
    location: str
    options: dict[str, str]

    @property
    def mini(self) -> bool:
        """Whether it is made from nothing."""
        return self.location == MINI


def read_spec(text: str) -> Spec:
    """The policy that the settings name.

    Raises:
        ConfigurationError: It is none, or one whose weights are not here to be trained.
    """
    if not text.strip():
        raise ConfigurationError("what is trained? --policy mini, smollm2, or local:FOLDER")
    location, _, query = text.strip().partition("?")
    if _ELSEWHERE.match(location):
        raise ConfigurationError(
            f"{text} cannot be trained: its weights are not on this machine. Policies that can are mini, smollm2, "
            "local:FOLDER, local:FILE.gguf, local:HUB-ID, and folders with an adapter"
        )
    if location not in (MINI, "smollm2") and not location.startswith("local:"):
        hint = f"; a model on this disk is written local:{location}" if Path(location).exists() else ""
        raise ConfigurationError(f"there is no policy {text!r} to train: mini, smollm2 or local:MODEL{hint}")
    options = dict(parse_qsl(query, keep_blank_values=True))
    LocalOptions().merged(options)  # tells what is wrong with them
    return Spec(text.strip(), location, options)


def open_trained(folder: Path, spec: Spec) -> LocalPolicy:
    """A version as a policy whose weights can be trained: float32 unless its spec says otherwise.

    Raises:
        ConfigurationError: It cannot be loaded.
    """
    from genevolve.programs.policies.local.policy import LocalPolicy

    kept: dict[str, object] = {k: v for k, v in spec.options.items() if k not in _NOT_KEPT}
    policy = LocalPolicy.open(str(folder), name=spec.text, **({"dtype": "float32"} | kept))
    _trainable(policy.model)
    return policy


def open_base(spec: Spec, section: PolicySection) -> LocalPolicy:
    """The model that the settings name, with a new adapter if they want one; not for `mini`.

    Raises:
        ConfigurationError: It cannot be loaded, shows pictures as pixels, or takes no adapter.
    """
    from genevolve.programs.policies.local.policy import LocalPolicy

    given: dict[str, object] = {**({"dtype": "float32"} | spec.options)}
    if section.card != "auto":
        given["card"] = section.card
    policy = LocalPolicy.open(spec.location, name=spec.text, **given)
    if policy.takes_images:
        raise ConfigurationError(
            f"{spec.text} reads pictures as pixels; such policies cannot be trained here yet"
        )
    if section.lora_rank:
        policy = _with_adapter(policy, spec, section)
    _trainable(policy.model)
    return policy


def save_version(policy: LocalPolicy, model: Any, folder: Path) -> None:
    """Write a model as a policy's folder: weights or adapter, tokenizer, and the card that it reads."""
    from genevolve.optimizer.mini import save_policy

    save_policy(model, policy.tokenizer, folder, card=policy.card)


# ---- a cold start ------------------------------------------------------------------------------------


def wants_cold_start(settings: CompileSettings, spec: Spec) -> bool:
    """Whether imitation comes before evolution."""
    choice = settings.cold_start.enabled
    return spec.mini if choice == "auto" else choice == "yes"


def make_start(
    settings: CompileSettings, spec: Spec, ground: Ground, base: LocalPolicy | None, work: Path
) -> tuple[LocalPolicy, dict[str, float]]:
    """The policy that evolution starts from, and the figures of its cold start.

    Args:
        settings: Of the run.
        spec: Of the policy.
        ground: Where the teacher's programs run.
        base: The loaded policy; None for `mini`.
        work: A folder for the trainer's own files.

    Raises:
        ConfigurationError: There is nobody who could show how.
        AuthorError: What was shown is no use.
    """
    if not wants_cold_start(settings, spec):
        if base is None:
            raise ConfigurationError(
                "a mini policy knows nothing before its cold start; cold_start.enabled = no"
            )
        return base, {}
    card = _card(settings, base)
    groups = shown_by_teacher(settings, ground)
    dialogues = _dialogues(settings, ground, groups, card)
    policy = base if base is not None else _mini(settings, spec, [m for m, _ in dialogues], card)
    return policy, _imitate(settings, policy, dialogues, work)


def shown_by_teacher(settings: CompileSettings, ground: Ground) -> list[Group]:
    """What the teacher does about the requests, scored: a group of attempts for each.

    Raises:
        ConfigurationError: The suite has no oracle, and the settings name no teacher.
    """
    from genevolve.optimizer.compiling.data import requests_of
    from genevolve.optimizer.evaluation.baselines import open_contestant
    from genevolve.optimizer.evolution import Settings

    section, suite = settings.cold_start, ground.data.suite
    rows = suite.rows[: section.requests] if section.requests else suite.rows
    teacher = open_contestant(_teacher(settings, ground), ground.config)
    try:
        numbers = Settings(
            siblings=section.siblings,
            alpha=settings.reward.alpha,
            formula=settings.reward.formula,  # type: ignore[arg-type]  # the settings have checked it
            seed=settings.training.seed,
            bounds=replace(bounds_of(settings.rollouts), tokens=None),
        )
        # A teacher that records no tokens needs no encoder: its rows are never trained on.
        evolution = ground.evolution(teacher, lambda _: (0,), 0, suite, numbers)
        requests = requests_of(rows, ground.data.sketch)
        size = settings.gate.batch
        return [
            group
            for start in range(0, len(requests), size)
            for group in evolution.step(requests[start : start + size], 0).groups
        ]
    finally:
        teacher.close()


def _teacher(settings: CompileSettings, ground: Ground) -> str:
    if settings.cold_start.teacher:
        return settings.cold_start.teacher
    suite = ground.data.suite
    if suite.kind != "studio" or suite.folder is None:
        raise ConfigurationError(
            "who shows how? cold_start.teacher names a policy; only studio suites have an oracle of their own"
        )
    return f"oracle:{suite.folder}?{MISTAKES}"


def _card(settings: CompileSettings, base: LocalPolicy | None) -> Size:
    chosen = settings.policy.card
    if chosen != "auto":
        return chosen  # type: ignore[return-value]  # the settings have checked it
    return "brief" if base is None else base.card


def _dialogues(
    settings: CompileSettings, ground: Ground, groups: Sequence[Group], card: Size
) -> list[tuple[tuple[Message, ...], bool]]:
    from genevolve.optimizer.coldstart import dialogues_of
    from genevolve.optimizer.summarisers import close_summariser, open_summariser

    environment = ground.machine.environment()
    calls = min(environment.max_calls, settings.rollouts.calls)
    section = settings.cold_start
    summariser = open_summariser(settings.memory.summariser, ground.config)
    try:
        found = dialogues_of(
            groups,
            replace(environment, max_calls=calls),
            card,
            min_gap=settings.memory.min_gap,
            plain=section.plain,
            summariser=summariser,
            seed=settings.training.seed,
        )
    finally:
        close_summariser(summariser)
    if not found:
        raise AuthorError("the teacher filled no sketch; nothing can be imitated")
    return found


def _mini(
    settings: CompileSettings, spec: Spec, dialogues: Sequence[tuple[Message, ...]], card: Size
) -> LocalPolicy:
    from genevolve.optimizer.mini import MiniSettings, make_mini
    from genevolve.optimizer.renaming import names_of
    from genevolve.programs.policies.local.policy import LocalPolicy

    part = settings.policy
    sizes = MiniSettings(
        part.mini_vocabulary,
        part.mini_width,
        part.mini_layers,
        part.mini_heads,
        part.mini_key_heads,
        part.mini_feed,
        part.mini_context,
        part.mini_practice,
        part.mini_longest,
    )
    texts = [message.text for messages in dialogues for message in messages]
    alone = names_of(dialogues).things
    model, tokenizer = make_mini(texts, sizes, seed=settings.training.seed, alone=alone)
    options = LocalOptions().merged({"card": card, **spec.options})
    return LocalPolicy(model, tokenizer, name=spec.text, options=options)


def _imitate(
    settings: CompileSettings,
    policy: LocalPolicy,
    dialogues: Sequence[tuple[tuple[Message, ...], bool]],
    work: Path,
) -> dict[str, float]:
    from genevolve.optimizer.coldstart import ColdStart, cold_start, tokens_of
    from genevolve.optimizer.renaming import retold

    section = settings.cold_start
    numbers = ColdStart(
        epochs=section.epochs,
        batch=section.batch,
        rows_per_pass=section.rows_per_pass,
        learning_rate=section.learning_rate,
        warmup=section.warmup,
        longest=section.longest,
        seed=settings.training.seed,
        bf16=settings.training.bf16,
    )
    told = retold(dialogues, section.renamed, settings.training.seed)
    examples = [tokens_of(messages, policy.format, guided=guided) for messages, guided in told]
    figures = dict(cold_start(policy.model, policy.tokenizer, examples, numbers, work))
    policy.refresh()
    return figures


# ---- adapters ----------------------------------------------------------------------------------------


def _with_adapter(policy: LocalPolicy, spec: Spec, section: PolicySection) -> LocalPolicy:
    """The same policy with a new LoRA adapter on it, whose start is drawn by a fixed seed."""
    import torch
    from peft import LoraConfig, get_peft_model

    from genevolve.programs.policies.local.policy import LocalPolicy

    if hasattr(policy.model, "peft_config"):
        raise ConfigurationError(
            f"{spec.text} has an adapter already, which is trained on; set policy.lora_rank = 0"
        )
    targets: str | list[str] = section.lora_targets
    if targets != "all-linear":
        targets = [name.strip() for name in section.lora_targets.split(",") if name.strip()]
    policy.model.name_or_path = _base_name(spec)
    state = torch.get_rng_state()
    try:
        torch.manual_seed(0)
        config = LoraConfig(
            r=section.lora_rank,
            lora_alpha=section.lora_alpha,
            lora_dropout=section.lora_dropout,
            target_modules=targets,
            task_type="CAUSAL_LM",
        )
        model = get_peft_model(policy.model, config)
    except ValueError as error:
        raise ConfigurationError(f"policy.lora_targets: {error}") from error
    finally:
        torch.set_rng_state(state)
    return LocalPolicy(model, policy.tokenizer, name=spec.text, options=policy.options)


def _base_name(spec: Spec) -> str:
    """What an adapter's folder calls the model under it, so that it is found again."""
    if spec.location == "smollm2":
        from genevolve.programs.policies.catalog import smollm2_file

        return str(smollm2_file())
    name = spec.location.removeprefix("local:")
    path = Path(name).expanduser()
    return os.fspath(path.absolute()) if path.exists() else name


def _trainable(model: Any) -> None:
    """Adapters are loaded frozen."""
    if not hasattr(model, "peft_config"):
        return
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.requires_grad_(True)
