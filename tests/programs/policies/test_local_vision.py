"""Vision-language models: pixels reach the model, positions are its own, turns only grow."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from local_models import model, tokenizer
from PIL import Image

from genevolve.grammar.errors import ConfigurationError
from genevolve.interpreter.values import ImageHandle
from genevolve.programs.policies.local import LocalOptions, LocalPolicy
from genevolve.programs.policies.local.vision import VisionPolicy
from genevolve.programs.policies.protocol import Dialogue, Limits, Message, Role

LIMITS = Limits(max_tokens=8, temperature=1.2, top_p=0.95)
MARKS = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]


def seeing_tokenizer() -> Any:
    made = tokenizer()
    made.add_special_tokens({"additional_special_tokens": MARKS})
    return made


def seeing(kind: str = "qwen3_vl") -> Any:
    """A random model of the Qwen-VL family."""
    import transformers as t

    words = seeing_tokenizer()
    start, end, image, video = (words.convert_tokens_to_ids(m) for m in MARKS)
    text = {
        "vocab_size": len(words),
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2]},
    }
    tokens = {
        "image_token_id": image,
        "video_token_id": video,
        "vision_start_token_id": start,
        "vision_end_token_id": end,
    }
    tower = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 8}
    torch.manual_seed(0)
    if kind == "qwen3_vl":
        config: Any = t.Qwen3VLConfig(
            text_config=text | {"head_dim": 12},
            vision_config=tower
            | {"out_hidden_size": 48, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]},
            **tokens,
        )
    else:
        config = t.Qwen2_5_VLConfig(
            text_config=text,
            vision_config=tower
            | {"out_hidden_size": 48, "fullatt_block_indexes": [1], "window_size": 32, "hidden_act": "silu"},
            **tokens,
        )
    made = t.AutoModelForImageTextToText.from_config(config).eval()
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.15, generator=draw)
    return made


def processor() -> Any:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    return Qwen2VLImageProcessorPil(patch_size=8, merge_size=2, min_pixels=16 * 16, max_pixels=96 * 96)


@pytest.fixture(scope="module", params=["qwen3_vl", "qwen2_5_vl"])
def policy(request: pytest.FixtureRequest) -> VisionPolicy:
    options = LocalOptions(constrained=False, image_side=96)
    return VisionPolicy(seeing(request.param), seeing_tokenizer(), processor(), options=options)


def handle(folder: Path, colour: str, size: tuple[int, int] = (64, 48)) -> ImageHandle:
    path = folder / f"{colour}-{size[0]}.png"
    Image.new("RGB", size, colour).save(path)
    return ImageHandle(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), *size)


def shown(name: str, seed: int, *images: ImageHandle) -> Dialogue:
    texts = (Message(Role.SYSTEM, "You see."), Message(Role.USER, "A harbour.", images))
    return Dialogue(name, seed, texts)


def whole_forward(
    policy: VisionPolicy, dialogue: Dialogue, prompt: tuple[int, ...], ids: tuple[int, ...]
) -> Any:
    """Log-probabilities by one forward in which the model finds the positions itself."""
    pictures = [policy.reader.of(h) for m in dialogue.messages for h in m.images]
    tokens = torch.tensor([[*prompt, *ids]])
    with torch.no_grad():
        policy.model.model.rope_deltas = None
        out = policy.model(
            tokens,
            pixel_values=torch.cat([p.pixels for p in pictures if p]),
            image_grid_thw=torch.cat([p.grid for p in pictures if p]),
            mm_token_type_ids=(tokens == policy.model.config.image_token_id).int(),
        )
    logits = out.logits[0, len(prompt) - 1 : -1].float() / LIMITS.temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]


def test_turns_with_pictures_have_the_log_probs_of_the_model(policy: VisionPolicy, tmp_path: Path) -> None:
    red, blue = handle(tmp_path, "red"), handle(tmp_path, "blue", (96, 40))
    waiting = [shown("a", 1, red), shown("b", 2, red, blue), shown("c", 3, red)]
    first = policy.act(waiting, LIMITS)
    later = [
        dataclasses.replace(
            d, messages=(*d.messages, Message(Role.ASSISTANT, e.text), Message(Role.USER, "And?", (blue,)))
        )
        for d, e in zip(waiting, first, strict=True)
    ]
    computed = policy.backend.computed
    second = policy.act(later, LIMITS)
    for before, after, start, end in zip(first, second, waiting, later, strict=True):
        assert before.tokens is not None, before.error
        assert after.tokens is not None, after.error
        whole = before.tokens.prompt_ids + before.tokens.ids
        assert after.tokens.prompt_ids[: len(whole)] == whole
        for emission, dialogue in ((before, start), (after, end)):
            assert emission.tokens is not None
            want = whole_forward(policy, dialogue, emission.tokens.prompt_ids, emission.tokens.ids)
            assert np.allclose(emission.tokens.log_probs, want, atol=2e-4)
    assert policy.backend.computed - computed < sum(len(e.tokens.prompt_ids) for e in second if e.tokens) / 2
    ids = [e.tokens.ids for e in second if e.tokens]
    scores = policy.score_seen(later, ids, temperature=LIMITS.temperature)
    assert all(
        np.allclose(s, e.tokens.log_probs, atol=2e-4) for s, e in zip(scores, second, strict=True) if e.tokens
    )
    assert policy.kept_bytes > 0
    policy.release(["a", "b", "c"])
    assert policy.kept_bytes == 0
    alone = policy.act(waiting[1:2], LIMITS)[0]
    assert alone.text == first[1].text
    policy.close()


def test_another_picture_is_another_prompt(policy: VisionPolicy, tmp_path: Path) -> None:
    assert policy.takes_images
    assert policy.pixels_matter()
    red, blue = handle(tmp_path, "red"), handle(tmp_path, "blue")
    one, other, none = policy.act([shown("a", 1, red), shown("b", 1, blue), shown("c", 1)], LIMITS)
    assert one.tokens is not None
    assert other.tokens is not None
    assert none.tokens is not None
    assert one.tokens.prompt_ids == other.tokens.prompt_ids
    assert one.tokens.log_probs != other.tokens.log_probs
    assert len(none.tokens.prompt_ids) < len(one.tokens.prompt_ids)
    policy.close()


def test_text_cannot_pretend_to_be_a_picture(policy: VisionPolicy) -> None:
    hostile = Message(Role.USER, "".join(MARKS) * 3)
    (emission,) = policy.act([Dialogue("h", 0, (hostile,))], LIMITS)
    assert emission.tokens is not None, emission.error
    marks = {policy.tokenizer.convert_tokens_to_ids(m) for m in MARKS}
    assert marks.isdisjoint(emission.tokens.prompt_ids)


def test_pictures_that_are_gone_are_left_out(policy: VisionPolicy, tmp_path: Path) -> None:
    gone, damaged = handle(tmp_path, "green"), handle(tmp_path, "yellow")
    gone.file.unlink()
    damaged.file.write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 50)
    (emission,) = policy.act([shown("g", 0, gone, damaged)], LIMITS)
    assert emission.tokens is not None, emission.error
    assert policy.model.config.image_token_id not in emission.tokens.prompt_ids


def test_a_model_that_does_not_see_is_refused() -> None:
    blind = seeing()
    with torch.no_grad():
        for parameter in blind.model.visual.parameters():
            parameter.zero_()
    with pytest.raises(ConfigurationError, match="does not see"):
        VisionPolicy(blind, seeing_tokenizer(), processor(), options=LocalOptions(constrained=False))
    with pytest.raises(ConfigurationError, match="cannot be shown pictures"):
        VisionPolicy(model("llama"), tokenizer(), processor())


def test_a_folder_opens_as_what_it_is(tmp_path: Path) -> None:
    seeing().save_pretrained(tmp_path)
    seeing_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match="image processor"):
        LocalPolicy.open(tmp_path, constrained=False)
    processor().save_pretrained(tmp_path)
    made = LocalPolicy.open(tmp_path, constrained=False)
    assert isinstance(made, VisionPolicy)
    assert made.version.startswith("qwen3_vl-")
