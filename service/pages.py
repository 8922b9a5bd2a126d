"""Pages that end before they are too large to be sent, or to be held in memory, whatever each item holds.

An item alone is sent however large it is; `docs/limits.md` says how large that can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from ..domain.size import MEASUREMENT, size_of, size_of_study
from ..domain.study import Study
from ..domain.trial import Measurement, Trial
from ..storage.store import Changes, StudyFilter, TrialFilter, View

T = TypeVar("T")
M = TypeVar("M", bound=Message)

PAGE_BYTES = 4 * 1024 * 1024
"""After so many a page ends."""

CHUNK = 64
"""Rows that are read at a time: as many of the largest ones are some tens of MiB."""

SMALL = 4 * 1024
"""Bytes of a trial of which more are read at a time."""

AT_A_TIME = 32 * 1024 * 1024
"""Bytes of trials that the service itself reads at a time."""

VALUES = 20_000
"""Values of metrics that are read at a time."""


@dataclass(frozen=True, slots=True)
class Some(Generic[T]):
    """The first items of a list, and whether there may be more."""

    items: Sequence[T]
    more: bool


def read_trials(
    view: View, study: Study, where: TrialFilter, after: int, limit: int, *, descending: bool
) -> Some[Trial]:
    """As `View.trials`, but not much more than a page holds."""
    found: list[Trial] = []
    size = 0
    while len(found) <= limit and size <= PAGE_BYTES:
        wanted = min(CHUNK, limit + 1 - len(found))
        some = view.trials(study, where, after, wanted, descending=descending)
        found += some
        if len(some) < wanted:
            return Some(found, more=False)
        size += sum(map(size_of, some))
        after = some[-1].id
    return Some(found[:limit], more=True)


def read_studies(view: View, owner: str, where: StudyFilter, after: str, limit: int) -> Some[Study]:
    """As `View.studies`, but not much more than a page holds."""
    found: list[Study] = []
    size = 0
    while len(found) <= limit and size <= PAGE_BYTES:
        wanted = min(CHUNK, limit + 1 - len(found))
        some = view.studies(owner, where, after, wanted)
        found += some
        if len(some) < wanted:
            return Some(found, more=False)
        size += sum(map(size_of_study, some))
        after = token_of(some[-1])
    return Some(found[:limit], more=True)


def first_of(trials: Iterator[Trial]) -> Some[Trial]:
    """Not much more than a page holds."""
    found: list[Trial] = []
    size = 0
    for trial in trials:
        if size > PAGE_BYTES:
            return Some(found, more=True)
        found.append(trial)
        size += size_of(trial)
    return Some(found, more=False)


def read_measurements(view: View, trial: Trial, after: int, limit: int) -> Some[Measurement]:
    """At most `limit` steps beyond `after`, and not much more than a page holds."""
    found: list[Measurement] = []
    values = 0
    while len(found) <= limit and values * MEASUREMENT <= PAGE_BYTES:
        some = view.steps(trial, after, VALUES)
        if not some:
            return Some(found, more=False)
        found += some
        values += sum(len(m.metrics) for m in some)
        after = found[-1].step
    return Some(found[:limit], more=True)


def read_changes(view: View, study: Study, since: int, limit: int, most: int = PAGE_BYTES) -> Changes:
    """As `View.changes`, but it ends with the revision by which it has `most` bytes."""
    trials: list[Trial] = []
    deleted: list[int] = []
    size, chunk = 0, CHUNK
    while True:
        part = view.changes(study, since, min(chunk, limit))
        trials += part.trials
        deleted += part.deleted
        size += sum(map(size_of, part.trials))
        # More of them, where they are small.
        chunk = 4 * CHUNK if size < len(trials) * SMALL else CHUNK
        since = part.revision
        if since >= part.study.revision or size > most or len(trials) + len(deleted) >= limit:
            return Changes(part.study, trials, deleted, since)


def page(found: Some[T], to_wire: Callable[[T], M]) -> tuple[list[M], bool]:
    """The messages of one page, and whether another one may follow, which may turn out to be empty."""
    messages: list[M] = []
    size = 0
    for item in found.items:
        messages.append(to_wire(item))
        size += messages[-1].ByteSize()
        if size >= PAGE_BYTES:
            break
    return messages, found.more or len(messages) < len(found.items)


def frames(messages: Iterable[M]) -> Iterator[list[M]]:
    """The messages in lists that are small enough to be sent; one empty list where there are none."""
    frame: list[M] = []
    size = 0
    for message in messages:
        length = message.ByteSize()
        if frame and size + length > PAGE_BYTES:
            yield frame
            frame, size = [], 0
        frame.append(message)
        size += length
    yield frame


def token_of(study: Study) -> str:
    """Where the page of studies begins that comes after this one."""
    return f"{study.name.owner}/{study.name.study}"
