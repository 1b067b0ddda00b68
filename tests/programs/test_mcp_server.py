"""genevolve as an MCP server: real processes, driven by the official client over stdio and HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ImageContent, TextContent, TextResourceContents

from genevolve.interpreter.png import extract
from genevolve.programs.mcp_transports import refused

T = TypeVar("T")

CARD = """\
program card(name: text = "ANNA")
request "A card for {name}."
prompt "A card with the words \\"Dear {name}\\" at the top."
require text("Dear {name}", at: "top")
render size: 256x256, seed: 1
"""
OPENS = 'request "A."\nref a = image("PATH") for "its look"\nprompt "A cat like {a}."\n'


def variables(folder: Path, **more: str) -> dict[str, str]:
    kept = {k: os.environ[k] for k in ("PATH", "HOME", "PYTHONPATH") if k in os.environ}
    own = {"XDG_CACHE_HOME": str(folder / "cache"), "XDG_CONFIG_HOME": str(folder / "config")}
    return {**kept, **own, "GENEVOLVE_LIBRARY_EMBEDDER": "none", **more}


def over_stdio(folder: Path, work: Callable[[Client], Awaitable[T]], *arguments: str) -> T:
    """What `work` gives with a client of a server that runs in `folder`."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "genevolve", "serve", "mcp", *arguments],
        env=variables(folder),
        cwd=folder,
    )

    async def session() -> T:
        async with Client(server) as client:
            return await work(client)

    return asyncio.run(session())


@contextmanager
def http_server(folder: Path, *arguments: str, **more: str) -> Iterator[str]:
    """The address of a server over HTTP."""
    command = [sys.executable, "-m", "genevolve", "serve", "mcp", "--http", *arguments]
    with subprocess.Popen(
        command, env=variables(folder, **more), cwd=folder, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            announced = process.stderr.readline()
            found = re.search(r"http://\S+/mcp", announced)
            assert found, announced
            yield found[0]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) in (0, -signal.SIGTERM)


def text_of(result: CallToolResult) -> str:
    (text,) = [c.text for c in result.content if isinstance(c, TextContent)]
    return text


def codes(result: CallToolResult) -> list[str]:
    data: Any = json.loads(text_of(result))
    return [d["code"] for file in data["files"] for d in file["diagnostics"]]


def test_check_format_and_explain(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        tools = {t.name for t in (await client.list_tools()).tools}
        assert tools == {"check_program", "run_program", "format_program", "explain", "search_experiences"}
        good = await client.call_tool("check_program", {"text": CARD})
        assert json.loads(text_of(good))["ok"] is True
        wrong = await client.call_tool(
            "check_program", {"text": 'request "A."\nlet a = serch("x")\nprompt "b"'}
        )
        assert not wrong.is_error
        assert "GP202" in codes(wrong)
        assert wrong.structured_content["ok"] is False
        formatted = await client.call_tool("format_program", {"text": CARD.replace("seed: 1", "seed:1")})
        assert text_of(formatted) == CARD
        broken = await client.call_tool("format_program", {"text": 'prompt "'})
        assert broken.is_error
        assert "GP103" in codes(broken)
        assert "# GP301" in text_of(await client.call_tool("explain", {"code": "gp301"}))
        assert (await client.call_tool("explain", {"code": "GP999"})).is_error
        none = await client.call_tool("search_experiences", {"request": "a cat"})
        assert none.is_error
        assert "no experience store is configured" in text_of(none)

    over_stdio(tmp_path, work)


def test_a_run_gives_z_the_picture_and_its_record(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        run = await client.call_tool("run_program", {"text": CARD, "parameters": {"name": "EVE"}})
        assert not run.is_error
        data = json.loads(text_of(run))
        assert data["z"]["gen_prompt"] == 'A card with the words "Dear EVE" at the top.'
        assert Path(data["record"]).parent == tmp_path / "runs"
        (picture,) = [c for c in run.content if isinstance(c, ImageContent)]
        file = tmp_path / "picture.png"
        file.write_bytes(base64.b64decode(picture.data))
        assert extract(file).program == CARD
        bare = await client.call_tool("run_program", {"text": CARD, "render": False})
        assert not [c for c in bare.content if isinstance(c, ImageContent)]
        wrong = await client.call_tool("run_program", {"text": CARD, "parameters": {"nme": "EVE"}})
        assert wrong.is_error
        assert codes(wrong) == ["GP319"]

    over_stdio(tmp_path, work)


def test_resources_tell_what_a_client_needs(tmp_path: Path) -> None:
    async def page(client: Client, uri: str) -> str:
        (content,) = (await client.read_resource(uri)).contents
        assert isinstance(content, TextResourceContents)
        return content.text

    async def work(client: Client) -> None:
        uris = {str(r.uri) for r in (await client.list_resources()).resources}
        assert {"genevolve://reference", "genevolve://programs", "genevolve://explain/GP301"} <= uris
        assert len([u for u in uris if u.startswith("genevolve://skills/")]) == 8
        reference = await page(client, "genevolve://reference")
        assert "`search(query: text" in reference
        assert "text_rendering" in reference
        assert "request " in await page(client, "genevolve://programs")
        assert await page(client, "genevolve://skills/text_rendering")
        with pytest.raises(Exception, match=r"(?i)resource"):
            await client.read_resource("genevolve://skills/../../etc/passwd")

    over_stdio(tmp_path, work)


def test_programs_of_strangers_stay_inside(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    from PIL import Image

    Image.new("RGB", (20, 20), "red").save(secret)
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    Image.new("RGB", (20, 20), "blue").save(allowed / "mine.png")
    (tmp_path / "genevolve.toml").write_text('[images]\nallowed = ["allowed"]\n[budget]\ncalls = 2\n')

    async def work(client: Client) -> None:
        async def run(text: str, **parameters: object) -> CallToolResult:
            return await client.call_tool(
                "run_program", {"text": text, "parameters": parameters, "render": False}
            )

        assert not (await run(OPENS.replace("PATH", "mine.png"))).is_error
        for path in (str(secret), "../secret.png", "/etc/passwd", "secret.png"):
            refused = await run(OPENS.replace("PATH", path))
            assert codes(refused)[0] in ("GP412", "GP413"), path
        taken = "program p(photo: image)\n" + OPENS.replace('image("PATH")', "photo")
        assert codes(await run(taken, photo=str(secret))) == ["GP412"]
        calls = "".join(f'let x{i} = search("a{i}")\n' for i in range(3))
        assert "GP501" in codes(await run(f'request "A."\n{calls}prompt "A."\n'))
        assert "GP111" in codes(await run("x" * 300_000))
        assert "GP112" in codes(await run('request "A."\nlet a = ' + "(" * 5000))
        assert (await run(CARD, name="x" * 100_000)).is_error
        # What is larger than any message ends nothing: the next one is answered.
        assert json.loads(text_of(await client.call_tool("check_program", {"text": CARD})))["ok"]

    over_stdio(tmp_path, work)


def test_nothing_but_messages_reaches_standard_output(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "genevolve", "serve", "mcp", "--verbose"]
    greeting = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }  # fmt: skip
    call = {
        "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": {"name": "run_program", "arguments": {"text": CARD}},
    }  # fmt: skip
    lines = [greeting, {"jsonrpc": "2.0", "method": "notifications/initialized"}]
    with subprocess.Popen(
        command, env=variables(tmp_path), cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        sent = "".join(json.dumps(line) + "\n" for line in lines)
        process.stdin.write(sent + "this is no message\n" + "x" * 3_000_000 + "\n" + json.dumps(call) + "\n")
        process.stdin.flush()
        answers = []
        while not any(a.get("id") == 2 for a in answers):
            answers.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        assert process.stdout.read() == ""
        assert process.wait(15) == 0
    (outcome,) = [a for a in answers if a.get("id") == 2]
    assert not outcome["result"].get("isError")


def test_a_message_that_is_too_long_is_answered_with_an_error(tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        for size in (3_000_000, 9_000_000):
            with pytest.raises(MCPError):
                await asyncio.wait_for(client.call_tool("check_program", {"text": "x" * size}), 20)
        assert not (await client.call_tool("check_program", {"text": CARD})).is_error

    over_stdio(tmp_path, work)


@pytest.mark.parametrize(
    ("line", "identity"),
    [
        ('{"jsonrpc":"2.0","id":7,"method":"m","params":{"text":"TEXT"}}', b"7"),
        ('{"method": "m", "params": {"text": "TEXT"}, "jsonrpc": "2.0", "id": "a-b"}', b'"a-b"'),
        ('{"id": 7, "jsonrpc": "2.0", "params": {"text": "TEXT"}}', b"7"),
        ('{"method":"m","params":{"text":"TEXT","id":9},"jsonrpc":"2.0"}', None),
        ('{"method":"m","params":{"text":"TEXT}, \\"id\\": 9}"}}', None),
        ("TEXT", None),
    ],
)
def test_the_id_of_a_message_that_is_too_long(line: str, identity: bytes | None) -> None:
    data = line.replace("TEXT", "x" * 10_000).encode() + b"\n"
    answered = refused(data[:4096], data[-4096:])
    assert answered == b"\n" if identity is None else json.loads(answered)["id"] == json.loads(identity)


def test_a_signal_ends_it_soon(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "genevolve", "serve", "mcp"]
    for number in (signal.SIGTERM, signal.SIGINT):
        with subprocess.Popen(
            command, env=variables(tmp_path), cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}) + "\n")
            process.stdin.flush()
            process.stdout.readline()
            began = time.monotonic()
            process.send_signal(number)
            process.wait(10)
            assert time.monotonic() - began < 2
            assert process.stderr is not None
            assert "Traceback" not in process.stderr.read()


def test_over_http_with_and_without_a_key(tmp_path: Path) -> None:
    async def checked(url: str, key: str | None) -> bool:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with (
            httpx2.AsyncClient(headers=headers, trust_env=False) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            return bool(json.loads(text_of(await client.call_tool("check_program", {"text": CARD})))["ok"])

    with http_server(tmp_path, "127.0.0.1:0") as url:
        assert asyncio.run(checked(url, None))
        body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        with httpx2.Client(trust_env=False) as http:
            rebound = http.post(url, json=body, headers={"Host": "evil.example"})
            assert rebound.status_code == 421
            page = http.post(url, json=body, headers={"Origin": "http://evil.example"})
            assert page.status_code == 403
            large = http.post(url, content=b"x" * 3_000_000, headers={"Content-Type": "application/json"})
            assert large.status_code == 413
    key = "a-key-that-is-long-enough"
    with http_server(tmp_path, "127.0.0.1:0", GENEVOLVE_SERVICE_KEY=key) as url:
        assert asyncio.run(checked(url, key))
        with httpx2.Client(trust_env=False) as http:
            assert http.post(url, json={}).status_code == 401
            assert http.post(url, json={}, headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_it_does_not_listen_to_others_without_a_key(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "genevolve", "serve", "mcp", "--http", "0.0.0.0:0"]
    done = subprocess.run(
        command,
        env=variables(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "GENEVOLVE_SERVICE_KEY" in done.stderr


def test_so_many_runs_at_a_time_and_no_more(tmp_path: Path) -> None:
    slow = Path(__file__).parents[1] / "interpreter" / "mcp" / "mcp_servers.py"
    (tmp_path / "genevolve.toml").write_text(
        f'[mcp.servers.docs]\ncommand = ["{sys.executable}", "{slow}", "stdio"]\n[budget]\nseconds = 30\n'
    )
    sleeper = 'request "A."\nlet a = docs_sleep(duration: 0.NUMBER)\nprompt "A {a}."\n'

    async def work(client: Client) -> list[CallToolResult]:
        assert "docs_sleep" in str((await client.read_resource("genevolve://reference")).contents[0])
        runs = [
            client.call_tool(
                "run_program", {"text": sleeper.replace("NUMBER", str(500 + i)), "render": False}
            )
            for i in range(5)
        ]
        return list(await asyncio.gather(*runs))

    results = over_stdio(tmp_path, work, "--concurrent", "1", "--waiting", "2", "--no-record")
    refused = [r for r in results if r.is_error]
    assert len(results) - len(refused) == 3
    assert all("try again later" in text_of(r) for r in refused)


def test_experiences_of_similar_requests(tmp_path: Path) -> None:
    script = (
        "import sys; from experience_samples import experience; "
        "from genevolve.experience_store.store import ExperienceStore\n"
        "with ExperienceStore.open(sys.argv[1]) as store:\n"
        "    print(store.add(experience(request='a poster of a red balloon over a harbour')))\n"
    )
    made = Path(__file__).parents[1] / "experience_store"
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "store")],
        env=variables(tmp_path, PYTHONPATH=os.pathsep.join([str(made), str(made.parents[1])])), check=True,
        cwd=made.parents[1],
    )  # fmt: skip

    async def work(client: Client) -> None:
        async def found(request: str) -> list[dict[str, Any]]:
            answer = await client.call_tool("search_experiences", {"request": request, "k": 3})
            assert not answer.is_error, text_of(answer)
            experiences: list[dict[str, Any]] = json.loads(text_of(answer))["experiences"]
            return experiences

        (near,) = await found("a poster of a red balloon over a harbour")
        assert near["similarity"] > 0.99
        assert near["request"] == "a poster of a red balloon over a harbour"
        assert near["bundle"]
        assert re.fullmatch("[0-9a-f]{64}", near["id"])
        assert await found("a bowl of noodles") == []
        assert (await client.call_tool("search_experiences", {"request": "a", "k": 1000})).is_error

    over_stdio(tmp_path, work, "--experience", str(tmp_path / "store"))
