r"""Patterns that people give for what trials print: Python's syntax, as far as it can be matched in linear time.

A pattern is matched against what hostile or broken code prints, and a backtracking engine may take years for one line:
`(a+)+$` and thirty times `a`. So it is matched by RE2 (`wire/pattern.py`), which takes time in proportion to the line,
and has no backreferences and no looking around. `linear` writes a pattern as RE2 has it, with the meaning that it has
in Python: `\w`, `\d` and `\s` stand for letters, digits and blanks of every language. `\b` goes by ASCII letters
alone, and so do `\W`, `\D` and `\S` between brackets.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Generator, Iterator

MAX_LENGTH = 1_000
"""Characters of a pattern."""

MAX_REPEAT = 1_000
"""The largest number in braces, as in `a{3,1000}`."""

_ALSO = r"\x1c-\x1f\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
_INSIDE = {"w": r"\p{L}\p{N}_", "d": r"\p{Nd}", "s": rf"\s\v{_ALSO}"}
_CLASSES = {
    **{letter: f"[{inside}]" for letter, inside in _INSIDE.items()},
    **{letter.upper(): f"[^{inside}]" for letter, inside in _INSIDE.items()},
}
_LACKING = {
    "(?=": "looking ahead, `(?=`",
    "(?!": "looking ahead, `(?!`",
    "(?<=": "looking back, `(?<=`",
    "(?<!": "looking back, `(?<!`",
    "(?P=": "a backreference, `(?P=`",
    "(?(": "a condition, `(?(`",
    "(?>": "an atomic group, `(?>`",
}
_REPEAT = re.compile(r"\{([0-9]*)(?:(,)([0-9]*))?\}")
_FLAGS = re.compile(r"\(\?([a-zA-Z]*)(-[a-zA-Z]+)?([:)])")


def groups(pattern: str) -> frozenset[str]:
    """The names of its groups. Raises ValueError, in words, if it is no regular expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return frozenset(re.compile(pattern).groupindex)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is not a valid regular expression: {error}") from None


def linear(pattern: str) -> str:
    """A valid pattern as RE2 has it. Raises ValueError, in words, if it has what cannot be matched in linear time."""
    return "".join(_written(pattern))


def _written(pattern: str) -> Iterator[str]:
    place, repeated = 0, False
    while place < len(pattern):
        rest, was_repeated, repeated = pattern[place:], repeated, False
        repeat = _REPEAT.match(rest)

        if rest[0] == "\\":
            end, text = _escape(pattern, place, inside=False)
            yield text
        elif rest[0] == "[":
            end = yield from _class(pattern, place)
        elif rest.startswith("(?"):
            end = place + len(taken := _group(rest))
            yield "" if taken.startswith("(?#") else taken.replace("u", "") if _FLAGS.fullmatch(taken) else taken
        elif rest[0] in "*+?" or (repeat and (repeat[1] or repeat[2])):
            end = place + (len(repeat[0]) if repeat else 1)
            if was_repeated and rest[0] == "+":
                raise ValueError("has a possessive repetition, such as `*+`")
            # A question mark after a repetition belongs to it.
            repeated = not was_repeated
            yield _times(repeat) if repeat else rest[0]
        else:
            end = place + 1
            yield rf"\{rest[0]}" if rest[0] in "{}" else rest[0]
        place = end


def _times(repeat: re.Match[str]) -> str:
    least, comma, most = repeat[1] or "0", repeat[2] or "", repeat[3] or ""
    if max(int(least), int(most or 0)) > MAX_REPEAT:
        raise ValueError(f"repeats something more than {MAX_REPEAT} times")
    return f"{{{least}{comma}{most}}}"


def _group(rest: str) -> str:
    """The beginning of a group of a special kind, or a whole comment."""
    if rest.startswith("(?P<"):
        return rest[: rest.index(">") + 1]
    if rest.startswith("(?#"):
        return rest[: rest.index(")") + 1]
    for begin, words in _LACKING.items():
        if rest.startswith(begin):
            raise ValueError(f"has {words}")
    flags = _FLAGS.match(rest)
    if flags is None or not set(flags[1] + (flags[2] or "")) <= set("-imsu"):
        raise ValueError(f"has flags other than i, m and s: {rest[:8]!r}")
    return flags[0]


def _class(pattern: str, place: int) -> Generator[str, None, int]:
    """Writes what stands between brackets. Its end."""
    end = place + 1
    yield "["
    if pattern.startswith("^", end):
        yield "^"
        end += 1
    first = end
    while pattern[end] != "]" or end == first:
        if pattern[end] == "\\":
            end, text = _escape(pattern, end, inside=True)
            yield text
        else:
            yield rf"\{pattern[end]}" if pattern[end] in "[]" else pattern[end]
            end += 1
    yield "]"
    return end + 1


def _escape(pattern: str, place: int, *, inside: bool) -> tuple[int, str]:
    """The end of what begins with a backslash, and how it is written."""
    letter, after = pattern[place + 1], place + 2
    if letter in "wdsWDS":
        return after, (_INSIDE.get(letter, rf"\{letter}") if inside else _CLASSES[letter])
    if letter in "0123456789":
        octal = re.compile(r"0[0-7]{0,2}|[0-3][0-7]{2}").match(pattern, place + 1)
        if octal is None:
            raise ValueError(rf"has a backreference, `\{letter}`")
        return octal.end(), _code(int(octal[0], 8))
    if letter in "xuU":
        end = after + {"x": 2, "u": 4, "U": 8}[letter]
        return end, _code(int(pattern[after:end], 16))
    if letter == "N":
        end = pattern.index("}", after) + 1
        return end, _code(ord(unicodedata.lookup(pattern[after + 1 : end - 1])))
    if letter == "b" and inside:
        return after, _code(8)
    if letter == "Z":
        return after, r"\z"
    return after, rf"\{letter}" if letter.isascii() else letter


def _code(number: int) -> str:
    return rf"\x{{{number:x}}}"
