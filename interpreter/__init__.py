"""Runs programs: the machine, its plan, budgets, cache and trace, and the tools and renderers it calls."""
