"""Studies and their specifications on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.message import Message

from ..domain.algorithm_status import AlgorithmStatus
from ..domain.attempt import RetryPolicy
from ..domain.document import pod_document, pod_from_document
from ..domain.metric import Goal, Objective, Pick, SafetyMetric
from ..domain.names import parse_study
from ..domain.study import (
    Algorithm,
    Budget,
    Counts,
    EndReason,
    Shortage,
    Stopping,
    Study,
    StudySpec,
    StudyState,
    Thinning,
)
from ..domain.template import MetricsFrom, MetricsSource, Resources, Runtime, TrialTemplate
from ..domain.trial import TrialState
from ..proto.v1 import study_pb2, study_service_pb2, types_pb2
from .scalars import EnumTable, duration, seconds_of, settings_from_wire, settings_to_wire, timestamp
from .space import space_from_wire, space_to_wire

GOALS = EnumTable(Goal, "GOAL", types_pb2.Goal.Value)
PICKS = EnumTable(Pick, "PICK", types_pb2.Pick.Value, default=Pick.LAST)
RUNTIMES = EnumTable(Runtime, "RUNTIME", types_pb2.Runtime.Value)
METRICS_FROM = EnumTable(MetricsFrom, "METRICS_FROM", types_pb2.MetricsFrom.Value, default=MetricsFrom.PUSH)
STUDY_STATES = EnumTable(StudyState, "STUDY_STATE", study_pb2.StudyState.Value)
END_REASONS = EnumTable(EndReason, "END_REASON", study_pb2.EndReason.Value)
SHORTAGES = EnumTable(Shortage, "SHORTAGE", study_service_pb2.Shortage.Value)


def study_to_wire(study: Study) -> study_pb2.Study:
    message = study_pb2.Study(
        name=str(study.name),
        uid=study.uid,
        spec=spec_to_wire(study.spec),
        state=STUDY_STATES.to_wire(study.state),
        end_reason=END_REASONS.to_wire(study.ending),
        state_reason=study.reason,
        create_time=timestamp(study.create_time),
        counts=study_pb2.TrialCounts(**{s.value: n for s, n in study.counts.by_state.items()}),
        gpu_seconds=study.gpu_seconds,
        seed=study.seed,
        etag=study.etag,
        revision=study.revision,
        metadata=study.metadata,
        growing=study.growing,
        algorithm_status=_status_to_wire(study.algorithm_status),
    )
    if study.end_time is not None:
        message.end_time.CopyFrom(timestamp(study.end_time))
    if study.thinning is not None:
        message.thinning.points = study.thinning.points
        if study.thinning.time is not None:
            message.thinning.time.CopyFrom(timestamp(study.thinning.time))
    return message


def study_from_wire(message: study_pb2.Study) -> Study:
    """As a client sees it: the service's own bookkeeping (rounds, memo, next id, versions) is not on the wire."""
    counts = {state: getattr(message.counts, state.value) for state in TrialState}
    return Study(
        name=parse_study(message.name),
        uid=message.uid,
        spec=spec_from_wire(message.spec),
        state=STUDY_STATES.required(message.state, "state"),
        create_time=seconds_of(message.create_time),
        seed=message.seed,
        ending=END_REASONS.from_wire(message.end_reason, "end_reason"),
        reason=message.state_reason,
        end_time=seconds_of(message.end_time) if message.HasField("end_time") else None,
        counts=Counts({state: n for state, n in counts.items() if n}),
        gpu_seconds=message.gpu_seconds,
        revision=message.revision,
        metadata=dict(message.metadata),
        growing=message.growing,
        algorithm_status=_status_from_wire(message.algorithm_status),
        thinning=_thinning_from_wire(message.thinning) if message.HasField("thinning") else None,
    )


def _thinning_from_wire(message: study_pb2.Thinning) -> Thinning:
    return Thinning(message.points, seconds_of(message.time) if message.HasField("time") else None)


def _status_to_wire(status: AlgorithmStatus) -> study_pb2.AlgorithmStatus:
    return study_pb2.AlgorithmStatus(
        chosen=status.chosen,
        chosen_because=status.chosen_because,
        stand_ins=status.stand_ins,
        stand_in_reason=status.stand_in_reason,
        failed_rounds=status.failed_rounds,
    )


def _status_from_wire(message: study_pb2.AlgorithmStatus) -> AlgorithmStatus:
    return AlgorithmStatus(
        chosen=message.chosen,
        chosen_because=message.chosen_because,
        stand_ins=message.stand_ins,
        stand_in_reason=message.stand_in_reason,
        failed_rounds=message.failed_rounds,
    )


def spec_to_wire(spec: StudySpec) -> study_pb2.StudySpec:
    budget = spec.budget
    return study_pb2.StudySpec(
        objectives=[
            types_pb2.Objective(
                metric=o.metric, goal=GOALS.to_wire(o.goal), target=o.target, pick=PICKS.to_wire(o.pick)
            )
            for o in spec.objectives
        ],
        safety=[types_pb2.SafetyMetric(metric=s.metric, at_least=s.at_least, at_most=s.at_most) for s in spec.safety],
        space=None if spec.space is None else space_to_wire(spec.space),
        algorithm=types_pb2.Algorithm(
            name=spec.algorithm.name,
            seed=spec.algorithm.seed,
            repeats=spec.algorithm.repeats,
            settings_json=settings_to_wire(spec.algorithm.settings),
        ),
        stopping=None
        if spec.stopping is None
        else types_pb2.Stopping(name=spec.stopping.name, settings_json=settings_to_wire(spec.stopping.settings)),
        budget=types_pb2.Budget(
            trials=budget.trials,
            parallel=budget.parallel,
            failed=budget.failed,
            duration=None if budget.duration is None else duration(budget.duration),
            gpu_hours=budget.gpu_hours,
        ),
        trial=None if spec.trial is None else _template_to_wire(spec.trial),
        labels=spec.labels,
    )


def spec_from_wire(message: study_pb2.StudySpec) -> StudySpec:
    """Raises InvalidArgument where the specification makes no sense."""
    one = len(message.objectives) == 1
    objectives = tuple(
        Objective(
            o.metric,
            GOALS.required(o.goal, "objective.goal" if one else f"objectives[{i}].goal"),
            _optional(o, "target"),
            PICKS.required(o.pick, "objective.pick"),
        )
        for i, o in enumerate(message.objectives)
    )
    algorithm = message.algorithm
    stopping = message.stopping
    budget = message.budget
    return StudySpec(
        objectives=objectives,
        space=space_from_wire(message.space) if message.HasField("space") else None,
        safety=tuple(SafetyMetric(s.metric, _optional(s, "at_least"), _optional(s, "at_most")) for s in message.safety),
        algorithm=Algorithm(
            algorithm.name or "auto",
            algorithm.seed if algorithm.HasField("seed") else None,
            algorithm.repeats or 1,
            settings_from_wire(algorithm.settings_json, "algorithm"),
        ),
        stopping=Stopping(stopping.name, settings_from_wire(stopping.settings_json, "stopping"))
        if message.HasField("stopping")
        else None,
        budget=Budget(
            budget.trials if budget.HasField("trials") else None,
            budget.parallel if budget.HasField("parallel") else None,
            budget.failed if budget.HasField("failed") else None,
            seconds_of(budget.duration) if budget.HasField("duration") else None,
            _optional(budget, "gpu_hours"),
        ),
        trial=_template_from_wire(message.trial) if message.HasField("trial") else None,
        labels=_labels(message.labels),
    )


def spec_with(spec: StudySpec, message: study_pb2.StudySpec, fields: Iterable[str]) -> StudySpec:
    """`spec` with the named fields taken from `message`, which need not have others. Unknown names are passed over."""
    whole: Any = spec_to_wire(spec)
    part: Any = study_pb2.StudySpec()
    part.CopyFrom(message)
    named = set(fields)
    for field in study_pb2.StudySpec.DESCRIPTOR.fields_by_name:
        (whole if field in named else part).ClearField(field)
    whole.MergeFrom(part)
    return spec_from_wire(whole)


def _optional(message: Message, field: str) -> float | None:
    return float(getattr(message, field)) if message.HasField(field) else None


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(labels.items()))


def _template_to_wire(template: TrialTemplate) -> types_pb2.TrialTemplate:
    return types_pb2.TrialTemplate(
        command=template.command,
        env=template.env,
        workdir=template.workdir,
        runtime=RUNTIMES.to_wire(template.runtime),
        image=template.image,
        gpu=template.resources.gpu,
        cpu=template.resources.cpu,
        memory_bytes=template.resources.memory,
        timeout=None if template.timeout is None else duration(template.timeout),
        grace=duration(template.grace),
        retries_failed=template.retries.failed,
        retries_preempted=template.retries.preempted,
        metrics_from=METRICS_FROM.to_wire(template.metrics.source),
        metrics_pattern=template.metrics.pattern,
        args=template.args,
        pod_json=settings_to_wire(pod_document(template.pod)),
    )


def _template_from_wire(message: types_pb2.TrialTemplate) -> TrialTemplate:
    default = TrialTemplate()
    preempted = message.retries_preempted if message.HasField("retries_preempted") else default.retries.preempted
    return TrialTemplate(
        command=tuple(message.command),
        env=dict(message.env),
        workdir=message.workdir,
        runtime=RUNTIMES.from_wire(message.runtime, "trial.runtime"),
        image=message.image,
        resources=Resources(message.gpu, message.cpu, message.memory_bytes),
        timeout=seconds_of(message.timeout) if message.HasField("timeout") else None,
        grace=seconds_of(message.grace) if message.HasField("grace") else default.grace,
        retries=RetryPolicy(message.retries_failed, preempted),
        metrics=MetricsSource(
            METRICS_FROM.required(message.metrics_from, "trial.metrics.from"), message.metrics_pattern
        ),
        args=tuple(message.args),
        pod=pod_from_document(settings_from_wire(message.pod_json, "trial")),
    )
