"""Who words what a pair teaches: by name, over real HTTP, under the store's rules, with a fallback that is counted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from experience_samples import PlainEmbedder
from servers import FaultyServer, Reply, Request, busy, json_reply

from genevolve.experience_store.admission import inspect
from genevolve.experience_store.experience import RewardParts
from genevolve.experience_store.store import ExperienceStore
from genevolve.grammar.errors import ConfigurationError
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.interpreter.retry import RetryPolicy
from genevolve.optimizer.contrast import About, Attempt, Pair, experience_of, summarise
from genevolve.optimizer.summarisers import (
    close_summariser,
    complaints_about,
    dspy_summariser,
    open_summariser,
)
from genevolve.programs.modules.abstractor import GUIDANCE

PATH = "/v1/chat/completions"
REQUEST = "A poster of the bell of Velmora with its motto across the top."
GOOD = f'''
request "{REQUEST}"
let page = search("Velmora bell motto", top_k: 3)
use skill text_rendering
prompt """
Exactly three bells stand in a single row. On a plain banner large capitals read "HOLD FAST".
"""
render seed: 1
'''
POOR = f'request "{REQUEST}"\nprompt "A poster with some bells and a motto."\nrender seed: 1\n'
ABOUT = About(REQUEST, "poster", "inspector", "policy", 3, created=3.0)
ADVICE: dict[str, list[str]] = {
    "trigger": ["posters that quote a line of words over several equal things"],
    "source_prompt_summary": ["A printed design with counted things and one line of lettering."],
    "focus": ["- Settle first which words must be legible and how many equal things are asked for."],
    "skill_routing_guidance": [
        "- Use the lettering skill before the prompt is composed whenever a line of words must be readable."
    ],
    "prompt_program_guidance": [
        "- Quote the words that must be readable and put them on a plain surface of their own."
    ],
}


def attempt(text: str, total: float, *facts: str) -> Attempt:
    return Attempt(text, parse(Source(text)).tree, RewardParts(total, image=total, text=total), facts=facts)


PAIR = Pair(
    attempt(GOOD, 0.9, "Velmora: The motto of the town is Hold Fast, cast by Oskar Brandt."),
    attempt(POOR, 0.2),
)


def sections(**changes: list[str]) -> str:
    said = ADVICE | changes
    names = ("trigger", "source_prompt_summary", *GUIDANCE)
    return "\n".join("\n".join((f"=== {n} ===", *said.get(n, []))) for n in names)


def answer(text: str) -> Reply:
    message = {"role": "assistant", "content": text}
    return json_reply({"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture
def asked(server: FaultyServer) -> Iterator[Any]:
    made = dspy_summariser(
        f"dspy:endpoint:openai/tiny?api_base={server.url('/v1')}&timeout=5",
        repairs=1,
        retry=RetryPolicy(attempts=2, base=0.0),
    )
    yield made
    made.close()


def counts(summariser: Any) -> dict[str, int]:
    found = {n.removeprefix("memory/summaries_"): int(v) for n, v in summariser.take_figures().items()}
    return {n: v for n, v in found.items() if v}


# ---- by name -----------------------------------------------------------------------------------------


def test_summarisers_have_names(server: FaultyServer) -> None:
    assert open_summariser() is summarise
    assert open_summariser("embedded") is summarise
    made = open_summariser(f"dspy:endpoint:openai/tiny?api_base={server.url('/v1')}")
    assert made.name.startswith("dspy:endpoint:openai/tiny?api_base=http://127.0.0.1")  # type: ignore[attr-defined]  # of the DSPy one
    close_summariser(made)
    close_summariser(summarise)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("embeded", "did you mean 'embedded'"),
        ("gpt", "there is no summariser 'gpt'"),
        ("dspy:", "no policy"),
        ("dspy:endpoint:tiny", "PROVIDER/MODEL"),
        ("dspy:nobody", "there is no policy 'nobody'"),
    ],
)
def test_names_that_nobody_has_are_told(spec: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        open_summariser(spec)


def test_any_policy_may_word_it(tmp_path: Path) -> None:
    """A policy of this process that says what was recorded: no answer, so that the fallback words it."""
    script = tmp_path / "said.gprog"
    script.write_text(POOR)
    made = open_summariser(f"dspy:scripted:{script}")
    assert made(ABOUT, PAIR) == summarise(ABOUT, PAIR)
    assert counts(made)["fell_back"] == 1
    close_summariser(made)


# ---- over HTTP ---------------------------------------------------------------------------------------


def test_a_model_words_a_pair_and_the_store_takes_it(
    server: FaultyServer, asked: Any, tmp_path: Path
) -> None:
    server.on(PATH, answer(sections()))
    bundle = asked(ABOUT, PAIR)
    assert [b.text for b in bundle.guidance.focus] == [ADVICE["focus"][0].removeprefix("- ")]
    experience = experience_of(ABOUT, PAIR, bundle)
    assert inspect(experience) is None
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder()) as store:
        assert store.add(experience).status == "added"
    assert counts(asked) == {"asked": 1, "worded": 1}
    assert counts(asked) == {}, "figures are of what happened since"
    said = json.dumps(server.requests[0].json()["messages"])
    assert "better: 0.900, worse: 0.200" in said
    assert "image 0.90" in said
    assert "cast by Oskar Brandt" in said


@pytest.mark.parametrize(
    "bullet",
    [
        "- Write the words of Brandt on a plain banner so that every letter can be read with ease.",
        "- Fancy lettering should be avoided because the generator draws broken letters when it is asked for.",
        "- Quote words.",
        "- Say that exactly three bells stand in a single row whenever several equal things are asked for.",
    ],
)
def test_what_the_store_would_refuse_goes_back_to_the_model(
    server: FaultyServer, asked: Any, bullet: str
) -> None:
    server.on(PATH, answer(sections(focus=[bullet])), answer(sections()))
    bundle = asked(ABOUT, PAIR)
    assert inspect(experience_of(ABOUT, PAIR, bundle)) is None
    assert bullet.removeprefix("- ") not in [b.text for _, b in bundle.guidance.bullets()]
    assert counts(asked) == {"asked": 1, "worded": 1, "repairs": 1}
    told = server.requests[1].json()["messages"][-1]["content"]
    assert bullet.removeprefix("- ")[:30] in told or "Brandt" in told.title()


def test_a_name_that_only_the_evidence_holds_is_refused_by_the_stores_rule(
    server: FaultyServer, asked: Any
) -> None:
    leak = "- Ask the archive for the caster Oskar before the prompt is written, because style follows the caster."
    server.on(PATH, answer(sections(focus=[leak])))
    assert asked(ABOUT, PAIR) == summarise(ABOUT, PAIR)
    assert counts(asked) == {"asked": 1, "refused": 1, "fell_back": 1, "repairs": 1}
    assert "belongs to this request only" in server.requests[1].json()["messages"][-1]["content"]


def test_complaints_are_the_rules_of_the_store() -> None:
    good = summarise(ABOUT, PAIR)
    assert good is not None
    assert complaints_about(ABOUT, PAIR, good.to_dict()) == []
    broken: Any = json.loads(json.dumps(good.to_dict()))
    broken["decision_guidance"]["focus"] = [
        "Search for Velmora in the archive before any word of the prompt is written."
    ]
    (told,) = complaints_about(ABOUT, PAIR, broken)
    refused = inspect(experience_of(ABOUT, PAIR, good.from_dict(broken)))
    assert refused is not None
    assert told == refused.reason
    assert "retrieval_key" in complaints_about(ABOUT, PAIR, {**broken, "retrieval_key": 3})[0]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(500),
        busy("0"),
        answer("I would rather not."),
        Reply(200, b"<html>proxy</html>"),
        Reply(200, b"", ending="reset"),
    ],
)
def test_a_model_that_fails_is_replaced_and_counted(server: FaultyServer, asked: Any, reply: Reply) -> None:
    server.on(PATH, reply)
    assert asked(ABOUT, PAIR) == summarise(ABOUT, PAIR)
    found = counts(asked)
    assert (found["asked"], found["fell_back"]) == (1, 1)
    assert found.get("failed", 0) + found.get("refused", 0) == 1
    assert 1 <= len(server.requests) <= 2


def test_a_service_that_is_busy_is_asked_again(server: FaultyServer, asked: Any) -> None:
    server.on(PATH, busy("0"), answer(sections()))
    assert asked(ABOUT, PAIR) != summarise(ABOUT, PAIR)
    assert counts(asked) == {"asked": 1, "worded": 1}


def test_a_wrong_key_ends_the_run_at_its_start_and_not_later(server: FaultyServer, asked: Any) -> None:
    refuse = json_reply({"error": {"message": "bad key"}}, 401)
    server.on(PATH, refuse)
    with pytest.raises(ConfigurationError, match="refuses the key"):
        asked(ABOUT, PAIR)
    server.on(PATH, answer(sections()), refuse)
    assert asked(ABOUT, PAIR) is not None
    assert asked(ABOUT, PAIR) == summarise(ABOUT, PAIR)
    assert counts(asked)["failed"] == 1


def test_pairs_that_no_wording_mends_cost_nothing(server: FaultyServer, asked: Any) -> None:
    broken = Attempt(POOR, PAIR.worst.tree, RewardParts(0.2), "no picture")
    near = attempt(POOR, 0.85)
    same = attempt(GOOD, 0.2)
    for worst in (broken, near, same):
        pair = Pair(PAIR.best, worst)
        assert asked(ABOUT, pair) == summarise(ABOUT, pair)
    assert not server.requests
    assert counts(asked) == {}


def test_several_pairs_at_a_time(server: FaultyServer, asked: Any) -> None:
    def reply(request: Request) -> Reply:
        good = "A lamp" not in json.dumps(request.json())
        return answer(sections()) if good else answer("no")

    server.on(PATH, reply)
    lamp = About("A lamp.", created=1.0)
    found: dict[int, Any] = {}

    def work(i: int) -> None:
        found[i] = asked(lamp if i % 2 else ABOUT, PAIR)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all((found[i] == summarise(lamp, PAIR)) == bool(i % 2) for i in range(6))
    assert counts(asked) == {"asked": 6, "worded": 3, "refused": 3, "fell_back": 3, "repairs": 3}


def test_a_bug_of_a_client_library_ends_no_run(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise LookupError("no such codec")

    monkeypatch.setattr(asked, "_once", broken)
    assert asked(ABOUT, PAIR) == summarise(ABOUT, PAIR)
    assert counts(asked) == {"asked": 1, "failed": 1, "fell_back": 1}
