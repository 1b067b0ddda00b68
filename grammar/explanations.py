"""Why a piece of program does not parse, in the words of its author: never in those of the parser."""

from __future__ import annotations

from collections.abc import Sequence, Set

from genevolve.grammar.diagnostics import Diagnostic, Edit, Fix
from genevolve.grammar.lexer import Lexeme
from genevolve.grammar.span import Span
from genevolve.grammar.suggest import closest

WORDS = ("program", "request", "let", "ref", "use", "prompt", "avoid", "require", "render")
"""The words that statements start with."""

STARTS = frozenset((*(word.upper() for word in WORDS), "ELLIPSIS"))
"""The tokens that statements start with."""

_VALUES = frozenset(("STRING", "TRIPLE_STRING", "INT", "FLOAT", "SIZE", "TRUE", "FALSE", "NAME", "QMARK"))
# What may go on after a complete expression anywhere; worth telling only when nothing else is.
_CONTINUATIONS = frozenset(("LSQB", "LPAR", "COMPARATOR"))
_EXPECTED = {
    "NAME": "a name",
    "QMARK": "'?'",
    "EQUAL": "'='",
    "COLON": "':'",
    "COMMA": "','",
    "RPAR": "')'",
    "RSQB": "']'",
    "LPAR": "'('",
    "LSQB": "'['",
    "SKILL": "'skill'",
    "FOR": "'for'",
    "COMPARATOR": "a comparison",
}
_TEXT_STATEMENTS = frozenset(("REQUEST", "PROMPT", "AVOID", "REQUIRE"))


def near(token: Lexeme) -> str | None:
    """The word that a misspelt start of a statement was probably meant to be."""
    if token.type != "NAME":
        return None
    if token.text.lower() in WORDS:
        return token.text.lower()
    suggestion = closest(token.text, WORDS)
    return suggestion.word if suggestion is not None else None


def found(token: Lexeme) -> str:
    """A token as a message speaks of it."""
    match token.type:
        case "STRING" | "TRIPLE_STRING":
            return "a string"
        case "INT" | "FLOAT":
            return f"the number {_short(token.text)}"
        case "SIZE":
            return f"the size {_short(token.text)}"
        case "NAME":
            return f"the name '{_short(token.text)}'"
        case _:
            return f"'{token.text}'"


def note_for_start(token: Lexeme) -> tuple[str, ...]:
    """What to know about the starts of statements."""
    if token.type in ("STRING", "TRIPLE_STRING"):
        return ('what the generator reads is written: prompt "…"',)
    return (f"statements start with {', '.join(WORDS)} or '...'",)


def explain_failure(tokens: Sequence[Lexeme], at: int, accepts: Set[str]) -> Diagnostic:
    """Why the tokens of a statement do not parse.

    Args:
        tokens: The statement; the first token is its keyword.
        at: The index of the token that could not be parsed, or `len(tokens)` for the end.
        accepts: The names of the tokens that could stand there.
    """
    before = tokens[at - 1] if at > 0 else None
    if at < len(tokens):
        late = _positional_after_named(tokens, at)
        if late is not None:
            return late
        token = tokens[at]
        what, span = f"found {found(token)}", token.span
        if tokens[0].type == "RENDER" and tokens[at - 1].type in ("RENDER", "COMMA"):
            message = f"settings are named, so {found(token)} cannot stand here"
            return Diagnostic(
                "GP101", message, span, ("they are written: render size: 1024x1024, steps: 40",)
            )
        if "$END" in accepts and before is not None:
            message = f"the statement is complete after {_after(before)}, so {found(token)} cannot follow"
            return Diagnostic("GP101", message, span, *_advice(tokens, at, accepts))
    else:
        what = "the statement ends here"
        span = Span(tokens[-1].end, tokens[-1].end)
    where = f" after {_after(before)}" if before is not None else ""
    message = f"expected {_expected(accepts)}{where}, but {what}"
    return Diagnostic("GP101", message, span, *_advice(tokens, at, accepts))


def _after(token: Lexeme) -> str:
    return "the string" if token.type in ("STRING", "TRIPLE_STRING") else f"'{_short(token.text)}'"


def _expected(accepts: Set[str]) -> str:
    rest = set(accepts)
    words = []
    if rest >= _VALUES:
        words.append("a value")
        rest -= _VALUES
    useful = rest - _CONTINUATIONS - {"$END"} or rest
    words += [_EXPECTED[name] for name in _EXPECTED if name in useful]
    if not words:
        return "the end of the statement"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _positional_after_named(tokens: Sequence[Lexeme], at: int) -> Diagnostic | None:
    """GP119 when the failure is a positional argument behind a named one of the same call."""
    level, start, named = 0, None, None
    for i in range(at - 1, -1, -1):
        kind = tokens[i].type
        if kind in ("RPAR", "RSQB"):
            level += 1
        elif kind in ("LPAR", "LSQB"):
            if level == 0:
                break
            level -= 1
        elif level == 0 and kind == "COMMA" and start is None:
            start = i + 1
        elif level == 0 and kind == "COLON" and start is not None:
            named = tokens[i - 1]
            break
    if start is None or named is None or tokens[0].type in ("PROGRAM", "RENDER"):
        return None
    first = tokens[start]
    if first.type not in _VALUES or (start + 1 < len(tokens) and tokens[start + 1].type == "COLON"):
        return None
    end = _argument_end(tokens, start)
    message = f"an argument without a name stands after the named argument '{named.text}'"
    notes = ("arguments without names come first",)
    return Diagnostic("GP119", message, Span(first.start, end), notes)


def _argument_end(tokens: Sequence[Lexeme], start: int) -> int:
    """The offset where the argument that starts at an index ends: before a comma or bracket of its call."""
    level = 0
    end = tokens[start].end
    for token in tokens[start:]:
        if token.type in ("LPAR", "LSQB"):
            level += 1
        elif token.type in ("RPAR", "RSQB", "COMMA"):
            if level == 0:
                break
            level -= token.type != "COMMA"
        end = token.end
    return end


def _advice(tokens: Sequence[Lexeme], at: int, accepts: Set[str]) -> tuple[tuple[str, ...], Fix | None]:
    """A note and a fix for mistakes that are common."""
    if at >= len(tokens):
        return (), None
    token, statement = tokens[at], tokens[0].type
    kind = token.type
    if statement in _TEXT_STATEMENTS and at == 1 and kind in ("EQUAL", "COLON"):
        close = at + 1 < len(tokens) and tokens[at + 1].start == token.end
        edit = Edit(Span(tokens[0].end, token.end), " " if close else "")
        fix = Fix(f"remove '{token.text}'", (edit,))
        return (f"'{tokens[0].text}' is followed by its value at once",), fix
    if statement in _TEXT_STATEMENTS and at == 1 and kind == "LPAR":
        return (f"'{tokens[0].text}' takes its value without brackets",), None
    if statement == "LET" and at == 2 and kind == "COLON":
        return (
            "the type of a name comes from its value; only parameters of a program are written with one",
        ), None
    if "EQUAL" in accepts and token.text == "==":
        return (), Fix("write '='", (Edit(token.span, "="),))
    if statement == "PROGRAM" and accepts == {"COLON"}:
        return ('a parameter has a type: title: text = "…"',), None
    if kind == "COMPARATOR" and any(t.type == "COMPARATOR" for t in tokens[:at]):
        return ("a statement has one comparison; write another 'require' for the other",), None
    if "COMMA" in accepts and kind in _VALUES:
        return ("commas stand between arguments",), None
    if kind == "FOR":
        return ("only 'ref' says with 'for' what to copy",), None
    return (), None


def _short(text: str) -> str:
    return text if len(text) <= 30 else f"{text[:27]}..."
