"""Drawing z with a diffusers pipeline."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genevolve.grammar.errors import AuthorError, Cancelled, ConfigurationError, InternalError, ServiceError
from genevolve.grammar.z import Z
from genevolve.interpreter.protocols import CallContext, Rendering
from genevolve.interpreter.renderers.diffusers.arguments import build, prompt_notes, refusals
from genevolve.interpreter.renderers.diffusers.capabilities import Capabilities, inspect_pipeline
from genevolve.interpreter.renderers.diffusers.loading import (
    Loaded,
    brief,
    choose_device,
    device_lock,
    is_out_of_memory,
    load,
    out_of_memory,
)
from genevolve.interpreter.renderers.diffusers.options import Options
from genevolve.interpreter.renderers.diffusers.output import picture
from genevolve.interpreter.renderers.diffusers.source import PipelineSource, resolve_class
from genevolve.interpreter.values import ImageHandle

if TYPE_CHECKING:
    from PIL.Image import Image

_WAIT = 0.1  # seconds between looks at a busy device

# What pipelines raise for inputs, weights or versions that do not go together.
_FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class DiffusersRenderer:
    """Draws with any pipeline folder or hub repository that diffusers can load.

    Nothing is read before it is needed: `refusals` and `capabilities` read a few small files, the first
    `render` loads the weights, later ones use them again. Safe to call from several threads; pictures on one
    device are drawn one after the other.

    The seed goes to a generator on the processor, whatever the device: a program's noise is then the same on
    every machine, and pictures differ only by the devices' rounding.

    Args:
        location: a pipeline folder (with a `model_index.json`) or a hub id (`Qwen/Qwen-Image-Edit-2511`).
        options: device, number format, memory and the like.

    Raises:
        ConfigurationError: at once when `location` is neither a folder nor a possible hub id; other faults of
            the files are raised by the first call that meets them.
    """

    name = "diffusers"

    def __init__(self, location: str | Path, options: Options | None = None) -> None:
        self.options = options or Options()
        self.source = PipelineSource(
            str(location), revision=self.options.revision, offline=self.options.offline
        )
        self._lock = threading.RLock()
        self._capabilities: Capabilities | None = None
        self._loaded: Loaded | None = None

    @property
    def version(self) -> str:
        """Pipeline class, model and the commit or digest of its files."""
        folder = self.source.folder
        model = folder.resolve().name if folder is not None else self.source.location
        return f"{self._class_name} {model}@{self.source.version[:16]}"

    @property
    def capabilities(self) -> Capabilities:
        """What the pipeline takes; reads no weights. Raises `ConfigurationError` for unusable files."""
        with self._lock:
            if self._capabilities is None:
                self._capabilities = inspect_pipeline(self._class(), self.source)
            return self._capabilities

    @property
    def loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._loaded is not None

    def refusals(self, z: Z) -> Sequence[str]:
        """What of z the pipeline cannot honour; reads no weights."""
        found = list(refusals(z, self.capabilities, self.options.strength))
        if found and z.reference_images and self.capabilities.most_references == 0:
            found += self._other_class()
        return found

    def load(self) -> Loaded:
        """Load the weights now rather than with the first picture; a second call does nothing."""
        with self._lock:
            if self._loaded is None:
                if problems := self.capabilities.problems:
                    raise ConfigurationError(
                        f"{self._class_name} cannot be used as a renderer: {problems[0]}"
                    )
                self._loaded = load(self.source, self._class(), self.options)
            return self._loaded

    def unload(self) -> None:
        """Give the memory back; the next picture loads the weights again."""
        import gc

        import torch

        with self._lock:
            self._loaded = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def render(self, context: CallContext, z: Z, references: Sequence[ImageHandle]) -> Rendering:
        """Draw z. Blocks; stops within one step when the run is cancelled or its time is over.

        Raises:
            AuthorError: for what `refusals` lists, or a reference that cannot be read.
            ConfigurationError: when the pipeline cannot be loaded or does not fit into memory.
            ServiceError: when the pipeline fails, runs out of time or returns no usable picture.
            Cancelled: when the run was stopped.
        """
        if found := self.refusals(z):
            raise AuthorError("; ".join(found), code="GP524")
        if len(references) != len(z.reference_images):
            raise InternalError(f"{len(z.reference_images)} references in z, {len(references)} given")
        pictures = [open_reference(handle) for handle in references]
        with _turn(choose_device(self.options.device), context):
            started = time.monotonic()
            loaded = self.load()
            context.check()
            loading = time.monotonic() - started
            arguments = build(z, self.capabilities, pictures, self.options.strength)
            watch = Watch(context, self.capabilities.pipeline)
            result = self._draw(loaded, arguments.keywords, z.settings.seed, watch)
            # Still our turn: tokenizers keep settings between calls, so counting would disturb another's prompt.
            counted = prompt_notes(z.gen_prompt, loaded.pipeline, self.capabilities)
        image = picture(result, self.capabilities.pipeline)
        notes = [*arguments.notes, *counted]
        wanted = (z.settings.width, z.settings.height)
        if image.size != wanted:
            shown = f"{image.width}x{image.height}"
            notes.append(f"{wanted[0]}x{wanted[1]} was asked for, and the pipeline drew {shown}")
        timing = {
            "load_seconds": round(loading, 3),
            "seconds": round(time.monotonic() - started - loading, 3),
        }
        return Rendering(image, tuple(notes), self._info(loaded, arguments.keywords, watch, timing))

    def _draw(self, loaded: Loaded, keywords: Mapping[str, object], seed: int, watch: Watch) -> Any:
        import torch

        pipeline = loaded.pipeline
        generator = torch.Generator("cpu").manual_seed(seed)
        try:
            with watch.over(pipeline, by_callback=self.capabilities.step_callback) as callback:
                return pipeline(**keywords, **callback, generator=generator, output_type="np")
        except (Cancelled, ServiceError):
            raise
        except _FAILURES as error:
            if is_out_of_memory(error):
                raise out_of_memory("the picture", loaded.device) from error
            raise ServiceError(f"{self.capabilities.pipeline} failed: {brief(error)}") from error
        finally:
            pipeline.maybe_free_model_hooks()  # moves offloaded parts back also when the call was broken off

    def _info(
        self, loaded: Loaded, keywords: Mapping[str, object], watch: Watch, timing: Mapping[str, float]
    ) -> dict[str, object]:
        import diffusers

        sent = ("num_inference_steps", self.capabilities.guidance, "strength")
        return {
            "pipeline": self._class_name,
            "version": self.version,
            "device": loaded.device,
            "dtype": loaded.dtype,
            "offload": self.options.offload,
            "steps": watch.steps,
            "arguments": {name: keywords[name] for name in sent if name in keywords},
            "diffusers": diffusers.__version__,
            **timing,
        }

    @property
    def _class_name(self) -> str:
        return self.options.pipeline or self.source.class_name

    def _class(self) -> Any:
        self.source.index  # noqa: B018  # a broken folder is reported before a mistyped class
        return resolve_class(self._class_name, self.source.location)

    def _other_class(self) -> list[str]:
        """The counterpart of a text-only class that takes a picture and loads from the same files."""
        from diffusers.pipelines.auto_pipeline import (
            AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
            AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
        )

        for family, cls in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.items():
            other = AUTO_IMAGE2IMAGE_PIPELINES_MAPPING.get(family)
            if cls.__name__ == self._class_name and other is not None and other is not cls:
                return [f"with the option pipeline={other.__name__} the same files take one reference image"]
        return []


class Watch:
    """Looks after a running pipeline: counts its steps and breaks it off when the run is stopped.

    It breaks off by raising out of the step, so that nothing more is computed, not even the decoding.
    """

    def __init__(self, context: CallContext, pipeline: str) -> None:
        self.steps = 0
        self._context = context
        self._pipeline = pipeline

    @contextlib.contextmanager
    def over(self, pipeline: Any, *, by_callback: bool) -> Iterator[dict[str, object]]:
        """Keywords that make the call report its steps; without a callback the scheduler is watched."""
        if by_callback:
            yield {"callback_on_step_end": self._callback}
            return
        scheduler = pipeline.scheduler
        original = scheduler.step

        @functools.wraps(original)  # pipelines look at the signature for `eta` and `generator`
        def step(*args: Any, **named: Any) -> Any:
            self.step()
            return original(*args, **named)

        scheduler.step = step
        try:
            yield {}
        finally:
            del scheduler.step

    def step(self) -> None:
        """One step was made.

        Raises:
            Cancelled: when the run was stopped.
            ServiceError: when its time is over.
        """
        self.steps += 1
        self._context.check()
        if self._context.remaining() <= 0:
            raise ServiceError(f"{self._pipeline} ran out of time after {self.steps} steps")

    def _callback(self, pipeline: Any, step: int, timestep: Any, keywords: dict[str, Any]) -> dict[str, Any]:
        self.step()
        return keywords


@contextlib.contextmanager
def _turn(device: str, context: CallContext) -> Iterator[None]:
    """Wait until the device is free; a stopped run stops waiting."""
    lock = device_lock(device)
    while not lock.acquire(timeout=_WAIT):
        context.check()
        if context.remaining() <= 0:
            raise ServiceError(f"the device {device} was busy until the time was over")
    try:
        context.check()
        yield
    finally:
        lock.release()


def open_reference(handle: ImageHandle) -> Image:
    """A reference image as RGB, upright, transparent parts on white.

    Raises:
        AuthorError: when the file cannot be read as an image.
    """
    from PIL import Image as pil
    from PIL import ImageOps

    shown = handle.title or handle.id or handle.file.name
    try:
        with pil.open(handle.file) as opened:
            upright = ImageOps.exif_transpose(opened)
            if not upright.has_transparency_data:
                return upright.convert("RGB")
            layered = upright.convert("RGBA")
    except FileNotFoundError as error:
        raise AuthorError(f"the reference image {shown} is gone", code="GP413") from error
    except (OSError, ValueError, SyntaxError, pil.DecompressionBombError) as error:
        raise AuthorError(
            f"the reference image {shown} cannot be read: {brief(error)}", code="GP414"
        ) from error
    ground = pil.new("RGBA", layered.size, "white")
    return pil.alpha_composite(ground, layered).convert("RGB")
