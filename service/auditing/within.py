"""A record that is written with the change that it tells of, in one unit: there is none without the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from ...domain.audit import AuditRecord
from ...storage.store import Transaction

T = TypeVar("T")


class Within:
    """The call under way, and the record that its unit is to write. `written`: whether a unit has taken it along."""

    __slots__ = ("over", "record", "written")

    def __init__(self, record: AuditRecord) -> None:
        self.record = record
        self.written = False
        self.over = False


_CURRENT: ContextVar[Within | None] = ContextVar("audit_record", default=None)


@contextmanager
def recorded(record: AuditRecord) -> Iterator[Within]:
    """The first unit that is submitted in the block writes the record, too."""
    within = Within(record)
    token = _CURRENT.set(within)
    try:
        yield within
    finally:
        _CURRENT.reset(token)
        # Tasks that began in the block have the variable still, and go on with other things.
        within.over = True


def with_record(work: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
    """The unit, and the record of the call that it is part of, if that has one that is not written yet."""
    within = _CURRENT.get()
    if within is None or within.over or within.written:
        return work
    within.written = True
    record = within.record

    def audited(tx: Transaction) -> T:
        result = work(tx)
        tx.add_audit_records([record])
        return result

    return audited
