"""From what an attempt has left behind to what is reported of it: metrics, spooled reports, last words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from time import monotonic

from ..clients.collect.others import MAX_NAMES
from ..clients.collect.stdout import StdoutReader
from ..domain.errors import WazirError, similar
from ..domain.metric import Objective
from ..domain.numbers import looks_numeric
from ..domain.study import StudySpec
from ..domain.template import MetricsFrom
from ..domain.trial import Measurement
from .classify import never_printed
from .execution import Key
from .runtime import OutputLost, Runtime

MAX_TAIL = 16 * 1024
"""Bytes of output that go with the end of an attempt."""

MAX_VALUES = 5_000
"""Metric values in one report; the service takes 10,000."""

SLICE = 1.0
"""Seconds for which the output of one attempt is read at a time."""

MOST_UNSENT = 5_000
"""Measurements after which what is read is told before more is read."""

PIECE = 64 * 1024
"""Bytes of output between two looks at the clock: a few lines, if they are as long as lines may be."""

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class Collector:
    """Reads one attempt's metrics; not for several threads at once.

    After a restart of the controller a new one reads from the first byte: reports are keyed by attempt and step, so
    what is reported again replaces itself.
    """

    def __init__(self, runtime: Runtime, key: Key, spec: StudySpec) -> None:
        assert spec.trial is not None
        self._runtime = runtime
        self._key = key
        self._objectives: Sequence[Objective] = spec.objectives
        self._offset = 0
        self._reader: StdoutReader | None = None
        self.unsent: list[Measurement] = []
        """Read, and not yet taken by the service. Sending some again is harmless."""
        self.lost = ""
        """Why not all of its output could be read, where that is so."""

        if spec.trial.metrics.source is MetricsFrom.STDOUT:
            try:
                pattern, parameters = spec.trial.metrics.pattern, spec.space.by_name if spec.space else ()
                self._reader = StdoutReader(spec.metric_names, pattern, parameters)
            except WazirError as error:
                # Launched by an earlier version, which took it.
                self.lost = str(error)

    def read(self, now: float) -> bool:
        """Adds to `unsent` what was printed since, for SLICE seconds and about MOST_UNSENT measurements: one that
        prints without end is not to keep the others waiting. Whether that was all."""
        if self._reader is None or self.lost:
            return True
        until = monotonic() + SLICE
        try:
            while data := self._runtime.output(self._key, self._offset):
                for start in range(0, len(data), PIECE):
                    piece = data[start : start + PIECE]
                    self._offset += len(piece)
                    self.unsent.extend(self._reader.feed(piece, now))
                    if monotonic() > until or len(self.unsent) >= MOST_UNSENT:
                        return False
        except OutputLost as error:
            self.lost = str(error)
        return True

    def finish(self, now: float) -> bool:
        """As `read`, for an attempt that has ended and will print no more."""
        if not self.read(now):
            return False
        if self._reader is not None:
            self.unsent.extend(self._reader.finish(now))
        return True

    def remarks(self, tail: str) -> str:
        """What people should know of an attempt that ended well, in a sentence: that an objective was looked for and
        never seen, and what was printed instead; or which values could not be read. Empty if there is nothing."""
        if self._reader is None:
            return ""
        never = [o.metric for o in self._objectives if o.metric not in self._reader.seen]
        doubts = self._reader.doubts
        if never:
            unread = [str(doubts[name]) for name in never if name in doubts]
            return "; ".join([*unread, never_printed(never, tail), *self._instead(never)])

        words = []
        if self._reader.doubtful:
            unread = [str(doubt) for doubt in doubts.values() if looks_numeric(doubt.text)]
            words.append(f"{self._reader.doubtful} of the values it printed could not be read: {'; '.join(unread)}")
        if self._reader.slow_lines:
            lines = f"{self._reader.slow_lines} lines were not read to their end"
            words.append(f"{lines}: trial.metrics.pattern takes too long on them")
        if left_out := [*self._reader.others.left_out]:
            more = f" and {len(left_out) - 1} more are not" if len(left_out) > 1 else " is not"
            words.append(f"only the first {MAX_NAMES} metrics beside its own are kept, {left_out[0]!r}{more}")
        return "; ".join(words)

    def _instead(self, never: Sequence[str]) -> Iterator[str]:
        """What it printed values of, in place of metrics that never came."""
        assert self._reader is not None
        if printed := self._reader.others.printed:
            shown = ", ".join(map(repr, printed[:10]))
            meant = next(filter(None, (similar(name, printed) for name in never)), "")
            yield f"it printed values of {shown}" + (f". {meant}" if meant else "")


def unreadable(spec: StudySpec) -> str:
    """Why the output of the study's trials cannot be read; empty if it can."""
    if spec.trial is None or not spec.trial.metrics.pattern:
        return ""
    from ..wire.pattern import compiled

    try:
        compiled(spec.trial.metrics.pattern)
    except WazirError as error:
        return str(error)
    return ""


def batches(measurements: Sequence[Measurement]) -> Iterator[Sequence[Measurement]]:
    """Measurements in reports of a size that the service takes."""
    size = max(1, MAX_VALUES // max((len(m.metrics) for m in measurements), default=1))
    return (measurements[start : start + size] for start in range(0, len(measurements), size))


def last_words(output: bytes) -> str:
    """The end of an output as a terminal would show it: no colours, and of a rewritten line the last text only."""
    text = _ESCAPES.sub("", output.decode("utf-8", "replace"))
    lines = (next((part for part in reversed(line.split("\r")) if part.strip()), "") for line in text.split("\n"))
    return "\n".join(lines)
