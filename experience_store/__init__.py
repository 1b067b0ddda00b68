"""The memory of distilled experiences (not built yet)."""
