"""A language model of DSPy that answers by a plain function of what it reads, through DSPy's own request path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dspy
from dspy import lm15

Said = list[tuple[str, str]]
"""Roles and texts; the system text comes first, under the role `system`."""


class FunctionEngine:
    """`function(said) -> text`; what was said each time is kept in `calls`."""

    def __init__(self, function: Callable[[Said], str]) -> None:
        self.function = function
        self.calls: list[Said] = []

    def complete(self, request: Any) -> Any:
        said: Said = [("system", request.system)] if request.system else []
        said += [(m.role, m.text or "") for m in request.messages]
        self.calls.append(said)
        answer = self.function(said)
        return lm15.Response(
            id=None,
            model=request.model,
            message=lm15.Message.assistant(answer),
            finish_reason="stop",
            usage=lm15.Usage(input_tokens=sum(len(t) for _, t in said), output_tokens=len(answer)),
        )

    def stream(self, request: Any) -> Iterator[Any]:
        return iter(lm15.response_to_events(self.complete(request)))

    def close(self) -> None:
        pass

    def __deepcopy__(self, memo: dict[int, object]) -> FunctionEngine:
        return self


def scripted(*answers: str | Callable[[Said], str], **options: Any) -> tuple[Any, FunctionEngine]:
    """A model that gives these answers in turn, the last one for ever; and its engine."""
    count = 0

    def answer(said: Said) -> str:
        nonlocal count
        chosen = answers[min(count, len(answers) - 1)]
        count += 1
        return chosen if isinstance(chosen, str) else chosen(said)

    engine = FunctionEngine(answer)
    return dspy.LM("scripted/model", engine=engine, cache=False, num_retries=0, **options), engine
