"""Text that others wrote, made harmless for a terminal.

A terminal obeys control characters in what it is given: they rename its window, clear it, overwrite earlier lines or
reverse the order of letters. Reasons, messages, labels, names of metrics and lines of logs come from other people and
from training code, so whatever writes them to a terminal passes them through `visible` first.
"""

from __future__ import annotations

import re

_CONTROL = re.compile(
    "["
    "\\x00-\\x08\\x0b-\\x1f\\x7f"  # C0 without tab and line feed; ESC is among them
    "\\x80-\\x9f"  # C1: one character each for what ESC and another character do
    "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069"  # marks, embeddings, overrides and isolates of direction
    "\\u2028\\u2029"  # separators of lines and paragraphs
    "\\ud800-\\udfff"  # surrogates without their partner, which no stream can encode
    "]"
)


def visible(text: str) -> str:
    """`text` with every control character written as its escape: `\\x1b`, `\\x9b`, `\\u202e`. Tabs and line feeds stay.

    The result holds no control character, so that doing it twice changes nothing.
    """
    return _CONTROL.sub(lambda found: escape(found[0]), text)


def visible_document(document: str) -> str:
    """A JSON or YAML document with its control characters as `\\u009b`, which readers turn back into the character.

    In YAML they must be within double quotes, as in JSON they always are.
    """
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def on_one_line(text: str) -> str:
    """`text` as `visible` shows it, with each run of line feeds and tabs as one blank: for rows and headings."""
    return re.sub(r"[ \t]*[\n\t][ \t\n]*", " ", visible(text).strip("\n\t "))


def escape(character: str) -> str:
    """How Python writes it in a string: `\\r`, `\\x1b`, `\\u202e`."""
    return character.encode("unicode_escape").decode("ascii")
