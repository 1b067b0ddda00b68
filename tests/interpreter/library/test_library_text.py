from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genevolve.interpreter.library.passages import MOST, Block, Document, passages
from genevolve.interpreter.library.text import clean, decode, one_line, sentences, stem, terms


def test_clean_drops_what_is_not_seen_and_keeps_lines() -> None:
    assert clean("a\u202eb\u200bc\x00d\x1b[31m\r\ne \t f") == "abcd[31m\ne f"


def test_clean_composes_accents() -> None:
    assert clean("cafe\u0301") == "café"


@given(st.text())
def test_clean_is_idempotent_and_leaves_no_control_characters(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert not any(ord(c) < 32 and c not in "\n\t" for c in once)
    once.encode()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xef\xbb\xbfcaf\xc3\xa9", "café"),
        ("café".encode("utf-16"), "café"),
        (b"caf\xe9 \x93quoted\x94", "café “quoted”"),
    ],
)
def test_decode_knows_common_encodings(data: bytes, text: str) -> None:
    assert decode(data) == text


def test_decode_refuses_what_is_no_text() -> None:
    with pytest.raises(ValueError, match="not text"):
        decode(bytes(range(32)) * 10)


def test_one_line_is_cut_at_a_word() -> None:
    assert one_line("one\n two   three", 9) == "one two…"
    assert one_line("x" * 30, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("galaxies", "galaxy"),
        ("lifted", "lift"),
        ("stopping", "stop"),
        ("making", "make"),
        ("bricks", "brick"),
        ("churches", "church"),
        ("freed", "free"),
    ],
)
def test_endings_do_not_part_words(a: str, b: str) -> None:
    assert stem(a) == stem(b)


@pytest.mark.parametrize("word", ["glass", "Pompeii", "iris", "ring", "red", "bus", "1,024"])
def test_short_and_odd_words_stay(word: str) -> None:
    assert stem(word) == word


def test_terms_fold_case_accents_and_leave_out_stop_words() -> None:
    assert terms("The CAFÉ's crème is what it is") == terms("cafes creme")


def test_scripts_without_blanks_become_pairs() -> None:
    assert terms("頤和園の塔") == ["頤和", "和園", "園の", "の塔"]
    assert terms("塔") == ["塔"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Smith met J. Doe at 6.30 p.m. in Rome.", ["Dr. Smith met J. Doe at 6.30 p.m. in Rome."]),
        ("He said “Go.” Then he left.", ["He said “Go.”", "Then he left."]),
        ("It is 3.5 metres. e.g. this one", ["It is 3.5 metres. e.g. this one"]),
        ("塔は高い。池は広い。", ["塔は高い。", "池は広い。"]),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


def _words(n: int, word: str = "word") -> str:
    return " ".join([word] * n)


def test_short_paragraphs_join_and_headings_part() -> None:
    document = Document(
        "T",
        (
            Block(_words(30), ("T",)),
            Block(_words(30), ("T",)),
            Block(_words(30), ("T", "A")),
        ),
    )
    found = passages(document)
    assert [(p.heading, len(p.text.split())) for p in found] == [("", 60), ("A", 30)]


def test_long_paragraphs_are_cut_at_sentences() -> None:
    sentence = _words(39, "long") + " end."
    found = passages(Document("", (Block(" ".join([sentence.capitalize()] * 10)),)))
    assert [len(p.text.split()) for p in found] == [120, 120, 120, 40]
    assert all(p.text.endswith("end.") for p in found)


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=3_000), max_size=6))
def test_no_passage_is_too_long_and_no_word_is_lost(texts: list[str]) -> None:
    found = passages(Document("", tuple(Block(text) for text in texts)))
    kept = "".join("".join(p.text.split()) for p in found)
    assert kept == "".join("".join(one_line(text).split()) for text in texts)
    assert all(len(p.text.split()) <= MOST and p.text for p in found)


def test_an_endless_word_is_cut() -> None:
    found = passages(Document("", (Block("x" * 100_000),)))
    assert max(len(p.text) for p in found) < 15_000
    assert sum(p.text.count("x") for p in found) == 100_000
