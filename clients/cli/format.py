"""The forms in which commands print what they found."""

from __future__ import annotations

import enum


class Format(enum.Enum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"
    """Of lists alone."""
