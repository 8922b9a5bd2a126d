"""`wazir audit`: who did what, when and from where, and whether it was allowed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from ...domain.audit import AuditRecord, Outcome
from ...domain.document import parse_duration
from ...domain.errors import InvalidArgument, nearest
from ...domain.names import StudyName
from .columns import Column, chosen, column_table, ordered, print_columns
from .errors import reported
from .output import Format, console, emit, stamp
from .session import Session, StudyType, address_option, list_options, owner_of

ON_THE_DATABASE: Final = ("CreateToken", "RevokeToken", "UpgradeDatabase", "BackUpDatabase", "RestoreDatabase")
"""What commands record that work on a database themselves; all else is a call of the service."""

UNNAMED: Final = ("anonymous", "stranger")


class MethodType(click.ParamType):  # type: ignore[type-arg]
    """A call of the service, or what a command did to a database. Capitals may be left out."""

    name = "method"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        methods = {method.lower(): method for method in known_methods()}
        method = methods.get(str(value).lower())
        if method is None:
            hint = nearest(str(value), methods.values())
            raise click.UsageError(f"--method {value!r} is nothing that is recorded. {hint}".rstrip(), ctx)
        return method

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(m) for m in known_methods() if m.lower().startswith(incomplete.lower())]


def known_methods() -> list[str]:
    from ...proto.v1 import study_service_pb2

    (service,) = study_service_pb2.DESCRIPTOR.services_by_name.values()
    return sorted([*(method.name for method in service.methods), *ON_THE_DATABASE])


def _local(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _outcome(record: AuditRecord) -> str:
    return f"{record.outcome.value} ({record.reason})" if record.reason else record.outcome.value


COLUMNS: Final[Mapping[str, Column[AuditRecord]]] = {
    "time": Column(lambda r: r.last_time, _local, data=stamp, csv=stamp),
    "caller": Column(lambda r: r.caller),
    "role": Column(lambda r: f"{r.role} of {r.caller_owner}" if r.role else ""),
    "address": Column(lambda r: r.address),
    "method": Column(lambda r: r.method),
    "name": Column(lambda r: r.name),
    "outcome": Column(_outcome),
    "calls": Column(lambda r: r.count),
    "since": Column(lambda r: r.time, _local, data=stamp, csv=stamp),
    "owner": Column(lambda r: r.owner),
    "reason": Column(lambda r: r.reason),
    "id": Column(lambda r: r.id),
}
"""What `wazir audit` can show."""

SHOWN: Final = ("time", "caller", "address", "method", "name", "outcome", "calls")


@click.command()
@click.option("--study", type=StudyType(), help="Only what is about this study or its trials.")
@click.option("--caller", metavar="CALLER", help="Only this caller: the id of a token, or a caller as it is shown.")
@click.option("--method", type=MethodType(), help="Only this call, for instance DeleteStudy.")
@click.option(
    "--outcome",
    "outcomes",
    type=click.Choice([outcome.value for outcome in Outcome]),
    multiple=True,
    help="Only calls that came to this; may be repeated.",
)
@click.option("--since", metavar="DURATION", help="Only the last 90s, 12h, 2d.")
@click.option("-n", "--limit", type=click.IntRange(1), default=100, show_default=True, help="Only the latest so many.")
@click.option("--all", "everybody", is_flag=True, help="Of all owners, of strangers, and about tokens and databases.")
@address_option
@list_options
@click.pass_obj
@reported
def audit(
    session: Session,
    study: StudyName | None,
    caller: str | None,
    method: str | None,
    outcomes: tuple[str, ...],
    since: str | None,
    limit: int,
    everybody: bool,
    address: str | None,
    form: Format,
    columns: str | None,
    sort: str | None,
) -> None:
    """Show who did what, from where, and whether it was allowed; the latest last.

    A call that changes something is recorded, and every call that was denied. Columns are time, caller, role, address,
    method, name, outcome, calls, since, owner, reason and id.
    """
    ago = None if since is None else parse_duration("--since", since)
    owner = study.owner if study is not None else owner_of(click.get_current_context())
    if everybody and study is not None:
        raise InvalidArgument("--all", "", "cannot be given together with --study", "A study has one owner")
    with session.client(address) as client:
        found = list(
            islice(
                client.audit_records(
                    None if everybody else owner,
                    study=study,
                    caller=caller_of(caller or ""),
                    method=method or "",
                    outcomes=frozenset(map(Outcome, outcomes)),
                    since=None if ago is None else time.time() - ago,
                ),
                limit,
            )
        )[::-1]

    if sort is not None:
        found = ordered(found, sort, COLUMNS)
    show(found, columns, form)


def show(found: Sequence[AuditRecord], columns: str | None, form: Format) -> None:
    if columns is not None or form is Format.CSV:
        names = list(COLUMNS) if columns is None else chosen("--columns", columns, COLUMNS)
        print_columns(found, names, COLUMNS, form)
    elif form is not Format.TABLE:
        emit([record_data(record) for record in found], form)
    elif found:
        console().print(column_table(found, SHOWN, COLUMNS))
    else:
        console().print("No records.")


def caller_of(text: str) -> str:
    """A token is named by its id, as `wazir token list` shows it."""
    return text if not text or ":" in text or text in UNNAMED else f"token:{text}"


def record_data(record: AuditRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "time": stamp(record.time),
        "last_time": stamp(record.last_time),
        "calls": record.count,
        "caller": record.caller,
        "caller_owner": record.caller_owner,
        "role": record.role,
        "address": record.address,
        "method": record.method,
        "owner": record.owner,
        "name": record.name,
        "outcome": record.outcome.value,
        "reason": record.reason,
    }
