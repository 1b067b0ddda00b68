"""Folders and repositories that are missing, broken, hostile or cached; options; renderers by name."""

from __future__ import annotations

import http.server
import json
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import tiny_pipelines as tiny

from genevolve.grammar.errors import ConfigurationError
from genevolve.grammar.z import Settings, Z
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.renderers import catalog
from genevolve.interpreter.renderers.catalog import open_renderer, renderer_names
from genevolve.interpreter.renderers.diffusers import DiffusersRenderer, Options

SMALL = Z("x", "a red apple", settings=Settings(64, 64, 1))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.stable_diffusion(tmp_path_factory.mktemp("source") / "plain")


def refused(location: object, options: Options | None = None) -> str:
    """The message with which a folder is refused before anything is loaded."""
    with pytest.raises(ConfigurationError) as caught:
        DiffusersRenderer(str(location), options).refusals(SMALL)
    return str(caught.value)


def not_loaded(location: object, options: Options | None = None) -> str:
    """The message with which loading fails, after the folder looked fine."""
    renderer = DiffusersRenderer(str(location), options)
    assert not renderer.refusals(SMALL)
    with pytest.raises(ConfigurationError) as caught:
        renderer.render(CallContext(), SMALL, [])
    assert not renderer.loaded
    return str(caught.value)


# ---- folders ----


def test_missing_folders_and_files_in_their_place(tmp_path: Path) -> None:
    assert "there is no pipeline folder" in refused(tmp_path / "nothing")
    assert "there is no pipeline folder" in refused("./nothing/here")
    single = tmp_path / "model.safetensors"
    single.write_bytes(b"x")
    assert "is a file; give a pipeline folder" in refused(single)


def test_folders_that_are_no_pipelines(tmp_path: Path) -> None:
    assert "it has no model_index.json" in refused(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert "is a single model" in refused(tmp_path)
    (tmp_path / "modular_model_index.json").write_text("{}")
    assert "modular pipeline" in refused(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("\ufeff{}", "not valid JSON"),
        ("[]", "is not a configuration"),
        ("{}", "does not name a pipeline class"),
        ('{"_class_name": 3}', "does not name a pipeline class"),
        ('{"_class_name": ["pipeline", "Mine"]}', "brings its own pipeline code"),
        ('{"_class_name": "StableDifusionPipeline"}', "did you mean StableDiffusionPipeline?"),
        ('{"_class_name": "os.path"}', "does not have"),
        ('{"_class_name": "AutoencoderKL"}', "not a pipeline class"),
        ('{"_class_name": "StableDiffusionPipeline", "../x": ["diffusers", "Y"]}', "malformed entry"),
        ('{"_class_name": "StableDiffusionPipeline", "vae": ["diffusers"]}', "malformed entry"),
        ('{"_class_name": "StableDiffusionPipeline", "vae": ["os", "system"]}', "code of its own (os)"),
        (
            '{"_class_name": "StableDiffusionPipeline", "vae": ["diffusers", "V"]}',
            "the folder vae is missing",
        ),
        ('{"_class_name": "StableDiffusionPipeline", "x": "' + "a" * 5_000_000 + '"}', "too large"),
    ],
)
def test_hostile_and_broken_indexes(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "model_index.json").write_text(text, encoding="utf-8")
    assert message in refused(tmp_path)


def test_an_index_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_bytes(b"\xff\xfe\x00\x01")
    assert "not valid JSON" in refused(tmp_path)


def test_a_pipeline_that_cannot_render_is_refused_without_weights(plain: Path, tmp_path: Path) -> None:
    folder = tiny.copy(plain, tmp_path / "inpaint", _class_name="StableDiffusionInpaintPipeline")
    renderer = DiffusersRenderer(folder)
    (sentence,) = renderer.refusals(SMALL)
    assert "StableDiffusionInpaintPipeline cannot be used as a renderer" in sentence
    with pytest.raises(ConfigurationError, match="masked part"):
        renderer.load()


def test_refusals_read_no_weights(plain: Path, tmp_path: Path) -> None:
    folder = tiny.copy(plain, tmp_path / "light")
    for weights in folder.rglob("*.safetensors"):
        weights.unlink()
    renderer = DiffusersRenderer(folder)
    assert renderer.refusals(Z("x", "y", settings=Settings(65, 64)))
    assert not renderer.refusals(SMALL)


def test_missing_weights(plain: Path, tmp_path: Path) -> None:
    folder = tiny.copy(plain, tmp_path / "gone")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    message = not_loaded(folder)
    assert message.startswith(f"cannot load {folder}: ")
    assert "diffusion_pytorch_model.safetensors" in message
    assert "\n" not in message


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff" * 64])
def test_broken_weights(plain: Path, tmp_path: Path, content: bytes) -> None:
    folder = tiny.copy(plain, tmp_path / "broken")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(content)
    assert not_loaded(folder).startswith(f"cannot load {folder}: ")


def test_pickled_weights_are_refused_unless_allowed(plain: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = tiny.copy(plain, tmp_path / "pickled")
    safe = folder / "vae" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(safe), safe.with_suffix(".bin"))
    safe.unlink()
    assert "the weights of vae" in not_loaded(folder)
    allowed = DiffusersRenderer(folder, Options(device="cpu", safetensors=False))
    assert allowed.render(CallContext(), SMALL, []).image.size == (64, 64)


def test_the_version_follows_the_weights(plain: Path, tmp_path: Path) -> None:
    same = tiny.copy(plain, tmp_path / "plain")
    assert DiffusersRenderer(same).version == DiffusersRenderer(plain).version
    weights = same / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert DiffusersRenderer(same).version != DiffusersRenderer(plain).version


def test_large_weights_are_sampled(tmp_path: Path) -> None:
    from genevolve.interpreter.renderers.diffusers.source import digest

    big = tmp_path / "w.safetensors"
    big.write_bytes(bytes(3_000_000))
    before = digest(tmp_path)
    big.write_bytes(bytes(2_999_999) + b"\x01")
    assert digest(tmp_path) != before
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "lock").write_text("x")
    big.write_bytes(bytes(3_000_000))
    assert digest(tmp_path) == before


# ---- hub ----

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_cached_repository_works_offline(plain: Path, cache: Path) -> None:
    repository = cache / "models--someone--tiny"
    shutil.copytree(plain, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    renderer = DiffusersRenderer("someone/tiny", Options(device="cpu", offline=True))
    assert not renderer.refusals(SMALL)
    assert renderer.refusals(Z("x", "y", settings=Settings(65, 64)))
    assert renderer.version == f"StableDiffusionPipeline someone/tiny@{COMMIT[:16]}"
    assert renderer.render(CallContext(), SMALL, []).image.size == (64, 64)


def test_a_repository_that_was_never_downloaded(cache: Path) -> None:
    assert "was not downloaded" in refused("someone/other", Options(offline=True))


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the model hub does for what may not be read."""

    def do_HEAD(self) -> None:
        code, error = {
            "gated": (403, "GatedRepo"),
            "gone": (404, "RepoNotFound"),
            "branch": (404, "RevisionNotFound"),
            "empty": (404, "EntryNotFound"),
        }[self.path.split("/")[2]]
        self.send_response(code)
        self.send_header("X-Error-Code", error)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from huggingface_hub import constants

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("someone/gated", None, "accept its licence"),
        ("someone/gone", None, "neither a folder someone/gone nor a hub repository"),
        ("someone/branch", "v9", "no revision 'v9'"),
        ("someone/empty", None, "it has no model_index.json"),
    ],
)
def test_what_the_hub_refuses(name: str, revision: str | None, message: str) -> None:
    assert message in refused(name, Options(revision=revision))


# ---- options ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(device="gpu"), "'gpu' is not a device"),
        (Options(device="cuda:99"), "no such CUDA device"),
        (Options(device="cpu", offload="model"), "offload=model needs a GPU"),
    ],
)
def test_devices_that_are_not_there(plain: Path, options: Options, message: str) -> None:
    assert message in not_loaded(plain, options)


def test_half_precision_is_taken_from_the_options(plain: Path) -> None:
    renderer = DiffusersRenderer(plain, Options(device="cpu", dtype="bfloat16"))
    done = renderer.render(CallContext(), SMALL, [])
    assert done.info["dtype"] == "bfloat16"
    assert str(renderer.load().pipeline.unet.dtype) == "torch.bfloat16"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("devise=cpu", "did you mean 'device'?"),
        ("zzz=1", "there are device, dtype"),
        ("dtype=half", "dtype is one of"),
        ("offload=disk", "offload is one of"),
        ("offline=perhaps", "offline is true or false"),
        ("strength=0", "strength is a number above 0"),
        ("strength=nan", "strength is a number above 0"),
        ("strength=much", "strength is a number above 0"),
        ("revision=", "is empty"),
        ("device", "name=value"),
        ("device=cpu&device=cuda", "given twice"),
    ],
)
def test_options_that_make_no_sense(plain: Path, query: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_renderer(f"diffusers:{plain}?{query}")
    assert message in str(caught.value)


# ---- renderers by name ----


def test_a_spec_with_options(plain: Path) -> None:
    renderer = open_renderer(f"diffusers:{plain}?device=cpu&strength=0.5&offline=true&safetensors=no")
    assert isinstance(renderer, DiffusersRenderer)
    assert renderer.options == Options(device="cpu", strength=0.5, offline=True, safetensors=False)
    assert renderer.source.folder == plain


def test_a_folder_may_have_a_question_mark(plain: Path, tmp_path: Path) -> None:
    folder = tiny.copy(plain, tmp_path / "what?ever")
    renderer = open_renderer(f"diffusers:{folder}")
    assert isinstance(renderer, DiffusersRenderer)
    assert renderer.source.folder == folder


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("storybord", "did you mean 'storyboard'?"),
        ("diffuser:x/y", "did you mean 'diffusers'?"),
        ("paint", "there are storyboard, diffusers"),
        ("", "there are storyboard, diffusers"),
        ("diffusers:", "needs a pipeline folder or a hub id"),
        ("storyboard:x", "takes nothing after its name"),
    ],
)
def test_unknown_names(spec: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_renderer(spec)
    assert message in str(caught.value)


def test_a_bare_folder_is_shown_its_spelling(plain: Path) -> None:
    with pytest.raises(ConfigurationError, match="is written diffusers:"):
        open_renderer(str(plain))


class Grey:
    """A renderer such as another package may bring."""

    name = "grey"
    version = "1"

    def __init__(self, argument: str) -> None:
        self.level = int(argument or "128")

    def refusals(self, z: Z) -> Sequence[str]:
        return []

    def render(self, context: CallContext, z: Z, references: Sequence[Any]) -> Rendering:
        from PIL import Image

        return Rendering(Image.new("RGB", (z.settings.width, z.settings.height), (self.level,) * 3))


def brought(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    made = [metadata.EntryPoint(name, value, catalog.GROUP) for name, value in points]
    monkeypatch.setattr(metadata, "entry_points", lambda group: [p for p in made if p.group == group])


def test_renderers_of_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    brought(monkeypatch, ("grey", f"{__name__}:Grey"))
    names = renderer_names()
    assert names[:2] == ("storyboard", "diffusers")
    assert names[-1] == "grey"
    made = open_renderer("grey:7")
    done = made.render(CallContext(), SMALL, [])
    assert isinstance(done, Rendering)
    assert done.image.getpixel((0, 0)) == (7, 7, 7)
    with pytest.raises(ConfigurationError, match="cannot be made with 'x'"):
        open_renderer("grey:x")
    with pytest.raises(ConfigurationError, match="did you mean 'grey'"):
        open_renderer("gray")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module_at_all:make", "cannot be imported"),
        (f"{__name__}:Missing", "cannot be imported"),
        ("builtins:str", "is not a renderer"),
    ],
)
def test_broken_renderers_of_other_packages(
    monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    brought(monkeypatch, ("theirs", value))
    with pytest.raises(ConfigurationError, match=message):
        open_renderer("theirs")


def test_two_packages_with_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    brought(monkeypatch, ("grey", "one:Grey"), ("grey", "two:Grey"))
    with pytest.raises(ConfigurationError, match="several packages"):
        open_renderer("grey")


def test_the_renderer_of_the_documentation_works(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs" / "renderers.md").read_text(encoding="utf-8")
    (block,) = [part.split("```")[0] for part in page.split("```python\n")[1:] if "class Flat" in part]
    names: dict[str, Any] = {"__name__": "flat_of_the_documentation"}
    exec(compile(block, "renderers.md", "exec"), names)
    module = ModuleType("flat_of_the_documentation")
    module.__dict__.update(names)
    monkeypatch.setitem(sys.modules, "flat_of_the_documentation", module)
    brought(monkeypatch, ("flat", "flat_of_the_documentation:Flat"))
    done = open_renderer("flat:red").render(CallContext(), SMALL, [])
    assert isinstance(done, Rendering)
    assert done.image.getpixel((0, 0)) == (255, 0, 0)


def test_index_is_read_once(plain: Path, tmp_path: Path) -> None:
    folder = tiny.copy(plain, tmp_path / "once")
    renderer = DiffusersRenderer(folder)
    assert not renderer.refusals(SMALL)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "DDPMPipeline"}))
    assert not renderer.refusals(SMALL)
