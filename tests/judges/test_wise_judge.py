from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from judge_cases import case, completion, config
from servers import FaultyServer, json_reply

from genevolve.grammar.errors import AuthorError
from genevolve.interpreter.judges.catalog import open_judge
from genevolve.interpreter.judges.protocol import Verdict
from genevolve.interpreter.judges.wise import WisePrompt, overall, read_prompts

ENTRY = {
    "prompt_id": 1,
    "Prompt": "The bird that stands for peace",
    "Explanation": "A white dove",
    "Category": "Cultural knowledge",
    "Subcategory": "Animal",
}
PATH = "/v1/chat/completions"


def test_prompts_are_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "culture.json"
    path.write_text(json.dumps([ENTRY, {**ENTRY, "prompt_id": 2}]))
    assert [p.id for p in read_prompts([path])] == [1, 2]
    assert read_prompts([path])[0].explanation == "A white dove"


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({}, "a JSON list"),
        ([], "a JSON list"),
        ([7], "entry 1: expected an object"),
        ([{**ENTRY, "prompt_id": "1"}], "prompt_id must be a whole number"),
        ([{**ENTRY, "Prompt": " "}], "Prompt must be a text"),
        ([{k: v for k, v in ENTRY.items() if k != "Explanation"}], "Explanation must be a text"),
        ([ENTRY, ENTRY], "entry 2: the prompt_id 1 stands twice"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, entries: object, reason: str) -> None:
    path = tmp_path / "w.json"
    path.write_text(json.dumps(entries))
    with pytest.raises(AuthorError, match=reason):
        read_prompts([path])


def test_grades_become_wiscore(tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text(json.dumps([ENTRY]))
    grades = {"consistency": 2, "realism": 1, "aesthetic_quality": 1, "rationale": "A dove."}
    with FaultyServer() as server:
        server.on(PATH, json_reply(completion({**grades, "realism": 3})), json_reply(completion(grades)))
        judge = open_judge(f"wise:grader?prompts={tmp_path / 'w.json'}", config(tmp_path, server.url("/v1")))

        async def ask() -> Verdict:
            made = judge.score(case(str(ENTRY["Prompt"])))
            return made if isinstance(made, Verdict) else await made

        verdict = asyncio.run(ask())
        asked = server.requests[0].json()["messages"][1]["content"][0]["text"]
        complaint = server.requests[1].json()["messages"][3]["content"]
    assert verdict.score == pytest.approx(0.85)
    assert verdict.dimensions == {"consistency": 1.0, "realism": 0.5, "aesthetic_quality": 0.5}
    assert json.dumps(ENTRY["Explanation"]) in asked
    assert "realism must be one of 0, 1, 2, not 3" in complaint


def test_overall_gives_every_prompt_the_same_weight() -> None:
    prompts = [WisePrompt(i, str(i), "e", "c", "a" if i < 3 else "b") for i in range(4)]
    means = overall({0: 1.0, 1: 0.0, 2: 0.5, 3: 1.0}, prompts)
    assert means == pytest.approx({"a": 0.5, "b": 1.0, "overall": 0.625})
    assert overall({}, prompts) == {}
