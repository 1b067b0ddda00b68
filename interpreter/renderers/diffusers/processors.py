"""Parts of a pipeline that its own loader cannot make in every environment."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genevolve.interpreter.renderers.diffusers.source import PipelineSource


def replacements(source: PipelineSource, **where: object) -> dict[str, Any]:
    """Components to hand to `from_pretrained` instead of letting it load them.

    Qwen-Image-Edit reads its references with `Qwen2VLProcessor`, whose constructor also wants a video
    processor, and that needs torchvision. Pictures do not: without torchvision the same class is made from the
    tokenizer and the Pillow image processor alone.

    Args:
        source: the pipeline's files.
        where: keywords that tell transformers where to load from (`revision`, `local_files_only`).
    """
    if source.component_class("processor") != "Qwen2VLProcessor" or _has("torchvision"):
        return {}
    from transformers import AutoTokenizer
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    location = str(source.folder or source.location)
    tokenizer = AutoTokenizer.from_pretrained(location, subfolder="processor", **where)
    images = Qwen2VLImageProcessorPil.from_pretrained(location, subfolder="processor", **where)
    return {"processor": picture_processor(images, tokenizer)}


def picture_processor(images: Any, tokenizer: Any) -> Any:
    """A `Qwen2VLProcessor` for text and pictures without its video part.

    Args:
        images: a Qwen2-VL image processor of any backend.
        tokenizer: a tokenizer that has the tokens `<|image_pad|>` and `<|video_pad|>`.
    """
    from transformers import Qwen2VLProcessor
    from transformers.processing_utils import ProcessorMixin

    class PictureProcessor(Qwen2VLProcessor):  # type: ignore[misc]  # transformers has no types
        """The processor without a video part: its parts are the arguments of this constructor."""

        def __init__(self, image_processor: Any, tokenizer: Any, chat_template: str | None = None) -> None:
            self.image_token = "<|image_pad|>"  # noqa: S105  # a token of the vocabulary, not a secret
            self.video_token = "<|video_pad|>"  # noqa: S105  # likewise
            self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
            self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
            ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    return PictureProcessor(images, tokenizer)


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
