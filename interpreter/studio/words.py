"""How things, lights, materials and the like are called in pages and requests of the studio."""

from __future__ import annotations

LIGHT_WORDS: dict[str, str] = {
    "day": "bright daylight",
    "dusk": "warm dusk light",
    "night": "dark night light",
    "overcast": "grey overcast light",
    "lamp": "soft lamp light",
}
"""Lights as pages call them, by their name in a scene."""

GROUND_WORDS: dict[str, str] = {
    "plain": "on a plain ground",
    "meadow": "on a meadow",
    "beach": "on a beach",
    "snow": "on snow",
    "stone": "on stone",
    "table": "on a table",
    "water": "on water",
}
"""Backgrounds as requests call them, by their name in a scene."""

_PLURALS = {"leaf": "leaves", "fish": "fish"}


def plural(noun: str) -> str:
    """Several of a thing: `lanterns`, `leaves`."""
    return _PLURALS.get(noun, f"{noun}s")


def with_article(noun: str) -> str:
    """A thing with its indefinite article."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
