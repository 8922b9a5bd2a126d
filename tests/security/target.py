"""A service with studies and trials in every state that a call may meet, and a good request for each of its calls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import grpc
from google.protobuf import field_mask_pb2

from wazir.clients.client import Client
from wazir.domain.attempt import Cause
from wazir.domain.errors import NotFound
from wazir.domain.metric import SafetyMetric
from wazir.domain.space import Categorical, Condition, Discrete, Double, Integer, Parameter, Scale, Space
from wazir.domain.study import Algorithm, Budget, Stopping
from wazir.domain.template import TrialTemplate
from wazir.domain.trial import Measurement
from wazir.proto.v1 import audit_pb2, study_pb2, study_service_pb2, trial_pb2
from wazir.proto.v1 import study_service_pb2 as api
from wazir.service.security.limits import LimitSettings, Rate
from wazir.storage.store import StudyFilter, TrialFilter, View
from wazir.wire.scalars import duration, timestamp, value_to_wire
from wazir.wire.space import parameter_to_wire
from wazir.wire.study import spec_to_wire

from .serving import SETTINGS, SPEC, Served

SERVICE = study_service_pb2.DESCRIPTOR.services_by_name["StudyService"]
METHODS = {method.name: method for method in SERVICE.methods}
STREAMS = {name for name, method in METHODS.items() if method.server_streaming}

REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""What a caller is to blame for."""

UNHEARD_OF = Rate(1e9, 1e9)
UNLIMITED = replace(
    SETTINGS, token_max_age=60.0, limits=LimitSettings(UNHEARD_OF, UNHEARD_OF, 10**6, UNHEARD_OF), duty_interval=3600.0
)
"""Nothing happens by itself either: a lease that ends would change the store while a refusal is looked at."""


SPACE = Space(
    (
        Parameter("lr", Double(1e-5, 0.1, Scale.LOG), default=1e-3),
        Parameter("layers", Integer(0, 8, step=2)),
        Parameter("batch", Discrete((16, 32, 64))),
        Parameter("opt", Categorical(("sgd", "adam"))),
        Parameter("momentum", Double(0.5, 0.99), when=(Condition("opt", ("sgd",)),)),
    ),
    ("batch * layers <= 512",),
)
WHOLE = spec_to_wire(
    replace(
        SPEC,
        space=SPACE,
        safety=(SafetyMetric("latency", at_most=5.0),),
        stopping=Stopping("median", {"min": 5}),
        budget=Budget(trials=200, parallel=8, failed=10, duration=3_600.0, gpu_hours=4.0),
        trial=TrialTemplate(command=("python", "train.py", "${args}"), env={"DATA": "/data"}, workdir="/tmp"),
        labels={"team": "vision"},
    )
)
"""A specification with something everywhere."""

TIME, HOUR = timestamp(1_700_000_000.5), duration(3_600.0)
CURVE = [trial_pb2.Measurement(step=step, metrics={"loss": 0.5}, time=TIME) for step in (1, 2)]
STUDY, TRIAL = "owners/default/studies/s", "owners/default/studies/s/trials/4"
GOOD: dict[str, Any] = {
    "AddParameter": api.AddParameterRequest(
        name="g/1", attempt=1, parameter=parameter_to_wire(Parameter("y", Double(0.1, 1.0, Scale.LOG), default=0.5))
    ),
    "CancelTrial": api.CancelTrialRequest(name=TRIAL, reason="enough"),
    "CreateStudy": api.CreateStudyRequest(
        parent="owners/default", study_id="new", study=study_pb2.Study(spec=WHOLE, metadata={"a": "b"}), request_id="r"
    ),
    "CreateTrial": api.CreateTrialRequest(
        parent=STUDY,
        trial=trial_pb2.Trial(
            parameters={"x": value_to_wire(0.25)},
            state=trial_pb2.TRIAL_STATE_SUCCEEDED,
            final_metrics={"loss": 0.5},
            start_time=TIME,
            end_time=TIME,
            labels={"team": "vision"},
            metadata={"a": "b"},
        ),
        measurements=CURVE,
        request_id="t",
    ),
    "DeleteStudy": api.DeleteStudyRequest(name=STUDY, force=True),
    "DeleteTrial": api.DeleteTrialRequest(name="s/1"),
    "EndAttempt": api.EndAttemptRequest(
        name=TRIAL,
        attempt=1,
        cause=trial_pb2.CAUSE_SUCCEEDED,
        final_metrics={"loss": 0.5},
        measurements=CURVE,
        message="done",
        exit_code=0,
        log_tail="bye",
        end_time=TIME,
    ),
    "GetStudy": api.GetStudyRequest(name=STUDY),
    "GetStudyProgress": api.GetStudyProgressRequest(name=STUDY, limit=10, curve_points=10),
    "GetTrial": api.GetTrialRequest(name=TRIAL, attempt_token=True),
    "Heartbeat": api.HeartbeatRequest(
        name=TRIAL,
        attempt=1,
        state=trial_pb2.ATTEMPT_STATE_RUNNING,
        message="on its way",
        node="n1",
        devices=["0"],
        gpus=1.0,
        log_path="/log",
    ),
    "ListAuditRecords": api.ListAuditRecordsRequest(
        parent="owners/default", page_size=10, method="PauseStudy", outcomes=[audit_pb2.CALL_OUTCOME_DONE]
    ),
    "ListMeasurements": api.ListMeasurementsRequest(parent=TRIAL, page_size=10, page_token="0"),
    "ListOptimalTrials": api.ListOptimalTrialsRequest(parent=STUDY, limit=3),
    "ListStudies": api.ListStudiesRequest(
        parent="owners/default",
        page_size=10,
        page_token="default/a",
        states=[study_pb2.STUDY_STATE_ACTIVE],
        labels={"team": "vision"},
        since=TIME,
    ),
    "ListTrials": api.ListTrialsRequest(
        parent=STUDY,
        page_size=2,
        page_token="1",
        states=[trial_pb2.TRIAL_STATE_ACTIVE],
        labels={"team": "vision"},
        since=TIME,
    ),
    "PauseStudy": api.PauseStudyRequest(name=STUDY),
    "ReportMeasurements": api.ReportMeasurementsRequest(name=TRIAL, attempt=1, measurements=CURVE, infeasible=""),
    "ResumeStudy": api.ResumeStudyRequest(name=STUDY),
    "RetryTrial": api.RetryTrialRequest(name="s/2"),
    "StartAttempt": api.StartAttemptRequest(name="s/5", client_id="w", lease=HOUR, request_id="u"),
    "StopStudy": api.StopStudyRequest(name=STUDY, reason="enough"),
    "StopTrial": api.StopTrialRequest(name=TRIAL, reason="enough"),
    "SuggestTrials": api.SuggestTrialsRequest(
        parent=STUDY, count=2, client_id="w", start=True, reattach=True, lease=HOUR, request_id="v"
    ),
    "UpdateMetadata": api.UpdateMetadataRequest(name=TRIAL, set={"a": "b"}, remove=["c"]),
    "UpdateStudy": api.UpdateStudyRequest(
        study=study_pb2.Study(name=STUDY, spec=WHOLE),
        update_mask=field_mask_pb2.FieldMask(paths=["spec.budget", "spec.stopping", "spec.trial", "spec.labels"]),
    ),
    "WatchStudies": api.WatchStudiesRequest(parent="owners/default"),
    "WatchTrials": api.WatchTrialsRequest(parent=STUDY, since=1),
}
"""For each call a request that uses all of it."""


class Target:
    """A service with studies and trials in every state that a call may meet, and a way to send it anything."""

    def __init__(self, served: Served, kind: str) -> None:
        self._served = served
        self.token = served.token()
        self._client = Client(served.address, token=self.token, retry_for=0)
        self._channel: Any = grpc.insecure_channel(served.address)
        self._metadata = (("authorization", f"Bearer {self.token}"),)
        self.kind = kind

    def close(self) -> None:
        self._client.close()
        self._channel.close()

    def prepare(self) -> None:
        """Makes what is missing, or was deleted by the call before."""
        client = self._client
        try:
            client.get_study("s")
            client.get_study("g")
            client.get_trial("s/5")
        except NotFound:
            for name in ("s", "g"):
                try:
                    client.delete_study(name, force=True)
                except NotFound:
                    continue
            client.create_study("s", SPEC)
            client.create_study("g", replace(SPEC, space=None, algorithm=Algorithm("random")))
            for trial in client.suggest("s", 4, client_id="w", start=True).trials:
                client.report(trial.name, 1, [Measurement(1, {"loss": 0.5}, 0.0)])
            client.end_attempt("s/1", 1, Cause.SUCCEEDED, final={"loss": 0.5})
            client.end_attempt("s/2", 1, Cause.CODE_FAILED)
            client.stop_trial("s/3")
            client.suggest("s", 2)
            client.suggest("g", 1, client_id="w", start=True)

    def state(self) -> str:
        """All that is kept, as text, because NaN is not equal to itself."""

        def look(view: View) -> list[object]:
            found: list[object] = []
            for study in view.studies("", StudyFilter(), "", 1_000):
                found += [study, view.trials(study, TrialFilter(), 0, 10_000), view.points(study, 0)]
            return found

        return repr(self._served.store.read(look))

    def send(self, method: str, request: bytes, timeout: float = 30.0) -> grpc.RpcError | None:
        """The call; of a stream, the first answer."""
        path = f"/{SERVICE.full_name}/{method}"
        try:
            if method in STREAMS:
                call: Any = self._channel.unary_stream(path)(request, timeout=timeout, metadata=self._metadata)
                next(call, None)
                call.cancel()
            else:
                self._channel.unary_unary(path)(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            return error
        return None
