"""Scoring with shared beginnings equals a plain forward pass over each row."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from genevolve.optimizer.scoring import score_completions

WORDS = 97


def model(kind: str) -> Any:
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        Qwen3Config,
        Qwen3ForCausalLM,
    )

    torch.manual_seed(0)
    small = {
        "vocab_size": WORDS,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    if kind == "llama":
        return LlamaForCausalLM(LlamaConfig(**small)).eval()
    if kind == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**small, head_dim=8, tie_word_embeddings=True)).eval()
    words = {"bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(vocab_size=WORDS, n_embd=32, n_layer=2, n_head=4, **words)).eval()


def batch(side: str, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two groups of three siblings with a common system message; one row with nothing to score."""
    g = torch.Generator().manual_seed(seed)
    rows, width, length = 6, 44, 12
    system = torch.randint(1, WORDS, (20,), generator=g)
    own = [torch.randint(1, WORDS, (10 + 9 * i,), generator=g) for i in range(2)]
    ids, mask = torch.zeros(rows, width, dtype=torch.long), torch.zeros(rows, width, dtype=torch.long)
    for i in range(rows):
        prompt = torch.cat([system, own[i % 2]])
        place = slice(width - len(prompt), None) if side == "left" else slice(0, len(prompt))
        ids[i, place], mask[i, place] = prompt, 1
    completions = torch.randint(1, WORDS, (rows, length), generator=g)
    scored = (torch.rand(rows, length, generator=g) > 0.4).long()
    scored[2] = 0
    scored[3, 0] = 1
    return ids, mask, completions, scored


def plain(
    m: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    completions: torch.Tensor,
    scored: torch.Tensor,
    temperature: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    values, entropies = [], []
    for i in range(len(ids)):
        row = torch.cat([ids[i][mask[i].bool()], completions[i]])
        log = (m(row[None]).logits[0, :-1] / temperature).log_softmax(-1)
        values.append(log.gather(1, row[1:, None])[-completions.shape[1] :, 0] * scored[i])
        entropies.append(-(log.exp() * log).sum(-1)[-completions.shape[1] :] * scored[i])
    return torch.stack(values), torch.stack(entropies)


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("share", "again"), [(True, 0), (True, 2), (False, 0)])
def test_values_and_gradients_equal_a_plain_pass(kind: str, side: str, share: bool, again: int) -> None:
    m = model(kind)
    ids, mask, completions, scored = batch(side)
    weights = torch.randn(completions.shape, generator=torch.Generator().manual_seed(5))
    wanted, entropies = plain(m, ids, mask, completions, scored, 0.7)
    wanted_grads = torch.autograd.grad((wanted * weights).sum(), list(m.parameters()))
    found = score_completions(
        m, ids, mask, completions, scored, temperature=0.7, share=share, recompute_rows=again
    )
    torch.testing.assert_close(found.log_probs, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.entropies, entropies.detach(), rtol=1e-5, atol=1e-5)
    assert not found.entropies.requires_grad
    grads = torch.autograd.grad((found.log_probs * weights).sum(), list(m.parameters()))
    for a, b in zip(grads, wanted_grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max() + 1))


def test_shared_beginnings_are_run_once() -> None:
    m = model("llama")
    ids, mask, completions, scored = batch("left")
    seen: list[tuple[int, int]] = []
    m.base_model.register_forward_pre_hook(
        lambda _m, _a, kw: seen.append(tuple(kw["input_ids"].shape)), with_kwargs=True
    )
    score_completions(m, ids, mask, completions, scored)
    tokens = sum(rows * length for rows, length in seen)
    seen.clear()
    score_completions(m, ids, mask, completions, scored, share=False)
    assert tokens < 0.5 * sum(rows * length for rows, length in seen)


def test_nothing_to_score_runs_nothing() -> None:
    ids, mask, completions, scored = batch("left")
    found = score_completions(None, ids, mask, completions, scored * 0)
    assert not found.log_probs.any()


def test_a_completion_without_a_prompt_is_refused() -> None:
    ids, mask, completions, scored = batch("left")
    mask[0], scored[0, 0] = 0, 1
    with pytest.raises(ValueError, match="without a prompt"):
        score_completions(model("llama"), ids, mask, completions, scored)


def test_logits_of_models_that_cap_or_scale_them() -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=WORDS,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        final_logit_softcapping=3.0,
        attn_implementation="eager",
    )
    m = Gemma2ForCausalLM(config).eval()
    ids, mask, completions, scored = batch("left")
    wanted, _ = plain(m, ids, mask, completions, scored, 1.0)
    found = score_completions(m, ids, mask, completions, scored).log_probs
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
