"""Remote renderers as a person uses them: settings in, a picture out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_services import WORKFLOW, ComfyService, GeminiService, OpenAIService, QwenService
from PIL import Image
from remote_cases import picture_file, until

from genevolve.cli.app import INTERRUPTED, OK, SERVICE_FAILED, USAGE, WRONG_INPUT, run_command_line
from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.config import Config, RenderSettings, load_config
from genevolve.interpreter.renderers.catalog import open_renderer, renderer_names

PROGRAM = """\
program cover(title: text = "PARIS")
request "A cover titled {title}."
ref tower = image("tower.jpg") for "the lattice"
prompt "A cover titled {title}, with the tower from {tower}."
avoid "fog"
render size: 128x96, steps: 12, guidance: 3.0, seed: 7
"""


@pytest.fixture
def cover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program with a reference, in a working folder, a cache and a configuration of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("GENEVOLVE_LIBRARY_EMBEDDER", "none")
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENAI_API_KEY", "GEMINI_BASE_URL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    picture_file(tmp_path / "tower.jpg", (80, 60))
    path = tmp_path / "cover.gprog"
    path.write_text(PROGRAM)
    return path


def test_run_draws_with_a_service(cover: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cover.png"
    with QwenService() as service:
        code = run_command_line(
            ["run", str(cover), "--renderer", f"qwen-service:{service.url}", "--out", str(out), "--json"]
        )
    assert code == OK
    body = service.requests[0].body
    assert body["prompt"] == "A cover titled PARIS, with the tower from the first reference image."
    assert [body[k] for k in ("negative_prompt", "num_inference_steps", "true_cfg_scale", "seed")] == [
        "fog",
        12,
        3.0,
        7,
    ]
    with Image.open(out) as image:
        assert image.size == (128, 96)
    printed = json.loads(capsys.readouterr().out)
    record = Path(printed["record"])
    trace = [json.loads(line) for line in (record / "trace.jsonl").read_text().splitlines()]
    rendered = next(event for event in trace if event["event"] == "render")
    assert rendered["renderer"] == "qwen-service"
    assert rendered["info"]["service"] == service.url
    assert run_command_line(["extract", str(out)]) == OK
    assert capsys.readouterr().out == PROGRAM


def test_a_broken_service_ends_with_code_3(cover: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with QwenService() as service:
        service.failure = "out of memory"
        code = run_command_line(["run", str(cover), "--renderer", f"qwen-service:{service.url}"])
    assert code == SERVICE_FAILED
    told = capsys.readouterr().err
    assert "GP527" in told
    assert "out of memory" in told


def test_a_program_that_cannot_be_honoured_asks_nobody(
    cover: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cover.write_text(PROGRAM.replace("128x96", "100x96"))
    with QwenService() as service:
        code = run_command_line(["run", str(cover), "--renderer", f"qwen-service:{service.url}"])
    assert code == WRONG_INPUT
    assert "GP524" in capsys.readouterr().err
    assert service.requests == []


def test_a_missing_key_is_told_by_name_at_once(cover: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["run", str(cover), "--renderer", "gemini"]) == USAGE
    assert "GEMINI_API_KEY or GOOGLE_API_KEY" in capsys.readouterr().err
    assert run_command_line(["run", str(cover), "--renderer", "openai:gpt-image-2"]) == USAGE
    assert "OPENAI_API_KEY" in capsys.readouterr().err


def test_keys_and_addresses_may_stand_in_env_files(
    cover: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with GeminiService() as service:
        (tmp_path / ".env").write_text(
            f'GEMINI_API_KEY="{GeminiService.KEY}"\nGEMINI_BASE_URL={service.url}\n'
        )
        (tmp_path / "genevolve.toml").write_text('[render]\nrenderer = "gemini"\n')
        assert run_command_line(["run", str(cover), "--json"]) == OK
    assert service.requests[0].headers["x-goog-api-key"] == GeminiService.KEY
    printed = json.loads(capsys.readouterr().out)
    assert "Gemini takes no steps; 12 was not sent" in printed["notes"]
    for file in Path(printed["record"]).rglob("*"):
        assert not file.is_file() or GeminiService.KEY.encode() not in file.read_bytes()


def test_a_workflow_of_the_configuration(
    cover: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = {**WORKFLOW, "10": {"class_type": "LoadImage", "inputs": {"image": "example.png"}}}
    (tmp_path / "flow.json").write_text(json.dumps(nodes))
    with ComfyService() as service:
        (tmp_path / "genevolve.toml").write_text(
            f"""[render]
renderer = "comfyui"

[render.comfyui]
url = "{service.url}"
workflow = "flow.json"

[render.comfyui.inputs]
prompt = "6.text"
negative = "7.text"
seed = "3.seed"
steps = "3.steps"
guidance = "3.cfg"
width = "5.width"
height = "5.height"
references = ["10.image"]
"""
        )
        assert run_command_line(["run", str(cover), "--json"]) == OK
    inputs = next(s.body["prompt"] for s in service.requests if s.path == "/prompt")["3"]["inputs"]
    assert (inputs["seed"], inputs["steps"], inputs["cfg"]) == (7, 12, 3.0)
    assert json.loads(capsys.readouterr().out)["notes"] == []


def test_ctrl_c_stops_within_two_seconds(cover: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "genevolve", "run", str(cover), "--renderer"]
    with QwenService() as service:
        service.delay = 30
        process = subprocess.Popen(
            [*command, f"qwen-service:{service.url}"], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        until(lambda: service.requests, 60)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, told = process.communicate(timeout=20)
        assert time.monotonic() - began < 2
        assert process.returncode == INTERRUPTED
        assert "Traceback" not in told
        until(lambda: service.gone == 1, 2)


class TestSettings:
    def test_from_a_file_a_variable_and_a_flag(self, tmp_path: Path) -> None:
        file = tmp_path / "genevolve.toml"
        file.write_text('[render]\nrenderer = "gemini"\ntimeout = 90\nretries = 1\nrpm = 10\n')
        config = load_config(
            file=file,
            environment={"GENEVOLVE_RENDER_RETRIES": "5", "OPENAI_BASE_URL": " http://a/v1 "},
            flags={"render.rpm": "30"},
        )
        render = config.render
        assert (render.timeout, render.retries, render.rpm) == (90.0, 5, 30.0)
        assert dict(config.endpoints) == {"OPENAI_BASE_URL": "http://a/v1"}

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("[render]\nrpm = 0\n", "render.rpm"),
            ("[render]\ncomfyui = 3\n", "expected a table"),
            ("[render.comfyui]\nworkflows = 'x'\n", "did you mean 'workflow'"),
            ("[render.comfyui]\ninputs = 'x'\n", "inputs"),
        ],
    )
    def test_what_is_wrong_is_told(self, tmp_path: Path, text: str, told: str) -> None:
        file = tmp_path / "genevolve.toml"
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=told):
            load_config(file=file, environment={})

    def test_the_workflow_is_relative_to_its_file(self, tmp_path: Path) -> None:
        file = tmp_path / "genevolve.toml"
        file.write_text("[render.comfyui]\nworkflow = 'flows/a.json'\n")
        config = load_config(file=file, environment={})
        assert config.render.comfyui["workflow"] == tmp_path / "flows" / "a.json"
        assert config.to_dict()["render.comfyui"] == {"workflow": str(tmp_path / "flows" / "a.json")}

    def test_a_port_is_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "8001").mkdir()
        file = tmp_path / "genevolve.toml"
        file.write_text("[render]\nrenderer = 'qwen-service:http://host:8001'\n")
        config = load_config(file=file, environment={})
        assert config.render.renderer == "qwen-service:http://host:8001"

    def test_renderers_share_a_rate(self) -> None:
        config = Config(render=RenderSettings(rpm=1000.0))
        one = open_renderer("qwen-service:http://127.0.0.1:9", config)
        two = open_renderer("qwen-service:http://127.0.0.1:9", config)
        assert one.dispatcher.limiter is two.dispatcher.limiter is not None  # type: ignore[attr-defined]  # both are of one class

    def test_the_names_are_known(self) -> None:
        assert {"qwen-service", "gemini", "openai", "comfyui"} <= set(renderer_names())


class TestDoctor:
    def lines(self, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(capsys.readouterr().out)
        return [line for line in found if line["subject"] == "renderer"]

    def test_services_are_asked(
        self, cover: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with QwenService() as well, QwenService() as ill:
            ill.well = False
            monkeypatch.setenv("GENEVOLVE_RENDER_RENDERER", f"qwen-service:{well.url},{ill.url}")
            # One of two is enough to draw with; none is a failure.
            assert run_command_line(["doctor", "--fast", "--json"]) == OK
            lines = self.lines(capsys)
            assert [line["status"] for line in lines] == ["ok", "note"]
            assert "503" in lines[1]["found"]
            assert "repair this one" in lines[1]["advice"]
            monkeypatch.setenv("GENEVOLVE_RENDER_RENDERER", f"qwen-service:{ill.url}")
            assert run_command_line(["doctor", "--fast", "--json"]) == SERVICE_FAILED
            (line,) = self.lines(capsys)
            assert line["status"] == "fail"
            assert "start the service" in line["advice"]
            assert well.requests == []

    def test_a_wrong_key_is_found_out(
        self, cover: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with GeminiService() as gemini, OpenAIService() as openai, ComfyService() as comfy:
            monkeypatch.setenv("GEMINI_BASE_URL", gemini.url)
            monkeypatch.setenv("OPENAI_BASE_URL", openai.url)
            (cover.parent / "flow.json").write_text(json.dumps(WORKFLOW))
            (cover.parent / "genevolve.toml").write_text(
                f'[render.comfyui]\nurl = "{comfy.url}"\ninputs = {{ prompt = "6.text" }}\n'
            )
            for spec, right in (("gemini", GeminiService.KEY), ("openai:gpt-image-1.5", OpenAIService.KEY)):
                monkeypatch.setenv("GENEVOLVE_RENDER_RENDERER", spec)
                for key, status in (("a-wrong-key-0123456789", "fail"), (right, "ok")):
                    monkeypatch.setenv("GEMINI_API_KEY", key)
                    monkeypatch.setenv("OPENAI_API_KEY", key)
                    run_command_line(["doctor", "--fast", "--json"])
                    lines = self.lines(capsys)
                    assert [line["status"] for line in lines] == [status]
                    assert key not in json.dumps(lines)
            monkeypatch.setenv("GENEVOLVE_RENDER_RENDERER", "comfyui:flow.json")
            run_command_line(["doctor", "--fast", "--json"])
            assert [line["status"] for line in self.lines(capsys)] == ["ok"]
