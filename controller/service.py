"""What the controller asks of the study service: the part of `clients.client.Client` that it uses.

Every call may come from every thread and waits for its answer. Calls retry by themselves while the service is away,
for a while; then they raise Unavailable. StaleAttempt and NotFound mean that an attempt is no longer wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from ..domain.attempt import AttemptState, Cause
from ..domain.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from ..domain.names import StudyName, TrialName
from ..domain.study import Shortage, Study
from ..domain.trial import Instruction, Measurement, Trial, TrialState

AWAY = (Unavailable, DeadlineExceeded, ResourceExhausted)
"""Errors that say nothing about the call: it is made again later."""


class Suggested(Protocol):
    @property
    def trials(self) -> Sequence[Trial]: ...
    @property
    def shortage(self) -> Shortage | None: ...
    @property
    def tokens(self) -> Mapping[int, str]: ...


class TrialChanges(Protocol):
    @property
    def study(self) -> Study: ...
    @property
    def trials(self) -> Sequence[Trial]: ...
    @property
    def deleted(self) -> Sequence[int]: ...
    @property
    def revision(self) -> int: ...


class StudyChanges(Protocol):
    @property
    def studies(self) -> Sequence[Study]: ...
    @property
    def deleted(self) -> Sequence[StudyName]: ...


T_co = TypeVar("T_co", covariant=True)


class Stream(Iterator[T_co], Protocol[T_co]):
    def cancel(self) -> None: ...


class StudyService(Protocol):
    def get_study(self, name: StudyName, /) -> Study: ...

    def list_trials(self, name: StudyName, /, *, states: frozenset[TrialState] = ...) -> Iterator[Trial]: ...

    def attempt_token(self, name: TrialName, /) -> str: ...

    def suggest(
        self,
        name: StudyName,
        count: int,
        /,
        *,
        client_id: str,
        start: bool = ...,
        leased: bool = ...,
        request_id: str | None = ...,
    ) -> Suggested: ...

    def heartbeat(
        self,
        name: TrialName,
        attempt: int,
        /,
        *,
        state: AttemptState | None = ...,
        message: str = ...,
        node: str = ...,
        devices: Sequence[str] = ...,
        gpus: float = ...,
        log_path: str = ...,
        run_time: float | None = ...,
    ) -> Instruction: ...

    def report(
        self, name: TrialName, attempt: int, measurements: Sequence[Measurement], /, infeasible: str = ...
    ) -> Instruction: ...

    def end_attempt(
        self,
        name: TrialName,
        attempt: int,
        cause: Cause,
        /,
        *,
        final: Mapping[str, float] | None = ...,
        measurements: Sequence[Measurement] = ...,
        message: str = ...,
        exit_code: int | None = ...,
        log_tail: str = ...,
        end_time: float | None = ...,
    ) -> Trial: ...

    def watch_trials(self, name: StudyName, /, since: int = ...) -> Stream[TrialChanges]: ...

    def watch_studies(self, owner: str = ..., /) -> Stream[StudyChanges]: ...
