"""The generation skills: eight guides of our own, and folders of the user's.

A skill is a folder with a `SKILL.md`: YAML front matter (`name`, `description`, and under `metadata` what the
language needs: `expects`, the predicates that a program using the skill should require, and `guards`, short
phrases for the negative prompt), then the guide in Markdown. A user's folder is outside input: all of it is
checked before use, and what is wrong is told with the file's name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from genevolve.grammar.builtins import PREDICATES
from genevolve.grammar.errors import ConfigurationError
from genevolve.grammar.suggest import closest, did_you_mean
from genevolve.grammar.types import SkillInfo

if TYPE_CHECKING:
    import yaml

SKILL_FILE = "SKILL.md"
PACKAGED = Path(__file__).parent / "skills"
INDEX = PACKAGED / "index.json"
MAX_FILE_BYTES = 64 * 1024
MAX_FRONT_CHARS = 8 * 1024
MAX_FRONT_DEPTH = 8
MAX_NAME_CHARS = 64
MAX_DESCRIPTION_CHARS = 1024
MAX_GUARDS = 16
MAX_GUARD_CHARS = 80
MAX_SKILLS_IN_FOLDER = 1000

_NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")
_FRONT = re.compile(r"---[ \t]*\n(?P<front>.*?)^---[ \t]*(?:\n|\Z)(?P<body>.*)", re.DOTALL | re.MULTILINE)
_KNOWN_KEYS = frozenset({"name", "description", "license", "compatibility", "metadata", "allowed-tools"})


@dataclass(frozen=True, slots=True)
class GuideSkill:
    """A skill read from a folder; it satisfies `interpreter.protocols.Skill`.

    Attributes:
        name: How programs call it: `use skill <name>`.
        summary: One or two sentences: what it does and when to use it.
        guide: The guide, Markdown without the front matter.
        expects: Predicates that a program with this skill should require.
        guards: Short phrases that go to the negative prompt.
        path: The `SKILL.md` that it was read from.
    """

    name: str
    summary: str
    guide: str
    expects: tuple[str, ...]
    guards: tuple[str, ...]
    path: Path

    @property
    def info(self) -> SkillInfo:
        """What the checker needs to know of it."""
        return SkillInfo(self.name, self.summary, self.expects)


def load_skills(extra_folders: Iterable[Path] = (), *, override: bool = False) -> Mapping[str, GuideSkill]:
    """The packaged skills and those in the given folders, by name.

    Args:
        extra_folders: Folders of skills, or folders that are a skill themselves. Order matters only with
            `override`: later folders win.
        override: Whether a skill may take the place of another of the same name.

    Raises:
        ConfigurationError: A folder or a file in it is not what it should be, or two skills share a name.
    """
    skills = dict(_packaged())
    for folder in extra_folders:
        for skill in _read_folder(Path(folder)):
            taken = skills.get(skill.name)
            if taken is not None and not override and taken.path != skill.path:
                raise ConfigurationError(
                    f"two skills are named {skill.name!r}: {taken.path} and {skill.path}; rename one, "
                    "or set skills.override = true to let the later one win"
                )
            skills[skill.name] = skill
    return MappingProxyType(dict(sorted(skills.items())))


def load_infos(extra_folders: Iterable[Path] = (), *, override: bool = False) -> dict[str, SkillInfo]:
    """What the checker needs to know of the skills that `load_skills` gives; cheaper when there is no folder.

    `genevolve check` starts often, and reading eight guides takes longer than checking a program. So what it needs
    of the packaged ones stands in an index; `python -m genevolve.programs.skillbook` writes it anew.
    """
    folders = tuple(extra_folders)
    if folders:
        return skill_infos(load_skills(folders, override=override))
    import json

    entries = json.loads(INDEX.read_text(encoding="utf-8"))
    return {e["name"]: SkillInfo(e["name"], e["summary"], tuple(e["expects"])) for e in entries}


def write_index(path: Path) -> None:
    """Write the index of the packaged skills."""
    import json

    entries = [
        {"name": s.name, "summary": s.summary, "expects": list(s.expects)} for s in load_skills().values()
    ]
    path.write_text(json.dumps(entries, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def skill_infos(skills: Mapping[str, GuideSkill]) -> dict[str, SkillInfo]:
    """What the checker's `Environment` takes, in the same order."""
    return {name: skill.info for name, skill in skills.items()}


def read_skill(path: Path) -> GuideSkill:
    """Read one `SKILL.md`; raises `ConfigurationError` when it is not a valid skill."""
    text = _read_text(path)
    match = _FRONT.fullmatch(text)
    if match is None:
        raise _wrong(path, "it must begin with front matter between two lines of '---'")
    front = _front_matter(path, match["front"])
    guide = match["body"].strip()
    if not guide:
        raise _wrong(path, "the guide is empty")
    extra = _metadata(path, front.get("metadata"))
    return GuideSkill(
        name=_name(path, front.get("name")),
        summary=_phrase(path, "description", front.get("description"), MAX_DESCRIPTION_CHARS),
        guide=guide + "\n",
        expects=_expects(path, extra.get("expects")),
        guards=_guards(path, extra.get("guards")),
        path=path,
    )


@cache
def _packaged() -> Mapping[str, GuideSkill]:
    return MappingProxyType({skill.name: skill for skill in _read_folder(PACKAGED)})


def _read_folder(folder: Path) -> list[GuideSkill]:
    try:
        if (folder / SKILL_FILE).is_file():
            return [read_skill(folder.resolve() / SKILL_FILE)]
        found = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        raise ConfigurationError(f"cannot read the skills folder {folder}: {error.strerror}") from error
    found = [p.resolve() for p in found if (p / SKILL_FILE).is_file()]
    if not found:
        raise ConfigurationError(f"no skill in {folder}: a skill is a folder with a {SKILL_FILE}")
    if len(found) > MAX_SKILLS_IN_FOLDER:
        raise ConfigurationError(f"{folder} holds more than {MAX_SKILLS_IN_FOLDER} skills")
    return [read_skill(p / SKILL_FILE) for p in found]


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read the skill {path}: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise _wrong(path, f"it is larger than {MAX_FILE_BYTES // 1024} KiB")
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise _wrong(path, f"it is not UTF-8 (byte {error.start})") from error
    bad = next((i for i, c in enumerate(text) if _unwanted(c)), None)
    if bad is not None:
        line = text.count("\n", 0, bad) + 1
        raise _wrong(path, f"line {line} holds the control character U+{ord(text[bad]):04X}")
    return text


def _unwanted(character: str) -> bool:
    # Cc: control characters. Cf: invisible formatting, among it the marks that reorder what a reader sees.
    # The two joiners (U+200C, U+200D) stay: several scripts are not written without them.
    return character not in "\n\t\u200c\u200d" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co")


def _front_matter(path: Path, text: str) -> Mapping[str, object]:
    import yaml

    loader = _yaml_loader()
    if len(text) > MAX_FRONT_CHARS:
        raise _wrong(path, f"the front matter is longer than {MAX_FRONT_CHARS} characters")
    try:
        _refuse_bombs(path, text)
        # As `yaml.safe_load`, in C where it can be: `genevolve check` reads all skills at each start.
        front = yaml.load(text, Loader=loader)  # noqa: S506  both loaders are safe ones
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 2}: " if mark is not None else ""
        problem = getattr(error, "problem", None) or "it is not valid YAML"
        raise _wrong(path, f"front matter, {where}{problem}") from error
    if not isinstance(front, dict) or not all(isinstance(key, str) for key in front):
        raise _wrong(path, "the front matter must be a map of names to values")
    for key in front:
        if key not in _KNOWN_KEYS:
            raise _wrong(
                path, f"unknown key {key!r} in the front matter{did_you_mean(closest(key, _KNOWN_KEYS))}"
            )
    return front


def _yaml_loader() -> type[yaml.SafeLoader] | type[yaml.CSafeLoader]:
    import yaml

    loader: type[yaml.SafeLoader] | type[yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return loader


def _refuse_bombs(path: Path, text: str) -> None:
    """Refuse what makes a small YAML text costly: aliases grow into gigabytes, deep nesting takes minutes."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=_yaml_loader()):
        if isinstance(event, yaml.AliasEvent):
            raise _wrong(path, "the front matter uses YAML aliases")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_FRONT_DEPTH:
            raise _wrong(path, f"the front matter is nested more than {MAX_FRONT_DEPTH} deep")


def _metadata(path: Path, value: object) -> Mapping[str, object]:
    # Other keys of `metadata` belong to other programs that read skills; they are left alone.
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _wrong(path, "'metadata' must be a map of names to values")
    return value


def _name(path: Path, value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value) or len(value) > MAX_NAME_CHARS:
        raise _wrong(
            path, f"'name' must be lower-case words joined by '_', at most {MAX_NAME_CHARS} characters"
        )
    if value != path.parent.name:
        raise _wrong(path, f"the name is {value!r} but the folder is {path.parent.name!r}; make them equal")
    return value


def _phrase(path: Path, what: str, value: object, limit: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(path, f"{what!r} must be a text that is not empty")
    phrase = " ".join(value.split())
    if len(phrase) > limit:
        raise _wrong(path, f"{what!r} is longer than {limit} characters")
    return phrase


def _texts(path: Path, what: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _wrong(path, f"'metadata.{what}' must be a list")
    return tuple(_phrase(path, f"metadata.{what}", item, MAX_GUARD_CHARS) for item in value)


def _expects(path: Path, value: object) -> tuple[str, ...]:
    known = [signature.name for signature in PREDICATES]
    names = _texts(path, "expects", value)
    for name in names:
        if name not in known:
            hint = did_you_mean(closest(name, known))
            raise _wrong(path, f"unknown predicate {name!r} in 'metadata.expects'{hint}")
    return tuple(dict.fromkeys(names))


def _guards(path: Path, value: object) -> tuple[str, ...]:
    guards = _texts(path, "guards", value)
    if len(guards) > MAX_GUARDS:
        raise _wrong(path, f"more than {MAX_GUARDS} phrases in 'metadata.guards'")
    return tuple(dict.fromkeys(guards))


def _wrong(path: Path, message: str) -> ConfigurationError:
    return ConfigurationError(f"the skill {path} is not valid: {message}")


if __name__ == "__main__":
    write_index(INDEX)
