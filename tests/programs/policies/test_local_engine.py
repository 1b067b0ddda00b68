"""Turns of many dialogues at once: what is sampled, how it is recorded, when it ends."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from local_models import model, plain_log_probs, vocabulary
from numpy.typing import NDArray

from genevolve.programs.policies.local.backends import choose
from genevolve.programs.policies.local.engine import Engine, Turn, Written
from genevolve.programs.policies.local.sampling import draw, unpacked
from genevolve.programs.policies.protocol import Limits, Stop

END = 2
LIMITS = Limits(max_tokens=20, temperature=1.3, top_p=0.9)


class Fence:
    """Allows few tokens, forces some, and ends after twelve."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.done = False

    def _open(self) -> list[int]:
        return list(range(3 + len(self.taken), 60)) if len(self.taken) < 12 else [END]

    def mask(self) -> NDArray[np.int32]:
        flags = np.zeros(32 * ((vocabulary() + 31) // 32), np.uint8)
        flags[self._open()] = 1
        return np.packbits(flags, bitorder="little").view(np.int32)

    def forced(self) -> list[int]:
        return {0: [40], 4: [41, 42, 43], 12: [END]}.get(len(self.taken), [])

    def advance(self, token: int) -> None:
        if token not in self._open() and token not in (40, 41, 42, 43):
            raise ValueError(f"{token} may not come")
        self.taken.append(token)
        self.done = token == END


def turns(count: int = 6, fence: Sequence[int] = ()) -> list[Turn]:
    """Turns of two requests that share a beginning, some of them with a constraint."""
    draws = torch.Generator().manual_seed(1)
    system = torch.randint(3, 200, (25,), generator=draws).tolist()
    requests = [[*system, *torch.randint(3, 200, (4 + 3 * i,), generator=draws).tolist()] for i in range(2)]
    return [Turn(requests[i % 2], (i, 0), Fence() if i in fence else None, f"d{i}") for i in range(count)]


def engine(kind: str = "llama", **more: int) -> Engine:
    backend, _ = choose(model(kind, **more), 1 << 24)
    return Engine(backend, [END], vocabulary())


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt2", "mistral"])
@pytest.mark.parametrize("fence", [(), (1, 2, 5)], ids=["free", "constrained"])
def test_log_probs_are_those_of_the_model(kind: str, fence: tuple[int, ...]) -> None:
    made = engine(kind)
    for turn, out in zip(turns(6), made.write(turns(6, fence), LIMITS), strict=True):
        want = plain_log_probs(made.backend.forward.model, tuple(turn.prompt), tuple(out.ids), 1.3)
        assert np.allclose(out.log_probs, want, atol=1e-4)
        assert len(out.ids) == len(out.masked_log_probs) == len(out.forced)
        decisions = [m >= p - 1e-5 for m, p in zip(out.masked_log_probs, out.log_probs, strict=True)]
        assert all(decisions)  # the same token out of fewer is more likely


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral"])
def test_a_turn_does_not_depend_on_its_batch(kind: str) -> None:
    made = engine(kind)
    together = made.write(turns(6, (1, 4)), LIMITS)
    made.backend.tree.clear()
    alone = [made.write([turn], LIMITS)[0] for turn in reversed(turns(6, (1, 4)))][::-1]
    assert [w.ids for w in together] == [w.ids for w in alone]
    assert len({tuple(w.ids) for w in together}) == 6  # seeds differ


def test_the_same_seed_gives_the_same_and_another_another() -> None:
    made = engine()
    prompt = turns(1)[0].prompt
    first, again, other, negative = made.write(
        [Turn(prompt, s) for s in ((5, 0), (5, 0), (5, 1), (-5, 0))], LIMITS
    )
    assert first.ids == again.ids
    assert first.ids != other.ids
    assert first.ids != negative.ids


def test_constraints_are_obeyed_and_forced_tokens_marked() -> None:
    free, held = engine().write(turns(2, (1,)), LIMITS)
    assert held.ids[0] == 40
    assert held.ids[4:7] == [41, 42, 43]
    assert held.ids[-1] == END
    assert held.stop is Stop.END
    forced = [i for i, flag in enumerate(held.forced) if flag]
    assert forced == [0, 4, 5, 6, 12]
    assert all(held.masked_log_probs[i] == 0 for i in forced)
    assert all(3 <= i < 60 for i in held.ids[:-1])
    assert not any(free.forced)


def test_limits_hold_for_each_turn() -> None:
    found = engine().write(turns(4, (0, 1)), Limits(max_tokens=9, temperature=1.0), [5, 100, 1, 100])
    assert [len(w.ids) for w in found] == [5, 9, 1, 9]
    assert all(w.stop is Stop.LENGTH for w in found)


def test_forced_tokens_stop_at_the_limit() -> None:
    (found,) = engine().write(turns(1, (0,)), Limits(max_tokens=6))
    assert found.ids[4:] == [41, 42]
    assert found.stop is Stop.LENGTH


def test_zero_temperature_takes_the_best() -> None:
    made = engine()
    (turn,) = turns(1)
    (out,) = made.write([turn], Limits(max_tokens=6, temperature=0.0))
    ids = list(turn.prompt)
    for token in out.ids:
        assert token == int(made.backend.forward.model(torch.tensor([ids])).logits[0, -1].argmax())
        ids.append(token)
    want = plain_log_probs(made.backend.forward.model, tuple(turn.prompt), tuple(out.ids), 1.0)
    assert np.allclose(out.log_probs, want, atol=1e-4)
    assert out.masked_log_probs == [0.0] * 6


def test_a_broken_row_fails_alone() -> None:
    class Closed(Fence):
        def mask(self) -> NDArray[np.int32]:
            return np.zeros_like(super().mask()) if len(self.taken) > 2 else super().mask()

    class Raising(Fence):
        def forced(self) -> list[int]:
            raise ValueError("a fault")

    good, closed, raising = turns(3)
    whole = engine().write([good], LIMITS)[0]
    found = engine().write(
        [good, Turn(closed.prompt, (1,), Closed()), Turn(raising.prompt, (2,), Raising())], LIMITS
    )
    assert found[0].ids == whole.ids
    assert [w.stop for w in found[1:]] == [Stop.FAILED, Stop.FAILED]
    assert found[1].error == "no token may follow"
    assert "a fault" in found[2].error


def test_logits_that_are_no_numbers() -> None:
    made = engine()
    with torch.no_grad():
        made.backend.forward.model.lm_head.weight.fill_(math.nan)
    made.backend.lean.refresh()  # type: ignore[attr-defined]  # a lean backend
    (out,) = made.write(turns(1), LIMITS)
    assert out == Written(stop=Stop.FAILED, error="the model's logits are no numbers")


def test_a_model_in_training_stays_so_and_writes_without_dropout() -> None:
    made = engine("gpt2")
    quiet = made.write(turns(2), LIMITS)
    made.backend.tree.clear()
    made.backend.forward.model.train()
    assert [w.ids for w in made.write(turns(2), LIMITS)] == [w.ids for w in quiet]
    assert made.backend.forward.model.training


# ---- drawing -----------------------------------------------------------------------------------------


def counts(logits: torch.Tensor, top_p: float, allowed: torch.Tensor | None = None) -> Counter[int]:
    n = 2000
    found = draw(
        logits.repeat(n, 1),
        [(i + 0.5) / n for i in range(n)],
        temperature=1.0,
        top_p=top_p,
        allowed=None if allowed is None else allowed.repeat(n, 1),
    )
    return Counter(found.ids)


def test_tokens_come_as_often_as_they_are_likely() -> None:
    logits = torch.tensor([[0.2, 0.1, 0.4, 0.3]]).log()
    assert counts(logits, 1.0) == {0: 400, 1: 200, 2: 800, 3: 600}
    nucleus = counts(logits, 0.65)  # 0.4 and 0.3
    assert set(nucleus) == {2, 3}
    assert abs(nucleus[2] - 2000 * 4 / 7) <= 1
    only = counts(logits, 0.9, torch.tensor([[True, True, False, False]]))
    assert set(only) == {0, 1}
    assert abs(only[0] - 2000 * 2 / 3) <= 1


@pytest.mark.parametrize("spread", [0.01, 1.0, 4.0], ids=["flat", "middling", "peaked"])
def test_the_nucleus_is_that_of_a_full_sort(spread: float) -> None:
    draws = torch.Generator().manual_seed(0)
    logits = torch.randn((3, 5000), generator=draws) * spread
    values, ids = logits.softmax(-1).sort(-1, descending=True)
    inside = [set(i[v.cumsum(0) - v < 0.95 - 1e-6].tolist()) for v, i in zip(values, ids, strict=True)]
    for u in (0.0, 0.3, 0.999999):
        found = draw(logits, [u] * 3, temperature=1.0, top_p=0.95)
        for row, token in enumerate(found.ids):
            mass = sum(float(logits[row].softmax(-1)[i]) for i in inside[row])
            assert token in inside[row]
            assert found.masked_log_probs[row] == pytest.approx(
                found.log_probs[row] - math.log(mass), abs=1e-3
            )


def test_masks_are_unpacked_bit_by_bit() -> None:
    bits = np.array([[0b101, 1 << 3], [-1, 0]], np.int32)
    flags = unpacked(bits, 40, torch.device("cpu"))
    assert flags[0].nonzero()[:, 0].tolist() == [0, 2, 35]
    assert flags[1].sum() == 32
    assert unpacked(bits[:, :1], 40, torch.device("cpu"))[1, 32:].sum() == 0
