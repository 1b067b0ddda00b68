"""Reading the settings of a compilation: a preset, over it a TOML file, over it single values.

    settings = read_settings("laptop", Path("compile.toml"), ["training.steps=40", "policy.policy=smollm2"])

Names that are not known, values of another kind and numbers out of range are told with the place where they stand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from genevolve.grammar.errors import ConfigurationError
from genevolve.grammar.suggest import closest, did_you_mean, listed
from genevolve.optimizer.compiling import sections as s

PRESETS: Mapping[str, Mapping[str, Any]] = {"paper": {}, "laptop": s.LAPTOP}
MAX_FILE_BYTES = 1024 * 1024
_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class CompileSettings:
    """All settings of a compilation; a section each. The defaults are the preset `paper`."""

    policy: s.PolicySection = field(default_factory=s.PolicySection)
    data: s.DataSection = field(default_factory=s.DataSection)
    rollouts: s.RolloutSection = field(default_factory=s.RolloutSection)
    reward: s.RewardSection = field(default_factory=s.RewardSection)
    memory: s.MemorySection = field(default_factory=s.MemorySection)
    training: s.TrainingSection = field(default_factory=s.TrainingSection)
    distillation: s.DistillationSection = field(default_factory=s.DistillationSection)
    cold_start: s.ColdStartSection = field(default_factory=s.ColdStartSection)
    gate: s.GateSection = field(default_factory=s.GateSection)
    limits: s.LimitsSection = field(default_factory=s.LimitsSection)
    output: s.OutputSection = field(default_factory=s.OutputSection)

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """As JSON data, section by section."""
        return {name: _plain(part) for name, part in asdict(self).items()}

    def with_values(self, values: Mapping[str, Any], origin: str) -> CompileSettings:
        """These settings with others over them, by dotted name.

        Raises:
            ConfigurationError: A name is unknown or a value is not what its setting takes; tells `origin` and name.
        """
        known = _known()
        chosen: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            if name not in known:
                raise ConfigurationError(f"{origin}: unknown setting {name}{_meant(name)}")
            section, _, key = name.partition(".")
            try:
                chosen.setdefault(section, {})[key] = _converted(value, known[name])
            except ValueError as error:
                raise ConfigurationError(f"{origin}: {name}: {error}") from error
        changed = {name: replace(getattr(self, name), **given) for name, given in chosen.items()}
        return replace(self, **changed)


class Setting(NamedTuple):
    """One setting as the help tells it."""

    name: str
    kind: str
    paper: Any
    laptop: Any
    range: s.Range


def all_settings() -> Iterator[Setting]:
    """Every setting in order, with its value in both presets."""
    defaults = CompileSettings()
    for section in fields(CompileSettings):
        made = getattr(defaults, section.name)
        for entry in fields(made):
            name = f"{section.name}.{entry.name}"
            paper = getattr(made, entry.name)
            yield Setting(name, str(entry.type), paper, s.LAPTOP.get(name, paper), entry.metadata["range"])


def read_settings(
    preset: str = "paper",
    file: Path | None = None,
    assignments: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
) -> CompileSettings:
    """Settings from everywhere they may stand, the strongest last.

    Args:
        preset: Of `PRESETS`.
        file: A TOML file with a table for each section; relative paths in it start at its folder.
        assignments: Texts `section.key=value`.
        values: By dotted name; None is left out.

    Raises:
        ConfigurationError: A preset, a file, a name or a value is wrong.
    """
    if preset not in PRESETS:
        hint = did_you_mean(closest(preset, PRESETS))
        raise ConfigurationError(f"there is no preset {preset!r}{hint or f'; there are {listed(PRESETS)}'}")
    settings = CompileSettings().with_values(PRESETS[preset], preset)
    if file is not None:
        settings = settings.with_values(_read_file(file), str(file))
    settings = settings.with_values(dict(_assigned(a) for a in assignments), "--set")
    given = {name: value for name, value in (values or {}).items() if value is not None}
    settings = settings.with_values(given, "the call")
    _check(settings)
    return settings


def from_dict(data: object, origin: str) -> CompileSettings:
    """Settings that `to_dict` wrote.

    Raises:
        ConfigurationError: They are something else, or of a version that has other settings.
    """
    return CompileSettings().with_values(_flatten(data, origin), origin)


# ---- parts -------------------------------------------------------------------------------------------


def _known() -> dict[str, Setting]:
    return {setting.name: setting for setting in all_settings()}


def _meant(name: str) -> str:
    known = _known()
    hint = did_you_mean(closest(name, known))
    if hint:
        return hint
    section, _, key = name.rpartition(".")
    same = [k for k in known if k.rpartition(".")[2] == key]  # the right key in the wrong section
    if same:
        return f"; did you mean '{same[0]}'?"
    inner = [k.partition(".")[2] for k in known if k.partition(".")[0] == section]
    if inner:
        return did_you_mean(closest(key, inner)) or f"; {section} has {listed(inner, limit=40)}"
    return f"; there are the sections {listed([f.name for f in fields(CompileSettings)])}"


def _assigned(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigurationError(f"--set takes section.key=value, as in training.steps=40, not {text!r}")
    return name.strip(), value.strip()


def _read_file(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigurationError(f"{path}: the file is larger than {MAX_FILE_BYTES // 1024} KiB")
        table = tomllib.loads(data.decode("utf-8-sig").replace("\r\n", "\n"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not valid TOML: {error or 'nested too deeply'}") from error
    return _flatten(table, str(path))


def _flatten(table: object, origin: str) -> dict[str, Any]:
    """Tables to dotted names."""
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{origin}: settings are tables of names and values")
    flat: dict[str, Any] = {}
    for section, values in table.items():
        if not isinstance(values, Mapping):
            raise ConfigurationError(
                f"{origin}: {section} stands outside of a section{_meant(str(section))}; settings are "
                "written under [training], [rollouts] …"
            )
        flat.update({f"{section}.{key}": value for key, value in values.items()})
    return flat


def _converted(value: Any, setting: Setting) -> Any:
    """The value as its setting keeps it; texts are read. Raises `ValueError` with what was expected."""
    match setting.kind:
        case "bool":
            found: Any = _TRUTHS.get(value.lower()) if isinstance(value, str) else value
            if not isinstance(found, bool):
                raise ValueError(f"expected true or false, not {value!r}")
            return found
        case "int" | "float":
            return _number(value, setting)
        case "str":
            if not isinstance(value, str) or "\0" in value:
                raise ValueError(f"expected a text, not {value!r}")
            _check_choice(value, setting)
            return value
        case _:
            parts = [p.strip() for p in value.split(",") if p.strip()] if isinstance(value, str) else value
            if not isinstance(parts, list | tuple) or not all(isinstance(p, str) for p in parts):
                raise ValueError(f"expected texts, not {value!r}")
            for part in parts:
                _check_choice(part, setting)
            return tuple(parts)


def _check_choice(value: str, setting: Setting) -> None:
    choices = setting.range.choices
    if choices and value not in choices:
        hint = did_you_mean(closest(value, choices))
        raise ValueError(f"expected one of {listed(choices, last='or')}, not {value!r}{hint}")


def _number(value: Any, setting: Setting) -> int | float:
    whole, limits = setting.kind == "int", setting.range
    if isinstance(value, str):
        try:
            value = int(value) if whole else float(value)
        except ValueError:
            raise ValueError(f"expected a {'whole ' if whole else ''}number, not {value!r}") from None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or (whole and not isinstance(value, int))
    ):
        raise ValueError(f"expected a {'whole ' if whole else ''}number, not {value!r}")
    inside = limits.least < value if limits.beyond else limits.least <= value
    if not inside or not value <= limits.most or not math.isfinite(value):
        least = f"above {limits.least:g}" if limits.beyond else f"from {limits.least:g}"
        most = (
            "" if limits.most >= s.HUGE else f"{' and at most' if limits.beyond else ' to'} {limits.most:g}"
        )
        raise ValueError(f"expected a number {least}{most}, not {value}")
    return value if whole else float(value)


def _check(settings: CompileSettings) -> None:
    """What single settings cannot tell."""
    data, rollouts, training = settings.data, settings.rollouts, settings.training
    if data.suite and data.requests:
        raise ConfigurationError("requests come from data.suite or from data.requests, not from both")
    rows = rollouts.requests * rollouts.siblings
    per_pass = training.rows_per_pass or rows
    if rows % per_pass or per_pass % rollouts.siblings:
        raise ConfigurationError(
            f"training.rows_per_pass = {per_pass}: passes hold whole groups of {rollouts.siblings} siblings "
            f"and divide the {rows} rollouts of a step"
        )
    if settings.policy.lora_rank and settings.policy.policy.partition("?")[0] == "mini":
        raise ConfigurationError("policy.lora_rank: a mini policy is trained whole; set it to 0")


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
