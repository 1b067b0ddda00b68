"""A sketch and what fills it; offline, in seconds.

    python examples/synthesis.py                    # filled by a recorded program
    python examples/synthesis.py --policy smollm2   # by a small model, when its weights are installed: minutes

Notebook style: each `# %%` begins a cell.
"""

# %% What is fixed is written; what is open is a hole. `?` is a value, `...` any number of statements.
from __future__ import annotations

import argparse
import sys

from genevolve.programs.policies.catalog import open_policy
from genevolve.programs.policies.protocol import Limits, Policy
from genevolve.programs.policies.scripted import RecordedProgram
from genevolve.programs.program import Program
from genevolve.programs.session import open_machine
from genevolve.programs.synthesis.fill import Progress, fill
from genevolve.programs.synthesis.rollout import Bounds, Outcome
from genevolve.programs.synthesis.showing import filled_text

SKETCH = Program.parse(
    """\
program stamp(country: text = "VELM")

request "A postage stamp of the Tower of Buddhist Incense for the country {country}."

# The pictures are a policy's choice, what is copied from them as well.
let towers = image_search(?, top_k: 3)
ref tower = towers[?] for ?

...

require text(country, at: "top")
render size: 512x640, seed: ?
""",
    "stamp.gprog",
)

FINISHED = Program.parse(
    """\
program stamp(country: text = "VELM")

request "A postage stamp of the Tower of Buddhist Incense for the country {country}."

let towers = image_search("Tower of Buddhist Incense, whole tower by day", top_k: 3)
ref tower = towers[0] for "the eight sides and the four tiers of curved eaves"

# Lettering goes wrong when nobody says where it stands.
use skill text_rendering
prompt '''
A postage stamp with perforated edges. The tower from {tower} fills the middle. Across the top, one
line of capitals reads "{country}". These are the only words.
'''
avoid "a second tower"

require text(country, at: "top")
render size: 512x640, seed: 3
""".replace("'''", '"""')
)


# %% A policy reads the dialogue and writes the next turn of each rollout.
def show(progress: Progress) -> None:
    """Say how far it is."""
    print(f"after {progress.turn} turns: {progress.running} running, {progress.ended} ended", file=sys.stderr)


def main(policy: Policy, siblings: int = 2) -> list[Outcome]:
    """Fill the sketch, show what was filled in, and draw the best program."""
    bounds = Bounds(turn=Limits(max_tokens=160))
    with open_machine() as machine:
        rollouts = fill(SKETCH, policy, machine, n=siblings, bounds=bounds, progress=show)

        # %% Every rollout ends in an outcome with a reason; only filled ones have a program.
        for rollout in rollouts:
            print(f"seed {rollout.seed}: {rollout.outcome.value}, {rollout.reason}")
        filled = [r for r in rollouts if r.program is not None]
        if not filled:
            last = rollouts[0].turns[-1] if rollouts[0].turns else None
            print("the last turn was:", repr(last.emission.text[:200]) if last else "none")
            return [r.outcome for r in rollouts]

        # %% The sketch and what became of it.
        print(filled_text(filled[0]), end="")

        # %% The same, by meaning: what the policy decided.
        print(filled[0].diff.to_text(), end="")

        # %% The dialogue: what the policy saw before it wrote its second turn.
        print(filled[0].dialogue.messages[3].text)

        # %% The filled program is an ordinary one. It runs without any policy.
        assert filled[0].program is not None
        run = filled[0].program.run(machine, country="ROME")
        print(run.prompt)
    return [r.outcome for r in rollouts]


# %%
if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", default="", help="a policy; by default a recorded program")
    parser.add_argument("--n", type=int, default=2, help="rollouts")
    options = parser.parse_args()
    main(open_policy(options.policy) if options.policy else RecordedProgram(FINISHED), options.n)
