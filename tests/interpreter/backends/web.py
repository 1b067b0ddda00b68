"""A small web for tests: a Serper service and the pictures that it finds, on one misbehaving server."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image
from servers import FaultyServer, Reply, Request, image_reply, json_reply

from genevolve.interpreter.backends.serper import SerperBackend
from genevolve.interpreter.net.addresses import AddressPolicy
from genevolve.interpreter.net.fetcher import Fetcher, FetchLimits
from genevolve.interpreter.net.store import BlobStore
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.retry import RetryPolicy
from genevolve.interpreter.values import Evidence, ImageHandle, Images, Snippet

T = TypeVar("T")
KEY = "serper-key-0123456789"
QUICK = RetryPolicy(attempts=2, base=0.01, cap=0.02)


def png(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (16, 8), colour).save(out, "PNG")
    return out.getvalue()


class Web:
    """`server` answers /search and /images for Serper, and /p/<colour>.png with a picture."""

    def __init__(self, server: FaultyServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        server.on("/search", lambda r: json_reply({"organic": organic(r.json()["q"], r.json()["num"])}))
        server.on("*", self._picture)

    def _picture(self, request: Request) -> Reply:
        return image_reply(png(request.path.rpartition("/")[2].partition(".")[0]))

    def finds(self, *names: str, title: str = "A picture") -> None:
        """What the next image searches find: colours, or whole addresses."""
        found = [
            {"title": f"{title} {i}", "imageUrl": n if "://" in n else self.server.url(f"/p/{n}.png")}
            for i, n in enumerate(names)
        ]
        self.server.on("/images", json_reply({"images": found}))

    def fetcher(self, **limits: Any) -> Fetcher:
        policy = AddressPolicy.parse([f"127.0.0.1:{self.server.port}"])
        once = RetryPolicy(attempts=1)
        return Fetcher(BlobStore(self.folder / "downloads"), policy, FetchLimits(**limits), retry=once)

    def serper(self, **options: Any) -> SerperBackend:
        options.setdefault("address", self.server.url())
        options.setdefault("retry", QUICK)
        key = options.pop("key", KEY)
        return SerperBackend(key, options.pop("fetcher", None) or self.fetcher(), **options)


def organic(query: str, number: int) -> list[dict[str, Any]]:
    return [
        {
            "title": f"{query} title {i}",
            "link": f"https://{query.replace(' ', '-')}.example/{i}",
            "snippet": f"{query} fact {i}",
            "position": i + 1,
        }
        for i in range(number)
    ]


class Plain:
    """A backend whose answers a plain function gives; an exception is raised."""

    def __init__(self, name: str, *answers: Evidence | Images | Exception, version: str | None = "1") -> None:
        self.name = name
        self.version = version
        self.answers = answers
        self.asked: list[Any] = []

    def _next(self, asked: Any) -> Any:
        answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(asked)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def search(self, queries: Sequence[str], top_k: int, context: CallContext) -> Evidence:
        await asyncio.sleep(0)
        answer = self._next((tuple(queries), top_k))
        assert isinstance(answer, Evidence)
        return answer

    async def image_search(self, query: str, top_k: int, context: CallContext) -> Images:
        await asyncio.sleep(0)
        answer = self._next((query, top_k))
        assert isinstance(answer, Images)
        return answer


def evidence(*texts: str) -> Evidence:
    return Evidence(tuple(Snippet(t, t.title(), f"https://{t}.example/", 1.0) for t in texts))


def handle(path: Path, colour: str = "red", **fields: Any) -> ImageHandle:
    import hashlib

    path.write_bytes(png(colour))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ImageHandle(str(path), digest, 16, 8, **fields)


def ask(work: Callable[[], Awaitable[T]]) -> T:
    async def main() -> T:
        return await work()

    return asyncio.run(main())
