"""ComfyUI: a workflow of the user's, filled from z, queued, waited for and fetched.

References are uploaded under names made of their content. The id of the job is ours, so that a run that is stopped can
take back even a job whose acceptance it did not hear of.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import ConfigurationError, ServiceError
from genevolve.grammar.z import Z
from genevolve.interpreter.net.client import StatusError
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.renderers.remote.common import Remote, retold, split_options
from genevolve.interpreter.renderers.remote.dispatch import Server
from genevolve.interpreter.renderers.remote.encoding import (
    Upload,
    UploadLimits,
    read_picture,
    read_uploads,
    refuse,
)
from genevolve.interpreter.renderers.remote.workflow import Template
from genevolve.interpreter.values import ImageHandle

if TYPE_CHECKING:
    from PIL.Image import Image

ADDRESS = "http://127.0.0.1:8188"
ADDRESS_VARIABLE = "COMFYUI_BASE_URL"
KEY = "COMFYUI_API_KEY"
FOLDER = "genevolve"
"""The folder among ComfyUI's inputs that references are uploaded to."""
_LIMITS = UploadLimits(each=40 * 1024 * 1024, together=100 * 1024 * 1024)
_FIRST_LOOK, _LONGEST_LOOK = 0.1, 2.0
_LOOKS_BEFORE_QUEUE = 4
_LOST_CONTACT = 5
"""Failed looks in a row after which a job is given up."""
_COMPLAINT = re.compile(r'"message": ?"((?:[^"\\]|\\.)*+)", ?"details": ?"((?:[^"\\]|\\.){0,300}+)')
_TAKING_BACK = 1.5
"""Seconds for taking back the job of a stopped run."""


class ComfyUIRenderer:
    """Draws with a workflow of the user's.

    Args:
        template: the workflow and its named inputs.
        urls: addresses of ComfyUI servers that all can run it.
        remote: time, retries, rate and keys; `COMFYUI_API_KEY` is sent as a bearer token where it is set.

    Raises:
        ConfigurationError: an address is none.
    """

    name = "comfyui"

    def __init__(self, template: Template, urls: Sequence[str], remote: Remote) -> None:
        self.template = template
        self.remote = remote
        key = remote.key(KEY)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.dispatcher = remote.dispatcher(urls, headers, health=("system_stats",))

    @classmethod
    def parse(cls, argument: str, remote: Remote, settings: Mapping[str, object]) -> ComfyUIRenderer:
        """From `[WORKFLOW.json][?url=http://host:8188]` and the table `[render.comfyui]`, which is the weaker one.

        Raises `ConfigurationError`.
        """
        written, options = split_options(argument, ("url",), cls.name)
        file = Path(written).expanduser() if written else settings.get("workflow")
        if not isinstance(file, Path):
            raise ConfigurationError(
                "comfyui needs a workflow in API format, as in comfyui:workflow.json or [render.comfyui] workflow"
            )
        inputs = settings.get("inputs", {})
        assert isinstance(inputs, Mapping)  # the settings saw to it
        address = (
            options.get("url") or settings.get("url") or remote.endpoints.get(ADDRESS_VARIABLE) or ADDRESS
        )
        if not isinstance(address, str):
            raise ConfigurationError("[render.comfyui] url: expected a text such as http://127.0.0.1:8188")
        template = Template.load(file, inputs, settings.get("output"))
        return cls(template, [a.strip() for a in address.split(",") if a.strip()], remote)

    @property
    def version(self) -> str:
        """The workflow and the digest of its file."""
        return f"{self.template.name}@{self.template.digest[:16]}"

    def refusals(self, z: Z) -> Sequence[str]:
        """Settings that the workflow has no input for, and another number of references than it takes."""
        found = []
        takes, binds = len(self.template.references), len(z.reference_images)
        if takes != binds:
            found.append(
                f"the workflow {self.template.name} takes {takes or 'no'} reference image{'s' * (takes != 1)}, "
                f"but the program binds {binds or 'none'} (see [render.comfyui] inputs, references)"
            )
        for name, value in (("steps", z.settings.steps), ("guidance", z.settings.guidance)):
            if value is not None and name not in self.template.places:
                found.append(f"the workflow {self.template.name} has no input named for {name}")
        return found

    async def examine(self) -> dict[str, str | None]:
        """What is wrong with each server, by its address, None where nothing is; asks how it is."""
        return await self.dispatcher.examine("system_stats")

    async def render(self, context: CallContext, z: Z, references: Sequence[ImageHandle]) -> Rendering:
        """Have it drawn. When the task is cancelled, the job is taken out of the queue or interrupted.

        Raises:
            AuthorError: for what `refusals` lists, or a reference that is gone, changed or too large.
            ServiceError: ComfyUI refused the workflow, failed, or gave no usable picture in time.
        """
        refuse(self.refusals(z))
        began = time.monotonic()
        uploads = await read_uploads(z, references, _LIMITS)

        async def ask(server: Server) -> tuple[Image, list[str], str]:
            image, notes = await self._draw(server, z, uploads.items)
            return image, notes, server.url

        image, notes, url = await self.dispatcher.send(ask, self.remote.time_left(context))
        info = {
            "service": url,
            "workflow": self.version,
            "seconds": round(time.monotonic() - began, 3),
        }
        return Rendering(image, (*uploads.notes, *self._notes(z, image), *notes), info)

    def _notes(self, z: Z, image: Image) -> list[str]:
        places, settings, notes = self.template.places, z.settings, []
        if z.negative_prompt and "negative" not in places:
            notes.append("the workflow has no input named for the negative prompt; it was not sent")
        if settings.seed and "seed" not in places:
            notes.append("the workflow has no input named for the seed; it was not sent")
        if image.size != (settings.width, settings.height):
            notes.append(
                f"{settings.width}x{settings.height} was asked for; the workflow drew {image.width}x{image.height}"
            )
        return notes

    async def _draw(self, server: Server, z: Z, uploads: Sequence[Upload]) -> tuple[Image, list[str]]:
        files = [await _upload(server, upload) for upload in uploads]
        prompt = self.template.filled(values_of(z), files)
        job = str(uuid.uuid4())
        done = False
        try:
            job = await _queue(server, prompt, job)
            entry = await _wait(server, job)
            done = True
        finally:
            if not done:
                await _take_back(server, job)
        found, notes = self._output(server, entry)
        params = {name: str(found.get(name, "")) for name in ("filename", "subfolder", "type")}
        reply = await _with_retries(server, "view", params)
        return await read_picture(reply, _where(server)), notes

    def _output(self, server: Server, entry: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
        """The picture that counts among those of a finished job."""
        outputs = entry.get("outputs")
        found = list(_pictures(outputs if isinstance(outputs, dict) else {}))
        wanted = self.template.output
        if wanted is not None:
            found = [f for f in found if f[0] == wanted]
        else:
            # A preview counts only where nothing was saved.
            found = [f for f in found if f[1].get("type") == "output"] or found
        if not found:
            node = f"node {wanted}" if wanted is not None else "the workflow"
            raise ServiceError(f"{_where(server)}: {node} gave no picture")
        notes = []
        if len(found) > 1:
            notes.append(
                f"the workflow gave {len(found)} pictures; this one is the first of node {found[0][0]}"
            )
        return found[0][1], notes


def values_of(z: Z) -> dict[str, object]:
    """What the named inputs get; settings that the program leaves open are left to the workflow."""
    settings = z.settings
    values: dict[str, object] = {
        "prompt": z.gen_prompt,
        "negative": z.negative_prompt,
        "seed": settings.seed,
        "width": settings.width,
        "height": settings.height,
    }
    if settings.steps is not None:
        values["steps"] = settings.steps
    if settings.guidance is not None:
        values["guidance"] = settings.guidance
    return values


def _where(server: Server) -> str:
    return f"ComfyUI at {server.url}"


async def _upload(server: Server, upload: Upload) -> str:
    """Upload a reference; what a LoadImage node calls it."""
    fields = {"type": "input", "subfolder": FOLDER, "overwrite": "true"}
    files = [("image", (upload.file_name, upload.data, upload.media_type))]
    answer = await server.client.post_multipart("upload/image", fields, files)
    name = answer.get("name") if isinstance(answer, dict) else None
    if not isinstance(name, str) or not name:
        raise ServiceError(f"{_where(server)} took an upload without telling its name")
    folder = answer.get("subfolder")
    return f"{folder}/{name}" if isinstance(folder, str) and folder else name


async def _queue(server: Server, prompt: Mapping[str, Any], job: str) -> str:
    """Queue the workflow; the id of its job. Raises `ServiceError` with what its nodes complain of."""
    body = {"prompt": prompt, "client_id": job, "prompt_id": job}
    try:
        answer = await server.client.post_json("prompt", body)
    except StatusError as error:
        raise _refused(server, error) from error
    if not isinstance(answer, dict) or not isinstance(answer.get("prompt_id"), str):
        raise ServiceError(f"{_where(server)} queued the workflow without telling its id")
    complaints = "; ".join(_complaints(answer.get("node_errors")))
    if complaints:
        await _take_back(server, answer["prompt_id"])
        raise ServiceError(f"{_where(server)} can only do a part of the workflow: {complaints}")
    return str(answer["prompt_id"])


def _refused(server: Server, error: StatusError) -> StatusError:
    try:
        data = json.loads(error.body)
        complaints = list(_complaints(data.get("node_errors") if isinstance(data, dict) else None))
    except (ValueError, RecursionError):  # cut off: a node's complaint can list all files of a folder
        pairs = _COMPLAINT.findall(error.body)
        complaints = [f"{message}: {details}"[:300] for message, details in pairs if details]
    if not complaints:
        return retold(error, _where(server))
    return StatusError(
        f"{_where(server)} refuses the workflow: {'; '.join(complaints)}",
        error.status,
        error.body,
        retryable=error.retryable,
        retry_after=error.retry_after,
    )


def _complaints(node_errors: object) -> Iterator[str]:
    """`node 4 (CheckpointLoaderSimple): Value not in list: ckpt_name: 'x' not in […]`."""
    for node, told in node_errors.items() if isinstance(node_errors, dict) else ():
        if not isinstance(told, dict):
            continue
        errors = told.get("errors")
        for error in errors if isinstance(errors, list) else ():
            if isinstance(error, dict):
                said = ": ".join(str(error[k]) for k in ("message", "details") if error.get(k))
                yield f"node {node} ({told.get('class_type', '?')}): {' '.join(said.split())[:300]}"


async def _wait(server: Server, job: str) -> Mapping[str, Any]:
    """Look until the job is done; its entry in the history. Raises `ServiceError` when it failed or got lost."""
    pause, looks, failures = _FIRST_LOOK, 0, 0
    while True:
        await asyncio.sleep(pause)
        pause, looks = min(pause * 1.3, _LONGEST_LOOK), looks + 1
        try:
            entry = await _entry(server, job)
            if entry is None and looks % _LOOKS_BEFORE_QUEUE == 0 and not await _is_queued(server, job):
                # It may have been finished between the two questions.
                entry = await _entry(server, job)
                if entry is None:
                    raise _Lost(f"{_where(server)} no longer knows the job; it may have been restarted")
            failures = 0
        except _Lost:
            raise
        except ServiceError as error:
            failures += 1
            if not error.retryable or failures >= _LOST_CONTACT:
                raise
            continue
        if entry is not None:
            return entry


class _Lost(ServiceError):
    """The job is gone; another try may do."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=True)


async def _entry(server: Server, job: str) -> Mapping[str, Any] | None:
    """The job's entry in the history, None while there is none. Raises `ServiceError` when the job failed."""
    answer = await server.client.get_json(f"history/{job}", seconds=30.0)
    entry = answer.get(job) if isinstance(answer, dict) else None
    if not isinstance(entry, dict):
        return None
    status = entry.get("status")
    if isinstance(status, dict):
        if status.get("status_str") == "error":
            raise ServiceError(f"{_where(server)}: {_failure(status.get('messages'))}")
        if status.get("completed") is False:
            return None
    return entry


def _failure(messages: object) -> str:
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, list) or len(message) != 2 or not isinstance(message[1], dict):
            continue
        kind, told = message
        if kind == "execution_error":
            said = " ".join(str(told.get("exception_message", "")).split())[:500] or "it gives no reason"
            return f"node {told.get('node_id', '?')} ({told.get('node_type', '?')}) failed: {said}"
        if kind == "execution_interrupted":
            return "somebody interrupted the job"
    return "the workflow failed without a reason"


async def _is_queued(server: Server, job: str) -> bool:
    return any(item == job for _, item in await _queued(server))


async def _queued(server: Server) -> list[tuple[str, str]]:
    """(`queue_running` or `queue_pending`, id) of all jobs."""
    answer = await server.client.get_json("queue", seconds=30.0)
    found = []
    for state in ("queue_running", "queue_pending"):
        items = answer.get(state) if isinstance(answer, dict) else None
        for item in items if isinstance(items, list) else ():
            if isinstance(item, list) and len(item) > 1:
                found.append((state, str(item[1])))
    return found


async def _take_back(server: Server, job: str) -> None:
    """Remove a job that nobody waits for any more; for a moment only, and without complaint."""
    try:
        async with asyncio.timeout(_TAKING_BACK):
            await server.client.request("POST", "queue", json={"delete": [job]})
            # Older servers interrupt whatever runs: only when it is ours that does.
            if ("queue_running", job) in await _queued(server):
                await server.client.request("POST", "interrupt", json={"prompt_id": job})
    except (ServiceError, TimeoutError):
        return


async def _with_retries(server: Server, path: str, params: Mapping[str, str]) -> bytes:
    """Fetch what was paid for already: trouble on the way is no reason to draw it again."""
    attempt = 0
    while True:
        attempt += 1
        try:
            return (await server.client.get_bytes(path, params=params)).data
        except ServiceError as error:
            if not error.retryable or attempt >= _LOST_CONTACT:
                raise
        await asyncio.sleep(_FIRST_LOOK * 2**attempt)


def _pictures(outputs: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(node, picture) of all outputs, nodes in the order of their numbers."""
    for node in sorted(outputs, key=lambda n: (len(n), n)):
        images = outputs[node].get("images") if isinstance(outputs[node], dict) else None
        for image in images if isinstance(images, list) else ():
            if isinstance(image, dict) and isinstance(image.get("filename"), str):
                yield node, image
