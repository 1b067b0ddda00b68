from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

import pytest
from fake_services import WORKFLOW, WORKFLOW_WITH_REFERENCES, ComfyService, png
from remote_cases import cancelled_after, picture_file, remote, render, until, z_of
from servers import FaultyServer, Reply, Request, image_reply, json_reply

from genevolve.grammar.errors import AuthorError, ConfigurationError, ServiceError
from genevolve.interpreter.protocols import CallContext, Renderer
from genevolve.interpreter.renderers.remote.comfyui import ComfyUIRenderer
from genevolve.interpreter.renderers.remote.workflow import Template

INPUTS: dict[str, Any] = {
    "prompt": "6.text",
    "negative": "7.text",
    "seed": "3.seed",
    "steps": "3.steps",
    "guidance": "3.cfg",
    "width": "5.width",
    "height": "5.height",
}


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(WORKFLOW))
    return path


def at(
    url: str, file: Path, inputs: dict[str, Any] = INPUTS, output: object = None, **options: Any
) -> ComfyUIRenderer:
    return ComfyUIRenderer(Template.load(file, inputs, output), [url], remote(**options))


class TestProtocol:
    def test_named_inputs_are_filled(self, workflow: Path) -> None:
        with ComfyService() as service:
            renderer = at(service.url, workflow)
            rendering = render(renderer, z_of(negative="fog", steps=12, guidance=4.5, seed=9))
        assert isinstance(renderer, Renderer)
        assert rendering.image.size == (64, 48)
        assert rendering.notes == ()
        (body,) = [seen.body for seen in service.requests if seen.path == "/prompt"]
        expected = copy.deepcopy(WORKFLOW)
        expected["6"]["inputs"]["text"] = "A tower as in the first reference image."
        expected["7"]["inputs"]["text"] = "fog"
        expected["3"]["inputs"] |= {"seed": 9, "steps": 12, "cfg": 4.5}
        expected["5"]["inputs"] |= {"width": 64, "height": 48}
        assert body["prompt"] == expected
        assert body["prompt_id"] == body["client_id"]
        assert service.count("/interrupt") == 0

    def test_open_settings_are_left_to_the_workflow(self, workflow: Path) -> None:
        with ComfyService() as service:
            render(at(service.url, workflow), z_of())
        inputs = service.requests[0].body["prompt"]["3"]["inputs"]
        assert (inputs["steps"], inputs["cfg"], inputs["seed"]) == (20, 8, 0)

    def test_references_are_uploaded_in_order(self, tmp_path: Path) -> None:
        file = tmp_path / "refs.json"
        file.write_text(json.dumps(WORKFLOW_WITH_REFERENCES))
        pictures = [picture_file(tmp_path / "a.jpg"), picture_file(tmp_path / "b.png", kind="PNG")]
        inputs = {**INPUTS, "references": ["10.image", "11.image"]}
        with ComfyService() as service:
            render(at(service.url, file, inputs), z_of(pictures), pictures)
            nodes = next(s.body["prompt"] for s in service.requests if s.path == "/prompt")
        names = [nodes[n]["inputs"]["image"] for n in ("10", "11")]
        assert names[0].startswith("genevolve/")
        assert [service.inputs[name] for name in names] == [p.file.read_bytes() for p in pictures]
        assert service.requests[0].body == {"type": "input", "subfolder": "genevolve", "overwrite": "true"}

    def test_what_has_no_place_is_noted(self, workflow: Path) -> None:
        with ComfyService() as service:
            rendering = render(at(service.url, workflow, {"prompt": "6.text"}), z_of(negative="fog", seed=3))
        assert rendering.notes == (
            "the workflow has no input named for the negative prompt; it was not sent",
            "the workflow has no input named for the seed; it was not sent",
            "64x48 was asked for; the workflow drew 512x512",
        )

    def test_the_output_may_be_named(self, workflow: Path) -> None:
        with ComfyService() as service:
            assert render(at(service.url, workflow, output="8"), z_of()).image.size == (4, 4)
            with pytest.raises(ServiceError, match="node 3 gave no picture"):
                render(at(service.url, workflow, output=3), z_of())

    def test_a_long_queue_is_waited_for(self, workflow: Path) -> None:
        with ComfyService() as service:
            service.delay = 1.5
            assert render(at(service.url, workflow), z_of()).image.size == (64, 48)


class TestRefusals:
    def test_another_number_of_references(self, workflow: Path, tmp_path: Path) -> None:
        picture = picture_file(tmp_path / "a.jpg")
        with ComfyService() as service:
            with pytest.raises(AuthorError, match="takes no reference images, but the program binds 1"):
                render(at(service.url, workflow), z_of([picture]), [picture])
            assert service.requests == []

    def test_settings_without_a_place(self, workflow: Path) -> None:
        renderer = at("http://127.0.0.1:9", workflow, {"prompt": "6.text"})
        assert len(renderer.refusals(z_of(steps=3, guidance=2.0))) == 2


class TestTemplates:
    @pytest.mark.parametrize(
        ("inputs", "told"),
        [
            ({}, "where the prompt goes"),
            ({"prompt": "66.text"}, "no node '66'"),
            ({"prompt": "6.txt"}, "did you mean 'text'"),
            ({"prompt": "6"}, "not a node and its input"),
            ({"prompt": "3.seed"}, "not a text"),
            ({"prompt": "6.text", "seed": "6.text"}, "not a number"),
            ({"prompt": "3.positive"}, "linked to node 6"),
            ({"prompt": "6.text", "sed": "3.seed"}, "unknown name sed"),
            ({"prompt": 6}, "expected a place"),
            ({"prompt": []}, "the list is empty"),
        ],
    )
    def test_wrong_places_are_told_before_anything_is_spent(
        self, workflow: Path, inputs: dict[str, Any], told: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=told):
            Template.load(workflow, inputs)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("{", "not valid JSON"),
            ("[]", "API format"),
            ('{"nodes": [], "links": []}', "as the editor saves it"),
            ('{"6": {"inputs": {}}}', "lacks class_type"),
            ("[" * 100_000, "not valid JSON"),
        ],
    )
    def test_wrong_files_are_told(self, tmp_path: Path, text: str, told: str) -> None:
        file = tmp_path / "workflow.json"
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=told):
            Template.load(file, INPUTS)

    def test_a_missing_file_and_a_missing_output(self, tmp_path: Path, workflow: Path) -> None:
        with pytest.raises(ConfigurationError, match="there is no workflow"):
            Template.load(tmp_path / "none.json", INPUTS)
        with pytest.raises(ConfigurationError, match=r"output: workflow\.json has no node '99'"):
            Template.load(workflow, INPUTS, "99")

    def test_a_specification_needs_a_workflow(self, workflow: Path) -> None:
        with pytest.raises(ConfigurationError, match="needs a workflow"):
            ComfyUIRenderer.parse("", remote(), {})
        table = {"workflow": workflow, "inputs": INPUTS, "url": "http://one:1"}
        assert ComfyUIRenderer.parse("", remote(), table).dispatcher.servers[0].url == "http://one:1"
        renderer = ComfyUIRenderer.parse(f"{workflow}?url=http://two:2", remote(), table)
        assert renderer.dispatcher.servers[0].url == "http://two:2"
        assert renderer.version.startswith("workflow.json@")


class TestFaults:
    def test_complaints_of_nodes_are_told(self, tmp_path: Path) -> None:
        file = tmp_path / "w.json"
        broken = copy.deepcopy(WORKFLOW)
        broken["4"]["inputs"]["ckpt_name"] = "gone.safetensors"
        file.write_text(json.dumps(broken))
        with ComfyService() as service:
            with pytest.raises(
                ServiceError, match=r"node 4 .*Value not in list: ckpt_name: 'gone\.safetensors'"
            ):
                render(at(service.url, file), z_of())
            assert service.count("/prompt") == 1

    def test_complaints_in_a_body_that_is_cut_off(self, workflow: Path) -> None:
        inner = {
            "message": "Value not in list",
            "details": "ckpt_name: 'x' not in list",
            "extra_info": "y" * 9000,
        }
        told = {
            "error": {"type": "t", "message": "Prompt outputs failed validation", "details": ""},
            "node_errors": {"4": {"errors": [inner], "class_type": "CheckpointLoaderSimple"}},
        }
        with FaultyServer() as server:
            server.on("*", Reply(200)).on("/prompt", json_reply(told, 400))
            with pytest.raises(ServiceError, match="refuses the workflow: Value not in list: ckpt_name"):
                render(at(server.url(), workflow), z_of())

    def test_a_failing_node_is_told_and_not_tried_again(self, workflow: Path) -> None:
        with ComfyService() as service:
            service.node_failure = "CUDA out of memory"
            with pytest.raises(ServiceError, match=r"node 3 \(KSampler\) failed: CUDA out of memory"):
                render(at(service.url, workflow), z_of())
            assert service.count("/prompt") == 1

    def test_a_lost_job_is_queued_again(self, workflow: Path) -> None:
        with ComfyService() as service:
            service.forgetful = True
            with pytest.raises(ServiceError, match="no longer knows the job"):
                render(at(service.url, workflow, retries=1), z_of())
            assert service.count("/prompt") == 2

    def test_trouble_while_waiting_draws_nothing_twice(self, workflow: Path) -> None:
        jobs: list[str] = []

        def queue(request: Request) -> Reply:
            jobs.append(request.json()["prompt_id"])
            return json_reply({"prompt_id": "job", "number": 1, "node_errors": {}})

        images = [{"filename": "a.png", "subfolder": "x", "type": "output"}]
        done = {
            "job": {
                "outputs": {"9": {"images": images}},
                "status": {"status_str": "success", "completed": True},
            }
        }
        with FaultyServer() as server:
            server.on("/prompt", queue)
            server.on("/history/job", json_reply({}), Reply(500), Reply(raw=b""), json_reply(done))
            server.on("/view", Reply(502), image_reply(png()))
            assert render(at(server.url(), workflow), z_of()).image.size == (64, 48)
            assert len(jobs) == 1
            assert server.requests[-1].query == {
                "filename": ["a.png"],
                "subfolder": ["x"],
                "type": ["output"],
            }

    @pytest.mark.parametrize("data", [b"<html>", png()[:50]])
    def test_no_picture_at_the_end(self, workflow: Path, data: bytes) -> None:
        with (
            ComfyService(lambda nodes: data) as service,
            pytest.raises(ServiceError, match="sent no usable picture"),
        ):
            render(at(service.url, workflow), z_of())


class TestCancellation:
    def test_a_running_job_is_interrupted(self, workflow: Path) -> None:
        with ComfyService() as service:
            service.delay = 8
            took = cancelled_after(0.6, at(service.url, workflow).render(CallContext(), z_of(), []))
            assert took < 2
            until(lambda: len(service.history) == 1, 2)
            job = service.requests[0].body["prompt_id"]
            assert service.interrupted == [job]
            assert service.history[job]["status"]["messages"][-1][0] == "execution_interrupted"

    def test_a_waiting_job_is_taken_out_and_the_running_one_left(self, workflow: Path) -> None:
        with ComfyService() as service:
            service.delay = 2.0
            service.jobs["another"] = WORKFLOW
            service.pending.append("another")
            service._work_soon()
            until(lambda: service.running == "another")
            began = time.monotonic()
            cancelled_after(0.3, at(service.url, workflow).render(CallContext(), z_of(), []))
            assert time.monotonic() - began < 2
            assert service.pending == []
            assert service.interrupted == []
            until(lambda: "another" in service.history)
            assert service.history["another"]["status"]["status_str"] == "success"

    def test_a_timeout_takes_the_job_back_too(self, workflow: Path) -> None:
        with ComfyService() as service:
            service.delay = 8
            with pytest.raises(ServiceError, match="no picture within"):
                render(at(service.url, workflow, seconds=0.6), z_of())
            until(lambda: len(service.interrupted) == 1, 2)
