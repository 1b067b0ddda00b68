"""The services that remote renderers ask, on loopback: each speaks its protocol as the real one does.

They check what they are sent and answer errors in the words of the real service. `requests` keeps every request;
`draw` makes the picture of an answer. A request whose client goes away is counted in `gone`.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from PIL import Image
from starlette.datastructures import UploadFile


def png(size: tuple[int, int] = (64, 48), colour: str = "teal") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass
class Seen:
    """One request: its JSON body, or its form with files as (name, file name, media type, bytes) in order."""

    path: str
    headers: dict[str, str]
    body: Any = None
    files: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    at: float = field(default_factory=time.monotonic)


class Service:
    """A FastAPI application in a thread, on a free port."""

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.delay = 0.0
        self.gone = 0
        self.now = 0
        self.most_at_once = 0
        self.app = FastAPI()
        self.routes(self.app)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            self.app, log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Any:
        self._thread.start()
        end = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < end
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()

    def routes(self, app: FastAPI) -> None:
        raise NotImplementedError

    def count(self, path: str) -> int:
        return sum(1 for seen in self.requests if seen.path == path)

    async def see(self, request: Request) -> Seen:
        seen = Seen(request.url.path, dict(request.headers))
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            seen.body = {}
            async with request.form() as form:
                for name, value in form.multi_items():
                    if isinstance(value, UploadFile):
                        content = await value.read()
                        seen.files.append((name, value.filename or "", value.content_type or "", content))
                    else:
                        seen.body[name] = value
        elif request.method == "POST":
            seen.body = json.loads(await request.body())
        self.requests.append(seen)
        return seen

    async def work(self, request: Request) -> bool:
        """Take `delay` seconds; False when the client went away meanwhile."""
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        try:
            end = time.monotonic() + self.delay
            while time.monotonic() < end:
                if await request.is_disconnected():
                    self.gone += 1
                    return False
                await asyncio.sleep(0.01)
            return True
        finally:
            self.now -= 1


class QwenService(Service):
    """`POST /generate` of the release's Qwen-Image-Edit service."""

    def __init__(self, *, data_uri: bool = False) -> None:
        self.well = True
        self.data_uri = data_uri
        self.failure: str | None = None
        self.health_checks = 0
        super().__init__()

    def routes(self, app: FastAPI) -> None:
        @app.get("/healthz")
        async def healthz() -> Response:
            self.health_checks += 1
            return JSONResponse({"status": "ok" if self.well else "loading"}, 200 if self.well else 503)

        @app.post("/generate")
        async def generate(request: Request) -> Response:
            seen = await self.see(request)
            body = seen.body
            expected = {
                "prompt": str,
                "image_urls": list,
                "negative_prompt": str,
                "num_inference_steps": int,
                "true_cfg_scale": float,
                "guidance_scale": float,
                "num_images_per_prompt": int,
                "width": int,
                "height": int,
                "seed": int,
            }
            for name, kind in expected.items():
                if not isinstance(body.get(name), kind):
                    return JSONResponse({"detail": f"{name} is missing or of another type"}, 422)
            for uri in body["image_urls"]:
                head, _, data = uri.partition(",")
                assert head.startswith("data:image/")
                assert head.endswith(";base64")
                Image.open(io.BytesIO(base64.b64decode(data, validate=True))).load()
            if not await self.work(request):
                return Response(status_code=499)
            if self.failure is not None:
                return JSONResponse({"success": False, "error": self.failure})
            picture = b64(png((body["width"], body["height"])))
            return JSONResponse(
                {"success": True, "image": f"data:image/png;base64,{picture}" if self.data_uri else picture}
            )


class GeminiService(Service):
    """`generateContent` of Gemini's image models. `answer` replaces the usual one."""

    KEY = "AIza-not-a-real-key-0123456789"

    def __init__(self) -> None:
        self.answer: dict[str, Any] | None = None
        self.size = (1024, 1024)
        super().__init__()

    def routes(self, app: FastAPI) -> None:
        @app.get("/v1beta/models/{name}")
        async def model_info(name: str, request: Request) -> Response:
            if request.headers.get("x-goog-api-key") != self.KEY:
                return _google_error(
                    400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."
                )
            return JSONResponse({"name": f"models/{name}"})

        @app.post("/v1beta/models/{call}")
        async def generate(call: str, request: Request) -> Response:
            seen = await self.see(request)
            model, _, method = call.partition(":")
            if method != "generateContent":
                return _google_error(404, "NOT_FOUND", f"{call} is not found")
            if seen.headers.get("x-goog-api-key") != self.KEY:
                return _google_error(
                    400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."
                )
            if "text" not in seen.body["contents"][0]["parts"][-1]:
                return _google_error(400, "INVALID_ARGUMENT", "contents has no text")
            if not await self.work(request):
                return Response(status_code=499)
            if self.answer is not None:
                return JSONResponse(self.answer)
            parts = [
                {"text": "Thinking of the picture.", "thought": True},
                {"inlineData": {"mimeType": "image/png", "data": b64(png((8, 8)))}, "thought": True},
                {"text": "Here it is."},
                {"inlineData": {"mimeType": "image/png", "data": b64(png(self.size))}},
            ]
            return JSONResponse(
                {
                    "candidates": [
                        {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
                    ],
                    "usageMetadata": {"promptTokenCount": 271, "candidatesTokenCount": 1290},
                    "modelVersion": model,
                }
            )


def _google_error(code: int, status: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message, "status": status}}, code)


class OpenAIService(Service):
    """`/v1/images/generations` and `/v1/images/edits`. With `strict` unknown fields are refused, as OpenAI does."""

    KEY = "sk-not-a-real-key-0123456789"
    KNOWN = frozenset({"model", "prompt", "n", "size", "quality", "background", "output_format", "user"})

    def __init__(self, *, strict: bool = True, as_url: bool = False) -> None:
        self.strict = strict
        self.as_url = as_url
        self.picture: bytes | None = None
        super().__init__()

    def routes(self, app: FastAPI) -> None:
        @app.post("/v1/images/generations")
        async def generations(request: Request) -> Response:
            return await self._images(request, edits=False)

        @app.post("/v1/images/edits")
        async def edits(request: Request) -> Response:
            return await self._images(request, edits=True)

        @app.get("/v1/models")
        async def models(request: Request) -> Response:
            if self.strict and request.headers.get("authorization") != f"Bearer {self.KEY}":
                return _openai_error(401, "invalid_api_key", "Incorrect API key provided.")
            return JSONResponse({"object": "list", "data": [{"id": "gpt-image-1.5", "object": "model"}]})

        @app.get("/files/{name}")
        async def files(name: str) -> Response:
            return Response(self.picture, media_type="image/png")

    async def _images(self, request: Request, *, edits: bool) -> Response:
        seen = await self.see(request)
        if self.strict and seen.headers.get("authorization") != f"Bearer {self.KEY}":
            shown = seen.headers.get("authorization", "").removeprefix("Bearer ")
            return _openai_error(401, "invalid_api_key", f"Incorrect API key provided: {shown}.")
        unknown = sorted(set(seen.body) - self.KNOWN)
        if self.strict and unknown:
            return _openai_error(400, "unknown_parameter", f"Unknown parameter: '{unknown[0]}'.")
        if edits and not (seen.files and all(name == "image[]" for name, *_ in seen.files)):
            return _openai_error(400, "missing_required_parameter", "Missing required parameter: 'image'.")
        for *_, content in seen.files:
            Image.open(io.BytesIO(content)).load()
        if not await self.work(request):
            return Response(status_code=499)
        if "forbidden" in seen.body["prompt"]:
            return _openai_error(
                400, "moderation_blocked", "Your request was rejected by the safety system. If you think…"
            )
        width, _, height = seen.body["size"].partition("x")
        self.picture = png((int(width), int(height)))
        item = {"url": f"{self.url}/files/1.png"} if self.as_url else {"b64_json": b64(self.picture)}
        usage = {"input_tokens": 50, "output_tokens": 4160, "total_tokens": 4210}
        return JSONResponse({"created": 1790000000, "data": [item], "usage": usage})


def _openai_error(status: int, code: str, message: str) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return JSONResponse({"error": error}, status)


class ComfyService(Service):
    """ComfyUI: a queue with one worker, inputs and outputs, a history. `delay` is how long a job takes."""

    CHECKPOINTS = ("sd_xl_base_1.0.safetensors",)

    def __init__(self, draw: Callable[[dict[str, Any]], bytes] | None = None) -> None:
        self.inputs: dict[str, bytes] = {}
        self.pending: list[str] = []
        self.running: str | None = None
        self.jobs: dict[str, dict[str, Any]] = {}
        self.history: dict[str, dict[str, Any]] = {}
        self.interrupted: list[str | None] = []
        self.forgetful = False
        self.node_failure: str | None = None
        self._stop = threading.Event()
        self._draw = draw or _draw_latent
        self._files: dict[str, bytes] = {}
        super().__init__()

    def routes(self, app: FastAPI) -> None:
        @app.post("/upload/image")
        async def upload(request: Request) -> Response:
            seen = await self.see(request)
            (name, file_name, _, content), *more = seen.files
            if name != "image" or more or not file_name:
                return Response(status_code=400)
            folder = seen.body.get("subfolder", "")
            self.inputs[f"{folder}/{file_name}" if folder else file_name] = content
            return JSONResponse({"name": file_name, "subfolder": folder, "type": "input"})

        @app.post("/prompt")
        async def prompt(request: Request) -> Response:
            seen = await self.see(request)
            nodes = seen.body["prompt"]
            errors = self._node_errors(nodes)
            if errors:
                error = {
                    "type": "prompt_outputs_failed_validation",
                    "message": "Prompt outputs failed validation",
                    "details": "",
                    "extra_info": {},
                }
                return JSONResponse({"error": error, "node_errors": errors}, 400)
            job = str(seen.body.get("prompt_id", uuid.uuid4()))
            self.jobs[job] = nodes
            self.pending.append(job)
            self._work_soon()
            return JSONResponse({"prompt_id": job, "number": len(self.jobs), "node_errors": {}})

        @app.get("/history/{job}")
        async def history(job: str) -> Response:
            return JSONResponse({job: self.history[job]} if job in self.history else {})

        self._queue_routes(app)

    def _queue_routes(self, app: FastAPI) -> None:
        @app.get("/queue")
        async def queue() -> Response:
            def item(job: str) -> list[Any]:
                return [0, job, self.jobs[job], {}, ["9"]]

            running = [item(self.running)] if self.running else []
            return JSONResponse({"queue_running": running, "queue_pending": [item(j) for j in self.pending]})

        @app.post("/queue")
        async def change_queue(request: Request) -> Response:
            seen = await self.see(request)
            for job in seen.body.get("delete", []):
                if job in self.pending:
                    self.pending.remove(job)
            return Response(status_code=200)

        @app.post("/interrupt")
        async def interrupt(request: Request) -> Response:
            seen = await self.see(request)
            self.interrupted.append(seen.body.get("prompt_id"))
            if self.running == seen.body.get("prompt_id"):
                self._stop.set()
            return Response(status_code=200)

        @app.get("/view")
        async def view(filename: str, subfolder: str = "", type: str = "output") -> Response:
            data = self._files.get(f"{type}/{subfolder}/{filename}")
            return Response(status_code=404) if data is None else Response(data, media_type="image/png")

        @app.get("/system_stats")
        async def stats() -> Response:
            return JSONResponse({"system": {"comfyui_version": "0.3.60"}, "devices": []})

    def _node_errors(self, nodes: dict[str, Any]) -> dict[str, Any]:
        errors: dict[str, Any] = {}
        for node_id, node in nodes.items():
            inputs, message, details = node["inputs"], "", ""
            if node["class_type"] == "CheckpointLoaderSimple" and inputs["ckpt_name"] not in self.CHECKPOINTS:
                message = "Value not in list"
                details = f"ckpt_name: '{inputs['ckpt_name']}' not in {list(self.CHECKPOINTS)}"
            if node["class_type"] == "LoadImage" and inputs["image"] not in self.inputs:
                message, details = (
                    "Custom validation failed for node",
                    f"image - Invalid image file: {inputs['image']}",
                )
            if message:
                error = {"type": "invalid", "message": message, "details": details, "extra_info": {}}
                errors[node_id] = {
                    "errors": [error],
                    "dependent_outputs": ["9"],
                    "class_type": node["class_type"],
                }
        return errors

    def _work_soon(self) -> None:
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        end = time.monotonic() + 10
        while self.running and time.monotonic() < end:  # one job at a time
            time.sleep(0.005)
        if not self.pending:
            return
        job = self.pending.pop(0)
        self.running = job
        self._stop.clear()
        interrupted = self._stop.wait(self.delay)
        self.running = None
        if self.forgetful:
            return
        self.history[job] = self._entry(job, interrupted=interrupted)

    def _entry(self, job: str, *, interrupted: bool) -> dict[str, Any]:
        messages: list[Any] = [["execution_start", {"prompt_id": job}]]
        if interrupted or self.node_failure:
            node = {"prompt_id": job, "node_id": "3", "node_type": "KSampler"}
            if interrupted:
                messages.append(["execution_interrupted", node])
            else:
                told: dict[str, Any] = {
                    "exception_type": "RuntimeError",
                    "exception_message": self.node_failure,
                    "traceback": [],
                }
                messages.append(["execution_error", node | told])
            status = {"status_str": "error", "completed": False, "messages": messages}
            return {"prompt": [], "outputs": {}, "status": status, "meta": {}}
        name = f"ComfyUI_{len(self._files):05d}_.png"
        self._files[f"output//{name}"] = self._draw(self.jobs[job])
        self._files[f"temp//{name}"] = png((4, 4))
        outputs = {
            "8": {"images": [{"filename": name, "subfolder": "", "type": "temp"}]},
            "9": {"images": [{"filename": name, "subfolder": "", "type": "output"}]},
        }
        status = {"status_str": "success", "completed": True, "messages": messages}
        return {"prompt": [], "outputs": outputs, "status": status, "meta": {}}


def _draw_latent(nodes: dict[str, Any]) -> bytes:
    latent = next(n["inputs"] for n in nodes.values() if n["class_type"] == "EmptyLatentImage")
    return png((latent["width"], latent["height"]))


WORKFLOW: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 156680208700286,
            "steps": 20,
            "cfg": 8,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1,
            "model": ["4", 0],
            "positive": ["6", 0],
            "negative": ["7", 0],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd_xl_base_1.0.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 512, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "example", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
    "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
    "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]}},
}

WORKFLOW_WITH_REFERENCES: dict[str, Any] = {
    **WORKFLOW,
    "10": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
    "11": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
}
