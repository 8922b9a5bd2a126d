"""Audit records on the wire."""

from __future__ import annotations

from ..domain.access import EVERY_OWNER
from ..domain.audit import AuditRecord, Outcome
from ..proto.v1 import audit_pb2
from .scalars import EnumTable, seconds_of, set_time

OUTCOMES = EnumTable(Outcome, "CALL_OUTCOME", audit_pb2.CallOutcome.Value)


def audit_record_to_wire(record: AuditRecord) -> audit_pb2.AuditRecord:
    owner = "-" if record.owner in ("", EVERY_OWNER) else record.owner
    message = audit_pb2.AuditRecord(
        name=f"owners/{owner}/auditRecords/{record.id}",
        count=record.count,
        caller=record.caller,
        caller_owner=record.caller_owner,
        role=record.role,
        address=record.address,
        method=record.method,
        owner=record.owner,
        resource=record.name,
        outcome=OUTCOMES.to_wire(record.outcome),
        reason=record.reason,
    )
    set_time(message.time, record.time)
    set_time(message.last_time, record.last_time)
    return message


def audit_record_from_wire(message: audit_pb2.AuditRecord) -> AuditRecord:
    return AuditRecord(
        id=message.name.rpartition("/")[2],
        time=seconds_of(message.time),
        last_time=seconds_of(message.last_time),
        count=message.count,
        caller=message.caller,
        caller_owner=message.caller_owner,
        role=message.role,
        address=message.address,
        method=message.method,
        owner=message.owner,
        name=message.resource,
        outcome=OUTCOMES.required(message.outcome, "outcome"),
        reason=message.reason,
    )
