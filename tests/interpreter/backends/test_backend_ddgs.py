"""The adapter of `ddgs`: the package itself against a local server, and clients that answer anything."""

from __future__ import annotations

import html
import json
import threading
import time
from typing import Any

import pytest
from servers import FaultyServer, Reply, html_reply
from web import Web, ask

from genevolve.grammar.errors import ConfigurationError, ServiceError
from genevolve.interpreter.backends.ddgs import Client, DdgsBackend
from genevolve.interpreter.protocols import CallContext


class Injected:
    """A client with given answers."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def text(self, query: str, **options: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer(query, options) if callable(self.answer) else self.answer

    images = text


def backend(web: Web, answer: Any, **options: Any) -> DdgsBackend:
    return DdgsBackend(web.fetcher(), client=lambda: Injected(answer), **options)


def real(server: FaultyServer) -> Client:
    """The package's own client, its engines pointed at a local server."""
    import ddgs

    client = ddgs.DDGS(timeout=3)
    for category, engine, path in (("text", "duckduckgo", "/html/"), ("images", "bing", "/images/async")):
        [instance] = client._get_engines(category, engine)
        instance.search_url = server.url(path)
    return client  # type: ignore[no-any-return]


def over_http(web: Web) -> DdgsBackend:
    pytest.importorskip("ddgs")
    return DdgsBackend(
        web.fetcher(), client=lambda: real(web.server), engines=("duckduckgo", "bing"), seconds=8
    )


PAGE = """<html><body><div class="result body"><h2>Eiffel <b>Tower</b></h2>
<a href="https://tower.example/1">A lattice tower of iron. Eiffel Tower.</a></div>
<div class="result body"><h2>Second</h2><a href="https://tower.example/2">Another Eiffel Tower page.</a></div>
</body></html>"""


def test_texts_through_the_package(web: Web) -> None:
    web.server.on("/html/", html_reply(PAGE))
    found = ask(lambda: over_http(web).search(["Eiffel Tower"], 5, CallContext()))
    assert {s.source for s in found.snippets} == {"https://tower.example/1", "https://tower.example/2"}
    assert any(s.text.startswith("A lattice tower of iron") for s in found.snippets)
    assert "Eiffel+Tower" in web.server.requests[0].body.decode()


def test_pictures_through_the_package(web: Web) -> None:
    found = {
        "t": "Eiffel Tower at dusk",
        "murl": web.server.url("/p/red.png"),
        "turl": "x",
        "purl": "https://p.example",
    }
    item = f"""<div><div class='imgpt'><a class='iusc' m="{html.escape(json.dumps(found))}"></a></div>
    <div class='infopt'></div></div>"""
    web.server.on("/images/async", html_reply(f"<html><body>{item}</body></html>"))
    [image] = ask(lambda: over_http(web).image_search("Eiffel Tower", 5, CallContext())).items
    assert (image.id, image.title, image.width) == ("IMG_001", "Eiffel Tower at dusk", 16)


@pytest.mark.parametrize("reply", [Reply(403), Reply(500), html_reply("<html><body>robots?</body></html>")])
def test_engines_that_refuse_are_a_failure(web: Web, reply: Reply) -> None:
    web.server.on("*", reply)
    with pytest.raises(ServiceError, match="ddgs: "):
        ask(lambda: over_http(web).search(["a"], 5, CallContext()))


def test_a_package_that_hangs_is_left_behind(web: Web) -> None:
    release = threading.Event()
    hanging = backend(web, lambda query, options: release.wait(20), seconds=0.3)
    began = time.monotonic()
    with pytest.raises(ServiceError, match=r"did not answer within 0\.3 s"):
        ask(lambda: hanging.search(["a"], 5, CallContext()))
    assert time.monotonic() - began < 1.5
    release.set()


@pytest.mark.parametrize(
    "answer", [RuntimeError("x\x1b[31m"), KeyError("a"), None, {"a": 1}, "text", StopIteration()]
)
def test_whatever_the_package_does_is_a_failure(web: Web, answer: Any) -> None:
    with pytest.raises(ServiceError) as caught:
        ask(lambda: backend(web, answer).search(["a"], 5, CallContext()))
    assert str(caught.value).isprintable()


def test_hostile_items(web: Web) -> None:
    items = [
        {"title": "T\x1b", "body": "B https://evil.example" + "x" * 9000, "href": "javascript:1"},
        {"title": None, "body": 5, "href": []},
        "x",
        {"body": "ok", "href": "https://ok.example"},
    ]
    found = ask(lambda: backend(web, items).search(["a"], 5, CallContext())).snippets
    assert len(found) == 2
    assert found[0].title == "T"
    assert found[0].source == ""
    assert found[1].source == "https://ok.example"


def test_nothing_found_is_passed_on(web: Web) -> None:
    assert ask(lambda: backend(web, []).search(["a"], 5, CallContext())).snippets == ()


def test_a_missing_package_is_named(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ddgs", None)
    with pytest.raises(ConfigurationError, match=r"genevolve\[web\]"):
        DdgsBackend(web.fetcher())
