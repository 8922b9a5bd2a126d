"""Specifications as they come in: translated without holding up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..domain.study import StudySpec
from ..proto.v1 import study_pb2
from ..wire.limits import check_limits
from ..wire.study import spec_from_wire, spec_with
from .fair import FairTurns

SMALL = 4 * 1024
"""Bytes up to which a specification is translated at once: that takes some milliseconds at most, and most are smaller.
The limits of `domain/limits.py` keep every other one below a second."""


class SpecReader:
    """For one event loop. Larger ones are translated one after the other: they share the interpreter with the event
    loop, so more at a time would not be done earlier, and everybody else would wait longer."""

    def __init__(self) -> None:
        self._turns = FairTurns()

    async def read(
        self, owner: str, message: study_pb2.StudySpec, base: StudySpec | None = None, paths: Sequence[str] = ()
    ) -> StudySpec:
        """What the message says; with `base`, that with the fields of the update mask's `paths` taken from the message.
        Raises InvalidArgument, for a message beyond the limits before anything of it is looked at."""
        check_limits(message)
        if message.ByteSize() <= SMALL:
            return _read(message, base, paths)
        async with self._turns.turn(owner):
            return await asyncio.to_thread(_read, message, base, paths)


def _read(message: study_pb2.StudySpec, base: StudySpec | None, paths: Sequence[str]) -> StudySpec:
    if base is None:
        return spec_from_wire(message)
    return spec_with(base, message, [path.removeprefix("spec.") for path in paths])
