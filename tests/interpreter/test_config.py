"""Settings come from files, variables and flags, in that order of strength; keys stay out of sight."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.config import SETTINGS, Config, load_config, variable_of

ABSENT = Path("/nonexistent/genevolve.toml")


def load(
    folder: Path,
    text: str | bytes | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    user_file: Path = ABSENT,
    name: str = "genevolve.toml",
) -> Config:
    if text is not None:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(start=folder, environment=environment or {}, flags=flags, user_file=user_file)


FULL = """
[library]
folders = ["docs", "/srv/pictures", "~/more"]
embedder = "none"
[images]
allowed = ["photos"]
[render]
renderer = "diffusers:./model"
[skills]
folders = ["skills"]
override = true
[budget]
calls = 4
seconds = 12.5
bytes = "2 MiB"
money = "none"
[cache]
enabled = false
folder = "cache"
size = "3 GB"
[runs]
folder = "records"
record = false
[machine]
concurrency = 2
timeout = 5
retries = 0
[prices]
search = 0.01
"""


def test_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    config = load(tmp_path)
    assert config.files == ()
    assert config.library.folders == ()
    assert config.render.renderer == "storyboard"
    assert (config.budget.calls, config.budget.money) == (10, None)
    assert config.runs.folder == tmp_path / "runs"
    assert config.cache.location.name == "genevolve"
    assert not config.cache.location.is_relative_to("/tmp")


def test_every_setting_in_a_file(tmp_path: Path) -> None:
    config = load(tmp_path, FULL)
    assert config.library.folders == (tmp_path / "docs", Path("/srv/pictures"), Path.home() / "more")
    assert config.library.embedder == "none"
    assert config.images.allowed == (tmp_path / "photos",)
    assert config.render.renderer == f"diffusers:{tmp_path / 'model'}"
    assert config.skills.folders == (tmp_path / "skills",)
    assert config.skills.override is True
    assert (config.budget.calls, config.budget.seconds) == (4, 12.5)
    assert (config.budget.bytes, config.budget.money) == (2 * 1024**2, None)
    assert (config.cache.enabled, config.cache.location) == (False, tmp_path / "cache")
    assert config.cache.size == 3_000_000_000
    assert (config.runs.folder, config.runs.record) == (tmp_path / "records", False)
    assert (config.machine.concurrency, config.machine.timeout, config.machine.retries) == (2, 5.0, 0)
    assert config.prices == {"search": 0.01}
    assert config.files == (tmp_path / "genevolve.toml",)
    assert set(config.to_dict()) == set(SETTINGS)
    with pytest.raises(FrozenInstanceError):
        config.root = tmp_path  # type: ignore[misc]  # the assignment is what is tested


def test_strength(tmp_path: Path) -> None:
    user = tmp_path / "user" / "genevolve.toml"
    user.parent.mkdir()
    user.write_text('[budget]\ncalls = 1\nseconds = 1\nmoney = 1\n[library]\nfolders = ["u"]\n')
    project = tmp_path / "project"
    project.mkdir()
    config = load(
        project,
        "[budget]\ncalls = 2\nseconds = 2\n",
        environment={"GENEVOLVE_BUDGET_CALLS": "3", "GENEVOLVE_BUDGET_BYTES": "3000"},
        flags={"budget.calls": 4, "budget.money": None},
        user_file=user,
    )
    assert (config.budget.calls, config.budget.bytes) == (4, 3000)
    assert (config.budget.seconds, config.budget.money) == (2.0, 1.0)
    assert config.library.folders == (user.parent / "u",)
    assert config.files == (user, project / "genevolve.toml")
    assert config.origins["budget.calls"] == "a flag"
    assert config.origins["budget.bytes"] == "the environment"


def test_search_goes_upwards_and_stops_at_the_repository(tmp_path: Path) -> None:
    inner = tmp_path / "repository" / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "repository" / "genevolve.toml").write_text('[library]\nfolders = ["lib"]\n')
    assert load(inner).library.folders == (tmp_path / "repository" / "lib",)
    (tmp_path / "repository" / "a" / ".git").mkdir()
    assert load(inner).library.folders == ()


def test_pyproject(tmp_path: Path) -> None:
    text = '[project]\nname = "x"\n[tool.genevolve.library]\nfolders = ["lib"]\n'
    assert load(tmp_path, text, name="pyproject.toml").library.folders == (tmp_path / "lib",)
    (tmp_path / "genevolve.toml").write_text("[budget]\ncalls = 1\n")
    config = load(tmp_path)
    assert (config.budget.calls, config.library.folders) == (1, ())


def test_a_pyproject_without_our_table_is_passed_by(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "genevolve.toml").write_text("[budget]\ncalls = 1\n")
    (inner / "pyproject.toml").write_text("this is not TOML")
    assert load(inner).budget.calls == 1


def test_a_file_that_is_named(tmp_path: Path) -> None:
    other = tmp_path / "elsewhere.toml"
    other.write_text("[budget]\ncalls = 7\n")
    (tmp_path / "genevolve.toml").write_text("[budget]\ncalls = 1\n")
    assert load_config(file=other, environment={}, user_file=ABSENT).budget.calls == 7
    assert load(tmp_path, environment={"GENEVOLVE_CONFIG": str(other)}).budget.calls == 7
    with pytest.raises(ConfigurationError, match=r"there is no configuration file .*none\.toml"):
        load_config(file=tmp_path / "none.toml", environment={}, user_file=ABSENT)


def test_variables_take_the_form_of_their_setting(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        environment={
            "GENEVOLVE_LIBRARY_FOLDERS": "a:/b",
            "GENEVOLVE_CACHE_ENABLED": "off",
            "GENEVOLVE_PRICES": "search=0.5, ask=1",
            "GENEVOLVE_BUDGET_SECONDS": "none",
            "GENEVOLVE_RUNS_FOLDER": "",
            "GENEVOLVE_DEBUG": "1",
            "GENEVOLVE_API_KEY": "a-key-of-some-service",
        },
    )
    assert config.library.folders == (tmp_path / "a", Path("/b"))
    assert config.cache.enabled is False
    assert config.prices == {"search": 0.5, "ask": 1.0}
    assert config.budget.seconds is None
    assert config.runs.folder == tmp_path / "runs"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[library]\nfoldrs = []\n", ["library.foldrs", "did you mean 'library.folders'?"]),
        ("[libary]\nfolders = []\n", ["libary", "known are library, images"]),
        ("[budget]\nzzz = 1\n", ["budget.zzz", "calls, seconds, bytes and money"]),
        ("library = 3\n", ["library must be a table"]),
        ("[library]\nfolders = [1]\n", ["library.folders", "expected a text"]),
        ("[library]\nfolders = true\n", ["library.folders", "a list of folders"]),
        ("[library]\nfolders = ['~nobody-of-that-name/x']\n", ["no such home folder"]),
        ('[render]\nrenderer = "a\\u0000b"\n', ["NUL"]),
        ("[budget]\ncalls = -1\n", ["budget.calls", "from 0"]),
        ("[budget]\ncalls = 1.5\n", ["budget.calls", "a whole number"]),
        ("[budget]\ncalls = true\n", ["budget.calls", "a whole number"]),
        ("[experience]\ngate = 1.01\n", ["experience.gate", "a number from 0 to 1"]),
        ("[budget]\nseconds = nan\n", ["budget.seconds", "a number from 0"]),
        ("[budget]\nseconds = 'soon'\n", ["budget.seconds", "a number"]),
        (f"[budget]\nmoney = {'9' * 500}\n", ["budget.money", "a number from 0"]),
        ("[budget]\nbytes = '3 parsecs'\n", ["budget.bytes", "a size"]),
        ("[cache]\nsize = 5\n", ["cache.size", "at least 1,048,576 bytes"]),
        ("[cache]\nenabled = 2\n", ["cache.enabled", "true or false"]),
        ("[machine]\nconcurrency = 0\n", ["machine.concurrency", "from 1"]),
        ("prices = 3\n", ["prices", "a table of tools"]),
        ("[prices]\nsearch = 'x'\n", ["prices", "a number"]),
        ("[library\n", ["not valid TOML"]),
        (b"\xff\xfe", ["not valid TOML"]),
        ("x = " + "[" * 5000, ["not valid TOML"]),
        ("openai_api_key = 'k'\n", ["keys do not belong here"]),
        ("# " + "x" * 1024 * 1024, ["larger than 1024 KiB"]),
    ],
    ids=range(26),
)
def test_a_wrong_file_names_file_and_key(tmp_path: Path, text: str | bytes, parts: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    for part in (str(tmp_path / "genevolve.toml"), *parts):
        assert part in str(caught.value)


def test_a_wrong_variable_or_flag_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"GENEVOLVE_BUDGET_CALLS: expected a whole number"):
        load(tmp_path, environment={"GENEVOLVE_BUDGET_CALLS": "many"})
    with pytest.raises(
        ConfigurationError, match=r"GENEVOLVE_BUDGTE_CALLS; did you mean 'GENEVOLVE_BUDGET_CALLS'"
    ):
        load(tmp_path, environment={"GENEVOLVE_BUDGTE_CALLS": "1"})
    with pytest.raises(ConfigurationError, match=r"a flag: unknown setting budget\.call; did you mean"):
        load(tmp_path, flags={"budget.call": 1})
    with pytest.raises(ConfigurationError, match=r"search=0\.01"):
        load(tmp_path, environment={"GENEVOLVE_PRICES": "search"})


class TestSecrets:
    ENV = """
# keys of services
OPENAI_API_KEY="sk-0123456789abcdef"   # trailing
export SEARCH_TOKEN=token-0123456789 # comment
DB_PASSWORD='with # and spaces'
COLOUR=blue-and-green
"""

    @pytest.fixture
    def config(self, tmp_path: Path) -> Config:
        (tmp_path / ".env").write_text(self.ENV)
        return load(tmp_path, "", environment={"SEARCH_TOKEN": "from-the-environment", "PATH": "/bin"})

    def test_only_keys_are_read_and_the_environment_wins(self, config: Config) -> None:
        assert dict(config.secrets) == {
            "OPENAI_API_KEY": "sk-0123456789abcdef",
            "SEARCH_TOKEN": "from-the-environment",
            "DB_PASSWORD": "with # and spaces",
        }

    def test_values_are_never_shown(self, config: Config) -> None:
        shown = repr(config) + str(config.secrets) + str(config.to_dict()) + f"{config!s}"
        assert "sk-0123456789abcdef" not in shown
        assert "OPENAI_API_KEY" in repr(config.secrets)
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(config.secrets)
        with pytest.raises(TypeError, match="cannot be pickled"):
            copy.deepcopy(config.secrets)

    def test_redaction(self, config: Config) -> None:
        text = config.secrets.redact("refused: sk-0123456789abcdef is not valid; blue-and-green is")
        assert text == "refused: [redacted] is not valid; blue-and-green is"

    def test_no_env_file_away_from_the_project_file(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("OTHER_KEY=0123456789\n")
        assert "OTHER_KEY" not in load(tmp_path).secrets

    @pytest.mark.parametrize(
        "text", [b"OPENAI_API_KEY sk-0123456789abcdef\n", b"X_KEY=sk-0123456789abcdef\xff\n"]
    )
    def test_errors_do_not_quote_the_file(self, tmp_path: Path, text: bytes) -> None:
        (tmp_path / ".env").write_bytes(text)
        with pytest.raises(ConfigurationError) as caught:
            load(tmp_path, "")
        assert "sk-" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_every_setting_has_a_variable_of_its_own() -> None:
    assert len({variable_of(name) for name in SETTINGS}) == len(SETTINGS)


def test_to_dict_of_the_defaults_covers_every_setting() -> None:
    assert set(Config().to_dict()) == set(SETTINGS)


def test_reading_settings_imports_nothing_heavy() -> None:
    heavy = {"torch", "pydantic", "PIL", "numpy"}
    code = f"import sys, genevolve.interpreter.config; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
