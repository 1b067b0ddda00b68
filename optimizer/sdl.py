"""The distillation loss: the policy is drawn towards itself under the advice of an experience.

METHOD §3, per sampled token y of a trajectory whose teacher context holds a bundle:

    p = π(y | h)                     the student, with gradient
    q = stop_gradient π(y | h̃)      the same token under the teacher's context
    ℓ = clamp(log p − log q, −10, 10)
    k3 = exp(−ℓ) − 1 + ℓ             ≥ 0, and 0 where both agree
    ρ = min(p / stop_gradient π_old(y | h), 2)
    SDL = mean over rows with a bundle of the mean over their kept tokens of min(ρ·k3, c_tok)

Only the tenth of a row's assistant tokens where |log q − log p| is largest is kept. The paper leaves three points open:
whether ρ carries gradient (`attach_ratio`: with it the gradient is that of KL(p‖q), without it of KL(q‖p)), whether
a row is divided by its kept or by all its assistant tokens, and the value of c_tok. docs/compile.md tells what was
chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Normaliser(Enum):
    """What the sum over the kept tokens of a row is divided by."""

    KEPT = "kept"
    ALL = "all"


@dataclass(frozen=True)
class SDLSettings:
    """The numbers of the loss; the defaults are the paper's.

    Attributes:
        keep: Share of a row's assistant tokens that is kept, in (0, 1]; at least one token is.
        clamp: Bound of |log p − log q|.
        max_ratio: Bound of the importance ratio ρ.
        max_token: Bound c_tok of a token's loss.
        attach_ratio: Whether ρ carries gradient.
        normaliser: What a row's sum is divided by.
    """

    keep: float = 0.10
    clamp: float = 10.0
    max_ratio: float = 2.0
    max_token: float = 10.0
    attach_ratio: bool = False
    normaliser: Normaliser = Normaliser.KEPT

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep is a share in (0, 1], not {self.keep}")
        for name in ("clamp", "max_ratio", "max_token"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")


@dataclass(frozen=True)
class SDLTerms:
    """The loss of each row, and what it was made of. Everything but `per_row` is detached.

    Attributes:
        per_row: (B,) loss of each row; 0 for a row without a kept token.
        kept: (B, T) which tokens count.
        per_token: (B, T) min(ρ·k3, c_tok) at assistant tokens, 0 elsewhere.
        ratio: (B, T) ρ.
        gap: (B, T) log q − log p at assistant tokens, 0 elsewhere.
    """

    per_row: Tensor
    kept: Tensor
    per_token: Tensor
    ratio: Tensor
    gap: Tensor


def keep_largest(score: Tensor, mask: Tensor, share: float) -> Tensor:
    """Per row, the ⌈share·n⌉ largest of the n scores that `mask` allows; ties go to the earlier token.

    Args:
        score: (B, T) numbers.
        mask: (B, T) what may be kept at all.
        share: In (0, 1].

    Returns:
        (B, T) bool; rows without an allowed token keep none.
    """
    import torch

    allowed = mask.bool()
    # A hair is taken off so that 0.1 × 30 keeps 3 and not 4.
    wanted = torch.ceil(share * allowed.sum(-1, keepdim=True).double() - 1e-9)
    order = score.masked_fill(~allowed, float("-inf")).argsort(dim=-1, descending=True, stable=True)
    rank = order.argsort(dim=-1)
    return (rank < wanted) & allowed


def sdl_terms(
    log_p: Tensor, log_q: Tensor, log_old: Tensor, mask: Tensor, settings: SDLSettings | None = None
) -> SDLTerms:
    """The loss of each row.

    Args:
        log_p: (B, T) log-probability of each sampled token under the student; carries the gradient.
        log_q: (B, T) the same under the teacher; no gradient flows into it.
        log_old: (B, T) the same under the policy that sampled; no gradient.
        mask: (B, T) 1 at assistant tokens of rows whose teacher saw a bundle.
        settings: The numbers.
    """
    import torch

    numbers = settings or SDLSettings()
    allowed = mask.bool()
    log_q, log_old = log_q.detach(), log_old.detach()
    # Outside the mask anything may stand, infinities too; a product with 0 would keep their NaN.
    delta = torch.where(allowed, log_p - log_q, 0.0)
    bounded = delta.clamp(-numbers.clamp, numbers.clamp)
    k3 = torch.exp(-bounded) - 1 + bounded
    ratio = torch.exp(torch.where(allowed, log_p - log_old, 0.0).clamp(max=20.0)).clamp(max=numbers.max_ratio)
    if not numbers.attach_ratio:
        ratio = ratio.detach()
    per_token = (ratio * k3).clamp(max=numbers.max_token) * allowed
    kept = keep_largest(delta.detach().abs(), allowed, numbers.keep)
    count = (kept if numbers.normaliser is Normaliser.KEPT else allowed).sum(-1).clamp(min=1)
    per_row = (per_token * kept).sum(-1) / count
    return SDLTerms(per_row, kept, per_token.detach(), ratio.detach(), -delta.detach())


def sdl_metrics(terms: SDLTerms, mask: Tensor, settings: SDLSettings | None = None) -> dict[str, float]:
    """What to log of a batch: share kept, loss over all tokens, log-probability gaps, how often ρ was cut."""
    numbers = settings or SDLSettings()
    allowed = mask.bool()
    n, kept = max(1, int(allowed.sum())), max(1, int(terms.kept.sum()))
    return {
        "sdl/kept_fraction": int(terms.kept.sum()) / n,
        "sdl/all_tokens": float(terms.per_token.sum()) / n,
        "sdl/teacher_gap": float(terms.gap.sum()) / n,
        "sdl/abs_gap": float(terms.gap.abs().sum()) / n,
        "sdl/abs_gap_kept": float((terms.gap.abs() * terms.kept).sum()) / kept,
        "sdl/ratio_clipped": float(((terms.ratio >= numbers.max_ratio) & allowed).sum()) / n,
        "sdl/clamped": float(((terms.gap.abs() > numbers.clamp) & allowed).sum()) / n,
    }
