"""From dimensions to one number: KScore in its two published readings (METHOD §2), and WiScore."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from genevolve.grammar.errors import ConfigurationError
from genevolve.grammar.suggest import closest, did_you_mean, listed

Formula: TypeAlias = Literal["paper", "release"]
FORMULAS: tuple[Formula, ...] = get_args(Formula)

KSCORE_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"faithfulness": 0.1, "visual_correctness": 0.4, "text_accuracy": 0.4, "aesthetics": 0.1}
)
DIMENSIONS = tuple(KSCORE_WEIGHTS)
LEVELS = (0.0, 0.5, 1.0)
_NEUTRAL_TEXT = 0.5

WISE_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"consistency": 0.7, "realism": 0.2, "aesthetic_quality": 0.1}
)
WISE_TOP = 2


def kscore(dimensions: Mapping[str, float | None], formula: Formula = "paper") -> float:
    """KScore of the four dimensions, each in [0, 1]; only `text_accuracy` may be None (no text is asked for).

    `paper` spreads the missing weight over the others (divides by 0.6); `release` counts missing text as 0.5, as the
    authors' released scorer does. Both agree where text is asked for.
    """
    text = dimensions["text_accuracy"]
    if text is None and formula == "release":
        text = _NEUTRAL_TEXT
    scores = {**dimensions, "text_accuracy": text}
    total = weight = 0.0
    for name, share in KSCORE_WEIGHTS.items():
        value = scores[name]
        if value is None:
            if name != "text_accuracy":
                raise ValueError(f"the dimension {name} has no score")
            continue
        total += share * value
        weight += share
    return round(total / weight, 6)


def wiscore(scores: Mapping[str, float]) -> float:
    """WiScore in [0, 1] of consistency, realism and aesthetic quality, each from 0 to 2."""
    return round(sum(w * scores[name] for name, w in WISE_WEIGHTS.items()) / WISE_TOP, 6)


def parse_formula(text: str) -> Formula:
    """A formula by name. Raises `ConfigurationError`."""
    for formula in FORMULAS:
        if text == formula:
            return formula
    hint = did_you_mean(closest(text, FORMULAS)) or f"; there are {listed(FORMULAS)}"
    raise ConfigurationError(f"there is no KScore formula {text!r}{hint}")
