"""Policies on this machine: any causal language model of transformers, batched over rollouts."""
