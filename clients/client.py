"""The Python client: every call of the study service, with the domain's own objects in and out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar, cast

from ..domain.names import DEFAULT_OWNER, check_id
from . import calls
from .calls import AnyStudy, Call, Pages, study_name
from .connection import Connection
from .credentials import Credentials, Tls
from .endpoint import Endpoint, resolve_address
from .method import as_method
from .watch import StudyCursor, StudyWatch, TrialCursor, TrialWatch, Watch

P = ParamSpec("P")
T = TypeVar("T")

RETRY_FOR = 60.0
"""Seconds of patience with a service that is away: a restart or an upgrade passes unseen."""

CALL_TIMEOUT = 30.0
"""Seconds for one try of a call."""


def _blocking(describe: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(describe(*args, **kwargs))

    return as_method(method, describe, "Client")


def _paged(describe: Callable[P, Pages[T]]) -> Callable[Concatenate[Client, P], Iterator[T]]:
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._pages(describe(*args, **kwargs))

    return as_method(method, describe, "Client")


def _listed(describe: Callable[P, Pages[T]]) -> Callable[Concatenate[Client, P], list[T]]:
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        return list(self._pages(describe(*args, **kwargs)))

    return as_method(method, describe, "Client")


class Client:
    """Blocking calls to one service. Every thread may use it, and a forked child goes on with a channel of its own.

    All methods raise the errors of `domain.errors`: NotFound for an unknown name, InvalidArgument for a bad value,
    Unavailable if the service stays away for `retry_for` seconds, DeadlineExceeded if one try takes longer than
    `timeout` seconds. A call that raised has changed nothing, except that after the last two its outcome is unknown:
    make it again, with the same `request_id` if it takes one.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        database: str | os.PathLike[str] | None = None,
        retry_for: float = RETRY_FOR,
        timeout: float = CALL_TIMEOUT,
        token: str | None = None,
        tls: Tls | bool | None = None,
    ) -> None:
        """`address`: `host:port` or `unix:/path`; without it the service of a `database` file, else WAZIR_ADDRESS, else
        the service on this folder's database (`endpoint.resolve_address`). Nothing is connected yet.

        `token` as `wazir token create` printed it; `tls`: `Tls(ca="ca.pem")` for a service with a certificate of your
        own authority, True for one that a public authority vouches for, False for none. What is left out is taken from
        the environment (`credentials`). Raises InvalidArgument if a token would travel unencrypted.
        """
        address = resolve_address(address, database)
        self._connection = Connection(Endpoint(address, Credentials.find(address, token, tls)))
        self._retry_for = retry_for
        self._timeout = timeout

    @property
    def address(self) -> str:
        return self._connection.endpoint.address

    def environment(self) -> dict[str, str]:
        """What another machine's process needs in its environment to reach the service as this client does. Of what
        only this client may show, its token and its certificate's key, there is nothing in it."""
        return self._connection.endpoint.credentials.environment()

    @property
    def retry_for(self) -> float:
        return self._retry_for

    def patient(self, retry_for: float, timeout: float | None = None) -> Client:
        """This client, over the same channel, with another patience and perhaps another timeout."""
        other = Client.__new__(type(self))
        other._connection = self._connection
        other._retry_for = retry_for
        other._timeout = self._timeout if timeout is None else timeout
        return other

    def close(self) -> None:
        """Lets the channel go; calls and watches in other threads end. Harmless to repeat."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Studies

    create_study = _blocking(calls.create_study)
    get_study = _blocking(calls.get_study)
    list_studies = _paged(calls.list_studies)
    audit_records = _paged(calls.audit_records)
    update_study = _blocking(calls.update_study)
    delete_study = _blocking(calls.delete_study)
    pause_study = _blocking(calls.pause_study)
    resume_study = _blocking(calls.resume_study)
    stop_study = _blocking(calls.stop_study)
    best_trials = _listed(calls.best_trials)
    study_progress = _blocking(calls.study_progress)
    suggest = _blocking(calls.suggest)

    # Trials

    create_trial = _blocking(calls.create_trial)
    get_trial = _blocking(calls.get_trial)
    attempt_token = _blocking(calls.attempt_token)
    list_trials = _paged(calls.list_trials)
    delete_trial = _blocking(calls.delete_trial)
    measurements = _listed(calls.measurements)
    stop_trial = _blocking(calls.stop_trial)
    cancel_trial = _blocking(calls.cancel_trial)
    retry_trial = _blocking(calls.retry_trial)

    # Attempts: `attempt` is the number of the trial's current one; StaleAttempt is raised if it no longer is

    start_attempt = _blocking(calls.start_attempt)
    add_parameter = _blocking(calls.add_parameter)
    heartbeat = _blocking(calls.heartbeat)
    report = _blocking(calls.report)
    end_attempt = _blocking(calls.end_attempt)

    # Metadata and watching

    update_metadata = _blocking(calls.update_metadata)

    def watch_trials(self, study: AnyStudy, since: int = 0) -> TrialWatch:
        """The study and its trials as they change after revision `since` (0: all there are, first)."""
        return Watch(self._connection, self._retry_for, TrialCursor(study_name(study), since))

    def watch_studies(self, owner: str = DEFAULT_OWNER) -> StudyWatch:
        """The owner's studies as they change, the present ones first."""
        return Watch(self._connection, self._retry_for, StudyCursor(check_id("owner", owner)))

    # How it is done

    def _run(self, call: Call[T]) -> T:
        timeout = self._timeout if call.timeout is None else call.timeout
        # None if the call's own answer is None.
        return cast(T, self._connection.call(call, timeout=timeout, retry_for=self._retry_for))

    def _pages(self, pages: Pages[T]) -> Iterator[T]:
        # Described already, so a bad argument is refused before the first page is asked for.
        next_page: Call[object] | None = pages.first()
        while next_page is not None:
            answer = self._run(next_page)
            yield from pages.items(answer)
            next_page = pages.after(answer)
