"""Plans: who waits for whom, and what a run can spend at most."""

from __future__ import annotations

import json
from pathlib import Path

from fakes import FakeSkill, FakeTool, World, checked, signature

from genevolve.grammar.types import Type
from genevolve.interpreter.plan import Plan, Planner, plan

HEAD = 'request "a tower"\n'
TAIL = 'prompt "a tower like {r}"\nref r = image("a.png") for "all"\n'


def planned(text: str, *extra: FakeTool, limits: dict[str, int] | None = None) -> Plan:
    machine = World(Path()).machine(*extra, skills={"s": FakeSkill("s")})
    program = checked(text, machine.environment(**(limits or {})))
    assert program.ok, program.diagnostics
    return plan(program)


def test_nested_calls_are_nodes_and_names_carry_dependencies() -> None:
    found = planned(
        HEAD
        + 'let towers = image_search("tower")\n'
        + 'let best = pick(towers, ask(search("when"), "which hour"))\n'
        + 'ref r = best for "all"\n'
        + 'prompt "like {r}"\n'
    )
    shown = [(n.kind, n.name, n.inputs) for n in found.nodes]
    assert shown == [
        ("call", "image_search", ()),
        ("let", "towers", (0,)),
        ("call", "search", ()),
        ("call", "ask", (2,)),
        ("call", "pick", (1, 3)),
        ("let", "best", (4,)),
        ("ref", "r", (5,)),
    ]
    assert found.waits_for(found.nodes[4]) == (0, 3)
    assert (found.calls, found.depth) == (2, 3)


def test_equal_calls_are_one_node_that_costs_as_often_as_it_is_written() -> None:
    found = planned(
        HEAD
        + 'let a = search("x", top_k: 5)\nlet b = search("x",   top_k: 5)\nlet c = search("y")\n'
        + 'prompt "{d} {e}"\nlet d = ask(a, "?q")\nlet e = ask(b, "?q")\n'.replace('prompt "{d} {e}"\n', "")
        + 'let f = ask(c, "?q")\nprompt "{d} {e} {f}"\n'
    )
    searches = [n for n in found.nodes if n.name == "search"]
    assert [(n.written, n.cost) for n in searches] == [(2, 2), (1, 1)]
    assert found.calls == 3


def test_the_bound_counts_prices_skills_and_calls_inside_every_statement() -> None:
    dear = FakeTool(signature("dear", Type.TEXT, price=0.25, cost=2), lambda _, a: a)
    found = planned(
        'request "x"\nuse skill s\nlet a = dear("1")\nprompt dear(dear(a))\nrequire text(dear("2"), at: "top")\n',
        dear,
    )
    assert found.calls == 1 + 4 * 2
    assert found.price == 1.0
    assert found.depth == 3


def test_image_parameters_are_opened_and_waited_for() -> None:
    found = planned(
        'program p(photo: image, size: size = 64x64)\nrequest "x"\nref r = photo for "all"\n'
        'prompt "like {r}"\nrender size: size, steps: 3\n'
    )
    assert [(n.kind, n.name, n.inputs) for n in found.nodes] == [
        ("parameter", "photo", ()),
        ("ref", "r", (0,)),
    ]
    assert (found.calls, found.depth, found.settings) == (0, 1, "size: size, steps: 3")


def test_as_text_and_as_data() -> None:
    found = planned(
        HEAD
        + 'let towers = image_search("tower", top_k: 3)\nuse skill s\n'
        + 'ref r = pick(towers, "by night") for "all"\nprompt "like {r}"\nrender seed: 7\n'
    )
    assert found.to_text() == (
        '1  line 2  image_search("tower", top_k: 3)  1 call\n'
        "2  line 3  use skill s                      1 call\n"
        '3  line 4  pick(towers, "by night")         free    after 1\n'
        "2 tool calls, 2 on the longest path; 2 of the call budget\n"
        "then render seed: 7\n"
    )
    data = json.loads(json.dumps(found.to_dict()))
    assert data["bound"] == {"calls": 2, "price": 0, "depth": 2}
    assert [n["after"] for n in data["nodes"]] == [[], [0], [], [1], [3]]
    assert data["nodes"][3]["line"] == 4


def test_a_program_without_calls() -> None:
    found = planned('request "x"\nprompt "y"\n')
    assert (found.nodes, found.calls, found.depth) == ((), 0, 0)
    assert found.to_text() == "0 tool calls, 0 on the longest path; 0 of the call budget\nthen render\n"


def test_planning_step_by_step_gives_the_same_graph() -> None:
    machine = World(Path()).machine()
    program = checked(
        HEAD + 'let a = image_search("x")\nref r = a[0] for "b"\nprompt "{r}"\n', machine.environment()
    )
    planner = Planner(program.environment)
    for statement in program.tree.statements:
        planner = planner.fork()
        planner.add(statement)
    assert tuple(planner.nodes) == plan(program).nodes
    assert planner.cost == 1
