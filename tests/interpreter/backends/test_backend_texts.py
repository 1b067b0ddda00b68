"""Texts of strangers are made harmless."""

from __future__ import annotations

import time

import pytest

from genevolve.interpreter.backends.texts import clean_source, clean_text, scrub


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain", "plain"),
        ("  two\n\n lines\t ", "two lines"),
        ("a\x00b\x1b[31mc\x07\x7f\x85", "a b [31mc"),
        ("left\u202eright\u2066\u200b\ufeff", "leftright"),
        ("tags\U000e0041\U000e0042", "tags"),
        ("\ud800lone", "lone"),
        ("می‌خواهم 👩‍🚀", "می‌خواهم 👩‍🚀"),
        ("see https://evil.example/x?k=1 and www.evil.example now", "see and now"),
        ("file:///etc/passwd javascript:/x", ""),
        (5, ""),
        (None, ""),
        (["x"], ""),
    ],
)
def test_clean_text(text: object, clean: str) -> None:
    assert clean_text(text) == clean


def test_long_texts_are_cut_quickly() -> None:
    began = time.monotonic()
    text = clean_text("word " * 2_000_000, 4000)
    assert len(text) <= 4000
    assert text.endswith("word…")
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ftp://a.example/",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "//a.example",
        "http://",
        "http://user:pass@a.example/",
        "http://a.example/\n",
        "http://a.example/\x1b",
        "http://a.example\\@b.example/",
        "http://a.example/" + "a" * 3000,
        None,
        {"a": 1},
    ],
)
def test_what_is_no_address(address: object) -> None:
    assert clean_source(address) == ""


def test_what_is_one() -> None:
    for address in ("https://a.example/é?x=1#y", "HTTP://A.example:8080/@user"):
        assert clean_source(address) == address


def test_scrub_changes_only_what_is_hidden() -> None:
    assert scrub("two\nlines\tand  spaces é") == "two\nlines\tand  spaces é"
    assert scrub("a\x1b[31mb\u202ec\r") == "a[31mbc"
