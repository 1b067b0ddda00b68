"""Judges by name: `inspector[:no-ocr]`, `kscore:MODEL?formula=paper`, `sufficiency`, `wise:MODEL?prompts=FILE`.

A package adds a judge with an entry point in the group `genevolve.judges`: a function or class that takes the text
after the colon ("" without one) and returns a judge.

    [project.entry-points."genevolve.judges"]
    mine = "my_package:make_judge"
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from genevolve.grammar.errors import ConfigurationError, GenevolveError
from genevolve.grammar.suggest import closest, did_you_mean, listed
from genevolve.interpreter.config import Config, load_config
from genevolve.interpreter.judges.protocol import Judge

GROUP = "genevolve.judges"


def open_judge(spec: str, config: Config | None = None) -> Judge:
    """The judge that a spec names; nothing heavy is loaded yet, and no service is asked.

    Args:
        spec: `NAME` or `NAME:ARGUMENT`, options after a question mark, as on the command line after `--judge`.
        config: Settings, keys and addresses; by default they are read as `load_config` reads them, when needed.

    Raises:
        ConfigurationError: for an unknown name or option, a missing key or package, or a judge that cannot be imported
            or made.
    """
    name, _, argument = spec.strip().partition(":")
    if not _ and "?" in name:
        name, _, query = name.partition("?")
        argument = f"?{query}"
    if name in _BUILT_IN:
        return _BUILT_IN[name](argument, config)
    found = [point for point in metadata.entry_points(group=GROUP) if point.name == name]
    if not found:
        hint = did_you_mean(closest(name, judge_names())) or f"; there are {listed(judge_names())}"
        raise ConfigurationError(f"there is no judge {name!r}{hint}")
    if len(found) > 1:
        packages = listed(sorted(_package(point) for point in found))
        raise ConfigurationError(f"several packages bring a judge named {name!r}: {packages}")
    return _made(found[0], argument)


def judge_names() -> tuple[str, ...]:
    """All names that `open_judge` knows, built in ones first."""
    others = {point.name for point in metadata.entry_points(group=GROUP)}
    return (*_BUILT_IN, *sorted(others - set(_BUILT_IN)))


def _inspector(argument: str, config: Config | None) -> Judge:
    from genevolve.interpreter.judges.formulas import parse_formula
    from genevolve.interpreter.judges.inspector import Inspector

    what, options = _options(argument, ("formula",), "inspector")
    if what not in ("", "no-ocr"):
        raise ConfigurationError(f"inspector takes nothing or no-ocr after its name, not {what!r}")
    return Inspector(read_text=not what, formula=parse_formula(options.get("formula", "paper")))


def _sufficiency(argument: str, config: Config | None) -> Judge:
    from genevolve.interpreter.judges.sufficiency import SufficiencyJudge

    if argument:
        raise ConfigurationError(f"sufficiency takes nothing after its name, not {argument!r}")
    return SufficiencyJudge()


def _kscore(argument: str, config: Config | None) -> Judge:
    from genevolve.interpreter.judges.asking import open_cache
    from genevolve.interpreter.judges.chat import VisionModel
    from genevolve.interpreter.judges.formulas import parse_formula
    from genevolve.interpreter.judges.kscore import KScoreJudge

    model, options = _options(argument, ("formula",), "kscore")
    formula = parse_formula(options.get("formula", "paper"))
    settings = config if config is not None else load_config()
    return KScoreJudge(VisionModel(model, settings), formula, open_cache(settings))


def _wise(argument: str, config: Config | None) -> Judge:
    from genevolve.interpreter.judges.asking import open_cache
    from genevolve.interpreter.judges.chat import VisionModel
    from genevolve.interpreter.judges.wise import WiseJudge, read_prompts

    model, options = _options(argument, ("prompts",), "wise")
    files = [Path(part) for part in options.get("prompts", "").split(",") if part.strip()]
    settings = config if config is not None else load_config()
    return WiseJudge(VisionModel(model, settings), read_prompts(files), open_cache(settings))


_BUILT_IN: Mapping[str, Callable[[str, Config | None], Judge]] = MappingProxyType(
    {"inspector": _inspector, "kscore": _kscore, "sufficiency": _sufficiency, "wise": _wise}
)


def _options(argument: str, known: Sequence[str], judge: str) -> tuple[str, dict[str, str]]:
    """`WHAT?name=value&…` as what and its options. Raises `ConfigurationError`."""
    what, mark, query = argument.partition("?")
    if not mark:
        return what.strip(), {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise ConfigurationError(
            f"options of a judge are written name=value and joined by &, not {query!r}"
        ) from None
    options = dict(pairs)
    if len(options) < len(pairs):
        raise ConfigurationError(f"an option of the judge {judge} is given twice in {query!r}")
    for name in options:
        if name not in known:
            hint = did_you_mean(closest(name, known)) or f"; known are {listed(known)}"
            raise ConfigurationError(f"the judge {judge} has no option {name!r}{hint}")
    return what.strip(), options


def _made(point: metadata.EntryPoint, argument: str) -> Judge:
    origin = f"the judge {point.name!r} of {_package(point)}"
    try:
        make: Any = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{origin} cannot be imported: {error}") from error
    try:
        made = make(argument)
    except (TypeError, ValueError, GenevolveError) as error:
        raise ConfigurationError(f"{origin} cannot be made with {argument!r}: {error}") from error
    if not isinstance(made, Judge):
        raise ConfigurationError(f"{origin} is not a judge: it lacks name, version or score")
    return made


def _package(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value
