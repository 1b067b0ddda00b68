"""DSPy's optimizers on a program-writing agent, offline.

    python examples/dspy_optimize.py                  # SmolLM2 when its weights are there, else the rule writer alone
    python examples/dspy_optimize.py --model rules    # seconds
    python examples/dspy_optimize.py --model endpoint:openai/gpt-4o-mini

What it shows, and what it does not. Three requests are for learning, two are held out. The reward asks for one thing:
that a program requires what its request counts and quotes, and binds a picture (see `ProgramReward`).

1. A rule writer that never requires anything until it is told, as a stand-in for a capable model. BootstrapFewShot
   shows it runs of a writer that was told; GEPA lets a reflecting model read what each reward missed. Both lift the
   held-out reward from 0.60 to 1.00, because the stand-in obeys: this shows that the machinery works end to
   end, not that a real model learns as easily.
2. The model that you name (SmolLM2-135M by default), before and after the same bootstrapped demos. A model of this size
   without constrained decoding rarely writes a program that checks, so expect 0.00 and small changes; what is printed
   is what happened.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ADVICE = "Require every count and every quoted word that the request asks for."
NUMBERS = {"two": 2, "three": 3, "four": 4}


def write_turn(said: list[tuple[str, str]]) -> str:
    """One turn by rules: search first, then the rest; `require` only when advice or a demo says so."""
    users = [text for role, text in said if role == "user"]
    dialogue = users[max(i for i, text in enumerate(users) if 'request "' in text) :]
    found = re.search(r'request "((?:[^"\\]|\\.)*)"', dialogue[0])
    asked = (found[1] if found else "").replace('\\"', '"')
    if len(dialogue) == 1:
        subject = re.sub(r"[^a-z ]", "", asked.lower()).strip()
        return f'let photos = image_search("{subject}", top_k: 2)\n'
    lines = ['ref look = photos[0] for "the look"', f'prompt """{asked} Drawn after {{look}}."""']
    demos = [text for role, text in said[:-1] if role == "assistant"]
    if ADVICE.lower() in said[0][1].lower() or any(re.search(r"^require ", d, re.MULTILINE) for d in demos):
        lines += [f'require text("{word}")' for word in re.findall(r'"([^"]+)"', asked)]
        counts = ((n, re.search(rf"\b{w} (\w+?)s\b", asked)) for w, n in NUMBERS.items())
        lines += [f'require count("{m[1]}") == {n}' for n, m in counts if m]
    return "\n".join(lines) + "\n"


def write_turn_told(said: list[tuple[str, str]]) -> str:
    """The same writer, told."""
    return write_turn([("system", f"{said[0][1]}\n{ADVICE}"), *said[1:]])


def reflect(said: list[tuple[str, str]]) -> str:
    """A reflecting model by rules: it adds the advice when the feedback says that something is not required."""
    asked = said[-1][1]
    now = re.search(r"\[\[ ## current_instruction ## \]\]\n(.*?)\n\n\[\[ ## examples_with", asked, re.DOTALL)
    advice = f"\n{ADVICE}" if "does not require" in asked else ""
    return json.dumps({"new_instruction": (now[1] if now else "") + advice})


class RuleEngine:
    """A function of what was said, as an engine of `dspy.LM`."""

    def __init__(self, function: Callable[[list[tuple[str, str]]], str]) -> None:
        self.function = function

    def complete(self, request: Any) -> Any:
        """One answer."""
        from dspy import lm15

        said = [("system", request.system or "")] + [(m.role, m.text or "") for m in request.messages]
        message = lm15.Message.assistant(self.function(said))
        return lm15.Response(
            id=None, model=request.model, message=message, finish_reason="stop", usage=lm15.Usage()
        )

    def stream(self, request: Any) -> Iterator[Any]:
        """The answer at once."""
        from dspy import lm15

        return iter(lm15.response_to_events(self.complete(request)))

    def __deepcopy__(self, memo: dict[int, object]) -> RuleEngine:
        return self


def rules(function: Callable[[list[tuple[str, str]]], str]) -> Any:
    """A language model of DSPy that works by rules."""
    import dspy

    return dspy.LM("rules/writer", engine=RuleEngine(function), cache=False, num_retries=0)


def examples() -> tuple[list[Any], list[Any]]:
    """Requests with what their programs should hold: for learning, and held out."""
    import dspy

    def one(request: str, *wanted: tuple[str, dict[str, Any]]) -> Any:
        constraints = [{"kind": kind, "arguments": arguments} for kind, arguments in wanted]
        return dspy.Example(request=request, constraints=constraints, references=1).with_inputs("request")

    def count(what: str, n: int) -> tuple[str, dict[str, Any]]:
        return "count", {"what": what, "operator": "==", "n": n}

    learning = [
        one("A card with three coins.", count("coin", 3)),
        one('A menu with the word "TEA" and two cups.', ("text", {"value": "TEA"}), count("cup", 2)),
        one("A photograph of four cats.", count("cat", 4)),
    ]
    held_out = [
        one(
            'A poster with the word "LAUNCH" and two rockets.',
            ("text", {"value": "LAUNCH"}),
            count("rocket", 2),
        ),
        one("A bouquet of three dahlias.", count("dahlia", 3)),
    ]
    return learning, held_out


def chosen_model(spec: str) -> Any:
    """The model to be improved, besides the rule writer; None when there is none."""
    from genevolve.grammar.errors import GenevolveError
    from genevolve.programs.modules import LocalLM
    from genevolve.programs.policies.catalog import open_policy

    if spec == "rules":
        return None
    try:
        policy = open_policy("smollm2" if spec == "auto" else spec)
    except GenevolveError as error:
        if spec != "auto":
            raise
        print(f"SmolLM2 is not here ({error}); the rule writer alone.")
        return None
    return getattr(policy, "lm", None) or LocalLM(policy, temperature=0.0, max_tokens=80)


def show(what: str, module: Any, held_out: list[Any], reward: Any, lm: Any) -> None:
    """Print the mean held-out reward, with what the first program missed."""
    import dspy

    began = time.monotonic()
    with dspy.context(lm=lm):
        scored = [reward.score(e, module(**e.inputs())) for e in held_out]
    mean = sum(s.score for s in scored) / len(scored)
    missed = scored[0].missing[0].split("\n")[0] if scored[0].missing else "nothing missing"
    print(f"  {what:34} reward {mean:.2f}   {time.monotonic() - began:5.1f} s   {missed[:70]}")


def main() -> int:
    """Run it; see the note at the top of this file."""
    parser = argparse.ArgumentParser(description="DSPy's optimizers on ProgramAgent, offline.")
    parser.add_argument("--model", default="auto", help="auto, rules, or a policy such as smollm2")
    parser.add_argument("--out", type=Path, help="save what was learned: a .json file")
    given = parser.parse_args()

    from genevolve.grammar.errors import GenevolveError

    try:
        return run(given.model, given.out)
    except GenevolveError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def run(model: str, out: Path | None) -> int:
    """Both parts."""
    from genevolve.programs.modules import ProgramAgent, ProgramReward, bootstrap, evolve
    from genevolve.programs.policies.protocol import Limits
    from genevolve.programs.session import open_machine
    from genevolve.programs.synthesis.rollout import Bounds

    learning, held_out = examples()
    untold, told, reflecting = rules(write_turn), rules(write_turn_told), rules(reflect)
    with open_machine() as machine:
        agent, reward = ProgramAgent(machine, card="compact"), ProgramReward(machine)
        print("A writer by rules (a stand-in for a capable model)")
        show("before", agent, held_out, reward, untold)
        shown = bootstrap(agent, learning, reward, lm=untold, teacher_lm=told, threshold=0.9)
        show(f"BootstrapFewShot, {len(shown.write.demos)} demos", shown, held_out, reward, untold)
        evolved = evolve(agent, learning, reward, lm=untold, reflection_lm=reflecting, metric_calls=12)
        show("GEPA, instructions improved", evolved, held_out, reward, untold)
        if out is not None:
            print(f"  saved: {evolved.save(out)}")
        lm = chosen_model(model)
        if lm is None:
            return 0
        print(f"{lm.model}, without constrained decoding")
        bounds = Bounds(turns=3, patience=2, turn=Limits(max_tokens=80, temperature=0.0))
        small = ProgramAgent(machine, card="compact", bounds=bounds)
        show("before", small, held_out, reward, lm)
        small.write.demos = shown.write.demos
        show("with the bootstrapped demos", small, held_out, reward, lm)
    return 0


if __name__ == "__main__":
    sys.exit(main())
