"""Constrained decoding with a small byte-level tokenizer: whatever is drawn parses, checks and ends in time."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from local_models import tokenizer, vocabulary

from genevolve.grammar.builtins import builtin_environment
from genevolve.grammar.parser import parse, parse_statement
from genevolve.grammar.scope import Scope
from genevolve.grammar.span import Source
from genevolve.grammar.tree import Call, Let, Statement
from genevolve.grammar.types import Environment, SkillInfo
from genevolve.programs.policies.decoding import TokenInfo, TurnConstraint, apply_masks, masks
from genevolve.programs.policies.protocol import Reach

ENVIRONMENT = builtin_environment({n: SkillInfo(n) for n in ("spatial_layout", "text_rendering")})
SHORT = ('request "a"',)
LONG = (
    "program p(title: text, n: int = 3)",
    'request "a kite {title}"',
    'let towers = image_search("x", top_k: 3)',
    'ref tower = towers[1] for "light"',
    'let facts = search("a")',
    'require count("ball") >= 2',
)
PROMPTED = (
    'request "a"',
    'let a = image_search("x")',
    'ref t = a[0] for "x"',
    'ref u = a[1] for "y"',
    'prompt "{t} and {u}"',
    'require relation("man", "above", "dog")',
)
Chooser = Callable[[random.Random, np.ndarray, TokenInfo], int]


@pytest.fixture(scope="module")
def info() -> TokenInfo:
    made = tokenizer()
    return TokenInfo.from_tokenizer(made, vocabulary() + 5, [made.eos_token_id])


def statements(*lines: str) -> tuple[Statement, ...]:
    parsed = parse(Source("\n".join(lines)))
    assert parsed.ok
    return parsed.tree.statements


def after(lines: tuple[str, ...], environment: Environment = ENVIRONMENT) -> Scope:
    scope = Scope.root(environment)
    for statement in statements(*lines):
        extension = scope.extend(statement)
        assert extension.ok
        scope = extension.scope
    return scope


def allowed(bits: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.unpackbits(bits.view(np.uint8), bitorder="little"))


def anything(rng: random.Random, tokens: np.ndarray, info: TokenInfo) -> int:
    return int(rng.choice(tokens.tolist()))


def ending(rng: random.Random, tokens: np.ndarray, info: TokenInfo) -> int:
    """Prefers what closes texts and lines, so that turns have many statements."""
    closing = [t for t in tokens.tolist() if info.texts[t][:1] in (b'"', b"\n", b")", b" ", b",")]
    return rng.choice(closing) if closing and rng.random() < 0.5 else anything(rng, tokens, info)


def letters(rng: random.Random, tokens: np.ndarray, info: TokenInfo) -> int:
    """Never ends a text of its own accord."""
    plain = [t for t in tokens.tolist() if info.texts[t].isalpha()]
    return rng.choice(plain) if plain else anything(rng, tokens, info)


def write(
    turn: TurnConstraint, info: TokenInfo, seed: int, choose: Chooser = ending, skip_forced: bool = True
) -> tuple[str, int]:
    """The text of a turn, and how many tokens it took with its end."""
    rng, ids = random.Random(seed), []
    while not turn.done:
        following = turn.forced() if skip_forced else []
        if not following:
            found = allowed(turn.mask())
            assert len(found), b"".join(info.texts[i] for i in ids)
            following = [choose(rng, found, info)]
        for token in following:
            turn.advance(token)
            ids.append(token)
    return b"".join(info.texts[i] for i in ids).decode(), len(ids)


def judged(scope: Scope, text: str) -> Scope:
    """The scope after a turn, of which every statement must be right."""
    if not text:
        return scope
    parsed = parse(Source(text))
    assert parsed.ok, (text, parsed.diagnostics)
    for statement in parsed.tree.statements:
        extension = scope.extend(statement)
        assert extension.ok, (text, extension.diagnostics)
        scope = extension.scope
    return scope


# ---- whatever is drawn --------------------------------------------------------------------------------


@pytest.mark.parametrize("choose", [anything, ending, letters])
@pytest.mark.parametrize("lines", [SHORT, LONG, PROMPTED], ids=["short", "long", "prompted"])
def test_whatever_is_drawn_is_right_and_ends_in_time(
    info: TokenInfo, lines: tuple[str, ...], choose: Chooser
) -> None:
    scope = after(lines)
    for seed in range(5):
        most = (60, 200, 500, 900)[seed % 4]
        may_call = seed % 2 == 0
        turn = TurnConstraint(Reach(scope, images={"towers": 2}, may_call=may_call), info, max_tokens=most)
        text, count = write(turn, info, seed, choose, skip_forced=seed % 3 == 0)
        end = judged(scope, text)
        assert count <= most
        assert turn.failures == 0
        asked = any(
            isinstance(s, Let) and isinstance(s.value, Call) for s in parse(Source(text)).tree.statements
        )
        if end.calls_spent == scope.calls_spent and not (may_call and asked):
            # The policy's last word: the program is whole.
            assert not [d for d in end.finish() if d.is_error], text
        else:
            assert may_call


def test_a_turn_ends_with_its_first_call(info: TokenInfo) -> None:
    scope = after(LONG)
    called = 0
    for seed in range(8):
        text, _ = write(TurnConstraint(Reach(scope), info, max_tokens=500), info, seed, anything)
        spent, found = scope.calls_spent, statements(text) if text else ()
        current = scope
        for number, statement in enumerate(found):
            current = current.extend(statement).scope
            if current.calls_spent > spent:
                assert number == len(found) - 1
                called += 1
    assert called


def test_a_long_prompt_uses_what_there_is_and_still_ends(info: TokenInfo) -> None:
    scope = after(('request "a"', 'let a = image_search("x")', 'ref t = a[0] for "x"'))
    opening = info.encode(b'prompt "The kite')
    for most in (120, 300, 700):
        turn = TurnConstraint(Reach(scope, may_call=False), info, max_tokens=most)
        for token in opening:
            turn.advance(token)
        rng, count = random.Random(3), len(opening)
        text = b'prompt "The kite'
        while not turn.done:
            found = allowed(turn.mask())
            token = letters(rng, found, info)
            turn.advance(token)
            text += info.texts[token]
            count += 1
        assert most - 40 <= count <= most
        judged(scope, text.decode())


@pytest.mark.parametrize(
    "wanted",
    [
        'prompt """\n塔 {t} {second_one} {another_tower}, "tall" {{so}}\n\n🏔 "\n"""\n',
        'prompt "塔\\n {t} {second_one} {another_tower} \\"tall\\" 🏔"\n',
        'require relation("塔 a", "above", "塔 b")\nprompt "{t} {second_one} {another_tower}"\n',
        'require count("塔") == 12\n# 塔 why\nprompt "{t} {second_one} {another_tower}"\n',
    ],
)
def test_tokens_may_run_out_anywhere(info: TokenInfo, wanted: str) -> None:
    names = ("t", "second_one", "another_tower")
    references = (f'ref {name} = a[{n}] for "x"' for n, name in enumerate(names))
    scope = after(('request "a"', 'let a = image_search("x", top_k: 3)', *references))
    first = {text: token for token, text in reversed(list(enumerate(info.texts)))}
    for most in range(60, 190, 2):
        turn = TurnConstraint(Reach(scope, may_call=False), info, max_tokens=most)
        text, went_on = b"", True
        while not turn.done:
            found = allowed(turn.mask())
            token = first[wanted.encode()[len(text) : len(text) + 1] or b"x"]
            went_on = went_on and token in found
            token = token if went_on else int(found[0])
            turn.advance(token)
            text += info.texts[token]
        assert not turn.failures
        assert not [d for d in judged(scope, text.decode()).finish() if d.is_error]


def test_nothing_is_spelled_whatever_the_model_wants(info: TokenInfo) -> None:
    turn = TurnConstraint(Reach(after(SHORT)), info)
    for token in info.encode(b'prompt "Like the first imag'):
        turn.advance(token)
    texts = {info.texts[t] for t in allowed(turn.mask())}
    assert b"e" not in texts
    assert {b"i", b"x", b'"'} <= texts
    free = TurnConstraint(Reach(after(SHORT)), info)
    for token in info.encode(b'let a = search("Like the first imag'):
        free.advance(token)
    assert b"e" in {info.texts[t] for t in allowed(free.mask())}


def test_texts_have_their_length(info: TokenInfo) -> None:
    turn = TurnConstraint(Reach(after(SHORT)), info, max_tokens=4000)
    for token in info.encode(b'avoid "x'):
        turn.advance(token)
    rng, count = random.Random(0), 0
    while (found := allowed(turn.mask())).size > 1:
        turn.advance(letters(rng, found, info))
        count += 1
        assert count < 400
    assert info.texts[int(found[0])].startswith(b'"')


# ---- the turn -----------------------------------------------------------------------------------------


def test_the_end_of_the_turn_is_allowed_only_where_the_program_is_whole(info: TokenInfo) -> None:
    (eos,) = info.eos_ids
    cases: list[tuple[Reach, bool]] = [
        (Reach(after(SHORT)), False),
        (Reach(after(SHORT), may_end=True), True),
        (Reach(after(SHORT), follows=statements('prompt "b"')), True),
        (Reach(after(PROMPTED)), True),
        (Reach(after(LONG), may_end=True), True),
        (Reach(after(SHORT), statement=statements("use skill ?")[0], may_end=True), False),
    ]
    for reach, ends in cases:
        turn = TurnConstraint(reach, info)
        assert (eos in allowed(turn.mask())) is ends
        if ends:
            turn.advance(eos)
            assert turn.done
            assert turn.forced() == []
            assert list(allowed(turn.mask())) == [eos]
        else:
            with pytest.raises(ValueError, match="cannot end"):
                turn.advance(eos)


@pytest.mark.parametrize("may_call", [True, False])
def test_whoever_asks_may_read_the_answer_when_another_turn_can_follow(
    info: TokenInfo, may_call: bool
) -> None:
    (eos,) = info.eos_ids
    turn = TurnConstraint(Reach(after(LONG), may_call=may_call), info)
    assert eos not in allowed(turn.mask())
    for token in info.encode(b'let its_motto = ask(facts, "What is the motto?")\n'):
        assert token in allowed(turn.mask())
        turn.advance(token)
    assert (eos in allowed(turn.mask())) is may_call
    # It may also go on at once.
    assert any(info.texts[t][:1] == b"p" for t in allowed(turn.mask()))


def test_after_render_and_after_a_filled_statement_the_turn_is_over(info: TokenInfo) -> None:
    for reach, text in (
        (Reach(after(PROMPTED)), "render seed: 7\n"),
        (Reach(after(SHORT), statement=statements("use skill ?")[0]), "use skill text_rendering\n"),
        (Reach(after(SHORT)), "use skill text_rendering\n"),
        (Reach(after(SHORT)), 'let a = search("b")\n'),
    ):
        turn = TurnConstraint(reach, info)
        for token in info.encode(text.encode()):
            turn.advance(token)
        assert tuple(turn.forced()) == info.eos_ids
        assert tuple(allowed(turn.mask())) == info.eos_ids
        with pytest.raises(ValueError, match="cannot stand"):
            turn.advance(info.encode(b"a")[0])


def test_scopes_grow_inside_a_turn(info: TokenInfo) -> None:
    turn = TurnConstraint(Reach(after(LONG), images={"towers": 3}, may_call=False), info)
    for token in info.encode(b'# two of them\nref other = towers[0] for "size"\nprompt "{tower} and '):
        turn.advance(token)
    assert b'"' not in {info.texts[t] for t in allowed(turn.mask())}  # the other one is not mentioned
    for token in info.encode(b"{other}"):
        turn.advance(token)
    assert b'"' in {info.texts[t] for t in allowed(turn.mask())}
    for token in info.encode(b'"\n'):
        turn.advance(token)
    assert info.eos_ids[0] in allowed(turn.mask())
    with pytest.raises(ValueError, match="cannot stand"):
        turn.advance(info.encode(b"p")[0])  # a second prompt


def test_a_relation_goes_on_behind_its_pause(info: TokenInfo) -> None:
    turn = TurnConstraint(Reach(after(PROMPTED)), info)
    for token in info.encode(b'require relation("dog", "above", "ma'):
        turn.advance(token)
    for token in info.encode(b"n"):
        turn.advance(token)
    assert b'"' not in {info.texts[t] for t in allowed(turn.mask())}  # a man stands above a dog already
    for token in info.encode(b'tis")\n'):
        turn.advance(token)
    assert turn.failures == 0


def test_a_few_lines_of_thought_and_no_more(info: TokenInfo) -> None:
    for comments in (0, 1, 2):
        turn = TurnConstraint(Reach(after(SHORT)), info, comments=comments)
        for _ in range(comments):
            for token in info.encode(b"# hm.\n"):
                turn.advance(token)
        assert b"#" not in {info.texts[t] for t in allowed(turn.mask())}


def test_forced_tokens_are_what_the_mask_says(info: TokenInfo) -> None:
    turn = TurnConstraint(Reach(after(SHORT)), info)
    for token in info.encode(b"av"):
        turn.advance(token)
    following = turn.forced()
    assert b"".join(info.texts[t] for t in following).startswith(b"oid")
    for token in following:
        assert token in allowed(turn.mask())
        turn.advance(token)


def test_a_token_that_was_not_allowed_is_refused(info: TokenInfo) -> None:
    turn = TurnConstraint(Reach(after(SHORT)), info)
    with pytest.raises(ValueError, match="cannot stand here"):
        turn.advance(info.encode(b"z")[0])


# ---- rows together ------------------------------------------------------------------------------------


def test_masks_of_rows_are_those_of_each_row(info: TokenInfo) -> None:
    texts = (
        b"",
        b'avoid "x',
        b"re",
        b'prompt "the first imag',
        b'let a = search("b")\n',
        b"require relation(",
    )

    def rows() -> list[TurnConstraint]:
        made = [TurnConstraint(Reach(after(SHORT)), info) for _ in texts]
        for turn, text in zip(made, texts, strict=True):
            for token in info.encode(text):
                turn.advance(token)
        return made

    together = masks(rows())
    assert together.shape == (len(texts), info.words)
    for one, row in zip(together, rows(), strict=True):
        assert np.array_equal(one, row.mask())
    assert masks([]).shape[0] == 0


def test_masks_are_applied_to_logits(info: TokenInfo) -> None:
    bits = masks([TurnConstraint(Reach(after(SHORT)), info) for _ in range(2)])
    logits = torch.zeros(2, info.n_vocab)
    assert apply_masks(logits, bits) is logits
    for row in logits:
        assert np.array_equal(np.flatnonzero(row.isfinite().numpy()), allowed(bits[0]))
    assert not bits[0, -1] >> 31  # tokens that the tokenizer does not have


def test_siblings_share_what_is_compiled(info: TokenInfo) -> None:
    scope = after(LONG)
    first, second = (TurnConstraint(Reach(scope), info) for _ in range(2))
    assert first._following is second._following
    for token in info.encode(b"avoid"):
        first.advance(token)
    assert b"a" in {info.texts[t] for t in allowed(second.mask())}


# ---- tokenizers ---------------------------------------------------------------------------------------


def sentencepiece() -> object:
    """Pieces with a mark for the blank, and bytes for all that has no piece, as SentencePiece models have them."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))]
    pieces += [
        "▁",
        "▁for",
        "let",
        "prompt",
        "avoid",
        "image",
        "▁=",
        "▁the",
        "▁first",
        '▁"',
        "\n",
        "towers",
        '"',
    ]
    pieces += [chr(c) for c in range(0x21, 0x7F) if chr(c) not in pieces]
    vocabulary = [(p, 0.0 if i < 3 else -1.0 - i / 1000) for i, p in enumerate(pieces)]
    made = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence(steps)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )


def test_tokenizers_of_sentencepiece_write_programs_too() -> None:
    made = sentencepiece()
    info = TokenInfo.from_tokenizer(made, len(made), [made.eos_token_id])  # type: ignore[attr-defined, arg-type]
    assert info.texts[1] == info.texts[2] == b""
    assert b" for" in info.texts
    scope = after(LONG)
    for seed in range(4):
        turn = TurnConstraint(Reach(scope, images={"towers": 2}, may_call=False), info, max_tokens=300)
        text, count = write(turn, info, seed)
        assert count <= 300
        assert not [d for d in judged(scope, text).finish() if d.is_error], text


def test_a_tokenizer_must_be_able_to_write(info: TokenInfo) -> None:
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    few = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "<end>": 2}, merges=[]))
    made = PreTrainedTokenizerFast(tokenizer_object=few, eos_token="<end>")
    with pytest.raises(ValueError, match="cannot be used for constrained decoding"):
        TokenInfo.from_tokenizer(made, 3, [2])
    few.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=few, eos_token="<end>")
    with pytest.raises(ValueError, match="no token for single characters"):
        TokenInfo.from_tokenizer(made, 3, [2])
    with pytest.raises(ValueError, match="ends a turn"):
        TokenInfo.from_tokenizer(made, 3, [])
    with pytest.raises(ValueError, match="does not compile"):
        info.matcher("start: nothing_like_it")


# ---- sketches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sketch",
    [
        "let x = search(?, top_k: ?)",
        "ref r = towers[?] for ?",
        "prompt ?",
        "require relation(?, ?, ?)",
        'require count("ball") == ?',
        "require text(?, at: ?)",
        "render seed: ?, size: ?, guidance: ?",
        "avoid ?",
    ],
)
def test_holes_are_filled_whatever_is_drawn(info: TokenInfo, sketch: str) -> None:
    statement, _ = parse_statement(sketch)
    assert statement is not None
    scope = after(LONG)
    for seed in range(4):
        reach = Reach(scope, images={"towers": 3}, statement=statement)
        text, _ = write(TurnConstraint(reach, info, max_tokens=300), info, seed)
        (found,) = statements(text)
        assert type(found) is type(statement)
        judged(scope, text)


def test_what_the_author_wrote_is_never_in_the_way(info: TokenInfo) -> None:
    # The author may write what the checker takes and a policy is kept from.
    (statement,) = statements('ref r = towers[?] for "the second reflection"')
    turn = TurnConstraint(Reach(after(LONG), statement=statement), info)
    text, _ = write(turn, info, 0, skip_forced=False)
    assert text.endswith('for "the second reflection"\n')
