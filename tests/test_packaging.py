"""What is packaged is what is there, and what is documented is what is done."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LAYERS = ("grammar", "interpreter", "programs", "experience_store", "optimizer")


def test_every_folder_with_code_is_packaged() -> None:
    found = {"genevolve"}
    for top in ("genevolve", *LAYERS):
        for init in (ROOT / top).rglob("__init__.py"):
            dotted = ".".join(init.parent.relative_to(ROOT).parts)
            found.add(dotted if top == "genevolve" else f"genevolve.{dotted}")
    assert found == set(PROJECT["tool"]["setuptools"]["packages"])


def test_every_data_file_is_packaged() -> None:
    """Whatever is no module must be caught by a pattern of package-data."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    folders = PROJECT["tool"]["setuptools"]["package-dir"]
    caught: set[Path] = set()
    for package, globs in patterns.items():
        base = folders.get(package) or package.removeprefix("genevolve.").replace(".", "/")
        for pattern in globs:
            caught.update((ROOT / base).glob(pattern))
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "genevolve", *LAYERS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    data = {ROOT / name for name in listed if name and not name.endswith(".py") and (ROOT / name).is_file()}
    assert data - caught == set()


def test_every_requirement_is_pinned_and_explained() -> None:
    pins = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    explained = (ROOT / "docs" / "dependencies.md").read_text().lower()
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *(r for group in extras for r in group)]
    for requirement in wanted:
        name = re.split(r"[\[<>=!~ ]", requirement, maxsplit=1)[0].lower().replace("_", "-")
        assert name in pins, f"{name} has no pin in constraints.txt"
        if not name.startswith("types-"):
            assert name in explained, f"{name} is not in docs/dependencies.md"


def test_importing_the_package_is_cheap_and_names_are_there() -> None:
    code = (
        "import genevolve, sys; print(len(sys.modules)); [getattr(genevolve, n) for n in genevolve.__all__]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200


def test_unknown_public_names_are_attribute_errors() -> None:
    import genevolve

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = genevolve.nonsense


def test_every_command_is_documented() -> None:
    from genevolve.cli.app import COMMANDS

    readme = (ROOT / "README.md").read_text()
    for name in COMMANDS:
        assert f"`genevolve {name}" in readme, f"the README does not mention genevolve {name}"


def test_links_between_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_demo_runs_from_a_farm_of_links(tmp_path: Path) -> None:
    """As an editable installation in strict mode lays the package out: every file a link."""
    for top in ("genevolve", *LAYERS):
        base = tmp_path / "genevolve" if top == "genevolve" else tmp_path / "genevolve" / top
        for file in (ROOT / top).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                link = base / file.relative_to(ROOT / top)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file)
    settings = {"PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    program = ROOT / "programs" / "library" / "launch_poster.gprog"
    done = subprocess.run(
        [sys.executable, "-m", "genevolve", "run", str(program), "--embedder", "none", "--out", "poster.png"],
        cwd=tmp_path,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "poster.png").is_file()
