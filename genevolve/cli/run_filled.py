"""`genevolve run sketch.gprog --policy P`: fill the holes, show what was filled, and render it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from genevolve.cli.output import printable, wants_color
from genevolve.cli.synth import exit_code, fill_with, policy_spec
from genevolve.interpreter.blocking import blocking

if TYPE_CHECKING:
    from genevolve.interpreter.config import Config
    from genevolve.interpreter.machine import Machine
    from genevolve.interpreter.run import Run
    from genevolve.programs.program import Program


def run_filled(
    program: Program,
    machine: Machine,
    arguments: argparse.Namespace,
    config: Config,
    values: dict[str, object],
    record: Path | None,
) -> Run | int:
    """Fill a sketch once and render what came of it; no call is made a second time.

    Returns:
        The run, or the exit code when the sketch was not filled; the reason is printed then.
    """
    from genevolve.programs.synthesis.showing import filled_text, unfilled_text

    (rollout,) = fill_with(policy_spec(arguments, config), program, machine, arguments, config, values, n=1)
    if not rollout.filled or rollout.session is None:
        print(printable(f"genevolve: {unfilled_text(rollout)}"), file=sys.stderr)
        return exit_code([rollout])
    print(filled_text(rollout, color=wants_color(sys.stderr)), end="", file=sys.stderr)
    return blocking(rollout.session.finish(render=not arguments.no_render, record=record))
