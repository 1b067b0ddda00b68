"""Other weights for the same model: an average of its past, or what it was at the start.

Only what is trained is kept twice (for LoRA: the adapter), and scoring under other weights exchanges tensors
instead of copying them:

    average = Shadow(model)
    average.follow(rate=0.05)            # after each step of the optimizer
    with average.worn():
        ...                              # the model has the averaged weights here
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


class Shadow:
    """A copy of a model's trainable weights, as they were when it was made."""

    def __init__(self, model: Any) -> None:
        self._live: dict[str, Tensor] = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._kept = {n: p.detach().clone() for n, p in self._live.items()}
        self._worn = False

    def follow(self, rate: float) -> None:
        """Move towards the live weights: kept ← (1 − rate)·kept + rate·live.

        Raises:
            ValueError: The rate is not in [0, 1].
        """
        import torch

        if not 0 <= rate <= 1:
            raise ValueError(f"the rate of an average is in [0, 1], not {rate}")
        with torch.no_grad():
            for name, live in self._live.items():
                self._kept[name].lerp_(live.detach(), rate)

    @contextmanager
    def worn(self) -> Iterator[None]:
        """The model has these weights inside the block, and its own again afterwards, whatever happens.

        No gradient may be taken inside, nor through a graph that was made before and is used inside.
        """
        if self._worn:
            raise RuntimeError("these weights are worn already")
        self._exchange()
        self._worn = True
        try:
            yield
        finally:
            self._exchange()
            self._worn = False

    def _exchange(self) -> None:
        for name, live in self._live.items():
            live.data, self._kept[name] = self._kept[name], live.data

    def state_dict(self) -> dict[str, Tensor]:
        """The kept weights by name, for a checkpoint."""
        return dict(self._kept)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a checkpoint; raises `ValueError` when they are another model's."""
        if state.keys() != self._kept.keys():
            odd = sorted(state.keys() ^ self._kept.keys())[:3]
            raise ValueError(f"these are not the weights of this model: {', '.join(odd)} …")
        for name, value in state.items():
            if value.shape != self._kept[name].shape:
                raise ValueError(f"{name} has the shape {tuple(value.shape)} in the checkpoint")
            self._kept[name].copy_(value)
