"""Ids of audit records: the time, and chance, because several servers write to one database."""

from __future__ import annotations

import random

from ...domain.audit import id_at


def new_id(now: float) -> str:
    """`now`: Unix seconds."""
    return f"{id_at(now)}{random.getrandbits(40):010x}"
