"""The border to DSPy: imported late, kept quiet, its errors translated into ours.

DSPy logs to stderr by itself. When it is imported here first, only its errors are logged;
`logging.getLogger("dspy").setLevel(...)` brings the rest back. Nothing is cached on disk unless somebody asks for it:
DSPy opens its cache when a model with `cache=True` is first called, and models that are made here have `cache=False`.
Prices come from the list that DSPy carries and not from the network, unless the environment says so with
`LITELLM_LOCAL_MODEL_COST_MAP=false`.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
from collections.abc import Iterator
from types import ModuleType

from genevolve.grammar.errors import ConfigurationError, GenevolveError, InternalError, ServiceError
from genevolve.interpreter.redact import Redactor, secrets_of

MOST_TOLD = 600
"""Characters of another program's message that are repeated."""

_importing = threading.Lock()


def load_dspy() -> ModuleType:
    """DSPy, imported on first use (about half a second); raises `ConfigurationError` when it is not installed."""
    with _importing:
        fresh = "dspy" not in sys.modules
        try:
            import dspy
        except ImportError as error:
            raise ConfigurationError(f"DSPy cannot be imported: {error}") from error
        if fresh:
            logging.getLogger("dspy").setLevel(logging.ERROR)
            # Else it downloads a list of prices when it first looks one up.
            os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")
    module: ModuleType = dspy
    return module


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise errors of DSPy that happen inside as our own, with the original as the cause."""
    dspy = load_dspy()
    try:
        yield
    except dspy.DSPyError as error:
        raise translate(error) from error


def translate(error: Exception, redactor: Redactor | None = None) -> GenevolveError:
    """The error of ours that says what an error of DSPy says, without keys.

    Args:
        error: What DSPy raised.
        redactor: Masks keys, besides those of the environment.
    """
    dspy = load_dspy()
    told = Redactor(secrets_of()).text(str(getattr(error, "message", "") or error))
    told = shortened(told if redactor is None else redactor.text(told))
    match error:
        case dspy.LMAuthError() | dspy.LMBillingError():
            return ConfigurationError(f"the language model's service refuses the key or the account: {told}")
        case dspy.LMConfigurationError() | dspy.LMUnsupportedModelError() | dspy.LMUnsupportedFeatureError():
            return ConfigurationError(f"the language model is not set up rightly: {told}")
        case dspy.ContextWindowExceededError():
            return ServiceError(f"the prompt is longer than the language model takes: {told}")
        case dspy.LMError():
            return ServiceError(
                f"the language model failed: {told}",
                retryable=dspy.is_retryable_lm_error(error) or _garbled(error),
                retry_after=getattr(error, "retry_after", None),
            )
        case dspy.AdapterParseError():
            return ServiceError(f"the language model's answer is not of the form that was asked for: {told}")
        case dspy.DSPyError():
            return ServiceError(f"DSPy failed: {told}")
    return InternalError(f"{type(error).__name__}: {told}")


def _garbled(error: Exception) -> bool:
    """Whether the service answered well, with something that is no answer: half of one, a page of a proxy."""
    status = getattr(error, "status", None)
    return isinstance(status, int) and 200 <= status < 300


def shortened(text: str) -> str:
    """The text on one line, its middle left out when it is long."""
    line = " ".join(text.split())
    if len(line) <= MOST_TOLD:
        return line
    return f"{line[: MOST_TOLD - 120]} … {line[-100:]}"


@contextlib.contextmanager
def hushed(*, hushed: bool = True) -> Iterator[None]:
    """Swallow what DSPy's optimizers print and draw (progress bars) while they run.

    Standard output and error belong to the whole process: what other threads print meanwhile is swallowed, too.
    """
    if not hushed:
        yield
        return
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
