"""The client of a command on a database file that nobody serves: it reads the file itself, and serves it for the rest.

To start a service takes longer than to look at a study, and needs the right to write. What is read here passes the
same store view and the same use cases as in a service (`storage/view.py`, `service/optimal.py`).
"""

from __future__ import annotations

import os
import pwd
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ..domain.audit import AuditFilter, AuditRecord, Outcome
from ..domain.errors import FailedPrecondition, NotFound
from ..domain.names import DEFAULT_OWNER, StudyName, TrialName
from ..domain.parameters import Parameters
from ..domain.progress import StudyProgress
from ..domain.study import Study, StudySpec, StudyState
from ..domain.trial import LIVE, Measurement, Trial, TrialState
from ..service.optimal import optimal
from ..service.taken import taken
from ..storage.sqlite_look import look, writable
from ..storage.store import AuditPage, StudyFilter, TrialFilter, View

if TYPE_CHECKING:
    from ..clients.client import Client

T = TypeVar("T")

PAGE: Final = 500


class FileClient:
    """Has the calls of `clients.client.Client`: those that commands look with are answered from the file, and the first
    of the others starts a service. Use as a context manager."""

    def __init__(self, file: Path, patience: float) -> None:
        """Raises `storage.sqlite_look.NotReadable` if the file has to be brought up to date first."""
        self._file = file.absolute()
        self._patience = patience
        self._served: Client | None = None
        self._stack = ExitStack()
        self._lock = threading.Lock()
        with look(self._file):
            pass

    def __enter__(self) -> FileClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def patient(self, retry_for: float, timeout: float | None = None) -> FileClient:
        """A file answers at once."""
        return self

    # Looking

    def get_study(self, name: StudyName) -> Study:
        return self._read(lambda view: view.study(name))

    def list_studies(
        self,
        states: Iterable[StudyState] = (),
        labels: Mapping[str, str] | None = None,
        since: float | None = None,
        *,
        owner: str = DEFAULT_OWNER,
    ) -> Iterator[Study]:
        where = StudyFilter(states=frozenset(states), labels=labels or {}, since=since)
        after = ""
        while page := self._read(partial(_studies, owner=owner, where=where, after=after)):
            yield from page
            after = f"{page[-1].name.owner}/{page[-1].name.study}"

    def best_trials(self, name: StudyName, limit: int = 0) -> list[Trial]:
        return self._read(lambda view: optimal(view, name, limit))

    def get_trial(self, name: TrialName) -> Trial:
        return self._read(lambda view: view.trial(name))

    def list_trials(
        self,
        name: StudyName,
        states: Iterable[TrialState] = (),
        labels: Mapping[str, str] | None = None,
        since: float | None = None,
        descending: bool = False,
    ) -> Iterator[Trial]:
        where = TrialFilter(states=frozenset(states), labels=labels or {}, since=since)
        after = 0
        while page := self._read(partial(_trials, name=name, where=where, after=after, descending=descending)):
            yield from page
            after = page[-1].id

    def measurements(self, name: TrialName) -> list[Measurement]:
        return self._read(lambda view: view.measurements(view.trial(name)))

    def audit_records(
        self,
        owner: str | None = None,
        *,
        study: StudyName | None = None,
        caller: str = "",
        method: str = "",
        outcomes: Iterable[Outcome] = (),
        since: float | None = None,
    ) -> Iterator[AuditRecord]:
        where = AuditFilter(
            owner=owner or "", study=study, caller=caller, method=method, outcomes=frozenset(outcomes), since=since
        )
        before = ""
        while True:
            page = self._read(partial(_audit_records, where=where, before=before))
            yield from page.records
            if not (before := page.before):
                return

    def study_progress(self, name: StudyName, **limits: int) -> StudyProgress:
        """Trials that are live without a service are rare: their process outlived it."""
        study = self.get_study(name)
        if any(study.counts[state] for state in LIVE) and writable(self._file):
            return self._service().study_progress(name, **limits)
        return StudyProgress((), None, 0.0)

    # Everything else

    def create_study(self, name: StudyName, spec: StudySpec, **named: Any) -> Study:
        self._check_writable()
        if not named.get("resume"):
            self._read(partial(_check_free, name=name))
        return self._service().create_study(name, spec, **named)

    def create_trial(self, name: StudyName, parameters: Parameters, **named: Any) -> Trial:
        space = self.get_study(name).spec.space
        self._check_writable()
        if space is not None:
            # As the service does, and before one is started.
            space.check(parameters, "trial.parameters")
        return self._service().create_trial(name, parameters, **named)

    def __getattr__(self, call: str) -> Any:
        if call.startswith("_"):
            raise AttributeError(call)
        return partial(self._call_service, call)

    def _call_service(self, call: str, *arguments: Any, **named: Any) -> Any:
        # What is not there is refused before a service is started for it.
        match arguments:
            case (StudyName() as name, *_):
                self.get_study(name)
            case (TrialName() as name, *_):
                self.get_trial(name)

        return getattr(self._service(), call)(*arguments, **named)

    def _service(self) -> Client:
        from ..clients.client import Client
        from .local_service import LocalService

        # A watch asks on a thread of its own how far the trials are.
        with self._lock:
            if self._served is None:
                self._check_writable()
                service = self._stack.enter_context(LocalService(self._file))
                self._served = self._stack.enter_context(Client(service.address, retry_for=self._patience))
            return self._served

    def _check_writable(self) -> None:
        if not writable(self._file):
            raise FailedPrecondition(
                f"{self._file} belongs to {_name_of(self._file.stat().st_uid)}, and {_name_of(os.geteuid())} may look "
                "at its studies, not change or watch them. Name a service to call with --address, or get the right to "
                "write to the file and its folder"
            )

    def _read(self, work: Callable[[View], T]) -> T:
        with look(self._file) as view:
            return work(view)


def _studies(view: View, *, owner: str, where: StudyFilter, after: str) -> list[Study]:
    return view.studies(owner, where, after, PAGE)


def _audit_records(view: View, *, where: AuditFilter, before: str) -> AuditPage:
    return view.audit_records(where, before, PAGE)


def _check_free(view: View, *, name: StudyName) -> None:
    try:
        view.study(name)
    except NotFound:
        return
    raise taken(name)


def _trials(view: View, *, name: StudyName, where: TrialFilter, after: int, descending: bool) -> list[Trial]:
    return view.trials(view.study(name), where, after, PAGE, descending=descending)


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
