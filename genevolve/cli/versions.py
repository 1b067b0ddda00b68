"""Which versions are installed, told without importing the packages."""

from __future__ import annotations

from importlib import metadata


def version(package: str = "genevolve") -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
