"""Draw the contact sheet of the simulated generator's failures, and its table.

    python benchmarks/studio_sheet.py docs/images/studio_failures.png
    python benchmarks/studio_sheet.py --table

Look at the sheet after every change of drawing, reading or rates.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from genevolve.interpreter.studio.contact_sheet import contact_sheet
from genevolve.interpreter.studio.failures import markdown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=Path("docs/images/studio_failures.png"))
    parser.add_argument("--table", action="store_true", help="print the table of docs/studio.md instead")
    arguments = parser.parse_args()
    if arguments.table:
        print(markdown(), end="")
        return
    sheet = contact_sheet()
    sheet.quantize(256, dither=0).save(arguments.file, optimize=True)
    print(f"{arguments.file}: {sheet.width}x{sheet.height}, {arguments.file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
