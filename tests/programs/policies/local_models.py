"""Small random models of several architectures, and a byte-level tokenizer, made in a moment."""

from __future__ import annotations

import functools
from typing import Any

import torch

from genevolve.programs.policies.protocol import Dialogue, Message, Role

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXT = (
    'request "A harbour at dawn."\nlet boats = image_search("boats", top_k: 3)\nref boat = boats[0] for "its hull"\n'
    'prompt "A boat like {boat} in the fog."\nrender size: 64x64\nsystem user assistant You write programs.\n'
)


@functools.cache
def _backend() -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT] * 3, trainer)
    return tokenizer.to_str()


def tokenizer(template: str | None = CHATML) -> Any:
    """A tokenizer with ChatML markers and the given chat template."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_backend()),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
    )
    made.chat_template = template
    return made


def vocabulary() -> int:
    """How many tokens the tokenizer has."""
    return len(tokenizer(None))


def model(kind: str, seed: int = 0, **more: Any) -> Any:
    """A random model whose weights are large enough that every part of it shows in the logits."""
    import transformers as t

    size = vocabulary()
    llama = {
        "vocab_size": size,
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "max_position_embeddings": 1024,
    }
    ends = {"bos_token_id": 0, "eos_token_id": 2}
    configs = {
        "llama": lambda: t.LlamaConfig(**llama | more),
        "qwen2": lambda: t.Qwen2Config(**llama | more),
        "qwen3": lambda: t.Qwen3Config(**llama | {"head_dim": 16, "tie_word_embeddings": True} | more),
        "mistral": lambda: t.MistralConfig(**llama | {"sliding_window": 8} | more),
        "granite": lambda: t.GraniteConfig(**llama | {"embedding_multiplier": 3.0} | more),
        "gpt2": lambda: t.GPT2Config(vocab_size=size, n_embd=48, n_layer=2, n_head=4, **ends | more),
        "neox": lambda: t.GPTNeoXConfig(
            vocab_size=size,
            hidden_size=48,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            **ends | more,
        ),
        "mamba": lambda: t.MambaConfig(
            vocab_size=size, hidden_size=32, num_hidden_layers=2, state_size=4, **ends | more
        ),
    }
    torch.manual_seed(seed)
    made = t.AutoModelForCausalLM.from_config(configs[kind]()).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.2, generator=draw)
            elif kind != "mamba":
                parameter.add_(torch.rand(parameter.shape, generator=draw) * 0.2)
    return made


def dialogue(name: str = "d", seed: int = 0, user: str = "A harbour at dawn.") -> Dialogue:
    """A dialogue that waits for its first turn."""
    system = Message(Role.SYSTEM, "You write programs. " * 4)
    return Dialogue(name, seed, (system, Message(Role.USER, user)))


def answered(before: Dialogue, text: str, observation: str) -> Dialogue:
    """The dialogue one turn later."""
    more = (Message(Role.ASSISTANT, text), Message(Role.USER, observation))
    return Dialogue(before.id, before.seed, (*before.messages, *more), before.reach)


def plain_log_probs(
    made: Any, prompt: tuple[int, ...], ids: tuple[int, ...], temperature: float
) -> torch.Tensor:
    """Log-probabilities (ids,) by one plain forward without padding or cache."""
    with torch.no_grad():
        logits = made(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1].float()
    return (logits / temperature).log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
