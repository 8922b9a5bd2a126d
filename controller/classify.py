"""From how a process ended to the cause that the service is told. Pure.

| how it ended                                       | cause         |
|----------------------------------------------------|---------------|
| gone without a word                                | PREEMPTED     |
| the machine could not start anything               | PREEMPTED     |
| evicted, pre-empted, deleted                       | PREEMPTED     |
| its node went away                                 | NODE_LOST     |
| what it was to run could not be started            | CONFIG_BROKEN |
| too large for any place, by its parameters         | TOO_LARGE     |
| too large for any place, whatever its parameters   | CONFIG_BROKEN |
| over a limit of its own                            | TIMED_OUT     |
| its trial was told to stop, pause or be cancelled  | STOPPED       |
| it was told to end: over its time                  | TIMED_OUT     |
| it was told to end: it could not start             | CONFIG_BROKEN |
| it was told to end: it waited too long for a place | UNSCHEDULABLE |
| it was told to end: the controller stops, an orphan| PREEMPTED     |
| exit code 0, and reports are lost                  | REPORTS_LOST  |
| exit code 0                                        | SUCCEEDED     |
| another exit code, and the kernel killed a process | OUT_OF_MEMORY |
| of it for its memory                               |               |
| another exit code, an exception about memory       | OUT_OF_MEMORY |
| a signal, another exit code                        | CODE_FAILED   |

The first line that fits holds. A process that was told to end says by no exit code whether it was done, so it does not
count as done: a trial that was to stop counts with what it reported, and one that was in the way is run again.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..domain.attempt import Cause
from ..domain.template import TrialTemplate
from ..domain.trial import Trial, TrialState
from .execution import Execution, Exit, Fault, Why
from .telling_line import MAX_WORDS, last_line, memory_line


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt's end is reported as. `message` is one sentence for people."""

    cause: Cause
    message: str = ""
    exit_code: int | None = None


def classify(execution: Execution, trial: Trial, template: TrialTemplate) -> Outcome:
    """The outcome of an ended execution of a live trial, before its output is looked at."""
    ended = execution.exit
    assert ended is not None, f"{execution.key} has not ended"
    if ended.fault is Fault.TOO_LARGE:
        return Outcome(_oversized(template), ended.error)
    if ended.fault is not None:
        return Outcome(_FAULTS[ended.fault], ended.error or "the machine or its supervisor went away", ended.code)

    code = ended.code
    if trial.state is TrialState.STOPPING:
        return Outcome(Cause.STOPPED, trial.reason, code)

    if execution.ending is not None and execution.ending.why is Why.TIMEOUT:
        ran = execution.ending.time - execution.start_time
        # A template may lose its timeout while the process is on its way out.
        limit = "" if template.timeout is None else f" = {template.timeout:g} s"
        return Outcome(Cause.TIMED_OUT, f"ran for {ran:.1f} s, longer than trial.timeout{limit}", code)

    if execution.ending is not None and execution.ending.why is Why.BROKEN:
        return Outcome(Cause.CONFIG_BROKEN, execution.ending.words)
    if execution.ending is not None and execution.ending.why is Why.TOO_LARGE:
        return Outcome(_oversized(template), f"too large for any node that it may run on: {execution.ending.words}")
    if execution.ending is not None and execution.ending.why is Why.UNSCHEDULABLE:
        waited = execution.ending.time - execution.start_time
        words = f"waited {waited:.0f} s to be started, longer than trial.start_timeout"
        return Outcome(Cause.UNSCHEDULABLE, f"{words}: {execution.ending.words}".removesuffix(": "))
    if execution.ending is not None:
        return Outcome(Cause.PREEMPTED, "the controller was shut down", code)

    if code == 0:
        return Outcome(Cause.SUCCEEDED, "", 0)
    return _failed(ended)


def _oversized(template: TrialTemplate) -> Cause:
    """Other parameters may make it smaller; if they cannot, no trial of the study will ever run."""
    return Cause.TOO_LARGE if template.sized_by_parameters else Cause.CONFIG_BROKEN


_FAULTS = {
    Fault.LOST: Cause.PREEMPTED,
    Fault.MACHINE: Cause.PREEMPTED,
    Fault.PREEMPTED: Cause.PREEMPTED,
    Fault.NODE: Cause.NODE_LOST,
    Fault.COMMAND: Cause.CONFIG_BROKEN,
    Fault.DEADLINE: Cause.TIMED_OUT,
}


def _failed(ended: Exit) -> Outcome:
    code = ended.code
    assert code is not None
    # A shell reports the death of what it ran by the signal's number plus 128.
    number = -code if code < 0 else code - 128
    if ended.out_of_memory and number == signal.SIGKILL:
        return Outcome(Cause.OUT_OF_MEMORY, "killed by SIGKILL as the kernel ran out of memory", code)
    if ended.out_of_memory:
        words = f"the kernel killed a process of it as memory ran out (exit code {code})"
        return Outcome(Cause.OUT_OF_MEMORY, words, code)
    if code < 0:
        words = f"killed by {_signal(number)}"
        if number == signal.SIGKILL:
            words += ", not by Wazir"
        return Outcome(Cause.CODE_FAILED, words, code)
    shell = f" (a program that it ran was killed by {_signal(number)})" if number in _SIGNALS else ""
    return Outcome(Cause.CODE_FAILED, f"exit code {code}{shell}", code)


def with_output(outcome: Outcome, tail: str) -> Outcome:
    """The outcome with the end of the output, `tail`, taken into account if the code failed."""
    if outcome.cause is not Cause.CODE_FAILED:
        return outcome
    # A crash has its own cause, but a C++ program that catches nothing aborts.
    memory = memory_line(tail) if (outcome.exit_code or 0) > 0 or outcome.exit_code == -signal.SIGABRT else ""
    if memory:
        return replace(outcome, cause=Cause.OUT_OF_MEMORY, message=f"{outcome.message}: {memory}")
    words = last_line(tail)
    return replace(outcome, message=f"{outcome.message}: {words}") if words else outcome


def with_lost(outcome: Outcome, lost: str) -> Outcome:
    """The outcome of an attempt of whose reports some are lost, `lost` saying why; empty if none are.

    One that ended well has a value that may not be its last one, so it does not count as done. One that ended otherwise
    is judged by that, and says so as well.
    """
    if not lost:
        return outcome
    if outcome.cause is Cause.SUCCEEDED:
        return replace(outcome, cause=Cause.REPORTS_LOST, message=f"ended well, but reports of it are lost: {lost}")
    said = (
        f"{outcome.message}; reports of it are lost: {lost}" if outcome.message else f"reports of it are lost: {lost}"
    )
    return replace(outcome, message=said)


def never_printed(metrics: Sequence[str], tail: str, lines: int = 5) -> str:
    """The message for a trial that ended well and printed no value of these metrics."""
    wanted = ", ".join(repr(name) for name in metrics)
    printed = [line.strip()[:MAX_WORDS] for line in tail.splitlines() if line.strip()][-lines:]
    if not printed:
        return f"looked for {wanted} in what it printed; it printed nothing"
    return f"looked for {wanted} in what it printed; the last lines were: " + " | ".join(printed)


_SIGNALS = frozenset(int(s) for s in signal.Signals)


def _signal(number: int) -> str:
    return signal.Signals(number).name if number in _SIGNALS else f"signal {number}"
