"""Batches from beginning to end: resuming, refusing, spending, stopping."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from batch_world import (
    QUICK,
    TEMPLATE,
    PlainRenderer,
    checked,
    digest,
    journal_lines,
    machine,
    output,
    run,
    simple_rows,
    write_rows,
)
from PIL import Image

from genevolve.grammar.errors import AuthorError, ConfigurationError, ServiceError, StorageError
from genevolve.grammar.z import Z
from genevolve.interpreter.budget import Budget
from genevolve.interpreter.machine import Machine
from genevolve.interpreter.tools.function_tool import FunctionTool
from genevolve.interpreter.tools.image import ImageTool
from genevolve.programs.batch.files import ProgramWork
from genevolve.programs.batch.folder import BatchFolder
from genevolve.programs.batch.journal import Journal
from genevolve.programs.batch.rows import RowWork, Template
from genevolve.programs.batch.runner import BatchRunner, Options, Tally

PRICED = """\
program card(question: text)
request "{question}"
let said = tell(question)
prompt "A card: {said}"
"""


def tell(function: Any, price: float = 1.0) -> FunctionTool:
    def told(text: str) -> str:
        return str(function(text))

    return FunctionTool(told, name="tell", price=price)


def test_resuming_does_only_what_is_missing_or_failed(tmp_path: Path) -> None:
    broken = {"Card number 2.", "Card number 5."}

    def draw(z: Z) -> None:
        if z.request in broken:
            raise ServiceError("the renderer is down")

    rows = write_rows(tmp_path / "rows.jsonl", [*simple_rows(8), {"id": "bad"}])
    out, first = tmp_path / "out", PlainRenderer(draw)
    tally = run(rows, out, machine(renderer=first))
    assert (tally.done, tally.failed_by_input, tally.failed_by_service) == (6, 1, 2)
    images = {p.name: digest(p) for p in (out / "images").iterdir()}
    broken.remove("Card number 5.")
    (out / "images" / "row0.png").unlink()

    second = PlainRenderer(draw)
    tally = run(rows, out, machine(renderer=second), resume=True)
    assert (tally.done, tally.failed_by_input, tally.failed_by_service) == (7, 1, 1)
    assert sorted(second.rendered) == ["Card number 0.", "Card number 2.", "Card number 5."]
    results = output(out)
    assert [r["id"] for r in results] == [*(f"row{i}" for i in range(8)), "bad"]
    assert [r["attempts"] for r in results] == [2, 1, 2, 1, 1, 2, 1, 1, 1]
    assert images.items() <= {p.name: digest(p) for p in (out / "images").iterdir()}.items()
    assert len(journal_lines(out)) == 12

    third = PlainRenderer()
    assert run(rows, out, machine(renderer=third), resume=True).done == 8
    assert third.rendered == ["Card number 2."]


def test_a_batch_is_only_resumed_with_what_it_was_made_from(tmp_path: Path) -> None:
    rows, out = write_rows(tmp_path / "rows.jsonl", simple_rows(2)), tmp_path / "out"
    run(rows, out, machine())
    before = (out / "results.jsonl").read_bytes()
    with pytest.raises(AuthorError, match=r"not empty.*--resume"):
        run(rows, out, machine())
    with pytest.raises(AuthorError, match="differs: template"):
        run(rows, out, machine(), template=TEMPLATE.replace("A card", "A large card"), resume=True)
    with pytest.raises(AuthorError, match="differs: values"):
        run(rows, out, machine(), given={"n": 4}, resume=True)
    write_rows(rows, simple_rows(3))
    with pytest.raises(AuthorError, match=r"differs: input .*Put it back"):
        run(rows, out, machine(), resume=True)
    assert (out / "results.jsonl").read_bytes() == before


def test_folders_that_hold_something_else_are_left_alone(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", simple_rows(1))
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear")
    for resume in (False, True):
        with pytest.raises(AuthorError, match="choose another folder"):
            run(rows, mine, machine(), resume=resume)
    assert [p.name for p in mine.iterdir()] == ["letter.txt"]
    with pytest.raises(AuthorError, match="is a file"):
        run(rows, mine / "letter.txt", machine())
    broken = tmp_path / "broken"
    run(rows, broken, machine())
    (broken / "batch.json").write_text("{")
    with pytest.raises(AuthorError, match="damaged"):
        run(rows, broken, machine(), resume=True)


def test_a_second_user_of_a_folder_is_refused(tmp_path: Path) -> None:
    rows, out = write_rows(tmp_path / "rows.jsonl", simple_rows(2)), tmp_path / "out"
    refused: list[str] = []

    def draw(_: Z) -> None:
        def other() -> None:
            try:
                run(rows, out, machine(), resume=True)
            except AuthorError as error:
                refused.append(str(error))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    assert run(rows, out, machine(renderer=PlainRenderer(draw)), parallel=1).done == 2
    assert len(refused) == 2
    assert "another process" in refused[0]
    assert len(journal_lines(out)) == 2


def test_what_a_killed_process_leaves_is_cleared_away(tmp_path: Path) -> None:
    rows, out = write_rows(tmp_path / "rows.jsonl", simple_rows(2)), tmp_path / "out"
    run(rows, out, machine())
    (out / "images" / ".row0.png.0123.part").write_bytes(b"half")
    (out / ".output.jsonl.0123.part").write_bytes(b"half")
    run(rows, out, machine(), resume=True)
    assert not list(out.rglob("*.part"))


def test_rows_run_at_the_same_time_on_one_machine(tmp_path: Path) -> None:
    now = most = 0

    async def draw(_: Z) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1

    rows = write_rows(tmp_path / "rows.jsonl", simple_rows(20))
    run(rows, tmp_path / "out", machine(renderer=PlainRenderer(draw)), parallel=5)
    assert most == 5


def test_the_limit_of_cost_is_never_passed_and_leaves_the_rest_open(tmp_path: Path) -> None:
    rows, out = write_rows(tmp_path / "rows.jsonl", simple_rows(10)), tmp_path / "out"
    on = machine(tell(str.upper, 0.3))
    options: dict[str, Any] = {"renderer_price": 0.7, "parallel": 4, "template": PRICED}
    tally = run(rows, out, on, max_cost=3.5, **options)
    assert (tally.done, tally.open, tally.stopped_by_cost) == (3, 7, True)
    assert tally.cost == pytest.approx(3.0)
    assert [r["cost"] for r in output(out)] == [1.0] * 3
    tally = run(rows, out, on, max_cost=5.0, resume=True, **options)
    assert (tally.done, tally.open) == (5, 5)
    assert tally.cost == pytest.approx(5.0)
    tally = run(rows, out, on, max_cost=100, resume=True, **options)
    assert (tally.done, tally.open, tally.stopped_by_cost) == (10, 0, False)
    assert tally.cost == pytest.approx(10.0)


def test_failed_rows_cost_what_their_calls_cost_and_retries_stay_within_the_limit(tmp_path: Path) -> None:
    def fail(_: str) -> str:
        raise ServiceError("overloaded", retryable=True)

    rows = write_rows(tmp_path / "rows.jsonl", simple_rows(5))
    tally = run(
        rows, tmp_path / "out", machine(tell(fail)), template=PRICED, max_cost=5.0, retries=1, parallel=2
    )
    results = output(tmp_path / "out")
    assert [r["cost"] for r in results] == [2.0, 2.0, 1.0]
    # The third row had no money left for another attempt.
    assert (tally.failed, tally.failed_by_service, tally.open) == (3, 2, 2)
    assert tally.cost == pytest.approx(5.0)


def test_a_rows_own_budget_still_holds(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", simple_rows(1))
    on = machine(tell(str.upper), budget=Budget(money=0.5))
    run(rows, tmp_path / "out", on, template=PRICED, max_cost=10.0)
    (result,) = output(tmp_path / "out")
    assert result["error"]["code"] == "GP523"
    assert result["error"]["where"].endswith("card.gprog:3:12")


def test_a_missing_setting_ends_the_batch_by_name(tmp_path: Path) -> None:
    def draw(_: Z) -> None:
        raise ConfigurationError("set PICTURES_API_KEY")

    rows = write_rows(tmp_path / "rows.jsonl", simple_rows(50))
    renderer = PlainRenderer(draw)
    with pytest.raises(ConfigurationError, match="PICTURES_API_KEY"):
        run(rows, tmp_path / "out", machine(renderer=renderer), parallel=2)
    assert len(renderer.rendered) <= 2
    assert not journal_lines(tmp_path / "out")


def test_a_limit_takes_the_first_rows_and_the_others_can_follow(tmp_path: Path) -> None:
    rows, out = write_rows(tmp_path / "rows.jsonl", simple_rows(6)), tmp_path / "out"
    assert run(rows, out, machine(), limit=2).rows == 2
    assert [r["id"] for r in output(out)] == ["row0", "row1"]
    renderer = PlainRenderer()
    assert run(rows, out, machine(renderer=renderer), resume=True).done == 6
    assert len(renderer.rendered) == 4


def test_a_batch_without_rendering_and_with_records(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", simple_rows(2))
    run(rows, tmp_path / "out", machine(), render=False, records=tmp_path / "runs")
    assert [(r["success"], r["output_path"]) for r in output(tmp_path / "out")] == [(True, "")] * 2
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["row0", "row1"]


def test_cancelling_ends_within_two_seconds_and_keeps_what_is_done(tmp_path: Path) -> None:
    two = asyncio.Event()

    async def draw(z: Z) -> None:
        if z.request not in {"Card number 0.", "Card number 1."}:
            await asyncio.sleep(60)

    def on_end(tally: Tally, _: object) -> None:
        if tally.done == 2:
            two.set()

    rows, out = write_rows(tmp_path / "rows.jsonl", simple_rows(10)), tmp_path / "out"
    on = machine(renderer=PlainRenderer(draw))
    work = RowWork(rows, Template(checked(TEMPLATE, on)))

    async def go(runner: BatchRunner) -> float:
        task = asyncio.create_task(runner.run())
        await two.wait()
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    with BatchFolder(out, work.identity, resume=False) as folder, Journal(folder.journal, 10) as journal:
        runner = BatchRunner(on, work, folder, journal, Options(parallel=4), on_end)
        assert asyncio.run(go(runner)) < 2.0
        assert runner.tally.done == 2
    assert len(journal_lines(out)) == 2
    assert run(rows, out, machine(), resume=True).done == 10


def test_a_disk_that_cannot_be_written_ends_the_batch(tmp_path: Path) -> None:
    rows, out = write_rows(tmp_path / "rows.jsonl", simple_rows(3)), tmp_path / "out"

    def draw(_: Z) -> None:
        (out / "images").rename(out / "moved")

    with pytest.raises(StorageError, match="cannot be written"):
        run(rows, out, machine(renderer=PlainRenderer(draw)), parallel=1)
    assert not journal_lines(out)


def test_a_full_disk_is_told_once_however_many_rows_meet_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, out = write_rows(tmp_path / "rows.jsonl", simple_rows(3)), tmp_path / "out"
    together, written = threading.Barrier(3), BatchFolder.write_picture

    def write_at_once(folder: BatchFolder, name: str, png: bytes) -> str:
        together.wait(20)
        try:
            folder.images.rename(folder.path / "moved")
        except OSError:  # another one was first; this one fails while the batch ends
            time.sleep(0.2)
        return written(folder, name, png)

    monkeypatch.setattr(BatchFolder, "write_picture", write_at_once)
    with pytest.raises(StorageError, match="cannot be written"):
        run(rows, out, machine(renderer=PlainRenderer(lambda _: None)), parallel=3)
    gc.collect()
    assert not caplog.records


def test_programs_make_a_batch_too(tmp_path: Path) -> None:
    good = 'request "A cat."\nprompt "A cat."\n'
    for name, text in {
        "a.gprog": good,
        "b.gprog": good.replace("prompt", "promt"),
        "sub/a.gprog": 'program c(n: int = 2)\nrequest "{n} cats."\nprompt "{n} cats."\n',
        "hole.gprog": 'request "A cat."\nprompt ?\n',
        "needs.gprog": 'program c(n: int)\nrequest "{n} cats."\nprompt "{n} cats."\n',
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    paths = [tmp_path / n for n in ("a.gprog", "b.gprog", "sub/a.gprog", "hole.gprog", "needs.gprog")]
    on, out = machine(), tmp_path / "out"

    def batch(given: dict[str, object], *, resume: bool) -> Tally:
        work = ProgramWork(paths, on.environment(), given)
        with (
            BatchFolder(out, work.identity, resume=resume) as folder,
            Journal(folder.journal, work.count, folder.has_picture) as journal,
        ):
            tally = asyncio.run(BatchRunner(on, work, folder, journal, Options()).run())
            journal.write_outputs(out / "output.jsonl", out / "results.json")
        return tally

    assert batch({}, resume=False).done == 2
    results = output(out)
    assert [r["error"] and r["error"]["code"] for r in results][2:] == [None, "GP601", "GP317"]
    assert results[1]["error"]["code"].startswith("GP1")
    assert results[1]["error"]["where"] == str(paths[1])
    assert results[2]["prompt"] == "2 cats."
    assert len({r["output_path"] for r in results if r["success"]}) == 2
    with pytest.raises(AuthorError, match="differs: values"):
        batch({"n": 3}, resume=True)
    with pytest.raises(AuthorError, match="none of the programs"):
        ProgramWork(paths, on.environment(), {"m": 3})
    paths[0].write_text(good.replace("A cat", "A dog"))
    with pytest.raises(AuthorError, match="differs: programs"):
        batch({}, resume=True)


def test_references_are_copied_once_and_named_by_their_content(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    template = (
        'program c(question: text, photo: image)\nrequest "{question}"\n'
        'ref photograph = photo for "the colour"\nprompt "A card like {photograph}: {question}"\n'
    )
    rows = write_rows(tmp_path / "rows.jsonl", [r | {"photo": "red.png"} for r in simple_rows(3)])
    on = Machine([ImageTool((tmp_path,))], renderer=PlainRenderer(), retry=QUICK, secrets=())
    run(rows, tmp_path / "out", on, template=template)
    results = output(tmp_path / "out")
    (reference,) = results[0]["reference_images"]
    assert reference["note"] == "the colour"
    assert Path(reference["local_path"]).read_bytes() == (tmp_path / "red.png").read_bytes()
    assert (tmp_path / "out" / reference["path"]).samefile(reference["local_path"])
    assert len(list((tmp_path / "out" / "references").iterdir())) == 1
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == results
