"""Budgets, the ledger, and pauses between attempts."""

from __future__ import annotations

import random
import threading

import pytest

from genevolve.grammar.errors import ServiceError
from genevolve.interpreter.budget import Budget, BudgetSpent, Ledger
from genevolve.interpreter.retry import RetryPolicy


@pytest.mark.parametrize("limit", [{"calls": -1}, {"seconds": float("nan")}, {"bytes": -5}, {"money": -0.1}])
def test_impossible_limits_are_refused(limit: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="budget"):
        Budget(**limit)


def test_a_spending_past_the_limit_books_nothing() -> None:
    ledger = Ledger(Budget(calls=3))
    ledger.spend_calls(2)
    with pytest.raises(BudgetSpent) as caught:
        ledger.spend_calls(2)
    assert caught.value.code == "GP523"
    assert caught.value.what == "calls"
    assert ledger.calls == 2
    ledger.spend_calls(1)
    assert ledger.calls == 3


def test_money_adds_up_despite_binary_fractions() -> None:
    ledger = Ledger(Budget(money=0.3))
    for _ in range(3):
        ledger.spend_money(0.1)
    with pytest.raises(BudgetSpent, match=r"0\.3"):
        ledger.spend_money(0.01)


def test_bytes_and_time() -> None:
    now = [100.0]
    ledger = Ledger(Budget(seconds=5, bytes=10), clock=lambda: now[0])
    ledger.receive(10)
    with pytest.raises(BudgetSpent, match="bytes"):
        ledger.receive(1)
    assert ledger.deadline == 105.0
    ledger.check_time()
    now[0] = 105.0
    with pytest.raises(BudgetSpent, match="seconds"):
        ledger.check_time()


def test_none_means_no_limit() -> None:
    ledger = Ledger(Budget(None, None, None, None))
    ledger.spend_calls(10**9)
    ledger.spend_money(1e12)
    ledger.receive(10**15)
    ledger.check_time()
    assert ledger.deadline == float("inf")


def test_a_fork_has_spent_the_same_and_goes_its_own_way() -> None:
    ledger = Ledger(Budget(calls=5))
    ledger.spend_calls(3)
    fork = ledger.fork()
    fork.spend_calls(2)
    assert (ledger.calls, fork.calls) == (3, 5)
    assert fork.started == ledger.started


def test_threads_cannot_overspend() -> None:
    ledger = Ledger(Budget(calls=100))
    refused = []

    def spend() -> None:
        for _ in range(50):
            try:
                ledger.spend_calls(1)
            except BudgetSpent:
                refused.append(1)

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (ledger.calls, len(refused)) == (100, 100)


def test_only_retryable_errors_are_tried_again_and_not_for_ever() -> None:
    policy, rng = RetryPolicy(attempts=3, base=1.0, cap=1.5), random.Random(0)
    again, never = ServiceError("busy", retryable=True), ServiceError("refused")
    assert policy.pause(never, 1, 60, rng) is None
    assert policy.pause(again, 3, 60, rng) is None
    assert all(0 <= (policy.pause(again, 1, 60, rng) or 0) <= 1.0 for _ in range(100))
    assert all(0 <= (policy.pause(again, 2, 60, rng) or 0) <= 1.5 for _ in range(100))


def test_a_service_says_when_to_come_back() -> None:
    policy, rng = RetryPolicy(base=0.1), random.Random(0)
    wait = ServiceError("busy", retryable=True, retry_after=7.0)
    assert policy.pause(wait, 1, 60, rng) == 7.0
    assert policy.pause(wait, 1, 5.0, rng) is None, "there is no time left to come back"


@pytest.mark.parametrize("options", [{"attempts": 0}, {"base": -1.0}, {"cap": -1.0}])
def test_impossible_policies_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="retry policy"):
        RetryPolicy(**options)
