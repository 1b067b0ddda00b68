"""Start a project in a folder: a configuration, a first program, a folder for your library, a pre-commit file.

Files that exist already are left as they are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from genevolve.cli.app import OK
from genevolve.cli.files import replace_file
from genevolve.cli.output import printable
from genevolve.grammar.errors import AuthorError

_CONFIGURATION = """\
# Settings of genevolve; docs/configuration.md lists them all. Relative paths are relative to this file.

[library]
folders = ["library"]      # your documents and pictures; put captions beside pictures as <name>.txt

[images]
allowed = ["library"]      # where image("…") may read

[render]
renderer = "storyboard"    # or "diffusers:<folder or id>"
"""

_PROGRAM = """\
# A first program. Check it with `genevolve check first.gprog`, run it with
# `genevolve run first.gprog --out first.png`.
program first(guest: text = "you", balloons: int = 3)

request "A birthday card for {guest} with {balloons} balloons."

use skill text_rendering
use skill quantity_counting

prompt \"\"\"
A birthday card on cream paper. Exactly {balloons} red balloons float side by side in the upper half. The words
"Happy birthday, {guest}" run across the bottom in large dark blue letters, one line, evenly spaced.
\"\"\"
avoid "clutter, a second line of text"

require text("Happy birthday, {guest}", at: "bottom")
require count("balloon") == balloons
require attribute("balloon", "red")

render size: 1024x768, seed: 1
"""

_PRE_COMMIT = """\
repos:
  - repo: local
    hooks:
      - id: genevolve-check
        name: genevolve check
        entry: genevolve check
        language: system
        files: \\.gprog$
      - id: genevolve-fmt
        name: genevolve fmt
        entry: genevolve fmt
        language: system
        files: \\.gprog$
"""

_LIBRARY = """\
Put your documents (txt, md, json, html, pdf) and pictures (png, jpg, webp) here.
A picture's caption stands beside it: castle.jpg and castle.txt.
"""

_FILES = {
    "genevolve.toml": _CONFIGURATION,
    "first.gprog": _PROGRAM,
    "library/about-this-folder.md": _LIBRARY,
    ".pre-commit-config.yaml": _PRE_COMMIT,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("folder", nargs="?", default=".", help="where (made if missing; default: here)")


def execute(arguments: argparse.Namespace) -> int:
    """Write what is missing and say so."""
    folder = Path(arguments.folder)
    if folder.exists() and not folder.is_dir():
        raise AuthorError(f"{folder}: this is a file, a folder is needed")
    for name, text in _FILES.items():
        path = folder / name
        if path.exists():
            print(printable(f"kept    {path} (it exists)"))
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
        print(printable(f"wrote   {path}"))
    print(printable(f"next:   genevolve run {folder / 'first.gprog'} --out first.png"))
    return OK
