"""What a program decided, in general terms: a profile without names, to compare two programs of one request.

    profile(Program.parse(text)).skills        # {"text_rendering"}
    profile(Program.parse(text)).prompt.words  # 87

Everything here is read from the program alone. Words are looked for in the text of the prompt with its insertions
written out as `{name}`; references are known by the language, not by words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from genevolve.grammar.tree import (
    Avoid,
    Call,
    Comparison,
    Expression,
    Index,
    Let,
    Prompt,
    Ref,
    Request,
    Require,
    String,
    Tree,
    Use,
)

_NUMBER = r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\d{1,2}|\{\w+)"
_SIDE = r"(?:left|right|cent(?:er|re))"
_CUES: dict[str, tuple[str, ...]] = {
    "exact_count": (rf"(?:exactly|precisely)\s+{_NUMBER}",),
    "arrangement": (
        r"in (?:a|one|two|three) (?:straight |single |neat |even )?(?:rows?|lines?|columns?|grids?|circles?|rings?)",
        r"side by side|evenly spaced|a step apart|stacked|spread evenly",
    ),
    "absolute_place": (
        rf"(?:upper|lower|top|bottom|middle|{_SIDE})[ -](?:{_SIDE}|third|half|quarter|corner|edge|row)",
        r"(?:in|at|across|along) the (?:very )?(?:top|bottom|left|right|cent(?:er|re)|middle)",
    ),
    "relation": (r"(?:to the )?(?:left|right) of|above|below|in front of|behind|between",),
    "surface": (
        r"(?:on|across) (?:a|an|the|one) (?:[\w-]+ ){0,4}"
        r"(?:banner|sign|plaque|board|strip|scroll|panel|label|ribbon|plate|wall|card|surface)",
    ),
    "letter_style": (r"capitals?|letters|lettering|serif|sans[- ]serif|typeface|font|uppercase",),
    "spelled_once": (r"only words|no other (?:words|text|letters)|nothing else is written|spelled",),
    "copy_note": (
        r"copy|copied|copies|keep|keeps|keeping|same|exactly as",
        r"match|matches|matching|true to|unchanged",
    ),
    "material": (
        r"made of|carved from|glass|metal|metallic|wood|wooden|cloth|woven|stone|brass|polished|matte|glossy",
    ),
    "contact": (
        r"shadows?|stands? (?:firmly )?on the|rests? on|touch(?:es|ing)? the|contact|reflections?|ground",
    ),
    "light": (r"light|lit|dusk|dawn|night|daylight|noon|overcast|lamplight|backlit|glow|sunset|sunlight",),
    "style": (
        r"style|watercolou?r|ink|mosaic|print|engraving|flat|painting|painted|texture|brush\w*|outline[ds]?",
    ),
    "contrast": (r"contrast|against a (?:dark|pale|light|plain)|stands? out|plain background|uncluttered",),
    "limbs": (r"legs?|limbs?|arms?|hands?|fingers?|paws?|wings?|joints?",),
    "mapping": (
        r"in the shape of|shaped like|takes the form of|borrows? the|as if it were|covered (?:in|with)|pattern of",
    ),
    "closed_world": (r"nothing else|no one else|nobody else|no other|and no more|alone",),
}
_COMPILED = {n: re.compile(rf"\b(?:{'|'.join(p)})\b", re.IGNORECASE) for n, p in _CUES.items()}
_COMPILED["quoted"] = re.compile(r"[\"“][^\"”\n]{1,80}[\"”]")
_WORD = re.compile(r"[^\W_](?:[^\W_]|['’-](?=[^\W_]))*")
_STYLE_WORDS = re.compile(
    r"\b(?:poster|postcard|cover|stamp|banner|style|watercolou?r|ink|mosaic|painting|illustration|picture|photo"
    r"|beautiful|mood|light|dusk|night|top|bottom|left|right|letters?|title[d]?)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class PromptProfile:
    """The prompt: how long it is, which cues it has, and how many references it names."""

    words: int = 0
    cues: frozenset[str] = frozenset()
    references: int = 0


@dataclass(frozen=True)
class Profile:
    """What a program decided.

    Attributes:
        searches: Words of each query of a text search.
        pictures: Words of each query of a picture search.
        asks: Questions put to evidence.
        picks: How often a picture was chosen by a criterion.
        named_queries: Queries with a capitalised name in them.
        styled_queries: Queries with words of style or layout in them: they find pages about style.
        copied_queries: Queries that repeat most of the request.
        chained: Whether a later query came after the answer to an earlier search.
        skills: Skills in use.
        notes: Words of each reference's note of what to copy.
        first_picture: References that take the first candidate.
        prompt: The prompt.
        avoids: Words of what is to be avoided.
        constraints: Predicates that are required.
    """

    searches: tuple[int, ...] = ()
    pictures: tuple[int, ...] = ()
    asks: int = 0
    picks: int = 0
    named_queries: int = 0
    styled_queries: int = 0
    copied_queries: int = 0
    chained: bool = False
    skills: frozenset[str] = frozenset()
    notes: tuple[int, ...] = ()
    first_picture: int = 0
    prompt: PromptProfile = field(default_factory=PromptProfile)
    avoids: int = 0
    constraints: frozenset[str] = frozenset()


def profile(tree: Tree) -> Profile:
    """The profile of a program; holes and statements that it does not know count as nothing."""
    request = " ".join(_text(s.text) for s in tree.statements if isinstance(s, Request))
    calls = list(_calls(tree))
    queries = {name: [q for c in calls if c.name == name for q in _queries(c)] for name in _SEARCHES}
    everything = [q for found in queries.values() for q in found]
    prompts = [s.text for s in tree.statements if isinstance(s, Prompt)]
    refs = [s for s in tree.statements if isinstance(s, Ref)]
    order = [c.name for c in calls]
    return Profile(
        searches=tuple(len(_words(q)) for q in queries["search"]),
        pictures=tuple(len(_words(q)) for q in queries["image_search"]),
        asks=order.count("ask"),
        picks=order.count("pick"),
        named_queries=sum(any(w[0].isupper() for w in _words(q)[1:]) or q[:1].isupper() for q in everything),
        styled_queries=sum(bool(_STYLE_WORDS.search(q)) for q in everything),
        copied_queries=sum(_copies(q, request) for q in everything),
        chained="search" in order[1:] and order.count("search") > 1,
        skills=frozenset(s.skill for s in tree.statements if isinstance(s, Use) and isinstance(s.skill, str)),
        notes=tuple(len(_words(_text(r.purpose))) if r.purpose is not None else 0 for r in refs),
        first_picture=sum(isinstance(r.value, Index) and _is_zero(r.value.index) for r in refs),
        prompt=_prompt(prompts, frozenset(r.name for r in refs)),
        avoids=sum(len(_words(_text(s.text))) for s in tree.statements if isinstance(s, Avoid)),
        constraints=frozenset(filter(None, map(_predicate, tree.statements))),
    )


_SEARCHES = ("search", "image_search")


def _prompt(values: list[Expression], references: frozenset[str]) -> PromptProfile:
    text = " ".join(_text(v) for v in values)
    cues = frozenset(name for name, pattern in _COMPILED.items() if pattern.search(text))
    named = set(re.findall(r"\{(\w+)\}", text)) & references
    return PromptProfile(len(_words(text)), cues, len(named))


def _text(expression: Expression) -> str:
    """What an expression says, insertions written `{name}`; empty for what is no text."""
    if not isinstance(expression, String):
        return ""
    return "".join(part if isinstance(part, str) else f"{{{part.name}}}" for part in expression.parts)


def _words(text: str) -> list[str]:
    return _WORD.findall(text)


def _calls(tree: Tree) -> Iterator[Call]:
    """All calls of tools in the order in which they are made."""
    for statement in tree.statements:
        if isinstance(statement, Let | Ref):
            yield from _calls_in(statement.value)


def _calls_in(expression: Expression) -> Iterator[Call]:
    if isinstance(expression, Call):
        for argument in expression.arguments:
            yield from _calls_in(argument.value)
        yield expression
    elif isinstance(expression, Index):
        yield from _calls_in(expression.operand)


def _queries(call: Call) -> list[str]:
    return [_text(a.value) for a in call.arguments if a.name is None and _text(a.value)]


def _copies(query: str, request: str) -> bool:
    """Whether a query repeats most of a request: long, and most of its words stand there."""
    asked = {w.lower() for w in _words(request)}
    said = [w.lower() for w in _words(query)]
    return len(said) >= max(8, len(asked) // 2) and sum(w in asked for w in said) >= 0.75 * len(said)


def _is_zero(expression: Expression) -> bool:
    return getattr(expression, "value", None) == 0


def _predicate(statement: object) -> str:
    if not isinstance(statement, Require):
        return ""
    inner = statement.predicate
    if isinstance(inner, Comparison):
        inner = inner.left
    return inner.name if isinstance(inner, Call) else ""
