"""The settings of genevolve: files, environment variables and flags, in one typed and frozen `Config`.

Strongest first: flags, environment variables (`GENEVOLVE_LIBRARY_FOLDERS` for `library.folders`), the
project's file, the user's file, the defaults. The project's file is the nearest `genevolve.toml`, or
`pyproject.toml` with a `[tool.genevolve]` table, searched upwards from the working folder. Keys of services
never stand in these files: they come from the environment or from `.env` beside the project's file, and
`Secrets` keeps them out of sight.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from genevolve.grammar.errors import ConfigurationError
from genevolve.grammar.suggest import closest, did_you_mean, listed
from genevolve.interpreter.budget import Budget
from genevolve.interpreter.config_values import Setting, convert
from genevolve.interpreter.keys import Secrets, read_services
from genevolve.interpreter.mcp.settings import McpServer, McpSettings
from genevolve.interpreter.redact import is_secret_name

FILE_NAME = "genevolve.toml"
PREFIX = "GENEVOLVE_"
MAX_FILE_BYTES = 1024 * 1024
_OTHER_VARIABLES = frozenset({"GENEVOLVE_CONFIG", "GENEVOLVE_DEBUG"})

SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "library.folders": Setting("paths", "folders of documents and images that the searches read"),
        "library.embedder": Setting(
            "model", 'the embedding model: "auto", "none", or a sentence-transformers folder or id'
        ),
        "images.allowed": Setting("paths", "folders that image(...) may read, besides the program's own"),
        "search.backends": Setting("texts", 'who answers search(...), in order: "library", "serper", "ddgs"'),
        "search.image_backends": Setting("texts", "the same for image_search(...); the others by default"),
        "search.next_when_empty": Setting("bool", "whether the next backend is asked when one finds nothing"),
        "search.timeout": Setting("seconds", "seconds that one backend may take", least=0.001),
        "search.rpm": Setting("seconds", "requests a minute to one backend", least=0.01, optional=True),
        "search.record": Setting("path", "a bundle in which every answer of the searches is kept"),
        "search.replay": Setting("path", "a bundle that answers instead of the backends"),
        "fetch.allow": Setting("texts", "host:port of downloads that may reach a private address"),
        "fetch.bytes": Setting("bytes", "size of one download", least=1024),
        "fetch.seconds": Setting("seconds", "seconds that one download may take", least=0.001),
        "fetch.redirects": Setting("int", "redirects that one download may follow"),
        "fetch.pixels": Setting("int", "width times height of a downloaded picture", least=1),
        "fetch.rpm": Setting("seconds", "downloads a minute from one host", least=0.01, optional=True),
        "fetch.store": Setting("bytes", "how large the store of downloads may grow", least=1024 * 1024),
        "render.renderer": Setting(
            "model", 'how pictures are made: "storyboard", "diffusers:<folder or id>", "gemini", …'
        ),
        "render.rpm": Setting(
            "seconds", "pictures a minute that one host is asked for", least=0.01, optional=True
        ),
        "render.timeout": Setting("seconds", "seconds that a remote picture may take", least=0.001),
        "render.retries": Setting("int", "how often a remote picture that failed is tried again"),
        "render.comfyui": Setting("comfyui", "the workflow of the comfyui renderer and its named inputs"),
        "policy.policy": Setting(
            "model", 'who fills holes: "smollm2", "local:<model>", "endpoint:<model>", …'
        ),
        "judge.judge": Setting(
            "model", 'who judges pictures: "inspector", "kscore:<model>", "wise:<model>", …'
        ),
        "judge.rpm": Setting("seconds", "requests a minute to the judging model", least=0.01, optional=True),
        "judge.timeout": Setting("seconds", "seconds that one request to it may take", least=0.001),
        "judge.retries": Setting("int", "how often a request to it that failed is tried again"),
        "judge.repairs": Setting(
            "int", "how often an answer of a wrong form is sent back with what is wrong"
        ),
        "judge.side": Setting("int", "longest side of the pictures that it is sent, in pixels", least=64),
        "judge.input_price": Setting("money", "money for a million tokens that it reads"),
        "judge.output_price": Setting("money", "money for a million tokens that it writes"),
        "skills.folders": Setting("paths", "folders of your own skills"),
        "skills.override": Setting("bool", "whether your skill may replace one of the same name"),
        "budget.calls": Setting("int", "tool calls of one run"),
        "budget.seconds": Setting("seconds", "wall time of one run", optional=True),
        "budget.bytes": Setting("bytes", "size of all that the tools of one run return", optional=True),
        "budget.money": Setting("money", "sum of the prices of one run's calls", optional=True),
        "cache.enabled": Setting("bool", "whether results of tools are kept"),
        "cache.folder": Setting("path", "where the cache lies"),
        "cache.size": Setting("bytes", "how large the cache may grow", least=1024 * 1024),
        "runs.folder": Setting("path", "where run records are written"),
        "runs.record": Setting("bool", "whether runs are recorded"),
        "experience.store": Setting("path", "the folder of the experience store"),
        "experience.embedder": Setting(
            "model", "the embedding model of requests, as library.embedder takes it"
        ),
        "experience.capacity": Setting("int", "experiences that the store keeps", least=1, optional=True),
        "experience.gate": Setting(
            "seconds", "cosine from which on a stored request counts as near, 0 to 1", most=1
        ),
        "machine.concurrency": Setting("int", "calls that run at the same time", least=1),
        "machine.timeout": Setting("seconds", "seconds that one call may take", least=0.001),
        "machine.retries": Setting("int", "how often a call that failed is tried again"),
        "mcp.servers": Setting("mcp", "MCP servers whose tools programs may call; see docs/mcp.md"),
        "prices": Setting("prices", "money per call, by the tool's name"),
    }
)


class LibrarySettings(NamedTuple):
    """`[library]`: what the searches read."""

    folders: tuple[Path, ...] = ()
    embedder: str = "auto"


class ImageSettings(NamedTuple):
    """`[images]`: where `image(...)` may read."""

    allowed: tuple[Path, ...] = ()


class SearchSettings(NamedTuple):
    """`[search]`: who answers the searches, as `backends.catalog` takes it; `timeout` in seconds."""

    backends: tuple[str, ...] = ("library",)
    image_backends: tuple[str, ...] = ()
    next_when_empty: bool = False
    timeout: float = 20.0
    rpm: float | None = None
    record: Path | None = None
    replay: Path | None = None


class FetchSettings(NamedTuple):
    """`[fetch]`: limits of downloads, and the size of their store in bytes."""

    allow: tuple[str, ...] = ()
    bytes: int = 20 * 1024 * 1024
    seconds: float = 15.0
    redirects: int = 5
    pixels: int = 40_000_000
    rpm: float | None = None
    store: int = 2 * 1024**3


class RenderSettings(NamedTuple):
    """`[render]`: the renderer's specification, as `renderers.catalog` takes it, and how remote ones are asked.

    `comfyui` holds `workflow` (a path), `inputs` (names to places such as `6.text`), `output` and `url`, as written.
    """

    renderer: str = "storyboard"
    rpm: float | None = None
    timeout: float = 600.0
    retries: int = 3
    comfyui: Mapping[str, object] = MappingProxyType({})


class JudgeSettings(NamedTuple):
    """`[judge]`: who judges, as `judges.catalog` takes it, and how models that judge are asked and priced."""

    judge: str = "inspector"
    rpm: float | None = None
    timeout: float = 180.0
    retries: int = 3
    repairs: int = 2
    side: int = 1024
    input_price: float = 0.0
    output_price: float = 0.0


class PolicySettings(NamedTuple):
    """`[policy]`: who fills the holes of sketches, as `policies.catalog` takes it; empty when nobody was chosen."""

    policy: str = ""


class SkillSettings(NamedTuple):
    """`[skills]`: skills of the user's own."""

    folders: tuple[Path, ...] = ()
    override: bool = False


class CacheSettings(NamedTuple):
    """`[cache]`: size in bytes; a folder of None means the user's cache folder."""

    enabled: bool = True
    folder: Path | None = None
    size: int = 1024**3

    @property
    def location(self) -> Path:
        """The folder of the cache."""
        if self.folder is not None:
            return self.folder
        from platformdirs import user_cache_path

        return user_cache_path("genevolve", appauthor=False)


class RunSettings(NamedTuple):
    """`[runs]`: run records."""

    folder: Path = Path("runs")
    record: bool = True


class ExperienceSettings(NamedTuple):
    """`[experience]`: the store of experiences. A store of None means a folder among the user's data."""

    store: Path | None = None
    embedder: str = "auto"
    capacity: int | None = 500
    gate: float = 0.84

    @property
    def location(self) -> Path:
        """The folder of the store."""
        if self.store is not None:
            return self.store
        from platformdirs import user_data_path

        return user_data_path("genevolve", appauthor=False) / "experiences"


class MachineSettings(NamedTuple):
    """`[machine]`: how calls are made; `timeout` in seconds."""

    concurrency: int = 8
    timeout: float = 60.0
    retries: int = 2


@dataclass(frozen=True)
class Config:
    """All settings. `files` are the files that were read, weakest first; `root` is the project's folder."""

    library: LibrarySettings = field(default_factory=LibrarySettings)
    images: ImageSettings = field(default_factory=ImageSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    fetch: FetchSettings = field(default_factory=FetchSettings)
    render: RenderSettings = field(default_factory=RenderSettings)
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    skills: SkillSettings = field(default_factory=SkillSettings)
    budget: Budget = field(default_factory=Budget)
    cache: CacheSettings = field(default_factory=CacheSettings)
    runs: RunSettings = field(default_factory=RunSettings)
    experience: ExperienceSettings = field(default_factory=ExperienceSettings)
    machine: MachineSettings = field(default_factory=MachineSettings)
    mcp: McpSettings = field(default_factory=McpSettings)
    prices: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    secrets: Secrets = field(default_factory=Secrets, compare=False)
    endpoints: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), compare=False)
    """Addresses of services by their usual variables, such as `OPENAI_BASE_URL`."""
    files: tuple[Path, ...] = ()
    root: Path = field(default_factory=Path.cwd)
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain data by dotted name; no secrets."""
        return {name: _plain(_lookup(self, name)) for name in SETTINGS}


def load_config(
    *,
    start: Path | None = None,
    file: Path | str | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    user_file: Path | None = None,
) -> Config:
    """Read the settings from everywhere they may stand.

    Args:
        start: Where the search for the project's file begins; the working folder by default.
        file: Use this project file instead of searching.
        environment: The environment variables; those of the process by default.
        flags: Dotted names to values, the strongest layer; None values are left out.
        user_file: The user's own file; by default `genevolve.toml` in the user's configuration folder.

    Raises:
        ConfigurationError: A file cannot be read, a key is unknown, or a value is wrong. The message names
            the file (or variable, or flag) and the key.
    """
    variables = os.environ if environment is None else environment
    here = Path.cwd() if start is None else start.absolute()
    project = _project_file(here, file if file is not None else variables.get("GENEVOLVE_CONFIG"))
    user = user_config_file() if user_file is None else user_file
    files = [p for p in (user if user.is_file() else None, project) if p is not None]

    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for path in files:
        table = _read_table(path)
        _merge(values, origins, _flatten(table, str(path)), str(path), path.parent)
    _merge(values, origins, _from_environment(variables), "the environment", here)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    _merge(values, origins, _known(given, "a flag"), "a flag", here)
    root = project.parent if project is not None else here
    secrets, endpoints = read_services(project, variables)
    return _build(values, origins, secrets, endpoints, tuple(files), root)


def user_config_file() -> Path:
    """Where the user's own settings stand."""
    from platformdirs import user_config_path

    return user_config_path("genevolve", appauthor=False) / FILE_NAME


def variable_of(name: str) -> str:
    """The environment variable of a setting: `library.folders` is `GENEVOLVE_LIBRARY_FOLDERS`."""
    return PREFIX + name.replace(".", "_").upper()


# ---- files -------------------------------------------------------------------------------------------


def _project_file(start: Path, given: Path | str | None) -> Path | None:
    if given is not None:
        path = Path(given).expanduser().absolute()
        if not path.is_file():
            raise ConfigurationError(f"there is no configuration file {given}")
        return path
    home = Path.home()
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
        pyproject = folder / "pyproject.toml"
        if pyproject.is_file() and _read_table(pyproject, required=False):
            return pyproject
        # A project ends at its repository; above it, and above the home folder, files belong to others.
        if folder == home or (folder / ".git").exists():
            break
    return None


def _read_table(path: Path, *, required: bool = True) -> Mapping[str, object]:
    """The settings of a file; a `pyproject.toml` that is not `required` may be anything."""
    import tomllib

    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if not required and b"genevolve" not in data:  # most of them: spare the parser
            return {}
        if len(data) > MAX_FILE_BYTES:
            raise ConfigurationError(f"{path}: the file is larger than {MAX_FILE_BYTES // 1024} KiB")
        table: Any = tomllib.loads(data.decode("utf-8-sig").replace("\r\n", "\n"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        if not required:  # somebody else's pyproject.toml is not ours to complain about
            return {}
        raise ConfigurationError(f"{path}: not valid TOML: {error or 'nested too deeply'}") from error
    if path.name == "pyproject.toml":
        tools = table.get("tool")
        table = tools.get("genevolve", {}) if isinstance(tools, dict) else {}
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: tool.genevolve must be a table")
    return table


def _flatten(table: Mapping[str, object], origin: str) -> dict[str, object]:
    """Tables to dotted names: `{"library": {"folders": […]}}` to `{"library.folders": […]}`."""
    sections = {name.partition(".")[0] for name in SETTINGS if "." in name}
    flat: dict[str, object] = {}
    for key, value in table.items():
        if key not in sections:
            flat[key] = value
        elif isinstance(value, dict):
            flat.update({f"{key}.{inner}": v for inner, v in value.items()})
        else:
            raise ConfigurationError(f"{origin}: {key} must be a table, written [{key}]")
    return _known(flat, origin)


def _known(values: Mapping[str, object], origin: str) -> dict[str, object]:
    for name in values:
        if name not in SETTINGS:
            raise ConfigurationError(_unknown(name, origin))
    return dict(values)


def _unknown(name: str, origin: str) -> str:
    if is_secret_name(name.rpartition(".")[2]):
        return (
            f"{origin}: {name}: keys do not belong here; set an environment variable or write .env beside it"
        )
    hint = did_you_mean(closest(name, SETTINGS))
    if not hint:
        section, _, key = name.rpartition(".")
        inner = [s.rpartition(".")[2] for s in SETTINGS if s.rpartition(".")[0] == section and section]
        near = closest(key, inner)
        hint = did_you_mean(near) if near else f"; known are {listed(inner or _sections())}"
    return f"{origin}: unknown setting {name}{hint}"


def _sections() -> list[str]:
    return list(dict.fromkeys(name.partition(".")[0] for name in SETTINGS))


# ---- environment -------------------------------------------------------------------------------------


def _from_environment(variables: Mapping[str, str]) -> dict[str, object]:
    names = {variable_of(name): name for name in SETTINGS}
    found: dict[str, object] = {}
    for variable, value in variables.items():
        if not variable.startswith(PREFIX) or variable in _OTHER_VARIABLES or is_secret_name(variable):
            continue
        if variable not in names:
            hint = did_you_mean(closest(variable, names))
            raise ConfigurationError(f"the environment: unknown variable {variable}{hint}")
        if value.strip():  # an empty variable is the usual way to take one back
            found[names[variable]] = value
    return found


# ---- layers ----------------------------------------------------------------------------------------------


def _merge(
    values: dict[str, object],
    origins: dict[str, str],
    layer: Mapping[str, object],
    origin: str,
    folder: Path,
) -> None:
    """Convert a layer's values and let them replace weaker ones; paths are relative to `folder`."""
    for name, value in layer.items():
        setting = SETTINGS[name]
        where = f"{origin}: {variable_of(name) if origin == 'the environment' else name}"
        try:
            values[name] = convert(value, setting, folder)
        except ValueError as error:
            raise ConfigurationError(f"{where}: {error}") from error
        origins[name] = origin


# ---- the result --------------------------------------------------------------------------------------


def _build(
    values: Mapping[str, object],
    origins: Mapping[str, str],
    secrets: Secrets,
    endpoints: Mapping[str, str],
    files: tuple[Path, ...],
    root: Path,
) -> Config:
    def section(name: str) -> dict[str, Any]:
        return {k.partition(".")[2]: v for k, v in values.items() if k.startswith(name + ".")}

    runs = {"folder": root / "runs", **section("runs")}
    prices: Any = values.get("prices", MappingProxyType({}))
    return Config(
        library=LibrarySettings(**section("library")),
        images=ImageSettings(**section("images")),
        search=SearchSettings(**section("search")),
        fetch=FetchSettings(**section("fetch")),
        render=RenderSettings(**section("render")),
        judge=JudgeSettings(**section("judge")),
        policy=PolicySettings(**section("policy")),
        skills=SkillSettings(**section("skills")),
        budget=Budget(**section("budget")),
        cache=CacheSettings(**section("cache")),
        runs=RunSettings(**runs),
        experience=ExperienceSettings(**section("experience")),
        machine=MachineSettings(**section("machine")),
        mcp=McpSettings(**section("mcp")),
        prices=prices,
        secrets=secrets,
        endpoints=endpoints,
        files=files,
        root=root,
        origins=MappingProxyType(dict(origins)),
    )


def _lookup(config: Config, name: str) -> object:
    value: object = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _plain(value: object) -> object:
    match value:
        case Path():
            return str(value)
        case McpServer():
            return {k: _plain(v) for k, v in value._asdict().items()}
        case tuple():
            return [_plain(v) for v in value]
        case Mapping():
            return {k: _plain(v) for k, v in value.items()}
        case _:
            return value
