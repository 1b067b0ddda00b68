"""The rules of statements and of whole programs; `grammar.inference` has those of expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from genevolve.grammar.builtins import RENDER_SETTINGS
from genevolve.grammar.constraints import Clash
from genevolve.grammar.diagnostics import Edit, Fix, Related
from genevolve.grammar.facts import Binding, Constant, Lettering
from genevolve.grammar.inference import PHRASES, Inference, Place, conversion
from genevolve.grammar.span import Span
from genevolve.grammar.spelled import find_spelled
from genevolve.grammar.suggest import Suggestion, did_you_mean, listed
from genevolve.grammar.tree import (
    Argument,
    Avoid,
    Boolean,
    Call,
    Comparison,
    Expression,
    Hole,
    Index,
    Let,
    Name,
    Number,
    ProgramHeader,
    ProgramParameter,
    Prompt,
    Ref,
    Render,
    Request,
    Require,
    Size,
    Statement,
    StatementHole,
    String,
    Use,
)
from genevolve.grammar.types import PARAMETER_TYPES, Parameter, Type

_SETTINGS = {p.name: p for p in RENDER_SETTINGS}
_TYPES = {t.value: t for t in PARAMETER_TYPES}
_OTHER_WORDS = {
    "str": "text",
    "string": "text",
    "integer": "int",
    "number": "int",
    "double": "float",
    "real": "float",
    "boolean": "bool",
    "picture": "image",
    "photo": "image",
    "resolution": "size",
}
_MAX_COUNT = 2**31 - 1
_COUNT = Parameter("count", Type.INT, low=0, high=_MAX_COUNT)


class Rules(Inference):
    """One pass over statements, and what is said at the end of a program."""

    def statement(self, statement: Statement) -> None:
        """Check one statement and learn from it."""
        facts = self.facts
        kind = type(statement)
        if facts.render is not None and kind not in _AFTER_RENDER and not facts.after_render:
            facts.after_render = True
            self.report(
                "GP508",
                "'render' ends a program, so no statement can follow it",
                statement.span,
                "move 'render' to the end",
                related=(Related("rendered here", facts.render),),
            )
        _STATEMENTS[kind](self, statement)
        facts.count += 1
        facts.started = facts.started or kind not in _BEFORE_ALL

    # ---- header and request ----

    def _header(self, header: ProgramHeader) -> None:
        facts = self.facts
        if facts.count:
            if facts.header is None and facts.hole is not None and not facts.started:
                self.report("GP604", "no statement can stand before the program header", facts.hole)
                facts.hole_first = False
            else:
                related = (Related("the header is here", facts.header),) if facts.header else ()
                message = "the program header must be the first statement"
                self.report("GP507", message, header.span, related=related)
        facts.header = facts.header or header.span
        for parameter in header.parameters:
            self._parameter(parameter)

    def _parameter(self, parameter: ProgramParameter) -> None:
        kind = _TYPES.get(parameter.type, Type.UNKNOWN)
        if kind is Type.UNKNOWN:
            self._unknown_type(parameter)
        default = None
        if parameter.default is not None:
            default = self._default(parameter, kind)
        constant = self.values.get(parameter.name)
        self._define(
            Binding(
                parameter.name,
                "param",
                kind,
                parameter.name_span,
                self.facts.count,
                constant=None if kind is Type.IMAGE else constant,
                default=default,
            )
        )

    def _unknown_type(self, parameter: ProgramParameter) -> None:
        written = parameter.type
        word = _OTHER_WORDS.get(written.lower())
        near = Suggestion(word, sure=True) if word else self.suggest(written, _TYPES)
        fix = None
        if near is not None and near.sure:
            fix = Fix(f"write '{near.word}'", (Edit(parameter.type_span, near.word),))
        if any(written == t.value for t in Type):
            message = f"a parameter cannot be of type '{written}'"
        else:
            message = f"there is no type '{written}'{did_you_mean(near)}"
        note = f"a parameter is {listed(_TYPES, last='or')}"
        self.report("GP209", message, parameter.type_span, note, fix=fix)

    def _default(self, parameter: ProgramParameter, kind: Type) -> Constant | None:
        value = parameter.default
        found: Type
        match value:
            case Hole():
                note = "a parameter gets its value from whoever runs the program; leave the default out"
                self.report("GP602", "a default cannot be a hole", value.span, note)
                return None
            case Number(number):
                found = Type.INT if isinstance(number, int) else Type.FLOAT
                constant: Constant = number
            case Boolean(truth):
                found, constant = Type.BOOL, truth
            case Size():
                found, constant = Type.SIZE, value
            case String() if not value.interpolations:
                found, constant = Type.TEXT, value.plain or ""
            case _:
                span = parameter.span if value is None else value.span
                self.report("GP311", "a default must be a plain value", span, "nothing is defined before it")
                return None
        wanted = Type.TEXT if kind is Type.IMAGE else kind
        if not found.fits(wanted):
            what = "a path in quotes" if kind is Type.IMAGE else PHRASES[kind]
            message = f"'{parameter.name}' is {what}, and its default is {PHRASES[found]}"
            self.report("GP311", message, value.span, fix=conversion(found, kind, value))
            return None
        return constant

    def _request(self, request: Request) -> None:
        facts = self.facts
        if facts.request is not None:
            related = (Related("the first request", facts.request),)
            self.report("GP503", "a program answers one request", request.span, related=related)
        elif facts.hole is not None and facts.hole_first:
            self.report("GP604", "no statement can stand before the request", facts.hole)
        elif facts.started and facts.render is None:
            self.report("GP514", "the request comes before all other statements", request.span)
        facts.request = facts.request or request.span
        if isinstance(request.text, Hole):
            note = "a policy answers a request; it does not make one up"
            self.report("GP602", "a request cannot be a hole", request.text.span, note)
            return
        self._text(request.text, "the request", Place.REQUEST)

    # ---- names ----

    def _define(self, binding: Binding) -> None:
        names, name = self.facts.names, binding.name
        first = names.get(name)
        if first is not None:
            related = (Related("defined first here", first.span),)
            self.report("GP203", f"'{name}' is defined twice", binding.span, related=related)
            if first.type is not binding.type:
                names[name] = first._replace(type=Type.UNKNOWN, length=None, constant=None, key=None)
            return
        if name in self.environment.signatures:
            note = "choose another name, so that a reader can tell the two apart"
            self.report("GP204", f"'{name}' is the name of a tool or predicate", binding.span, note)
        names[name] = binding

    def _let(self, let: Let) -> None:
        facts, value = self.facts, let.value
        if isinstance(value, Hole):
            facts.last_hole = facts.count
            note = "write the call and leave its arguments open, for example 'search(?)', or use '...'"
            message = f"the type of '{let.name}' cannot be known from a hole alone"
            self.report("GP603", message, value.span, note)
            kind = Type.UNKNOWN
        else:
            self._defining = (let.name, let.name_span)
            kind = self.infer(value)
            self._defining = None
        constant = length = key = None
        if kind is Type.IMAGES:
            length = self.length(value)
        elif kind in (Type.IMAGE, Type.REFERENCE):
            # A second name for a reference is an image; only the name of the `ref` stands for its ordinal.
            kind, key = Type.IMAGE, facts.image_key(value)
        elif not isinstance(value, Call):
            constant = facts.constant(value)
        self._define(Binding(let.name, "let", kind, let.name_span, facts.count, length, constant, key=key))

    def _ref(self, ref: Ref) -> None:
        facts, value = self.facts, ref.value
        before = len(self.out)
        self._defining = (ref.name, ref.name_span)
        kind = self.infer(value)
        self._defining = None
        if not kind.fits(Type.IMAGE):
            self._no_image(ref, kind)
        key = None
        if len(self.out) == before or all(d.code == "GP512" for d in self.out[before:]):
            key = facts.image_key(value)
            self._check_bound_twice(ref, key, before)
        if ref.purpose is None:
            note = f'write what to copy from it: ref {ref.name} = … for "the light"'
            self.report("GP408", f"'{ref.name}' does not say what to copy", ref.name_span, note)
        else:
            self._purpose(ref.name, ref.purpose)
        known = ref.name in facts.names
        self._define(Binding(ref.name, "ref", Type.REFERENCE, ref.name_span, facts.count, key=key))
        if known:
            return
        facts.references.append(ref.name)
        limit = self.environment.max_references
        if len(facts.references) == limit + 1:
            message = f"a program can bind {limit} reference images, and this is one more"
            self.report("GP403", message, ref.name_span)

    def _no_image(self, ref: Ref, kind: Type) -> None:
        notes: tuple[str, ...] = ()
        if kind is Type.IMAGES:
            shown = ref.value.name if isinstance(ref.value, Name) else "…"
            notes = (f"choose one of them: '{shown}[0]' or 'pick({shown}, \"…\")'",)
        elif kind is Type.TEXT:
            notes = ("open a file with 'image(\"…\")', or look for pictures with 'image_search(\"…\")'",)
        message = f"'ref' binds an image, and this is {PHRASES[kind]}"
        self.report("GP406", message, ref.value.span, *notes)

    def _check_bound_twice(self, ref: Ref, key: Expression | None, before: int) -> None:
        if key is None or _is_open(key):
            return
        for name in self.facts.references:
            binding = self.facts.names.get(name)
            if binding is not None and binding.key == key:
                # The same call twice in two references is told once, here.
                del self.out[before:]
                related = (Related(f"bound first here, as '{name}'", binding.span),)
                note = "one reference can be mentioned several times"
                message = f"'{ref.name}' binds the same image as '{name}'"
                self.report("GP411", message, ref.value.span, note, related=related)
                return

    def _purpose(self, name: str, purpose: Expression) -> None:
        self._text(purpose, f"the purpose of '{name}'", Place.ELSEWHERE, spelled=True)
        text = self.facts.constant(purpose)
        if isinstance(text, str) and not text.strip():
            self.report("GP408", f"'{name}' does not say what to copy", purpose.span)

    def _use(self, use: Use) -> None:
        facts, skill = self.facts, use.skill
        facts.calls += 1
        if facts.calls == self.environment.max_calls + 1:
            self.report_budget("this skill", use.span)
        if isinstance(skill, Hole):
            facts.last_hole = facts.count
            return
        skills = self.environment.skills
        if skill not in skills:
            near = self.suggest(skill, skills)
            fix = (
                Fix(f"write '{near.word}'", (Edit(use.name_span, near.word),)) if near and near.sure else None
            )
            notes = (f"there are {listed(skills)}",) if skills else ("no skill is installed",)
            message = f"there is no skill '{skill}'{did_you_mean(near)}"
            self.report("GP205", message, use.name_span, *notes, fix=fix)
            return
        if skill in facts.skills:
            related = (Related("used first here", facts.skills[skill]),)
            note = "it spends a call and adds nothing"
            self.report("GP206", f"the skill '{skill}' is used already", use.span, note, related=related)
            return
        facts.skills[skill] = use.span

    # ---- texts ----

    def _text(self, text: Expression, what: str, place: Place, *, spelled: bool = False) -> bool:
        """Whether an expression is text, as it must be; with `spelled` it may not spell references."""
        kind = self.infer_text(text, place)
        if not kind.fits(Type.TEXT):
            note: tuple[str, ...] = ()
            if kind is Type.REFERENCE and place is Place.PROMPT and isinstance(text, Name):
                note = (f'a reference is named inside a string: "… {{{text.name}}} …"',)
            elif kind is Type.EVIDENCE:
                note = ("take a text out of it with 'ask(…)'",)
            message = f"{what} must be text, and this is {PHRASES[kind]}"
            self.report("GP310", message, text.span, *note, fix=conversion(kind, Type.TEXT, text))
            return False
        if place is not Place.ELSEWHERE and kind is Type.TEXT and not self.facts.text(text).strip():
            self.report("GP310", f"{what} is empty", text.span)
        if spelled:
            self.out.extend(find_spelled(text, what, self.facts, in_prompt=place is Place.PROMPT))
        return True

    def _prompt(self, prompt: Prompt) -> None:
        facts, text = self.facts, prompt.text
        if facts.prompt is not None:
            related = (Related("the first prompt", facts.prompt),)
            self.report("GP505", "a program has one prompt", prompt.span, related=related)
        readable = self._text(text, "the prompt", Place.PROMPT, spelled=True)
        if facts.prompt is None:
            facts.prompt = prompt.span
            facts.words = facts.words_of(text) if readable and not isinstance(text, Hole) else None
        size, limit = len(facts.text(text).strip()), self.environment.max_prompt_chars
        if size > limit:
            message = f"the prompt is {size:,} characters long; {limit:,} are allowed"
            self.report("GP509", message, text.span)

    def _avoid(self, avoid: Avoid) -> None:
        self._text(avoid.text, "'avoid'", Place.ELSEWHERE, spelled=True)

    # ---- constraints ----

    def _require(self, require: Require) -> None:
        predicate, facts = require.predicate, self.facts
        before, holes = len(self.out), facts.last_hole
        match predicate:
            case Call():
                self._predicate(predicate)
            case Comparison():
                self._compare(predicate)
            case Hole():
                note = "name the predicate and leave its arguments open, for example 'text(?)', or use '...'"
                self.report("GP602", "a whole constraint cannot be a hole", predicate.span, note)
                return
            case _:
                kind = self.infer(predicate)
                if kind is not Type.UNKNOWN:
                    self._no_predicate(predicate, kind)
        if len(self.out) > before or facts.last_hole > holes or not isinstance(predicate, Call | Comparison):
            return
        first = facts.seen.setdefault(predicate, predicate.span)
        if first is not predicate.span:
            related = (Related("required first here", first),)
            self.report("GP512", "this is required above already", predicate.span, related=related)
        elif isinstance(predicate, Comparison):
            self._learn_count(predicate)
        else:
            self._learn(predicate)

    def _predicate(self, call: Call) -> None:
        kind = self.call(call, predicate=True)
        if kind is Type.QUANTITY:
            note = f"say how many: '{call.name}(…) == 3'"
            self.report("GP320", f"'{call.name}(…)' must be compared with a number", call.span, note)
        elif kind is not Type.UNKNOWN and kind is not Type.PREDICATE:
            self._no_predicate(call, kind)
        else:
            self.facts.required.add(call.name)

    def _no_predicate(self, found: Expression, kind: Type) -> None:
        names = listed(f"'{s.name}(…)'" for s in self.environment.predicates())
        message = f"'require' needs a predicate, and this is {PHRASES[kind]}"
        self.report("GP309", message, found.span, f"there are {names}")

    def _compare(self, comparison: Comparison) -> None:
        left, right = comparison.left, comparison.right
        if isinstance(left, Hole):
            note = "name what is counted, for example 'count(?) == 3'"
            self.report("GP602", "the left side of a comparison cannot be a hole", left.span, note)
        else:
            kind = self.call(left, predicate=True) if isinstance(left, Call) else self.infer(left)
            if kind is Type.QUANTITY and isinstance(left, Call):
                self.facts.required.add(left.name)
            elif kind is not Type.UNKNOWN:
                turned = isinstance(right, Call) and right.name == "count"
                notes = ("'count(…)' stands on the left",) if turned else ()
                message = f"only 'count(…)' can be compared, and this is {PHRASES[kind]}"
                self.report("GP308", message, left.span, *notes)
                if turned:
                    return
        kind = self.infer(right)
        if not kind.fits(Type.INT):
            message = f"a count is compared with an int, and this is {PHRASES[kind]}"
            self.report("GP301", message, right.span, fix=conversion(kind, Type.INT, right))
        elif kind is Type.INT:
            self.check_range(_COUNT, right, "a count", "GP312")

    def _learn_count(self, comparison: Comparison) -> None:
        left, right = comparison.left, comparison.right
        what = self._said(left, "what")
        if what is None or not isinstance(left, Call) or left.name != "count":
            return
        value = self.facts.constant(right)
        base = ""
        if value is None and isinstance(right, Name):
            base, value = right.name, 0
        if not isinstance(value, int):
            return
        self._clash(
            self.facts.constraints.add_count(what, comparison.operator, base, value, comparison.span),
            comparison,
        )

    def _learn(self, call: Call) -> None:
        facts = self.facts
        if call.name == "text":
            value = next((a.value for a in call.arguments if a.name in (None, "value")), None)
            if value is not None and facts.words_of(value).marked:
                facts.lettering.append(Lettering(facts.words_of(value), _written(value), value.span))
        elif call.name == "attribute":
            what = self._said(call, "what")
            if what is not None:
                self._clash(facts.constraints.add_thing(what, call.span), call)
        elif call.name == "relation":
            a, relation, b = (self._said(call, name) for name in ("a", "relation", "b"))
            if a is not None and relation is not None and b is not None:
                self._clash(facts.constraints.add_relation(a, relation, b, call.span), call)

    def _said(self, call: Expression, name: str) -> str | None:
        """The text that a predicate is given for a parameter, when it is known before the run."""
        signature = self.environment.signatures.get(call.name) if isinstance(call, Call) else None
        if signature is None or not isinstance(call, Call):
            return None
        positional = [p.name for p in signature.parameters if not p.named_only]
        for i, argument in enumerate(call.arguments):
            if argument.name == name or (argument.name is None and positional[i : i + 1] == [name]):
                value = self.facts.constant(argument.value)
                return value if isinstance(value, str) else None
        return None

    def _clash(self, clash: Clash | None, found: Expression) -> None:
        if clash is not None:
            related = tuple(Related("required here", place) for place in clash.places[:3])
            self.report("GP513", clash.message, found.span, related=related)

    # ---- settings and holes ----

    def _render(self, render: Render) -> None:
        facts = self.facts
        if facts.render is not None:
            related = (Related("rendered first here", facts.render),)
            self.report("GP506", "a program renders once", render.span, related=related)
        facts.render = facts.render or render.span
        given: dict[str, Argument] = {}
        for setting in render.settings:
            parameter = _SETTINGS.get(setting.name or "")
            kind = self.infer(setting.value)
            if parameter is None:
                self._unknown_setting(setting, given)
                continue
            if parameter.name in given:
                related = (Related("given first here", given[parameter.name].span),)
                self.report("GP212", f"'{parameter.name}' is given twice", setting.name_span, related=related)
                continue
            given[parameter.name] = setting
            if not kind.fits(parameter.type):
                message = f"'{parameter.name}' takes {PHRASES[parameter.type]}, and this is {PHRASES[kind]}"
                fix = conversion(kind, parameter.type, setting.value)
                self.report("GP313", message, setting.value.span, fix=fix)
            elif kind is not Type.UNKNOWN:
                self.check_range(parameter, setting.value, f"'{parameter.name}'", "GP314")

    def _unknown_setting(self, setting: Argument, given: dict[str, Argument]) -> None:
        names = [n for n in _SETTINGS if n not in given]
        if setting.name is None:
            self.report(
                "GP208", "a setting is written with its name", setting.span, f"there are {listed(_SETTINGS)}"
            )
            return
        near = self.suggest(setting.name, names)
        fix = None
        if near is not None and near.sure:
            fix = Fix(f"write '{near.word}'", (Edit(setting.name_span, near.word),))
        message = f"'render' has no setting '{setting.name}'{did_you_mean(near)}"
        self.report("GP208", message, setting.name_span, f"there are {listed(_SETTINGS)}", fix=fix)

    def _statement_hole(self, hole: StatementHole) -> None:
        facts = self.facts
        if facts.render is not None:
            self.report("GP604", "no statement can stand after 'render'", hole.span)
            return
        if facts.hole is None:
            facts.hole = hole.span
            facts.hole_first = not facts.started
        facts.last_hole = facts.count

    # ---- whole programs ----

    def finish(self, span: Span) -> None:
        """What can be said only at the end: what is missing, and what was never used."""
        facts = self.facts
        if facts.request is None and not facts.hole_first:
            note = 'write what the person asked for: request "…"'
            self.report("GP502", "the program has no request", Span(span.start, span.start), note)
        if facts.prompt is None and facts.hole is None:
            note = 'write what the generator reads: prompt "…"'
            self.report("GP504", "the program has no prompt", Span(span.end, span.end), note)
        if facts.words is not None:
            self._finish_prompt()
        self._finish_names()
        if facts.hole is None:
            self._finish_skills()

    def _finish_prompt(self) -> None:
        facts, words = self.facts, self.facts.words
        for name in facts.references:
            if name not in facts.mentioned:
                note = f"write '{{{name}}}' where the prompt means it, or remove the 'ref'"
                message = f"the prompt never mentions the reference '{name}'"
                self.report("GP402", message, facts.names[name].span, note)
        for lettering in facts.lettering:
            if words is not None and not words.contain(lettering.words):
                shown = lettering.shown if len(lettering.shown) <= 40 else lettering.shown[:39] + "…"
                note = "a generator writes only the letters that its prompt spells out"
                self.report(
                    "GP511", f"the prompt does not contain the required text '{shown}'", lettering.span, note
                )

    def _finish_names(self) -> None:
        facts = self.facts
        for name, binding in facts.names.items():
            # Evidence is read in the trace, by a person or a policy: it is of use without being named again.
            if name in facts.used or binding.kind == "ref" or binding.statement < facts.last_hole:
                continue
            if binding.kind == "param":
                self.report("GP213", f"the parameter '{name}' is never used", binding.span)
            elif binding.type not in (Type.EVIDENCE, Type.UNKNOWN):
                self.report("GP210", f"'{name}' is never used", binding.span)

    def _finish_skills(self) -> None:
        facts = self.facts
        for skill, span in facts.skills.items():
            expects = self.environment.skills[skill].expects
            if expects and not any(name in facts.required for name in expects):
                wanted = listed(f"'require {name}(…)'" for name in expects)
                note = "what is required can be checked in the picture"
                self.report("GP510", f"the skill '{skill}' goes with {wanted}", span, note)


def _written(text: Expression) -> str:
    """A text as it is written, on one line."""
    match text:
        case String(parts):
            return " ".join("".join(p if isinstance(p, str) else f"{{{p.name}}}" for p in parts).split())
        case Name(name):
            return f"{{{name}}}"
    return "…"


def _is_open(expression: Expression) -> bool:
    """Whether a hole leaves open what the expression is."""
    match expression:
        case Hole():
            return True
        case Call():
            return any(_is_open(a.value) for a in expression.arguments)
        case Index():
            return _is_open(expression.operand) or _is_open(expression.index)
    return False


_STATEMENTS: dict[type, Callable[[Rules, Any], None]] = {
    ProgramHeader: Rules._header,
    Request: Rules._request,
    Let: Rules._let,
    Ref: Rules._ref,
    Use: Rules._use,
    Prompt: Rules._prompt,
    Avoid: Rules._avoid,
    Require: Rules._require,
    Render: Rules._render,
    StatementHole: Rules._statement_hole,
}
_AFTER_RENDER = (Render, StatementHole, ProgramHeader)
_BEFORE_ALL = (StatementHole, ProgramHeader)
