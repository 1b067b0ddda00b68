"""Dialogues told again with other names, so that a small model has to copy them and cannot know them by heart.

    more = retold(dialogues, times=7, seed=0)

A thousand requests hold a few hundred names and two dozen things. A model of two million weights learns those, and
writes about them whatever it is asked for; what it reads tells it nothing that it could not guess about as well. When
every telling of a dialogue has names of its own, the only way to them is the request. Names are exchanged consistently
within a dialogue, in what the policy reads and in what it writes, and always for names of the same class.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.grammar.tree import Call, Require, String
from genevolve.programs.policies.protocol import Message, Role

Messages = Sequence[Message]

_WORD = re.compile(r"[^\W\d_]+")
SHORTEST = 4
"""Letters of a proper name at least; shorter ones are too often the beginning of a sentence."""
COMMON = 0.015
"""A word of a larger share of the requests is no name: it tells of what kind the named is, or begins sentences."""
MENTIONED = 0.5
"""A thing is exchanged when at least this share of the dialogues that require it name it in their request."""


@dataclass(frozen=True)
class Names:
    """What may be exchanged.

    Attributes:
        things: What programs require something of, and requests name; in the singular.
        proper: Words that are always capitalised.
        capitals: Words that are written in capitals, as mottoes are.
    """

    things: tuple[str, ...]
    proper: tuple[str, ...]
    capitals: tuple[str, ...]


def names_of(dialogues: Sequence[Messages]) -> Names:
    """The names of many dialogues. The first message of the user is taken for the request."""
    small: set[str] = set()
    large: Counter[str] = Counter()
    capitals: set[str] = set()
    for messages in dialogues:
        for message in messages:
            words = set(_WORD.findall(message.text))
            small |= {w for w in words if w.islower()}
            capitals |= {w for w in words if w.isupper() and len(w) > 2 and message.role is Role.USER}
        large.update({w for w in _words(_request(messages)) if w.istitle() and len(w) >= SHORTEST})
    return Names(
        things=_things(dialogues),
        proper=tuple(
            sorted(w for w, n in large.items() if w.lower() not in small and n <= COMMON * len(dialogues) + 1)
        ),
        capitals=tuple(sorted(capitals)),
    )


def renamed(messages: Messages, names: Names, chance: random.Random) -> tuple[Message, ...]:
    """The same dialogue about other things; the system's message, which holds advice alone, stays as it is."""
    other = _exchange(messages, names, chance)

    def put(match: re.Match[str]) -> str:
        return other.get(match.group(), match.group())

    return tuple(m if m.role is Role.SYSTEM else replace(m, text=_WORD.sub(put, m.text)) for m in messages)


def retold(
    dialogues: Sequence[tuple[Messages, bool]], times: int, seed: int
) -> list[tuple[tuple[Message, ...], bool]]:
    """The dialogues, and after them each of them `times` again with other names; guided ones stay guided."""
    names = names_of([messages for messages, _ in dialogues])
    found = [(tuple(messages), guided) for messages, guided in dialogues]
    for time in range(times):
        for number, (messages, guided) in enumerate(dialogues):
            chance = random.Random(f"{seed}:{time}:{number}")  # noqa: S311  # repeatable chance, no secrets
            found.append((renamed(messages, names, chance), guided))
    return found


def _exchange(messages: Messages, names: Names, chance: random.Random) -> Mapping[str, str]:
    found = dict(zip(names.capitals, _shuffled(names.capitals, chance), strict=True))
    for old, new in zip(names.things, _shuffled(names.things, chance), strict=True):
        found |= {old: new, old + "s": new + "s"}
    here = {w for m in messages for w in _words(m.text)}
    # Sorted, for a set's order differs from process to process.
    found |= {old: _invented(names.proper, chance) for old in sorted(here.intersection(names.proper))}
    return found


def _shuffled(words: Sequence[str], chance: random.Random) -> list[str]:
    return chance.sample(words, len(words))


def _invented(known: Sequence[str], chance: random.Random) -> str:
    """The beginning of one name and the end of another."""
    first, last = chance.choice(known), chance.choice(known)
    return first[: chance.choice((3, 4))] + last[chance.choice((3, 4)) :]


def _things(dialogues: Sequence[Messages]) -> tuple[str, ...]:
    required: Counter[str] = Counter()
    mentioned: Counter[str] = Counter()
    compound: set[str] = set()
    for messages in dialogues:
        request = set(_words(_request(messages)))
        for subject in set(_subjects(messages)):
            if " " in subject:
                # What is said of the legs of a horse does not hold for those of a spider.
                compound |= set(subject.split())
            elif subject.islower() and subject.isalpha():
                required[subject] += 1
                mentioned[subject] += bool(request & {subject, subject + "s"})
    return tuple(
        sorted(w for w, n in required.items() if w not in compound and mentioned[w] >= MENTIONED * n)
    )


def _subjects(messages: Messages) -> Iterator[str]:
    """The first argument of each requirement that the policy wrote; unfinished statements are passed over."""
    for message in messages:
        if message.role is not Role.ASSISTANT:
            continue
        for statement in parse(Source(message.text)).tree.statements:
            for call in _calls(statement.predicate) if isinstance(statement, Require) else ():
                first = call.arguments[0].value if call.arguments else None
                if isinstance(first, String) and first.plain is not None:
                    yield first.plain


def _calls(expression: object) -> Iterator[Call]:
    if isinstance(expression, Call):
        yield expression
    for side in ("left", "right"):
        inner = getattr(expression, side, None)
        if inner is not None:
            yield from _calls(inner)


def _request(messages: Messages) -> str:
    return next((m.text for m in messages if m.role is Role.USER), "")


def _words(text: str) -> list[str]:
    return _WORD.findall(text)
