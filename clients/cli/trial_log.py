"""The log of a trial: its file, its pod's log in a cluster, or the last lines that the service has stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from ...domain.attempt import Attempt
from ...domain.errors import NotFound, WazirError
from ...domain.names import TrialName
from ...domain.trial import Trial, TrialState
from .log_place import check_pod, open_log
from .terminal import ShownLog, say

if TYPE_CHECKING:
    from ..client import Client

CHUNK = 65_536
"""Bytes that are read at a time."""

LOOK_EVERY = 0.3
"""Seconds between two looks at a file that is followed: it has no event to wait for."""

OfPod = Callable[[str, bool], Iterator[bytes]]
"""Reads the log that an attempt's `log_path` names in a cluster; with True it follows it."""


def show_log(chunks: Iterator[bytes]) -> None:
    """Writes a log to a terminal, as far as a terminal may be shown it."""
    log = ShownLog()
    try:
        for chunk in chunks:
            click.echo(log.show(chunk), nl=False)
    finally:
        click.echo(log.show(b"", final=True), nl=False)


def read_log(client: Client, name: TrialName, *, number: int | None, follow: bool, of_pod: OfPod) -> Iterator[bytes]:
    """The log of attempt `number`, or of the latest one. `follow`: goes on until the attempt has ended. Raises NotFound
    if there is no such attempt, or if its log is on another machine and nothing of it is stored."""
    attempt = _attempt(client, name, number=number, follow=follow)

    if "://" in attempt.log_path:
        yield from _pod_log(client, name, attempt, follow=follow, of_pod=of_pod)
        return

    file = _local_file(client, name, attempt) if attempt.log_path else None
    if file is not None:
        yield from _file_log(client, name, attempt, file=file, follow=follow)
    elif attempt.log_tail:
        yield attempt.log_tail.encode()
    else:
        raise NotFound(
            f"the log of {name.short}",
            f"It is on the machine that ran it, and only its owner can read it: {attempt.log_path or 'unknown'}",
        )


def _attempt(client: Client, name: TrialName, *, number: int | None, follow: bool) -> Attempt:
    trial = client.get_trial(name)
    if follow and not trial.attempts:
        trial = next(t for t in _versions(client, name) if t.attempts or t.state is TrialState.CANCELLED)

    if not trial.attempts:
        raise NotFound(
            f"a log of {name.short}", f"It is {trial.state.value} and has not run yet; --follow waits for it"
        )
    if number is not None and number > len(trial.attempts):
        raise NotFound(f"attempt {number} of {name.short}", f"It has {len(trial.attempts)}")
    return trial.attempts[(number or len(trial.attempts)) - 1]


def _local_file(client: Client, name: TrialName, attempt: Attempt) -> int | None:
    """A descriptor of its log; None if it is not here, or not ours to read."""
    try:
        return open_log(attempt.log_path, client.get_study(name.parent).uid, name.id, attempt.number)
    except NotFound:
        return None


def _file_log(client: Client, name: TrialName, attempt: Attempt, *, file: int, follow: bool) -> Iterator[bytes]:
    with open(file, "rb", buffering=0) as log:
        while True:
            if chunk := log.read(CHUNK):
                yield chunk
                continue
            if not follow or not attempt.live:
                return

            time.sleep(LOOK_EVERY)
            if chunk := log.read(CHUNK):
                yield chunk
            else:
                attempt = client.get_trial(name).attempts[attempt.number - 1]


def _pod_log(client: Client, name: TrialName, attempt: Attempt, *, follow: bool, of_pod: OfPod) -> Iterator[bytes]:
    """From the cluster if it still has the log, else what is stored."""
    check_pod(attempt.log_path, client.get_study(name.parent).uid, name.id, attempt.number)
    if attempt.live and attempt.run_time is None:
        if not follow:
            waits = f"It waits: {attempt.message}" if attempt.message else "It is being started"
            raise NotFound(f"a log of {name.short}", f"{waits}; --follow waits for it")
        index = attempt.number - 1
        versions = (t.attempts[index] for t in _versions(client, name))
        attempt = next(a for a in versions if a.run_time is not None or not a.live)

    try:
        yield from of_pod(attempt.log_path, follow)
    except WazirError as error:
        stored = client.get_trial(name).attempts[attempt.number - 1]
        if not stored.log_tail:
            raise
        if not isinstance(error, NotFound):
            say(f"wazir: {error}. These are the stored last lines:", err=True)
        yield stored.log_tail.encode()


def _versions(client: Client, name: TrialName) -> Iterator[Trial]:
    """The trial as it is, then after every change."""
    for changes in client.watch_trials(name.parent):
        yield from (t for t in changes.trials if t.id == name.id)
