"""Every unary call of the study service: what is sent, and what is made of the answer. No I/O.

A function here describes one call; `client.py` makes it blocking and `aio.py` awaitable, with this signature and
documentation. All of them raise the errors of `domain.errors` when the call is made: NotFound for an unknown name,
InvalidArgument for a bad value, and what is said here.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, TypeVar

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from ..domain.attempt import AttemptState, Cause
from ..domain.audit import AuditRecord, Outcome
from ..domain.errors import InvalidArgument, NotFound, WazirError
from ..domain.names import DEFAULT_OWNER, StudyName, TrialName, check_id, parse_study, parse_trial
from ..domain.parameters import Parameters
from ..domain.progress import StudyProgress
from ..domain.space import Parameter
from ..domain.study import EndReason, Shortage, Study, StudySpec, StudyState
from ..domain.trial import Instruction, Measurement, Trial, TrialState
from ..proto.v1 import study_pb2, trial_pb2
from ..proto.v1 import study_service_pb2 as api
from ..wire.audit import OUTCOMES, audit_record_from_wire
from ..wire.progress import progress_from_wire
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

T = TypeVar("T")
PAGE = 500
MEASUREMENTS_PAGE = 10_000

AnyStudy = StudyName | str
"""A study by its name, or as people write it: `resnet`, `vision/resnet` or the full name."""

OnTimeout = Literal["fallback", "wait"]
ON_TIMEOUT: Final = {"fallback": api.ON_TIMEOUT_FALLBACK, "wait": api.ON_TIMEOUT_WAIT}

AnyTrial = TrialName | str
"""A trial by its name, or as people write it: `resnet/17` or the full name."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request and one answer. `timeout`: seconds for one try, where the client's own is not meant.

    `done_where`: an error which shows, after a try that broke off, that this try had been done: None is the answer.
    """

    method: str
    request: Message
    read: Callable[[Any], T]
    timeout: float | None = None
    done_where: type[WazirError] | None = None


@dataclass(frozen=True, slots=True)
class Pages(Generic[T]):
    """A list that comes in pages, each fetched when it is needed. The answers have their items in `field`."""

    method: str
    request: Any
    field: str
    read: Callable[[Any], T]

    def first(self) -> Call[Any]:
        return Call(self.method, self.request, lambda answer: answer)

    def after(self, answer: Any) -> Call[Any] | None:
        """The next page, or None if that was the last."""
        if not answer.next_page_token:
            return None
        self.request.page_token = answer.next_page_token
        return self.first()

    def items(self, answer: Any) -> list[T]:
        return list(map(self.read, getattr(answer, self.field)))


@dataclass(frozen=True, slots=True)
class Suggested:
    """What `suggest` got: the trials, why there are fewer than asked for, and the study's state after the call."""

    trials: tuple[Trial, ...]
    shortage: Shortage | None
    study_state: StudyState
    end_reason: EndReason | None = None
    tokens: Mapping[int, str] = field(default_factory=dict, repr=False)
    """What the code of each started trial may call with, by trial id; empty if the service asks for no tokens."""


# Studies


def create_study(
    study_id: AnyStudy,
    spec: StudySpec,
    *,
    request_id: str | None = None,
    validate_only: bool = False,
    resume: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Call[Study]:
    """Makes a study. `validate_only` checks everything and writes nothing.

    Raises AlreadyExists if the name is taken, unless `resume`: then goes on with that study, with the budget,
    stopping, template and labels given now, and raises SpecChanged if space, metrics or algorithm differ.
    """
    name = study_name(study_id)
    request = api.CreateStudyRequest(
        parent=f"owners/{name.owner}",
        study_id=name.study,
        study=study_pb2.Study(spec=spec_to_wire(spec), metadata=metadata or {}),
        request_id=_request_id(request_id),
        validate_only=validate_only,
        on_existing=api.ON_EXISTING_RESUME if resume else api.ON_EXISTING_UNSPECIFIED,
    )
    return Call("CreateStudy", request, study_from_wire)


def get_study(name: AnyStudy) -> Call[Study]:
    return Call("GetStudy", api.GetStudyRequest(name=str(study_name(name))), study_from_wire)


def list_studies(
    states: Iterable[StudyState] = (),
    labels: Mapping[str, str] | None = None,
    since: float | None = None,
    *,
    owner: str = DEFAULT_OWNER,
) -> Pages[Study]:
    """Studies by name, in one of `states` (none: all), with all `labels`, made at or after `since` (Unix seconds).
    Pages are fetched as they are needed."""
    request = api.ListStudiesRequest(
        parent=f"owners/{check_id('owner', owner)}",
        page_size=PAGE,
        states=[STUDY_STATES.to_wire(s) for s in states],
        labels=labels or {},
        since=None if since is None else timestamp(since),
    )
    return Pages("ListStudies", request, "studies", study_from_wire)


def audit_records(
    owner: str | None = None,
    *,
    study: AnyStudy | None = None,
    caller: str = "",
    method: str = "",
    outcomes: Iterable[Outcome] = (),
    since: float | None = None,
) -> Pages[AuditRecord]:
    """Who did what to the studies of `owner`, the latest first: calls that changed something and calls that were
    denied. Without `owner`: to anybody's, and tokens and databases with it. Pages are fetched as they are needed.

    `study`: about that one or its trials; `caller` as records name it; `since` (Unix seconds): recorded at or after.
    """
    request = api.ListAuditRecordsRequest(
        parent="owners/-" if owner is None else f"owners/{check_id('owner', owner)}",
        page_size=PAGE,
        study="" if study is None else str(study_name(study)),
        caller=caller,
        method=method,
        outcomes=[OUTCOMES.to_wire(outcome) for outcome in outcomes],
        since=None if since is None else timestamp(since),
    )
    return Pages("ListAuditRecords", request, "audit_records", audit_record_from_wire)


def update_study(name: AnyStudy, spec: StudySpec, fields: Iterable[str], etag: str = "") -> Call[Study]:
    """Changes the named `fields` of the specification (budget, stopping, algorithm, trial, labels) to what `spec`
    has.

    With `etag` (`Study.etag`) it raises Aborted if somebody changed the study since it was read.
    """
    paths = [field if field.startswith("spec.") else f"spec.{field}" for field in fields]
    message = study_pb2.Study(name=str(study_name(name)), spec=spec_to_wire(spec), etag=etag)
    return Call(
        "UpdateStudy", api.UpdateStudyRequest(study=message, update_mask=FieldMask(paths=paths)), study_from_wire
    )


def delete_study(name: AnyStudy, force: bool = False) -> Call[None]:
    """With all its trials. Raises FailedPrecondition while trials run, unless `force`."""
    return Call(
        "DeleteStudy", api.DeleteStudyRequest(name=str(study_name(name)), force=force), _nothing, done_where=NotFound
    )


def pause_study(name: AnyStudy) -> Call[Study]:
    """Starts no more trials; running ones go on."""
    return Call("PauseStudy", api.PauseStudyRequest(name=str(study_name(name))), study_from_wire)


def resume_study(name: AnyStudy) -> Call[Study]:
    """Undoes `pause_study`."""
    return Call("ResumeStudy", api.ResumeStudyRequest(name=str(study_name(name))), study_from_wire)


def stop_study(name: AnyStudy, reason: str = "") -> Call[Study]:
    """Ends a study: waiting trials are cancelled, running ones told to stop."""
    return Call("StopStudy", api.StopStudyRequest(name=str(study_name(name)), reason=reason), study_from_wire)


def best_trials(name: AnyStudy, limit: int = 0) -> Pages[Trial]:
    """By the objective, best first; with several objectives those that no other dominates, by id. `limit` 0: the
    best one, or all that are not dominated."""
    request = api.ListOptimalTrialsRequest(parent=str(study_name(name)), limit=limit)
    return Pages("ListOptimalTrials", request, "trials", trial_from_wire)


def study_progress(name: AnyStudy, *, limit: int = 0, curve_points: int = 0) -> Call[StudyProgress]:
    """How far the trials are that have reported and have not ended: step, value, curve and rank of each.

    At most `limit` of them by id (0: 100, at most 1000), with at most `curve_points` points of each curve (0: 60, the
    most). It is cheap enough to be asked once a second.
    """
    request = api.GetStudyProgressRequest(name=str(study_name(name)), limit=limit, curve_points=curve_points)
    return Call("GetStudyProgress", request, progress_from_wire)


# Trials


def suggest(
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
    on_timeout: OnTimeout = "fallback",
) -> Call[Suggested]:
    """Trials to run: waiting ones first, then new points of the algorithm; at most `count`, with the reason where
    there are fewer.

    `start` begins an attempt of each, held by `client_id`; leased ones end when heartbeats stay away for `lease`
    seconds. `reattach` gives back the client's live trials first. `timeout`: seconds for the computation;
    where they do not suffice, `on_timeout` is "fallback" for quasi-random points, which say so in their provenance, or
    "wait" for DeadlineExceeded.
    """
    if on_timeout not in ON_TIMEOUT:
        raise InvalidArgument("on_timeout", on_timeout, f"must be one of {', '.join(ON_TIMEOUT)}")
    request = api.SuggestTrialsRequest(
        parent=str(study_name(name)),
        count=count,
        client_id=client_id,
        start=start,
        reattach=reattach,
        lease=None if lease is None else duration(lease),
        unleased=not leased,
        request_id=_request_id(request_id),
        on_timeout=ON_TIMEOUT[on_timeout],
    )
    return Call("SuggestTrials", request, _suggested, timeout=timeout)


def create_trial(
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
) -> Call[Trial]:
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
        parent=str(study_name(name)),
        trial=trial,
        measurements=map(measurement_to_wire, measurements),
        request_id=_request_id(request_id),
    )
    return Call("CreateTrial", request, trial_from_wire)


def get_trial(name: AnyTrial) -> Call[Trial]:
    """With all its attempts."""
    return Call("GetTrial", api.GetTrialRequest(name=str(_trial(name))), trial_from_wire)


def attempt_token(name: AnyTrial) -> Call[str]:
    """What the code of the trial's live attempt may call with, for that trial alone. Empty if there is none, or
    if the service asks for no tokens. Secret."""
    return Call("GetTrial", api.GetTrialRequest(name=str(_trial(name)), attempt_token=True), token_of)


def list_trials(
    name: AnyStudy,
    states: Iterable[TrialState] = (),
    labels: Mapping[str, str] | None = None,
    since: float | None = None,
    descending: bool = False,
) -> Pages[Trial]:
    """Trials by id (`descending`: newest first), filtered as `list_studies` filters. Pages are fetched as they are
    needed."""
    request = api.ListTrialsRequest(
        parent=str(study_name(name)),
        page_size=PAGE,
        states=[TRIAL_STATES.to_wire(s) for s in states],
        labels=labels or {},
        since=None if since is None else timestamp(since),
        descending=descending,
    )
    return Pages("ListTrials", request, "trials", trial_from_wire)


def delete_trial(name: AnyTrial) -> Call[None]:
    """Raises FailedPrecondition while it is live. Its id is not given again."""
    return Call("DeleteTrial", api.DeleteTrialRequest(name=str(_trial(name))), _nothing, done_where=NotFound)


def measurements(name: AnyTrial) -> Pages[Measurement]:
    """By step; where attempts overlap, the later attempt's value at a step."""
    request = api.ListMeasurementsRequest(parent=str(_trial(name)), page_size=MEASUREMENTS_PAGE)
    return Pages("ListMeasurements", request, "measurements", lambda m: measurement_from_wire(m, 0.0))


def stop_trial(name: AnyTrial, reason: str = "") -> Call[Trial]:
    """Tells a trial to end early; its measurements count."""
    return Call("StopTrial", api.StopTrialRequest(name=str(_trial(name)), reason=reason), trial_from_wire)


def cancel_trial(name: AnyTrial, reason: str = "") -> Call[Trial]:
    """Gives a trial up; it does not count."""
    return Call("CancelTrial", api.CancelTrialRequest(name=str(_trial(name)), reason=reason), trial_from_wire)


def retry_trial(name: AnyTrial) -> Call[Trial]:
    """Requests a FAILED trial again; a study that has ended goes on for it."""
    return Call("RetryTrial", api.RetryTrialRequest(name=str(_trial(name))), trial_from_wire)


# Attempts: `attempt` is the number of the trial's current one; StaleAttempt is raised if it no longer is


def start_attempt(
    trial: AnyTrial,
    *,
    client_id: str,
    lease: float | None = None,
    leased: bool = True,
    request_id: str | None = None,
) -> Call[Trial]:
    """Starts the next attempt of a REQUESTED trial; its number is `trial.attempt.number` of the answer.

    Leased ones end when heartbeats stay away for `lease` seconds. Raises IllegalMove if the trial is not
    REQUESTED, FailedPrecondition if the study is full, paused or ended.
    """
    request = api.StartAttemptRequest(
        name=str(_trial(trial)),
        client_id=client_id,
        lease=None if lease is None else duration(lease),
        unleased=not leased,
        request_id=_request_id(request_id),
    )
    return Call("StartAttempt", request, lambda answer: trial_from_wire(answer.trial))


def add_parameter(trial: AnyTrial, attempt: int, parameter: Parameter, *, asked: Iterable[str] = ()) -> Call[Trial]:
    """Names a parameter of a growing space; the trial then has a value for it that lies in this definition. `asked`:
    what the code has asked for before, in that order. Raises InvalidArgument if the definition cannot be joined with
    that of other trials, FailedPrecondition if the study's space is declared."""
    request = api.AddParameterRequest(
        name=str(_trial(trial)),
        attempt=attempt,
        parameter=parameter_to_wire(parameter),
        asked=trial_pb2.ParameterNames(names=asked),
    )
    return Call("AddParameter", request, trial_from_wire)


def heartbeat(
    trial: AnyTrial,
    attempt: int,
    *,
    state: AttemptState | None = None,
    message: str = "",
    node: str = "",
    devices: Sequence[str] = (),
    gpus: float = 0.0,
    log_path: str = "",
    run_time: float | None = None,
) -> Call[Instruction]:
    """Keeps the attempt's lease and says what was seen; empty parts change nothing. `run_time`: when it began to run,
    in Unix seconds, with the state RUNNING; without it, since now."""
    request = api.HeartbeatRequest(
        name=str(_trial(trial)),
        attempt=attempt,
        state=ATTEMPT_STATES.to_wire(state),
        message=message,
        node=node,
        devices=devices,
        gpus=gpus,
        log_path=log_path,
        run_time=None if run_time is None else timestamp(run_time),
    )
    return Call("Heartbeat", request, lambda answer: instruction_from_wire(answer.instruction))


def report(
    trial: AnyTrial, attempt: int, measurements: Iterable[Measurement], infeasible: str = ""
) -> Call[Instruction]:
    """Stores measurements, at most 10,000 values in all; a repeat at a step replaces. `infeasible`: why the
    parameters cannot be evaluated; however the attempt then ends, the trial becomes INFEASIBLE."""
    request = api.ReportMeasurementsRequest(
        name=str(_trial(trial)),
        attempt=attempt,
        measurements=map(measurement_to_wire, measurements),
        infeasible=infeasible,
    )
    return Call("ReportMeasurements", request, lambda answer: instruction_from_wire(answer.instruction))


def end_attempt(
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
    asked: Iterable[str] | None = None,
) -> Call[Trial]:
    """Ends the attempt; the service decides what becomes of the trial. Harmless to repeat with the same outcome,
    FailedPrecondition with another. `asked`: in a growing space, what the code asked for, in that order; other proposed
    values are dropped. None: nobody knows."""
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
        asked=None if asked is None else trial_pb2.ParameterNames(names=asked),
    )
    return Call("EndAttempt", request, trial_from_wire)


# Metadata and watching


def update_metadata(
    name: StudyName | TrialName | str,
    set: Mapping[str, str] | None = None,  # noqa: A002 - the word of the API
    remove: Iterable[str] = (),
) -> Call[dict[str, str]]:
    """Sets and removes metadata of a study or a trial (a string is a trial's where it ends with `/{number}`);
    returns all of it."""
    request = api.UpdateMetadataRequest(name=str(_either(name)), set=set or {}, remove=remove)
    return Call("UpdateMetadata", request, lambda answer: dict(answer.metadata))


def study_name(name: AnyStudy) -> StudyName:
    return parse_study(name) if isinstance(name, str) else name


def _trial(name: AnyTrial) -> TrialName:
    return parse_trial(name) if isinstance(name, str) else name


def _either(name: StudyName | TrialName | str) -> StudyName | TrialName:
    if not isinstance(name, str):
        return name
    return parse_trial(name) if "/" in name and name.rpartition("/")[2].isdigit() else parse_study(name)


def _request_id(given: str | None) -> str:
    return uuid.uuid4().hex if given is None else given


def _nothing(answer: object) -> None:
    """Of a call that answers with an empty message."""


def _suggested(answer: api.SuggestTrialsResponse) -> Suggested:
    return Suggested(
        tuple(map(trial_from_wire, answer.trials)),
        SHORTAGES.from_wire(answer.shortage, "shortage"),
        STUDY_STATES.required(answer.study_state, "study_state"),
        END_REASONS.from_wire(answer.end_reason, "end_reason"),
        {parse_trial(t.name).id: token for t in answer.trials if (token := token_of(t))},
    )
