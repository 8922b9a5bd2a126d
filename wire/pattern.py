"""Patterns as RE2 takes them; what they may be is in `domain/pattern.py`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ..domain.errors import FailedPrecondition, InvalidArgument
from ..domain.pattern import MAX_LENGTH, linear

if TYPE_CHECKING:
    import re

MEMORY = 1 << 20
"""Bytes for a compiled pattern. They bound the time for a line: a fifth of a second for 8 KiB if all are used."""

FIELD = "trial.metrics.pattern"


@lru_cache(64)
def compiled(pattern: str) -> re.Pattern[str]:
    """Finds what `re` would, in time in proportion to the text. Raises InvalidArgument, and FailedPrecondition if RE2
    is not installed."""
    if len(pattern) > MAX_LENGTH:
        raise InvalidArgument(FIELD, f"{pattern[:40]}...", f"may have at most {MAX_LENGTH} characters", HINT_SHORTER)
    try:
        import re2
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            f"{FIELD} needs {error.name}, the package google-re2; install it with: pip install 'wazir[run]'",
            field=FIELD,
        ) from error

    options = re2.Options()
    options.max_mem = MEMORY
    options.log_errors = False
    try:
        found: re.Pattern[str] = re2.compile(linear(pattern), options)
    except ValueError as error:
        raise InvalidArgument(FIELD, pattern, f"{error}, which cannot be matched in linear time", HINT) from None
    except re2.error as error:
        words = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise InvalidArgument(FIELD, pattern, f"is too much for RE2: {words}", HINT_SHORTER) from None
    return found


HINT = r"Match what stands there instead, for instance (?P<name>[\w/]+)=(?P<value>\S+)"
HINT_SHORTER = r"Write it shorter, for instance \w+ instead of \w{1,100}"
