"""`genevolve doctor` against services that are well, down, wrong, and without their keys."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import FaultyServer, Reply, Request, json_reply

from genevolve.cli.app import OK, SERVICE_FAILED, run_command_line

KEY = "serper-key-that-nobody-may-see"
SERVERS = Path(__file__).parents[1] / "interpreter" / "mcp" / "mcp_servers.py"
DOWN = "http://127.0.0.1:9"

Examine = Callable[..., tuple[int, list[dict[str, str]]]]


@pytest.fixture(autouse=True)
def _own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("SERPER_API_KEY", "SERPER_BASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL", "GEMINI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def web() -> Iterator[FaultyServer]:
    with FaultyServer() as server:
        yield server


@pytest.fixture
def examine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Examine:
    """The exit code and the lines of `doctor --fast --json` with these settings."""

    def run(settings: str = "", *options: str) -> tuple[int, list[dict[str, str]]]:
        (tmp_path / "genevolve.toml").write_text(settings)
        code = run_command_line(["doctor", "--json", *(options or ("--fast",))])
        printed = capsys.readouterr()
        assert KEY not in printed.out + printed.err
        lines: list[dict[str, str]] = json.loads(printed.out)
        assert all(line["advice"] for line in lines if line["status"] != "ok")
        return code, lines

    return run


def lines_of(lines: list[dict[str, str]], subject: str) -> list[dict[str, str]]:
    return [line for line in lines if line["subject"] == subject]


def one(lines: list[dict[str, str]], subject: str) -> dict[str, str]:
    (line,) = lines_of(lines, subject)
    return line


def test_nothing_configured_is_well_and_quick(tmp_path: Path) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "genevolve", "doctor", "--fast"],
        capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == OK, done.stdout
    assert "configuration    none" in done.stdout
    assert "storyboard" in done.stdout
    assert time.monotonic() - began < 15


def test_settings_are_shown_with_their_origin(examine: Examine, tmp_path: Path) -> None:
    code, lines = examine("[budget]\ncalls = 3\n")
    assert code == OK
    assert one(lines, "setting")["found"] == f"budget.calls = 3 ({tmp_path / 'genevolve.toml'})"


def test_a_file_that_is_wrong(examine: Examine) -> None:
    code, lines = examine("[budget]\ncals = 3\n")
    assert code == SERVICE_FAILED
    assert "did you mean" in one(lines, "configuration")["found"]


class TestSearch:
    SERPER = '[search]\nbackends = ["serper", "library"]\n'

    @pytest.fixture(autouse=True)
    def _serper(self, web: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SERPER_API_KEY", KEY)
        monkeypatch.setenv("SERPER_BASE_URL", web.url(""))

    def test_well(self, examine: Examine, web: FaultyServer) -> None:
        web.on(
            "/search",
            json_reply({"organic": [{"title": "t", "snippet": "A red balloon.", "link": "https://e.org"}]}),
        )
        code, lines = examine(self.SERPER)
        assert code == OK
        assert one(lines, "search serper")["found"].startswith("answered in")
        assert web.requests[0].headers["x-api-key"] == KEY
        assert one(lines, "keys")["found"].startswith("SERPER_API_KEY")

    def test_empty(self, examine: Examine, web: FaultyServer) -> None:
        web.on("/search", json_reply({"organic": []}))
        code, lines = examine(self.SERPER)
        assert code == OK
        assert one(lines, "search serper")["status"] == "note"

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(401, body=f'{{"message": "bad key {KEY}"}}'.encode()),
            Reply(200, body=b"<html>"),
            Reply(200, body=b"{}"),
            Reply(302, headers={"Location": "/elsewhere"}),
        ],
    )
    def test_wrong(self, examine: Examine, web: FaultyServer, reply: Reply) -> None:
        web.on("/search", reply)
        code, lines = examine(self.SERPER)
        assert code == SERVICE_FAILED
        line = one(lines, "search serper")
        assert (line["status"], "key" in line["advice"]) == ("fail", True)

    def test_down(self, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SERPER_BASE_URL", DOWN)
        code, lines = examine(self.SERPER)
        assert code == SERVICE_FAILED
        assert "127.0.0.1" in one(lines, "search serper")["found"]

    def test_without_its_key(self, examine: Examine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SERPER_API_KEY")
        code, lines = examine(self.SERPER)
        assert code == SERVICE_FAILED
        assert "SERPER_API_KEY" in one(lines, "search serper")["found"]

    def test_no_such_backend_and_no_such_bundle(self, examine: Examine) -> None:
        code, lines = examine('[search]\nbackends = ["serpr"]\n')
        assert code == SERVICE_FAILED
        assert "did you mean 'serper'" in one(lines, "search serpr")["found"]
        code, lines = examine('[search]\nreplay = "nowhere"\n')
        assert code == SERVICE_FAILED
        assert "nowhere" in one(lines, "search")["found"]


class TestRenderer:
    def test_a_service_that_is_well_and_one_that_is_down(self, examine: Examine, web: FaultyServer) -> None:
        web.on("/healthz", json_reply({"status": "ok"}))
        code, lines = examine(f'[render]\nrenderer = "qwen-service:{web.url("")}"\n')
        assert code == OK
        assert one(lines, "renderer")["found"].endswith("is well")
        code, lines = examine(f'[render]\nrenderer = "qwen-service:{DOWN},{web.url("")}"\n')
        assert code == OK
        assert [line["status"] for line in lines_of(lines, "renderer")] == ["note", "ok"]
        code, lines = examine(f'[render]\nrenderer = "qwen-service:{DOWN}"\n')
        assert code == SERVICE_FAILED
        assert "start the service" in one(lines, "renderer")["advice"]

    def test_a_key_that_is_missing_and_one_that_is_wrong(
        self, examine: Examine, web: FaultyServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = '[render]\nrenderer = "openai:gpt-image-1"\n'
        code, lines = examine(settings)
        assert code == SERVICE_FAILED
        assert "OPENAI_API_KEY" in one(lines, "renderer")["found"]
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", web.url("/v1"))

        def models(request: Request) -> Reply:
            shown = request.headers.get("authorization", "")
            return json_reply({"data": []}) if shown == f"Bearer {KEY}" else Reply(401, body=shown.encode())

        web.on("/v1/models", models)
        assert examine(settings)[0] == OK
        monkeypatch.setenv("OPENAI_API_KEY", "some-other-key-of-mine")
        code, lines = examine(settings)
        assert code == SERVICE_FAILED
        assert "some-other-key-of-mine" not in json.dumps(lines)

    def test_unknown(self, examine: Examine) -> None:
        code, lines = examine('[render]\nrenderer = "storybord"\n')
        assert code == SERVICE_FAILED
        assert "did you mean 'storyboard'" in one(lines, "renderer")["found"]


class TestMcp:
    @staticmethod
    def settings(**servers: str) -> str:
        return "".join(f"[mcp.servers.{name}]\n{text}\n" for name, text in servers.items())

    @staticmethod
    def command(kind: str) -> str:
        return f"command = {json.dumps([sys.executable, str(SERVERS), kind])}"

    def test_well_down_and_wrong(self, examine: Examine, web: FaultyServer) -> None:
        web.on("/mcp", Reply(200, body=b"<html>", headers={"Content-Type": "text/html"}))
        code, lines = examine(
            self.settings(
                docs=self.command("stdio"),
                dead=self.command("crash"),
                gone=f'url = "{DOWN}/mcp"',
                page=f'url = "{web.url("/mcp")}"\nstart = 3',
                need=f'url = "{DOWN}/mcp"\nbearer = "NOT_SET_ANYWHERE"',
            )
        )
        assert code == SERVICE_FAILED
        well, *notes = lines_of(lines, "mcp docs")
        assert well["status"] == "ok"
        assert "docs_shout" in well["found"]
        assert any("takes an object" in n["found"] and n["status"] == "note" for n in notes)
        assert "no licence" in one(lines, "mcp dead")["found"]
        assert "NOT_SET_ANYWHERE" in one(lines, "mcp need")["found"]
        assert {one(lines, f"mcp {name}")["status"] for name in ("dead", "gone", "page", "need")} == {"fail"}

    def test_what_it_learns_is_what_check_knows(
        self, examine: Examine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        program = tmp_path / "a.gprog"
        program.write_text('request "A."\nlet a = docs_shout("x")\nprompt "A {a}."\n')
        settings = self.settings(docs=self.command("stdio"))
        (tmp_path / "genevolve.toml").write_text(settings)
        assert run_command_line(["check", str(program)]) != OK
        assert "genevolve doctor" in capsys.readouterr().out
        assert examine(settings)[0] == OK
        assert run_command_line(["check", str(program)]) == OK

    def test_collisions(self, examine: Examine) -> None:
        code, lines = examine(self.settings(docs=self.command("stdio") + '\nnames = { shout = "search" }'))
        assert code == SERVICE_FAILED
        assert "called 'search'" in one(lines, "mcp")["found"]


def test_folders_that_cannot_be_written(examine: Examine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, lines = examine('[cache]\nfolder = "file/cache"\n')
    assert code == SERVICE_FAILED
    assert one(lines, "cache")["status"] == "fail"


def test_missing_folders_of_the_library(examine: Examine) -> None:
    code, lines = examine('[library]\nfolders = ["nowhere"]\n')
    assert code == SERVICE_FAILED
    assert "nowhere" in one(lines, "library")["found"]


def test_a_pipeline_tells_what_it_takes(examine: Examine, tmp_path: Path) -> None:
    pipeline: dict[str, Any] = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.36.0",
    }
    folder = tmp_path / "pipeline"
    folder.mkdir()
    (folder / "model_index.json").write_text(json.dumps(pipeline))
    settings = '[library]\nembedder = "none"\n[render]\nrenderer = "diffusers:./pipeline"\n'
    _, lines = examine(settings, "--config", str(tmp_path / "genevolve.toml"))
    assert "StableDiffusionPipeline takes no reference images" in one(lines, "renderer")["found"]
    assert one(lines, "device")["status"] == "ok"
    assert one(lines, "faiss and torch")["status"] == "ok"
