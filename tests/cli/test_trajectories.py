"""`genevolve trajectories import` and `export`, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from servers import FaultyServer, Reply, Request, json_reply

from genevolve.cli.app import OK, USAGE, WRONG_INPUT, run_command_line
from genevolve.programs.program import Program

FOUND = """<tool_response>
--- image search result for [a tower] ---
IMG_001: title: Day
  local_path: /etc/../tmp/one.png
IMG_002: title: Night \x1b[31m
  local_path: C:\\pictures\\two.png
  url: https://a.example/2.png
--- end of image search result ---
</tool_response>"""
CALL = '<think>look</think><tool_call>{"name": "image_search", "arguments": {"query": "a tower"}}</tool_call>'
PAYLOAD = {
    "gen_prompt": "The first reference image.",
    "reference_images": [{"img_id": "IMG_002", "note": "shape"}],
}


def row(identity: object = "one", **changes: Any) -> dict[str, Any]:
    messages = [
        {"role": "user", "content": "A tower."},
        {"role": "assistant", "content": CALL},
        {"role": "user", "content": FOUND},
        {"role": "assistant", "content": f"<answer>{json.dumps({**PAYLOAD, **changes})}</answer>"},
    ]
    return {"id": identity, "prompt": "A tower.", "messages": messages}


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("GENEVOLVE_LIBRARY_EMBEDDER", "none")


def write(path: str, *rows: object) -> str:
    Path(path).write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_good_rows_become_programs_and_bad_ones_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = row("bad", reference_images=[{"img_id": "IMG_009", "note": ""}])
    file = write("in.jsonl", row(), bad, row("../x \x1b[31m"), row("one"), 3)
    assert run_command_line(["trajectories", "import", file, "-o", "out"]) == OK
    told = capsys.readouterr()
    assert "in.jsonl:2: round 2: No search showed IMG_009" in told.err
    assert "in.jsonl:5: there are no messages" in told.err
    assert "3 programs in out, 2 rows left out" in told.out
    assert "\x1b" not in told.out + told.err
    programs = sorted(p.name for p in (tmp_path / "out").glob("*.gprog"))
    assert len(programs) == 3
    assert {"one.gprog", "one-2.gprog"} < set(programs)
    assert "ref a = i1[1]" in (tmp_path / "out" / "one.gprog").read_text()
    kept = [json.loads(line) for line in (tmp_path / "out" / "observations.jsonl").read_text().splitlines()]
    assert [k["id"] for k in kept] == [p.removesuffix(".gprog") for p in ("one", kept[1]["id"], "one-2")]
    assert kept[0]["shown"][0]["pictures"][1]["url"] == "https://a.example/2.png"


def test_pictures_come_from_one_folder_and_searches_are_answered_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pics").mkdir()
    for name, colour in (("one", "red"), ("two", "blue")):
        Image.new("RGB", (64, 48), colour).save(tmp_path / "pics" / f"{name}.png")
    command = [
        "trajectories",
        "import",
        write("in.jsonl", row()),
        "-o",
        "out",
        "--pictures",
        "pics",
        "--json",
    ]
    assert run_command_line(command) == OK
    data = json.loads(capsys.readouterr().out)
    assert data["done"][0]["recorded"] == 1
    replay = ["run", "out/one.gprog", "--replay-search", "out/recording", "--no-record", "--out", "a.png"]
    assert run_command_line(replay) == OK
    assert (tmp_path / "a.png").exists()


def test_a_missing_picture_moves_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pics").mkdir()
    Image.new("RGB", (64, 48), "blue").save(tmp_path / "pics" / "two.png")
    command = [
        "trajectories",
        "import",
        write("in.jsonl", row()),
        "-o",
        "out",
        "--pictures",
        "pics",
        "--json",
    ]
    assert run_command_line(command) == OK
    assert json.loads(capsys.readouterr().out)["done"][0]["recorded"] == 0


def test_rollouts_and_programs_are_exported_and_come_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = """\
request "A stamp of the Tower of Buddhist Incense."
let towers = image_search("Tower of Buddhist Incense", top_k: 2)
# the first one is seen from the front
ref tower = towers[0] for "the eight-sided tower"
use skill text_rendering
prompt "A postage stamp with the tower from {tower}. Capitals at the top read \\"VELM\\"."
"""
    (tmp_path / "finished.gprog").write_text(finished)
    synth = ["synth", "A stamp of the Tower of Buddhist Incense.", "--policy", "scripted:finished.gprog"]
    assert run_command_line([*synth, "-o", "a.gprog", "--trajectories", "all.jsonl"]) == OK
    capsys.readouterr()
    command = ["trajectories", "export", "all.jsonl", "finished.gprog", "-o", "up.jsonl", "--json"]
    assert run_command_line(command) == OK
    data = json.loads(capsys.readouterr().out)
    assert [d["id"] for d in data["done"]] == ["all-1", "finished"]
    records = [json.loads(line) for line in (tmp_path / "up.jsonl").read_text().splitlines()]
    assert records[0]["gen_prompt"] == records[1]["gen_prompt"]
    assert "the first reference image" in records[0]["gen_prompt"]
    assert "title: " in records[0]["messages"][3]["content"]
    assert run_command_line(["trajectories", "import", "up.jsonl", "-o", "back"]) == OK
    back = Program.load(tmp_path / "back" / "all-1.gprog").source
    assert 'ref a = i1[0] for "the eight-sided tower"' in back
    assert run_command_line(["check", "back"]) == OK


def test_what_cannot_be_exported_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "holes.gprog").write_text('request "x"\n...\n')
    write("rows.jsonl", {"schema": "genevolve.rollout/1", "program": None, "outcome": "garbage"}, [])
    command = ["trajectories", "export", "holes.gprog", "rows.jsonl", "-o", "up.jsonl"]
    assert run_command_line(command) == WRONG_INPUT
    told = capsys.readouterr().err
    assert "rows.jsonl:1: the rollout has no program (garbage)" in told
    assert "rows.jsonl:2: this is no rollout of genevolve" in told
    assert "holes.gprog: " in told


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["import", "nowhere.jsonl", "-o", "out"], WRONG_INPUT),
        (["import", ".", "-o", "out"], WRONG_INPUT),
        (["import", "broken.json", "-o", "out"], WRONG_INPUT),
        (["import", "empty.jsonl", "-o", "out"], WRONG_INPUT),
        (["import", "empty.jsonl", "-o", "empty.jsonl"], WRONG_INPUT),
        (["import", "empty.jsonl"], USAGE),
        (["export", "empty.jsonl", "-o", "out.txt"], WRONG_INPUT),
        (["export", "nowhere.gprog", "-o", "out.jsonl"], WRONG_INPUT),
        ([], USAGE),
    ],
)
def test_mistakes_end_with_a_sentence(
    command: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "broken.json").write_text("[{]")
    assert run_command_line(["trajectories", *command]) == code
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    assert told.out + told.err


def test_synth_asks_the_released_checkpoint_and_its_rollout_goes_there_and_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = f"<think>good</think><answer>{json.dumps(PAYLOAD)}</answer>"

    def play(request: Request) -> Reply:
        messages = request.json()["messages"]
        text = CALL if len(messages) == 2 else answer
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return json_reply({"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]})

    with FaultyServer() as server:
        server.on("/v1/chat/completions", play)
        policy = f"released:{server.url('/v1')}?timeout=20"
        command = ["synth", "A tower.", "--policy", policy, "-o", "a.gprog", "--trajectories", "a.jsonl"]
        assert run_command_line(command) == OK
        assert server.count() == 2
    assert "ref a = i1[1]" in (tmp_path / "a.gprog").read_text()
    assert run_command_line(["trajectories", "export", "a.jsonl", "-o", "up.jsonl"]) == OK
    assert run_command_line(["trajectories", "import", "up.jsonl", "-o", "back"]) == OK
    capsys.readouterr()
    again = (tmp_path / "back" / "a-1.gprog").read_text()
    assert Program.parse(again) == Program.load(tmp_path / "a.gprog")
