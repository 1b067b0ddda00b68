"""The released GenEvolve checkpoint through its own ReAct protocol, and that protocol as data.

`open_released` is the policy. `markup`, `actions`, `mentions` and `statements` read a round strictly and say it in the
language; `wire` says observations to the model; `imported` and `exported` turn whole trajectories into programs and
back.
"""

from genevolve.programs.policies.released.exported import to_upstream
from genevolve.programs.policies.released.policy import ReleasedPolicy, open_released

__all__ = ["ReleasedPolicy", "open_released", "to_upstream"]
