"""Trials, attempts and measurements on the wire."""

from __future__ import annotations

from collections.abc import Mapping

from ..domain.attempt import Attempt, AttemptState, Cause
from ..domain.names import parse_trial
from ..domain.parameters import Value
from ..domain.trial import Instruction, Measurement, Origin, Provenance, StopGoal, Trial, TrialState
from ..proto.v1 import study_service_pb2, trial_pb2, types_pb2
from .scalars import EnumTable, seconds_of, set_time, set_value, timestamp, value_from_wire

TRIAL_STATES = EnumTable(TrialState, "TRIAL_STATE", trial_pb2.TrialState.Value)
STOP_GOALS = EnumTable(StopGoal, "STOP_GOAL", trial_pb2.StopGoal.Value)
ATTEMPT_STATES = EnumTable(AttemptState, "ATTEMPT_STATE", trial_pb2.AttemptState.Value)
CAUSES = EnumTable(Cause, "CAUSE", trial_pb2.Cause.Value)
ORIGINS = EnumTable(Origin, "ORIGIN", trial_pb2.Origin.Value, default=Origin.ENQUEUED)


def trial_to_wire(trial: Trial) -> trial_pb2.Trial:
    # Field by field and in place: by keywords, and with copies of the parts, a trial costs half as much again.
    message = trial_pb2.Trial()
    message.name = str(trial.name)
    message.state = TRIAL_STATES.to_wire(trial.state)
    message.state_reason = trial.reason
    message.stop_goal = STOP_GOALS.to_wire(trial.goal)
    message.origin = ORIGINS.to_wire(trial.origin)
    message.client_id = trial.client_id
    message.revision = trial.revision
    for name, value in trial.parameters.items():
        set_value(message.parameters[name], value)
    for attempt in trial.attempts:
        _set_attempt(message.attempts.add(), attempt)
    if trial.provenance is not None:
        _set_provenance(message.provenance, trial.provenance)
    if trial.final:
        message.final_metrics.update(trial.final)
    if trial.final_step is not None:
        message.final_step = trial.final_step
    if trial.labels:
        message.labels.update(trial.labels)
    if trial.metadata:
        message.metadata.update(trial.metadata)
    if trial.until_step is not None:
        message.until_step = trial.until_step
    if trial.checkpoint_of is not None:
        message.checkpoint_of = trial.checkpoint_of
    set_time(message.create_time, trial.create_time)
    if trial.start_time is not None:
        set_time(message.start_time, trial.start_time)
    if trial.end_time is not None:
        set_time(message.end_time, trial.end_time)
    return message


def trial_from_wire(message: trial_pb2.Trial) -> Trial:
    return Trial(
        name=parse_trial(message.name),
        state=TRIAL_STATES.required(message.state, "trial.state"),
        parameters=parameters_from_wire(message),
        create_time=seconds_of(message.create_time),
        origin=ORIGINS.required(message.origin, "trial.origin"),
        provenance=_provenance_from_wire(message.provenance) if message.HasField("provenance") else None,
        client_id=message.client_id,
        attempts=tuple(_attempt_from_wire(a) for a in message.attempts),
        final=dict(message.final_metrics) or None,
        final_step=message.final_step if message.HasField("final_step") else None,
        reason=message.state_reason,
        goal=STOP_GOALS.from_wire(message.stop_goal, "trial.stop_goal"),
        start_time=seconds_of(message.start_time) if message.HasField("start_time") else None,
        end_time=seconds_of(message.end_time) if message.HasField("end_time") else None,
        labels=dict(message.labels),
        metadata=dict(message.metadata),
        revision=message.revision,
        until_step=message.until_step if message.HasField("until_step") else None,
        checkpoint_of=message.checkpoint_of if message.HasField("checkpoint_of") else None,
    )


def token_of(message: trial_pb2.Trial) -> str:
    """The token of its latest attempt, where the answer has it. No part of a domain trial, so that nothing keeps it."""
    return message.attempts[-1].token if message.attempts else ""


def parameters_from_wire(message: trial_pb2.Trial) -> dict[str, Value]:
    """By name: maps have no order on the wire, the space has."""
    return _values_from_wire(message.parameters, "parameters")


def _values_from_wire(values: Mapping[str, types_pb2.Value], where: str) -> dict[str, Value]:
    return {name: value_from_wire(values[name], f"{where}.{name}") for name in sorted(values)}


def measurement_to_wire(measurement: Measurement) -> trial_pb2.Measurement:
    return trial_pb2.Measurement(step=measurement.step, metrics=measurement.metrics, time=timestamp(measurement.time))


def measurement_from_wire(message: trial_pb2.Measurement, now: float) -> Measurement:
    """`now` (Unix seconds) where the message carries no time."""
    time = seconds_of(message.time) if message.HasField("time") else now
    return Measurement(message.step, dict(message.metrics), time)


def instruction_to_wire(instruction: Instruction) -> study_service_pb2.Instruction:
    return study_service_pb2.Instruction(stop=STOP_GOALS.to_wire(instruction.stop), reason=instruction.reason)


def instruction_from_wire(message: study_service_pb2.Instruction) -> Instruction:
    return Instruction(STOP_GOALS.from_wire(message.stop, "instruction.stop"), message.reason)


def _set_attempt(message: trial_pb2.Attempt, attempt: Attempt) -> None:
    message.number = attempt.number
    message.state = ATTEMPT_STATES.to_wire(attempt.state)
    message.holder = attempt.holder
    message.leased = attempt.leased
    message.cause = CAUSES.to_wire(attempt.cause)
    if attempt.exit_code is not None:
        message.exit_code = attempt.exit_code
    message.message = attempt.message
    message.log_tail = attempt.log_tail
    message.log_path = attempt.log_path
    message.node = attempt.node
    message.devices.extend(attempt.devices)
    message.gpus = attempt.gpus
    message.infeasible = attempt.infeasible
    message.why = attempt.why
    if attempt.unasked is not None:
        message.unasked.SetInParent()
        for name, value in attempt.unasked.items():
            set_value(message.unasked.values[name], value)
    set_time(message.lease, attempt.lease_seconds)
    set_time(message.start_time, attempt.start_time)
    if attempt.run_time is not None:
        set_time(message.run_time, attempt.run_time)
    if attempt.end_time is not None:
        set_time(message.end_time, attempt.end_time)


def _attempt_from_wire(message: trial_pb2.Attempt) -> Attempt:
    return Attempt(
        number=message.number,
        state=ATTEMPT_STATES.required(message.state, "attempt.state"),
        start_time=seconds_of(message.start_time),
        holder=message.holder,
        leased=message.leased,
        lease_seconds=seconds_of(message.lease),
        run_time=seconds_of(message.run_time) if message.HasField("run_time") else None,
        end_time=seconds_of(message.end_time) if message.HasField("end_time") else None,
        cause=CAUSES.from_wire(message.cause, "attempt.cause"),
        exit_code=message.exit_code if message.HasField("exit_code") else None,
        message=message.message,
        log_tail=message.log_tail,
        log_path=message.log_path,
        node=message.node,
        devices=tuple(message.devices),
        gpus=message.gpus,
        infeasible=message.infeasible,
        why=message.why,
        unasked=_values_from_wire(message.unasked.values, "unasked") if message.HasField("unasked") else None,
    )


def _set_provenance(message: trial_pb2.Provenance, provenance: Provenance) -> None:
    message.algorithm = provenance.algorithm
    message.version = provenance.version
    message.round = provenance.round
    message.index = provenance.index
    message.count = provenance.count
    message.memo_digest = provenance.memo_digest
    message.history_digest = provenance.history_digest
    message.fallback = provenance.fallback
    message.why = provenance.why
    message.details.update(provenance.details)
    message.chosen = provenance.chosen


def _provenance_from_wire(message: trial_pb2.Provenance) -> Provenance:
    return Provenance(
        algorithm=message.algorithm,
        version=message.version,
        round=message.round,
        index=message.index,
        count=message.count,
        memo_digest=message.memo_digest,
        history_digest=message.history_digest,
        fallback=message.fallback,
        why=message.why,
        details=dict(message.details),
        chosen=message.chosen,
    )
