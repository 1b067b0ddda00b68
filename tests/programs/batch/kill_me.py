"""A batch in a process of its own, to be killed: `kill_me.py ROWS OUT LOG`. Each rendering is told to LOG first."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from batch_world import PlainRenderer, machine, run

from genevolve.grammar.z import Z


def main(rows: str, out: str, log: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def draw(z: Z) -> None:
        os.write(file, f"{z.request}\n".encode())
        if z.request.endswith("7."):
            await asyncio.sleep(0.003)  # so that rows end in another order than they began

    print("ready", flush=True)
    tally = run(Path(rows), Path(out), machine(renderer=PlainRenderer(draw)), resume=True, parallel=4)
    print(f"done {tally.done}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
