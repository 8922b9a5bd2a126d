"""The memo of a designer as text: a small JSON object that says whose it is.

write_memo("grid/1", position=3)     '{"by":"grid/1","position":3}'
read_memo("grid/1", that)            {"position": 3}
"""

from __future__ import annotations

import json
from typing import Any


def write_memo(by: str, **entries: int | str | list[float]) -> str:
    """`by` is the designer's name and version, as in `grid/1`."""
    return json.dumps({"by": by, **entries}, separators=(",", ":"))


def read_memo(by: str, memo: str) -> dict[str, Any]:
    """The entries; empty for an empty memo and for one of another designer or version.

    A study's algorithm may be changed while it runs; the new one then starts from nothing but the history.
    """
    entries: dict[str, Any] = json.loads(memo) if memo else {}
    return entries if entries.pop("by", None) == by else {}
