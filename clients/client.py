"""The Python client: every call of the study service, with the domain's own objects in and out."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from ..domain.attempt import AttemptState, Cause
from ..domain.errors import NotFound
from ..domain.names import DEFAULT_OWNER, StudyName, TrialName, check_id, parse_study, parse_trial
from ..domain.parameters import Parameters
from ..domain.space import Parameter
from ..domain.study import EndReason, Shortage, Study, StudySpec, StudyState
from ..domain.trial import Instruction, Measurement, Trial, TrialState
from ..proto.v1 import study_pb2, trial_pb2
from ..proto.v1 import study_service_pb2 as api
from ..wire.scalars import duration, timestamp, value_to_wire
from ..wire.space import parameter_to_wire
from ..wire.study import END_REASONS, SHORTAGES, STUDY_STATES, spec_to_wire, study_from_wire
from ..wire.trial import (
    ATTEMPT_STATES,
    CAUSES,
    TRIAL_STATES,
    instruction_from_wire,
    measurement_from_wire,
    measurement_to_wire,
    token_of,
    trial_from_wire,
)
from .connection import Connection, resolve_address
from .credentials import Credentials, Tls
from .watch import StudyWatch, TrialWatch

RETRY_FOR = 60.0
"""Seconds of patience with a service that is away: a restart or an upgrade passes unseen."""

CALL_TIMEOUT = 30.0
"""Seconds for one try of a call."""

PAGE = 500
MEASUREMENTS_PAGE = 10_000

AnyStudy = StudyName | str
"""A study by its name, or as people write it: `resnet`, `vision/resnet` or the full name."""

AnyTrial = TrialName | str
"""A trial by its name, or as people write it: `resnet/17` or the full name."""


@dataclass(frozen=True, slots=True)
class Suggested:
    """What `suggest` got: the trials, why there are fewer than asked for, and the study's state after the call."""

    trials: tuple[Trial, ...]
    shortage: Shortage | None
    study_state: StudyState
    end_reason: EndReason | None = None
    tokens: Mapping[int, str] = field(default_factory=dict, repr=False)
    """What the code of each started trial may call with, by trial id; empty where the service asks for no tokens."""


class Client:
    """Blocking calls to one service. Every thread may use it, and a forked child goes on with a channel of its own.

    All methods raise the errors of `domain.errors`: NotFound for an unknown name, InvalidArgument for a bad value,
    Unavailable where the service stays away for `retry_for` seconds, DeadlineExceeded where one try takes longer than
    `timeout` seconds. A call that raised has changed nothing, except that after the last two its outcome is unknown:
    make it again, with the same `request_id` where it takes one.
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
        the service on this folder's database (`connection.resolve_address`). Nothing is connected yet.

        `token` as `wazir token create` printed it; `tls`: `Tls(ca="ca.pem")` for a service with a certificate of your
        own authority, True for one that a public authority vouches for, False for none. What is left out is taken from
        the environment (`credentials`). Raises InvalidArgument where a token would travel readably through a network.
        """
        address = resolve_address(address, database)
        self._connection = Connection(address, Credentials.find(address, token, tls))
        self._retry_for = retry_for
        self._timeout = timeout

    @property
    def address(self) -> str:
        return self._connection.address

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

    def create_study(
        self,
        study_id: AnyStudy,
        spec: StudySpec,
        *,
        request_id: str | None = None,
        validate_only: bool = False,
        resume: bool = False,
        metadata: Mapping[str, str] | None = None,
    ) -> Study:
        """Makes a study. `validate_only` checks everything and writes nothing.

        Raises AlreadyExists where the name is taken, unless `resume`: then goes on with that study, with the budget,
        stopping, template and labels given now, and raises SpecChanged where space, metrics or algorithm differ.
        """
        name = _study(study_id)
        request = api.CreateStudyRequest(
            parent=f"owners/{name.owner}",
            study_id=name.study,
            study=study_pb2.Study(spec=spec_to_wire(spec), metadata=metadata or {}),
            request_id=_request_id(request_id),
            validate_only=validate_only,
            on_existing=api.ON_EXISTING_RESUME if resume else api.ON_EXISTING_UNSPECIFIED,
        )
        return study_from_wire(self._call("CreateStudy", request))

    def get_study(self, name: AnyStudy) -> Study:
        return study_from_wire(self._call("GetStudy", api.GetStudyRequest(name=str(_study(name)))))

    def list_studies(
        self,
        states: Iterable[StudyState] = (),
        labels: Mapping[str, str] | None = None,
        since: float | None = None,
        *,
        owner: str = DEFAULT_OWNER,
    ) -> Iterator[Study]:
        """Studies by name, in one of `states` (none: all), with all `labels`, made at or after `since` (Unix seconds).
        Pages are fetched as they are needed."""
        request = api.ListStudiesRequest(
            parent=f"owners/{check_id('owner', owner)}",
            page_size=PAGE,
            states=[STUDY_STATES.to_wire(s) for s in states],
            labels=labels or {},
            since=None if since is None else timestamp(since),
        )
        return self._pages("ListStudies", request, "studies", study_from_wire)

    def update_study(self, name: AnyStudy, spec: StudySpec, fields: Iterable[str], etag: str = "") -> Study:
        """Changes the named `fields` of the specification (budget, stopping, algorithm, trial, labels) to what `spec`
        has.

        With `etag` (`Study.etag`) it raises Aborted where somebody changed the study since it was read.
        """
        paths = [field if field.startswith("spec.") else f"spec.{field}" for field in fields]
        message = study_pb2.Study(name=str(_study(name)), spec=spec_to_wire(spec), etag=etag)
        return study_from_wire(
            self._call("UpdateStudy", api.UpdateStudyRequest(study=message, update_mask=FieldMask(paths=paths)))
        )

    def delete_study(self, name: AnyStudy, force: bool = False) -> None:
        """With all its trials. Raises FailedPrecondition while trials run, unless `force`."""
        self._delete("DeleteStudy", api.DeleteStudyRequest(name=str(_study(name)), force=force))

    def pause_study(self, name: AnyStudy) -> Study:
        """Starts no more trials; running ones go on."""
        return study_from_wire(self._call("PauseStudy", api.PauseStudyRequest(name=str(_study(name)))))

    def resume_study(self, name: AnyStudy) -> Study:
        """Undoes `pause_study`."""
        return study_from_wire(self._call("ResumeStudy", api.ResumeStudyRequest(name=str(_study(name)))))

    def stop_study(self, name: AnyStudy, reason: str = "") -> Study:
        """Ends a study: waiting trials are cancelled, running ones told to stop."""
        return study_from_wire(self._call("StopStudy", api.StopStudyRequest(name=str(_study(name)), reason=reason)))

    def best_trials(self, name: AnyStudy, limit: int = 0) -> list[Trial]:
        """By the objective, best first; with several objectives those that no other dominates, by id. `limit` 0: the
        best one, or all that are not dominated."""
        request = api.ListOptimalTrialsRequest(parent=str(_study(name)), limit=limit)
        return [trial_from_wire(t) for t in self._call("ListOptimalTrials", request).trials]

    # Trials

    def suggest(
        self,
        name: AnyStudy,
        count: int = 1,
        *,
        client_id: str = "",
        start: bool = False,
        reattach: bool = False,
        lease: float | None = None,
        leased: bool = True,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Suggested:
        """Trials to run: waiting ones first, then new points of the algorithm; at most `count`, with the reason where
        there are fewer.

        `start` begins an attempt of each, held by `client_id`; leased ones end when heartbeats stay away for `lease`
        seconds. `reattach` gives back the client's live trials first. `timeout`: seconds for the computation.
        """
        request = api.SuggestTrialsRequest(
            parent=str(_study(name)),
            count=count,
            client_id=client_id,
            start=start,
            reattach=reattach,
            lease=None if lease is None else duration(lease),
            unleased=not leased,
            request_id=_request_id(request_id),
        )
        answer: api.SuggestTrialsResponse = self._call("SuggestTrials", request, timeout)
        return Suggested(
            tuple(map(trial_from_wire, answer.trials)),
            SHORTAGES.from_wire(answer.shortage, "shortage"),
            STUDY_STATES.required(answer.study_state, "study_state"),
            END_REASONS.from_wire(answer.end_reason, "end_reason"),
            {parse_trial(t.name).id: token for t in answer.trials if (token := token_of(t))},
        )

    def create_trial(
        self,
        name: AnyStudy,
        parameters: Parameters,
        *,
        labels: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        state: TrialState | None = None,
        final: Mapping[str, float] | None = None,
        measurements: Iterable[Measurement] = (),
        start_time: float | None = None,
        end_time: float | None = None,
        reason: str = "",
        request_id: str | None = None,
    ) -> Trial:
        """Enqueues a trial with these parameters; defaults of the space fill gaps.

        With `state` SUCCEEDED, STOPPED or INFEASIBLE it is recorded as ended elsewhere, with its `final` metrics, its
        curve (`measurements`), its times (Unix seconds) and, for people, the reason of its state.
        """
        trial = trial_pb2.Trial(
            state=TRIAL_STATES.to_wire(state),
            state_reason=reason,
            final_metrics=final or {},
            labels=labels or {},
            metadata=metadata or {},
            start_time=None if start_time is None else timestamp(start_time),
            end_time=None if end_time is None else timestamp(end_time),
        )
        for parameter, value in parameters.items():
            trial.parameters[parameter].CopyFrom(value_to_wire(value))
        request = api.CreateTrialRequest(
            parent=str(_study(name)),
            trial=trial,
            measurements=map(measurement_to_wire, measurements),
            request_id=_request_id(request_id),
        )
        return trial_from_wire(self._call("CreateTrial", request))

    def get_trial(self, name: AnyTrial) -> Trial:
        """With all its attempts."""
        return trial_from_wire(self._call("GetTrial", api.GetTrialRequest(name=str(_trial(name)))))

    def attempt_token(self, name: AnyTrial) -> str:
        """What the code of the trial's live attempt may call with, for that trial alone. Empty where there is none, or
        where the service asks for no tokens. Secret."""
        return token_of(self._call("GetTrial", api.GetTrialRequest(name=str(_trial(name)), attempt_token=True)))

    def list_trials(
        self,
        name: AnyStudy,
        states: Iterable[TrialState] = (),
        labels: Mapping[str, str] | None = None,
        since: float | None = None,
        descending: bool = False,
    ) -> Iterator[Trial]:
        """Trials by id (`descending`: newest first), filtered as `list_studies` filters. Pages are fetched as they are
        needed."""
        request = api.ListTrialsRequest(
            parent=str(_study(name)),
            page_size=PAGE,
            states=[TRIAL_STATES.to_wire(s) for s in states],
            labels=labels or {},
            since=None if since is None else timestamp(since),
            descending=descending,
        )
        return self._pages("ListTrials", request, "trials", trial_from_wire)

    def delete_trial(self, name: AnyTrial) -> None:
        """Raises FailedPrecondition while it is live. Its id is not given again."""
        self._delete("DeleteTrial", api.DeleteTrialRequest(name=str(_trial(name))))

    def measurements(self, name: AnyTrial) -> list[Measurement]:
        """By step; where attempts overlap, the later attempt's value at a step."""
        request = api.ListMeasurementsRequest(parent=str(_trial(name)), page_size=MEASUREMENTS_PAGE)
        return list(self._pages("ListMeasurements", request, "measurements", lambda m: measurement_from_wire(m, 0.0)))

    def stop_trial(self, name: AnyTrial, reason: str = "") -> Trial:
        """Tells a trial to end early; its measurements count."""
        return trial_from_wire(self._call("StopTrial", api.StopTrialRequest(name=str(_trial(name)), reason=reason)))

    def cancel_trial(self, name: AnyTrial, reason: str = "") -> Trial:
        """Gives a trial up; it does not count."""
        return trial_from_wire(self._call("CancelTrial", api.CancelTrialRequest(name=str(_trial(name)), reason=reason)))

    def retry_trial(self, name: AnyTrial) -> Trial:
        """Requests a FAILED trial again; a study that has ended goes on for it."""
        return trial_from_wire(self._call("RetryTrial", api.RetryTrialRequest(name=str(_trial(name)))))

    # Attempts: `attempt` is the number of the trial's current one; StaleAttempt is raised where it is not that any more

    def start_attempt(
        self,
        trial: AnyTrial,
        *,
        client_id: str,
        lease: float | None = None,
        leased: bool = True,
        request_id: str | None = None,
    ) -> Trial:
        """Starts the next attempt of a REQUESTED trial; its number is `trial.attempt.number` of the answer.

        Leased ones end when heartbeats stay away for `lease` seconds. Raises IllegalMove where the trial is not
        REQUESTED, FailedPrecondition where the study is full, paused or ended.
        """
        request = api.StartAttemptRequest(
            name=str(_trial(trial)),
            client_id=client_id,
            lease=None if lease is None else duration(lease),
            unleased=not leased,
            request_id=_request_id(request_id),
        )
        return trial_from_wire(self._call("StartAttempt", request).trial)

    def add_parameter(self, trial: AnyTrial, attempt: int, parameter: Parameter) -> Trial:
        """Names a parameter of a growing space; the trial then has a value for it. Raises InvalidArgument where the
        study knows the name with another definition, FailedPrecondition where its space is declared."""
        request = api.AddParameterRequest(
            name=str(_trial(trial)), attempt=attempt, parameter=parameter_to_wire(parameter)
        )
        return trial_from_wire(self._call("AddParameter", request))

    def heartbeat(
        self,
        trial: AnyTrial,
        attempt: int,
        *,
        state: AttemptState | None = None,
        message: str = "",
        node: str = "",
        devices: Sequence[str] = (),
        gpus: float = 0.0,
        log_path: str = "",
    ) -> Instruction:
        """Keeps the attempt's lease and says what was seen of it; empty parts are no news."""
        request = api.HeartbeatRequest(
            name=str(_trial(trial)),
            attempt=attempt,
            state=ATTEMPT_STATES.to_wire(state),
            message=message,
            node=node,
            devices=devices,
            gpus=gpus,
            log_path=log_path,
        )
        return instruction_from_wire(self._call("Heartbeat", request).instruction)

    def report(
        self, trial: AnyTrial, attempt: int, measurements: Iterable[Measurement], infeasible: str = ""
    ) -> Instruction:
        """Stores measurements, at most 10,000 values in all; a repeat at a step replaces. `infeasible`: why the
        parameters cannot be evaluated; however the attempt then ends, the trial becomes INFEASIBLE."""
        request = api.ReportMeasurementsRequest(
            name=str(_trial(trial)),
            attempt=attempt,
            measurements=map(measurement_to_wire, measurements),
            infeasible=infeasible,
        )
        return instruction_from_wire(self._call("ReportMeasurements", request).instruction)

    def end_attempt(
        self,
        trial: AnyTrial,
        attempt: int,
        cause: Cause,
        *,
        final: Mapping[str, float] | None = None,
        measurements: Iterable[Measurement] = (),
        message: str = "",
        exit_code: int | None = None,
        log_tail: str = "",
        end_time: float | None = None,
    ) -> Trial:
        """Ends the attempt; the service decides what becomes of the trial. Harmless to repeat with the same outcome,
        FailedPrecondition with another."""
        request = api.EndAttemptRequest(
            name=str(_trial(trial)),
            attempt=attempt,
            cause=CAUSES.to_wire(cause),
            final_metrics=final or {},
            measurements=map(measurement_to_wire, measurements),
            message=message,
            exit_code=exit_code,
            log_tail=log_tail,
            end_time=None if end_time is None else timestamp(end_time),
        )
        return trial_from_wire(self._call("EndAttempt", request))

    # Metadata and watching

    def update_metadata(
        self,
        name: StudyName | TrialName | str,
        set: Mapping[str, str] | None = None,  # noqa: A002 - the word of the API
        remove: Iterable[str] = (),
    ) -> dict[str, str]:
        """Sets and removes metadata of a study or a trial (a string is a trial's where it ends with `/{number}`);
        returns all of it."""
        request = api.UpdateMetadataRequest(name=str(_either(name)), set=set or {}, remove=remove)
        return dict(self._call("UpdateMetadata", request).metadata)

    def watch_trials(self, study: AnyStudy, since: int = 0) -> TrialWatch:
        """The study and its trials as they change after revision `since` (0: all there are, first)."""
        return TrialWatch(self._connection, self._retry_for, _study(study), since)

    def watch_studies(self, owner: str = DEFAULT_OWNER) -> StudyWatch:
        """The owner's studies as they change, the present ones first."""
        return StudyWatch(self._connection, self._retry_for, check_id("owner", owner))

    # How it is done

    def _call(self, method: str, request: Message, timeout: float | None = None) -> Any:
        return self._connection.call(
            method, request, timeout=self._timeout if timeout is None else timeout, retry_for=self._retry_for
        )

    def _delete(self, method: str, request: Message) -> None:
        """Where a try broke off, the next may find that it had been done: that is no error."""
        self._connection.call(method, request, timeout=self._timeout, retry_for=self._retry_for, done_where=NotFound)

    def _pages(self, method: str, request: Any, field: str, read: Callable[[Any], Any]) -> Iterator[Any]:
        while True:
            page = self._call(method, request)
            yield from map(read, getattr(page, field))
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def _study(name: AnyStudy) -> StudyName:
    return parse_study(name) if isinstance(name, str) else name


def _trial(name: AnyTrial) -> TrialName:
    return parse_trial(name) if isinstance(name, str) else name


def _either(name: StudyName | TrialName | str) -> StudyName | TrialName:
    if not isinstance(name, str):
        return name
    return parse_trial(name) if "/" in name and name.rpartition("/")[2].isdigit() else parse_study(name)


def _request_id(given: str | None) -> str:
    return uuid.uuid4().hex if given is None else given
