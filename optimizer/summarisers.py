"""Who words what a pair of programs teaches, by name.

    embedded                              the table of decisions: always there, the same for the same pair
    dspy:endpoint:openai/gpt-4o-mini      a model behind an API; any policy's spec may follow `dspy:`
    dspy:endpoint:openai/qwen?api_base=http://127.0.0.1:8000/v1

A model's advice is let in by the rules of the experience store and no others. Where it is refused, or where the model
fails, the embedded summariser words the pair instead, and that is counted.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from genevolve.experience_store.admission import inspect
from genevolve.experience_store.bundle import Bundle
from genevolve.grammar.errors import AuthorError, ConfigurationError, GenevolveError, ServiceError
from genevolve.grammar.suggest import closest, did_you_mean
from genevolve.interpreter.retry import RetryPolicy
from genevolve.optimizer.contrast import About, Attempt, Pair, Summarise, experience_of, summarise
from genevolve.programs.modules.bridge import load_dspy, shortened

if TYPE_CHECKING:
    from genevolve.interpreter.config import Config

_log = logging.getLogger(__name__)

EMBEDDED = "embedded"
_PREFIX = "dspy:"
_SECONDS = 300.0
"""Seconds that one pair may take, with everything that is tried again."""
_PAIRS_OWN = frozenset({"gap", "protocol-failure", "digest", "no-request"})
"""Refusals that no wording mends."""
_COUNTED = ("asked", "worded", "fell_back", "refused", "failed", "repairs")


def open_summariser(spec: str = EMBEDDED, config: Config | None = None) -> Summarise:
    """The summariser that a spec names; close it with `close_summariser`.

    Raises:
        ConfigurationError: There is none of that name, or its model cannot be opened.
    """
    if spec == EMBEDDED:
        return summarise
    if spec.startswith(_PREFIX):
        return dspy_summariser(spec, config)
    hint = did_you_mean(closest(spec, (EMBEDDED,)))
    raise ConfigurationError(f"there is no summariser {spec!r}{hint}; there are {EMBEDDED} and dspy:POLICY")


def close_summariser(summariser: Summarise) -> None:
    """Free what a summariser holds."""
    close = getattr(summariser, "close", None)
    if callable(close):
        close()


def dspy_summariser(
    model: object, config: Config | None = None, *, repairs: int = 2, retry: RetryPolicy | None = None
) -> DspySummariser:
    """A summariser that asks a language model.

    Args:
        model: A `dspy.LM`, or the spec of a policy, with or without `dspy:` before it.
        config: Settings and keys, for a spec.
        repairs: How often an answer is sent back with what is wrong with it.
        retry: How often a service that failed is asked again.

    Raises:
        ConfigurationError: The model cannot be opened.
    """
    if not isinstance(model, str):
        return DspySummariser(model, str(getattr(model, "model", "dspy")), repairs=repairs, retry=retry)
    from genevolve.programs.policies.catalog import open_policy
    from genevolve.programs.policies.endpoint import EndpointPolicy

    spec = model.removeprefix(_PREFIX)
    policy = open_policy(spec, config)
    if isinstance(policy, EndpointPolicy):
        lm: object = policy.lm
    else:
        from genevolve.programs.modules.local_lm import LocalLM

        lm = LocalLM(policy)
    return DspySummariser(lm, f"{_PREFIX}{policy.name}", repairs=repairs, retry=retry, close=policy.close)


class DspySummariser:
    """`ExperienceAbstractor` as a summariser. Safe for several threads.

    Args:
        lm: A `dspy.LM`.
        name: What it is called in settings and records.
        repairs: How often an answer is sent back with what is wrong with it.
        retry: How often a service that failed is asked again.
        fallback: Who words what the model could not.
        close: Frees the model.
    """

    def __init__(
        self,
        lm: Any,
        name: str,
        *,
        repairs: int = 2,
        retry: RetryPolicy | None = None,
        fallback: Summarise = summarise,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self._lm, self._repairs, self._fallback, self._close = lm, repairs, fallback, close
        self._retry = retry or RetryPolicy()
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._answered = False

    def __call__(self, about: About, pair: Pair) -> Bundle | None:
        """The advice of a pair; None when neither the model nor the fallback has any.

        Raises:
            ConfigurationError: The model is not set up rightly and has never answered. Later it is as any failure.
        """
        if not self._may_teach(about, pair):
            return self._fallback(about, pair)
        self._count("asked")
        try:
            bundle, why = self._ask(about, pair)
        except GenevolveError as error:
            if isinstance(error, ConfigurationError) and not self._answered:
                raise
            self._count("failed")
            bundle, why = None, str(error)
        except (OSError, ValueError, TypeError, RuntimeError, LookupError) as error:
            # A bug in a client library must not end a run that has its own words for the pair.
            self._count("failed")
            bundle, why = None, shortened(f"{type(error).__name__}: {error}")
        else:
            self._answered = True
            if bundle is None:
                self._count("refused")
        if bundle is not None:
            self._count("worded")
            return bundle
        self._count("fell_back")
        _log.warning(
            "%s gave no advice that the store admits (%s); the embedded summariser did", self.name, why
        )
        return self._fallback(about, pair)

    def take_figures(self) -> Mapping[str, float]:
        """What was counted since this was last asked for.

        `asked` pairs are those that the model was shown, `worded` those whose advice is the model's; the others
        `fell_back`, because its advice was `refused` or because it `failed`. `repairs` are answers sent back.
        """
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return {f"memory/summaries_{name}": float(counts[name]) for name in _COUNTED}

    def close(self) -> None:
        """Free the model."""
        if self._close is not None:
            self._close()

    # ---- inside ----

    def _count(self, name: str, by: int = 1) -> None:
        with self._lock:
            self._counts[name] += by

    def _may_teach(self, about: About, pair: Pair) -> bool:
        """Whether any wording of a pair could be admitted; a model costs money."""
        if pair.best.tree is None or pair.worst.tree is None or pair.best.text == pair.worst.text:
            return False
        plain = self._fallback(about, pair)
        refused = None if plain is None else inspect(experience_of(about, pair, plain))
        return refused is None or refused.code not in _PAIRS_OWN

    def _ask(self, about: About, pair: Pair) -> tuple[Bundle | None, str]:
        """The model's advice, or None and what was wrong with it; raises what its service raised last."""
        rng = random.Random(f"{about.request}:{about.step}")  # noqa: S311  # pauses, no secrets
        ends = time.monotonic() + _SECONDS
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._once(about, pair)
            except ServiceError as error:
                pause = self._retry.pause(error, attempt, ends - time.monotonic(), rng)
                if pause is None:
                    raise
                time.sleep(pause)

    def _once(self, about: About, pair: Pair) -> tuple[Bundle | None, str]:
        from genevolve.programs.modules.abstractor import ExperienceAbstractor

        module = ExperienceAbstractor(
            repairs=self._repairs, validate=lambda data: complaints_about(about, pair, data)
        )
        with load_dspy().context(lm=self._lm):
            said = module(
                request=about.request,
                best_program=pair.best.text,
                worst_program=pair.worst.text,
                best_score=pair.best.total or 0.0,
                worst_score=pair.worst.total or 0.0,
                best_observations="\n".join(pair.best.facts),
                worst_observations="\n".join(pair.worst.facts),
                scores=f"better: {_parts(pair.best)}\nworse: {_parts(pair.worst)}",
            )
        self._count("repairs", int(said.repairs))
        if said.bundle is None:
            return None, "; ".join(map(str, said.complaints)) or "it gave none"
        return Bundle.from_dict(said.bundle), ""


def complaints_about(about: About, pair: Pair, data: Mapping[str, Any]) -> list[str]:
    """Why the store would refuse a bundle for this pair, as sentences; none when it would take it."""
    try:
        bundle = Bundle.from_dict(data)
    except AuthorError as error:
        return [str(error)]
    refused = inspect(experience_of(about, pair, bundle))
    return [] if refused is None else [refused.reason]


_PARTS = ("image", "text", "faithfulness", "visual_correctness", "text_accuracy", "aesthetics")


def _parts(attempt: Attempt) -> str:
    """What a reward was made of, in words."""
    known = [(name, getattr(attempt.reward, name)) for name in _PARTS]
    told = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in known if value is not None)
    return told or "no parts are known"
