"""Which GPUs a trial gets: whole ones are exclusive, fractions share one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_EPSILON = 1e-6
"""Ten tenths fill a GPU, although as floats they add up to a little less or more."""


@dataclass(frozen=True, slots=True)
class Held:
    """GPUs that one process holds: `gpus` of one device below 1, else each of `devices` whole."""

    devices: tuple[str, ...]
    gpus: float


def used(devices: Sequence[str], held: Iterable[Held]) -> dict[str, float]:
    """The used part of each of `devices`, 0 to 1. Devices that are no longer there are left out."""
    parts = dict.fromkeys(devices, 0.0)
    for hold in held:
        for device in hold.devices:
            if device in parts:
                parts[device] += min(hold.gpus, 1.0)
    return parts


def allocate(devices: Sequence[str], held: Iterable[Held], wanted: float) -> tuple[str, ...] | None:
    """Devices for a trial that wants so many GPUs, () where it wants none; None where they are not free.

    A fraction goes to the fullest GPU that has room for it, which keeps whole ones free.
    """
    if wanted <= 0:
        return ()
    parts = used(devices, held)
    if wanted < 1:
        fitting = [d for d in devices if parts[d] + wanted <= 1 + _EPSILON]
        return (max(fitting, key=lambda d: parts[d]),) if fitting else None
    free = [d for d in devices if parts[d] <= 0]
    return tuple(free[: int(wanted)]) if len(free) >= wanted else None


def fitting(devices: Sequence[str], held: Iterable[Held], wanted: float, most: int) -> int:
    """How many trials more, up to `most`, that want so many GPUs each could start now."""
    if wanted <= 0:
        return most
    taken = list(held)
    for count in range(most):
        found = allocate(devices, taken, wanted)
        if found is None:
            return count
        taken.append(Held(found, wanted))
    return most
