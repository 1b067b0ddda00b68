"""What a policy is shown of a step: bounded, and quoted so that nothing in it is a statement, a tag or a turn.

Results of searches are other people's text. Each line of theirs stands behind a bar, invisible characters are
written out, special tokens of chat formats are broken, and everything is cut: what one observation may hold does not
depend on what a tool returned. What tools told besides their answers (`Observation.notes`) is left out, because a
cached answer has none: a policy sees the same with a cold cache and with a warm one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genevolve.grammar.diagnostics import Diagnostic
from genevolve.grammar.span import Source
from genevolve.grammar.tree import Let, Ref, Statement, Use
from genevolve.interpreter.values import Evidence, ImageHandle, Images, Snippet, Value
from genevolve.programs.policies.protocol import Message, Role
from genevolve.programs.policies.quoting import one_line, quoted

if TYPE_CHECKING:
    from genevolve.interpreter.session import Observation


@dataclass(frozen=True)
class View:
    """How much of an observation is shown, in characters, and in pictures.

    `snippet` bounds one passage, `answer` a text that a tool gave, `line` a title, caption, message or note, `guide` a
    skill's guide, `total` all of it; `items` is how many passages or pictures are listed, `images` how many pictures
    are attached. `terse` leaves out the words of passages and guides, where passages come from and how large pictures
    are: for policies that were trained on the guides and ask for facts.
    """

    snippet: int = 900
    answer: int = 900
    line: int = 240
    guide: int = 6000
    total: int = 8000
    items: int = 20
    diagnostics: int = 6
    images: int = 5
    terse: bool = False


FULL = View()
COMPACT = View(snippet=240, answer=240, line=100, guide=600, total=1200, items=5, diagnostics=3, images=2)
BRIEF = View(snippet=0, answer=180, line=80, guide=0, total=600, items=5, diagnostics=2, images=2, terse=True)
VIEWS = {"full": FULL, "compact": COMPACT, "brief": BRIEF}


def render(observation: Observation, *, limits: View = FULL) -> Message:
    """One observation as a message of its own."""
    text, images = describe(observation, limits=limits)
    return Message(Role.USER, text, images)


def describe(observation: Observation, *, limits: View = FULL) -> tuple[str, tuple[ImageHandle, ...]]:
    """An observation as text without a line break at its end, and the pictures to attach.

    The text is empty when there is nothing to say: a statement that was taken and showed nothing.
    """
    lines: list[str] = []
    images: tuple[ImageHandle, ...] = ()
    if observation.ok and observation.statement is not None:
        lines += _shown(observation.statement, observation.value, observation.guide, limits)
        images = _pictures(observation.statement, observation.value)[: limits.images]
    lines += diagnostics(observation.source, observation.diagnostics, limits=limits)
    return bounded(lines, limits.total), images


def diagnostics(source: Source, found: Sequence[Diagnostic], *, limits: View = FULL) -> Iterator[str]:
    """A line for each finding, with its place in the statement, and its notes behind bars."""
    for d in found[: limits.diagnostics]:
        position = source.position(d.span.start)
        yield (
            f"{d.severity.value} {d.code} at {position.line}:{position.column}: {one_line(d.message, limits.line)}"
        )
        for note in d.notes[:3]:
            yield f"| {one_line(note, limits.line)}"
        if d.fix is not None:
            yield f"| fix: {one_line(d.fix.message, limits.line)}"
    if len(found) > limits.diagnostics:
        yield f"and {len(found) - limits.diagnostics} more"


def bounded(lines: Sequence[str], total: int) -> str:
    """Lines joined, as many whole ones as fit; a last line tells that some were left out."""
    kept: list[str] = []
    size = 0
    for line in (part for text in lines for part in text.split("\n")):
        size += len(line) + 1
        if size > total:
            kept.append("| (the rest is left out)")
            break
        kept.append(line)
    return "\n".join(kept)


# ---- values ------------------------------------------------------------------------------------------


def _shown(statement: Statement, value: Value | None, guide: str | None, limits: View) -> Iterator[str]:
    match statement:
        case Let(name=name) if value is not None:
            yield from _value(name, value, limits)
        case Ref(name=name) if isinstance(value, ImageHandle):
            yield f"{name}: {_image(value, limits)}"
        case Use(skill=str(skill)) if guide is not None:
            yield f"guide of {skill}" if limits.terse else f"guide of {skill}:"
            if not limits.terse:
                yield quoted(guide, limits.guide)


def _value(name: str, value: Value, limits: View) -> Iterator[str]:
    match value:
        case Evidence(snippets):
            yield f"{name}: {_many(len(snippets), 'passage')}"
            for i, snippet in enumerate(snippets[: limits.items], 1):
                yield from _snippet(i, snippet, limits)
        case Images(items):
            yield f"{name}: {_many(len(items), 'picture')}"
            for i, image in enumerate(items[: limits.items]):
                yield f"{name}[{i}]: {_image(image, limits)}"
        case ImageHandle():
            yield f"{name}: {_image(value, limits)}"
        case str():
            yield f"{name}:"
            yield quoted(value, limits.answer)
        case _:
            yield f"{name}: {one_line(str(value), limits.line)}"


def _snippet(number: int, snippet: Snippet, limits: View) -> Iterator[str]:
    title = one_line(snippet.title, limits.line)
    if limits.terse:
        yield f"passage {number}: {title}".rstrip()
        return
    source = one_line(snippet.source, limits.line)
    head = " - ".join(part for part in (title, source) if part)
    yield f"passage {number}: {head}" if head else f"passage {number}:"
    yield quoted(snippet.text, limits.snippet)


def _image(image: ImageHandle, limits: View) -> str:
    """A picture on one line. Its id and address stay out: programs name pictures by index, never by those."""
    title, caption = one_line(image.title, limits.line), one_line(image.caption, limits.line)
    if limits.terse:
        return caption or title or "no title"
    said = title if caption in ("", title) else f"{title}: {caption}" if title else caption
    return f"{said or 'no title'} ({image.width}x{image.height})"


def _pictures(statement: Statement, value: Value | None) -> tuple[ImageHandle, ...]:
    """The pictures that a statement brought to light; a `ref` shows one that was seen already."""
    if isinstance(statement, Let):
        if isinstance(value, Images):
            return value.items
        if isinstance(value, ImageHandle):
            return (value,)
    return ()


def _many(count: int, what: str) -> str:
    return f"no {what}" if count == 0 else f"1 {what}" if count == 1 else f"{count} {what}s"
