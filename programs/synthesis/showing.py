"""A sketch beside what became of it: the whole program, what was filled in marked.

- let facts = search(?, top_k: 5)
+ let facts = search("Eiffel Tower lattice", top_k: 5)
  use skill text_rendering
"""

from __future__ import annotations

from difflib import SequenceMatcher

from genevolve.grammar.display import harmless
from genevolve.programs.synthesis.rollout import Rollout

_RED, _GREEN, _DIM = "31", "32", "2"


def filled_text(rollout: Rollout, *, color: bool = False) -> str:
    """The filled program against its sketch, line by line, safe for terminals; ends with a line break.

    Of a rollout that was not filled, what was written so far is shown against the sketch.
    """
    before = rollout.sketch.format().splitlines()
    after = (rollout.program.source if rollout.program is not None else rollout.partial).splitlines()
    lines: list[str] = []
    for tag, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            lines += [_line(" ", line, _DIM, color) for line in before[a:b]]
            continue
        gone = [_line("-", line, _RED, color) for line in before[a:b] if line]
        come = _with_comments([line for line in after[c:d] if line], color)
        # As many as before: statements whose holes were filled, each beside what it was.
        paired = zip(gone, come, strict=True) if len(gone) == len(come) else [(*gone, *come)]
        lines += [line for pair in paired for line in pair]
    return "\n".join(lines) + "\n"


def last_refusal(rollout: Rollout) -> str:
    """Why the last turn that was refused was refused, as the policy was told; empty when none was."""
    return next((turn.refused for turn in reversed(rollout.turns) if turn.refused), "")


def unfilled_text(rollout: Rollout) -> str:
    """How a rollout ended that has no program, and its last refusal below; safe for terminals, without a line break."""
    lines = [f"{rollout.outcome.value}: {rollout.reason}"]
    lines += (f"  {line}" for line in last_refusal(rollout).split("\n") if line)
    return "\n".join(harmless(line) for line in lines)


def _with_comments(lines: list[str], color: bool) -> list[str]:
    """Lines that came, each together with the comments above it."""
    found: list[str] = []
    above = ""
    for line in lines:
        above += _line("+", line, _GREEN, color)
        if line.startswith("#"):
            above += "\n"
        else:
            found.append(above)
            above = ""
    return [*found, above.rstrip("\n")] if above else found


def _line(sign: str, line: str, style: str, color: bool) -> str:
    text = f"{sign} {harmless(line)}".rstrip()
    return f"\x1b[{style}m{text}\x1b[0m" if color and text else text
