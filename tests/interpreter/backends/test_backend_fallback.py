"""Several backends in order."""

from __future__ import annotations

import asyncio
import time

import pytest
from web import Plain, ask, evidence

from genevolve.grammar.errors import ConfigurationError, ServiceError, StorageError
from genevolve.interpreter.backends.fallback import FallbackBackend
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Evidence, Images

DOWN = ServiceError("down for repair")


def test_the_first_that_answers_answers() -> None:
    first, second = Plain("a", evidence("x")), Plain("b", evidence("y"))
    context = CallContext()
    assert ask(lambda: FallbackBackend([first, second]).search(["q"], 5, context)) == evidence("x")
    assert second.asked == []
    assert context.notes == []
    assert not context.fleeting.is_set()


@pytest.mark.parametrize("error", [DOWN, StorageError("disk"), ConfigurationError("model")])
def test_the_next_one_answers_when_one_cannot(error: Exception) -> None:
    context = CallContext()
    backend = FallbackBackend([Plain("a", error), Plain("b", evidence("y"))])
    assert ask(lambda: backend.search(["q"], 5, context)) == evidence("y")
    assert context.notes == [f"b answered; a: {error}"]
    assert context.fleeting.is_set()


def test_finding_nothing_is_an_answer() -> None:
    second = Plain("b", evidence("y"))
    assert (
        ask(lambda: FallbackBackend([Plain("a", Evidence()), second]).search(["q"], 5, CallContext()))
        == Evidence()
    )
    assert second.asked == []


def test_unless_it_is_set_otherwise() -> None:
    context = CallContext()
    backend = FallbackBackend([Plain("a", Evidence()), Plain("b", evidence("y"))], next_when_empty=True)
    assert ask(lambda: backend.search(["q"], 5, context)) == evidence("y")
    assert context.notes == ["b answered; a found nothing"]
    assert not context.fleeting.is_set()


def test_nothing_and_a_failure_is_nothing_with_a_note() -> None:
    context = CallContext()
    backend = FallbackBackend([Plain("a", Images()), Plain("b", DOWN)], next_when_empty=True)
    assert ask(lambda: backend.image_search("q", 5, context)) == Images()
    assert context.notes == ["nothing was found; b: down for repair; a found nothing"]
    assert context.fleeting.is_set()


def test_when_all_fail_all_reasons_are_told() -> None:
    backend = FallbackBackend([Plain("a", DOWN), Plain("b", ServiceError("b: no key", retryable=True))])
    with pytest.raises(ServiceError, match=r"^a: down for repair; b: no key$") as caught:
        ask(lambda: backend.image_search("q", 5, CallContext()))
    assert caught.value.retryable


class Slow(Plain):
    async def search(self, *_: object) -> Evidence:
        await asyncio.sleep(30)
        return Evidence()


def test_one_that_hangs_leaves_time_for_the_next() -> None:
    context = CallContext(time.monotonic() + 1.0)
    backend = FallbackBackend([Slow("a", DOWN), Plain("b", evidence("y"))])
    assert ask(lambda: backend.search(["q"], 5, context)) == evidence("y")
    assert context.notes[0].startswith("b answered; a: no answer within 0.")
    quick = FallbackBackend([Slow("a", DOWN), Plain("b", evidence("y"))], seconds=0.1)
    assert ask(lambda: quick.search(["q"], 5, CallContext())) == evidence("y")


def test_an_error_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        ask(
            lambda: FallbackBackend([Plain("a", ZeroDivisionError()), Plain("b", evidence("y"))]).search(
                ["q"], 1, CallContext()
            )
        )


def test_names_and_versions() -> None:
    both = FallbackBackend([Plain("a", DOWN), Plain("b", DOWN, version="2")])
    assert (both.name, both.version) == ("a,b", "1+2")
    assert FallbackBackend([Plain("a", DOWN), Plain("b", DOWN, version=None)]).version is None
    with pytest.raises(ConfigurationError, match="at least one"):
        FallbackBackend([])
