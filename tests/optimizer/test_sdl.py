"""The distillation loss against a slow reference in float64, term by term."""

from __future__ import annotations

import math
import random

import pytest
import torch

from genevolve.optimizer.sdl import Normaliser, SDLSettings, keep_largest, sdl_metrics, sdl_terms


def reference(
    log_p: list[list[float]],
    log_q: list[list[float]],
    log_old: list[list[float]],
    mask: list[list[int]],
    s: SDLSettings,
) -> tuple[list[float], list[list[bool]], list[list[float]]]:
    """METHOD §3 written out with Python floats: loss of each row, kept tokens, d(row loss)/d(log p)."""
    losses, kept_all, grads = [], [], []
    for p_row, q_row, o_row, m_row in zip(log_p, log_q, log_old, mask, strict=True):
        places = [t for t, m in enumerate(m_row) if m]
        order = sorted(places, key=lambda t: (-abs(q_row[t] - p_row[t]), t))
        kept = set(order[: math.ceil(round(s.keep * len(places), 9))])
        over = len(kept) if s.normaliser is Normaliser.KEPT else len(places)
        loss, grad = 0.0, [0.0] * len(m_row)
        for t in kept:
            raw = p_row[t] - q_row[t]
            ell = min(max(raw, -s.clamp), s.clamp)
            k3 = math.exp(-ell) - 1 + ell
            free = math.exp(min(p_row[t] - o_row[t], 20.0))
            rho = min(free, s.max_ratio)
            value = rho * k3
            loss += min(value, s.max_token) / over
            if value < s.max_token:
                inside = -s.clamp < raw < s.clamp
                slope = rho * (1 - math.exp(-ell)) if inside else 0.0
                if s.attach_ratio and free < s.max_ratio:
                    slope += rho * k3
                grad[t] = slope / over
        losses.append(loss)
        kept_all.append([t in kept for t in range(len(m_row))])
        grads.append(grad)
    return losses, kept_all, grads


def case(seed: int) -> tuple[list[list[list[float]]], list[list[int]]]:
    """Rows of unequal lengths, padded on either side, one of them without any token."""
    r = random.Random(seed)
    rows, width = r.randint(2, 5), r.randint(3, 40)
    spread = r.choice([0.1, 1.0, 8.0])
    make = [[[-abs(r.gauss(0, spread)) - 1e-3 for _ in range(width)] for _ in range(rows)] for _ in range(3)]
    mask = []
    for i in range(rows):
        length = 0 if i == 1 else r.randint(1, width)
        start = r.choice([0, width - length])
        mask.append([int(start <= t < start + length and r.random() < 0.7) for t in range(width)])
    return make, mask


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("attach", [False, True])
@pytest.mark.parametrize("normaliser", list(Normaliser))
def test_loss_and_gradient_equal_the_reference(seed: int, attach: bool, normaliser: Normaliser) -> None:
    settings = SDLSettings(
        keep=random.Random(seed).choice([0.1, 0.3, 1.0]), attach_ratio=attach, normaliser=normaliser
    )
    (p, q, old), mask = case(seed)
    log_p = torch.tensor(p, dtype=torch.float32, requires_grad=True)
    terms = sdl_terms(log_p, torch.tensor(q), torch.tensor(old), torch.tensor(mask), settings)
    terms.per_row.sum().backward()
    # The reference works on what float32 holds of the inputs.
    exact = [torch.tensor(x, dtype=torch.float32).double().tolist() for x in (p, q, old)]
    losses, kept, grads = reference(exact[0], exact[1], exact[2], mask, settings)
    assert terms.kept.tolist() == kept
    torch.testing.assert_close(
        terms.per_row.double(), torch.tensor(losses, dtype=torch.float64), rtol=1e-5, atol=1e-7
    )
    assert log_p.grad is not None
    torch.testing.assert_close(
        log_p.grad.double(), torch.tensor(grads, dtype=torch.float64), rtol=1e-5, atol=1e-6
    )


def test_no_gradient_reaches_teacher_or_old_policy_or_masked_tokens() -> None:
    log_p, log_q, old = (torch.randn(3, 9).requires_grad_() for _ in range(3))
    mask = torch.zeros(3, 9)
    mask[0, 2:5] = 1
    sdl_terms(log_p, log_q, old, mask, SDLSettings(keep=1.0, attach_ratio=True)).per_row.sum().backward()
    assert log_q.grad is None
    assert old.grad is None
    assert log_p.grad is not None
    assert (log_p.grad[mask == 0] == 0).all()
    assert (log_p.grad[0, 2:5] != 0).all()


def test_without_a_bundle_the_loss_is_exactly_nothing() -> None:
    log_p = torch.randn(2, 5).requires_grad_()
    terms = sdl_terms(log_p, torch.randn(2, 5), torch.randn(2, 5), torch.zeros(2, 5))
    assert terms.per_row.tolist() == [0.0, 0.0]
    terms.per_row.sum().backward()
    assert log_p.grad is not None
    assert not log_p.grad.any()


def test_what_stands_outside_the_mask_may_be_infinite() -> None:
    log_p = torch.tensor([[-1.0, float("-inf")]], requires_grad=True)
    log_q = torch.tensor([[-2.0, float("nan")]])
    terms = sdl_terms(log_p, log_q, log_p, torch.tensor([[1, 0]]))
    terms.per_row.sum().backward()
    assert torch.isfinite(terms.per_row).all()
    assert log_p.grad is not None
    assert torch.isfinite(log_p.grad).all()


def test_an_equal_teacher_costs_nothing() -> None:
    log_p = -torch.rand(4, 30)
    terms = sdl_terms(log_p, log_p, log_p, torch.ones(4, 30))
    assert terms.per_row.abs().max() < 1e-7


@pytest.mark.parametrize(
    ("allowed", "share", "kept"), [(30, 0.1, 3), (31, 0.1, 4), (1, 0.1, 1), (0, 0.1, 0), (5, 1.0, 5)]
)
def test_how_many_tokens_are_kept(allowed: int, share: float, kept: int) -> None:
    mask = torch.zeros(1, 40)
    mask[0, :allowed] = 1
    found = keep_largest(torch.rand(1, 40), mask, share)
    assert int(found.sum()) == kept
    assert not found[0, allowed:].any()


def test_ties_go_to_the_earlier_token() -> None:
    assert keep_largest(torch.ones(1, 20), torch.ones(1, 20), 0.1).nonzero()[:, 1].tolist() == [0, 1]


def test_metrics_tell_of_cuts() -> None:
    log_p = torch.tensor([[-1.0, -1.0, -20.0]])
    log_q = torch.tensor([[-1.0, -1.0, -1.0]])
    old = torch.tensor([[-5.0, -1.0, -20.0]])
    mask = torch.ones(1, 3)
    found = sdl_metrics(sdl_terms(log_p, log_q, old, mask), mask)
    assert found["sdl/ratio_clipped"] == pytest.approx(1 / 3)
    assert found["sdl/clamped"] == pytest.approx(1 / 3)
    assert found["sdl/kept_fraction"] == pytest.approx(1 / 3)
    assert found["sdl/abs_gap_kept"] == pytest.approx(19.0)


@pytest.mark.parametrize(
    "bad", [{"keep": 0}, {"keep": 1.5}, {"clamp": 0}, {"max_ratio": -1}, {"max_token": 0}]
)
def test_settings_that_mean_nothing_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        SDLSettings(**bad)  # type: ignore[arg-type]  # each is a number
