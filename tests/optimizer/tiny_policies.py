"""A tiny model with a tokenizer of its own, and a policy that says what another one says with the tokens of a model."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from genevolve.programs.policies.local.options import LocalOptions
from genevolve.programs.policies.local.policy import LocalPolicy
from genevolve.programs.policies.local.transcript import Transcript
from genevolve.programs.policies.protocol import Dialogue, Emission, Limits, Policy, Stop, Tokens

SKILLS = Path(__file__).parents[2] / "programs" / "skills"
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@functools.cache
def _backend() -> str:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from genevolve.grammar.builtins import builtin_environment
    from genevolve.programs.policies.context import system

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=3000,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [system(builtin_environment(()), card="compact").text]
    texts += [guide.read_text(encoding="utf-8") for guide in sorted(SKILLS.glob("*/SKILL.md"))]
    made.train_from_iterator(texts * 3, trainer)
    return str(made.to_str())


def tokenizer() -> Any:
    """A tokenizer that knows the words of the language card and of the skills, with ChatML markers."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    made = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_backend()),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
    )
    made.chat_template = CHATML
    return made


def model(seed: int = 0, positions: int = 8192) -> Any:
    """A random Llama of two layers."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer()),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=positions,
            pad_token_id=0,
            bos_token_id=0,
            eos_token_id=2,
        )
    ).eval()


def local(seed: int = 0, **options: Any) -> LocalPolicy:
    """A local policy of such a model."""
    return LocalPolicy(model(seed), tokenizer(), options=LocalOptions(device="cpu", **options))


class Cast:
    """Speaks as `usual`, but for dialogues whose seed has a line of its own, which is all that it ever says there.

    A line that is None is a failure of the policy.
    """

    takes_images = False
    constrained = False
    name, version = "cast", "1"

    def __init__(self, usual: Policy, lines: Mapping[int, str | None]) -> None:
        self.usual, self.lines = usual, lines

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        usual = iter(self.usual.act([d for d in dialogues if d.seed not in self.lines], limits))
        return [self._said(d) if d.seed in self.lines else next(usual) for d in dialogues]

    def _said(self, dialogue: Dialogue) -> Emission:
        line = self.lines[dialogue.seed]
        return Emission("", Stop.FAILED, error="the lights went out") if line is None else Emission(line)

    def release(self, ids: Sequence[str]) -> None:
        self.usual.release(ids)

    def close(self) -> None:
        self.usual.close()


class Dubbed:
    """What `speaker` says, as if `local` had sampled it: its tokens and its log-probabilities of them."""

    takes_images = False
    constrained = False

    def __init__(self, speaker: Policy, local: LocalPolicy) -> None:
        self.speaker, self.local = speaker, local
        self.name = f"dubbed:{speaker.name}"
        self.card = local.card
        self._transcripts: dict[str, Transcript] = {}

    @property
    def version(self) -> str:
        return self.local.version

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        said = self.speaker.act(dialogues, limits)
        return [self._dubbed(d, e, limits) for d, e in zip(dialogues, said, strict=True)]

    def release(self, ids: Sequence[str]) -> None:
        for name in ids:
            self._transcripts.pop(name, None)

    def close(self) -> None:
        pass

    def _dubbed(self, dialogue: Dialogue, emission: Emission, limits: Limits) -> Emission:
        if emission.stop is not Stop.END:
            return emission
        form = self.local.format
        transcript = self._transcripts.setdefault(dialogue.id, Transcript())
        prompt = transcript.prompt(form, dialogue.messages)
        ids = [*form.encode(emission.text), form.ends[0]]
        transcript.write(dialogue.turn, emission.text, ids)
        (logs,) = self.local.score([prompt], [ids], temperature=limits.temperature)
        tokens = Tokens(tuple(prompt), tuple(ids), tuple(logs), tuple(logs))
        return replace(emission, tokens=tokens)
