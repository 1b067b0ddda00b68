"""Which argument of a call goes to which parameter: the one place where these rules are written.

`search("a", "b", top_k: 5)` gives the first (variadic) parameter `a` and `b`, and `top_k` the 5. Checker,
elaborator and interpreter all bind through `bind`; types and ranges are the checker's business.
"""

from __future__ import annotations

from typing import NamedTuple

from genevolve.grammar.diagnostics import Diagnostic, Edit, Fix, Related
from genevolve.grammar.span import Span
from genevolve.grammar.suggest import closest, did_you_mean, listed
from genevolve.grammar.tree import Argument, Call, Expression
from genevolve.grammar.types import Parameter, Signature


class Bound(NamedTuple):
    """A call with its arguments in their places.

    `pairs` holds every argument that has a parameter, as written, in order; a variadic parameter may come several
    times. `diagnostics` are GP119, GP207, GP212, GP302 and GP303; when there are any the rest is best effort.
    """

    call: Call
    signature: Signature
    pairs: tuple[tuple[Parameter, Argument], ...]
    diagnostics: tuple[Diagnostic, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every argument has its place and every required parameter its argument."""
        return not self.diagnostics

    @property
    def variadic(self) -> tuple[Expression, ...]:
        """What the variadic parameter was given, in order; empty when the signature has none."""
        if not self.signature.variadic:
            return ()
        first = self.signature.parameters[0]
        return tuple(argument.value for parameter, argument in self.pairs if parameter is first)

    @property
    def values(self) -> dict[str, Expression]:
        """The expression of each parameter that was given one, the variadic parameter left out."""
        skip = self.signature.parameters[0] if self.signature.variadic else None
        return {p.name: a.value for p, a in self.pairs if p is not skip}

    def value(self, name: str) -> Expression | None:
        """The expression given for a parameter (the first one of a variadic parameter), or None."""
        return next((a.value for p, a in self.pairs if p.name == name), None)


def bind(call: Call, signature: Signature) -> Bound:
    """Give each argument of `call` to a parameter of `signature`; never raises."""
    parameters = signature.parameters
    pairs: list[tuple[Parameter, Argument]] = []
    found: list[Diagnostic] = []
    surplus: list[Argument] = []
    given: dict[str, Argument] = {}
    named: Argument | None = None
    position = 0
    for argument in call.arguments:
        name = argument.name
        if name is not None:
            parameter = _named(argument, name, signature, given, found)
            named = named or argument
        else:
            if named is not None:
                found.append(_positional_after_named(argument, named))
            parameter = None
            if signature.variadic:
                parameter = parameters[0]
            elif position < len(parameters) and not parameters[position].named_only:
                parameter = parameters[position]
                position += 1
            if parameter is None:
                surplus.append(argument)
            elif not signature.variadic and parameter.name in given:
                found.append(_twice(argument, parameter.name, given[parameter.name]))
                parameter = None
        if parameter is not None:
            given.setdefault(parameter.name, argument)
            pairs.append((parameter, argument))
    if surplus:
        found.append(_too_many(call, signature, surplus, given))
    missing = [p for p in parameters if p.required and p.name not in given]
    # An argument with a mistyped name, or one in the wrong place, is not missing as well.
    if missing and not any(d.code == "GP207" for d in found):
        found.append(_missing(call, signature, missing))
    return Bound(call, signature, tuple(pairs), tuple(found))


def _named(
    argument: Argument, name: str, signature: Signature, given: dict[str, Argument], found: list[Diagnostic]
) -> Parameter | None:
    parameter = signature.parameter(name)
    if parameter is None:
        found.append(_unknown(argument, name, signature, given))
        return None
    if name in given:
        found.append(_twice(argument, name, given[name]))
        return None
    return parameter


def _unknown(argument: Argument, name: str, signature: Signature, given: dict[str, Argument]) -> Diagnostic:
    near = closest(name, (p.name for p in signature.parameters if p.name not in given))
    fix = None
    if near is not None and near.sure:
        fix = Fix(f"write '{near.word}'", (Edit(argument.name_span, near.word),))
    takes = listed(p.name for p in signature.parameters) or "no arguments"
    return Diagnostic(
        "GP207",
        f"'{signature.name}' has no argument '{name}'{did_you_mean(near)}",
        argument.name_span,
        (f"'{signature.name}' takes {takes}",),
        fix,
    )


def _twice(argument: Argument, name: str, first: Argument) -> Diagnostic:
    span = argument.span if argument.name is None else argument.name_span
    return Diagnostic(
        "GP212", f"'{name}' is given twice", span, related=(Related("given first here", first.span),)
    )


def _positional_after_named(argument: Argument, named: Argument) -> Diagnostic:
    return Diagnostic(
        "GP119",
        "a positional argument cannot follow a named one",
        argument.span,
        ("put the arguments without a name first",),
        related=(Related(f"'{named.name}' is named here", named.span),),
    )


def _too_many(
    call: Call, signature: Signature, surplus: list[Argument], given: dict[str, Argument]
) -> Diagnostic:
    takes = sum(not p.named_only for p in signature.parameters)
    free = [p for p in signature.parameters if p.named_only and p.name not in given]
    notes: tuple[str, ...] = (f"its signature is '{signature}'",)
    fix = None
    if free:
        notes += (f"{listed(p.name for p in free)} is written with its name: '{free[0].name}: …'",)
    if len(surplus) == 1 and len(free) == 1 and len(call.arguments) == len(given) + 1:
        start = surplus[0].span.start
        fix = Fix(f"write '{free[0].name}:' before it", (Edit(Span(start, start), f"{free[0].name}: "),))
    count = "no arguments" if not takes else f"{takes} argument{'s' if takes > 1 else ''}"
    without = " without a name" if free else ""
    return Diagnostic(
        "GP303",
        f"'{signature.name}' takes {count}{without}, and this is one more"
        if len(surplus) == 1
        else f"'{signature.name}' takes {count}{without}, and these are {len(surplus)} more",
        surplus[0].span.to(surplus[-1].span),
        notes,
        fix,
    )


def _missing(call: Call, signature: Signature, missing: list[Parameter]) -> Diagnostic:
    names = listed(f"'{p.name}'" for p in missing)
    return Diagnostic(
        "GP302",
        f"'{signature.name}' needs {names}",
        call.name_span,
        (f"its signature is '{signature}'",),
    )
