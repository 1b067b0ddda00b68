"""Models that can look back: what the built weights do at once, and what practice makes of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from genevolve.grammar.errors import AuthorError
from genevolve.optimizer.looking_back import Practice, look_back, practise_copying

LENGTH, PERIOD = 120, 40


def model(seed: int = 0, **more: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    settings: dict[str, Any] = {
        "vocab_size": 300,
        "hidden_size": 96,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "num_key_value_heads": 3,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "attention_bias": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    }
    return LlamaForCausalLM(LlamaConfig(**(settings | more))).eval()


def periodic(rows: int = 8) -> torch.Tensor:
    fresh = torch.randint(5, 300, (rows, PERIOD), generator=torch.Generator().manual_seed(9))
    return fresh.repeat(1, LENGTH // PERIOD)


def right(made: Any) -> float:
    ids = periodic()
    with torch.no_grad():
        found = made(input_ids=ids).logits[:, PERIOD:-1].argmax(-1)
    return float((found == ids[:, PERIOD + 1 :]).float().mean())


def test_the_first_layer_looks_one_token_back() -> None:
    made = model(attn_implementation="eager")
    look_back(made, seed=1)
    with torch.no_grad():
        seen = made(input_ids=periodic(2), output_attentions=True).attentions
    assert float(seen[0].diagonal(-1, 2, 3).mean()) > 0.5
    # In the second period, layer 1 looks at what followed the same token the last time.
    place = torch.arange(PERIOD + 1, LENGTH)
    assert float(seen[1][:, :, place, place - PERIOD + 1].mean()) > 5 / PERIOD


def test_built_weights_repeat_more_than_random_ones_and_practice_makes_them_precise() -> None:
    plain, built = model(), model()
    look_back(built, seed=1)
    before = right(built)
    assert right(plain) < 0.05 < before
    practice = Practice(steps=200, batch=8, length=LENGTH, shortest=8, longest=50, learning_rate=1e-3)
    share = practise_copying(built, practice, first_token=5)
    assert share > 0.8
    assert right(built) > max(0.7, before)
    # The same practice leaves a model of random weights on its plateau.
    assert practise_copying(plain, practice, first_token=5) < 0.3


def test_the_same_seed_gives_the_same_weights() -> None:
    weights = []
    for seed in (1, 1, 2):
        made = model()
        look_back(made, seed=seed)
        practise_copying(made, Practice(steps=2, length=40, shortest=4, longest=20, seed=3))
        weights.append(made.model.layers[1].self_attn.q_proj.weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("more", [{"num_hidden_layers": 1}, {"attention_bias": False}])
def test_other_models_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(AuthorError, match="two layers"):
        look_back(model(**more))


@pytest.mark.parametrize("more", [{"shortest": 1}, {"longest": 200}, {"steps": -1}, {"batch": 0}])
def test_practice_that_repeats_nothing_is_refused(more: dict[str, int]) -> None:
    with pytest.raises(AuthorError):
        Practice(**more)


def test_no_practice_is_no_change() -> None:
    made = model()
    before = made.get_input_embeddings().weight.detach().clone()
    assert practise_copying(made, Practice(steps=0)) == 0.0
    assert torch.equal(before, made.get_input_embeddings().weight)
