"""Dialogues told again with other names."""

from __future__ import annotations

import random
import re

import pytest

from genevolve.optimizer.mini import MiniSettings, make_mini
from genevolve.optimizer.renaming import Names, names_of, renamed, retold
from genevolve.programs.policies.protocol import Message, Role

TOWNS = ("Velmora", "Tarnik", "Osdelun", "Brahovi", "Quendal", "Zistrane", "Morvabin", "Kelputir")
THINGS = ("hat", "drum", "kite", "cup")
MOTTOES = ("CALM", "RIVER", "BRIGHT", "STONE")


def dialogue(number: int) -> tuple[Message, ...]:
    town, thing, motto = TOWNS[number % 8], THINGS[number % 4], MOTTOES[number // 2 % 4]
    return (
        Message(Role.SYSTEM, "## Guide\n- Draw every hat in Velmora."),
        Message(Role.USER, f'request "Draw three {thing}s in {town} with the words {motto} and a horse."'),
        Message(Role.ASSISTANT, f'let page = search("{town} {thing}", top_k: 3)\n'),
        Message(Role.USER, f"page: 1 passage\n| {town} says {motto}."),
        Message(
            Role.ASSISTANT,
            f'prompt "Three {thing}s of {town}."\nrequire count("{thing}") == 3\n'
            f'require attribute("picture", "day")\nrequire count("leg of the horse") == 4\n'
            f'require attribute("horse", "wood")\nrequire text("{motto}", at: "top")\nrender size: 384x384\n',
        ),
    )


DIALOGUES = [dialogue(n) for n in range(80)]


def body(messages: tuple[Message, ...]) -> str:
    return "\n".join(m.text for m in messages[1:])


def test_names_are_what_programs_require_and_requests_name() -> None:
    names = names_of(DIALOGUES)
    assert names.things == tuple(sorted(THINGS))  # no picture: no request names it; no horse: it has legs
    assert names.capitals == tuple(sorted(MOTTOES))


def test_words_of_many_requests_are_no_proper_names() -> None:
    many = [
        (Message(Role.USER, f'request "A {w} by the Harbour."'), Message(Role.ASSISTANT, 'prompt "x"\n'))
        for w in (
            f"{a}{b}" for a in ("Vel", "Tar", "Osd", "Bra") for b in ("mora", "nik", "elun", "ovi", "dal")
        )
    ] * 5
    assert names_of(many).proper == ()
    rare = [
        (Message(Role.USER, 'request "A Zistrane by the Harbour."'), Message(Role.ASSISTANT, 'prompt "x"\n'))
    ]
    assert names_of([*many, *rare]).proper == ("Zistrane",)


def test_all_of_a_dialogue_is_exchanged_alike_and_nothing_else() -> None:
    names = Names(THINGS, TOWNS, MOTTOES)
    for seed in range(30):
        old, new = dialogue(seed), renamed(dialogue(seed), names, random.Random(seed))
        assert new[0] == old[0]
        assert [m.role for m in new] == [m.role for m in old]
        pairs = dict(
            zip(re.findall(r"[A-Za-z]+", body(old)), re.findall(r"[A-Za-z]+", body(new)), strict=True)
        )
        assert all(
            a == b for a, b in pairs.items() if a not in TOWNS + MOTTOES and a.rstrip("s") not in THINGS
        )
        # The same word always becomes the same word: undoing it gives the dialogue back.
        back = {b: a for a, b in pairs.items()}
        assert [back[w] for w in re.findall(r"[A-Za-z]+", body(new))] == re.findall(r"[A-Za-z]+", body(old))
        thing = THINGS[seed % 4]
        assert pairs[thing + "s"] == pairs[thing] + "s"


def test_every_telling_differs_and_the_same_seed_tells_the_same() -> None:
    told = retold([(d, n % 2 == 0) for n, d in enumerate(DIALOGUES[:8])], 3, seed=1)
    assert len(told) == 8 * 4
    assert [g for _, g in told] == [True, False] * 16
    assert [m for m, _ in told[:8]] == DIALOGUES[:8]
    assert len({body(m) for m, _ in told}) > 28
    assert told == retold([(d, n % 2 == 0) for n, d in enumerate(DIALOGUES[:8])], 3, seed=1)
    assert told != retold([(d, n % 2 == 0) for n, d in enumerate(DIALOGUES[:8])], 3, seed=2)


@pytest.mark.parametrize(
    "text", ["", "require", 'require count("', "require count() == 1\n", "}{\x00", "let"]
)
def test_what_does_not_read_as_a_program_is_passed_over(text: str) -> None:
    told = (Message(Role.USER, "Draw a Velmora hat."), Message(Role.ASSISTANT, text))
    assert names_of([told]).things == ()
    assert len(retold([(told, False)], 2, 0)) == 3


def test_no_dialogue_is_no_name() -> None:
    assert names_of([]) == Names((), (), ())
    assert retold([], 3, 0) == []


def test_words_that_stand_alone_are_the_same_tokens_everywhere_and_phrases_are_one() -> None:
    texts = [m.text for d in DIALOGUES for m in d]
    sizes = MiniSettings(600, 48, 2, 2, 2, 64, 512, 0)
    _, tokenizer = make_mini(texts, sizes, alone=THINGS)
    (hat,) = tokenizer.encode("hat", add_special_tokens=False)
    for text in ('count("hat")', "a hat", "hats", "three hats in"):
        assert hat in tokenizer.encode(text, add_special_tokens=False)
    ids = tokenizer.encode(DIALOGUES[0][-1].text, add_special_tokens=False)
    assert tokenizer.decode(ids) == DIALOGUES[0][-1].text
    assert any(" " in tokenizer.decode([i]).strip() for i in ids)
    assert all(len(tokenizer.decode([i])) <= sizes.longest for i in ids)
    _, short = make_mini(texts, MiniSettings(600, 48, 2, 2, 2, 64, 512, 0, 8), alone=THINGS)
    assert max(len(short.decode([i])) for i in short.encode(texts[4], add_special_tokens=False)) <= 8
