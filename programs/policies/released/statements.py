"""A round of the released model as statements of the language.

    search(queries=["a", "b"], top_k=3)  →  let s1 = search("a", "b", top_k: 3)
    image_search(query="a")              →  let i1 = image_search("a")
    query_knowledge(skill_name="x")      →  use skill x
    answer                               →  ref a = i1[0] for "…"
                                            prompt "… {a} …"
                                            render

Thoughts become comments, cut to a few lines.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from genevolve.grammar.layout import MARK, join_lines, sound
from genevolve.grammar.parser import parse_statement
from genevolve.grammar.scope import Scope
from genevolve.grammar.strings import quote, quote_parts, read_string
from genevolve.grammar.tree import Interpolation, Statement, String
from genevolve.programs.policies.quoting import one_line
from genevolve.programs.policies.released.actions import (
    Act,
    Answer,
    Call,
    ImageSearch,
    QueryKnowledge,
    Search,
    read_action,
)
from genevolve.programs.policies.released.broken import Broken, Violation
from genevolve.programs.policies.released.gallery import Gallery
from genevolve.programs.policies.released.markup import Round, read_round, thoughts_of
from genevolve.programs.policies.released.mentions import Parts, check_note, with_names

_WIDTH = 100
_THOUGHT_LINES = 12
_REFERENCES = "abcdefghij"


@dataclass(frozen=True)
class Setting:
    """What a round is read against.

    Attributes:
        scope: The program so far.
        gallery: The pictures that were shown.
        may_call: Whether a tool may still be called.
        follows: The author's statements after the hole.
        taken: Names that may not be used besides those of the scope.
    """

    scope: Scope
    gallery: Gallery
    may_call: bool = True
    follows: tuple[Statement, ...] = ()
    taken: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Translation:
    """What a round says in the language.

    Attributes:
        act: What it asks for.
        thoughts: What the model thought, as it wrote it.
        statements: The statements in order.
        name: What a search is called; empty for everything else.
    """

    act: Act
    thoughts: str
    statements: tuple[str, ...]
    name: str = ""

    @property
    def text(self) -> str:
        """The turn: thoughts as comments, then the statements, a line break at the end."""
        return "".join(f"{line}\n" for line in (*remarks(self.thoughts), *self.statements))


def translate(text: str, setting: Setting) -> Translation | Violation:
    """The statements of one message of the model, or what is wrong with it; never raises."""
    said = read_round(text)
    if isinstance(said, Violation):
        return said
    try:
        return _translated(said, setting)
    except Broken as error:
        return error.violation


def refused(text: str, violation: Violation) -> str:
    """A turn for a message that stays wrong: thoughts as comments, and a line that is no statement and says why."""
    # The word begins no statement, so nothing that follows can be read as one.
    return "".join(
        f"{line}\n" for line in (*remarks(thoughts_of(text)), f"protocol: {one_line(violation.message, 400)}")
    )


def remarks(thoughts: str) -> list[str]:
    """Thoughts as comments: few lines, none of them long, nothing in them unseen."""
    lines: list[str] = []
    for line in thoughts.split("\n")[: 4 * _THOUGHT_LINES]:
        told = one_line(line, 4 * _WIDTH)
        lines += textwrap.wrap(told, _WIDTH - 2, break_on_hyphens=False) if told else ()
    if len(lines) > _THOUGHT_LINES:
        lines = [*lines[: _THOUGHT_LINES - 1], "…"]
    return [f"# {line}" for line in lines]


# ---- actions -----------------------------------------------------------------------------------------


def _translated(said: Round, setting: Setting) -> Translation:
    scope = setting.scope
    if said.action == "tool_call" and not setting.may_call:
        raise Broken("No tool can be called any more, and this call was not carried out. Write <answer> now.")
    act = read_action(said, scope.environment, setting.gallery)
    name = ""
    if isinstance(act, Answer):
        statements = _answered(act, setting)
    else:
        if isinstance(act, QueryKnowledge) and act.skill in scope.skills:
            raise Broken(f"The guidance of {act.skill} was given already; use what it says.")
        if not isinstance(act, QueryKnowledge):
            name = fresh("s" if isinstance(act, Search) else "i", setting)
        statements = (call_text(act, name),)
    _check(statements, scope)
    return Translation(act, said.thoughts, statements, name)


def call_text(call: Call, name: str) -> str:
    """A tool call as a statement."""
    match call:
        case Search(queries, top_k):
            return f"let {name} = search({', '.join(_quote(q) for q in queries)}{_limit(top_k)})"
        case ImageSearch(query, top_k):
            return f"let {name} = image_search({_quote(query)}{_limit(top_k)})"
        case QueryKnowledge(skill):
            return f"use skill {skill}"


def _limit(top_k: int | None) -> str:
    return "" if top_k is None else f", top_k: {top_k}"


def _answered(answer: Answer, setting: Setting) -> tuple[str, ...]:
    names: list[str] = []
    statements: list[str] = []
    for chosen, letter in zip(answer.references, _REFERENCES, strict=False):
        check_note(chosen.note, chosen.id)
        place = setting.gallery.place(chosen.id)
        if place is None:
            raise Broken(f"No search showed {chosen.id}.")
        name = letter if _is_free(letter, setting) else fresh(letter, setting)
        note = f" for {_quote(chosen.note)}" if chosen.note else ""
        names.append(name)
        statements.append(f"ref {name} = {place.name}[{place.index}]{note}")
    parts = with_names(answer.gen_prompt, names)
    statements.append(f"prompt {prompt_text(parts)}")
    if not setting.follows:
        statements.append("render")
    return tuple(statements)


def fresh(prefix: str, setting: Setting) -> str:
    """A name that is free: `s1`, else `s2`, and so on."""
    return next(name for i in itertools.count(1) if _is_free(name := f"{prefix}{i}", setting))


def _is_free(name: str, setting: Setting) -> bool:
    scope = setting.scope
    return name not in scope.names and name not in setting.taken and name not in scope.environment.signatures


def _check(statements: Sequence[str], scope: Scope) -> None:
    """Raise for whatever the language does not take, in its own words: what the reading above does not know of."""
    for text in statements:
        statement, found = parse_statement(text)
        errors = [d for d in found if d.is_error]
        if statement is not None and not errors:
            extension = scope.extend(statement)
            errors = [d for d in extension.diagnostics if d.is_error]
            # What is missing so far is missing because the rest is not written yet.
            scope = extension.scope
        if errors:
            raise Broken(f"This cannot be taken: {errors[0].message}.")


# ---- texts -------------------------------------------------------------------------------------------


def _quote(text: str) -> str:
    return quote(text, triple=False)


def prompt_text(parts: Parts) -> str:
    """A literal for a prompt: over several lines where that gives back the same text, else on one."""
    plain = quote_parts(parts, triple=False)
    if len(plain) <= _WIDTH or any("\n" in p for p in parts if isinstance(p, str)):
        return plain
    wrapped = quote_parts(_wrapped(parts), triple=True)
    node, found = read_string(wrapped)
    return wrapped if not found and _laid_out(node) == _template(parts) else plain


def _wrapped(parts: Parts) -> Parts:
    """The parts with line breaks where lines grow long. Names count as one character."""
    text = _template(parts)
    lines = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    names: Iterator[Interpolation] = (p for p in parts if isinstance(p, Interpolation))
    split: list[str | Interpolation] = []
    for i, literal in enumerate("\n".join(lines).split(MARK)):
        if i:
            split.append(next(names))
        split.append(literal)
    return tuple(split)


def _template(parts: Parts) -> str:
    return "".join(sound(p) if isinstance(p, str) else MARK for p in parts)


def _laid_out(node: String) -> str:
    return join_lines(_template(node.parts))
