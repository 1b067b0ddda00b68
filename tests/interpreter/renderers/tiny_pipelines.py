"""Small diffusers pipelines with random weights, built from configurations and saved as ordinary folders.

They have the classes, the files and the call signatures of the real ones and a few thousand parameters, so the
renderer loads them from disk and draws with them on one processor core in moments. What they draw is noise; what
the tests read off it is whether each input reached the model.

`Qwen2VLProcessor` wants a video processor, and that needs torchvision. The Qwen folders are made without it, by the
renderer's own `picture_processor`, and their index then names `Qwen2VLProcessor` as published folders do.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLQwenImage,
    DDIMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    FluxKontextPipeline,
    FluxTransformer2DModel,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPConfig,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from genevolve.interpreter.renderers.diffusers.processors import picture_processor

QWEN_SPECIALS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


def save(pipeline: DiffusionPipeline, folder: Path) -> Path:
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def edit_index(folder: Path, **entries: Any) -> Path:
    """Change entries of `model_index.json`; None removes one."""
    path = folder / "model_index.json"
    index = json.loads(path.read_text())
    index.update(entries)
    path.write_text(json.dumps({k: v for k, v in index.items() if v is not None}))
    return folder


def copy(folder: Path, to: Path, **entries: Any) -> Path:
    shutil.copytree(folder, to)
    return edit_index(to, **entries) if entries else to


def lively(model: Any, factor: float = 3.0) -> Any:
    """Larger random weights, so that attention tells its inputs apart as a trained model's does."""
    for weights in model.parameters():
        if weights.ndim > 1:
            weights.data.mul_(factor)
    return model


def clip_tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer with a vocabulary of single bytes: every letter is one of the 77 tokens."""
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=[],
        pad_token="<|endoftext|>",
        model_max_length=77,
    )


def clip_text(width: int = 32, projection: bool = False) -> Any:
    config = CLIPTextConfig(
        vocab_size=514,
        hidden_size=width,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        projection_dim=width,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)


def autoencoder(latents: int = 4) -> AutoencoderKL:
    """Eight pixels a latent, as in Stable Diffusion and Flux."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8),
        norm_num_groups=2,
        layers_per_block=1,
        latent_channels=latents,
        shift_factor=0.0,
    )


def noise_schedule() -> DDIMScheduler:
    return DDIMScheduler(beta_schedule="scaled_linear", steps_offset=1, clip_sample=False)


def unet(channels_in: int = 4, **more: Any) -> UNet2DConditionModel:
    settings: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": channels_in,
        "out_channels": 4,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": 4,
        "cross_attention_dim": 32,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    return UNet2DConditionModel(**(settings | more))


def stable_diffusion(folder: Path, cls: type[Any] = StableDiffusionPipeline, checked: bool = False) -> Path:
    """Text to image, CLIP and a U-Net. `checked` adds a safety checker that objects to every picture."""
    torch.manual_seed(0)
    pipeline = cls(
        vae=autoencoder(),
        text_encoder=clip_text(),
        tokenizer=clip_tokenizer(),
        unet=unet(),
        scheduler=noise_schedule(),
        safety_checker=strict_checker() if checked else None,
        feature_extractor=CLIPImageProcessorPil(size=32, crop_size=32) if checked else None,
        requires_safety_checker=checked,
    )
    return save(pipeline, folder)


def strict_checker() -> StableDiffusionSafetyChecker:
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        projection_dim=16,
        vision_config={**tower, "image_size": 32, "patch_size": 16},
        text_config={**tower, "vocab_size": 8},
    )
    checker = StableDiffusionSafetyChecker(config)
    checker.concept_embeds_weights.data.fill_(-2.0)  # below every cosine: each concept is always found
    return checker


def image_to_image(folder: Path) -> Path:
    """One reference image that the picture starts from."""
    return stable_diffusion(folder, StableDiffusionImg2ImgPipeline)


def edit_without_callback(folder: Path) -> Path:
    """One reference image; the class has no callback after a step."""
    torch.manual_seed(0)
    pipeline = StableDiffusionXLInstructPix2PixPipeline(
        vae=autoencoder(),
        text_encoder=clip_text(),
        text_encoder_2=clip_text(projection=True),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        unet=unet(
            8,
            cross_attention_dim=64,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=80,
        ),
        scheduler=noise_schedule(),
        add_watermarker=False,
    )
    return save(pipeline, folder)


def flux_kontext(folder: Path) -> Path:
    """One reference image or none, CLIP and T5, latents packed two by two."""
    torch.manual_seed(0)
    letters = [(c, -3.0) for c in sorted(map(chr, range(33, 127)))]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *letters]
    t5 = T5Config(
        vocab_size=len(pieces),
        d_model=32,
        d_kv=8,
        d_ff=37,
        num_heads=4,
        num_layers=2,
        decoder_start_token_id=0,
    )
    pipeline = FluxKontextPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=lively(autoencoder(), 1.5),
        text_encoder=clip_text(),
        tokenizer=clip_tokenizer(),
        text_encoder_2=T5EncoderModel(t5),
        tokenizer_2=T5Tokenizer(vocab=pieces, extra_ids=0),
        transformer=lively(
            FluxTransformer2DModel(
                patch_size=1,
                in_channels=16,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=32,
                pooled_projection_dim=32,
                axes_dims_rope=(4, 4, 8),
                guidance_embeds=True,
            )
        ),
    )
    return save(pipeline, folder)


def qwen_tokenizer() -> Qwen2Tokenizer:
    """Qwen's byte-level tokenizer without merges, with the special tokens of its chat template."""
    tokenizer = Qwen2Tokenizer(vocab={c: i for i, c in enumerate(sorted(ByteLevel.alphabet()))}, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": list(QWEN_SPECIALS)})
    return tokenizer


def qwen_text_encoder(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLForConditionalGeneration:
    def token(text: str) -> int:
        return int(tokenizer.convert_tokens_to_ids(text))

    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
            "vocab_size": len(tokenizer),
            "bos_token_id": token("<|endoftext|>"),
            "eos_token_id": token("<|im_end|>"),
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": 16,
            "fullatt_block_indexes": [0],
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
    )
    return Qwen2_5_VLForConditionalGeneration(config)


def qwen_edit(folder: Path, cls: type[Any] = QwenImageEditPlusPipeline) -> Path:
    """Qwen-Image-Edit: reference images seen by a vision-language model and by the transformer."""
    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    pipeline = cls(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=lively(
            AutoencoderKLQwenImage(
                base_dim=4,
                z_dim=4,
                dim_mult=[1, 1, 1, 1],
                num_res_blocks=1,
                temperal_downsample=[False, True, True],
                latents_mean=[0.0] * 4,
                latents_std=[1.0] * 4,
            ),
            1.5,
        ),
        text_encoder=qwen_text_encoder(tokenizer),
        tokenizer=tokenizer,
        processor=picture_processor(Qwen2VLImageProcessorPil(), tokenizer),
        transformer=lively(
            QwenImageTransformer2DModel(
                patch_size=2,
                in_channels=16,
                out_channels=4,
                num_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=16,
                axes_dims_rope=(4, 6, 6),
            )
        ),
    )
    save(pipeline, folder)
    return edit_index(folder, processor=["transformers", "Qwen2VLProcessor"])


def qwen_edit_single(folder: Path) -> Path:
    return qwen_edit(folder, QwenImageEditPipeline)
