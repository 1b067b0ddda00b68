"""Models and tokenizers from disk or the hub, and what can go wrong with them, in plain words.

A model is a folder in Hugging Face format, a GGUF file, a hub id, or a folder with a LoRA adapter. Weights are read
from safetensors (and GGUF) files only: pickle files can carry code. No code of a repository is run unless asked for.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from logging import ERROR
from pathlib import Path
from typing import Any

from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.renderers.diffusers.loading import (
    brief,
    choose_device,
    choose_dtype,
    is_out_of_memory,
)
from genevolve.programs.policies.local.options import LocalOptions

ADAPTER = "adapter_config.json"
GGUF_MAGIC = b"GGUF"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_MOST_CONFIG = 16 * 1024 * 1024  # bytes; a configuration is a few kilobytes
_SAMPLES = 1024  # numbers of each tensor that go into the digest


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to write. `processor` prepares pictures, for models that can be shown some."""

    model: Any
    tokenizer: Any
    processor: Any | None
    location: str
    device: str
    dtype: str


@dataclass(frozen=True)
class _Place:
    """Where a model lies: what `from_pretrained` takes."""

    location: str
    where: dict[str, Any]
    folder: Path | None

    @property
    def gguf(self) -> bool:
        return "gguf_file" in self.where


def load(location: str, options: LocalOptions) -> Loaded:
    """Load a model and its tokenizer.

    Args:
        location: A folder, a GGUF file, a hub id, or a folder with an adapter.
        options: See `LocalOptions`.

    Raises:
        ConfigurationError: There is no such model, it is no language model, its files are incomplete, damaged or
            carry code, its tokenizer is missing, the hub does not answer, or it does not fit into memory.
    """
    device = choose_device(options.device)
    dtype = choose_dtype(options.dtype, device)
    adapter = options.adapter
    if adapter is None and (Path(location).expanduser() / ADAPTER).is_file():
        adapter, location = location, options.base or _base_of(Path(location).expanduser())
    elif options.base is not None:
        raise ConfigurationError(f"base names the model under an adapter, but {location} has no {ADAPTER}")
    place = _place(location, options)
    with _quiet(), _read_once(place), _told(place, device):
        config = _config(place)
        model = _model(place, config, options, dtype)
        _unquantized(model)
        if adapter is not None:
            model = _adapted(model, adapter, options)
        model = model.to(device).eval()
        processor = _processor(place, model) if _reads_images(config) else None
        tokenizer = _tokenizer(place)
    return Loaded(model, tokenizer, processor, location, device, dtype)


def weights_digest(model: Any) -> str:
    """A hash of what a model computes: its configuration and a sample of each of its tensors (1,024 numbers each).

    It changes with every training step, and does not depend on where the files lie.
    """
    import torch

    settings = model.config.to_dict()
    for name in ("_name_or_path", "transformers_version", "architectures", "dtype", "use_cache"):
        settings.pop(name, None)
    whole = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            whole.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            flat = tensor.detach().reshape(-1)
            step = max(1, flat.numel() // _SAMPLES)
            whole.update(flat[::step][: _SAMPLES + 1].double().cpu().numpy().tobytes())
    return whole.hexdigest()


# ---- where -------------------------------------------------------------------------------------------


def _place(location: str, options: LocalOptions) -> _Place:
    where: dict[str, Any] = {
        "trust_remote_code": options.trust_remote_code,
        "local_files_only": options.offline,
    }
    path = Path(location).expanduser()
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise ConfigurationError(f"{location} is a file; a model is a folder, a GGUF file or a hub id")
        with path.open("rb") as file:
            if file.read(4) != GGUF_MAGIC:
                raise ConfigurationError(f"{location} is no GGUF file: its first bytes are others")
        return _Place(str(path.parent), where | {"gguf_file": path.name}, path.parent)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise ConfigurationError(_no_config(path))
        return _Place(str(path), where, path)
    if not _HUB_ID.fullmatch(location) or path.suffix.lower() == ".gguf" or location.startswith("."):
        raise ConfigurationError(f"there is no file or folder {location}")
    if options.revision is not None:
        where["revision"] = options.revision
    return _Place(location, where, None)


def _no_config(path: Path) -> str:
    files = sorted(p.name for p in path.glob("*.gguf"))
    if files:
        return f"{path} holds GGUF files; name the one to load, as in {path / files[0]}"
    return f"{path} is not a model in Hugging Face format: it has no config.json"


def _base_of(adapter: Path) -> str:
    """The model that an adapter folder was trained on."""
    file = adapter / ADAPTER
    try:
        if file.stat().st_size > _MOST_CONFIG:
            raise ConfigurationError(f"{file} is too large for a configuration")
        named = json.loads(file.read_text("utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {brief(error)}") from error
    if not isinstance(named, str) or not named:
        raise ConfigurationError(f"{file} names no base model; give one with base=")
    return named


# ---- parts -------------------------------------------------------------------------------------------


def _config(place: _Place) -> Any:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(place.location, **place.where)
    if not _writes_text(config):
        raise ConfigurationError(
            f"{place.location} is a {config.model_type} model, which is not a causal language model"
        )
    return config


def _writes_text(config: Any) -> bool:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    if getattr(config, "auto_map", None) and "AutoModelForCausalLM" in config.auto_map:
        return True
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        # Encoders are in the table too, for decoders made of them: their own checkpoints cannot write.
        encoders = ("bert", "roberta", "electra", "xlm-roberta", "camembert", "data2vec-text", "ernie")
        return config.model_type not in encoders or bool(getattr(config, "is_decoder", False))
    return _reads_images(config)


def _reads_images(config: Any) -> bool:
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    )

    if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or hasattr(config, "vision_config")
    return False


def _model(place: _Place, config: Any, options: LocalOptions, dtype: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    cls = AutoModelForImageTextToText if _reads_images(config) else AutoModelForCausalLM
    more: dict[str, Any] = {} if options.attention == "auto" else {"attn_implementation": options.attention}
    if not place.gguf:
        _refuse_pickle(place, options)
        more["use_safetensors"] = None if options.pickle else True
    return cls.from_pretrained(
        place.location, config=config, **place.where, **more, dtype=getattr(torch, dtype)
    )


def _refuse_pickle(place: _Place, options: LocalOptions) -> None:
    folder = place.folder
    if folder is None or options.pickle or any(folder.glob("*.safetensors")):
        return
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        raise ConfigurationError(
            f"the weights in {folder} are pickle files, which can carry code; save them as safetensors, "
            "or set pickle=true if you trust them"
        )
    raise ConfigurationError(f"{folder} holds no weights: there is no .safetensors file")


def _unquantized(model: Any) -> None:
    """A model read from GGUF has plain weights; without these marks it can be trained and saved as such."""
    if getattr(model, "quantization_method", None) != "gguf":
        return
    for name in ("hf_quantizer", "quantization_method", "is_quantized"):
        if hasattr(model, name):
            delattr(model, name)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


def _adapted(model: Any, adapter: str, options: LocalOptions) -> Any:
    from peft import PeftModel

    folder = Path(adapter).expanduser()
    if not (folder / ADAPTER).is_file():
        raise ConfigurationError(f"{adapter} is not an adapter: there is no {ADAPTER} in it")
    if not (folder / "adapter_model.safetensors").is_file() and not options.pickle:
        raise ConfigurationError(f"{adapter} has no adapter_model.safetensors; other files can carry code")
    try:
        return PeftModel.from_pretrained(model, str(folder))
    except (ValueError, RuntimeError, KeyError, TypeError, OSError) as error:
        raise ConfigurationError(f"the adapter {adapter} does not fit the model: {brief(error)}") from error


def _tokenizer(place: _Place) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(place.location, **place.where)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise ConfigurationError(f"{place.location} has no usable tokenizer: {brief(error)}") from error
    if len(tokenizer) == 0:
        raise ConfigurationError(f"{place.location} has no usable tokenizer: it is empty")
    return tokenizer


def _processor(place: _Place, model: Any) -> Any | None:
    """What prepares pictures; None for models whose pictures go in some other way than ours: they get text alone.

    Not the processor of texts and pictures together: that one asks for libraries of video.
    """
    from transformers import AutoImageProcessor

    from genevolve.programs.policies.local.vision import unsupported

    if unsupported(model):
        return None
    try:
        return AutoImageProcessor.from_pretrained(place.location, **place.where)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise ConfigurationError(
            f"{place.location} has no usable image processor (preprocessor_config.json): {brief(error)}"
        ) from error


# ---- errors ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _told(place: _Place, device: str) -> Iterator[None]:
    """Errors of other libraries as ours."""
    import struct

    from safetensors import SafetensorError

    try:
        yield
    except ConfigurationError:
        raise
    except ImportError as error:
        raise ConfigurationError(
            f"{place.location} needs a library that is missing: {brief(error)}"
        ) from error
    # Which of these a damaged file ends in depends on where it is damaged.
    except (
        OSError,
        ValueError,
        RuntimeError,
        TypeError,
        KeyError,
        AttributeError,
        IndexError,
        AssertionError,
        MemoryError,
        OverflowError,
        struct.error,
        SafetensorError,
    ) as error:
        if is_out_of_memory(error):
            raise ConfigurationError(f"{place.location} does not fit into the memory of {device}") from error
        raise ConfigurationError(_cannot_load(place, error)) from error


def _cannot_load(place: _Place, error: BaseException) -> str:
    if place.gguf:
        return f"{place.where['gguf_file']} cannot be read as a GGUF file: {brief(error)}"
    if place.folder is None and isinstance(error, OSError):
        if place.where["local_files_only"]:
            return f"{place.location} was not downloaded before, and offline=true forbids to ask the hub"
        return f"{place.location} is no folder here, and the hub does not give it: {brief(error)}"
    if "trust_remote_code" in str(error):
        return f"{place.location} brings code of its own, which is not run; set trust_remote_code=true if you trust it"
    return f"cannot load {place.location}: {brief(error)}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without progress bars and notes of transformers, which would run through a command's output."""
    from huggingface_hub.utils import logging as of_hub
    from transformers import modeling_gguf_pytorch_utils as of_gguf
    from transformers.utils import logging

    shown, level, bar = logging.is_progress_bar_enabled(), logging.get_verbosity(), of_gguf.tqdm
    hub = of_hub.get_verbosity()
    of_hub.set_verbosity(ERROR)  # it tells of every attempt
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    of_gguf.tqdm = functools.partial(bar, disable=True)  # this one asks nobody whether it may show itself
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        of_gguf.tqdm = bar
        of_hub.set_verbosity(hub)
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _read_once(place: _Place) -> Iterator[None]:
    """Transformers parses a GGUF file anew for configuration, weights and tokenizer, seconds each: here once."""
    if not place.gguf:
        yield
        return
    import gguf

    module: Any = gguf
    reader = module.GGUFReader
    module.GGUFReader = functools.lru_cache(maxsize=1)(reader)
    try:
        yield
    finally:
        module.GGUFReader = reader
