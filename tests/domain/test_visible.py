"""Text of others on a terminal: what is escaped, and that nothing else is touched."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.visible import on_one_line, visible, visible_document

DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
"""Bidirectional classes of characters that reorder others."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;pwned\x07", "\\x1b]0;pwned\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("abc\u202ecba", "abc\\u202ecba"),
        ("a\rb\x7f", "a\\rb\\x7f"),
        ("one\u2028two\u2029", "one\\u2028two\\u2029"),
        ("\udc9b", "\\udc9b"),
        ("Grüße\t日本\nعربي 👩\u200d👩", "Grüße\t日本\nعربي 👩\u200d👩"),
    ],
)
def test_control_characters_are_escaped_and_letters_of_all_scripts_are_not(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_keeps_a_control_character(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    for character in shown:
        assert character in "\t\n" or unicodedata.category(character) not in ("Cc", "Zl", "Zp", "Cs")
        assert unicodedata.bidirectional(character) not in DIRECTIONS
    assert shown.isascii() or shown.encode(), "a stream can encode it"


@given(st.text())
def test_a_document_means_the_same_after_it(text: str) -> None:
    document = visible_document(json.dumps({text: [text]}, ensure_ascii=False))
    assert visible(document) == document
    assert json.loads(document) == {text: [text]}


@pytest.mark.parametrize(
    ("text", "shown"), [("a\nb", "a b"), ("\n a \n\n\tb\x1b \n", "a b\\x1b"), ("a  b", "a  b"), ("", "")]
)
def test_a_row_holds_no_line_feed(text: str, shown: str) -> None:
    assert on_one_line(text) == shown
