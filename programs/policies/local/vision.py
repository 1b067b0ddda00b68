"""Vision-language models of the Qwen-VL family: the pictures of a message are shown as pixels after its text.

A picture becomes placeholder tokens between two markers, as many as the model's vision tower gives vectors. Text can
make none of them: it is encoded without special tokens. Positions are three-dimensional over a picture, so rows are
read one at a time, each with a cache of its own that is kept between turns; siblings with the same prompt share its
computation.

That pixels reach the model is not assumed: opening compares what the model expects after two pictures that differ in
nothing but their pixels.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from genevolve.grammar.errors import AuthorError, ConfigurationError
from genevolve.programs.policies.local.backends import Backend
from genevolve.programs.policies.local.chat import ChatFormat
from genevolve.programs.policies.local.options import LocalOptions
from genevolve.programs.policies.local.policy import LocalPolicy
from genevolve.programs.policies.local.transcript import Transcript
from genevolve.programs.policies.protocol import Dialogue, Message

if TYPE_CHECKING:
    from PIL.Image import Image

    from genevolve.interpreter.values import ImageHandle

NEEDED = ("image_token_id", "vision_start_token_id", "vision_end_token_id")
LEAST_CHANGE = 1e-6
"""Two pictures must move a log-probability by more than rounding does."""


@dataclass(frozen=True)
class Picture:
    """A picture as the vision tower takes it.

    Attributes:
        pixels: (patches, values).
        grid: (1, 3): patches in time, height, width.
        tokens: How many placeholders it takes.
    """

    pixels: torch.Tensor
    grid: torch.Tensor
    tokens: int


def unsupported(model: Any) -> str:
    """Why pictures cannot be shown to this model; empty when they can."""
    if not all(isinstance(getattr(model.config, name, None), int) for name in NEEDED):
        return "its pictures are not placed between markers"
    if not hasattr(getattr(model, "model", None), "get_rope_index"):
        return "its pictures have no positions of their own"
    return ""


class PictureReader:
    """Opens pictures and prepares them; the latest ones are remembered by the hash of their bytes."""

    def __init__(self, model: Any, processor: Any, side: int) -> None:
        self._processor = processor
        self._side = side
        self._merge = int(getattr(processor, "merge_size", 1)) ** 2
        config = model.config
        self._marks = (int(config.vision_start_token_id), int(config.vision_end_token_id))
        self._pad = int(config.image_token_id)
        self._known: OrderedDict[str, Picture] = OrderedDict()

    def of(self, handle: ImageHandle) -> Picture | None:
        """The picture of a handle; None when its file is gone, damaged or not the same any more."""
        from genevolve.interpreter.images import load_pixels

        if handle.sha256 not in self._known:
            try:
                image = load_pixels(handle)
            except (AuthorError, OSError):
                return None
            self._known[handle.sha256] = self.prepare(image)
            if len(self._known) > 64:
                self._known.popitem(last=False)
        self._known.move_to_end(handle.sha256)
        return self._known[handle.sha256]

    def prepare(self, image: Image) -> Picture:
        """A picture at the size at which it is shown."""
        shown = image.convert("RGB")
        shown.thumbnail((self._side, self._side))
        # The least that a patch grid needs; very flat or narrow pictures are stretched to it.
        shown = shown.resize((max(32, shown.width), max(32, shown.height)))
        found = self._processor(images=[shown], return_tensors="pt")
        grid = found["image_grid_thw"]
        return Picture(found["pixel_values"], grid, int(grid.prod()) // self._merge)

    def ids(self, picture: Picture) -> list[int]:
        """The tokens that stand for it."""
        return [self._marks[0], *[self._pad] * picture.tokens, self._marks[1]]


@dataclass
class _Read:
    """What was read of one row: its tokens, how many pictures were among them, and the cache."""

    ids: tuple[int, ...]
    pictures: tuple[Picture, ...]
    cache: Any
    size: int = 0


class VisionBackend(Backend):
    """Reads rows with pictures one at a time; keeps the latest rows of dialogues between turns."""

    def __init__(self, model: Any, max_bytes: int) -> None:
        super().__init__("vision", model, None, max_bytes)
        self._pad = int(model.config.image_token_id)
        self._kept: OrderedDict[str, _Read] = OrderedDict()
        self._most = max_bytes
        self.pictures: dict[str, tuple[Picture, ...]] = {}
        """The pictures of each owner's prompt, in order; set before a batch is opened."""

    def open(self, prompts: Sequence[Sequence[int]], owners: Sequence[str] = ()) -> _VisionBatch:
        """A batch with a row for each prompt; equal prompts are computed once."""
        rows: list[_Read] = []
        for prompt, owner in zip(prompts, owners or [""] * len(prompts), strict=True):
            shown = self.pictures.get(owner, ())
            twin = next((r for r in rows if r.ids == tuple(prompt) and _same(r.pictures, shown)), None)
            row = copy.deepcopy(twin) if twin is not None else self._begun(tuple(prompt), shown, owner)
            if twin is None and len(prompt) > len(row.ids):
                self.computed += len(prompt) - len(row.ids)
                self.read_on(row, prompt[len(row.ids) :], shown)
            rows.append(row)
        return _VisionBatch(self, rows, list(owners))

    def _begun(self, prompt: tuple[int, ...], shown: tuple[Picture, ...], owner: str) -> _Read:
        """What was kept of this dialogue, if the prompt goes on from there."""
        kept = self._kept.pop(owner, None)
        if (
            kept is not None
            and prompt[: len(kept.ids)] == kept.ids
            and _same(kept.pictures, shown[: len(kept.pictures)])
        ):
            return kept
        return _Read((), (), None)

    def read_on(self, row: _Read, new: Sequence[int], shown: Sequence[Picture]) -> torch.Tensor:
        """Append tokens, with all pictures of the row so far: logits (new tokens, vocabulary) float32."""
        device = self.forward.device
        start, ids = len(row.ids), (*row.ids, *new)
        fresh = shown[len(row.pictures) :]
        more: dict[str, Any] = {}
        if fresh:
            more["pixel_values"] = torch.cat([p.pixels for p in fresh]).to(device)
            more["image_grid_thw"] = torch.cat([p.grid for p in fresh]).to(device)
        out = self.forward(
            torch.tensor([list(new)], device=device),
            keep=len(new),
            past_key_values=row.cache,
            position_ids=self._positions(ids, shown)[:, :, start:],
            **more,
        )
        row.ids, row.pictures, row.cache = ids, tuple(shown), out.past_key_values
        logits: torch.Tensor = out.logits[0, -len(new) :].float()
        return logits

    def _positions(self, ids: Sequence[int], shown: Sequence[Picture]) -> torch.Tensor:
        """(3, 1, tokens): time, height and width of each token."""
        device = self.forward.device
        if not shown:
            return torch.arange(len(ids), device=device).expand(3, 1, -1)
        whole = torch.tensor([list(ids)], device=device)
        places, _ = self.forward.model.model.get_rope_index(
            whole,
            mm_token_type_ids=(whole == self._pad).int(),
            image_grid_thw=torch.cat([p.grid for p in shown]).to(device),
        )
        return places

    def retain(self, owner: str, row: _Read) -> None:
        """Keep a finished row for the next turn of its dialogue, within the bounds of memory."""
        row.size = sum(t.numel() * t.element_size() for t in _tensors(row.cache))
        self._kept[owner] = row
        while self._kept and self.kept_bytes > self._most:
            self._kept.popitem(last=False)

    @property
    def kept_bytes(self) -> int:
        """The memory that kept rows take."""
        return sum(row.size for row in self._kept.values())

    def release(self, owner: str) -> None:
        """Forget what was kept for an owner."""
        self._kept.pop(owner, None)
        self.pictures.pop(owner, None)

    def forget(self) -> None:
        """Forget everything that was kept."""
        self._kept.clear()


def _tensors(cache: Any) -> list[torch.Tensor]:
    layers = getattr(cache, "layers", ())
    return [
        t
        for layer in layers
        for t in (getattr(layer, "keys", None), getattr(layer, "values", None))
        if t is not None
    ]


def _same(one: Sequence[Picture], other: Sequence[Picture]) -> bool:
    return len(one) == len(other) and all(
        a is b or (torch.equal(a.grid, b.grid) and torch.equal(a.pixels, b.pixels))
        for a, b in zip(one, other, strict=True)
    )


class _VisionBatch:
    """Rows that are being written, one forward each."""

    def __init__(self, backend: VisionBackend, rows: list[_Read], owners: list[str]) -> None:
        self._backend = backend
        self._rows = dict(enumerate(rows))
        self._shown = {i: backend.pictures.get(owners[i], ()) if i < len(owners) else () for i in self._rows}
        self._owners = owners

    def read(self, tokens: Mapping[int, Sequence[int]]) -> torch.Tensor:
        """Append tokens to rows: (all tokens, vocabulary) float32."""
        return torch.cat(
            [self._backend.read_on(self._rows[row], new, self._shown[row]) for row, new in tokens.items()]
        )

    def finish(self, row: int) -> None:
        """A row leaves, and is kept for its dialogue."""
        done = self._rows.pop(row)
        if row < len(self._owners) and self._owners[row]:
            self._backend.retain(self._owners[row], done)


class _VisionTranscript(Transcript):
    """A transcript whose messages are followed by their pictures."""

    def __init__(self, reader: PictureReader, most: int) -> None:
        super().__init__()
        self._reader = reader
        self._most = most
        self.shown: list[Picture] = []

    def prompt(self, form: ChatFormat, messages: Sequence[Message]) -> list[int]:
        """Everything before the next turn; `shown` has its pictures in order afterwards."""
        self.shown.clear()
        return super().prompt(form, messages)

    def message_ids(self, encoded: list[int], message: Message) -> list[int]:
        """The tokens of a message's text, and of its pictures behind it."""
        found = [p for h in message.images[: self._most] if (p := self._reader.of(h)) is not None]
        self.shown += found
        return [*encoded, *(i for picture in found for i in self._reader.ids(picture))]


class VisionPolicy(LocalPolicy):
    """A vision-language model as a policy. See `LocalPolicy`.

    Args:
        model: A model of the Qwen-VL family.
        tokenizer: Its tokenizer.
        processor: Its image processor.
        name: The spec that opens it again.
        options: See `LocalOptions`; `images` bounds the pictures of a message, `image_side` their size.

    Raises:
        ConfigurationError: The model takes pictures in another way, or its pixels do not reach it.
    """

    takes_images = True

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        processor: Any,
        *,
        name: str = "local",
        options: LocalOptions | None = None,
    ) -> None:
        reason = unsupported(model)
        if reason:
            raise ConfigurationError(f"{name} cannot be shown pictures: {reason}")
        chosen = options or LocalOptions()
        self.reader = PictureReader(model, processor, chosen.image_side)
        super().__init__(model, tokenizer, name=name, options=chosen)
        if not self.pixels_matter():
            raise ConfigurationError(
                f"{name} does not see: changing a picture changes nothing that it expects"
            )

    def pixels_matter(self) -> bool:
        """Whether another picture of the same size changes what the model expects next.

        Raises:
            ConfigurationError: The model cannot read a picture at all.
        """
        from PIL import Image

        first = Image.linear_gradient("L").resize((96, 96)).convert("RGB")
        second = first.transpose(Image.Transpose.ROTATE_90)
        found = []
        try:
            for image in (first, second):
                picture = self.reader.prepare(image)
                ids = [
                    *self.format.encode("A picture:"),
                    *self.reader.ids(picture),
                    *self.format.encode("shows"),
                ]
                with torch.no_grad():
                    row = _Read((), (), None)
                    found.append(self._vision.read_on(row, ids, (picture,))[-1].log_softmax(-1))
        except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise ConfigurationError(f"{self.name} cannot read a picture: {error}") from error
        return float((found[0] - found[1]).abs().max()) > LEAST_CHANGE

    def score_seen(
        self,
        dialogues: Sequence[Dialogue],
        ids: Sequence[Sequence[int]],
        *,
        temperature: float = 1.0,
    ) -> list[list[float]]:
        """Log-probabilities of turns after these dialogues, with their pictures; from nothing that was kept."""
        from genevolve.programs.policies.local.engine import evaluating
        from genevolve.programs.policies.local.sampling import log_probs_of

        found: list[list[float]] = []
        with evaluating(self.model), torch.no_grad():
            for dialogue, turn in zip(dialogues, ids, strict=True):
                transcript = self._transcripts.get(dialogue.id) or self._transcript()
                prompt = transcript.prompt(self.format, dialogue.messages)
                shown = tuple(transcript.shown) if isinstance(transcript, _VisionTranscript) else ()
                row = _Read((), (), None)
                logits = self._vision.read_on(row, [*prompt, *turn], shown)
                found.append(
                    log_probs_of(logits[len(prompt) - 1 : -1], list(turn), temperature) if turn else []
                )
        return found

    @property
    def _vision(self) -> VisionBackend:
        if not isinstance(self.backend, VisionBackend):  # set once, by `_choose`
            raise TypeError("a vision policy without its backend")
        return self.backend

    def _choose(self, most: int) -> tuple[Backend, str]:
        return VisionBackend(self.model, most), ""

    def _transcript(self) -> Transcript:
        return _VisionTranscript(self.reader, self.options.images)

    def _opened(self, dialogue: Dialogue) -> list[int]:
        prompt = super()._opened(dialogue)
        transcript = self._transcripts[dialogue.id]
        if isinstance(transcript, _VisionTranscript):
            self._vision.pictures[dialogue.id] = tuple(transcript.shown)
        return prompt
