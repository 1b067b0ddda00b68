from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genevolve.grammar.reader import MAX_BYTES, check_text, escape_unseen, is_unseen, read_source
from genevolve.grammar.span import Span


def codes(data: bytes) -> list[str]:
    return [d.code for d in read_source(data, "a.gprog")[1]]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b'prompt "a"\n', 'prompt "a"\n'),
        (b'\xef\xbb\xbfprompt "a"', 'prompt "a"'),
        (b"let a = 1\r\nlet b = 2\rlet c = 3\n", "let a = 1\nlet b = 2\nlet c = 3\n"),
        ('prompt "caf\u00e9 \u4e2d \U0001f600"'.encode(), 'prompt "caf\u00e9 \u4e2d \U0001f600"'),
    ],
)
def test_right_bytes(data: bytes, text: str) -> None:
    source, diagnostics = read_source(data, "a.gprog")
    assert (source.text, source.name, diagnostics) == (text, "a.gprog", ())


def test_invalid_utf8_is_shown_where_it_stands() -> None:
    source, (found,) = read_source('# \u00e9\r\nprompt "a'.encode() + b'\xffb"', "a.gprog")
    assert found.code == "GP109"
    assert source.position(found.span.start) == (2, 10)
    assert source.slice(found.span) == "\ufffd"
    assert codes(b"\xc3") == ["GP109"]
    assert codes(b"a\xed\xa0\x80") == ["GP109"]


def test_other_encodings_and_binaries() -> None:
    assert codes('prompt "a"'.encode("utf-16")) == ["GP109"]
    assert codes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR") == ["GP118"]
    assert codes(b"prompt \0") == ["GP118"]
    assert codes(b"\x01\x02\x03\x04") == ["GP118"]
    assert codes(b"") == []


def test_size_is_limited() -> None:
    assert codes(b"#" * MAX_BYTES) == []
    source, (found,) = read_source(b"#" * (MAX_BYTES + 1), "a.gprog")
    assert found.code == "GP111"
    assert found.span == Span(0, 0)
    assert len(source.text) == MAX_BYTES
    assert [d.code for d in check_text("\u4e2d" * (MAX_BYTES // 3 + 1))] == ["GP111"]
    assert check_text("\u4e2d" * (MAX_BYTES // 3)) == ()


@pytest.mark.parametrize(
    "character", ["\u202e", "\u2066", "\u200b", "\ufeff", "\x1b", "\x08", "\x7f", "\x85", "\u2028"]
)
def test_unseen_characters_are_reported(character: str) -> None:
    source, (found,) = read_source(f'prompt "a{character}b"'.encode(), "a.gprog")
    assert found.code == "GP116"
    assert source.slice(found.span) == character
    assert f"U+{ord(character):04X}" in found.message
    assert is_unseen(character)


def test_joiners_are_allowed_where_scripts_and_emoji_need_them() -> None:
    assert (
        codes(
            'prompt "\U0001f469\u200d\U0001f467 \u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"'.encode()
        )
        == []
    )
    assert codes('prompt "a\u200db"'.encode()) == ["GP116"]
    assert codes('prompt "a\u200c"'.encode()) == ["GP116"]


def test_few_are_reported_of_many() -> None:
    assert len(codes("\u202e".encode() * 10_000)) == 50
    assert [d.code for d in check_text("\ud800" * 100)] == ["GP109"] * 50


def test_escaping_makes_them_seen() -> None:
    assert escape_unseen("a\u202eb\U000e0041") == "a\\u{202e}b\\u{e0041}"


@given(st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_no_bytes_raise_and_spans_are_inside(data: bytes) -> None:
    source, diagnostics = read_source(data, "a.gprog")
    assert "\r" not in source.text
    for found in diagnostics:
        assert 0 <= found.span.start <= found.span.end <= len(source.text)
    try:
        expected = data.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        assert diagnostics
    else:
        assert diagnostics or source.text == expected
