"""Tools of real MCP servers, over processes and HTTP, well and badly behaved."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mcp_helpers import SERVERS, Configure, Docs, gone, wait_for_file
from servers import FaultyServer, Reply, huge

from genevolve.grammar.errors import ConfigurationError, RunError, ServiceError
from genevolve.interpreter.mcp.catalog import open_tools
from genevolve.interpreter.mcp.client import McpHub
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Evidence, ImageHandle, Images
from genevolve.programs.program import Program
from genevolve.programs.session import open_environment, open_machine

Connect = Callable[..., Docs]


class TestAnswers:
    def test_texts_evidence_and_pictures(self, connect: Connect) -> None:
        docs = connect(returns={"mixed": "evidence", "web.search": "evidence", "draw": "images"})
        assert docs("shout", "hi", times=2) == "HI HI"
        found = docs("look_up", "paris", style="long")
        assert isinstance(found, Evidence)
        assert [(s.title, s.text, s.source) for s in found.snippets] == [
            ("About paris", "paris is long.", "https://example.com/a"),
            ("More", "More facts.", ""),
        ]
        # Older servers write JSON into a text.
        found = docs("web_search", "a", "b")
        assert isinstance(found, Evidence)
        assert [(s.text, s.source) for s in found.snippets] == [
            ("a", "https://example.com"),
            ("b", "https://example.com"),
        ]
        mixed = docs("mixed")
        assert isinstance(mixed, Evidence)
        assert [s.text for s in mixed.snippets] == ["a passage", "a resource", "a link"]
        pictures = docs("draw", "red")
        assert isinstance(pictures, Images)
        (picture,) = pictures.items
        assert (picture.width, picture.height, picture.title, picture.id) == (20, 10, "a red one", "IMG_001")
        assert picture.file.is_file()

    def test_one_picture(self, connect: Connect) -> None:
        docs = connect(returns={"draw": "image"}, tools=["draw"])
        assert isinstance(docs("draw", "blue"), ImageHandle)
        assert set(docs.tools) == {"draw"}

    def test_texts_of_strangers_are_harmless(self, connect: Connect) -> None:
        docs = connect()
        text = docs("control")
        assert isinstance(text, str)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "https" not in text
        assert text.splitlines() == ["red [31m balloon", "second line"]
        doc = docs.tools["shout"].signature.doc
        assert doc.isprintable()
        assert len(doc) <= 400

    @pytest.mark.parametrize("kind", ["html", "base64", "bomb"])
    def test_pictures_that_are_none(self, connect: Connect, kind: str) -> None:
        docs = connect(returns={"bad_picture": "images"})
        with pytest.raises(ServiceError, match=r"the MCP server 'docs', tool 'bad_picture'"):
            docs("bad_picture", kind)

    def test_a_link_to_a_private_address_is_not_opened(self, connect: Connect) -> None:
        docs = connect(returns={"linked": "images"})
        with FaultyServer() as web:
            with pytest.raises(ServiceError, match="refused"):
                docs("linked", web.url("/secret.png"))
            assert web.requests == []

    def test_a_picture_where_a_text_was_expected(self, connect: Connect) -> None:
        docs = connect(returns={"draw": "text"})
        assert docs("draw", "red") == "a red one"
        with pytest.raises(ServiceError, match="returns"):
            docs("bad_picture", "html")

    def test_over_http(self, connect: Connect, http_server: str) -> None:
        docs = connect(url=http_server, reply=100_000, timeout=5)
        assert docs("shout", "hi") == "HI"
        with pytest.raises(ServiceError, match=r"'docs', tool 'fails': it failed: .*no milk today"):
            docs("fails", "milk")
        with pytest.raises(ServiceError, match="the MCP server 'docs'"):
            docs("big", size=200_000)
        assert docs("shout", "again") == "AGAIN"


class TestFailures:
    def test_errors_of_tools_name_the_server_and_hide_keys(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTHER_SECRET", "must-not-pass")
        docs = connect(env=["DOCS_API_KEY"])
        names = docs("environment")
        assert isinstance(names, str)
        assert '"DOCS_API_KEY"' in names
        assert "OTHER_SECRET" not in names
        with pytest.raises(ServiceError, match=r"tool 'fails': it failed: .*no milk today"):
            docs("fails", "milk")

    def test_a_key_never_reaches_the_record_of_a_run(self, configure: Configure) -> None:
        with open_machine(configure(env=["DOCS_API_KEY"])) as machine:
            program = Program.parse('request "A."\nlet a = docs_fails("milk")\nprompt "A {a}."\n')
            with pytest.raises(RunError) as failed:
                machine.run_sync(program.checked(machine.environment()))
        assert failed.value.service
        assert "very-secret-value-1" not in str(failed.value)
        assert "[redacted]" in str(failed.value)

    def test_a_crash_is_told_and_the_next_call_starts_anew(self, connect: Connect) -> None:
        docs = connect()
        with pytest.raises(ServiceError, match=r"'docs': it ended with exit code 7.*out of cheese"):
            docs("die")
        assert docs("shout", "alive") == "ALIVE"

    def test_a_huge_reply_is_refused(self, connect: Connect) -> None:
        docs = connect(reply=100_000)
        with pytest.raises(ServiceError, match="'docs': it sent a message of more than 100,000 bytes"):
            docs("big", size=300_000)
        assert docs("shout", "alive") == "ALIVE"

    def test_a_slow_tool_ends_in_time(self, connect: Connect) -> None:
        docs = connect(timeout=0.3)
        began = time.monotonic()
        with pytest.raises(ServiceError, match=r"'docs': 'sleep' did not answer within 0.3 seconds"):
            docs("sleep", duration=5.0)
        assert time.monotonic() - began < 3

    @pytest.mark.parametrize(
        ("kind", "says"),
        [
            ("crash", "ended with exit code 3; its last words: no licence"),
            ("hang", "did not tell its tools within 1.5 seconds"),
            ("garbage", "no messages: Welcome to my server!"),
            ("huge", "more than 1,000,000 bytes"),
        ],
    )
    def test_servers_that_do_not_start(self, connect: Connect, tmp_path: Path, kind: str, says: str) -> None:
        began = time.monotonic()
        # Only what hangs may use up its time; a busy machine takes seconds to start the others.
        start = 1.5 if kind == "hang" else 20
        with pytest.raises(ServiceError, match=says):
            connect(kind, start=start, reply=1_000_000)
        assert time.monotonic() - began < start + 8
        assert gone(int((tmp_path / "pid").read_text())) if (tmp_path / "pid").exists() else True

    def test_a_banner_on_standard_output_is_passed_over(self, connect: Connect) -> None:
        assert connect("banner")("shout", "hi") == "HI"

    def test_an_older_server_that_ignores_what_it_does_not_know(self, connect: Connect) -> None:
        assert connect("quiet", start=6)("shout", "hi") == "HI"

    def test_no_such_program_and_no_such_variable(self, connect: Connect) -> None:
        with pytest.raises(ServiceError, match="'docs': there is no program 'no-such-program'"):
            connect(command=["no-such-program"])
        with pytest.raises(ConfigurationError, match="needs the variable NOT_SET_ANYWHERE"):
            connect(env=["NOT_SET_ANYWHERE"])

    @pytest.mark.parametrize(
        ("reply", "says"),
        [
            (Reply(500), "'docs'"),
            (Reply(401), "'docs'"),
            (Reply(200, body=b"<html>hello</html>", headers={"content-type": "text/html"}), "'docs'"),
            (Reply(200, body=b"{", headers={"content-type": "application/json"}), "'docs'"),
            (Reply(302, headers={"location": "http://169.254.169.254/"}), "'docs'"),
        ],
    )
    def test_addresses_where_no_server_is(self, connect: Connect, reply: Reply, says: str) -> None:
        with FaultyServer() as web:
            web.on("/mcp", reply)
            began = time.monotonic()
            with pytest.raises(ServiceError, match=says):
                connect(url=web.url("/mcp"), start=3)
            assert time.monotonic() - began < 8

    def test_an_endless_answer_over_http(self, connect: Connect) -> None:
        with FaultyServer() as web:
            web.on("/mcp", huge(50_000_000, headers={"content-type": "application/json"}))
            with pytest.raises(ServiceError, match="more than 1,000,000 bytes"):
                connect(url=web.url("/mcp"), start=10, reply=1_000_000)


class TestProcesses:
    def test_a_stubborn_server_and_its_children_end_with_the_machine(
        self, connect: Connect, tmp_path: Path
    ) -> None:
        docs = connect("stubborn")
        pids = [int(p) for p in (tmp_path / "pid").read_text().split()]
        began = time.monotonic()
        docs.served.close()
        assert time.monotonic() - began < 2
        assert [gone(pid) for pid in pids] == [True, True]

    def test_one_that_never_greets_ends_with_the_machine(self, configure: Configure, tmp_path: Path) -> None:
        config = configure("hang", start=60)
        hub = McpHub(config.mcp.servers, config.secrets)
        answers: list[object] = []
        waiting = threading.Thread(target=lambda: answers.extend(hub.connect().values()))
        waiting.start()
        wait_for_file(tmp_path / "pid")
        began = time.monotonic()
        hub.close()
        waiting.join(5)
        assert time.monotonic() - began < 2
        assert gone(int((tmp_path / "pid").read_text()))
        assert isinstance(answers[0], ServiceError)
        assert "the connection was closed" in str(answers[0])

    def test_they_end_when_this_process_is_killed(self, tmp_path: Path) -> None:
        script = (
            "import sys, time\nfrom pathlib import Path\n"
            "from genevolve.interpreter.config import load_config\n"
            "from genevolve.interpreter.mcp.catalog import open_tools\n"
            f"t = Path({str(tmp_path)!r})\n"
            f"server = {{'command': [sys.executable, {str(SERVERS)!r}, 'stubborn', str(t / 'pid')]}}\n"
            "config = load_config(start=t, environment={}, user_file=t / 'none',"
            " flags={'cache.folder': t / 'cache', 'mcp.servers': {'docs': server}})\n"
            "tools = open_tools(config, [])\nprint('ready', flush=True)\ntime.sleep(600)\n"
        )
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "ready\n"
            owner.send_signal(signal.SIGKILL)
        pids = [int(p) for p in (tmp_path / "pid").read_text().split()]
        assert [gone(pid) for pid in pids] == [True, True]

    def test_a_cancelled_call_leaves_the_server_usable(self, connect: Connect) -> None:
        docs = connect()

        async def cancelled() -> None:
            call = docs.tools["look_up"](CallContext(), "x")
            task = asyncio.ensure_future(call)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancelled())
        assert docs("shout", "alive") == "ALIVE"

    def test_many_calls_at_a_time_from_several_loops(self, connect: Connect) -> None:
        docs = connect()

        async def several() -> list[object]:
            calls = [docs.tools["shout"](CallContext(), f"n{i}") for i in range(20)]
            return list(await asyncio.gather(*calls))

        for _ in range(2):
            assert asyncio.run(several()) == [f"N{i}" for i in range(20)]


class TestPrograms:
    GOOD = 'request "A card."\nlet a = docs_shout("hi", times: 2)\nprompt "A card that says {a}."\n'

    def test_a_program_calls_a_server(self, configure: Configure) -> None:
        with open_machine(configure(price=0.5)) as machine:
            run = machine.run_sync(Program.parse(self.GOOD).checked(machine.environment()), render=False)
        assert run.prompt == "A card that says HI HI."
        assert (run.spent["calls"], run.spent["money"]) == (1, 0.5)

    def test_checking_starts_nothing_and_knows_what_was_listed(
        self, configure: Configure, tmp_path: Path
    ) -> None:
        config = configure()
        program = Program.parse(self.GOOD)
        (unknown,) = program.check(open_environment(config)).errors
        assert unknown.code == "GP202"
        assert "'genevolve doctor'" in unknown.notes[0]
        assert not (tmp_path / "pid").exists()
        open_tools(config, []).close()
        (tmp_path / "pid").unlink()
        environment = open_environment(config)
        assert program.check(environment).ok
        wrong = Program.parse(self.GOOD.replace("times: 2", "times: 9")).check(environment)
        assert [d.code for d in wrong.errors] == ["GP312"]
        refused = Program.parse(self.GOOD.replace('docs_shout("hi", times: 2)', 'docs_takes_object("x")'))
        (missing,) = refused.check(environment).errors
        assert "takes an object" in missing.notes[0]
        assert not (tmp_path / "pid").exists()

    def test_a_server_that_is_down_fails_the_calls_and_not_the_others(self, configure: Configure) -> None:
        with open_machine(configure()):
            pass
        config = configure(folder="gone")  # other settings: not the list that was kept
        with pytest.raises(ServiceError, match="docs"):
            open_machine(config)

    def test_kept_lists_stand_in_for_a_server_that_is_down(
        self, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        starter = tmp_path / "start.sh"
        starter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SERVERS}" stdio\n')
        starter.chmod(0o755)
        config = configure(command=[str(starter)])
        open_tools(config, []).close()
        starter.write_text("#!/bin/sh\necho closed today >&2\nexit 4\n")
        with open_machine(config) as machine:
            checked = Program.parse('request "A."\nprompt "A cat."\n').checked(machine.environment())
            assert machine.run_sync(checked, render=False).prompt == "A cat."
            with pytest.raises(RunError, match=r"'docs': it ended with exit code 4.*closed today") as failed:
                machine.run_sync(Program.parse(self.GOOD).checked(machine.environment()), render=False)
        assert failed.value.service

    def test_names_that_collide(self, configure: Configure) -> None:
        with pytest.raises(ConfigurationError, match=r"called 'search'"):
            open_machine(configure(names={"shout": "search"}))
        with pytest.raises(ConfigurationError, match=r"has two tools"):
            open_machine(configure(names={"shout": "docs_die"}))
        with pytest.raises(ConfigurationError, match=r"has no tool 'shuot'"):
            open_machine(configure(tools=["shuot"]))
