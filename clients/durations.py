"""Durations as people are shown them."""

from __future__ import annotations


def span(seconds: float) -> str:
    """In one unit: `8.1 s`, `95 s`, `3 min`, `2.5 h`, `5 d`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.0f} d"
