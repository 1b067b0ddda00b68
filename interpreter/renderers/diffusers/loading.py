"""Loading a pipeline once: device, number format, memory, and what can go wrong, in plain words."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.renderers.diffusers.options import Options
from genevolve.interpreter.renderers.diffusers.processors import replacements

if TYPE_CHECKING:
    from genevolve.interpreter.renderers.diffusers.source import PipelineSource

_locks: dict[str, threading.Lock] = {}
_locks_guard = threading.Lock()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pipeline that is ready to draw; only diffusers knows its class."""

    pipeline: Any
    device: str
    dtype: str


def device_lock(device: str) -> threading.Lock:
    """The lock of a device: two pictures at a time would only compete for its memory."""
    with _locks_guard:
        return _locks.setdefault("cuda:0" if device == "cuda" else device, threading.Lock())


def choose_device(wanted: str) -> str:
    """The torch device for an option: `auto` is the best there is.

    Raises:
        ConfigurationError: for a device that torch does not know or that this machine does not have.
    """
    import torch

    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise ConfigurationError(f"{wanted!r} is not a device; use auto, cpu, cuda, cuda:1 or mps") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigurationError(
            f"the device {wanted} was asked for, but this machine has no such CUDA device"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigurationError("the device mps was asked for, but this machine has none")
    return wanted


def choose_dtype(wanted: str, device: str) -> str:
    """The number format for an option: `auto` is bfloat16 on an accelerator, float32 on the processor."""
    import torch

    if wanted != "auto":
        return wanted
    kind = torch.device(device).type
    if kind == "cpu":
        return "float32"
    if kind == "cuda" and not torch.cuda.is_bf16_supported():
        return "float16"
    return "bfloat16"


def load(source: PipelineSource, cls: Any, options: Options) -> Loaded:
    """Load the weights and put them where they will be used.

    Raises:
        ConfigurationError: when the files are incomplete, do not fit the installed libraries, cannot be
            fetched, or do not fit into memory.
    """
    import torch
    from safetensors import SafetensorError

    device = choose_device(options.device)
    dtype = choose_dtype(options.dtype, device)
    if options.offload != "none" and torch.device(device).type == "cpu":
        raise ConfigurationError(
            f"offload={options.offload} needs a GPU: on the processor there is nothing to move to"
        )
    try:
        with quiet_bars():
            pipeline = _read(source, cls, options, getattr(torch, dtype))
            _place(pipeline, device, options.offload)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise out_of_memory(source.location, device) from error
    except ImportError as error:
        raise ConfigurationError(
            f"{source.location} needs a library that is missing: {brief(error)}"
        ) from error
    # Which of these damaged weights end in depends on the component that is read first.
    except (
        OSError,
        ValueError,
        RuntimeError,
        TypeError,
        KeyError,
        AttributeError,
        SafetensorError,
    ) as error:
        if is_out_of_memory(error):
            raise out_of_memory(source.location, device) from error
        raise ConfigurationError(_cannot_load(source, options, error)) from error
    return Loaded(pipeline, device, dtype)


def _read(source: PipelineSource, cls: Any, options: Options, dtype: Any) -> Any:
    import diffusers

    where: dict[str, Any] = {"local_files_only": options.offline}
    if source.folder is None and source.commit is not None:
        where["revision"] = source.commit  # what `refusals` read is what gets loaded
    # diffusers renamed the argument
    named = "dtype" if _version(diffusers.__version__) >= (0, 42) else "torch_dtype"
    return cls.from_pretrained(
        str(source.folder or source.location),
        **{named: dtype},
        **where,
        variant=options.variant,
        use_safetensors=True if options.safetensors else None,
        trust_remote_code=False,
        **replacements(source, **where),
    )


def _place(pipeline: Any, device: str, offload: str) -> None:
    pipeline.set_progress_bar_config(disable=True)
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def _cannot_load(source: PipelineSource, options: Options, error: Exception) -> str:
    folder = source.folder
    if folder is not None and options.safetensors:
        for name in source.components:
            part = folder / name
            if any(part.glob("*.bin")) and not any(part.glob("*.safetensors")):
                return (
                    f"the weights of {name} in {source.location} are pickle files, which can carry code; "
                    "save them as safetensors, or set safetensors=false if you trust them"
                )
    return f"cannot load {source.location}: {brief(error)}"


def out_of_memory(what: str, device: str) -> ConfigurationError:
    """The error for a pipeline that does not fit into memory, with what can be done about it."""
    advice = (
        "use a smaller model"
        if device == "cpu"
        else "try offload=model, then offload=sequential, a smaller size, or a smaller model"
    )
    return ConfigurationError(f"{what} does not fit into the memory of {device}; {advice}")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; some kernels of torch report that as a plain `RuntimeError`."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return any(mark in text for mark in ("out of memory", "can't allocate memory", "not enough memory"))


def brief(error: BaseException, most: int = 300) -> str:
    """An error's message on one line, cut to `most` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else text[: most - 1] + "…"


@contextlib.contextmanager
def quiet_bars() -> Iterator[None]:
    """Without the progress bars of diffusers and transformers, which would run through a command's output."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    shown = [m for m in (of_diffusers, of_transformers) if m.is_progress_bar_enabled()]
    for module in shown:
        module.disable_progress_bar()
    try:
        yield
    finally:
        for module in shown:
            module.enable_progress_bar()
