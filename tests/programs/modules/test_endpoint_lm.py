"""The model of an endpoint policy in DSPy modules, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import dspy
import pytest
from servers import FaultyServer, Reply, Request, busy, json_reply

from genevolve.grammar.builtins import builtin_environment
from genevolve.grammar.errors import ConfigurationError, ServiceError
from genevolve.interpreter.keys import Secrets
from genevolve.programs.modules.writer import ProgramWriter
from genevolve.programs.policies.endpoint import EndpointPolicy, Options

PATH = "/v1/chat/completions"
KEY = "sk-planted-0123456789abcdef"
REQUEST = "A red square."
GOOD = f'request "{REQUEST}"\nprompt "A red square on white."\n'


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


def model(server: FaultyServer) -> dspy.LM:
    options = Options(api_base=server.url("/v1"), key="SERVER_API_KEY", timeout=5.0)
    return EndpointPolicy("openai/tiny", options, Secrets({"SERVER_API_KEY": KEY})).lm


def answer(text: str) -> Reply:
    message = {"role": "assistant", "content": text}
    return json_reply({"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


def test_a_module_asks_over_http_and_repairs(server: FaultyServer) -> None:
    server.on(PATH, answer(GOOD.replace("prompt", "promt")), answer(GOOD))
    with dspy.context(lm=model(server)):
        made = ProgramWriter(builtin_environment())(request=REQUEST)
    assert (made.ok, made.repairs, made.program) == (True, 1, GOOD)
    first, second = (r.json() for r in server.requests)
    assert [m["role"] for m in second["messages"]] == ["system", "user", "assistant", "user"]
    assert "^^^^^" in second["messages"][-1]["content"]
    assert first["messages"] == second["messages"][:2]


def test_errors_are_ours_and_hold_no_key(server: FaultyServer) -> None:
    def refuse(request: Request) -> Reply:
        return json_reply({"error": {"message": f"bad key {request.headers['authorization']}"}}, 401)

    writer = ProgramWriter(builtin_environment())
    server.on(PATH, refuse)
    with dspy.context(lm=model(server)), pytest.raises(ConfigurationError, match="refuses the key") as caught:
        writer(request=REQUEST)
    assert isinstance(caught.value.__cause__, dspy.LMAuthError)
    server.on(PATH, busy("7"))
    with dspy.context(lm=model(server)), pytest.raises(ServiceError) as late:
        writer(request=REQUEST)
    assert (late.value.retryable, late.value.retry_after) == (True, 7.0)
    server.on(PATH, json_reply({"error": {"message": "too long", "code": "context_length_exceeded"}}, 400))
    with dspy.context(lm=model(server)), pytest.raises(ServiceError, match="longer than"):
        writer(request=REQUEST)


def test_keys_of_the_call_do_not_stand_in_errors(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_API_KEY", KEY)
    server.on(PATH, json_reply({"error": {"message": f"bad key {KEY}"}}, 403))
    with dspy.context(lm=model(server)), pytest.raises(ConfigurationError) as caught:
        ProgramWriter(builtin_environment())(request=REQUEST)
    assert KEY not in str(caught.value)
