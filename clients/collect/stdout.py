"""Metrics that training code prints: bytes of its output in, measurements out, while it runs.

By default `name=value` and `name: value` are read anywhere on a line; quotes around the name do no harm, so
a line of JSON is read too. `step` or `epoch` on the same line gives the step. The wanted names make the steps, and what
else is printed goes with them (`others.py`):

    epoch 3/50 train=0.81 val/loss: 0.412      ->  step 3, {"train": 0.81, "val/loss": 0.412}
    {"step": 400, "val/loss": 1e-3}            ->  step 400, {"val/loss": 0.001}
    val/loss=nan                               ->  one step after the last one, {"val/loss": nan}

A line without a step counts as the step after the last one that was read, beginning with 1. A custom pattern with the
groups `name`, `value` and, where it has one, `step` takes the place of all this.

A number is read whole or not at all (`domain/numbers.py`): `val/loss: 0,31` and `val/loss=12ms` give no value, and
`StdoutReader.doubts` keeps them, to say what to print instead.

What a terminal would show is what counts: of a line that a progress bar has rewritten with carriage returns only the
last text is read, and colours are not seen. Bytes that are not UTF-8 harm their own characters only. Of a line longer
than `MAX_LINE` bytes the rest is not read. A pattern is matched in linear time, and what it finds on one line after
`LINE_SECONDS` is not read either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import monotonic
from typing import NamedTuple

from ...domain.numbers import looks_numeric, number, read_at, suggestion
from ...domain.trial import Measurement
from .others import Others

MAX_LINE = 8192
"""Bytes of one line that are read."""

LINE_SECONDS = 0.5
"""For all that a pattern finds on one line."""

MAX_STEP = 2**63 - 1

MAX_DOUBT = 40
"""Characters that are kept of what is not a number."""

# Colours and cursor movements (CSI), and titles or links (OSC), as in ECMA-48.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
# A step is a whole number, so commas in it can only set groups of digits apart.
_STEPS = tuple(
    re.compile(
        rf"(?<![\w/]){word}[\"']?\s*+[=:]?\s*+\[?\s*+([0-9]{{1,3}}(?:,[0-9]{{3}})+|[0-9]{{1,19}})(?!\w|[.,:]\d)",
        re.IGNORECASE,
    )
    for word in ("step", "epoch")
)


class Doubt(NamedTuple):
    """What was printed as the value of a wanted metric and is not a number."""

    metric: str
    text: str

    def __str__(self) -> str:
        hint = suggestion(self.text) or "Write it like 0.31 or 1e-3, with a blank before what follows"
        return f"{self.metric} = {self.text!r}: not a plain number, so it was not read. {hint}"


class StdoutReader:
    """Reads the output of one attempt, from its first byte on.

    `metrics` are the names wanted; `pattern` is empty for the default; `parameters` are names that are not metrics,
    unless a pattern finds them. Not for several threads at once.

        reader = StdoutReader(["loss"])
        reader.feed(b"epoch 1 loss=0.5\\nepoch 2 lo", now)  # [Measurement(1, {"loss": 0.5}, now)]
        reader.feed(b"ss=0.4\\n", now)                      # [Measurement(2, {"loss": 0.4}, now)]
    """

    def __init__(self, metrics: Sequence[str], pattern: str = "", parameters: Iterable[str] = ()) -> None:
        self.others = Others(parameters)
        """What else is printed, and kept at the steps of the wanted metrics."""
        self._wanted = frozenset(metrics)
        self._custom = _compiled(pattern) if pattern else None
        # Longest first, so that `val/loss` is not read where `val/loss_total` is wanted too.
        names = "|".join(re.escape(name) for name in sorted(self._wanted, key=len, reverse=True))
        self._pairs = re.compile(rf"(?<![\w./-])({names})[\"']?\s*+[=:]\s*+")
        self._line = bytearray()
        self._overwritten = b""
        self._step = 0
        self.seen: set[str] = set()
        """Wanted names that have been read so far."""
        self.doubts: dict[str, Doubt] = {}
        """Of each wanted name, what was not read of it: the first that looks like a number, or else the first."""
        self.slow_lines = 0
        """How many lines were not read to their end, because the pattern takes too long on them."""
        self.doubtful = 0
        """How many values that look like numbers were not read."""

    def feed(self, data: bytes, time: float) -> list[Measurement]:
        """The measurements in the next `data`; `time` in Unix seconds is given to the measurements."""
        found: list[Measurement] = []
        *complete, rest = data.split(b"\n")
        for part in complete:
            self._append(part)
            found.extend(self._end_line(time))
        self._append(rest)
        return found

    def finish(self, time: float) -> list[Measurement]:
        """The measurements of a last line without a line end, and what waited for another line."""
        last = list(self._end_line(time))
        return [*last, *(Measurement(step, metrics, time) for step, metrics in self.others.end())]

    def _append(self, data: bytes) -> None:
        """Adds to the present line; what a carriage return starts to overwrite is kept only until more text comes."""
        if b"\r" in data:
            *segments, data = data.split(b"\r")
            self._line += segments[0][: max(0, MAX_LINE - len(self._line))]
            for segment in (bytes(self._line), *segments[1:]):
                if segment.strip():
                    self._overwritten = segment[:MAX_LINE]
            self._line.clear()
        self._line += data[: max(0, MAX_LINE - len(self._line))]

    def _end_line(self, time: float) -> Iterator[Measurement]:
        line = bytes(self._line) if self._line.strip() else self._overwritten
        self._line.clear()
        self._overwritten = b""
        if not line:
            return
        text = _ESCAPES.sub("", line.decode("utf-8", "replace"))
        yield from self._read_custom(text, time) if self._custom else self._read_pairs(text, time)

    def _read_pairs(self, text: str, time: float) -> Iterator[Measurement]:
        if "=" not in text and ":" not in text:
            return
        metrics: dict[str, float] = {}
        before, rest, end = self.doubtful, [], 0
        for match in self._pairs.finditer(text):
            value, written, value_end = read_at(text, match.end())
            if value is None:
                self._doubt(match[1], written)
            else:
                metrics[match[1]] = value
            rest.append(text[end : match.start()])
            end = max(end, value_end)

        matches = (pattern.search(text) for pattern in _STEPS)
        step = next((_step(match[1]) for match in matches if match), None)
        others, echoes = self.others.read(";".join([*rest, text[end:]]))
        if metrics:
            yield from self._report(step, metrics, others, time)
        elif self.doubtful > before:
            # A value that was not read has its step all the same, or those after it would count one too few.
            self._advance(step)
        elif others and (step is not None or not echoes):
            self.others.alone(others, step)

    def _read_custom(self, text: str, time: float) -> Iterator[Measurement]:
        """One item a step named on the line; matches without a step belong to the one before them on the line."""
        assert self._custom is not None
        has_step = "step" in self._custom.groupindex
        items: list[tuple[int | None, dict[str, float]]] = []
        others: list[tuple[int | None, str, float]] = []
        until = monotonic() + LINE_SECONDS
        for match in self._custom.finditer(text):
            if monotonic() > until:
                # As many matches as there are characters, and for each the whole line is looked through.
                self.slow_lines += 1
                break
            name, written = match["name"], match["value"]
            if not name or written is None:
                continue
            value, wanted = number(written), name in self._wanted
            if value is None:
                if wanted:
                    self._doubt(name, written.strip())
                continue
            step = _step(match["step"]) if has_step else None
            if not wanted:
                others.append((step, name, value))
                continue
            if not items or (step is not None and step != items[-1][0]):
                items.append((step, {}))
            items[-1][1][name] = value

        for step, metrics in items:
            # Those that name no step belong to the last one on the line.
            last = metrics is items[-1][1]
            beside = {name: value for at, name, value in others if at == step or (at is None and last)}
            yield from self._report(step, metrics, beside, time)
        steps = {step for step, _ in items}
        for step, name, value in others:
            if step not in steps and (step is not None or not items):
                self.others.alone({name: value}, step)

    def _report(
        self, step: int | None, metrics: dict[str, float], others: Mapping[str, float], time: float
    ) -> Iterator[Measurement]:
        self._advance(step)
        self.seen.update(metrics)
        earlier, beside = self.others.beside(others, self._step)
        yield from (Measurement(at, values, time) for at, values in earlier)
        yield Measurement(self._step, {**metrics, **beside}, time)

    def _advance(self, step: int | None) -> None:
        self._step = min(self._step + 1, MAX_STEP) if step is None else step

    def _doubt(self, metric: str, written: str) -> None:
        known = self.doubts.get(metric)
        if looks_numeric(written):
            self.doubtful += 1
        if written and (known is None or (looks_numeric(written) and not looks_numeric(known.text))):
            self.doubts[metric] = Doubt(metric, written[:MAX_DOUBT])


def _compiled(pattern: str) -> re.Pattern[str]:
    # Few studies have a pattern, and commands that only import this have none.
    from ...wire.pattern import compiled

    return compiled(pattern)


def _step(text: str | None) -> int | None:
    """A whole number from 0 on, also as `400.0` and `1,000`; None for anything else."""
    if text is None:
        return None
    text = text.replace(",", "") if re.fullmatch(r"[0-9]{1,3}(,[0-9]{3})+", text) else text
    if text.strip().isdecimal():
        # Not through a float, which is exact up to 2^53 only. More digits are not a step, and slow to read.
        step = int(text) if len(text) < 30 else -1
    else:
        value = number(text)
        step = int(value) if value is not None and value.is_integer() else -1
    return step if 0 <= step <= MAX_STEP else None
