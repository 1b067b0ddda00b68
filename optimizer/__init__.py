"""Training of policies from their own trajectories (not built yet)."""
