"""Makes methods of the functions in `calls.py`, which look as if they had been written out."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])


def as_method(method: F, describe: Callable[..., object], owner: str) -> F:
    """`method` with the name, documentation and parameters of `describe`, after a first one that is `self`."""
    signature = inspect.signature(describe)
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__name__ = describe.__name__
    method.__qualname__ = f"{owner}.{describe.__name__}"
    method.__doc__ = describe.__doc__
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]  # what inspect.signature looks for
        parameters=[this, *signature.parameters.values()], return_annotation=inspect.Signature.empty
    )
    return method
