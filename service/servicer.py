"""The gRPC face of the service: each method decodes, calls once, and encodes. Errors go on to the interceptor."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Collection, Container, Sized
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.protobuf import empty_pb2

from ..domain.access import EVERY_OWNER
from ..domain.audit import AuditFilter
from ..domain.errors import InvalidArgument
from ..domain.names import (
    StudyName,
    TrialName,
    check_id,
    parse_owner,
    parse_owners,
    parse_resource,
    parse_study,
    parse_trial,
)
from ..domain.space import MAX_PARAMETERS
from ..domain.totals import MAX_DEVICES, MAX_METADATA_KEYS, MAX_METRICS, check_count
from ..domain.trial import Measurement, Trial, TrialState
from ..proto.v1 import progress_pb2, study_pb2, study_service_pb2_grpc, trial_pb2
from ..proto.v1 import study_service_pb2 as api
from ..storage.store import StudyFilter, TrialFilter
from ..wire.audit import OUTCOMES, audit_record_to_wire
from ..wire.progress import progress_to_wire
from ..wire.scalars import seconds_of
from ..wire.space import parameter_from_wire
from ..wire.study import END_REASONS, SHORTAGES, STUDY_STATES, study_to_wire
from ..wire.trial import (
    ATTEMPT_STATES,
    CAUSES,
    TRIAL_STATES,
    instruction_to_wire,
    measurement_from_wire,
    measurement_to_wire,
    parameters_from_wire,
    trial_to_wire,
)
from .attempts import End, Sight
from .handing_out import Ask
from .pages import frames, page, token_of
from .requests import Request
from .security.attempt_tokens import AttemptTokens
from .service import Service, check_limit, lease_of
from .specs import SpecReader
from .trials import Enqueued

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

C = TypeVar("C", bound=Sized)
MAX_FILTERS = 100
MAX_PAGE = 1_000
MAX_STEPS_PAGE = 10_000
ON_EXISTING = frozenset(api.OnExisting.values())
ON_TIMEOUT = frozenset(api.OnTimeout.values())


class StudyServicer(study_service_pb2_grpc.StudyServiceServicer):
    def __init__(self, service: Service, attempt_tokens: AttemptTokens | None = None) -> None:
        """With `attempt_tokens`, attempts that are handed out come with theirs."""
        self._service = service
        self._attempt_tokens = attempt_tokens
        self._specs = SpecReader()

    async def CreateStudy(self, request: api.CreateStudyRequest, context: Context) -> study_pb2.Study:
        owner = parse_owner(request.parent)
        name = StudyName(owner, check_id("study", request.study_id))
        study = await self._service.create_study(
            name,
            await self._specs.read(owner, request.study.spec),
            dict(request.study.metadata),
            _identity(owner, request),
            resume=_known("on_existing", request.on_existing, ON_EXISTING) == api.ON_EXISTING_RESUME,
            validate_only=request.validate_only,
        )
        return study_to_wire(study)

    async def GetStudy(self, request: api.GetStudyRequest, context: Context) -> study_pb2.Study:
        return study_to_wire(await self._service.study(parse_study(request.name)))

    async def ListStudies(self, request: api.ListStudiesRequest, context: Context) -> api.ListStudiesResponse:
        owner = parse_owner(request.parent)
        limit = check_limit("page_size", request.page_size, 100, MAX_PAGE)
        where = StudyFilter(
            frozenset(STUDY_STATES.required(s, "states") for s in _few("states", request.states)),
            dict(_few("labels", request.labels)),
            seconds_of(request.since) if request.HasField("since") else None,
        )
        if request.page_token and not request.page_token.startswith(f"{owner}/"):
            raise InvalidArgument("page_token", request.page_token, "is of another list", "Start from the first page")
        found = await self._service.studies(owner, where, request.page_token, limit)
        studies, more = page(found, study_to_wire)
        token = token_of(found.items[len(studies) - 1]) if more else ""
        return api.ListStudiesResponse(studies=studies, next_page_token=token)

    async def UpdateStudy(self, request: api.UpdateStudyRequest, context: Context) -> study_pb2.Study:
        name = parse_study(request.study.name, "study.name")
        paths = list(_few("update_mask", request.update_mask.paths))
        study = await self._service.study(name)
        spec = await self._specs.read(name.owner, request.study.spec, study.spec, paths)
        return study_to_wire(await self._service.update_study(name, spec, paths, request.study.etag))

    async def DeleteStudy(self, request: api.DeleteStudyRequest, context: Context) -> empty_pb2.Empty:
        await self._service.delete_study(parse_study(request.name), request.force)
        return empty_pb2.Empty()

    async def PauseStudy(self, request: api.PauseStudyRequest, context: Context) -> study_pb2.Study:
        return study_to_wire(await self._service.pause_study(parse_study(request.name)))

    async def ResumeStudy(self, request: api.ResumeStudyRequest, context: Context) -> study_pb2.Study:
        return study_to_wire(await self._service.resume_study(parse_study(request.name)))

    async def StopStudy(self, request: api.StopStudyRequest, context: Context) -> study_pb2.Study:
        return study_to_wire(await self._service.stop_study(parse_study(request.name), _reason(request.reason)))

    async def ListOptimalTrials(
        self, request: api.ListOptimalTrialsRequest, context: Context
    ) -> api.ListOptimalTrialsResponse:
        skip = _number(request.page_token)
        found = await self._service.optimal_trials(parse_study(request.parent, "parent"), request.limit, skip)
        trials, more = page(found, trial_to_wire)
        token = str(skip + len(trials)) if more else ""
        return api.ListOptimalTrialsResponse(trials=trials, next_page_token=token)

    async def GetStudyProgress(
        self, request: api.GetStudyProgressRequest, context: Context
    ) -> progress_pb2.StudyProgress:
        found = await self._service.progress(parse_study(request.name), request.limit, request.curve_points)
        return progress_to_wire(found)

    async def SuggestTrials(self, request: api.SuggestTrialsRequest, context: Context) -> api.SuggestTrialsResponse:
        name = parse_study(request.parent, "parent")
        settings = self._service.settings
        lease = lease_of(settings, seconds_of(request.lease) if request.HasField("lease") else None, request.unleased)
        ask = Ask(
            name,
            request.count or 1,
            request.client_id,
            start=request.start,
            reattach=request.reattach,
            lease=lease,
            request=_identity(name.owner, request),
            fallback=_known("on_timeout", request.on_timeout, ON_TIMEOUT) != api.ON_TIMEOUT_WAIT,
        )

        remaining = context.time_remaining()
        answer = await self._service.suggest(ask, settings.default_deadline if remaining is None else remaining)
        return api.SuggestTrialsResponse(
            trials=[self._with_token(answer.study.uid, trial) for trial in answer.trials],
            shortage=SHORTAGES.to_wire(answer.shortage),
            study_state=STUDY_STATES.to_wire(answer.study.state),
            end_reason=END_REASONS.to_wire(answer.study.ending),
        )

    async def CreateTrial(self, request: api.CreateTrialRequest, context: Context) -> trial_pb2.Trial:
        name = parse_study(request.parent, "parent")
        trial = request.trial
        check_count("trial.parameters", len(trial.parameters), MAX_PARAMETERS)
        given = Enqueued(
            parameters_from_wire(trial),
            dict(trial.labels),
            dict(trial.metadata),
            state=TRIAL_STATES.from_wire(trial.state, "trial.state") or TrialState.REQUESTED,
            final=dict(trial.final_metrics),
            measurements=_measurements(request.measurements),
            start_time=seconds_of(trial.start_time) if trial.HasField("start_time") else None,
            end_time=seconds_of(trial.end_time) if trial.HasField("end_time") else None,
            reason=_reason(trial.state_reason),
        )
        return trial_to_wire(await self._service.create_trial(name, given, _identity(name.owner, request)))

    async def GetTrial(self, request: api.GetTrialRequest, context: Context) -> trial_pb2.Trial:
        name = parse_trial(request.name)
        trial = await self._service.trial(name)
        if not request.attempt_token:
            return trial_to_wire(trial)
        return self._with_token((await self._service.study(name.parent)).uid, trial)

    async def ListTrials(self, request: api.ListTrialsRequest, context: Context) -> api.ListTrialsResponse:
        limit = check_limit("page_size", request.page_size, 100, MAX_PAGE)
        where = TrialFilter(
            frozenset(TRIAL_STATES.required(s, "states") for s in _few("states", request.states)),
            dict(_few("labels", request.labels)),
            seconds_of(request.since) if request.HasField("since") else None,
        )
        found = await self._service.trials(
            parse_study(request.parent, "parent"),
            where,
            _number(request.page_token),
            limit,
            request.descending,
        )
        trials, more = page(found, trial_to_wire)
        token = str(found.items[len(trials) - 1].id) if more else ""
        return api.ListTrialsResponse(trials=trials, next_page_token=token)

    async def DeleteTrial(self, request: api.DeleteTrialRequest, context: Context) -> empty_pb2.Empty:
        await self._service.delete_trial(parse_trial(request.name))
        return empty_pb2.Empty()

    async def ListMeasurements(
        self, request: api.ListMeasurementsRequest, context: Context
    ) -> api.ListMeasurementsResponse:
        limit = check_limit("page_size", request.page_size, 1_000, MAX_STEPS_PAGE)
        # Steps begin at 0, so the token is the step that the next page begins with.
        start = _number(request.page_token)
        found = await self._service.curve(parse_trial(request.parent, "parent"), start - 1, limit)
        measurements, more = page(found, measurement_to_wire)
        token = str(measurements[-1].step + 1) if more else ""
        return api.ListMeasurementsResponse(measurements=measurements, next_page_token=token)

    async def AddParameter(self, request: api.AddParameterRequest, context: Context) -> trial_pb2.Trial:
        parameter = parameter_from_wire(request.parameter)
        check_count("asked", len(request.asked.names), MAX_PARAMETERS)
        asked = tuple(request.asked.names)
        return trial_to_wire(await self._service.add_parameter(*_attempt(request), parameter, asked))

    async def StartAttempt(self, request: api.StartAttemptRequest, context: Context) -> api.StartAttemptResponse:
        name = parse_trial(request.name)
        lease = lease_of(
            self._service.settings,
            seconds_of(request.lease) if request.HasField("lease") else None,
            request.unleased,
        )
        started = await self._service.start_attempt(name, request.client_id, lease, _identity(name.owner, request))
        return api.StartAttemptResponse(trial=self._with_token(started.study_uid, started.trial))

    async def Heartbeat(self, request: api.HeartbeatRequest, context: Context) -> api.HeartbeatResponse:
        check_count("devices", len(request.devices), MAX_DEVICES)
        sight = Sight(
            ATTEMPT_STATES.from_wire(request.state, "state"),
            request.message,
            request.node,
            devices=tuple(request.devices),
            gpus=request.gpus,
            log_path=request.log_path,
            run_time=seconds_of(request.run_time) if request.HasField("run_time") else None,
        )
        instruction = await self._service.heartbeat(*_attempt(request), sight)
        return api.HeartbeatResponse(instruction=instruction_to_wire(instruction))

    async def ReportMeasurements(
        self, request: api.ReportMeasurementsRequest, context: Context
    ) -> api.ReportMeasurementsResponse:
        instruction = await self._service.report(
            *_attempt(request), _measurements(request.measurements), request.infeasible
        )
        return api.ReportMeasurementsResponse(instruction=instruction_to_wire(instruction))

    async def EndAttempt(self, request: api.EndAttemptRequest, context: Context) -> trial_pb2.Trial:
        check_count("asked", len(request.asked.names), MAX_PARAMETERS)
        how = End(
            CAUSES.required(request.cause, "cause"),
            dict(request.final_metrics),
            _measurements(request.measurements),
            message=request.message,
            exit_code=request.exit_code if request.HasField("exit_code") else None,
            log_tail=request.log_tail,
            time=seconds_of(request.end_time) if request.HasField("end_time") else None,
            asked=tuple(request.asked.names) if request.HasField("asked") else None,
        )
        return trial_to_wire(await self._service.end_attempt(*_attempt(request), how))

    async def StopTrial(self, request: api.StopTrialRequest, context: Context) -> trial_pb2.Trial:
        return trial_to_wire(await self._service.stop_trial(parse_trial(request.name), _reason(request.reason)))

    async def CancelTrial(self, request: api.CancelTrialRequest, context: Context) -> trial_pb2.Trial:
        return trial_to_wire(await self._service.cancel_trial(parse_trial(request.name), _reason(request.reason)))

    async def RetryTrial(self, request: api.RetryTrialRequest, context: Context) -> trial_pb2.Trial:
        return trial_to_wire(await self._service.retry_trial(parse_trial(request.name)))

    async def UpdateMetadata(self, request: api.UpdateMetadataRequest, context: Context) -> api.UpdateMetadataResponse:
        name = parse_resource(request.name)
        check_count("remove", len(request.remove), MAX_METADATA_KEYS)
        metadata = await self._service.update_metadata(name, dict(request.set), list(request.remove))
        return api.UpdateMetadataResponse(metadata=metadata)

    async def ListAuditRecords(
        self, request: api.ListAuditRecordsRequest, context: Context
    ) -> api.ListAuditRecordsResponse:
        owner = parse_owners(request.parent)
        limit = check_limit("page_size", request.page_size, 100, MAX_PAGE)
        where = AuditFilter(
            owner="" if owner == EVERY_OWNER else owner,
            study=parse_study(request.study, "study") if request.study else None,
            caller=_printable("caller", request.caller),
            method=_printable("method", request.method),
            outcomes=frozenset(OUTCOMES.required(o, "outcomes") for o in _few("outcomes", request.outcomes)),
            since=seconds_of(request.since) if request.HasField("since") else None,
        )
        page = await self._service.audit_records(where, _audit_id(request.page_token), limit)
        return api.ListAuditRecordsResponse(
            audit_records=map(audit_record_to_wire, page.records), next_page_token=page.before
        )

    async def WatchStudies(
        self, request: api.WatchStudiesRequest, context: Context
    ) -> AsyncIterator[api.WatchStudiesResponse]:
        async for changed, gone in self._service.watch_studies(parse_owner(request.parent)):
            deleted = list(map(str, gone))
            for studies in frames(map(study_to_wire, changed)):
                yield api.WatchStudiesResponse(studies=studies, deleted=deleted)
                deleted = []

    async def WatchTrials(
        self, request: api.WatchTrialsRequest, context: Context
    ) -> AsyncIterator[api.WatchTrialsResponse]:
        name = parse_study(request.parent, "parent")
        since = request.since
        async for changes in self._service.watch_trials(name, since):
            study, deleted = study_to_wire(changes.study), changes.deleted
            *earlier, last = frames(map(trial_to_wire, changes.trials))
            for trials in earlier:
                # Whoever breaks off here has not heard all of these changes, and is to hear them again.
                yield api.WatchTrialsResponse(study=study, trials=trials, deleted=deleted, revision=since)
                deleted = []
            since = changes.revision
            yield api.WatchTrialsResponse(study=study, trials=last, deleted=deleted, revision=since)

    def _with_token(self, study_uid: str, trial: Trial) -> trial_pb2.Trial:
        message = trial_to_wire(trial)
        if self._attempt_tokens is not None and (token := self._attempt_tokens.token(study_uid, trial)):
            message.attempts[-1].token = token
        return message


def _identity(
    owner: str,
    request: api.CreateStudyRequest | api.SuggestTrialsRequest | api.CreateTrialRequest | api.StartAttemptRequest,
) -> Request:
    """The call's identity: its id, and a digest of all it asks."""
    request_id: str = request.request_id
    if not request_id:
        return Request(owner, request.DESCRIPTOR.name)
    payload = hashlib.blake2b(request.SerializeToString(deterministic=True), digest_size=16).hexdigest()
    return Request(owner, request.DESCRIPTOR.name, request_id, payload)


def _known(field: str, number: int, known: Container[int]) -> int:
    """`number` itself, of an enum that only the API has. Raises InvalidArgument where this server does not know it: a
    newer client means something by it."""
    if number not in known:
        raise InvalidArgument(field, number, "is an enum value that this version does not know", "Upgrade the server")
    return number


def _attempt(
    request: api.HeartbeatRequest | api.ReportMeasurementsRequest | api.EndAttemptRequest | api.AddParameterRequest,
) -> tuple[TrialName, int]:
    if request.attempt < 1:
        raise InvalidArgument("attempt", request.attempt, "must be the number of an attempt, 1 or more")
    return parse_trial(request.name), request.attempt


def _measurements(messages: Collection[trial_pb2.Measurement]) -> list[Measurement]:
    # Each has a metric, or is refused.
    check_count("measurements", len(messages), MAX_METRICS)
    now = time.time()
    return [measurement_from_wire(m, now) for m in messages]


def _few(field: str, items: C) -> C:
    """The items of a filter or a mask, if nobody could mean more. Raises InvalidArgument."""
    check_count(field, len(items), MAX_FILTERS)
    return items


def _reason(text: str) -> str:
    if len(text) > 1_000:
        raise InvalidArgument("reason", text[:40] + "...", "may have at most 1000 characters")
    if "\0" in text:
        raise InvalidArgument("reason", text[:40], "may not contain the character NUL, which databases cannot keep")
    return text


def _printable(field: str, text: str) -> str:
    if len(text) > 256 or not text.isprintable():
        raise InvalidArgument(field, text[:40], "may have at most 256 printable characters")
    return text


def _audit_id(page_token: str) -> str:
    if page_token and not (len(page_token) <= 40 and page_token.isascii() and page_token.isalnum()):
        raise InvalidArgument("page_token", page_token, "was not given by this list", "Start from the first page")
    return page_token


def _number(page_token: str) -> int:
    if not page_token:
        return 0
    if not page_token.isascii() or not page_token.isdigit() or len(page_token) > 18:
        raise InvalidArgument("page_token", page_token, "was not given by this list", "Start from the first page")
    return int(page_token)
