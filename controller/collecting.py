"""From what an attempt has left behind to what is reported of it: metrics, spooled reports, last words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..clients.collect.others import MAX_NAMES
from ..clients.collect.stdout import StdoutReader
from ..domain.errors import similar
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
        self._reader = (
            StdoutReader(spec.metric_names, spec.trial.metrics.pattern, spec.space.by_name if spec.space else ())
            if spec.trial.metrics.source is MetricsFrom.STDOUT
            else None
        )
        self.unsent: list[Measurement] = []
        """Read, and not yet taken by the service. Sending some again is harmless."""
        self.lost = ""
        """Why not all of its output could be read, where that is so."""

    def read(self, now: float) -> None:
        """Adds to `unsent` what was printed since."""
        try:
            while self._reader is not None and (data := self._runtime.output(self._key, self._offset)):
                self._offset += len(data)
                self.unsent.extend(self._reader.feed(data, now))
        except OutputLost as error:
            self.lost = str(error)

    def finish(self, now: float) -> None:
        """As `read`, for an attempt that has ended and will print no more."""
        self.read(now)
        if self._reader is not None:
            self.unsent.extend(self._reader.finish(now))

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


def batches(measurements: Sequence[Measurement]) -> Iterator[Sequence[Measurement]]:
    """Measurements in reports of a size that the service takes."""
    size = max(1, MAX_VALUES // max((len(m.metrics) for m in measurements), default=1))
    return (measurements[start : start + size] for start in range(0, len(measurements), size))


def last_words(output: bytes) -> str:
    """The end of an output as a terminal would show it: no colours, and of a rewritten line the last text only."""
    text = _ESCAPES.sub("", output.decode("utf-8", "replace"))
    lines = (next((part for part in reversed(line.split("\r")) if part.strip()), "") for line in text.split("\n"))
    return "\n".join(lines)
