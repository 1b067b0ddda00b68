"""A writer of programs that works by rules and obeys advice: a real language model to DSPy, deterministic in tests.

It writes one turn after the other. What it was never told it does not do: only advice in the instructions or a demo
that does it makes it require what the request counts or quotes.
"""

from __future__ import annotations

import json
import re

from scripted_lm import Said

ADVICE = "Require every count and every quoted word that the request asks for."
NUMBERS = {"two": 2, "three": 3, "four": 4}


def write_turn(said: Said) -> str:
    """The next turn for a dialogue: a search first, then everything else."""
    dialogue = _last_dialogue(said)
    request = re.search(r'request "((?:[^"\\]|\\.)*)"', dialogue[0])
    assert request is not None
    asked = request[1].replace('\\"', '"')
    subject = re.sub(r"[^a-z ]", "", asked.lower()).strip()
    if len(dialogue) == 1:
        return f'let photos = image_search("{subject}", top_k: 2)\n'
    quoted = re.findall(r'"([^"]+)"', asked)
    counts = [(w, m[1]) for w in NUMBERS if (m := re.search(rf"\b{w} (\w+?)s\b", asked))]
    lines = ['ref look = photos[0] for "the look"', f'prompt """{asked} Drawn after {{look}}."""']
    if _was_told(said):
        lines += [f'require text("{word}")' for word in quoted]
        lines += [f'require count("{thing}") == {NUMBERS[word]}' for word, thing in counts]
    return "\n".join(lines) + "\n"


def _was_told(said: Said) -> bool:
    system = said[0][1]
    demos = [text for role, text in said[:-1] if role == "assistant"]
    return ADVICE.lower() in system.lower() or any(re.search(r"^require ", d, re.MULTILINE) for d in demos)


def _last_dialogue(said: Said) -> list[str]:
    """The user messages of the dialogue at the end; those of demos stand before it."""
    texts = [text for role, text in said if role == "user"]
    starts = [i for i, text in enumerate(texts) if 'request "' in text]
    return texts[starts[-1] :]


def write_turn_told(said: Said) -> str:
    """The same by a writer that was told already: a teacher."""
    return write_turn([("system", f"{said[0][1]}\n{ADVICE}"), *said[1:]])


def reflect(said: Said) -> str:
    """What a strong model proposes: the advice, when feedback says that something is not required."""
    asked = said[-1][1]
    found = re.search(
        r"\[\[ ## current_instruction ## \]\]\n(.*?)\n\n\[\[ ## examples_with", asked, re.DOTALL
    )
    assert found is not None
    advice = f"\n{ADVICE}" if "does not require" in asked else ""
    return json.dumps({"new_instruction": found[1] + advice})
