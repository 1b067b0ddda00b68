"""`python -m genevolve` and the `genevolve` script."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line with the process's arguments; returns the exit code."""
    try:
        from genevolve.cli.app import run_command_line

        return run_command_line(sys.argv[1:])
    except KeyboardInterrupt:  # before or after the command itself, which says that it was interrupted
        return 130


if __name__ == "__main__":
    sys.exit(main())
