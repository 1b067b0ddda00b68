"""A mini policy: a language model of a few million parameters with a tokenizer of its own, made from nothing.

    model, tokenizer = make_mini(texts, MiniSettings(), seed=0)
    save_policy(model, tokenizer, folder)

It can copy and knows no language before its cold start. It reads the `brief` card, whose prompts are short, so that
rollouts and training steps take seconds on a processor. What it learns holds for the world it was trained on and for no
other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genevolve.grammar.errors import AuthorError
from genevolve.optimizer.looking_back import Practice, look_back, practise_copying
from genevolve.programs.policies.local.options import POLICY_FILE
from genevolve.programs.policies.tokens import MAX_TOKEN_BYTES

END, PAD = "<|end|>", "<|pad|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
_NAMES = (r"\b[A-Z]{2,}\b", r"\b[A-Z][a-z]{3,}\b")
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""One token opens a message and one ends it; the prompt of a turn begins with the prompt of the one before."""


@dataclass(frozen=True)
class MiniSettings:
    """The size of a mini policy.

    Attributes:
        vocabulary: Tokens, special ones included; at least 300 (bytes and markers).
        width: Of the hidden states.
        layers: Transformer blocks.
        heads: Of attention; divides `width`.
        key_heads: Of keys and values; divides `heads`.
        feed: Width of the feed-forward part.
        context: Most tokens of a dialogue.
        practice: Steps of practice in copying before any text is seen (see `looking_back`); 0 leaves random weights.
        longest: Bytes of a token at most, no more than constrained decoding takes. Tokens go over spaces, so that a
            turn of phrase is one token, and one decision.
    """

    vocabulary: int = 3072
    width: int = 192
    layers: int = 4
    heads: int = 3
    key_heads: int = 3
    feed: int = 512
    context: int = 2048
    practice: int = 300
    longest: int = MAX_TOKEN_BYTES

    def __post_init__(self) -> None:
        """Raise `AuthorError` for sizes that do not fit together."""
        if self.vocabulary < 300:
            raise AuthorError(f"a vocabulary has at least 300 tokens, not {self.vocabulary}")
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise AuthorError(f"{self.heads} heads must divide a width of {self.width} into even parts")
        if self.heads % self.key_heads:
            raise AuthorError(f"{self.key_heads} key heads must divide {self.heads} heads")
        if self.layers < 2:
            raise AuthorError(
                f"a mini policy looks back with two layers, so it has at least two, not {self.layers}"
            )
        if min(self.feed, self.context) < 1 or self.practice < 0:
            raise AuthorError("feed and context are at least 1, and practice at least 0")
        if not 1 <= self.longest <= MAX_TOKEN_BYTES:
            raise AuthorError(f"a token has from 1 to {MAX_TOKEN_BYTES} bytes, not {self.longest}")


def make_mini(
    texts: Iterable[str],
    settings: MiniSettings | None = None,
    *,
    seed: int = 0,
    alone: Iterable[str] = (),
) -> tuple[Any, Any]:
    """A tokenizer learned from texts, and a model that can look back and copy, and knows nothing else.

    Args:
        texts: Dialogues and programs as the policy will read them.
        settings: Its size.
        seed: Of the weights and of the practice.
        alone: Words that are never joined with what stands around them, so that they are the same tokens wherever they
            stand and can be copied; capitalised words and digits stand alone anyway.

    Returns:
        The model (Llama architecture, tied embeddings, float32) and its tokenizer, both of transformers.

    Raises:
        AuthorError: The texts are too few for a tokenizer.
    """
    chosen, alone = settings or MiniSettings(), sorted(alone)
    tokenizer = _tokenizer(texts, chosen, alone)
    model = _model(tokenizer, chosen, seed)
    if chosen.practice:
        look_back(model, seed, _kinds(tokenizer, alone))
        special = 2 + len(ROLES)  # they come first in the vocabulary
        practise_copying(model, Practice(steps=chosen.practice, seed=seed), first_token=special)
    return model, tokenizer


def save_policy(model: Any, tokenizer: Any, folder: Path, *, card: str = "brief") -> Path:
    """Save a policy in Hugging Face format, with the language card that it was trained to read."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / POLICY_FILE).write_text(json.dumps({"card": card}, indent=1) + "\n", encoding="utf-8")
    return folder


def size_of(model: Any) -> int:
    """How many parameters a model has; tied ones count once."""
    return sum(p.numel() for p in model.parameters())


def _tokenizer(texts: Iterable[str], settings: MiniSettings, alone: Iterable[str]) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    # Longer words first: the first that fits is taken. Plurals are the word and their ending.
    words = [rf"\b{re.escape(w)}" for w in sorted(alone, key=lambda w: (-len(w), w))]
    inner = Tokenizer(models.BPE(unk_token=None))
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            # Digits stand alone: numbers are copied and counted, not remembered. So do line breaks: constrained
            # decoding takes one statement after the other, and no token may go over the end of one.
            pre_tokenizers.Split(Regex(r"\d|\n"), "isolated"),
            pre_tokenizers.Split(Regex("|".join([*words, *_NAMES])), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary,
        special_tokens=[PAD, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        max_token_length=settings.longest,
    )
    inner.train_from_iterator(texts, trainer)
    if inner.get_vocab_size() < 300:
        raise AuthorError("the texts are too few to learn a tokenizer from; more trajectories are needed")
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token=END, pad_token=PAD, additional_special_tokens=list(ROLES)
    )
    made.chat_template = TEMPLATE
    made.model_max_length = settings.context
    return made


def _kinds(tokenizer: Any, alone: Iterable[str]) -> list[list[int]]:
    """Tokens that are often copied: words that stand alone, beginnings of names, words in capitals."""
    known = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    words = set(alone)
    named = [i for w, i in known if w.isalpha() and w.istitle() and len(w) > 2]
    written = [i for w, i in known if w.isalpha() and w.isupper() and len(w) > 1]
    return [kind for kind in ([i for w, i in known if w in words], named, written) if kind]


def _model(tokenizer: Any, settings: MiniSettings, seed: int) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=settings.feed,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.key_heads,
        max_position_embeddings=settings.context,
        # Half of the angles must turn so slowly that far tokens can be compared; biases hold positions
        # (see `looking_back`).
        attention_bias=bool(settings.practice),
        initializer_range=settings.width**-0.5,  # 0.02 leaves the scores of attention near 0 at this width
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    # A generator of its own would not reach the initialisation; the process's is put back afterwards.
    state = torch.get_rng_state()
    try:
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    finally:
        torch.set_rng_state(state)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def described(settings: MiniSettings) -> dict[str, int]:
    """The sizes as plain data."""
    return asdict(settings)
