"""Which GPUs this machine has to give."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ...domain.errors import InvalidArgument

VISIBLE = "CUDA_VISIBLE_DEVICES"


def find_devices(count: int | None = None, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Ids of the GPUs that trials may be given, as CUDA_VISIBLE_DEVICES takes them.

    Those of a CUDA_VISIBLE_DEVICES that is set, else all that NVML (extra `gpu`) counts, else none. `count` takes the
    first so many; where neither source knows any, it is believed. Raises InvalidArgument where it is more than there
    are.
    """
    if count is not None and count < 0:
        raise InvalidArgument("gpus", count, "must be 0 or more")
    known = visible_devices(environment[VISIBLE]) if VISIBLE in environment else _nvml_devices()
    if known is None:
        return tuple(map(str, range(count or 0)))
    if count is None:
        return known
    if count > len(known):
        source = VISIBLE if VISIBLE in environment else "NVML"
        raise InvalidArgument("gpus", count, f"{source} knows {len(known)}", "Leave it out to use those")
    return known[:count]


def visible_devices(value: str) -> tuple[str, ...]:
    """The ids in a CUDA_VISIBLE_DEVICES, up to the first that ends the list for CUDA too (-1, or an empty one)."""
    ids: list[str] = []
    for item in value.split(","):
        device = item.strip()
        if not device or device.startswith("-"):
            break
        ids.append(device)
    return tuple(dict.fromkeys(ids))


def _nvml_devices() -> tuple[str, ...] | None:
    """The GPUs that the driver counts; None where it cannot be asked."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None  # no driver, so no GPU
    try:
        return tuple(map(str, range(pynvml.nvmlDeviceGetCount())))
    finally:
        pynvml.nvmlShutdown()
