"""Experiences for tests: well-formed ones by number, and an embedder that is a plain function."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genevolve.experience_store.bundle import Bullet, Bundle, Guidance, RetrievalKey
from genevolve.experience_store.experience import Experience, ProgramRecord, RewardParts

THINGS = ("ship", "tower", "garden", "market", "violin", "bridge", "kettle", "mountain", "lantern", "orchard")
ADVICE = (
    "Quote every word that must be legible and say where on the page it stands.",
    "Search for the look of the main subject before wording any part of the prompt.",
    "Pick the reference that shows the whole subject from the side which is needed.",
    "Activate counting guidance whenever more than two things of one kind are asked for.",
    "Avoid naming two light sources, because shadows then fall in directions that contradict each other.",
)


def vector_of(text: str, dimension: int = 64) -> NDArray[np.float32]:
    """A direction that a text's words decide: texts with common words are near each other."""
    total = np.zeros(dimension)
    for word in text.lower().split():
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
        total += np.random.default_rng(seed).normal(size=dimension)
    return total.astype(np.float32)


@dataclass(frozen=True)
class PlainEmbedder:
    """An embedder that takes a plain function."""

    name: str = "plain:1"
    function: Callable[[str], NDArray[np.float32]] = vector_of

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self.function(t) for t in texts])

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.embed(texts)


def program(request: str, prompt: str) -> str:
    return f'request "{request}"\n\nprompt "{prompt}"\n'


def bundle(*bullets: str, standard: Sequence[str] = ()) -> Bundle:
    chosen = tuple(Bullet(b) for b in bullets or ADVICE[:1])
    return Bundle(
        RetrievalKey("pictures with one main subject", "One subject in a plain setting."),
        Guidance(focus=chosen, failure_guards=tuple(Bullet(b, True) for b in standard)),
    )


def experience(
    number: int = 0, *, gap: float = 0.5, request: str | None = None, **changes: object
) -> Experience:
    """A well-formed experience; different numbers give different requests."""
    mixed = np.random.default_rng(number)
    words = mixed.choice([f"{t}{n}" for t in THINGS for n in range(40)], 6, replace=False)
    text = request or f"a {words[0]} beside a {words[1]} with {' '.join(words[2:])}"
    worst = 0.1
    parts = {
        "request": text,
        "bundle": bundle(ADVICE[number % len(ADVICE)]),
        "best": ProgramRecord.of(program(text, f"best of {number}"), RewardParts(worst + gap)),
        "worst": ProgramRecord.of(program(text, f"worst of {number}"), RewardParts(worst)),
        "gap": gap,
        "category": ("poster", "portrait", "scene")[number % 3],
        "skills": ("text_rendering",) if number % 2 else ("quantity_counting", "spatial_layout"),
        "judge": "inspector:1",
        "policy": f"policy:{number % 2}",
        "step": number,
        "created": 1_700_000_000.0 + number,
    }
    return Experience(**(parts | changes))  # type: ignore[arg-type]  # changes are the caller's to get right
