"""What every store promises of audit records. Part of `StoreContract`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from wazir.domain.audit import AuditFilter, AuditRecord, Outcome, id_at
from wazir.domain.names import StudyName
from wazir.storage import memory, view
from wazir.storage.store import Store, Transaction


def new_record(number: int, **changes: object) -> AuditRecord:
    """Made at the second `number`."""
    record = AuditRecord(
        id=id_at(number) + "0123456789",
        time=number + 0.25,
        last_time=number + 0.5,
        count=number,
        caller="token:aa",
        caller_owner="vision",
        role="editor",
        address="127.0.0.1",
        method="PauseStudy",
        owner="vision",
        name="owners/vision/studies/s",
        outcome=Outcome.DONE,
        reason="",
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def keep(store: Store, *records: AuditRecord) -> None:
    store.write(lambda tx: tx.add_audit_records(records))


def found(store: Store, **where: object) -> list[AuditRecord]:
    page = store.read(lambda view: view.audit_records(AuditFilter(**where), "", 100))  # type: ignore[arg-type]
    return list(page.records)


class AuditContract:
    def test_records_come_back_exactly_and_the_latest_first(self, store: Store) -> None:
        records = [
            new_record(1),
            new_record(2, outcome=Outcome.DENIED, reason="PERMISSION_DENIED", name="", owner="", caller_owner=""),
            new_record(3, caller="local:1000", role="admin", caller_owner="*", address="machine:höst", count=2**40),
        ]
        keep(store, *records)
        assert found(store) == records[::-1]

    def test_a_record_that_is_kept_again_is_kept_once(self, store: Store) -> None:
        keep(store, new_record(1), new_record(2))
        keep(store, new_record(2, caller="another"), new_record(3))
        assert found(store) == [new_record(3), new_record(2), new_record(1)]

    def test_a_unit_that_fails_leaves_no_record(self, store: Store) -> None:
        def work(tx: Transaction) -> None:
            tx.add_audit_records([new_record(1)])
            raise RuntimeError("no")

        with pytest.raises(RuntimeError, match=r"^no$"):
            store.write(work)
        assert found(store) == []

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            ({"owner": "speech"}, [4]),
            ({"study": StudyName("vision", "s")}, [2, 1]),
            ({"caller": "token:bb"}, [3]),
            ({"method": "DeleteStudy"}, [3]),
            ({"outcomes": frozenset({Outcome.DENIED, Outcome.FAILED})}, [5, 3]),
            ({"since": 3.0}, [5, 4, 3]),
            ({"since": 3.0, "owner": "vision"}, [3]),
            ({"owner": "nobody"}, []),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
    )
    def test_a_filter_is_met_in_all_its_parts(
        self, store: Store, where: dict[str, object], expected: list[int]
    ) -> None:
        keep(
            store,
            new_record(1),
            new_record(2, name="owners/vision/studies/s/trials/7"),
            new_record(
                3, name="owners/vision/studies/s2", caller="token:bb", method="DeleteStudy", outcome=Outcome.DENIED
            ),
            new_record(4, name="owners/speech/studies/s", owner="speech"),
            new_record(5, name="", owner="", outcome=Outcome.FAILED),
        )
        assert [record.count for record in found(store, **where)] == expected

    def test_pages_join_without_a_gap(self, store: Store) -> None:
        keep(store, *map(new_record, range(1, 8)))
        pages: list[Sequence[AuditRecord]] = []
        before = ""
        while not pages or before:
            page = store.read(lambda view, before=before: view.audit_records(AuditFilter(), before, 3))  # type: ignore[misc]
            pages.append(page.records)
            before = page.before
        assert [[record.count for record in page] for page in pages] == [[7, 6, 5], [4, 3, 2], [1]]

    def test_a_read_looks_at_so_many_and_says_where_to_go_on(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (memory, view):
            monkeypatch.setattr(module, "AUDIT_SCAN", 4)
        keep(store, new_record(1, owner="speech"), *map(new_record, range(2, 10)))
        seen: list[list[int]] = []
        before = ""
        while not seen or before:
            page = store.read(
                lambda view, before=before: view.audit_records(AuditFilter(owner="speech"), before, 3)  # type: ignore[misc]
            )
            seen.append([record.count for record in page.records])
            before = page.before
        assert seen == [[], [], [1]]

    def test_the_earliest_are_forgotten_in_small_batches(self, store: Store) -> None:
        keep(store, *map(new_record, range(1, 8)))
        assert store.read(lambda view: view.audit_id(7)) is None
        oldest = store.read(lambda view: view.audit_id(2))
        assert oldest == new_record(5).id

        def forget(tx: Transaction) -> int:
            return tx.forget_audit_records(id_at(6), 2)

        assert [store.write(forget) for _ in range(4)] == [2, 2, 1, 0]
        assert [record.count for record in found(store)] == [7, 6]

    def test_a_unit_sees_its_own(self, store: Store) -> None:
        def work(tx: Transaction) -> int:
            tx.add_audit_records([new_record(1)])
            return len(tx.audit_records(AuditFilter(), "", 10).records)

        assert store.write(work) == 1
