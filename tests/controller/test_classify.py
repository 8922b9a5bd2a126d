"""From how a process ended to the cause that the service is told."""

from __future__ import annotations

import pytest

from wazir.controller.classify import Outcome, classify, never_printed, with_output
from wazir.controller.execution import Ending, Execution, Exit, Fault, Key, Phase, Why
from wazir.domain.attempt import Cause
from wazir.domain.pod import PodOptions
from wazir.domain.template import TrialTemplate
from wazir.domain.trial import TrialState

from .world import make_study, make_trial

STUDY = make_study(timeout=60)
ACTIVE = TrialState.ACTIVE
STOPPING = TrialState.STOPPING


def outcome(ended: Exit, state: TrialState = ACTIVE, why: Why | None = None) -> Outcome:
    ending = None if why is None else Ending(why, 61.0)
    execution = Execution(Key("u", 1, 1), STUDY.name, Phase.ENDED, 0.0, exit=ended, ending=ending)
    assert STUDY.spec.trial is not None
    return classify(execution, make_trial(STUDY, 1, state=state, reason="rank 7 of 8"), STUDY.spec.trial)


@pytest.mark.parametrize(
    ("ended", "state", "why", "cause", "words"),
    [
        (Exit(0, 9.0), ACTIVE, None, Cause.SUCCEEDED, ""),
        (Exit(1, 9.0), ACTIVE, None, Cause.CODE_FAILED, "exit code 1"),
        (Exit(137, 9.0), ACTIVE, None, Cause.CODE_FAILED, "a program that it ran was killed by SIGKILL"),
        (Exit(255, 9.0), ACTIVE, None, Cause.CODE_FAILED, "exit code 255"),
        (Exit(-11, 9.0), ACTIVE, None, Cause.CODE_FAILED, "killed by SIGSEGV"),
        (Exit(-9, 9.0), ACTIVE, None, Cause.CODE_FAILED, "killed by SIGKILL, not by Wazir"),
        (Exit(-9, 9.0, out_of_memory=True), ACTIVE, None, Cause.OUT_OF_MEMORY, "out of memory"),
        (Exit(137, 9.0, out_of_memory=True), ACTIVE, None, Cause.OUT_OF_MEMORY, "out of memory"),
        # In a pod what the kernel killed may be a worker, and what started that ends with a code of its own.
        (Exit(1, 9.0, out_of_memory=True), ACTIVE, None, Cause.OUT_OF_MEMORY, "memory ran out (exit code 1)"),
        (Exit(0, 9.0, out_of_memory=True), ACTIVE, None, Cause.SUCCEEDED, ""),
        (Exit(None, 9.0, Fault.LOST), ACTIVE, None, Cause.PREEMPTED, "went away"),
        (Exit(None, 9.0, Fault.LOST), STOPPING, Why.STOP, Cause.PREEMPTED, "went away"),
        (Exit(None, 9.0, Fault.MACHINE, "disk full"), ACTIVE, None, Cause.PREEMPTED, "disk full"),
        (Exit(None, 9.0, Fault.TOO_LARGE, "above its quota"), ACTIVE, None, Cause.CONFIG_BROKEN, "above its quota"),
        (Exit(None, 9.0, Fault.COMMAND, "no such program"), ACTIVE, None, Cause.CONFIG_BROKEN, "no such program"),
        # A trial told to stop has stopped, however its process took it.
        (Exit(0, 9.0), STOPPING, None, Cause.STOPPED, "rank 7 of 8"),
        (Exit(-15, 9.0), STOPPING, Why.STOP, Cause.STOPPED, "rank 7 of 8"),
        (Exit(1, 9.0), STOPPING, Why.STOP, Cause.STOPPED, "rank 7 of 8"),
        (Exit(-9, 9.0), STOPPING, Why.SHUTDOWN, Cause.STOPPED, "rank 7 of 8"),
        # No exit code says whether a process that was in the way was done.
        (Exit(-15, 9.0), ACTIVE, Why.TIMEOUT, Cause.TIMED_OUT, "ran for 61.0 s, longer than trial.timeout = 60 s"),
        (Exit(0, 9.0), ACTIVE, Why.TIMEOUT, Cause.TIMED_OUT, "longer than trial.timeout"),
        (Exit(-15, 9.0), ACTIVE, Why.SHUTDOWN, Cause.PREEMPTED, "shut down"),
        (Exit(0, 9.0), ACTIVE, Why.SHUTDOWN, Cause.PREEMPTED, "shut down"),
        (Exit(-9, 9.0), ACTIVE, Why.ORPHAN, Cause.PREEMPTED, "shut down"),
    ],
)
def test_cause(ended: Exit, state: TrialState, why: Why | None, cause: Cause, words: str) -> None:
    result = outcome(ended, state, why)
    assert result.cause is cause
    assert words in result.message
    assert result.exit_code == ended.code


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("ValueError: bad lr", Cause.CODE_FAILED),
        ("MemoryError", Cause.OUT_OF_MEMORY),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7 GiB", Cause.OUT_OF_MEMORY),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", Cause.OUT_OF_MEMORY),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory.", Cause.OUT_OF_MEMORY),
        ("RuntimeError: CUDA error: out of memory", Cause.OUT_OF_MEMORY),
        ("jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating", Cause.OUT_OF_MEMORY),
        ("RuntimeError: out of memory cards", Cause.CODE_FAILED),
        ("ValueError: a MemoryError is not what this is", Cause.CODE_FAILED),
    ],
)
def test_the_last_words_tell_memory_from_other_failures(line: str, cause: Cause) -> None:
    result = with_output(outcome(Exit(1, 9.0)), f"Traceback ...\n  File ...\n{line}\n\n")
    assert result.cause is cause
    assert result.message == f"exit code 1: {line}"


def test_a_pod_is_to_blame_for_its_size_only_if_that_follows_from_its_parameters() -> None:
    def template(gpus: str) -> TrialTemplate:
        limits = {"resources": {"limits": {"nvidia.com/gpu": gpus}}, "args": ["${x}"]}
        return TrialTemplate(pod=PodOptions(manifest={"spec": {"containers": [{"image": "i", **limits}]}}))

    key = Key("u", 1, 1)
    refused = Execution(key, STUDY.name, Phase.ENDED, 0.0, exit=Exit(None, 9.0, Fault.TOO_LARGE, "above its quota"))
    ending = Ending(Why.TOO_LARGE, 600.0, "0/1 nodes are available")
    waited = Execution(key, STUDY.name, Phase.ENDED, 0.0, exit=Exit(None, 601.0), ending=ending)
    for execution, words in ((refused, "above its quota"), (waited, "too large for any node that it may run on: 0/1")):
        for gpus, cause in (("${gpus}", Cause.TOO_LARGE), ("16", Cause.CONFIG_BROKEN)):
            result = classify(execution, make_trial(STUDY, 1, state=ACTIVE), template(gpus))
            assert result.cause is cause
            assert words in result.message


def test_words_about_memory_change_nothing_else() -> None:
    assert with_output(outcome(Exit(0, 9.0)), "MemoryError").cause is Cause.SUCCEEDED
    assert with_output(outcome(Exit(-11, 9.0)), "MemoryError").cause is Cause.CODE_FAILED


def test_a_silent_failure_has_its_exit_code() -> None:
    assert with_output(outcome(Exit(3, 9.0)), "\n \n").message == "exit code 3"


def test_a_metric_that_never_came_is_named_with_what_was_printed() -> None:
    assert never_printed(["val/loss"], "epoch 1\n\nloss 0.5\n") == (
        "looked for 'val/loss' in what it printed; the last lines were: epoch 1 | loss 0.5"
    )
    assert never_printed(["a", "b"], "") == "looked for 'a', 'b' in what it printed; it printed nothing"
