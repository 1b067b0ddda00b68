"""The pages on compiling say what the code says: settings with their defaults, names of settings, messages.

python tests/docs/test_compile_page.py    # writes the tables of settings into docs/compile.md
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from genevolve.optimizer.compiling.sections import HUGE
from genevolve.optimizer.compiling.settings import Setting, all_settings, read_settings

ROOT = Path(__file__).parent.parent.parent
FILE = ROOT / "docs" / "compile.md"
PAGES = ("compile.md", "scale.md")
BEGIN = "<!-- settings: begin, written by tests/docs/test_compile_page.py -->\n"
END = "<!-- settings: end -->"


def tables() -> str:
    """A table for each section."""
    lines: list[str] = []
    section = ""
    for setting in all_settings():
        name, _, key = setting.name.partition(".")
        if name != section:
            lines += [
                "",
                f"## [{name}]",
                "",
                "| key | paper | laptop | takes | meaning |",
                "|---|---|---|---|---|",
            ]
            section = name
        laptop = "" if setting.laptop == setting.paper else _value(setting.laptop)
        about = setting.range.about.replace("|", r"\|")
        lines.append(f"| `{key}` | {_value(setting.paper)} | {laptop} | {_takes(setting)} | {about} |")
    return "\n".join([*lines[1:], "", ""])


def _value(value: object) -> str:
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


def _takes(setting: Setting) -> str:
    limits = setting.range
    if limits.choices:
        return ", ".join(limits.choices)
    if setting.kind not in ("int", "float"):
        return {"str": "text", "bool": "true, false"}.get(setting.kind, "texts")
    least = f"{'>' if limits.beyond else '≥'} {limits.least:g}"
    return least if limits.most >= HUGE else f"{least}, ≤ {limits.most:g}"


def test_the_tables_are_the_settings() -> None:
    _, _, rest = FILE.read_text("utf-8").partition(BEGIN)
    found, end, _ = rest.partition(END)
    assert end, "docs/compile.md has lost the marks around its tables"
    assert found == tables(), "run: python tests/docs/test_compile_page.py"


@pytest.mark.parametrize("page", PAGES)
def test_settings_in_examples_exist(page: str) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    assignments = re.findall(r"--set (\w+\.\w+=[^\s`]+)", text)
    assignments = [a for a in assignments if a != "section.key=value"]
    assert assignments
    known = {setting.name for setting in all_settings()}
    for assignment in assignments:
        assert assignment.partition("=")[0] in known
        if not re.search(r"…|\$|=[A-Z]+$", assignment):
            read_settings("laptop", None, [assignment])
    sections = {name.partition(".")[0] for name in known}
    for name in re.findall(r"`(\w+\.\w+)(?:=[^`]*| = [^`]*)?`", text):
        if name.partition(".")[0] in sections and not name.endswith(
            (".json", ".py", ".toml", ".jsonl", ".log")
        ):
            assert name in known or name in _CODE, f"docs/{page} speaks of {name}"


_CODE = {
    "training.schedule_of",
    "training.evolve",
}
"""Names of modules that are called like sections."""


@pytest.mark.parametrize("page", PAGES)
def test_files_of_settings_in_examples_can_be_read(page: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)):
        file = tmp_path / f"{number}.toml"
        file.write_text(block, "utf-8")
        assert tomllib.loads(block)
        read_settings("paper", file)


def test_messages_in_the_last_table_are_said_by_the_code() -> None:
    _, _, last = FILE.read_text("utf-8").partition("# When something is wrong")
    wanted = re.findall(r"^\| `([^`]+)`", last, re.MULTILINE)
    assert len(wanted) > 15
    folders = [ROOT / "optimizer", ROOT / "experience_store", ROOT / "genevolve" / "cli"]
    said = "\n".join(f.read_text("utf-8") for folder in folders for f in folder.rglob("*.py"))
    # Long texts are broken over lines of source: the parts belong together again.
    said = re.sub(r'"\s*\n\s*f?"', "", said)
    for message in wanted:
        if message.startswith("requires wandb"):
            continue  # of transformers
        for part in message.split(" … "):
            assert part in said, f"nobody says {part!r}"


if __name__ == "__main__":
    before, _, rest = FILE.read_text("utf-8").partition(BEGIN)
    FILE.write_text(before + BEGIN + tables() + END + rest.partition(END)[2], "utf-8")
