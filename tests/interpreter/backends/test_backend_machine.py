"""Backends in a machine that is opened from settings: runs, caches, notes, recordings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from servers import FaultyServer, Reply
from web import KEY, Web

from genevolve.grammar.errors import ConfigurationError, RunError
from genevolve.interpreter.config import load_config
from genevolve.interpreter.run import Run
from genevolve.programs.program import Program
from genevolve.programs.session import open_machine

TEXT = '''request "A tower."
let facts = search("iron tower", top_k: 2)
let towers = image_search("iron tower", top_k: 2)
ref tower = towers[0] for "the lattice"
prompt """
A tower as in {tower}.
"""
render size: 64x64, seed: 1
'''


@pytest.fixture
def place(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("SERPER_API_KEY", KEY)
    monkeypatch.setenv("SERPER_BASE_URL", web.server.url())
    web.finds("red", "green", "blue")
    library = tmp_path / "library"
    library.mkdir()
    (library / "tower.md").write_text("# Iron tower\n\nThe iron tower is a tower of iron.\n")
    return Place(web, tmp_path, library)


class Place:
    def __init__(self, web: Web, folder: Path, library: Path) -> None:
        self.web = web
        self.folder = folder
        self.library = library

    def flags(self, *backends: str, **more: Any) -> dict[str, Any]:
        return {
            "search.backends": list(backends),
            "fetch.allow": [f"127.0.0.1:{self.web.server.port}"],
            "cache.folder": self.folder / "cache",
            "library.folders": [self.library],
            "library.embedder": "none",
            "machine.retries": 0,
            **{name.replace("__", "."): value for name, value in more.items()},
        }

    def run(self, *backends: str, **more: Any) -> Run:
        config = load_config(
            start=self.folder, user_file=self.folder / "none", flags=self.flags(*backends, **more)
        )
        with open_machine(config) as machine:
            program = Program.parse(TEXT)
            return machine.run_sync(program.checked(machine.environment()), record=self.folder / "runs")


def calls(run: Run) -> dict[str, Any]:
    return {e.data["tool"]: e.data for e in run.trace if e.kind == "call"}


def test_a_program_runs_on_the_web(place: Place) -> None:
    run = place.run("serper")
    assert run.z.reference_images[0].source.endswith("/p/red.png")
    assert run.notes[:1] == () or "could not" not in run.notes[0]
    made = calls(run)
    assert made["search"]["value"]["value"][0]["text"] == "iron tower fact 0"
    assert [v["id"] for v in made["image_search"]["value"]["value"]] == ["IMG_001", "IMG_002"]
    trace = (run.folder / "trace.jsonl").read_text()  # type: ignore[operator]
    assert KEY not in trace


def test_answers_are_cached_for_the_day(place: Place) -> None:
    place.run("serper")
    asked = place.web.server.count()
    assert calls(place.run("serper"))["search"]["cache"] == "hit"
    assert place.web.server.count() == asked


def test_a_fallback_is_told_and_not_cached(place: Place) -> None:
    place.web.server.on("/search", Reply(500))
    run = place.run("serper", "library", search__image_backends=["serper"])
    [note] = [n for n in run.notes if n.startswith("library answered")]
    assert "serper: " in note
    assert "500" in note
    assert calls(run)["search"]["notes"] == [note]
    assert KEY not in note
    again = calls(place.run("serper", "library", search__image_backends=["serper"]))
    assert again["search"]["cache"] == "miss"
    assert again["image_search"]["cache"] == "hit"


def test_a_session_observes_the_note(place: Place) -> None:
    import asyncio

    place.web.server.on("/search", Reply(500))
    config = load_config(
        start=place.folder, user_file=place.folder / "none", flags=place.flags("serper", "library")
    )
    with open_machine(config) as machine:

        async def main() -> Any:
            session = machine.session()
            await session.step('request "A tower."')
            return await session.step('let facts = search("iron tower", top_k: 2)')

        seen = asyncio.run(main())
    assert seen.ok
    assert seen.notes[0].startswith("library answered; serper: ")
    assert seen.to_dict()["notes"] == list(seen.notes)


def test_when_all_fail_the_run_fails_with_all_reasons(place: Place) -> None:
    place.web.server.on("/search", Reply(500))
    (place.folder / "empty").mkdir()
    with pytest.raises(RunError) as caught:
        place.run("serper")
    assert caught.value.service
    assert "serper" in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_recorded_run_is_replayed_without_the_web(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = place.folder / "bundle"
    first = place.run("serper", search__record=bundle)
    asked = place.web.server.count()
    monkeypatch.delenv("SERPER_API_KEY")
    again = place.run("serper", search__replay=bundle)
    assert place.web.server.count() == asked
    assert again.z.to_json() == first.z.to_json()
    assert again.image is not None
    assert first.image is not None
    assert again.image.tobytes() == first.image.tobytes()
    assert {k: v["value"] for k, v in calls(again).items()} == {
        k: v["value"] for k, v in calls(first).items()
    }


def test_recording_asks_although_the_cache_knows(place: Place) -> None:
    place.run("serper")
    place.run("serper", search__record=place.folder / "bundle")
    assert len((place.folder / "bundle" / "calls.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("backends", "more", "told"),
    [
        (["serpre"], {}, "did you mean"),
        (["tavily"], {}, "library, serper"),
        (["serper"], {"fetch__allow": ["nonsense"]}, r"\[fetch\] allow"),
        ([], {}, "at least one"),
        (["serper"], {"search__replay": "nowhere"}, "no recording"),
    ],
)
def test_wrong_settings_are_told_before_anything_runs(
    place: Place, backends: list[str], more: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        place.run(*backends, **more)
    assert place.web.server.count() == 0


def test_a_missing_key_is_told_before_anything_runs(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERPER_API_KEY")
    with pytest.raises(ConfigurationError, match="SERPER_API_KEY"):
        place.run("library", "serper")


def test_on_the_command_line(place: Place) -> None:
    program = place.folder / "tower.gprog"
    program.write_text(TEXT)
    (place.folder / "genevolve.toml").write_text(
        f'[fetch]\nallow = ["127.0.0.1:{place.web.server.port}"]\n[cache]\nfolder = "cache"\n'
        '[library]\nembedder = "none"\n'
    )

    def genevolve(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "genevolve", "run", str(program), *arguments]
        return subprocess.run(
            command,
            cwd=place.folder,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    recorded = genevolve("--search", "serper", "--record", "bundle", "--json")
    assert recorded.returncode == 0, recorded.stderr
    asked = place.web.server.count()
    replayed = genevolve("--replay-search", "bundle", "--json")
    assert replayed.returncode == 0, replayed.stderr
    assert json.loads(replayed.stdout)["digest"] == json.loads(recorded.stdout)["digest"]
    assert place.web.server.count() == asked
    program.write_text(TEXT.replace('search("iron tower"', 'search("tower of iron"', 1))
    unknown = genevolve("--replay-search", "bundle")
    assert unknown.returncode == 3
    assert 'search("tower of iron", top_k: 2)' in unknown.stderr
    assert "Traceback" not in unknown.stderr
    both = genevolve("--replay-search", "bundle", "--record", "other")
    assert both.returncode == 2


def test_nothing_is_fetched_from_where_it_must_not(place: Place) -> None:
    with FaultyServer() as inside:
        place.web.finds(inside.url("/secret.png"), "red", "green")
        run = place.run("serper")
        assert inside.connections == 0
    assert any("1 refused" in note for note in run.notes)
