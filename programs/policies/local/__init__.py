"""Policies on this machine: any causal language model of transformers, batched over rollouts.

torch is imported by the modules that compute, which nothing here imports before a policy is opened.
"""

from genevolve.programs.policies.local.options import LocalOptions
from genevolve.programs.policies.local.policy import LocalPolicy, open_local

__all__ = ["LocalOptions", "LocalPolicy", "open_local"]
