"""A thousand rows, five in a hundred of them with a fault of some kind: each ends with a result or with its reason."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_world import QUICK, PlainRenderer, output, run, write_rows
from PIL import Image
from servers import FaultyServer, Reply, Request, busy, html_reply, json_reply, reset, truncated

from genevolve.grammar.errors import ServiceError
from genevolve.grammar.z import Z
from genevolve.interpreter.backends.serper import SerperBackend
from genevolve.interpreter.backends.tools import BackendSearchTool
from genevolve.interpreter.machine import Machine
from genevolve.interpreter.net.fetcher import Fetcher
from genevolve.interpreter.net.store import BlobStore
from genevolve.interpreter.protocols import Tool
from genevolve.interpreter.tools.ask import AskTool
from genevolve.interpreter.tools.function_tool import FunctionTool
from genevolve.interpreter.tools.image import ImageTool

TEMPLATE = """\
program faulty(question: text, fault: text = "none", photo: image)
request "{question}"
let facts = search("{fault}", top_k: 2)
let fact = ask(facts, "What is a fact?")
let said = tell(fault)
ref shown = photo for "its colour"
prompt "A card in the colour of {shown}. {question} {said} {fact}"
"""

SERVICE: dict[str, Reply] = {
    "http-500": Reply(500, b"oops"),
    "http-429": busy(),
    "http-403": Reply(403, b"no"),
    "slow": json_reply({"organic": []}, delay=5.0),
    "cut": truncated(b'{"organic": ['),
    "reset": reset(b'{"organic": ['),
    "html": html_reply(),
    "not-json": Reply(200, b'{"organic": ['),
    "wrong-shape": json_reply({"organic": "many"}),
}
"""What the search service answers to a fault."""

TOOL = ("tool-service", "tool-bug", "tool-type", "tool-exit")
RENDERER = ("renderer-down", "renderer-bug")
PHOTO: dict[str, tuple[str, str]] = {
    "photo-missing": ("nowhere.png", "GP413"),
    "photo-garbage": ("garbage.png", "GP414"),
    "photo-empty": ("empty.png", "GP414"),
    "photo-outside": ("../outside.png", "GP412"),
}
ROW: dict[str, Any] = {
    "row-json": '{"id": "x",',
    "row-id": {"question": "No id."},
    "row-duplicate": {"id": "row0", "question": "The id of another.", "photo": "red.png"},
    "row-question": {"id": "mute", "photo": "red.png"},
    "GP318": {"id": "wrong", "question": "Wrong type.", "photo": 3},
    "GP317": {"id": "lacking", "question": "No photo."},
}
HEALS = "heals"
"""Fails once and then answers."""

FAULTS = [*SERVICE, *TOOL, *RENDERER, *PHOTO, *ROW, HEALS, "nothing-found"]
ROWS = 1000


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    healed: set[str] = set()

    def answer(request: Request) -> Reply:
        fault = str(request.json()["q"])
        if fault.startswith(HEALS) and fault not in healed:
            healed.add(fault)
            return Reply(503, b"in a moment")
        if fault == "nothing-found":
            return json_reply({"organic": []})
        found = {"organic": [{"title": "T", "link": "https://x.example/1", "snippet": "A fact."}]}
        return SERVICE.get(fault, json_reply(found))

    with FaultyServer() as running:
        running.on("/search", answer)
        yield running


def tell(fault: str) -> str:
    match fault:
        case "tool-service":
            raise ServiceError("down for today")
        case "tool-bug":
            raise KeyError("oops")
        case "tool-type":
            return 5  # type: ignore[return-value]  # the fault
        case "tool-exit":
            raise SystemExit(3)
    return "Well."


def draw(z: Z) -> None:
    if "renderer-down" in z.request:
        raise ServiceError("no device")
    if "renderer-bug" in z.request:
        raise ZeroDivisionError("division by zero")


def faulty_rows() -> tuple[list[Any], dict[int, str]]:
    """The rows, and for those with a fault (by index) which one."""
    rows: list[Any] = []
    faults: dict[int, str] = {}
    for index in range(ROWS):
        row: dict[str, Any] = {"id": f"row{index}", "question": f"Card {index}.", "photo": "red.png"}
        if index % 20 == 19:
            fault = FAULTS[(index // 20) % len(FAULTS)]
            faults[index] = fault
            if fault in ROW:
                spoiled = ROW[fault]
                if isinstance(spoiled, dict) and spoiled.get("id", "row0") != "row0":
                    spoiled = {**spoiled, "id": f"{spoiled['id']}{index}"}
                rows.append(spoiled)
                continue
            row["fault"] = f"{HEALS} {index}" if fault == HEALS else fault
            row["question"] = f"Card {index} with {fault}."
            if fault in PHOTO:
                row["photo"] = PHOTO[fault][0]
        rows.append(row)
    return rows, faults


def expected(fault: str) -> tuple[str, str]:
    """The kind and the code of the failure that a fault ends in."""
    if fault in PHOTO:
        return "input", PHOTO[fault][1]
    if fault in ROW:
        return "input", fault
    if fault == "nothing-found":
        return "input", "GP525"
    if fault in RENDERER:
        return "service", "GP527"
    return "service", "GP526" if fault == "tool-type" else "GP520"


@pytest.mark.slow
def test_every_row_ends_with_a_result_or_its_reason(tmp_path: Path, server: FaultyServer) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(picture, "PNG")
    (photos / "red.png").write_bytes(picture.getvalue())
    (tmp_path / "outside.png").write_bytes(picture.getvalue())
    (photos / "garbage.png").write_bytes(b"GIF89a, or not")
    (photos / "empty.png").write_bytes(b"")
    backend = SerperBackend(
        "key-of-the-service-1",
        Fetcher(BlobStore(tmp_path / "store")),
        address=server.url(),
        seconds=2.0,  # "slow" takes 5; a busy machine takes half of one for the others
        retry=QUICK,
    )
    tools: list[Tool] = [
        BackendSearchTool(backend),
        FunctionTool(tell, name="tell"),
        ImageTool((photos,)),
        AskTool(),
    ]
    on = Machine(tools, renderer=PlainRenderer(draw), retry=QUICK, secrets=())
    rows, faults = faulty_rows()
    assert set(faults.values()) == set(FAULTS)
    path = write_rows(tmp_path / "rows.jsonl", rows)

    tally = run(path, tmp_path / "out", on, template=TEMPLATE, parallel=16)

    results = output(tmp_path / "out")
    assert [r["input_row"] for r in results] == list(range(1, ROWS + 1))
    for index, result in enumerate(results):
        fault = faults.get(index)
        if fault is None or fault == HEALS:
            assert result["success"], result["error"]
            assert (tmp_path / "out" / result["output_path"]).is_file()
            continue
        kind, code = expected(fault)
        error = result["error"]
        assert not result["success"]
        assert (error["kind"], error["code"]) == (kind, code), (fault, error)
        assert f"{path}:{index + 1}" in error["where"]
        assert len(error["message"]) > 5
        assert "key-of-the-service-1" not in json.dumps(result)
    bad = [f for f in faults.values() if f != HEALS]
    assert tally.done == ROWS - len(bad)
    assert tally.failed_by_service == sum(expected(f)[0] == "service" for f in bad)
    assert tally.open == 0
    assert len(list((tmp_path / "out" / "images").iterdir())) == tally.done


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Rows and results of 20 kB each would be six megabytes more; a digest and a place in the journal are little."""

    def peak(number: int) -> int:
        path = tmp_path / f"rows{number}.jsonl"
        write_rows(path, [{"id": f"r{i}", "question": f"{i}", "filler": "x" * 20_000} for i in range(number)])
        on = Machine([], renderer=PlainRenderer(), secrets=())
        tracemalloc.start()
        try:
            run(path, tmp_path / f"out{number}", on)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)  # what is made once and for all
    assert peak(400) - peak(100) < 2_000_000
