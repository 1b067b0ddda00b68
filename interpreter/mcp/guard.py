"""Runs one command in a process group of its own and ends all of it when the lifeline closes.

    python -I -S guard.py FD COMMAND ARGUMENT…

FD is the reading end of a pipe whose writing end only genevolve holds. When genevolve ends, however it ends, the
system closes that end; the guard sees it and ends the group. Only the standard library's light modules are used: the
guard starts before every server.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

GRACE = 0.5
"""Seconds that a server has to end by itself once it was told to."""

NOT_STARTED = 127


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code, 128 and the signal's number when a signal ended it."""
    lifeline, command = int(arguments[0]), arguments[1:]
    os.set_inheritable(lifeline, False)
    waking, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    # Functions, not SIG_IGN: what is ignored stays ignored in the command.
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    try:
        child = os.posix_spawnp(command[0], command, os.environ, setpgroup=0)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return NOT_STARTED
    _let_go_of_streams()
    while True:
        ready, _, _ = select.select([lifeline, waking], [], [])
        if waking in ready:
            os.read(waking, 1024)
        code = _ended(child)
        if code is None and lifeline in ready:
            code = _end(child)
        if code is not None:
            _signal_group(child, signal.SIGKILL)  # what the command left behind
            return code


def _let_go_of_streams() -> None:
    """The command holds the pipes; with ours open its end would not be seen."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def _ended(child: int) -> int | None:
    pid, status = os.waitpid(child, os.WNOHANG)
    if not pid:
        return None
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _end(child: int) -> int:
    _signal_group(child, signal.SIGTERM)
    end = time.monotonic() + GRACE
    while time.monotonic() < end:
        code = _ended(child)
        if code is not None:
            return code
        time.sleep(0.01)
    _signal_group(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return 128 + signal.SIGKILL if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _signal_group(child: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left
        os.killpg(child, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
