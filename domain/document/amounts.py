"""Amounts, as documents write them: numbers, durations, memory."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Final

from ..errors import InvalidArgument

_UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION: Final = re.compile(r"(?=[0-9])" + "".join(rf"(?:([0-9]{{1,15}}(?:\.[0-9]{{1,15}})?){u})?" for u in _UNITS))
_MEMORY_UNITS: Final = {
    "": 1,
    "k": 10**3,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_MEMORY: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?) ?([A-Za-z]{0,2})")


def parse_duration(where: str, value: object) -> float:
    """Seconds of 90, 1.5, "90s", "1h30m", "2d"."""
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            pointed = value.replace(",", ".").strip()
            hint = "Write a number of seconds, or days, hours, minutes and seconds in this order"
            if "," in value and _DURATION.fullmatch(pointed):
                hint = f"Write {pointed}"
            raise InvalidArgument(where, value, "must be a duration such as 90s, 12h, 1h30m or 2d", hint)
        parts = zip(match.groups(), _UNITS.values(), strict=True)
        return float(sum(Decimal(amount) * unit for amount, unit in parts if amount))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgument(where, value, "must be a duration such as 90s, 12h, 1h30m or 2d")
    return as_float(value)


def format_duration(seconds: float) -> object:
    """What `parse_duration` reads as just that many seconds; a plain number where they are not whole."""
    if not 0 < seconds < 1e9 or seconds != int(seconds):
        return seconds
    text, rest = "", int(seconds)
    for unit, length in _UNITS.items():
        amount, rest = divmod(rest, length)
        text += f"{amount}{unit}" if amount else ""
    return text


def parse_memory(where: str, value: object) -> int:
    """Bytes of 1024, "64Gi", "512M"."""
    rule = "must be a number of bytes, or such as 64Gi, 512M or 1.5Gi"
    if isinstance(value, str):
        match = _MEMORY.fullmatch(value.strip())
        unit = None if match is None else _MEMORY_UNITS.get(match[2])
        if match is None or unit is None:
            raise InvalidArgument(where, value, rule, f"Units are {', '.join(u for u in _MEMORY_UNITS if u)}")
        return int(Decimal(match[1]) * unit)
    size = None if isinstance(value, bool) or not isinstance(value, int | float) else as_whole(value)
    if size is None:
        raise InvalidArgument(where, value, rule)
    return size


def format_memory(size: int) -> object:
    """What `parse_memory` reads as just that many bytes."""
    for unit in ("Ti", "Gi", "Mi", "Ki"):
        if size > 0 and size % _MEMORY_UNITS[unit] == 0 and size < 2**63:
            return f"{size // _MEMORY_UNITS[unit]}{unit}"
    return size


def as_float(number: int | float) -> float:
    """Infinity for an integer beyond all floats, which whoever asked for a finite number refuses."""
    try:
        return float(number)
    except OverflowError:
        return math.copysign(math.inf, number)


def as_whole(number: int | float) -> int | None:
    """The whole number that `number` is; None where it has a fraction or is not finite."""
    if isinstance(number, int):
        return number
    return int(number) if math.isfinite(number) and number.is_integer() else None
