"""Choices that cannot be parameter values themselves, such as None and tuples, stored as texts.

    None          python:None
    (64, 64)      python:(64, 64)
    "adam"        adam

The text is `python:` and Python's literal of the choice, which any process can read back. A choice that is a text
beginning with `python:` is stored in the same way, so the two cannot be confused.
"""

from __future__ import annotations

import ast
from typing import Any

from .parameters import Value

PREFIX = "python:"


def stored(choice: Any) -> Value:
    """The choice as a parameter's value. A NumPy scalar is the number it holds. Raises ValueError if `restored` could
    not make the same choice of it."""
    if hasattr(choice, "dtype") and hasattr(choice, "item") and getattr(choice, "ndim", None) == 0:
        choice = choice.item()
    if type(choice) in (bool, int, float) or (type(choice) is str and not choice.startswith(PREFIX)):
        value: Value = choice
        return value
    text = PREFIX + repr(choice)
    if not _equal(restored(text), choice):
        raise ValueError("can be text, a number, a boolean, None, or a tuple, list or dictionary of these")
    return text


def restored(value: Value) -> Any:
    """The choice that a parameter's value stands for; other values as they are."""
    if not isinstance(value, str) or not value.startswith(PREFIX):
        return value
    try:
        return ast.literal_eval(value.removeprefix(PREFIX))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def shown(text: str) -> str:
    """A text value for people: without the prefix."""
    return text.removeprefix(PREFIX)


def plain(value: Value) -> object:
    """The choice as JSON and YAML have it: tuples are lists."""
    return _plain(restored(value))


def _plain(choice: Any) -> object:
    if isinstance(choice, tuple | list):
        return [_plain(part) for part in choice]
    if isinstance(choice, dict):
        return {str(key): _plain(part) for key, part in choice.items()}
    return choice if choice is None or isinstance(choice, bool | int | float | str) else repr(choice)


def _equal(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b)
