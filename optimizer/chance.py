"""Chance of the process: what is drawn inside a block leaves everybody else's chance as it was."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed(seed: int | None = None) -> Iterator[None]:
    """Put the generators of Python, NumPy and torch (every GPU's too) back after the block.

    Args:
        seed: What they begin with inside; None leaves them as they are.
    """
    import numpy as np
    import torch

    python, numbers, torch_ = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed % (1 << 32))
            torch.manual_seed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)
        torch.set_rng_state(torch_)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
