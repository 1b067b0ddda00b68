"""Multipart forms, kept in memory: nothing of a request goes to a temporary file."""

from __future__ import annotations

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from genevolve.interpreter.service.limits import Limits, Refusal

_FIELDS = 40


async def read_form(request: Request, limits: Limits) -> tuple[dict[str, str], list[tuple[str, bytes]]]:
    """The texts by name and the files in order (field name, content) of a form.

    Raises:
        Refusal: for a body that is no form, or one with too many parts.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise Refusal(415, "the body must be sent as multipart/form-data")
    parser = MultiPartParser(
        request.headers,
        request.stream(),
        max_files=limits.images
        + 1,  # one more, so that too many of them are told apart from a malformed form
        max_fields=_FIELDS,
        max_part_size=4 * limits.prompt + 1024,
    )
    parser.spool_max_size = limits.body_bytes + 1  # its files then never leave memory
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise Refusal(400, f"the form cannot be read: {error.message.rstrip('.').lower()}") from error
    texts: dict[str, str] = {}
    files: list[tuple[str, bytes]] = []
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            files.append((name, await value.read()))
            await value.close()
        elif name in texts:
            raise Refusal(400, f"the field {name[:50]!r} is given twice", parameter=name[:50])
        else:
            texts[name] = value
    return texts, files
