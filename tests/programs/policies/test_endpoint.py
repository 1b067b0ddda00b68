"""A model behind an API, against a real HTTP server that speaks OpenAI's chat protocol, rightly and wrongly."""

from __future__ import annotations

import base64
import io
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from servers import (
    FaultyServer,
    Reply,
    Request,
    busy,
    drip,
    html_reply,
    json_reply,
    redirect,
    reset,
    truncated,
)

from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.images import open_image
from genevolve.interpreter.keys import Secrets
from genevolve.interpreter.retry import RetryPolicy
from genevolve.programs.policies.endpoint import EndpointPolicy, Options, parse_spec, seed_of
from genevolve.programs.policies.protocol import Dialogue, Limits, Message, Policy, Role, Stop

PATH = "/v1/chat/completions"
KEY = "sk-planted-0123456789abcdef"
TURN = 'let facts = search("Eiffel Tower lattice")\n'
QUICK = RetryPolicy(attempts=3, base=0.001, cap=0.002)


def chat(text: str | None, finish: str = "stop", **message: Any) -> Reply:
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "served-model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish,
            }
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }
    return json_reply(body)


def dialogue(number: int = 0, *more: Message) -> Dialogue:
    opening = (Message(Role.SYSTEM, "Write programs."), Message(Role.USER, f"request {number}"))
    return Dialogue(f"d{number}", number, (*opening, *more))


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


def policy(server: FaultyServer, retry: RetryPolicy | None = QUICK, **options: Any) -> EndpointPolicy:
    given = Options(api_base=server.url("/v1"), key="SERVER_API_KEY", **{"timeout": 5.0, **options})
    return EndpointPolicy("openai/tiny", given, Secrets({"SERVER_API_KEY": KEY}), retry=retry)


def one(server: FaultyServer, *script: Any, **options: Any) -> Any:
    server.on(PATH, *script)
    asked = policy(server, **options)
    assert isinstance(asked, Policy)
    (emission,) = asked.act([dialogue()], Limits(max_tokens=64, temperature=0.5, top_p=0.9))
    asked.close()
    return emission


def test_a_turn_is_asked_for_in_the_protocol(server: FaultyServer) -> None:
    emission = one(server, chat(TURN))
    assert (emission.text, emission.stop, emission.error) == (TURN, Stop.END, "")
    assert (emission.prompt_tokens, emission.tokens_out) == (11, 7)
    sent = server.requests[0]
    body = sent.json()
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert body["model"] == "tiny"
    assert body["messages"] == [
        {"role": "system", "content": "Write programs."},
        {"role": "user", "content": "request 0"},
    ]
    assert (body["max_tokens"], body["temperature"], body["top_p"]) == (64, 0.5, 0.9)
    assert body["seed"] == seed_of(dialogue())
    assert "stop" not in body


def test_later_turns_send_the_whole_dialogue_and_another_seed(server: FaultyServer) -> None:
    server.on(PATH, chat(TURN))
    more = (Message(Role.ASSISTANT, TURN), Message(Role.USER, "facts: one \udc00"))
    with_more = dialogue(0, *more)
    policy(server).act([with_more], Limits())
    body = server.requests[0].json()
    assert [m["role"] for m in body["messages"]] == ["system", "user", "assistant", "user"]
    assert body["messages"][3]["content"] == "facts: one ?"
    assert body["seed"] == seed_of(with_more) != seed_of(dialogue())


def test_many_dialogues_are_asked_about_at_once_and_answered_in_order(server: FaultyServer) -> None:
    def answer(request: Request) -> Reply:
        asked = request.json()["messages"][-1]["content"]
        reply = chat(f"# {asked}\n")
        late = 0.15 if asked.endswith("0") else 0.05
        return Reply(reply.status, reply.body, reply.headers, delay=late)

    server.on(PATH, answer)
    asked = policy(server, threads=4)
    emissions = asked.act([dialogue(n) for n in range(12)], Limits())
    assert [e.text for e in emissions] == [f"# request {n}\n" for n in range(12)]
    assert server.most_at_once == 4
    assert asked.spending.calls == 12
    assert (asked.spending.prompt_tokens, asked.spending.tokens_out) == (12 * 11, 12 * 7)


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        (f"Sure! Here it is:\n\n```gprog\n{TURN}```\nAnything else?", TURN),
        (f"```\n{TURN}", TURN),
        (f"<think>search first\n```\nno\n```</think>\n{TURN}", "\n" + TURN),
        ("I would search for the tower first.", "I would search for the tower first."),
        (f"```\n{TURN}```\nor\n```\nuse skill a\n```\n", f"```\n{TURN}```\nor\n```\nuse skill a\n```\n"),
        (
            'prompt """\n```\na fence in a poster\n```\n"""\n',
            'prompt """\n```\na fence in a poster\n```\n"""\n',
        ),
        (TURN.replace("\n", "\r\n"), TURN),
    ],
)
def test_answers_are_unwrapped_without_guessing(server: FaultyServer, said: str, taken: str) -> None:
    assert one(server, chat(said)).text == taken


def test_half_a_surrogate_pair_does_not_go_on(server: FaultyServer) -> None:
    broken = Reply(
        200, chat("# x\n").body.replace(b"# x", rb"# \ud800"), {"Content-Type": "application/json"}
    )
    assert one(server, broken).text == "# ?\n"


def test_too_many_requests_waits_as_long_as_the_service_says(server: FaultyServer) -> None:
    began = time.monotonic()
    emission = one(server, busy("0.3"), chat(TURN))
    assert emission.text == TURN
    assert server.requests[1].at - server.requests[0].at >= 0.29
    assert time.monotonic() - began < 4


def test_a_retry_after_beyond_the_timeout_is_not_waited_for(server: FaultyServer) -> None:
    began = time.monotonic()
    emission = one(server, busy("3600"), chat(TURN))
    assert emission.stop is Stop.FAILED
    assert time.monotonic() - began < 2
    assert server.count() == 1


@pytest.mark.parametrize(
    "fault",
    [
        json_reply({"error": {"message": "overloaded"}}, 500),
        json_reply({"error": {"message": "no worker"}}, 503),
        Reply(200, b'{"choices": [{"message": {"content": "let', {"Content-Type": "application/json"}),
        html_reply(),
        json_reply([1, 2]),
        truncated(b'{"choices": [{"mess'),
        reset(b'{"cho'),
    ],
    ids=["500", "503", "half JSON", "HTML", "a list", "truncated", "reset"],
)
def test_faults_are_tried_again_and_then_told(server: FaultyServer, fault: Reply) -> None:
    assert one(server, fault, chat(TURN)).text == TURN
    failed = one(server, fault)
    assert failed.stop is Stop.FAILED
    assert "3 attempts" in failed.error
    assert server.count() == 5


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_cannot_get_better_is_not_tried_again(server: FaultyServer, status: int) -> None:
    told = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "x"}}
    emission = one(server, json_reply(told, status))
    assert emission.stop is Stop.FAILED
    assert server.count() == 1
    assert KEY not in emission.error
    assert "[redacted]" in emission.error


def test_silence_and_drips_end_in_time(server: FaultyServer) -> None:
    began = time.monotonic()
    slow = one(server, Reply(200, b"{}", delay=20), timeout=0.3, retry=RetryPolicy(attempts=1))
    dripping = one(server, drip(0.05, 1000), timeout=0.4, retry=RetryPolicy(attempts=1))
    assert slow.stop is Stop.FAILED
    assert dripping.stop is Stop.FAILED
    assert "0.4 seconds" in dripping.error
    assert time.monotonic() - began < 3


def test_nobody_there(server: FaultyServer) -> None:
    gone = EndpointPolicy("openai/tiny", Options(api_base="http://127.0.0.1:9/v1"), retry=QUICK)
    (emission,) = gone.act([dialogue()], Limits())
    assert emission.stop is Stop.FAILED
    assert "connect" in emission.error


def test_refusals_truncation_and_nothing(server: FaultyServer) -> None:
    refused = one(server, chat(None, refusal="I cannot help with that."))
    filtered = one(server, chat("", "content_filter"))
    cut = one(server, chat("let facts = sea", "length"))
    empty = one(server, chat(""))
    nothing = one(server, json_reply({"choices": [], "model": "m"}))
    call = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    called = one(server, chat(None, "tool_calls", tool_calls=[call]))
    assert (refused.stop, filtered.stop) == (Stop.REFUSED, Stop.REFUSED)
    assert "I cannot help with that." in refused.error
    assert (cut.stop, cut.text) == (Stop.LENGTH, "let facts = sea")
    assert [(e.stop, e.text) for e in (empty, nothing, called)] == [(Stop.END, "")] * 3
    assert "tool call" in called.error
    assert nothing.prompt_tokens is None


def test_an_answer_of_ten_megabytes_is_cut_and_a_larger_one_is_not_read(server: FaultyServer) -> None:
    long = one(server, chat("x" * 10_000_000))
    assert (long.stop, len(long.text)) == (Stop.LENGTH, 262_144)
    endless = one(server, Reply(pieces=lambda: (b" " * 1_000_000 for _ in range(100)), length=None))
    assert endless.stop is Stop.FAILED
    assert "larger than" in endless.error
    assert server.count() == 2


def test_one_dialogue_that_fails_leaves_the_others_alone(server: FaultyServer) -> None:
    def answer(request: Request) -> Reply:
        bad = request.json()["messages"][-1]["content"] == "request 1"
        return json_reply({"error": {"message": "bad request"}}, 400) if bad else chat(TURN)

    server.on(PATH, answer)
    emissions = policy(server).act([dialogue(n) for n in range(3)], Limits())
    assert [e.stop for e in emissions] == [Stop.END, Stop.FAILED, Stop.END]


def test_redirects_are_not_followed_and_proxies_not_asked_for_this_machine(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert one(server, chat(TURN)).text == TURN
    moved = one(server, redirect(server.url("/elsewhere"), 307))
    assert moved.stop is Stop.FAILED
    assert server.count("/elsewhere") == 0


def test_the_catalog_opens_it(tmp_path: Path) -> None:
    from genevolve.interpreter.config import load_config
    from genevolve.programs.policies.catalog import open_policy

    (tmp_path / ".env").write_text(f"MODELS_API_KEY={KEY}\n")
    (tmp_path / "genevolve.toml").write_text("")
    config = load_config(file=tmp_path / "genevolve.toml", environment={}, user_file=tmp_path / "none.toml")
    spec = "endpoint:openai/own?api_base=http://127.0.0.1:9/v1&key=MODELS_API_KEY"
    opened = open_policy(spec, config)
    assert isinstance(opened, EndpointPolicy)
    assert opened.name == spec
    with pytest.raises(ConfigurationError, match="MODELS_API_KEY"):
        open_policy(
            spec, load_config(start=tmp_path.parent, environment={}, user_file=tmp_path / "none.toml")
        )


def test_requests_are_spaced(server: FaultyServer) -> None:
    server.on(PATH, chat(TURN))
    policy(server, rpm=600.0).act([dialogue(n) for n in range(4)], Limits())
    times = sorted(r.at for r in server.requests)
    assert times[-1] - times[0] >= 0.28


def test_pictures_are_sent_when_the_model_takes_them(server: FaultyServer, tmp_path: Path) -> None:
    Image.new("RGBA", (2000, 10), (255, 0, 0, 128)).save(tmp_path / "wide.png")
    handle = open_image("wide.png", [tmp_path])
    seen = dialogue(0, Message(Role.ASSISTANT, TURN), Message(Role.USER, "found:", (handle,)))
    server.on(PATH, chat(TURN))
    blind, seeing = policy(server), policy(server, images=True)
    assert (blind.takes_images, seeing.takes_images) == (False, True)
    blind.act([seen], Limits())
    seeing.act([seen], Limits())
    texts, both = (r.json()["messages"][-1]["content"] for r in server.requests)
    assert texts == "found:"
    assert both[0] == {"type": "text", "text": "found:"}
    data = both[1]["image_url"]["url"].removeprefix("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(base64.b64decode(data))) as sent:
        assert sent.size == (1024, 5)
        assert sent.getpixel((500, 2))[1] > 100  # half transparent red on white
    (tmp_path / "wide.png").write_bytes(b"changed")
    from genevolve.programs.policies.endpoint import encoded

    encoded.cache_clear()
    (gone,) = seeing.act([seen], Limits())
    assert gone.stop is Stop.FAILED
    assert "changed" in gone.error


def test_money_is_counted_where_prices_are_known(server: FaultyServer) -> None:
    server.on(PATH, chat(TURN))
    free, priced = policy(server), policy(server, price_in=1.0, price_out=10.0)
    free.act([dialogue()], Limits())
    priced.act([dialogue(), dialogue(1)], Limits())
    assert free.spending.money is None
    assert priced.spending.money == pytest.approx(2 * (11 + 70) / 1e6)


def test_stopping_ends_the_waiting_and_begins_nothing_new(server: FaultyServer) -> None:
    server.on(PATH, Reply(200, b"{}", delay=3))
    asked = policy(server, threads=1, retry=RetryPolicy(attempts=1))
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), 2))
    timer.start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        asked.act([dialogue(n) for n in range(5)], Limits())
    assert time.monotonic() - began < 2
    assert server.count() == 1


# ---- specs and keys ----------------------------------------------------------------------------------


def test_a_name_opens_the_same_policy_and_holds_no_key(server: FaultyServer) -> None:
    asked = policy(server, images=True, rpm=60.0, seed=False)
    model, options = parse_spec(asked.name)
    assert (model, options) == ("openai/tiny", asked.options)
    assert asked.version == f"openai/tiny@{server.url('/v1')}"
    state = json.dumps(asked.lm.dump_state())
    shown = f"{asked.name} {asked.version} {asked!r} {asked.lm!r} {asked._engine!r} {state}"
    assert KEY not in shown
    assert "SERVER_API_KEY" in asked.name


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("endpoint:gpt", "PROVIDER/MODEL"),
        ("openai/x?api_key=sk-0123456789", "does not belong into a spec"),
        ("openai/x?api_bas=http://h", "api_base"),
        ("openai/x?rpm=0", "positive"),
        ("openai/x?rpm=nan", "not negative"),
        ("openai/x?threads=0", "from 1"),
        ("openai/x?threads=2&threads=3", "twice"),
        ("openai/x?key=sk-0123456789", "names a variable"),
        ("openai/x?images=yes", "true or false"),
        ("openai/x?api_base=http://me:sk-0123456789@h/v1", "user name"),
        ("openai/x?api_base=ftp://h/v1", "http"),
        ("openai/x?api_base=http://h/v1%3Ftoken=sk-0123456789", "query"),
        ("anthropic/x?api_base=http://h/v1", "openai/x"),
        ("nobody-knows/x", "nobody-knows"),
        ("openai/x?key=MISSING_API_KEY", "MISSING_API_KEY"),
    ],
)
def test_wrong_specs_are_told_without_repeating_keys(spec: str, told: str) -> None:
    def open_it() -> EndpointPolicy:
        model, options = parse_spec(spec)
        return EndpointPolicy(model, options, Secrets({}))

    with pytest.raises(ConfigurationError) as caught:
        open_it()
    assert told in str(caught.value)
    assert "sk-0123456789" not in str(caught.value)


def test_the_usual_key_is_not_sent_to_an_address_that_it_was_not_named_for(server: FaultyServer) -> None:
    server.on(PATH, chat(TURN))
    keys = Secrets({"OPENAI_API_KEY": KEY})
    own = EndpointPolicy("openai/tiny", Options(api_base=server.url("/v1")), keys)
    own.act([dialogue()], Limits())
    assert KEY not in server.requests[0].headers["authorization"]
    gateway = EndpointPolicy("openai/tiny", None, keys, {"OPENAI_BASE_URL": server.url("/v1")})
    gateway.act([dialogue()], Limits())
    assert server.requests[1].headers["authorization"] == f"Bearer {KEY}"


def test_a_provider_without_its_key_fails_with_a_reason() -> None:
    keyless = EndpointPolicy("openai/gpt-4o-mini", None, Secrets({}), retry=QUICK)
    (emission,) = keyless.act([dialogue()], Limits())
    assert emission.stop is Stop.FAILED
    assert "OPENAI_API_KEY" in emission.error or "api_key" in emission.error
