"""Numbers in text that people and programs write: read whole, or not at all.

A number is read if it can mean one thing only: `0.31`, `-1e-3`, `nan`, `93.5%`, `1,234.5`, `1,234,567`. What could be
two numbers (`1,234`), what other languages write (`0,31`, `12 345`, `1'234`), and what goes on after the digits
(`12ms`, `1.2.3`, `3/50`, `12:30`, `1_000`) is not read, and never in part: `suggestion` says what to write instead.
"""

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple

_SIGN = "[-+\u2212]?"  # with the minus sign of typographers
_PLAIN = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|(?i:inf(?:inity)?|nan)"
# A comma that is followed by three digits is a decimal one as well, unless a point or a second comma follows.
_GROUPED = r"[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+\.[0-9]+|(?:,[0-9]{3}){2,})"
_BLANKS = " \u00a0\u2009\u202f"
_SPACED = rf"{_SIGN}[1-9][0-9]{{0,2}}(?:[{_BLANKS}][0-9]{{3}})+(?:[.,][0-9]+)?(?![\w/:])"
# A unit, half a fraction, a date or time of day, a version, a power, groups of digits as in 1'234.
_GOES_ON = r"[\w^\u00d7]|\s*/|[.\-+\u2212]\w|[,:*'\u2019\u00b7\u066b][0-9]"

_NUMBER: Final = re.compile(rf"(?!{_SPACED})({_SIGN}(?:{_GROUPED}|{_PLAIN}))(?!{_GOES_ON})")
_AS_TYPED: Final = re.compile(r"[-+]?(?:[0-9]+(\.?[0-9]*)|(\.[0-9]+))([eE][-+]?[0-9]+)?")
# How Python, NumPy and PyTorch print a number inside of something else: quotes, np.float64(0.5), tensor(0.5, ...).
_WRAPPED: Final = re.compile(r"[\"'`]|(?:(?:np|numpy|torch)\.)?(?:float|int|tensor|array)(?:16|32|64)?\(")
_WORD: Final = re.compile(rf"{_SPACED}|[0-9.]{{1,20}}\s?/\s?[0-9]{{1,20}}|(?:[^\s\"'`]|'(?=[0-9])){{1,40}}")

_GROUP_MARKS: Final = re.compile(rf"(?<=[0-9])[{_BLANKS}'\u2019_](?=[0-9])")
_COMMA: Final = re.compile(r"([-+]?[0-9]+),([0-9]+(?:[eE][-+]?[0-9]+)?)")
_UNSURE: Final = re.compile(r"[-+]?[1-9][0-9]{0,2},[0-9]{3}")
_COMMAS_IN_GROUPS: Final = re.compile(rf"[-+]?(?:{_GROUPED})")
_POINTS_IN_GROUPS: Final = re.compile(r"[-+]?[1-9][0-9]{0,2}(?:(?:\.[0-9]{3})+,[0-9]+|(?:\.[0-9]{3}){2,})")


MAX_TYPED = 400
"""Characters of a number that a person types. Longer ones are beyond all floats, and Python refuses to read them."""


class Reading(NamedTuple):
    """What stands at a place of a text. `value` is None if that is not a number; `text` is how it is written."""

    value: float | None
    text: str
    end: int


def read_at(text: str, start: int = 0) -> Reading:
    """The number that begins at `start`, perhaps in quotes or as `np.float64(0.5)` and `tensor(0.5)` are printed."""
    if wrapped := _WRAPPED.match(text, start):
        start = wrapped.end()
    if match := _NUMBER.match(text, start):
        return Reading(_float(match[1]), match[1], match.end())
    word = _WORD.match(text, start)
    return Reading(None, word[0].rstrip(".,;:!?)]}") if word else "", word.end() if word else start)


def number(text: str) -> float | None:
    """The number that `text` is, with blanks, a per cent sign and punctuation after it; None if it is not one."""
    text = text.strip()
    reading = read_at(text)
    return reading.value if not text[reading.end :].strip("%.,;:!?)]}\"'` ") else None


def as_typed(text: str) -> int | float | None:
    """The number that a person typed as a value: digits, at most a point and an exponent. None for anything else.

    Without a point and an exponent it is a whole number."""
    match = _AS_TYPED.fullmatch(text)
    if match is None or len(text) > MAX_TYPED:
        return None
    return float(text) if any(match.groups()) else int(text)


def looks_numeric(text: str) -> bool:
    """Whether somebody meant a number by it: it begins with a digit, after a sign and a point at most."""
    return re.match(rf"{_SIGN}\.?[0-9]", text) is not None


def suggestion(text: str) -> str:
    """What to write instead of `text`, which is not a number, as a sentence; empty if that cannot be known."""
    written = text.strip()
    text = _GROUP_MARKS.sub("", written.replace("\u2212", "-"))
    if _UNSURE.fullmatch(text):
        return f"Write {text.replace(',', '')} or {text.replace(',', '.')}"
    if _COMMAS_IN_GROUPS.fullmatch(text):
        return f"Write {text.replace(',', '')}"
    if _POINTS_IN_GROUPS.fullmatch(text):
        return f"Write {text.replace('.', '').replace(',', '.')}"
    if _COMMA.fullmatch(text):
        return f"Write {text.replace(',', '.')}"
    return f"Write {text}" if text != written and as_typed(text) is not None else ""


def _float(text: str) -> float | None:
    value = float(text.replace(",", "").replace("\u2212", "-"))
    # Digits that are too many for a float are not infinity.
    return None if math.isinf(value) and any(map(str.isdigit, text)) else value
