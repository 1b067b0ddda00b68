"""The versions of a policy: which were made, which was accepted, and which one is what users get.

    DIR/versions/v003/            a folder in Hugging Face format, with version.json
    DIR/evaluations/v003.jsonl    what it earned on validation, request by request
    DIR/policy/                   a copy of the best accepted version, with a model card

Candidates that are not accepted stay aside. `rollback` makes an accepted version the best one again.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genevolve.grammar.errors import AuthorError
from genevolve.optimizer.compiling import durable
from genevolve.optimizer.compiling.folder import RunFolder, identity_of

_NAME = re.compile(r"v\d{3,6}")
VERSION = "version.json"


@dataclass(frozen=True)
class Version:
    """One version of the policy.

    Attributes:
        name: `v000` is the start.
        step: After how many steps it was made.
        parent: The best version at that time; None for the start.
        accepted: Whether it replaced it.
        why: Why, or why not, in a sentence.
        gate: Mean difference to the parent with its interval, and over how many requests; None without a gate.
        validation: Means of what it earned; None where it was not measured.
    """

    name: str
    step: int
    parent: str | None
    accepted: bool
    why: str
    gate: Mapping[str, Any] | None = None
    validation: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return asdict(self)


class Versions:
    """The versions of a run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "versions"
        self.evaluations = folder / "evaluations"

    def all(self) -> list[Version]:
        """In the order they were made."""
        if not self.root.is_dir():
            return []
        names = sorted(p.name for p in self.root.iterdir() if _NAME.fullmatch(p.name))
        return [self.get(name) for name in sorted(names, key=_number)]

    def get(self, name: str) -> Version:
        """One version.

        Raises:
            AuthorError: There is none of this name, or its file is damaged.
        """
        path = self.root / name / VERSION
        if not _NAME.fullmatch(name) or not path.is_file():
            there = ", ".join(sorted(p.name for p in self.root.iterdir())) if self.root.is_dir() else ""
            raise AuthorError(f"there is no version {name!r} in {self.folder}; there are: {there or 'none'}")
        data = durable.read_json(path)
        try:
            return Version(
                str(data["name"]),
                int(data["step"]),
                data["parent"],
                bool(data["accepted"]),
                str(data["why"]),
                data.get("gate"),
                data.get("validation"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise AuthorError(f"{path} is damaged: {error}") from error

    def next_name(self) -> str:
        """The name of the next version."""
        names = [v.name for v in self.all()]
        return f"v{_number(names[-1]) + 1:03d}" if names else "v000"

    def path(self, name: str) -> Path:
        """The folder of a version."""
        return self.root / name

    def add(self, version: Version, save: Callable[[Path], None]) -> None:
        """Keep a version; `save` writes its weights into the folder that it is given."""

        def fill(part: Path) -> None:
            save(part)
            durable.write_json(part / VERSION, version.to_dict())

        durable.make_folder(self.path(version.name), fill)

    def describe(self, version: Version) -> None:
        """Replace what is known of a version."""
        durable.write_json(self.path(version.name) / VERSION, version.to_dict())

    def write_evaluation(self, name: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Keep what a version earned, a line a request."""
        with durable.translated(self.evaluations):
            self.evaluations.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(r, ensure_ascii=True, allow_nan=False) + "\n" for r in records)
        durable.write(self.evaluations / f"{name}.jsonl", lines.encode("ascii"))

    def read_evaluation(self, name: str) -> list[dict[str, Any]] | None:
        """What a version earned; None when it was not measured. Raises `AuthorError` when it is damaged."""
        path = self.evaluations / f"{name}.jsonl"
        if not path.is_file():
            return None
        try:
            found = [json.loads(line) for line in path.read_text("ascii").splitlines()]
        except (ValueError, RecursionError) as error:
            raise AuthorError(f"{path} is damaged: it holds lines that are not JSON") from error
        if not all(isinstance(r, dict) and isinstance(r.get("id"), str) for r in found):
            raise AuthorError(f"{path} is damaged: a line has no id")
        return found

    def forget_after(self, step: int) -> None:
        """Remove what was made after a step: a run that goes on makes it again."""
        for version in self.all():
            if version.step > step and version.name != "v000":
                with durable.translated(self.root):
                    durable.remove(self.path(version.name))
        known = {v.name for v in self.all()}
        for file in self.evaluations.glob("v*.jsonl") if self.evaluations.is_dir() else ():
            if file.stem not in known:
                with durable.translated(file):
                    file.unlink()

    def publish(self, name: str, card: str) -> Path:
        """Make a version the one that users get: `policy/`, with a model card. Returns the folder."""
        source = self.path(name)

        def fill(part: Path) -> None:
            shutil.copytree(source, part, dirs_exist_ok=True)
            (part / "README.md").write_text(card, "utf-8")

        target = self.folder / "policy"
        durable.make_folder(target, fill)
        return target


def rollback(folder: Path, name: str) -> Version:
    """Make an accepted version the best one again, and put it into `policy/`.

    A run that goes on afterwards compares its candidates with this version.

    Raises:
        AuthorError: There is no such version, it was never accepted, or another process works in the folder.
    """
    from genevolve.optimizer.compiling.card import model_card

    identity_of(folder)
    with RunFolder(folder, resume=True) as run:
        versions = Versions(folder)
        version = versions.get(name)
        if not version.accepted:
            raise AuthorError(
                f"{name} was never accepted ({version.why}); only accepted versions can be the best"
            )
        checkpoints = run.complete()
        if checkpoints:
            run.amend(checkpoints[-1], best=name)
        run.set_state(best=name)
        versions.publish(name, model_card(folder, name))
        return version


def _number(name: str) -> int:
    return int(name[1:])
