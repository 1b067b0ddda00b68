"""A start for small models that can look back: attention made by hand, then practised on random tokens.

    look_back(model, seed=0)                # layer 0 looks one token back, layer 1 finds what followed the last time
    practise_copying(model, Practice())     # minutes on a processor

What a program says is mostly what its request said. To repeat it a model needs two layers that work together: one that
tells each token which token stands before it, and one that finds an earlier place with the same token before it and
repeats what stood there. Gradients find that pair only after a long plateau: in our trials policies of two million
weights, trained on three thousand dialogues from random weights, wrote flawless statements about things that nobody had
asked for. So the pair is built here, roughly, and a few hundred steps on sequences of random tokens that repeat make it
precise. No text is seen in them: nothing about any request is learned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from genevolve.grammar.errors import AuthorError

POSITION, MATCH = 120.0, 80.0
"""Scores of attention where the position, or the token, is the one that is looked for."""
COPIES = (4.0, 2.0, 0.3)
"""How strongly layer 1 repeats what it finds, and how strongly the layers above it do at the start."""
REACH, STILL = 200, 1.0
"""Positions over which a number of a head must turn by less than so many radians to compare tokens."""
WARM_UP = 40
QUIET = 0.03
"""What is left of the random feed-forward parts: at full strength they drown embeddings of length 1 in noise."""
MARK, KIND = 1.0, 30.0
"""How much of an embedding is the mark of its kind, and the score of attention that the mark earns."""
_SPREAD = 1.4
_REST = 0.1  # what is left of the random weights of queries and keys that the biases decide


@dataclass(frozen=True)
class Practice:
    """Practice of copying: sequences of random tokens that repeat with a period.

    Attributes:
        steps: Steps of AdamW; 0 practises nothing.
        batch: Sequences of a step.
        length: Tokens of a sequence.
        shortest: The shortest period.
        longest: The longest one; below half the length, so that there is something to repeat.
        learning_rate: Of AdamW.
        seed: Of the tokens.
    """

    steps: int = 300
    batch: int = 8
    length: int = 300
    shortest: int = 12
    longest: int = 110
    learning_rate: float = 3e-4
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise `AuthorError` for numbers that leave nothing to repeat."""
        if not 2 <= self.shortest <= self.longest <= self.length // 2:
            raise AuthorError(
                f"periods from {self.shortest} to {self.longest} do not repeat within {self.length} tokens"
            )
        if self.steps < 0 or self.batch < 1:
            raise AuthorError("practice has at least 0 steps, and 1 sequence in each")


def look_back(model: Any, seed: int = 0, kinds: Sequence[Sequence[int]] = ()) -> None:
    """Set the weights of a Llama model in place; all of them are trained afterwards like any others.

    Args:
        model: With rotary positions, biases in attention, tied embeddings and at least two layers.
        seed: Of the projections.
        kinds: Tokens of one kind, such as names. Their embeddings share a direction, and a part of layer 2, where there
            is one, starts out looking at them wherever they stand. As many kinds as there are key heads, at most.

    Raises:
        AuthorError: The model is of another kind.
    """
    import torch

    config = model.config
    if config.num_hidden_layers < 2 or not getattr(config, "attention_bias", False):
        raise AuthorError("a model that looks back has at least two layers, and biases in its attention")
    chance = torch.Generator().manual_seed(seed)
    shape = _Shape(
        config.hidden_size,
        config.num_attention_heads,
        config.num_key_value_heads,
        config.hidden_size // config.num_attention_heads,
    )
    with torch.no_grad():
        embedding = model.get_input_embeddings().weight
        embedding.normal_(0.0, 1.0 / math.sqrt(shape.width), generator=chance)
        marks = [_marked(embedding, tokens, chance) for tokens in kinds[: shape.keys]]
        turned = _orthogonal(shape.width, chance)  # where a token keeps the token before it
        parts = _orthogonal(shape.width, chance)
        layers = [layer.self_attn for layer in model.model.layers]
        speeds = model.model.rotary_emb.inv_freq
        still = [i for i, speed in enumerate(speeds.tolist()) if speed * REACH < STILL]
        slow = still or list(range(shape.half // 2, shape.half))
        _one_back(layers[0], shape, turned, parts, speeds)
        _same_before(layers[1], shape, turned, parts, slow)
        for layer in model.model.layers:
            layer.mlp.down_proj.weight *= QUIET
        if len(layers) > 2:
            _kinds(layers[2], shape, marks, slow)
        for number, layer in enumerate(layers[1:]):
            _repeat(layer, shape, _orthogonal(shape.width, chance), COPIES[min(number, 2)])


@dataclass(frozen=True)
class _Shape:
    width: int
    heads: int
    keys: int
    size: int

    @property
    def half(self) -> int:
        """Rotary positions turn number i and number i + half of a head together."""
        return self.size // 2

    def key(self, k: int) -> slice:
        return slice(k * self.size, (k + 1) * self.size)

    def heads_of(self, k: int) -> range:
        """The heads of queries that share the keys and values number k."""
        each = self.heads // self.keys
        return range(k * each, (k + 1) * each)


def _orthogonal(width: int, chance: Any) -> Any:
    import torch

    return torch.linalg.qr(torch.randn(width, width, generator=chance))[0]


def _one_back(attention: Any, shape: _Shape, turned: Any, parts: Any, speeds: Any) -> None:
    """Every head looks at the token before, whatever it is, and keeps a part of it in a place of its own.

    Queries and keys are constant, by their biases; positions turn them, and the query is turned back by one step: the
    score is Σ_i cos(ω_i·(distance − 1)), which is highest at distance 1.
    """
    import torch

    strength = math.sqrt(POSITION * math.sqrt(shape.size) / shape.half)
    query = strength * torch.cat([torch.cos(-speeds), torch.sin(-speeds)])
    key = strength * torch.cat([torch.ones(shape.half), torch.zeros(shape.half)])
    attention.q_proj.weight *= _REST
    attention.k_proj.weight *= _REST
    attention.q_proj.bias.copy_(query.repeat(shape.heads))
    attention.k_proj.bias.copy_(key.repeat(shape.keys))
    for k in range(shape.keys):
        part = parts[shape.key(k)]
        attention.v_proj.weight[shape.key(k)] = part / math.sqrt(shape.width)
        each = len(shape.heads_of(k))
        for h in shape.heads_of(k):
            attention.o_proj.weight[:, shape.key(h)] = turned @ part.T * (_SPREAD / each)


def _same_before(attention: Any, shape: _Shape, turned: Any, parts: Any, slow: Sequence[int]) -> None:
    """Every head looks for places whose token before is the present token.

    Only slowly turning numbers of a head compare tokens: the fast ones would compare positions.
    """
    rows = [*slow, *(shape.half + i for i in slow)]
    strength = math.sqrt(MATCH * math.sqrt(shape.size) / len(rows))
    attention.q_proj.weight *= 0.1
    attention.k_proj.weight *= 0.1
    for k in range(shape.keys):
        seen = parts[k * shape.size : k * shape.size + len(rows)] * strength
        attention.k_proj.weight[[k * shape.size + r for r in rows]] = seen @ turned.T
        for h in shape.heads_of(k):
            attention.q_proj.weight[[h * shape.size + r for r in rows]] = seen


def _marked(embedding: Any, tokens: Sequence[int], chance: Any) -> Any:
    """The direction that tokens of one kind share from now on; their lengths stay the same."""
    import torch

    mark = torch.randn(embedding.shape[1], generator=chance)
    mark /= mark.norm()
    embedding[list(tokens)] = (embedding[list(tokens)] + MARK * mark) / math.sqrt(1 + MARK**2)
    return mark


def _kinds(attention: Any, shape: _Shape, marks: Sequence[Any], slow: Sequence[int]) -> None:
    """One key head for each kind: it looks at the tokens that bear its mark, wherever they are."""
    import torch

    rows = list(slow)
    each = math.sqrt(KIND * math.sqrt(shape.size) / (len(rows) * math.sqrt(shape.width / 4)))
    for k, mark in enumerate(marks):
        attention.k_proj.weight[[k * shape.size + r for r in rows]] += each * mark
        for h in shape.heads_of(k):
            attention.q_proj.bias[[h * shape.size + r for r in rows]] += torch.full((len(rows),), each)


def _repeat(attention: Any, shape: _Shape, parts: Any, strength: float) -> None:
    """What is looked at is written out again."""
    for k in range(shape.keys):
        part = parts[shape.key(k)]
        attention.v_proj.weight[shape.key(k)] = part / math.sqrt(shape.width)
        each = len(shape.heads_of(k))
        for h in shape.heads_of(k):
            attention.o_proj.weight[:, shape.key(h)] = part.T * (_SPREAD * strength / each)


# ---- practice ----------------------------------------------------------------------------------------


def practise_copying(
    model: Any, practice: Practice, *, first_token: int = 0, told: Callable[[int, float], None] | None = None
) -> float:
    """Train a model in place to repeat; the share of repeated tokens that it got right in the last ten steps.

    Args:
        model: A causal language model of transformers.
        practice: How much.
        first_token: Tokens below this one (special ones) are not used.
        told: Told the step and the share of that step, now and then.
    """
    import torch
    from torch.nn import functional

    from genevolve.optimizer.scoring import body_of

    chance = torch.Generator().manual_seed(practice.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=practice.learning_rate, betas=(0.9, 0.98), weight_decay=0.0
    )
    model.train()
    right: list[float] = []
    for step in range(1, practice.steps + 1):
        for group in optimizer.param_groups:
            # The first steps of Adam move every weight by the whole rate: at full rate they undo what was built.
            group["lr"] = practice.learning_rate * min(1.0, step / WARM_UP)
        ids, learned = _sequences(model.config.vocab_size, first_token, practice, chance)
        ids, learned = ids.to(model.device), learned.to(model.device)
        hidden = body_of(model)(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        logits = model.get_output_embeddings()(hidden[learned])
        targets = ids[:, 1:][learned]
        loss = functional.cross_entropy(logits, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        right.append(float((logits.detach().argmax(-1) == targets).float().mean()))
        if told is not None and (step % 20 == 0 or step == practice.steps):
            told(step, right[-1])
    model.eval()
    last = right[-10:]
    return sum(last) / len(last) if last else 0.0


def _sequences(vocabulary: int, first: int, practice: Practice, chance: Any) -> tuple[Any, Any]:
    """(B, T) tokens, and (B, T − 1) where the next one can be known: in the second and later periods."""
    import torch

    period = torch.randint(practice.shortest, practice.longest + 1, (practice.batch, 1), generator=chance)
    fresh = torch.randint(first, vocabulary, (practice.batch, practice.length), generator=chance)
    place = torch.arange(practice.length)[None].expand(practice.batch, -1)
    ids = torch.gather(fresh, 1, place % period)
    # The first token of a period follows another one than it did before.
    learned = (place >= period) & (place % period != 0)
    return ids, learned[:, 1:]
