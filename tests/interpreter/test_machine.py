"""Running whole programs: order, concurrency, limits, faults, and what is left behind."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import (
    QUICK,
    FakeRenderer,
    FakeSkill,
    FakeTool,
    World,
    checked,
    handle,
    plain_picture,
    run,
    signature,
)
from PIL import Image

from genevolve.grammar import builtins
from genevolve.grammar.errors import (
    AuthorError,
    Cancelled,
    ConfigurationError,
    InternalError,
    ProgramError,
    RunError,
    ServiceError,
    StorageError,
)
from genevolve.grammar.types import Type
from genevolve.grammar.z import Z
from genevolve.interpreter.budget import Budget
from genevolve.interpreter.cache import CallCache
from genevolve.interpreter.calls import is_async
from genevolve.interpreter.machine import Machine
from genevolve.interpreter.png import extract
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.record import read_facts
from genevolve.interpreter.trace import read_trace
from genevolve.interpreter.values import Evidence, ImageHandle, Images, SizeValue, Snippet

SAY = signature("say", Type.TEXT)
ONE = 'request "x"\nlet a = say("hello")\nprompt "{a}"\n'


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def say(function: Callable[..., Any], **options: Any) -> FakeTool:
    return FakeTool(signature("say", Type.TEXT, **options), function)


def failure(
    machine: Machine, text: str, parameters: dict[str, object] | None = None, **options: Any
) -> RunError:
    with pytest.raises(RunError) as caught:
        run(machine, text, parameters, **options)
    return caught.value


def codes(error: ProgramError) -> list[str]:
    return [d.code for d in error.findings.diagnostics]


def pointed(error: ProgramError) -> str:
    return error.findings.source.slice(error.findings.diagnostics[0].span)


# ---- what a run does ---------------------------------------------------------------------------------


def test_a_whole_program(world: World, tmp_path: Path) -> None:
    skills = {"text_rendering": FakeSkill("text_rendering", guards=("misspelt letters",))}
    renderer = FakeRenderer()
    done = run(
        world.machine(skills=skills, renderer=renderer),
        'program cover(title: text = "PARIS", n: int = 2, big: size = 640x480)\n'
        'request "{n} people, titled {title}"\n'
        'let facts = search("tower", "iron", top_k: 2)\n'
        'let towers = image_search("tower at dusk", top_k: n)\n'
        'let year = ask(facts, "when was it built")\n'
        'ref tower = towers[1] for "the lattice, {title}"\n'
        "use skill text_rendering\n"
        'prompt "{n} people before {tower}, {year}. Titled \\"{title}\\"."\n'
        'avoid "blur"\n'
        'require text(title, at: "top")\n'
        'require count("person") == n\n'
        "require resembles(tower)\n"
        "render size: big, steps: 9, guidance: 4, seed: n\n",
        {"title": "ROMA", "n": "3"},
    )
    z = done.z
    assert z.request == "3 people, titled ROMA"
    assert z.gen_prompt == '3 people before the first reference image, fact 0 on tower. Titled "ROMA".'
    assert done.prompt == z.gen_prompt
    assert done.negative_prompt == "blur, misspelt letters"
    assert (z.settings.width, z.settings.height, z.settings.steps) == (640, 480, 9)
    assert (z.settings.guidance, z.settings.seed) == (4.0, 3)
    reference = z.reference_images[0]
    assert (reference.name, reference.note, reference.id) == ("tower", "the lattice, ROMA", "IMG_002")
    assert reference.sha256 == done.references[0].sha256
    assert [c.kind for c in z.constraints] == ["text", "count", "resembles"]
    assert world.search.calls == [(("tower", "iron"), {"top_k": 2})]
    assert world.image_search.calls == [(("tower at dusk",), {"top_k": 3})]
    assert done.values["year"] == "fact 0 on tower"
    assert done.values["big"] == SizeValue(640, 480)
    assert renderer.rendered == [z]
    assert done.image.size == (16, 12)
    assert done.notes == ("one colour only",)
    assert done.spent["calls"] == 3
    assert set(done.timings) == {"calls", "render", "total"}
    kinds = [e.kind for e in done.trace]
    assert kinds[:2] + kinds[-3:] == ["run_started", "program", "z", "render", "run_finished"]
    assert sorted(kinds[2:-3]) == ["call", "call", "call", "skill"]


def test_independent_calls_run_at_the_same_time_and_dependent_ones_in_order(world: World) -> None:
    at_once, most, order = 0, 0, []

    async def slow(_: CallContext, a: str) -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.05)
        at_once -= 1
        order.append(a)
        return a + "!"

    text = 'request "x"\n' + "".join(f'let a{i} = say("{i}")\n' for i in range(6))
    text += 'let b = say(a0)\nlet c = say(b)\nprompt "{a1}{a2}{a3}{a4}{a5}{c}"\n'
    done = run(world.machine(say(slow)), text)
    assert most == 6
    assert order[-2:] == ["0!", "0!!"]
    assert done.prompt == "1!2!3!4!5!0!!!"


def test_concurrency_is_bounded(world: World) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def slow(_: CallContext, a: str) -> str:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return a

    text = 'request "x"\n' + "".join(f'let a{i} = say("{i}")\n' for i in range(9)) + 'prompt "{a0}{a8}"\n'
    run(world.machine(say(slow), concurrency=3), text)
    assert most == 3


def test_equal_calls_are_made_once_however_they_are_written(world: World) -> None:
    tool = say(lambda _, a: f"<{a}>", variadic=False)
    tool.version = None
    done = run(
        world.machine(tool),
        'program p(t: text = "x")\nrequest "x"\nlet a = say("x")\nlet b = say("x")\nlet c = say(t)\n'
        'let d = say(a: "x")\nprompt "{a}{b}{c}{d}"\n',
    )
    assert done.prompt == "<x><x><x><x>"
    assert len(tool.calls) == 1
    assert sorted(e.data["cache"] for e in done.trace if e.kind == "call") == ["off", "shared", "shared"]
    assert done.spent["calls"] == 4, "the budget counts what is written, as the checker does"


def test_async_tools_stay_on_the_loop_and_plain_ones_do_not(world: World) -> None:
    seen = {}

    async def on_loop(_: CallContext, a: str) -> str:
        seen["async"] = threading.current_thread()
        return a

    def in_thread(_: CallContext, a: str) -> str:
        seen["plain"] = threading.current_thread()
        return a

    async def returned(_: CallContext, a: str) -> str:
        return a + "?"

    tools = [
        FakeTool(signature("say", Type.TEXT), on_loop),
        FakeTool(signature("tell", Type.TEXT), in_thread),
        FakeTool(signature("ask_later", Type.TEXT), lambda c, a: returned(c, a)),
    ]
    done = run(
        world.machine(*tools),
        'request "x"\nlet a = say("1")\nlet b = tell("2")\nlet c = ask_later("3")\nprompt "{a}{b}{c}"\n',
    )
    assert done.prompt == "123?"
    assert seen["async"] is threading.main_thread()
    assert seen["plain"] is not threading.main_thread()
    assert seen["plain"].daemon


def test_what_counts_as_async() -> None:
    class Called:
        async def __call__(self) -> None: ...

    async def function() -> None: ...

    assert is_async(Called())
    assert is_async(function)
    assert not is_async(print)
    assert not is_async(object())


def test_defaults_ints_for_floats_and_named_arguments(world: World) -> None:
    from genevolve.grammar.types import Parameter, Signature

    tool = FakeTool(
        Signature(
            "mix",
            (
                Parameter("x", Type.FLOAT),
                Parameter("y", Type.TEXT),
                Parameter("k", Type.INT, required=False, default=5, named_only=True),
                Parameter("f", Type.FLOAT, required=False, default=2, named_only=True),
                Parameter("none", Type.TEXT, required=False, named_only=True),
            ),
            Type.FLOAT,
        ),
        lambda _, x, y, k, f: 7,
    )
    done = run(world.machine(tool), 'request "x"\nlet a = mix(y: "t", x: 3)\nprompt "{a}"\n')
    assert tool.calls == [((3.0, "t"), {"k": 5, "f": 2.0})]
    assert [type(v) for v in tool.calls[0][0]] == [float, str]
    assert done.values["a"] == 7.0
    assert isinstance(done.values["a"], float)


def test_what_tools_return_is_data_and_never_program(world: World) -> None:
    evil = '"\nrender seed: 9\nrequire count("x") == 1\n{a} {{x}} ${"'
    done = run(world.machine(say(lambda _, a: evil)), ONE)
    assert done.z.settings.seed == 0
    assert done.z.constraints == ()
    assert "{a} {{x}}" in done.prompt


def test_a_value_cannot_bring_a_url_or_an_ordinal_into_the_prompt(world: World) -> None:
    error = failure(world.machine(say(lambda _, a: "see https://evil.example/x.png")), ONE)
    assert codes(error) == ["GP405"]
    assert pointed(error) == "{a}"


def test_notebook_views(world: World) -> None:
    done = run(world.machine(say(lambda _, a: "<script>x</script>"), renderer=FakeRenderer()), ONE)
    page = done._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "data:image/png;base64," in page
    assert done._repr_png_().startswith(b"\x89PNG")
    bare = run(world.machine(say(lambda _, a: "y")), ONE)
    assert bare._repr_png_() is None
    assert "<img" not in bare._repr_html_()
    with pytest.raises(AuthorError, match="made no picture"):
        bare.save("x.png")


def test_saving(world: World, tmp_path: Path) -> None:
    done = run(world.machine(say(lambda _, a: "y"), renderer=FakeRenderer()), ONE)
    assert extract(done.save(tmp_path / "out.png")) == (ONE, done.z)
    with pytest.raises(StorageError):
        done.save(tmp_path)


# ---- before anything is spent -------------------------------------------------------------------------


def test_errors_holes_and_parameters_come_before_everything(world: World, tmp_path: Path) -> None:
    machine = world.machine(renderer=FakeRenderer())
    runs = tmp_path / "runs"
    texts = {
        "GP201": 'request "x"\nlet f = search("a")\nprompt "{nothing}"\n',
        "GP601": 'request "x"\nlet f = search("a")\nlet g = search(?)\nprompt ?\n...\n',
        "GP317": 'program p(t: text)\nrequest "x"\nlet f = search("a")\nprompt "{t}"\n',
    }
    for code, text in texts.items():
        with pytest.raises(ProgramError) as caught:
            run(machine, text, record=runs)
        assert code in codes(caught.value)
        assert not isinstance(caught.value, RunError)
    assert not runs.exists()
    assert world.search.calls == []


def test_every_hole_is_named(world: World) -> None:
    with pytest.raises(ProgramError) as caught:
        run(world.machine(), 'request "x"\nlet g = search(?)\nprompt ?\n...\n')
    assert codes(caught.value) == ["GP601"] * 3


@pytest.mark.parametrize(
    ("given", "code"),
    [({}, "GP317"), ({"n": "many"}, "GP318"), ({"n": True}, "GP318"), ({"n": 1, "m": 2}, "GP319")],
)
def test_parameters(world: World, given: dict[str, object], code: str) -> None:
    with pytest.raises(ProgramError) as caught:
        run(world.machine(), 'program p(n: int)\nrequest "x"\nprompt "{n} balls"\n', given)
    assert codes(caught.value) == [code]


def test_a_tool_or_skill_that_the_machine_lacks(world: World) -> None:
    program = checked(ONE, World(Path()).machine(say(lambda _, a: a)).environment())
    with pytest.raises(ConfigurationError, match="'say'"):
        world.machine().run_sync(program)
    environment = world.machine(skills={"s": FakeSkill("s")}).environment()
    with pytest.raises(ConfigurationError, match="skill 's'"):
        world.machine().run_sync(checked('request "x"\nuse skill s\nprompt "y"\n', environment))


def test_the_renderer_refuses_before_calls_are_made(world: World) -> None:
    def refuse(z: Z) -> list[str]:
        found = [f"at most 1 reference image, not {len(z.reference_images)}."] * (len(z.reference_images) > 1)
        return found + ["steps cannot be set"] * (z.settings.steps is not None)

    text = (
        'request "x"\nlet t = image_search("a")\nref r = t[0] for "1"\nref s = pick(t, "b") for "2"\n'
        'prompt "{r} {s}"\nrender steps: 5\n'
    )
    error = failure(world.machine(renderer=FakeRenderer(refuse=refuse)), text)
    assert codes(error) == ["GP524"]
    assert "at most 1 reference image, not 2" in str(error)
    assert error.findings.diagnostics[0].notes == ("steps cannot be set",)
    assert pointed(error) == "render steps: 5"
    assert world.image_search.calls == []
    assert not error.service
    fine = run(world.machine(renderer=FakeRenderer(refuse=refuse)), text, render=False)
    assert fine.image is None, "without rendering nobody is asked"


def test_the_renderer_refuses_what_only_values_show(world: World) -> None:
    renderer = FakeRenderer(refuse=lambda z: ["too long"] if "long" in z.gen_prompt else [])
    error = failure(world.machine(say(lambda _, a: "long"), renderer=renderer), ONE)
    assert codes(error) == ["GP524"]
    assert renderer.rendered == []


def test_a_budget_below_the_plan_is_told_before_the_first_call(world: World) -> None:
    text = 'request "x"\nlet a = search("1")\nlet b = search("2")\nlet c = search("3")\nprompt "{d}"\n'
    text = text.replace('prompt "{d}"', 'let d = ask(c, "q")\nprompt "{d}"')
    error = failure(world.machine(budget=Budget(calls=2)), text)
    assert codes(error) == ["GP523"]
    assert pointed(error) == 'search("3")'
    assert world.search.calls == []


# ---- faults ----------------------------------------------------------------------------------------------


def test_a_busy_service_is_tried_again(world: World) -> None:
    def busy(context: CallContext, a: str) -> str:
        if context.attempt < 3:
            raise ServiceError("busy", retryable=True)
        return a

    done = run(world.machine(say(busy)), ONE)
    assert done.prompt == "hello"
    assert next(e for e in done.trace if e.kind == "call").data["attempts"] == 3


def test_and_given_up_in_the_end(world: World) -> None:
    def busy(context: CallContext, a: str) -> str:
        raise ServiceError("the line is busy", retryable=True)

    tool = say(busy)
    error = failure(world.machine(tool), ONE)
    assert (codes(error), pointed(error), len(tool.calls)) == (["GP520"], 'say("hello")', 3)
    assert error.findings.diagnostics[0].notes == ("it was tried 3 times",)
    assert error.service


def test_the_deadline_ends_the_waiting_for_a_service(world: World) -> None:
    def later(context: CallContext, a: str) -> str:
        raise ServiceError("come back", retryable=True, retry_after=30)

    began = time.monotonic()
    error = failure(world.machine(say(later), budget=Budget(seconds=5)), ONE)
    assert time.monotonic() - began < 2
    assert codes(error) == ["GP520"]


@pytest.mark.parametrize(
    ("raised", "code", "service", "words"),
    [
        (ServiceError("refused"), "GP520", True, "'say' failed: refused"),
        (AuthorError("too odd"), "GP520", False, "'say' failed: too odd"),
        (AuthorError("no such file", code="GP413"), "GP413", False, "no such file"),
        (AuthorError("odd", code="GP999"), "GP520", False, "odd"),
        (StorageError("disk full"), "GP520", True, "disk full"),
        (ConfigurationError("no key"), "GP520", True, "no key"),
        (ValueError("bad  \n luck"), "GP520", True, "'say' failed with ValueError: bad luck"),
        (KeyError(), "GP520", True, "'say' failed with KeyError"),
        (SystemExit(3), "GP520", True, "SystemExit: 3"),
        (TimeoutError("socket"), "GP520", True, "TimeoutError: socket"),
        (StopIteration("x"), "GP520", True, "StopIteration: x"),
        (Cancelled("by itself"), "GP520", True, "Cancelled"),
        (asyncio.CancelledError(), "GP520", True, "CancelledError"),
        (MemoryError(), "GP520", True, "MemoryError"),
        (RecursionError("deep"), "GP520", True, "RecursionError: deep"),
    ],
)
@pytest.mark.parametrize("style", ["plain", "async"])
def test_whatever_a_tool_raises_points_at_the_call(
    world: World, raised: BaseException, code: str, service: bool, words: str, style: str
) -> None:
    def plain(_: CallContext, a: str) -> str:
        raise raised

    async def on_loop(_: CallContext, a: str) -> str:
        raise raised

    if style == "async" and isinstance(raised, StopIteration):
        words = "RuntimeError: coroutine raised StopIteration"  # so Python itself has it
    error = failure(world.machine(say(plain if style == "plain" else on_loop)), ONE)
    assert (codes(error), error.service) == ([code], service)
    assert words in error.findings.diagnostics[0].message
    assert pointed(error) == 'say("hello")'


@pytest.mark.parametrize("style", ["plain", "async"])
def test_a_call_that_takes_too_long(world: World, style: str) -> None:
    stopped = threading.Event()

    def plain(context: CallContext, a: str) -> str:
        if context.cancelled.wait(5):
            stopped.set()
        context.check()
        return a

    async def on_loop(context: CallContext, a: str) -> str:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            stopped.set()
            raise
        return a

    began = time.monotonic()
    error = failure(world.machine(say(plain if style == "plain" else on_loop), call_timeout=0.05), ONE)
    assert time.monotonic() - began < 1.5
    assert codes(error) == ["GP521"]
    assert "0.05 seconds" in str(error)
    assert stopped.wait(1), "the call was told to stop"


def test_the_seconds_of_the_run(world: World) -> None:
    async def slow(context: CallContext, a: str) -> str:
        assert context.remaining() < 0.2
        await asyncio.sleep(5)
        return a

    error = failure(world.machine(say(slow), budget=Budget(seconds=0.1)), ONE)
    assert codes(error) == ["GP523"]
    assert error.service is False


def test_money_and_bytes(world: World) -> None:
    text = 'request "x"\nlet a = say("1")\nlet b = say(a)\nlet c = say(b)\nprompt "{c}"\n'
    dear = say(lambda _, a: a + "x", price=0.4)
    error = failure(world.machine(dear, budget=Budget(money=1.0)), text)
    assert (codes(error), len(dear.calls)) == (["GP523"], 2)
    wordy = say(lambda _, a: a + "x" * 100)
    error = failure(world.machine(wordy, budget=Budget(bytes=300)), text)
    assert (codes(error), len(wordy.calls)) == (["GP523"], 2)


@pytest.mark.parametrize(
    ("returns", "value", "words"),
    [
        (Type.TEXT, 5, "int where text was promised"),
        (Type.TEXT, None, "NoneType"),
        (Type.INT, True, "bool where int was promised"),
        (Type.FLOAT, float("nan"), "nan"),
        (Type.SIZE, SizeValue(0, 5), "size"),
        (Type.SIZE, SizeValue(True, 5), "size"),
        (Type.EVIDENCE, Evidence([Snippet("a")]), "a list where a tuple belongs"),  # type: ignore[arg-type]
        (Type.EVIDENCE, Evidence(("a",)), "a list with a str in it"),  # type: ignore[arg-type]
        (Type.EVIDENCE, Evidence((Snippet(5),)), "'text' is not text"),  # type: ignore[arg-type]
        (Type.EVIDENCE, Evidence((Snippet("a", score=float("inf")),)), "score"),
        (Type.IMAGES, Images((ImageHandle("a.png", "xyz", 1, 1),)), "SHA-256"),
        (Type.IMAGE, ImageHandle("a.png", "0" * 64, 0, 1), "width"),
        (Type.IMAGE, ImageHandle(Path("a"), "0" * 64, 1, 1), "'path' is not text"),  # type: ignore[arg-type]
        (Type.IMAGE, Images(), "images where image was promised"),
    ],
)
def test_results_of_the_wrong_type(world: World, returns: Type, value: object, words: str) -> None:
    tool = FakeTool(signature("odd", returns=returns), lambda _: value)
    error = failure(world.machine(tool), 'request "x"\nlet a = odd()\nprompt "y"\n')
    assert codes(error) == ["GP526"]
    assert words in str(error)
    assert error.service


def test_fewer_images_than_the_program_indexes(tmp_path: Path) -> None:
    text = 'request "x"\nlet t = image_search("a")\nref r = t[3] for "b"\nprompt "{r}"\n'
    error = failure(World(tmp_path, found=2).machine(), text)
    assert (codes(error), pointed(error)) == (["GP522"], "3")
    assert "only 2 images were found" in str(error)
    error = failure(World(tmp_path, found=0).machine(), text)
    assert (codes(error), pointed(error)) == (["GP525"], "t[3]")


def test_an_empty_result_is_no_fault_when_no_element_is_needed(tmp_path: Path) -> None:
    done = run(World(tmp_path, found=0).machine(), 'request "x"\nlet t = image_search("a")\nprompt "y"\n')
    assert done.values["t"] == Images()


def test_an_index_that_fails_stops_the_other_calls(tmp_path: Path) -> None:
    threads = threading.active_count()

    async def slow(_: CallContext, a: str) -> str:
        await asyncio.sleep(5)
        return a

    began = time.monotonic()
    text = (
        'request "x"\nlet s = say("long")\nlet t = image_search("a")\nref r = t[3] for "b"\nprompt "{r}{s}"\n'
    )
    error = failure(World(tmp_path, found=2).machine(say(slow)), text)
    assert codes(error) == ["GP522"]
    assert time.monotonic() - began < 1.5
    assert threading.active_count() <= threads  # other tests may have left threads of libraries


def test_one_failure_cancels_the_others(world: World, tmp_path: Path) -> None:
    ended = []

    async def mixed(_: CallContext, a: str) -> str:
        if a == "bad":
            await asyncio.sleep(0.02)
            raise ServiceError("no")
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            ended.append(a)
            raise
        return a

    text = 'request "x"\nlet a = say("1")\nlet b = say("bad")\nlet c = say("2")\nprompt "{a}{b}{c}"\n'
    error = failure(world.machine(say(mixed)), text, record=tmp_path / "runs")
    assert sorted(ended) == ["1", "2"]
    assert pointed(error) == 'say("bad")'
    assert error.folder is not None
    facts, trace = read_facts(error.folder), read_trace(error.folder)
    assert (facts["status"], facts["diagnostics"][0]["code"]) == ("failed", "GP520")
    assert facts["diagnostics"][0]["where"] == "test.gprog:3:9"
    assert trace.status == "failed"
    assert sorted(e.data["error"]["code"] for e in trace.of("call")) == ["GP520", "cancelled", "cancelled"]
    assert not (error.folder / "z.json").exists()


def test_arguments_that_only_the_run_knows_are_checked(world: World) -> None:
    text = 'request "x"\nlet a = say("1")\nlet f = search(a)\nlet b = ask(f, "q")\nprompt "{b}"\n'
    error = failure(world.machine(say(lambda _, a: "")), text)
    assert (codes(error), pointed(error)) == (["GP312"], "a")
    assert world.search.calls == []


def test_choices_that_only_the_run_knows(world: World) -> None:
    from genevolve.grammar.types import Parameter, Signature

    unit = FakeTool(
        Signature("warm", (Parameter("unit", Type.TEXT, choices=("c", "k")),), Type.TEXT),
        lambda _, unit: unit,
    )
    text = 'request "x"\nlet a = say("1")\nlet b = warm(a)\nprompt "{b}"\n'
    assert run(world.machine(unit, say(lambda _, a: "k")), text).prompt == "k"
    assert codes(failure(world.machine(unit, say(lambda _, a: "f")), text)) == ["GP315"]


def test_image_parameters(world: World, tmp_path: Path) -> None:
    handle(tmp_path / "harbour.png")
    text = 'program p(photo: image)\nrequest "x"\nref r = photo for "b"\nprompt "{r}"\n'
    done = run(world.machine(), text, {"photo": "harbour.png"})
    assert done.z.reference_images[0].source == "harbour.png"
    assert world.image.calls == [(("harbour.png",), {})]
    error = failure(world.machine(), text, {"photo": "none.png"})
    assert (codes(error), pointed(error)) == (["GP413"], "photo: image")


def test_a_reference_that_changes_before_rendering(world: World, tmp_path: Path) -> None:
    image = handle(tmp_path / "a.png")

    def tamper(_: CallContext, a: str) -> str:
        image.file.write_bytes(b"something else")
        return a

    text = 'request "x"\nlet t = image("a.png")\nref r = t for "b"\nlet s = say("1")\nprompt "{r}{s}"\n'
    first = FakeTool(builtins.IMAGE, lambda _, path: image)
    error = failure(world.machine(first, say(tamper), renderer=FakeRenderer()), text)
    assert (codes(error), pointed(error)) == (["GP414"], "t")
    image.file.unlink()
    error = failure(world.machine(first, say(lambda _, a: a), renderer=FakeRenderer()), text)
    assert codes(error) == ["GP413"]
    error = failure(world.machine(first, say(lambda _, a: a)), text, record=tmp_path / "runs")
    assert codes(error) == ["GP413"], "a record needs the files too"


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (ServiceError("out of memory"), "'fake' failed: out of memory"),
        (RuntimeError("CUDA"), "'fake' failed: RuntimeError: CUDA"),
        (Image.new("RGB", (1, 1)), "returned a Image and not a picture"),
        (Rendering("no image"), "not a picture"),  # type: ignore[arg-type]
    ],
)
@pytest.mark.parametrize("style", ["plain", "async"])
def test_a_renderer_that_fails(world: World, tmp_path: Path, draw: object, words: str, style: str) -> None:
    def plain(context: CallContext, z: Z, references: Any) -> Any:
        if isinstance(draw, Exception):
            raise draw
        return draw

    async def on_loop(context: CallContext, z: Z, references: Any) -> Any:
        return plain(context, z, references)

    machine = world.machine(renderer=FakeRenderer(plain if style == "plain" else on_loop))
    error = failure(machine, 'request "x"\nprompt "y"\n', record=tmp_path / "runs")
    assert (codes(error), pointed(error), error.service) == (["GP527"], 'prompt "y"', True)
    assert words in str(error)
    assert error.folder is not None
    assert (error.folder / "z.json").exists(), "z was known and is kept"
    assert not (error.folder / "image.png").exists()


def test_a_renderer_that_cannot_even_say_what_it_refuses(world: World) -> None:
    def broken(z: Z) -> list[str]:
        raise KeyError("steps")

    error = failure(world.machine(renderer=FakeRenderer(refuse=broken)), 'request "x"\nprompt "y"\n')
    assert codes(error) == ["GP527"]


def test_rendering_ends_with_the_seconds_of_the_run(world: World) -> None:
    threads = threading.active_count()

    def slow(context: CallContext, z: Z, references: Any) -> Rendering:
        context.cancelled.wait(5)
        return plain_picture(context, z, references)

    began = time.monotonic()
    machine = world.machine(renderer=FakeRenderer(slow), budget=Budget(seconds=0.1))
    assert codes(failure(machine, 'request "x"\nprompt "y"\n')) == ["GP523"]
    assert time.monotonic() - began < 1.5
    assert threading.active_count() <= threads  # other tests may have left threads of libraries


def test_a_bug_of_ours_is_called_one(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("genevolve.interpreter.machine.elaborated", broken)
    with pytest.raises(InternalError, match="ZeroDivisionError: oops"):
        run(world.machine(), 'request "x"\nprompt "y"\n', record=tmp_path / "runs")
    folder = next((tmp_path / "runs").iterdir())
    assert read_facts(folder)["status"] == "failed"


# ---- keys ----------------------------------------------------------------------------------------------


def test_keys_reach_no_trace_no_error_no_value_and_no_record(world: World, tmp_path: Path) -> None:
    key = "sk-very-secret-1234"

    def leaky(_: CallContext, a: str) -> str:
        if a == "fail":
            raise RuntimeError(f"401 for key {key}")
        return f"the key is {key}"

    machine = world.machine(say(leaky), secrets=[key], verbose=True, renderer=FakeRenderer())
    done = run(machine, ONE, record=tmp_path / "runs")
    assert done.prompt == "the key is [redacted]"
    error = failure(machine, ONE.replace("hello", "fail"), record=tmp_path / "runs")
    assert "[redacted]" in str(error)
    traced = read_trace(error.folder).of("call")[0].data["error"]  # type: ignore[arg-type]
    assert "leaky" in traced["traceback"]
    for file in (tmp_path / "runs").rglob("*"):
        assert file.is_dir() or key.encode() not in file.read_bytes(), file.name
    assert key not in str(error)


def test_tracebacks_are_kept_only_when_asked_for(world: World) -> None:
    heard: list[Any] = []
    failure(world.machine(say(lambda _, a: 1 / 0)), ONE, listener=heard.append)
    calls = [e for e in heard if e.kind == "call"]
    assert "traceback" not in calls[0].data["error"]
    assert calls[0].data["error"]["type"] == "ZeroDivisionError"


# ---- cache ---------------------------------------------------------------------------------------------


def test_answers_are_kept_between_runs_and_money_is_not_spent_again(world: World, tmp_path: Path) -> None:
    cache = CallCache(tmp_path / "c.sqlite")
    tool = say(lambda _, a: a + "!", price=1.0)
    first = run(world.machine(tool, cache=cache), ONE)
    second = run(world.machine(tool, cache=cache), ONE)
    assert first.z == second.z
    assert len(tool.calls) == 1
    assert [next(e for e in r.trace if e.kind == "call").data["cache"] for r in (first, second)] == [
        "miss",
        "hit",
    ]
    assert (first.spent["money"], second.spent["money"], second.spent["calls"]) == (1.0, 0.0, 1)
    tool.version = "2"
    run(world.machine(tool, cache=cache), ONE)
    assert len(tool.calls) == 2, "another version, another answer"
    tool.version = None
    for _ in range(2):
        run(world.machine(tool, cache=cache), ONE)
    assert len(tool.calls) == 4, "without a version nothing is kept"
    assert cache.stats()["entries"] == 2
    cache.close()


def test_failures_are_not_kept(world: World, tmp_path: Path) -> None:
    cache = CallCache(tmp_path / "c.sqlite")
    failure(world.machine(say(lambda _, a: 1 / 0), cache=cache), ONE)
    failure(world.machine(say(lambda _, a: 5), cache=cache), ONE)
    assert cache.stats()["entries"] == 0
    cache.close()


def test_a_kept_answer_of_the_wrong_type_is_a_miss(world: World, tmp_path: Path) -> None:
    cache = CallCache(tmp_path / "c.sqlite")
    run(world.machine(say(lambda _, a: a), cache=cache), ONE)
    number = FakeTool(signature("say", Type.TEXT, returns=Type.INT), lambda _, a: 5)
    assert run(world.machine(number, cache=cache), ONE).prompt == "5"
    cache.close()


def test_none_reads_and_writes_nothing(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tool = say(lambda _, a: a)
    for _ in range(2):
        run(world.machine(tool), ONE)
    assert len(tool.calls) == 2
    assert not (tmp_path / "cache").exists()


async def _together(machine: Machine, count: int) -> list[Any]:
    program = checked(ONE, machine.environment())
    return await asyncio.gather(*(machine.run(program) for _ in range(count)), return_exceptions=True)


def test_runs_at_the_same_time_share_calls_in_flight(world: World) -> None:
    async def slow(_: CallContext, a: str) -> str:
        await asyncio.sleep(0.05)
        return a

    tool = say(slow)
    done = asyncio.run(_together(world.machine(tool), 5))
    assert [r.prompt for r in done] == ["hello"] * 5
    assert len(tool.calls) == 1


def test_when_the_one_in_flight_fails_another_takes_over(world: World) -> None:
    made = 0

    async def once_bad(_: CallContext, a: str) -> str:
        nonlocal made
        made += 1
        mine = made
        await asyncio.sleep(0.02)
        if mine == 1:
            raise ServiceError("first one fails")
        return a

    done = asyncio.run(_together(world.machine(say(once_bad)), 3))
    assert sorted(type(r).__name__ for r in done) == ["Run", "Run", "RunError"]
    assert made == 2


# ---- records -------------------------------------------------------------------------------------------


def test_the_record_of_a_run(world: World, tmp_path: Path) -> None:
    text = 'request "x"\n\n\nlet   t = image_search("a")  # why\nref r = t[0] for "b"\nprompt "like {r}"\n'
    done = run(world.machine(renderer=FakeRenderer()), text, record=tmp_path / "runs")
    names = sorted(str(p.relative_to(done.folder)) for p in done.folder.rglob("*") if p.is_file())
    assert names == [
        "image.png",
        "program.gprog",
        "references/1-r.png",
        "run.json",
        "trace.jsonl",
        "z.json",
    ]
    assert (done.folder / "program.gprog").read_text() == text
    assert (done.folder / "z.json").read_text() == done.z.to_json()
    assert (done.folder / "references/1-r.png").read_bytes() == done.references[0].file.read_bytes()
    assert extract(done.folder / "image.png") == (text, done.z)
    facts = read_facts(done.folder)
    assert facts["status"] == "finished"
    assert facts["renderer"] == {"name": "fake", "version": "1"}
    assert facts["notes"] == ["one colour only"]
    assert facts["z"] == done.z.digest
    trace = read_trace(done.folder)
    assert list(trace.events) == list(done.trace)
    assert json.loads((done.folder / "trace.jsonl").read_text().splitlines()[2])["where"] == "test.gprog:4:11"


def test_a_record_that_cannot_be_written(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        run(world.machine(), 'request "x"\nprompt "y"\n', record=tmp_path / "file")


def test_impossible_machines() -> None:
    with pytest.raises(ValueError, match="call timeout"):
        Machine(call_timeout=0)
    with pytest.raises(ValueError, match="concurrency"):
        Machine(concurrency=0)
    tool = FakeTool(SAY, lambda _, a: a)
    with pytest.raises(ValueError, match="registered already"):
        Machine([tool, tool], retry=QUICK)


def test_inside_a_running_loop_and_from_several_threads(world: World) -> None:
    machine = world.machine(say(lambda _, a: a))

    async def notebook() -> str:
        return str(run(machine, ONE).prompt)

    assert asyncio.run(notebook()) == "hello"
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(run(machine, ONE).prompt)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["hello"] * 3


def test_errors_come_out_of_a_running_loop_too(world: World) -> None:
    machine = world.machine(say(lambda _, a: 1 / 0))

    async def notebook() -> None:
        run(machine, ONE)

    with pytest.raises(RunError):
        asyncio.run(notebook())
