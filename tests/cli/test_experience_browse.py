"""The full-screen view, driven by Textual's pilot over a real store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest
from experience_samples import PlainEmbedder, bundle, experience
from textual.coordinate import Coordinate
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from genevolve.cli.experience_browse import Browser
from genevolve.experience_store.experience import Experience, ProgramRecord, RewardParts
from genevolve.experience_store.records import Filters
from genevolve.experience_store.store import ExperienceStore

Drive = Callable[[Pilot[None]], Coroutine[None, None, None]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ExperienceStore]:
    with ExperienceStore.open(tmp_path / "store", embedder=PlainEmbedder(), durable=False) as opened:
        opened.add_many([experience(n, gap=0.3 + n / 100) for n in range(12)])
        yield opened


def drive(browser: Browser, steps: Drive, size: tuple[int, int] = (80, 24)) -> None:
    """Run the view and do something in it."""

    async def run() -> None:
        async with browser.run_test(size=size) as pilot:
            await settled(pilot)
            await steps(pilot)

    asyncio.run(run())


async def settled(pilot: Pilot[None]) -> None:
    """Wait until nothing is being fetched, and what was fetched is drawn."""
    for _ in range(3):
        await pilot.pause(0.02)
        await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settled(pilot)


def text_of(pilot: Pilot[None], place: str) -> str:
    return str(pilot.app.query_one(place, Static).content)


def table_of(pilot: Pilot[None]) -> DataTable[object]:
    return pilot.app.query_one("#list", DataTable)


def cell(pilot: Pilot[None], row: int, column: int) -> str:
    return str(table_of(pilot).get_cell_at(Coordinate(row, column)))


def screen_of(pilot: Pilot[None]) -> list[str]:
    """The characters that are on the screen, line by line."""
    lines = [strip.text for strip in pilot.app.screen._compositor.render_strips()]
    assert all(c.isprintable() for line in lines for c in line)
    return lines


def test_the_list_shows_the_newest_first_with_its_advice(store: ExperienceStore) -> None:
    newest = store.list(limit=1)[0]

    async def steps(pilot: Pilot[None]) -> None:
        assert table_of(pilot).row_count == 12
        assert newest.bundle.guidance.focus[0].text[:40] in text_of(pilot, "#detail")
        assert text_of(pilot, "#status") == "12 of 12"
        lines = screen_of(pilot)
        assert len(lines) == 24
        assert newest.request[:30] in lines[2]
        assert all(key in lines[-1] for key in ("Find", "Nearest", "Mark", "Undo", "Remove", "Help", "Quit"))

    drive(Browser(store), steps)


def test_the_difference_and_the_programs_of_what_is_selected(store: ExperienceStore) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        await press(pilot, "down", "2")
        assert "~ clause: [-worst-] {+best+} of 10" in text_of(pilot, "#detail")
        await press(pilot, "3")
        assert 'prompt "best of 10"' in text_of(pilot, "#detail")
        await press(pilot, "1")
        assert "learned from" in text_of(pilot, "#detail")

    drive(Browser(store), steps)


def test_search_as_one_types(store: ExperienceStore) -> None:
    wanted = experience(4).request.split()[1]

    async def steps(pilot: Pilot[None]) -> None:
        await press(pilot, "slash", *wanted[:-1])
        await asyncio.sleep(0.2)
        await press(pilot, wanted[-1])
        await asyncio.sleep(0.2)
        await settled(pilot)
        requests = [e.request for e in store.list(Filters(text=wanted))]
        assert table_of(pilot).row_count == len(requests) > 0
        assert wanted in text_of(pilot, "#detail")
        await press(pilot, "enter")
        assert pilot.app.focused is table_of(pilot)
        await press(pilot, "escape")
        await asyncio.sleep(0.2)
        await settled(pilot)
        assert pilot.app.query_one("#find", Input).value == ""
        assert table_of(pilot).row_count == 12

    drive(Browser(store), steps)


def test_keys_that_are_typed_into_the_search_are_no_commands(store: ExperienceStore) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        await press(pilot, "slash", "m", "x", "q", "u", "1")
        assert pilot.app.query_one("#find", Input).value == "mxqu1"
        await asyncio.sleep(0.2)
        await settled(pilot)
        assert table_of(pilot).row_count == 0
        assert text_of(pilot, "#detail") == "nothing here"

    drive(Browser(store), steps)
    assert len(store) == 12


def test_nearest_requests_come_with_their_similarity(store: ExperienceStore) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        await press(pilot, "end", "n")
        table = table_of(pilot)
        assert "near" in [str(c.key.value) for c in table.ordered_columns]
        assert cell(pilot, 0, 2) == "1.000"
        await press(pilot, "escape")
        assert "near" not in [str(c.key.value) for c in table.ordered_columns]

    drive(Browser(store), steps)


def test_marks_are_undone_one_by_one(store: ExperienceStore) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        await press(pilot, "m", "space")
        assert [cell(pilot, row, 0) for row in range(3)] == ["x", "x", ""]
        assert text_of(pilot, "#status") == "12 of 12, 2 marked"
        await press(pilot, "u")
        assert [cell(pilot, row, 0) for row in range(3)] == ["x", "", ""]
        await press(pilot, "u", "u")
        assert text_of(pilot, "#status") == "12 of 12: nothing to undo"

    drive(Browser(store), steps)
    assert len(store) == 12


def test_marks_stay_through_a_search(store: ExperienceStore) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        await press(pilot, "m", "slash", "z", "z", "z")
        await asyncio.sleep(0.2)
        await settled(pilot)
        assert text_of(pilot, "#status") == "0 of 0, 1 marked"
        await press(pilot, "escape", "escape")
        await asyncio.sleep(0.2)
        await settled(pilot)
        assert cell(pilot, 0, 0) == "x"

    drive(Browser(store), steps)


def test_removing_asks_and_can_be_undone(store: ExperienceStore) -> None:
    first, second = (e.id for e in store.list(limit=2))
    browser = Browser(store)

    async def steps(pilot: Pilot[None]) -> None:
        await press(pilot, "x")
        assert "nothing is marked" in text_of(pilot, "#status")
        await press(pilot, "m", "m", "x")
        assert any("Remove 2 experiences?" in line for line in screen_of(pilot))
        await press(pilot, "n")
        assert len(store) == 12
        await press(pilot, "x", "y")
        assert store.get(first) is None
        assert store.get(second) is None
        assert browser.removed == {first, second}
        assert table_of(pilot).row_count == 10
        await press(pilot, "u")
        assert store.get(first) is not None
        assert table_of(pilot).row_count == 12
        assert browser.removed == set()

    drive(browser, steps)
    assert len(store) == 12


def test_the_place_in_the_list_is_kept_after_a_removal(store: ExperienceStore) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        await press(pilot, *["down"] * 6, "m", "x", "y")
        assert table_of(pilot).row_count == 11
        assert table_of(pilot).cursor_row == 7

    drive(Browser(store), steps)


def test_leaving_with_marks_asks(store: ExperienceStore) -> None:
    browser = Browser(store)

    async def steps(pilot: Pilot[None]) -> None:
        await press(pilot, "m", "q")
        assert any("1 marked, nothing of it removed. Leave?" in line for line in screen_of(pilot))
        await press(pilot, "n")
        assert browser.is_running
        await press(pilot, "u")
        await pilot.press("q")

    drive(browser, steps)
    assert not browser.is_running


def test_help_covers_every_key_and_closes(store: ExperienceStore) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        await press(pilot, "question_mark")
        page = "\n".join(screen_of(pilot))
        assert all(word in page for word in ("search", "nearest", "mark", "undo", "remove", "leave"))
        await press(pilot, "escape")
        assert len(pilot.app.screen_stack) == 1

    drive(Browser(store), steps)


def test_nothing_is_removed_from_a_store_that_is_read_only(tmp_path: Path) -> None:
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder()) as writer:
        writer.add(experience(1))
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder(), read_only=True) as store:

        async def steps(pilot: Pilot[None]) -> None:
            await press(pilot, "m", "x")
            assert "read only: the store is open for reading only" in text_of(pilot, "#status")

        drive(Browser(store), steps)
        assert len(store) == 1


def test_an_empty_store_is_told(tmp_path: Path) -> None:
    with ExperienceStore.open(tmp_path / "s", embedder=PlainEmbedder()) as store:

        async def steps(pilot: Pilot[None]) -> None:
            await press(pilot, "m", "u", "2", "down", "n")
            assert text_of(pilot, "#detail") == "nothing here"

        drive(Browser(store), steps)


def test_filters_hold_under_the_search(store: ExperienceStore) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        assert table_of(pilot).row_count == 4
        await press(pilot, "slash", "a")
        await asyncio.sleep(0.2)
        await settled(pilot)
        assert table_of(pilot).row_count == 4

    drive(Browser(store, Filters(category="poster")), steps)


def test_more_rows_come_at_the_end_of_the_list(
    store: ExperienceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genevolve.cli.experience_browse.PAGE", 5)
    monkeypatch.setattr("genevolve.cli.experience_browse._MARGIN", 1)

    async def steps(pilot: Pilot[None]) -> None:
        assert table_of(pilot).row_count == 5
        await press(pilot, "end")
        assert table_of(pilot).row_count == 10
        await press(pilot, "end")
        await press(pilot, "end")
        assert table_of(pilot).row_count == 12
        assert text_of(pilot, "#status") == "12 of 12"

    drive(Browser(store), steps)


NASTY = "\x1b]0;owned\x07\x1b[2J[bold red]x[/] [@click=app.quit]y[/] \u202egnp.exe \x9b31m $foo [/nonsense]"


def hostile(**changes: object) -> Experience:
    """Escapes, direction marks and markup wherever a text may stand. The store refuses it; another may not have."""
    parts = {"request": NASTY, "bundle": bundle(NASTY), "category": NASTY, "skills": (NASTY,), "judge": NASTY}
    return experience(3, **(parts | changes))  # type: ignore[arg-type]  # as `experience` says


def marked_up() -> Experience:
    """The same where the programs parse: markup that means nothing to us."""
    texts = [
        f'request "a [bold red]ship[/]"\n\nprompt "[link=x]{which}[/nonsense] [@click=app.quit]q[/]"\n'
        for which in "ab"
    ]
    best, worst = (ProgramRecord.of(t, RewardParts(r)) for t, r in zip(texts, (0.6, 0.1), strict=True))
    return hostile(best=best, worst=worst)


@pytest.mark.parametrize("size", [(80, 24), (140, 40), (40, 12)])
@pytest.mark.parametrize("view", ["1", "2", "3"])
def test_hostile_text_is_shown_as_it_is_written(size: tuple[int, int], view: str) -> None:
    found = marked_up() if view == "2" else hostile()

    class Shelf:
        read_only = True

        def list(self, filters: object = None, limit: int | None = 50, offset: int = 0) -> list[Experience]:
            return [found][offset:]

        def count(self, filters: object = None) -> int:
            return 1

    async def steps(pilot: Pilot[None]) -> None:
        await press(pilot, view)
        page = "\n".join(screen_of(pilot))  # nothing on it drives a terminal
        assert "\u202e" not in page
        assert ("[link=x]" if view == "2" else "[bold") in text_of(pilot, "#detail")
        assert pilot.app.title == "Browser"

    drive(Browser(Shelf()), steps, size)  # type: ignore[arg-type]  # less than a store, enough for looking


def test_a_store_that_fails_is_told_and_does_not_end_the_view(store: ExperienceStore) -> None:
    async def steps(pilot: Pilot[None]) -> None:
        store.close()
        await press(pilot, "slash", "a")
        await asyncio.sleep(0.2)
        await settled(pilot)
        assert "is closed" in text_of(pilot, "#status")
        assert pilot.app.is_running

    drive(Browser(store), steps)
