"""Which forward is used for which model, and that each computes what the model computes."""

from __future__ import annotations

import pytest
import torch
from local_models import model

from genevolve.programs.policies.local.backends import Backend, LeanBackend, choose, deviation

KIB = 1 << 20


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("llama", "lean"),
        ("qwen2", "lean"),
        ("qwen3", "lean"),
        ("granite", "padded"),  # built like Llama, computed otherwise
        ("gpt2", "padded"),
        ("neox", "padded"),
        ("mistral", "single"),
        ("mamba", "single"),
    ],
)
def test_the_fastest_that_is_right_is_chosen(kind: str, expected: str) -> None:
    backend, why = choose(model(kind), KIB)
    assert backend.kind == expected
    assert (why == "") == (expected == "lean")
    with torch.no_grad():
        assert deviation(backend) < 1e-4


@pytest.mark.parametrize("wanted", ["padded", "single"])
def test_slower_ones_fit_too(wanted: str) -> None:
    backend, _ = choose(model("llama"), KIB, wanted=wanted)
    assert backend.kind == wanted


def test_a_wrong_wish_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match="not built like Llama"):
        choose(model("gpt2"), KIB, wanted="lean")
    with pytest.raises(ValueError, match="off by"):
        choose(model("granite"), KIB, wanted="lean")


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0},
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
            "rope_theta": 10000.0,
        },
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 10000.0},
    ],
)
def test_kinds_of_positions(rope: dict[str, object]) -> None:
    backend, why = choose(model("llama", rope_parameters=rope), KIB)
    assert (backend.kind, why) == ("lean", "")


def test_positions_that_depend_on_the_length_are_left_to_the_model() -> None:
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    backend, why = choose(model("llama", rope_parameters=rope), KIB)
    assert backend.kind == "padded"
    assert "dynamic" in why


def test_half_precision() -> None:
    backend, _ = choose(model("llama").to(torch.bfloat16), KIB)
    assert backend.kind == "lean"
    with torch.no_grad():
        assert 0 < deviation(backend) < 0.1


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft uses the old name
def test_adapters_are_read_into_the_weights() -> None:
    from peft import LoraConfig, get_peft_model

    base = model("llama", attention_bias=True)
    adapted = get_peft_model(
        base, LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    )
    backend, _ = choose(adapted.eval(), KIB)
    assert backend.kind == "lean"
    with adapted.disable_adapter(), torch.no_grad():
        assert deviation(backend) > 0.01  # the adapter shows


def test_weights_too_large_to_copy_are_used_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genevolve.programs.policies.local.lean.FUSE_BYTES", 0)
    made = model("qwen2")
    backend, _ = choose(made, KIB)
    assert isinstance(backend, LeanBackend)
    shared = backend.lean.layers[0].qkv.weights[0]
    assert shared.data_ptr() == made.model.layers[0].self_attn.q_proj.weight.data_ptr()


def prompts(count: int) -> list[list[int]]:
    """A system prompt over all, a request over each three."""
    draw = torch.Generator().manual_seed(3)

    def some(n: int) -> list[int]:
        return torch.randint(3, 250, (n,), generator=draw).tolist()

    system, found = some(30), list[list[int]]()
    while len(found) < count:
        request = [*system, *some(6 + len(found))]
        found += [request, [*request, *some(3)], request]
    return found[:count]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_common_beginning_is_computed_once(kind: str) -> None:
    backend, _ = choose(model(kind), KIB)
    rows = prompts(9)
    with torch.no_grad():
        backend.open(rows)
    assert backend.computed == len({tuple(r[:i]) for r in rows for i in range(1, len(r) + 1)})
    with torch.no_grad():
        backend.open(rows)
    assert backend.computed == len({tuple(r[:i]) for r in rows for i in range(1, len(r) + 1)})


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2", "mistral"])
def test_rows_of_any_length_that_come_and_go(kind: str) -> None:
    made = model(kind)
    backend, _ = choose(made, KIB)
    rows = prompts(7)
    with torch.no_grad():
        batch = backend.open([r[:-1] for r in rows])
        ids = [list(r) for r in rows]
        _check(
            made,
            backend,
            ids,
            batch.read({i: r[-1:] for i, r in enumerate(rows)}),
            dict.fromkeys(range(7), 1),
        )
        alive = list(range(7))
        for step, gone in enumerate(([], [0, 3], [6], [1, 2, 4])):
            for row in gone:
                batch.finish(row)
                alive.remove(row)
            more = {
                row: [(7 * step + 5 * row + i) % 200 + 3 for i in range(1 + (row + step) % 3)]
                for row in alive
            }
            logits = batch.read(more)
            for row, new in more.items():
                ids[row] += new
            _check(made, backend, ids, logits, {row: len(new) for row, new in more.items()})


def _check(
    made: torch.nn.Module, backend: Backend, ids: list[list[int]], logits: torch.Tensor, new: dict[int, int]
) -> None:
    want = torch.cat([made(torch.tensor([ids[row]])).logits[0, -count:] for row, count in new.items()])
    assert logits.shape == want.shape
    assert float((logits - want).abs().max()) < 1e-4 * float(want.std()), backend.kind
