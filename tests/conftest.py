"""Options that all tests share."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

FUZZ = int(os.environ.get("FUZZ", "0"))
"""How many times as many random examples are tried; 0 for the same ones each time."""

# `make test` tries the same examples each time, so it fails only where something was changed; `make fuzz` looks for
# new ones. How long an example takes says how busy the machine is, so nothing depends on it; pytest stops what hangs.
settings.register_profile(
    "repeat", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "explore", max_examples=100 * (FUZZ or 1), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("explore" if FUZZ else "repeat")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it runs in the background (`make test &`) with Ctrl-C ignored, and processes that tests start
    # inherit that; tests of Ctrl-C would wait in vain.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write golden files anew instead of comparing"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """While exploring, let tests that say how many examples they try (`@settings(max_examples=…)`) try more."""
    for function in {getattr(item, "function", None) for item in items} if FUZZ else ():
        # Where Hypothesis keeps what `@settings` says; there is no public way to change it afterwards.
        own = getattr(function, "_hypothesis_internal_use_settings", None)
        if function is not None and own not in (None, settings.default):
            function._hypothesis_internal_use_settings = settings(own, max_examples=FUZZ * own.max_examples)


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are written instead of compared."""
    return bool(request.config.getoption("--update-golden"))
