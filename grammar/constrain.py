r"""The grammar of the next statement of a program, for constrained decoding.

    >>> from genevolve.grammar.builtins import builtin_environment
    >>> from genevolve.grammar.scope import Scope
    >>> from genevolve.grammar.parser import parse_statement
    >>> statement, _ = parse_statement('request "a kite"')
    >>> scope = Scope.root(builtin_environment()).extend(statement).scope
    >>> following = next_statement(scope, may_call=False)
    >>> following.node.complete('avoid "a second')
    '"\n'

What a grammar can say is said there: shapes and tokens from `gprog.lark`, names, types and bounds from the scope
(`constrain_values`), constraints that contradict nothing (`constrain_require`), the author's statement with its holes
(`constrain_sketch`). Two rules are left to whoever decodes: strings under `Spelled` run through the automaton of
`constrain_spelled`, and lengths are bounded. docs/constrained-decoding.md tells for every diagnostic what excludes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from genevolve.grammar.builtins import RENDER_SETTINGS
from genevolve.grammar.constrain_lark import write_grammar
from genevolve.grammar.constrain_nodes import EMPTY, NOTHING, Alt, Lit, Node, Seq, alt, one_of, seq
from genevolve.grammar.constrain_require import Requirements
from genevolve.grammar.constrain_shapes import shapes
from genevolve.grammar.constrain_sketch import Places, Sketch
from genevolve.grammar.constrain_text import MAX_NAME, Comment, Kind, NewName, Text
from genevolve.grammar.constrain_values import Values, is_word, named_settings
from genevolve.grammar.scope import MAX_STATEMENTS, Scope
from genevolve.grammar.tree import (
    Call,
    Expression,
    Index,
    Let,
    ProgramHeader,
    Prompt,
    Ref,
    Render,
    Request,
    Statement,
    StatementHole,
    Use,
)
from genevolve.grammar.types import INTERPOLATED_TYPES, Signature, Type

MAX_COMMENTS = 2
"""How many lines of comment stand above a statement."""


@dataclass(frozen=True)
class Following:
    """What may come next in a turn.

    Attributes:
        node: The next statement with its line break, as a tree; empty (`NOTHING`) when none may come.
        may_end: Whether the turn may end here.
        must_prompt: Whether the program lacks a prompt that nobody but this turn can write.
        prompt: The prompt statement, for a turn that has to come to an end; `NOTHING` when none may come.
        resume: What follows a text that stopped at a pause, None for one that is a whole statement.
        paused_rest: At most how many bytes the shortest end of a statement has behind its pause.
    """

    node: Node
    may_end: bool
    must_prompt: bool
    prompt: Node
    resume: Callable[[str], Node | None] = field(compare=False)
    paused_rest: int = 0

    @cached_property
    def grammar(self) -> str:
        """The statement in llguidance's dialect of Lark."""
        return write_grammar(self.node)

    @cached_property
    def reserve(self) -> int:
        """At most how many bytes bring the turn to an end from anywhere in this statement."""
        return self.reserve_in(self.node) + self.paused_rest

    def reserve_in(self, node: Node) -> int:
        """At most how many bytes bring the turn to an end from anywhere in a last piece of this statement."""
        # The statement may bind a reference, which the prompt then has to mention.
        after = len((self.prompt.shortest or "").encode()) + MAX_NAME + 3 if self.must_prompt else 0
        return node.longest_rest + after


def next_statement(
    scope: Scope,
    *,
    images: Mapping[str, int] | None = None,
    statement: Statement | None = None,
    may_call: bool = True,
    may_end: bool = False,
    follows: tuple[Statement, ...] = (),
    avoid_names: frozenset[str] = frozenset(),
    comments: int = MAX_COMMENTS,
) -> Following:
    """What may be written next.

    Args:
        scope: What the program says so far.
        images: How many pictures each name of type `images` really holds.
        statement: The author's statement whose `?` are to be filled, or None for any number of statements.
        may_call: Whether a statement that spends a call may come.
        may_end: Whether the turn may end without a prompt.
        follows: The author's statements behind the hole: what they take is not free.
        avoid_names: More names that are taken.
        comments: How many lines of comment may stand above the statement.
    """
    options = _Options(scope, images or {}, may_call, follows, avoid_names)
    if statement is not None:
        sketch = Sketch(statement, options.values, options.requirements, options.places)
        node = _commented(sketch.node(), comments)
        rest = _PAUSED_REST + len(options.requirements.known.things) + sketch.paused_rest
        return Following(node, False, False, NOTHING, lambda text: _paused(sketch.after_pause, text), rest)
    statements = options.statements()
    node = _commented(alt(statements), comments)
    must_prompt = not may_end and not scope.has_prompt and not options.later(Prompt)
    prompt = NOTHING if options.prompt is NOTHING else options.line(options.prompt)
    after = options.requirements.after_pause
    rest = _PAUSED_REST + len(options.requirements.known.things)
    return Following(
        node, options.is_whole(may_end), must_prompt, prompt, lambda text: _paused(after, text), rest
    )


_PAUSED_REST = 32
"""A word, a number or a choice, and the brackets behind it."""


def _paused(after: Callable[[str], Node | None], text: str) -> Node | None:
    return None if text.endswith("\n") else after(text)


def _commented(node: Node, comments: int) -> Node:
    if node is NOTHING or not comments:
        return node
    above = alt([seq([Comment()] * count) if count else EMPTY for count in range(comments + 1)])
    return seq((above, node))


@dataclass(frozen=True)
class _Options:
    """The statements that a scope still takes, kind by kind."""

    scope: Scope
    images: Mapping[str, int]
    may_call: bool
    follows: tuple[Statement, ...]
    avoid_names: frozenset[str]

    @cached_property
    def values(self) -> Values:
        return Values(self.scope, self.images)

    @cached_property
    def requirements(self) -> Requirements:
        """What may be required, with regard to what the author requires later."""
        later = self.scope
        for statement in self.follows:
            if not isinstance(statement, StatementHole):
                later = later.extend(statement).scope
        return Requirements(self.values, later)

    @property
    def places(self) -> Places:
        return Places(lambda: self.prompt_text, lambda: self.spelled_text, lambda: one_of(self.skills))

    def later(self, *kinds: type) -> bool:
        """Whether the author wrote such a statement behind the hole."""
        return any(isinstance(statement, kinds) for statement in self.follows)

    def is_whole(self, may_end: bool) -> bool:
        """Whether the program may be left as it is."""
        scope = self.scope
        if not scope.has_request and not self.later(Request):
            return False
        if scope.has_prompt:
            return not scope.unmentioned
        return may_end or self.later(Prompt)

    def line(self, node: Node) -> Node:
        """A statement and the end of its line."""
        return seq((node, Lit("\n"))) if node is not NOTHING else NOTHING

    def statements(self) -> list[Node]:
        """All that may come next, each with its line break; a relation only up to its pause."""
        scope = self.scope
        if scope.has_render or scope.statements + len(self.follows) >= MAX_STATEMENTS:
            return []
        if not scope.has_request and not scope.has_holes:
            return [self.line(shapes().build("request", expression_0=self.request_text))]
        kinds = (self.let(), self.ref(), self.use(), self.prompt, self.avoid(), self.render())
        require = self.requirements.node()
        lines = [self.line(kind) for kind in kinds if kind is not NOTHING]
        return lines + ([_lines_of(require)] if require is not NOTHING else [])

    # ---- names and calls ----

    @cached_property
    def new_name(self) -> Node:
        """A name that nothing has, now or later."""
        taken = {*self.scope.names, *self.scope.environment.signatures, *self.avoid_names}
        for statement in self.follows:
            if isinstance(statement, Let | Ref):
                taken.add(statement.name)
            elif isinstance(statement, ProgramHeader):
                taken |= {p.name for p in statement.parameters}
        return NewName(frozenset(taken))

    @cached_property
    def calls_left(self) -> int:
        """What may be spent here: what the author spends later is spent."""
        signatures = self.scope.environment.signatures
        return self.scope.calls_left - sum(_cost(statement, signatures) for statement in self.follows)

    def _callable(self, signature: Signature) -> bool:
        if signature.returns in (Type.PREDICATE, Type.QUANTITY, Type.UNKNOWN):
            return False
        return not signature.cost or (self.may_call and signature.cost <= self.calls_left)

    def let(self) -> Node:
        """`let`: a call, or one image of a list."""
        found: list[Node] = []
        for signature in self.scope.environment.signatures.values():
            if self._callable(signature):
                found += (self.values.call(signature, broken=broken) for broken in (False, True))
        lists = (b.name for b in self.scope.names.values() if b.type is Type.IMAGES and is_word(b.name))
        found += (self.values.indexed(name) for name in lists)
        value = alt(n for n in found if n is not NOTHING)
        return (
            NOTHING if value is NOTHING else shapes().build("let", name_0=self.new_name, expression_0=value)
        )

    def ref(self) -> Node:
        """`ref`, with a purpose; only while a prompt can still mention it."""
        left = self.scope.references_left - sum(isinstance(s, Ref) for s in self.follows)
        image = self.values.image(unbound=True)
        if left <= 0 or image is NOTHING or self.scope.has_prompt or self.later(Prompt):
            return NOTHING
        # The purpose stands on the same line, or on the next as the formatter breaks it.
        value = alt((image, seq((image, Lit("\n   ")))))
        places = {"name_0": self.new_name, "expression_0": value, "expression_1": self.spelled_text}
        return shapes().build("ref", **places)

    @cached_property
    def skills(self) -> tuple[str, ...]:
        """The skills that may be used."""
        if not self.may_call or self.calls_left <= 0:
            return ()
        used = {*self.scope.skills, *(s.skill for s in self.follows if isinstance(s, Use))}
        return tuple(s for s in self.scope.environment.skills if s not in used and is_word(s))

    def use(self) -> Node:
        """`use skill`: one that is not in use."""
        return shapes().build("use", name_0=one_of(self.skills)) if self.skills else NOTHING

    # ---- texts ----

    @property
    def request_text(self) -> Node:
        """What is asked for; only parameters can be inserted."""
        names = self.scope.names.values()
        parameters = tuple(b.name for b in names if b.kind == "param" and b.type in INTERPOLATED_TYPES)
        insertable = tuple(n for n in parameters if n in self.values.insertable)
        return alt([Text(Kind(names=insertable, triple=triple)) for triple in (False, True)])

    @cached_property
    def spelled_text(self) -> Node:
        """A text that may not spell references: of `avoid`, the purpose of a `ref`."""
        return Text(Kind(names=self.values.insertable, spelled=True))

    @cached_property
    def prompt_text(self) -> Node:
        """What the generator reads; it mentions every reference."""
        references = tuple(r for r in self.scope.references if is_word(r))
        names = (*self.values.insertable, *references)
        kind = Kind(names=names, mentions=self.scope.unmentioned, spelled=True)
        return alt((Text(kind), Text(Kind(kind.names, kind.mentions, triple=True, spelled=True))))

    @cached_property
    def prompt(self) -> Node:
        """`prompt`, once."""
        if self.scope.has_prompt or self.later(Prompt):
            return NOTHING
        return shapes().build("prompt", expression_0=self.prompt_text)

    def avoid(self) -> Node:
        """`avoid`, any number of times."""
        return shapes().build("avoid", expression_0=self.spelled_text)

    def render(self) -> Node:
        """`render`, last."""
        if self.follows or not self.scope.has_prompt or self.scope.unmentioned:
            return NOTHING
        comma = shapes().word("named_arguments", "COMMA")
        nodes = {
            p.name: shapes().build("named_argument", name_0=Lit(p.name), expression_0=self.values.argument(p))
            for p in RENDER_SETTINGS
        }
        settings = named_settings((), list(nodes), nodes, f"{comma} ")
        some = alt(n for n in (settings.items if isinstance(settings, Alt) else ()) if n is not EMPTY)
        with_settings = [shapes().build("render", named_arguments_0=some)] if some is not NOTHING else []
        return alt((shapes().build("render"), *with_settings))


def _lines_of(require: Node) -> Node:
    """`require` statements with their line breaks; those that stop at a pause have none yet."""
    found = []
    for node in require.items if isinstance(require, Alt) else (require,):
        last = node.items[-1] if isinstance(node, Seq) else node
        paused = isinstance(last, Lit) and last.text.endswith(' "')
        found.append(node if paused else seq((node, Lit("\n"))))
    return alt(found)


def _cost(statement: Statement, signatures: Mapping[str, Signature]) -> int:
    """What a statement of the author's spends."""
    match statement:
        case Use():
            return 1
        case Let(value=value) | Ref(value=value):
            return _call_cost(value, signatures)
        case Render(settings=settings):
            return sum(_call_cost(s.value, signatures) for s in settings)
    text = getattr(statement, "text", None)
    return 0 if text is None else _call_cost(text, signatures)


def _call_cost(expression: Expression, signatures: Mapping[str, Signature]) -> int:
    match expression:
        case Call(name=name, arguments=arguments):
            own = signatures[name].cost if name in signatures else 0
            return own + sum(_call_cost(a.value, signatures) for a in arguments)
        case Index(operand=operand, index=index):
            return _call_cost(operand, signatures) + _call_cost(index, signatures)
    return 0
