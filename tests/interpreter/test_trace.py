"""The trace: one line an event, at once on disk, validated when read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genevolve.grammar.errors import AuthorError, StorageError
from genevolve.interpreter.events import Event
from genevolve.interpreter.redact import MASK, Redactor, secrets_of
from genevolve.interpreter.trace import SCHEMA, TraceWriter, read_trace
from genevolve.interpreter.values import Evidence, ImageHandle, Images, Snippet

START = {"schema": SCHEMA, "parameters": {}, "environment": {}}


def written(tmp_path: Path, **options: Any) -> TraceWriter:
    return TraceWriter(tmp_path / "trace.jsonl", **options)


def test_each_event_is_on_disk_at_once_and_comes_back(tmp_path: Path) -> None:
    heard = []
    trace = written(tmp_path, listener=heard.append)
    trace.write("run_started", **START)
    assert (tmp_path / "trace.jsonl").read_text().count("\n") == 1
    trace.tell("call_started", tool="search")
    trace.write("run_finished", status="finished", diagnostics=[])
    back = read_trace(tmp_path / "trace.jsonl")
    assert back.events == tuple(trace.events)
    assert [e.kind for e in heard] == ["run_started", "call_started", "run_finished"]
    assert (back.status, back.truncated) == ("finished", False)
    assert read_trace(tmp_path).events == back.events, "a run folder will do"
    trace.close()


def test_texts_that_are_no_valid_unicode_come_back(tmp_path: Path) -> None:
    trace = written(tmp_path)
    trace.write("run_started", **START, text="a\ud800b\\ud800 \u2028 \x00")
    trace.close()
    assert read_trace(tmp_path).events[0].data["text"] == "a\ud800b\\ud800 \u2028 \x00"


def test_a_trace_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "trace.jsonl").write_text("precious")
    with pytest.raises(StorageError, match=r"trace\.jsonl"):
        written(tmp_path)
    assert (tmp_path / "trace.jsonl").read_text() == "precious"


def test_adopted_events_are_kept_as_they_are(tmp_path: Path) -> None:
    trace = written(tmp_path)
    trace.adopt([Event("run_started", 1.5, START)])
    trace.close()
    assert read_trace(tmp_path).events == (Event("run_started", 1.5, START),)


def test_a_last_line_that_is_cut_is_left_out_and_told(tmp_path: Path) -> None:
    trace = written(tmp_path)
    trace.write("run_started", **START)
    trace.write("z", digest="abc", z={"a": "ü"})
    trace.close()
    file = tmp_path / "trace.jsonl"
    whole = file.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first + 1, len(whole) - 1):
        file.write_bytes(whole[:cut])
        back = read_trace(file)
        assert (len(back.events), back.truncated, back.status) == (1, True, "running")
    file.write_bytes(whole[:-1])
    assert (len(read_trace(file).events), read_trace(file).truncated) == (2, False)


def line(**data: Any) -> bytes:
    return json.dumps(data).encode() + b"\n"


GOOD = line(event="run_started", at=0, **START)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b'{"event":"run_st', "empty or cut short"),
        (b"hello\nworld\n", "trace.jsonl:1: this line is not JSON"),
        (b"\xff\xfe\x00\n", ":1: this line is not JSON"),
        (b"[" * 100_000 + b"\n", ":1: this line is not JSON"),
        (b"[1, 2]\n", ":1: this line is not an event"),
        (line(event=5), "not an event"),
        (GOOD + line(event="flight", at=0), ":2: an event of the unknown kind 'flight'"),
        (GOOD + line(event="z", digest="", z={}), ":2: the event 'z' has no time"),
        (GOOD + line(event="z", at=True, digest="", z={}), "has no time"),
        (GOOD + line(event="z", at=1, digest=7, z={}), ":2: the event 'z' lacks a proper 'digest'"),
        (GOOD + line(event="call", at=1, statement=True, tool="t", arguments={}, attempts=1), "'statement'"),
        (line(event="run_started", at=0, **{**START, "schema": "genevolve.trace/9"}), "has schema"),
        (line(event="z", at=0, digest="", z={}), "does not begin"),
        (GOOD + b"broken\n" + GOOD, ":2: this line is not JSON"),
    ],
)
def test_damaged_and_foreign_files(tmp_path: Path, data: bytes, message: str) -> None:
    file = tmp_path / "trace.jsonl"
    file.write_bytes(data)
    with pytest.raises(AuthorError) as caught:
        read_trace(file)
    assert message in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(AuthorError, match="does not exist"):
        read_trace(tmp_path / "none.jsonl")
    with pytest.raises(AuthorError, match="does not exist"):
        read_trace(tmp_path)


def test_secrets_are_found_by_name_and_masked_everywhere(tmp_path: Path) -> None:
    variables = {
        "OPENAI_API_KEY": "sk-1234567890",
        "HF_TOKEN": 'quote"and\\slash',
        "DB_PASSWORD": "short",
        "MONKEY": "a-long-banana",
        "PATH": "/usr/bin:/bin",
    }
    secrets = secrets_of(variables)
    assert secrets == {"sk-1234567890", 'quote"and\\slash'}
    trace = written(tmp_path, redactor=Redactor(secrets))
    data = {"a": ["x sk-1234567890 y"], "sk-1234567890": {"b": 'quote"and\\slash'}, "n": 5}
    trace.write("run_started", **START, more=data)
    trace.close()
    text = (tmp_path / "trace.jsonl").read_text()
    assert "1234567890" not in text
    assert "and\\\\slash" not in text
    assert trace.events[0].data["more"] == {"a": [f"x {MASK} y"], MASK: {"b": MASK}, "n": 5}


def test_values_are_scrubbed_but_paths_stay() -> None:
    redactor = Redactor(["topsecret1", "topsecret1-longer"])
    assert redactor.value("a topsecret1-longer") == f"a {MASK}"
    found = redactor.value(Evidence((Snippet("topsecret1", "t topsecret1", "s"),)))
    assert found == Evidence((Snippet(MASK, f"t {MASK}", "s"),))
    image = ImageHandle("/x/topsecret1.png", "0" * 64, 1, 1, caption="topsecret1")
    assert redactor.value(Images((image,))).items[0].caption == MASK
    assert redactor.value(image).path == "/x/topsecret1.png"
    assert redactor.value(7) == 7
    assert Redactor().value(image) is image
