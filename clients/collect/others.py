"""The metrics that a script prints beside those that its study asks for: which are kept, and at which step.

Every `name=value` and `name: value` is one, also `Train loss: 0.3`, whose name is `Train loss`. Not kept are

* parameters of the study, and a line that echoes them without an objective or a step: a script prints its settings;
* counters (step, epoch, iteration), and a name that appears twice on a line with different values;
* names beyond the first `MAX_NAMES`.

They are kept at the steps of the study's own metrics and make no steps of their own, because pausing, stopping and
promoting count those. A value on the line of an objective has its step. One on a line of its own has the step that the
line names, if that is the last objective's; else it goes with the next objective if its name is known to come before
(training, then validation), and with the last one if not. What is printed once before the first objective and not again
is a setting, unless there is but one objective to go with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ...domain.metric import MAX_NAME_LENGTH
from ...domain.numbers import read_at

MAX_NAMES = 50
"""Different names that are kept of one trial, beside those that its study asks for."""

MAX_SETTINGS = 200
"""Names that may wait for whether they are printed again."""

Values = Mapping[str, float]

_WORD = r"[A-Za-z_][\w./@%-]{0,99}+"
# A word before the name belongs to it, but a log level does not. A colon needs a blank after it, or a quote before it:
# train.py:12 and cuda:0 are places.
_PAIR = re.compile(
    rf"(?<![\w./@%=-])(?<!=\s)(?!(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\s)((?:[A-Za-z][\w/@-]{{0,99}}+ )?{_WORD})"
    r"(?:[\"']\s*+[=:]|\s*+=|\s*+:(?=\s))\s*+"
)
_COUNTERS = frozenset({"step", "steps", "epoch", "epochs", "iter", "iteration"})


class Others:
    """What one attempt prints beside the wanted metrics. `parameters`: names that are not metrics.

    Feed each line to `beside` if an objective is on it, else to `alone`; what they return is to be reported.
    """

    def __init__(self, parameters: Iterable[str] = ()) -> None:
        self._parameters = {_plain(part) for name in parameters for part in (name, name.rpartition(".")[2])}
        self.names: dict[str, None] = {}
        """Kept, in the order in which they came."""
        self.left_out: dict[str, None] = {}
        """Not kept, because there were too many: the first of them."""
        self._first: int | None = None  # the first objective's step
        self._at: int | None = None  # the last one's
        self._reported: set[str] = set()  # at that step
        self._settings: dict[str, float] = {}  # printed before the first objective, perhaps never again
        self._leading: set[str] = set()  # known to come before the objective of their step
        self._next: dict[str, float] = {}  # goes with the next objective
        self._last: dict[str, float] = {}  # goes with the last one
        self._late: dict[str, float] = {}  # goes with the first one

    def read(self, text: str) -> tuple[dict[str, float], bool]:
        """The metrics on a line, and whether it echoes a parameter."""
        found: dict[str, float] = {}
        doubtful: set[str] = set()
        echoes = False
        for match in _PAIR.finditer(text):
            name, word = match[1], match[1].rpartition(" ")[2]
            value = read_at(text, match.end()).value
            if value is None or re.split(r"[_/.-]", word.lower())[-1] in _COUNTERS:
                continue
            if _plain(word) in self._parameters:
                echoes = True
            elif name in found and found[name] != value:
                doubtful.add(name)
            else:
                found[name] = value
        return {name: value for name, value in found.items() if name not in doubtful}, echoes

    def beside(self, values: Values, step: int) -> tuple[list[tuple[int, Values]], Values]:
        """Takes what is on the line of an objective. What to report of earlier steps, and with this objective."""
        earlier = self._take()
        if self._first is None:
            self._first = step
        if step != self._at:
            self._at, self._reported = step, set()
        here = {**self._next, **self._kept(values)}
        self._next = {}
        self._reported.update(here)
        return earlier, here

    def alone(self, values: Values, step: int | None) -> None:
        """Takes what is on a line without an objective; `step` is the one that the line names."""
        if self._at is None and step is None:
            for name, value in values.items():
                if name in self._settings or len(self._settings) < MAX_SETTINGS:
                    self._settings[name] = value
            return
        for name, value in self._kept(values).items():
            if name in self._settings:
                self._leading.add(name)
                self._late[name] = self._settings.pop(name)
            if self._at is not None and (step == self._at or (step is None and name not in self._leading)):
                self._last[name] = value
            else:
                self._next[name] = value

    def end(self) -> list[tuple[int, Values]]:
        """What is left to report if nothing follows."""
        if self._at is None:
            return []
        # Of a step whose objective never came only what is not known otherwise.
        left = {name: value for name, value in self._next.items() if name not in self._reported}
        if self._first == self._at:
            left |= self._kept({n: v for n, v in self._settings.items() if n not in self._reported})
        self._last = {**left, **self._last}
        self._next, self._settings = {}, {}
        return self._take()

    def _take(self) -> list[tuple[int, Values]]:
        """What is to be added to steps that were reported."""
        parts: tuple[tuple[int | None, Values], ...] = ((self._first, self._late), (self._at, self._last))
        added = [(step, values) for step, values in parts if step is not None and values]
        self._reported.update(self._last)
        self._late, self._last = {}, {}
        return added

    def _kept(self, values: Values) -> dict[str, float]:
        kept = {}
        for name, value in values.items():
            if len(name) > MAX_NAME_LENGTH or not name.isprintable():
                continue  # a pattern may find anything, and the service would refuse the whole report
            if name in self.names or len(self.names) < MAX_NAMES:
                self.names[name] = None
                kept[name] = value
            elif len(self.left_out) < MAX_SETTINGS:
                self.left_out[name] = None
        return kept

    @property
    def printed(self) -> list[str]:
        """All names that were read, kept or not."""
        return [*self.names, *self._settings, *self.left_out]


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
