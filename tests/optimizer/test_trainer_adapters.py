"""The trainer with LoRA adapters, and places where it refuses to train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from genevolve.grammar.errors import ConfigurationError
from genevolve.optimizer.training import Schedule, evolve

pytestmark = pytest.mark.filterwarnings("default")  # TRL and transformers warn about their own defaults
WORDS = 32


def adapted() -> Any:
    """A tiny model with an adapter that is no longer what it began as."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    model = get_peft_model(
        LlamaForCausalLM(shape), LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 0.5)
    return model


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(WORDS)}, unk_token="w0"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w1")


def rollouts(prompts: list[Any], trainer: Any) -> dict[str, Any]:
    count = len(prompts)
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(2, WORDS, (count, 6), generator=draw).tolist()
    return {
        "prompt_ids": [list(range(2, 14))] * count,
        "completion_ids": ids,
        "logprobs": [[-1.0] * 6] * count,
        "env_mask": [[1] * 6] * count,
        "reward": [float(i % 3) for i in range(count)],
        "teacher_prompt_ids": [list(range(4, 18))] * count,
        "train_row": [1] * count,
    }


def test_the_divergence_of_an_adapter_is_from_its_start(tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import GRPOConfig

    from genevolve.optimizer.trainer import Distillation, VEDTrainer, precomputed_reward

    settings = GRPOConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=6,
        num_generations=3,
        max_steps=3,
        learning_rate=0.05,
        beta=0.0,
        loss_type="luspo",
        use_bias_correction_kl=False,
        bf16=False,
        gradient_checkpointing=False,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        logging_steps=1,
        disable_tqdm=True,
    )
    model = adapted()
    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    trainer = VEDTrainer(
        model=model,
        args=settings,
        distillation=Distillation(kl_weight=0.01),
        reward_funcs=[precomputed_reward],
        train_dataset=Dataset.from_list([{"prompt": "w2"}] * 12),
        processing_class=tokenizer(),
        rollout_func=rollouts,
    )
    trainer.train()
    divergences = [entry["kl"] for entry in trainer.state.log_history if "kl" in entry]
    assert divergences[0] == pytest.approx(0.0, abs=1e-6), "nothing has moved before the first update"
    assert divergences[-1] > 1e-4
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, start[n])}
    assert moved
    assert all("lora_" in name for name in moved)


@pytest.mark.parametrize(("kind", "gpus"), [("FSDP", 1), ("DEEPSPEED", 1), ("NO", 8)])
def test_places_where_weights_or_batches_are_split_are_refused(kind: str, gpus: int) -> None:
    from genevolve.optimizer.trainer import check_place

    check_place("NO", 0)
    check_place("NO", 1)
    with pytest.raises(ConfigurationError, match=r"docs/scale\.md"):
        check_place(kind, gpus)


def test_one_of_several_processes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    nothing: Any = None
    with pytest.raises(ConfigurationError, match="one of 8 processes"):
        evolve(nothing, nothing, nothing, nothing, [], Schedule(), nothing, out=tmp_path)
