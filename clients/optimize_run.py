"""One `optimize`: what its threads share, and how it ends."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..domain.errors import DeadlineExceeded, FailedPrecondition
from .asked import AskedTrial
from .optimize_lines import Lines
from .results import Result

if TYPE_CHECKING:
    from .study import Study

Callback = Callable[["Study", Result], object]
"""Called after each trial of `optimize`."""


class StudyEnded(FailedPrecondition):
    """There is nothing more to evaluate: the study has ended, or ends when its running trials have."""

    reason = "STUDY_ENDED"


class Run:
    """What the threads of one `optimize` share."""

    def __init__(
        self, trials: int | None, lines: Lines, callbacks: tuple[Callback, ...], *, collect: bool = False
    ) -> None:
        self.wanted = trials
        self.lines = lines
        self.callbacks = callbacks
        self.collect = collect
        self.halted = threading.Event()
        self.errors: list[BaseException] = []
        self.cut_short: StudyEnded | DeadlineExceeded | None = None
        """Why there was no trial to evaluate when one was wanted."""
        self._lock = threading.Lock()
        self._left = trials
        self._evaluated = 0
        self._active: list[AskedTrial] = []

    def take(self) -> bool:
        """Whether one more trial is to be evaluated."""
        with self._lock:
            if self.halted.is_set() or self._left == 0:
                return False
            if self._left is not None:
                self._left -= 1
            return True

    def active(self) -> list[AskedTrial]:
        with self._lock:
            return list(self._active)

    def over(self, until: float | None) -> bool:
        """Whether the time is up. One trial is tried for however short it is."""
        return until is not None and self._evaluated > 0 and time.monotonic() >= until

    def stop(self) -> None:
        """Lets running trials end, and starts no more."""
        self.halted.set()

    def check_enough(self, stacklevel: int) -> None:
        """Warns if fewer trials were evaluated than were wanted, and raises if none was. Time that is up is what the
        caller wanted, and needs no warning."""
        if self.cut_short is None:
            return
        if not self._evaluated:
            raise self.cut_short
        if self.wanted is not None and isinstance(self.cut_short, StudyEnded):
            warnings.warn(
                f"{self._evaluated} of {self.wanted} trials were evaluated: {self.cut_short}",
                UserWarning,
                stacklevel=stacklevel,
            )

    @contextmanager
    def evaluating(self, asked: AskedTrial) -> Iterator[None]:
        with self._lock:
            self._evaluated += 1
            self._active.append(asked)
        try:
            yield
        finally:
            with self._lock:
                self._active.remove(asked)
