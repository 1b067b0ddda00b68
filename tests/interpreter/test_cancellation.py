"""Stopped runs end soon and leave nothing: no thread that listens, no process, no temporary file, no hang."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeRenderer, FakeTool, World, checked, plain_picture, signature

from genevolve.grammar.types import Type
from genevolve.grammar.z import Z
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.record import read_facts
from genevolve.interpreter.trace import read_trace

ONE = 'request "x"\nlet a = say("1")\nlet b = say("2")\nprompt "{a}{b}"\n'
SOON = 2.0


def say(function: Any) -> FakeTool:
    return FakeTool(signature("say", Type.TEXT), function)


def cancel_soon(machine: Any, text: str, **options: Any) -> float:
    """Start a run, cancel it after a moment, and return how long it then took to end."""

    async def main() -> float:
        task = asyncio.create_task(machine.run(checked(text, machine.environment()), **options))
        await asyncio.sleep(0.15)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - began

    return asyncio.run(main())


def leftovers(folder: Path) -> list[str]:
    return [str(p) for p in folder.rglob("*") if p.name.endswith(".tmp") or p.name.startswith(".")]


def test_async_calls_are_cancelled(tmp_path: Path) -> None:
    cancelled = []

    async def slow(_: CallContext, a: str) -> str:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(a)
            raise
        return a

    took = cancel_soon(World(tmp_path).machine(say(slow)), ONE, record=tmp_path / "runs")
    assert took < 0.5
    assert sorted(cancelled) == ["1", "2"]
    folder = next((tmp_path / "runs").iterdir())
    trace = read_trace(folder)
    assert (read_facts(folder)["status"], trace.status, trace.truncated) == ("cancelled", "cancelled", False)
    assert [e.data["error"]["code"] for e in trace.of("call")] == ["cancelled", "cancelled"]
    assert leftovers(tmp_path) == []


def test_threads_that_listen_are_gone_when_the_run_is(tmp_path: Path) -> None:
    def slow(context: CallContext, a: str) -> str:
        for _ in range(3000):
            context.check()
            time.sleep(0.01)
        return a

    before = threading.active_count()
    assert cancel_soon(World(tmp_path).machine(say(slow)), ONE) < 0.5
    assert threading.active_count() == before


def test_a_thread_that_does_not_listen_is_left_behind_in_time(tmp_path: Path) -> None:
    release = threading.Event()

    def deaf(_: CallContext, a: str) -> str:
        release.wait(20)
        return a

    heard: list[Any] = []
    assert cancel_soon(World(tmp_path).machine(say(deaf)), ONE, listener=heard.append) < SOON
    left = [t for t in threading.enumerate() if t.name == "genevolve-say"]
    assert len(left) == 2
    assert all(t.daemon for t in left)
    assert heard[-1].kind == "threads_left"
    release.set()
    for thread in left:
        thread.join(5)
        assert not thread.is_alive()


def test_rendering_is_cancelled_too(tmp_path: Path) -> None:
    def slow(context: CallContext, z: Z, references: Any) -> Rendering:
        context.cancelled.wait(30)
        context.check()
        return plain_picture(context, z, references)

    before = threading.active_count()
    machine = World(tmp_path).machine(renderer=FakeRenderer(slow))
    assert cancel_soon(machine, 'request "x"\nprompt "y"\n', record=tmp_path / "runs") < 0.5
    assert threading.active_count() == before
    folder = next((tmp_path / "runs").iterdir())
    assert read_trace(folder).of("render")[0].data["error"]["code"] == "cancelled"
    assert sorted(p.name for p in folder.iterdir()) == ["program.gprog", "run.json", "trace.jsonl", "z.json"]


def test_a_pause_between_attempts_is_cancelled(tmp_path: Path) -> None:
    from genevolve.grammar.errors import ServiceError

    def busy(_: CallContext, a: str) -> str:
        raise ServiceError("busy", retryable=True, retry_after=20)

    assert cancel_soon(World(tmp_path).machine(say(busy)), ONE) < 0.5


def test_a_cancelled_run_does_not_take_another_ones_call_with_it(tmp_path: Path) -> None:
    async def slow(_: CallContext, a: str) -> str:
        await asyncio.sleep(0.2)
        return a

    machine = World(tmp_path).machine(say(slow))
    program = checked(ONE, machine.environment())

    async def main() -> str:
        first = asyncio.create_task(machine.run(program))
        second = asyncio.create_task(machine.run(program))
        await asyncio.sleep(0.05)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return (await second).prompt

    assert asyncio.run(main()) == "12"


SCRIPT = """
import asyncio, sys, threading, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fakes import FakeTool, World, checked, signature
from genevolve.grammar.types import Type

style, folder = sys.argv[2], Path(sys.argv[3])

def listens(context, a):
    print("started", flush=True)
    while True:
        context.check()
        time.sleep(0.01)

def deaf(context, a):
    print("started", flush=True)
    time.sleep(60)
    return a

async def on_loop(context, a):
    print("started", flush=True)
    await asyncio.sleep(60)

function = {"listens": listens, "deaf": deaf, "async": on_loop, "notebook": listens}[style]
machine = World(folder).machine(FakeTool(signature("say", Type.TEXT), function))
program = checked('request "x"\\nlet a = say("1")\\nprompt "{a}"\\n', machine.environment())

def work():
    machine.run_sync(program, record=folder / "runs")

async def notebook():
    work()

try:
    asyncio.run(notebook()) if style == "notebook" else work()
except KeyboardInterrupt:
    left = [t.name for t in threading.enumerate() if t is not threading.main_thread() and not t.daemon]
    print("interrupted", left, flush=True)
    sys.exit(130)
"""


@pytest.mark.parametrize("style", ["listens", "async", "deaf", "notebook"])
def test_ctrl_c_ends_a_script(tmp_path: Path, style: str) -> None:
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), style, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        began = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        try:
            out, err = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        took = time.monotonic() - began
    assert (process.returncode, out) == (130, "interrupted []\n"), err
    assert took < SOON + 1.0, "two seconds for the run, the rest for the interpreter to shut down"
    folder = next((tmp_path / "runs").iterdir())
    assert read_facts(folder)["status"] == "cancelled"
    assert read_trace(folder).status == "cancelled"
    assert leftovers(tmp_path) == []


def test_a_killed_process_leaves_a_record_that_can_be_read(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), "listens", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.kill()
        process.communicate(timeout=20)
    folder = next((tmp_path / "runs").iterdir())
    assert read_facts(folder)["status"] == "running"
    assert read_trace(folder).status == "running"
    assert (folder / "program.gprog").read_text().startswith('request "x"')
