"""The full-screen view of the experience store: a list, what is selected, marks that can be taken back.

Every text of an experience is drawn through `harmless` and handed on as `Text`, never as markup: neither control
characters nor brackets in it mean anything to the terminal or to Textual.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar, Protocol, TypeVar

from rich.text import Text
from textual import events, on, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Static
from textual.worker import get_current_worker

from genevolve.cli.experience_text import advice, difference, facts, fit, moment, programs
from genevolve.experience_store.experience import Experience
from genevolve.experience_store.records import Filters
from genevolve.experience_store.reports import Change
from genevolve.experience_store.retrieval import Hit
from genevolve.grammar.display import harmless
from genevolve.grammar.errors import GenevolveError

PAGE = 200
"""Experiences that are fetched at once; more come when the end of the list is reached."""
NEAREST = 50
_PAUSE = 0.15
_MARGIN = 20
_WIDE = 110
_LIST_WIDE = 60
_T = TypeVar("_T")

HELP = """\
 /          search: type any part of a request
 n          the requests nearest in meaning to what is typed
 escape     back to the list; once more empties the search
 ↑ ↓        select; page up, page down, home, end as well
 enter      scroll through what is selected
 1 2 3      advice, difference of the programs, both programs
 m, space   mark for removal, or take the mark away
 u          undo the last mark or removal
 x          remove what is marked (asks first)
 q          leave

 Removed experiences can be brought back with u, and later with
 'genevolve experience rollback', until the store is compacted.

 Any key closes this page."""


class Shelf(Protocol):
    """What the view needs of a store."""

    @property
    def read_only(self) -> bool:
        """Whether nothing may be removed."""

    def list(
        self, filters: Filters | None = None, limit: int | None = 50, offset: int = 0
    ) -> Sequence[Experience]:
        """Experiences, the newest first."""

    def count(self, filters: Filters | None = None) -> int:
        """How many there are."""

    def search(self, request: str, k: int = 1, *, gate: float = 0.0) -> Sequence[Hit]:
        """The nearest ones."""

    def remove(self, ids: Sequence[str]) -> Change:
        """Remove some."""

    def restore(self, ids: Sequence[str]) -> Change:
        """Bring some back."""


class Rows(DataTable[Text]):
    """The list. Its columns are always all in sight, so home and end go to the first and the last row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "scroll_top", "Top", show=False),
        Binding("end", "scroll_bottom", "Bottom", show=False),
    ]


class Ask(ModalScreen[bool]):
    """A question; `y` agrees, every other key does not."""

    CSS = "Ask { align: center middle; } Ask Static { width: 60; height: auto; border: round $warning; padding: 1 2; }"

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """The question."""
        yield Static(Text(f"{self._question}\n\ny yes, any other key no"), markup=False)

    def on_key(self, event: events.Key) -> None:
        """Answer."""
        event.stop()
        self.dismiss(event.key in ("y", "Y"))


class Help(ModalScreen[None]):
    """What the keys do; any key closes it."""

    CSS = "Help { align: center middle; } Help Static { width: 72; height: auto; border: round $primary; }"

    def compose(self) -> ComposeResult:
        """The page."""
        yield Static(Text(HELP), markup=False)

    def on_key(self, event: events.Key) -> None:
        """Close."""
        event.stop()
        self.dismiss(None)


class Browser(App[None]):
    """The view.

    Args:
        store: What is looked through.
        filters: Only these experiences are shown.

    Attributes:
        removed: Ids of all that were removed, and not brought back, by the end.
    """

    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012  # as Textual declares it
    CSS = f"""
    #find {{ height: 1; border: none; padding: 0 1; background: $surface; }}
    #find:focus {{ background: $primary-muted; border: none; }}
    #status {{ height: 1; padding: 0 1; color: $text-muted; }}
    #list {{ height: 40%; min-height: 5; }}
    #side {{ height: 1fr; padding: 0 1; border-top: solid $primary; }}
    #side:focus {{ border-top: solid $accent; }}
    #body {{ height: 1fr; }}
    .-wide #body {{ layout: horizontal; }}
    .-wide #list {{ height: 1fr; width: {_LIST_WIDE}; }}
    .-wide #side {{ border-top: none; border-left: solid $primary; width: 1fr; }}
    .-wide #side:focus {{ border-left: solid $accent; }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "Find"),
        Binding("n", "nearest", "Nearest"),
        Binding("1", "view('advice')", "Advice"),
        Binding("2", "view('diff')", "Diff"),
        Binding("3", "view('programs')", "Code"),
        Binding("m,space", "mark", "Mark", key_display="m"),
        Binding("u", "undo", "Undo"),
        Binding("x", "remove", "Remove"),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "leave", "Quit"),
        Binding("escape", "list", "Back", show=False),
        Binding("enter", "read", "Read", show=False),
    ]

    def __init__(self, store: Shelf, filters: Filters | None = None) -> None:
        super().__init__()
        self.removed: set[str] = set()
        self._store = store
        self._base = filters or Filters()
        self._turn = threading.Lock()
        self._shown: list[Experience] = []
        self._scores: list[float] = []
        self._total = 0
        self._marked: dict[str, None] = {}
        self._done: list[tuple[str, tuple[str, ...]]] = []
        self._view = "advice"
        self._loading = False
        self._return_to = 0

    # ---- how it looks ----

    def compose(self) -> ComposeResult:
        """Search line, list, what is selected, status, keys."""
        yield Input(placeholder="/ to search in requests", id="find", select_on_focus=False)
        with Vertical(id="body"):
            yield Rows(id="list", cursor_type="row", zebra_stripes=True)
            with VerticalScroll(id="side"):
                yield Static("", id="detail", markup=False)
        yield Static("", id="status", markup=False)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Show the newest."""
        self._table.focus()
        self._load("", nearest=False)

    def on_resize(self) -> None:
        """Lines are cut to the width, so they are drawn again."""
        self.call_after_refresh(self._draw_again)

    @property
    def _table(self) -> Rows:
        return self.query_one("#list", Rows)

    @property
    def _selected(self) -> Experience | None:
        row = self._table.cursor_row
        return self._shown[row] if 0 <= row < len(self._shown) else None

    def _draw_again(self) -> None:
        row = self._table.cursor_row
        self._fill()
        self._table.move_cursor(row=row)
        self._detail()

    def _fill(self) -> None:
        """The list, as wide as it may be."""
        table = self._table
        width = _LIST_WIDE if self.size.width >= _WIDE else self.size.width
        wide = width >= 100
        table.clear(columns=True)
        heads = [("", "mark", 1), ("gap", "gap", 5)]
        heads += [("near", "near", 5)] if self._scores else []
        heads += [("made", "made", 10)] if wide else []
        heads += [("category", "category", 12)] if width >= 70 else []
        rest = width - sum(w + 2 for _, _, w in heads) - 4
        for label, key, size in (*heads, ("request", "request", max(10, rest))):
            table.add_column(label, key=key, width=size)
        self._append(self._shown)

    def _append(self, experiences: Sequence[Experience]) -> None:
        table = self._table
        first = table.row_count
        for place, e in enumerate(experiences, first):
            parts = {
                "mark": "x" if e.id in self._marked else "",
                "gap": f"{e.gap:.3f}",
                "near": f"{self._scores[place]:.3f}" if place < len(self._scores) else "",
                "made": moment(e.created)[:10],
                "category": e.category or "-",
                "request": e.request,
            }
            row = [Text(fit(parts[str(c.key.value)], c.width), no_wrap=True) for c in table.ordered_columns]
            table.add_row(*row, key=e.id)

    def _detail(self) -> None:
        """What is selected, as the view says."""
        experience = self._selected
        side = self.query_one("#side", VerticalScroll)
        width = max(30, side.scrollable_content_region.width)
        lines: list[str] = []
        if experience is not None:
            match self._view:
                case "diff":
                    lines = ["from the worst program to the best", "", *difference(experience, width)]
                case "programs":
                    lines = programs(experience)
                case _:
                    lines = [*advice(experience, width), "", *facts(experience, width)]
        elif not self._loading:
            lines = ["nothing here"]
        self.query_one("#detail", Static).update(Text("\n".join(lines)))
        side.scroll_home(animate=False)

    def _say(self, more: str = "") -> None:
        known = f"{len(self._shown):,} of {self._total:,}"
        marked = f", {len(self._marked):,} marked" if self._marked else ""
        only = ", read only" if self._store.read_only else ""
        text = f"{known}{marked}{only}{': ' if more else ''}{harmless(more)}"
        self.query_one("#status", Static).update(Text(text, no_wrap=True))

    # ---- fetching ----

    @on(Input.Changed, "#find")
    def _typed(self) -> None:
        self._find_soon()

    @work(exclusive=True, group="typing")
    async def _find_soon(self) -> None:
        import asyncio

        await asyncio.sleep(_PAUSE)  # the next key cancels this
        self._load(self._needle, nearest=False)

    @property
    def _needle(self) -> str:
        return self.query_one("#find", Input).value.strip()

    def _load(self, needle: str, *, nearest: bool, offset: int = 0) -> None:
        self._loading = True
        self._fetch(needle, nearest, offset)

    @work(thread=True, exclusive=True, group="load", exit_on_error=False)
    def _fetch(self, needle: str, nearest: bool, offset: int) -> None:
        worker = get_current_worker()
        filters = replace(self._base, text=needle or self._base.text)

        def fetch() -> tuple[list[Experience], list[float], int]:
            if worker.is_cancelled:  # while it waited for its turn
                return [], [], 0
            if nearest:
                hits = self._store.search(needle, NEAREST, gate=-1.0)
                return [h.experience for h in hits], [h.similarity for h in hits], len(hits)
            return list(self._store.list(filters, limit=PAGE, offset=offset)), [], self._store.count(filters)

        found = self._asked(fetch)
        if worker.is_cancelled:  # a later one is on its way
            return
        if found is None:
            self._loading = False
        else:
            self.call_from_thread(self._loaded, *found, offset)

    def _asked(self, action: Callable[[], _T]) -> _T | None:
        """What the store says, from a thread; an error goes to the status line."""
        try:
            with self._turn:
                return action()
        except GenevolveError as error:
            self.call_from_thread(self._say, str(error))
            return None

    def _loaded(self, found: list[Experience], scores: list[float], total: int, offset: int) -> None:
        self._loading = False
        self._total = total
        if offset:
            known = {e.id for e in self._shown}  # others may have added some, which moves the pages
            fresh = [e for e in found if e.id not in known]
            self._shown += fresh
            self._append(fresh)
        else:
            self._shown, self._scores = found, scores
            self._fill()
            self._table.move_cursor(row=self._return_to)
            self._return_to = 0
            self._detail()
        self._say()

    @on(DataTable.RowHighlighted, "#list")
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        self._detail()
        more = not self._loading and not self._scores and len(self._shown) < self._total
        if more and event.cursor_row >= len(self._shown) - _MARGIN:
            self._load(self._needle, nearest=False, offset=len(self._shown))

    @on(Input.Submitted, "#find")
    def _found(self) -> None:
        self._table.focus()

    # ---- keys ----

    def action_find(self) -> None:
        """Type into the search line."""
        self.query_one("#find", Input).focus()

    def action_nearest(self) -> None:
        """What is nearest in meaning to the search line, or to what is selected."""
        selected = self._selected
        needle = self._needle or (selected.request if selected is not None else "")
        if needle:
            self._say("looking for the nearest requests …")
            self._load(needle, nearest=True)

    def action_list(self) -> None:
        """To the list; from the list, to everything."""
        if self.focused is self._table:
            if self._scores and not self._needle:
                self._load("", nearest=False)
            self.query_one("#find", Input).value = ""
        self._table.focus()

    def action_read(self) -> None:
        """Scroll what is selected."""
        self.query_one("#side", VerticalScroll).focus()

    @on(DataTable.RowSelected, "#list")
    def _chosen(self) -> None:
        self.action_read()

    def action_view(self, name: str) -> None:
        """Advice, difference or programs."""
        self._view = name
        self._detail()

    def action_help(self) -> None:
        """What the keys do."""
        self.push_screen(Help())

    def action_mark(self) -> None:
        """Mark what is selected, or take its mark away, and go on to the next."""
        experience = self._selected
        if experience is None or self._refused():
            return
        self._toggle(experience.id)
        self._done.append(("mark", (experience.id,)))
        self._table.action_cursor_down()
        self._say()

    def _toggle(self, identity: str) -> None:
        if identity in self._marked:
            del self._marked[identity]
        else:
            self._marked[identity] = None
        if any(e.id == identity for e in self._shown):
            self._table.update_cell(identity, "mark", Text("x" if identity in self._marked else ""))

    def action_undo(self) -> None:
        """Take back the last mark or the last removal."""
        if not self._done:
            self._say("nothing to undo")
            return
        what, ids = self._done.pop()
        if what == "mark":
            self._toggle(ids[0])
            self._say("undone")
        else:
            self._bring_back(ids)

    def action_remove(self) -> None:
        """Remove what is marked, after asking."""
        if self._refused():
            return
        if not self._marked:
            self._say("nothing is marked; m marks")
            return
        noun = "experience" if len(self._marked) == 1 else "experiences"

        def answered(agreed: bool | None) -> None:
            if agreed:
                self._take_out(tuple(self._marked))

        self.push_screen(Ask(f"Remove {len(self._marked):,} {noun}?"), answered)

    def action_leave(self) -> None:
        """Leave; asks when marks would be lost."""
        if not self._marked:
            self.exit()
            return

        def answered(agreed: bool | None) -> None:
            if agreed:
                self.exit()

        self.push_screen(Ask(f"{len(self._marked):,} marked, nothing of it removed. Leave?"), answered)

    def _refused(self) -> bool:
        if self._store.read_only:
            self._say("the store is open for reading only")
        return self._store.read_only

    @work(thread=True, group="write", exit_on_error=False)
    def _take_out(self, ids: tuple[str, ...]) -> None:
        change = self._asked(lambda: self._store.remove(ids))
        if change is not None:
            self.call_from_thread(self._changed, change, "remove")

    @work(thread=True, group="write", exit_on_error=False)
    def _bring_back(self, ids: tuple[str, ...]) -> None:
        change = self._asked(lambda: self._store.restore(ids))
        if change is not None:
            self.call_from_thread(self._changed, change, "restore")

    def _changed(self, change: Change, what: str) -> None:
        """After a removal, or after one was taken back."""
        if what == "remove":
            self.removed |= set(change.changed)
            # Marks that stood in the way of undoing the removal are settled by it.
            self._done = [d for d in self._done if d[0] != "mark"]
            self._done.append(("remove", change.changed))
            self._marked.clear()
        else:
            self.removed -= set(change.changed)
        told = (
            f"{len(change.changed):,} {'removed; u brings them back' if what == 'remove' else 'brought back'}"
        )
        if change.missing:
            told += f"; {len(change.missing):,} were changed by somebody else"
        self._reload(told)

    def _reload(self, told: str) -> None:
        self._return_to = self._table.cursor_row
        self._load(self._needle, nearest=False)
        self.notify(harmless(told), markup=False, timeout=4)
