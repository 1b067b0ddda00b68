"""Whether a program suffices for its request (METHOD §2, the text reward): 0, .25, .5, .75 or 1, by rules.

Up to four pillars apply to a request: grounded facts, references, skills, constraints. Each is a share in [0, 1]; the
level is their mean, rounded down to a quarter, less a quarter for each kind of fault (a contradiction, an invention, a
pile of skills). Nothing here looks at a picture or knows the ground truth; only what the program used of its
observations counts, so further searches, skills and requirements do not raise the level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from genevolve.grammar.tree import Call, Expression, Index, Interpolation, Let, Name, Ref, String, Tree
from genevolve.grammar.z import Constraint, Z
from genevolve.interpreter.judges import needs
from genevolve.interpreter.judges.protocol import Case, Verdict
from genevolve.interpreter.values import Evidence, ImageHandle, Images, Value

VERSION = "sufficiency-rules-2"
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
_SPARE_SKILLS = 1
_MOST_REQUIREMENTS = 16
_MOST_WORDS = 400
_COPIED = 25
"""Words in a row, as they stand in what was found, that are a copied passage."""
_ORDINALS = ("first", "second", "third", "fourth", "fifth")


@dataclass
class _Findings:
    """What the rules found: shares of the pillars that apply, and faults."""

    shares: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def add(self, pillar: str, met: int, of: int, missing: str) -> None:
        """A pillar of `of` demands, `met` of which are met."""
        self.shares[pillar] = met / of
        if met < of:
            self.reasons.append(f"{pillar}: {met} of {of}; {missing}")


class SufficiencyJudge:
    """Judges programs by rules. Safe for several threads."""

    name = "sufficiency"
    version = VERSION

    def score(self, case: Case) -> Verdict:
        """The level of the case's program; unscored when there is no program or no z of it."""
        label = f"{self.name} {self.version}"
        if case.tree is None or case.z is None:
            return Verdict(None, unscored="there is no program that was elaborated", judge=label)
        view = _View(case.request, case.tree, case.z, case.values)
        found = _Findings()
        if not view.prompt_words:
            return Verdict(0.0, {"sufficiency": 0.0}, {}, "The prompt says nothing.", judge=label)
        for rule in (_grounded, _references, _skills, _constraints, _contradictions, _padding):
            rule(view, found)
        shares = found.shares.values()
        mean = sum(shares) / len(found.shares) if found.shares else 1.0
        level = max(0.0, math.floor(mean * 4 + 1e-9) / 4 - 0.25 * len(found.faults))
        told = [*found.faults, *found.reasons] or ["every demand that the wording makes is met"]
        return Verdict(
            level, {"sufficiency": level}, dict(found.shares), f"{'. '.join(told)}.".capitalize(), judge=label
        )


@dataclass(frozen=True)
class _View:
    """A program beside what it asked for and what it saw."""

    request: str
    tree: Tree
    z: Z
    values: Mapping[str, Value]

    @cached_property
    def prompt(self) -> str:
        return self.z.gen_prompt

    @cached_property
    def prompt_words(self) -> frozenset[str]:
        return needs.content_words(self.prompt)

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """What each observation says, folded, by its name."""
        return {name: _text_of(value).casefold() for name, value in self.values.items()}

    @cached_property
    def known(self) -> str:
        """The request and all observations, folded."""
        return "\n".join([self.request.casefold(), *self.texts.values()])

    @cached_property
    def known_words(self) -> frozenset[str]:
        return needs.content_words(self.known)

    @cached_property
    def lets(self) -> Mapping[str, Expression]:
        return {s.name: s.value for s in self.tree.statements if isinstance(s, Let)}

    @cached_property
    def refs(self) -> tuple[Ref, ...]:
        return tuple(s for s in self.tree.statements if isinstance(s, Ref))

    @cached_property
    def known_names(self) -> frozenset[str]:
        """Names that were asked for, and those that were found on the way from them and asked for next."""
        known = set(needs.names(self.request))
        for _ in range(3):  # a chain of facts is short
            told = "\n".join(t for t in self.texts.values() if any(n in t for n in known))
            known |= {n for n in self.queried if n in told}
        return frozenset(known)

    @cached_property
    def queried(self) -> frozenset[str]:
        """Names in the queries of calls."""
        calls = (_call(value) for value in self.lets.values())
        return frozenset(n for call in calls if call for n in needs.names(f"about: {_query(call, self)}"))

    def origin(self, name: str) -> str:
        """The tool behind a name: `ask` of a search's evidence comes from `search`."""
        seen: set[str] = set()
        while name in self.lets and name not in seen:
            seen.add(name)
            call = _call(self.lets[name])
            if call is None:
                inner = next(_names(self.lets[name]), "")
                name = inner
                continue
            if call.name not in ("ask", "pick"):
                return call.name
            name = next(_names(call), "")
        return ""


def _grounded(view: _View, found: _Findings) -> None:
    """Names that the request gives must be looked up, and what the prompt says must have been seen."""
    specifics = _specifics(view.prompt)
    unseen = sorted(s for s in specifics if s not in view.known)
    if unseen:
        found.faults.append(f"the prompt says what nothing it saw says: {', '.join(unseen[:3])}")
    if not needs.names(view.request):
        return
    asked = needs.content_words(view.request)
    used = 0
    for name, text in view.texts.items():
        if view.origin(name) != "search" or not text:
            continue
        # A passage counts when it is about something that was asked for (or seen on the way) and adds to the prompt.
        words = needs.content_words(text)
        about = any(n in text for n in view.known_names)
        if about and (view.prompt_words & words) - asked:
            used += 1
    pictures = any(_about_names(view, ref) for ref in view.refs)
    # A look is a fact of its own: it is seen in a picture, not read.
    wanted = [bool(used)] * needs.needs_fact(view.request) + [pictures] * needs.needs_look(view.request)
    wanted = wanted or [bool(used) or pictures]
    met, demands = sum(wanted), len(wanted)
    found.add("grounded facts", met, demands, "what the names stand for was not looked up, or not used")


def _references(view: _View, found: _Findings) -> None:
    """Every reference is named in the prompt, has a note and shows what was asked for; a look needs one."""
    if not view.refs and not needs.needs_look(view.request):
        return
    if not view.refs:
        found.add("references", 0, 1, "a known look was asked for and no picture was bound")
        return
    met = 0
    prompt = view.prompt.casefold()
    for reference, ref in zip(view.z.reference_images, view.refs, strict=False):
        named = f"the {_ORDINALS[min(reference.ordinal, 5) - 1]} reference image" in prompt
        met += named and len(needs.content_words(reference.note)) >= 2 and _about_names(view, ref)
    found.add("references", met, len(view.refs), "one is not named, has no note, or shows something else")


def _skills(view: _View, found: _Findings) -> None:
    """The skills that the wording calls for are used and their advice is followed; others are no merit."""
    needed = needs.skills_needed(view.request)
    used = frozenset(view.z.skills)
    spare = used - needed
    if len(spare) > _SPARE_SKILLS + len(needed) // 3:
        found.faults.append(f"skills without need: {', '.join(sorted(spare))}")
    if not needed:
        return
    # The wording may touch upon more skills than matter: half of them, and at least one, make the pillar whole.
    met = sum(1 for s in needed & used if needs.follows(s, view.prompt))
    demands = max(1, math.ceil(len(needed) / 2))
    lacking = sorted(s for s in needed if s not in used or not needs.follows(s, view.prompt))
    found.add("skills", min(met, demands), demands, f"not used or not followed: {', '.join(lacking)}")


def _constraints(view: _View, found: _Findings) -> None:
    """Texts and numbers that were asked for can be checked, and every requirement is one that the prompt states."""
    stated = {str(c): c for c in view.z.constraints if _stated(c, view) and _wanted(c, view)}
    texts = {c.arguments.get("value") for c in stated.values() if c.kind == "text"}
    demands = [t in texts for t in needs.wanted_texts(view.request)]
    # A skill that the wording only touches upon, and the program leaves aside, asks for no requirement.
    needed = needs.skills_needed(view.request) & frozenset(view.z.skills)
    kinds = {c.kind for c in stated.values()}
    demands += [
        kind in kinds
        for skill, kind in (
            ("quantity_counting", "count"),
            ("attribute_binding", "attribute"),
            ("text_rendering", "text"),
        )
        if skill in needed
    ]
    if not demands:
        demands = [bool(stated)]
    found.add("constraints", sum(demands), len(demands), "something that was asked for is not required")
    idle = [str(c) for c in view.z.constraints if not _wanted(c, view)]
    if idle:
        found.faults.append(f"something is required that nobody asked for: {idle[0]}")
    if len(view.z.constraints) > _MOST_REQUIREMENTS:
        found.faults.append(f"more than {_MOST_REQUIREMENTS} requirements")


def _padding(view: _View, found: _Findings) -> None:
    """What a prompt says must be said: whole passages of what was found are not, nor is a pile of words."""
    words = view.prompt.casefold().split()
    if len(words) > _MOST_WORDS:
        found.faults.append(f"the prompt has more than {_MOST_WORDS} words")
    told = "\n".join(f" {' '.join(text.split())} " for text in view.texts.values())
    runs = (f" {' '.join(words[i : i + _COPIED])} " for i in range(min(len(words), 2000) - _COPIED + 1))
    if any(run in told for run in runs):
        found.faults.append("the prompt copies whole passages of what was found")


def _contradictions(view: _View, found: _Findings) -> None:
    """No two requirements exclude each other, none is missing from the prompt, nothing is wanted and avoided."""
    counts: dict[str, set[int | float]] = {}
    for constraint in view.z.constraints:
        if constraint.kind == "count" and constraint.arguments.get("operator") == "==":
            number = constraint.arguments.get("n")
            if isinstance(number, int | float):
                counts.setdefault(str(constraint.arguments.get("what")).casefold(), set()).add(number)
    twice = sorted(what for what, numbers in counts.items() if len(numbers) > 1)
    if twice:
        found.faults.append(f"different numbers are required of {twice[0]}")
    absent = [str(c) for c in view.z.constraints if not _stated(c, view)]
    if absent:
        found.faults.append(f"the prompt does not say what is required: {absent[0]}")
    avoided = {part.strip().casefold() for part in view.z.negative_prompt.split(",")}
    wanted = {
        str(v).casefold()
        for c in view.z.constraints
        for k, v in c.arguments.items()
        if k in ("value", "what")
    }
    both = sorted(avoided & wanted - {""})
    if both:
        found.faults.append(f"{both[0]} is both required and avoided")


def _stated(constraint: Constraint, view: _View) -> bool:
    """Whether the prompt says what a constraint requires."""
    arguments, prompt = constraint.arguments, view.prompt
    match constraint.kind:
        case "text":
            return str(arguments.get("value")) in needs.quoted_texts(prompt)
        case "count":
            number = arguments.get("n")
            said = {str(number), *(w for w, n in needs.NUMBER_WORDS.items() if n == number)}
            words = {w.casefold() for w in prompt.replace(",", " ").replace(".", " ").split()}
            return _said(arguments.get("what"), view) and (number in (0, 1) or bool(said & words))
        case "attribute" if arguments.get("what") == "picture":
            return _said(arguments.get("value"), view)
        case "attribute":
            return _said(arguments.get("what"), view) and _said(arguments.get("value"), view)
        case "relation":
            return _said(arguments.get("a"), view) and _said(arguments.get("b"), view)
        case "resembles":
            ordinal = arguments.get("ref")
            return isinstance(ordinal, int) and 1 <= ordinal <= len(view.z.reference_images)
        case _:
            return True


def _wanted(constraint: Constraint, view: _View) -> bool:
    """Whether a requirement is about something that the request or an observation speaks of."""
    arguments = constraint.arguments
    subjects = [arguments.get(k) for k in ("what", "a", "b")]
    words = needs.content_words(" ".join(s for s in subjects if isinstance(s, str)))
    return not words or "picture" in words or bool(words & view.known_words)


def _said(phrase: object, view: _View) -> bool:
    """Whether the prompt has every word of a phrase, or a word that begins with it: daylight says day."""
    words = needs.content_words(str(phrase))
    return bool(words) and all(any(said.startswith(w) for said in view.prompt_words) for w in words)


def _specifics(prompt: str) -> frozenset[str]:
    """What nobody can say without having seen it: quoted texts, names, larger numbers."""
    quoted = {t.casefold() for t in needs.quoted_texts(prompt)}
    inside = " ".join(quoted)
    return frozenset(quoted | {n for n in needs.names(prompt) if n not in inside} | needs.figures(prompt))


def _about_names(view: _View, ref: Ref) -> bool:
    """Whether a bound picture is, by its caption or title, about something asked for or seen; user files always are."""
    handle = _handle(ref.value, view)
    if handle is None:
        return False
    caption = f"{handle.title} {handle.caption}".casefold()
    if not handle.id and not handle.caption:
        return True
    wanted = view.known_names
    return any(n in caption for n in wanted) or bool(
        not wanted and needs.content_words(caption) & needs.content_words(view.request)
    )


def _handle(expression: Expression, view: _View) -> ImageHandle | None:
    match expression:
        case Name(name):
            value = view.values.get(name)
            if isinstance(value, ImageHandle):
                return value
        case Index(Name(name), index):
            value = view.values.get(name)
            number = getattr(index, "value", None)
            if isinstance(value, Images) and isinstance(number, int) and 0 <= number < len(value.items):
                return value.items[number]
        case Call("pick" | "image"):
            inner = next((view.values.get(n) for n in _names(expression)), None)
            if isinstance(inner, Images) and inner.items:
                return inner.items[0]
            return ImageHandle("", "", 0, 0) if expression.name == "image" else None
    return None


def _text_of(value: Value) -> str:
    match value:
        case Evidence():
            return "\n".join(f"{s.title} {s.text}" for s in value.snippets)
        case Images(items):
            return "\n".join(f"{i.title} {i.caption}" for i in items)
        case ImageHandle():
            return f"{value.title} {value.caption}"
        case _:
            return str(value)


def _call(expression: Expression | None) -> Call | None:
    return expression if isinstance(expression, Call) else None


def _names(expression: Expression) -> Iterator[str]:
    """Names used inside an expression."""
    match expression:
        case Name(name):
            yield name
        case Index(operand, index):
            yield from _names(operand)
            yield from _names(index)
        case Call(_, arguments):
            for argument in arguments:
                yield from _names(argument.value)
        case String(parts):
            yield from (p.name for p in parts if isinstance(p, Interpolation))


def _query(call: Call, view: _View) -> str:
    """The texts of a call's arguments, what is inserted included."""
    pieces: list[str] = []
    for argument in call.arguments:
        if isinstance(argument.value, String):
            for part in argument.value.parts:
                value = part if isinstance(part, str) else view.values.get(part.name, "")
                pieces.append(value if isinstance(value, str) else "")
    return " ".join(pieces)
