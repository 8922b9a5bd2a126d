"""Quotas on the command line: `wazir serve --quota`, and `wazir db usage`, which shows what they are held against."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import click

from ..clients.cli.errors import reported
from ..clients.cli.output import Format, console, emit, new_table
from ..clients.cli.session import format_option
from ..domain.database import Database
from ..domain.document.amounts import parse_memory
from ..domain.errors import MISSING, InvalidArgument, nearest
from ..domain.names import check_id
from ..service.quotas import Quota, QuotaSettings
from ..storage.open import open_store
from .options import database_option

EXAMPLE = "For instance --quota studies=1000,trials=1000000,bytes=10Gi --quota vision:trials=5000000"
KINDS = ("studies", "trials", "bytes")


def quotas_of(given: Iterable[str]) -> QuotaSettings:
    """`studies=1000,trials=1000000,bytes=10Gi` for every owner; with `OWNER:` before it, for that one instead. Raises
    InvalidArgument."""
    default, owners = Quota(), dict[str, Quota]()
    seen = set[str]()
    for text in given:
        owner, colon, limits = text.rpartition(":")
        quota = _quota(limits)
        if colon:
            check_id("--quota", owner)
        if owner in seen:
            raise InvalidArgument("--quota", text, f"says twice what {owner or 'every owner'} may hold", EXAMPLE)
        seen.add(owner)

        if colon:
            owners[owner] = quota
        else:
            default = quota
    return QuotaSettings(default, owners)


def _quota(text: str) -> Quota:
    found: dict[str, int] = {}
    for part in text.split(","):
        kind, equals, amount = part.strip().partition("=")
        if not equals:
            raise InvalidArgument("--quota", text, "must be limits by name", EXAMPLE)
        if kind not in KINDS:
            raise InvalidArgument("--quota", kind, "is not a limit", nearest(kind, KINDS))
        if kind in found:
            raise InvalidArgument("--quota", text, f"gives {kind} twice", EXAMPLE)
        found[kind] = _amount(kind, amount)
    return Quota(**found)


def _amount(kind: str, text: str) -> int:
    number = parse_memory("--quota", int(text) if text.isdigit() else text) if kind == "bytes" else None
    if number is None:
        if not text.isascii() or not text.isdigit():
            raise InvalidArgument("--quota", text or MISSING, f"{kind} must be a whole number", EXAMPLE)
        number = int(text)
    return number


@click.command()
@database_option
@format_option
@reported
def usage(db: Database, form: Format) -> None:
    """Show how many studies, trials and bytes each owner has. May be served meanwhile."""
    if isinstance(db, Path) and not db.exists():
        raise InvalidArgument("--db", str(db), "does not exist", "Name a database with --db or WAZIR_DB")
    with closing(open_store(db)) as store:
        found = store.read(lambda view: view.usage(""))

    if form is not Format.TABLE:
        emit([{"owner": u.owner} | {kind: getattr(u, kind) for kind in KINDS} for u in found], form)
        return
    table = new_table()
    for name in ("owner", *KINDS):
        table.add_column(name)
    for used in found:
        table.add_row(used.owner, *(f"{getattr(used, kind):,}" for kind in KINDS))
    console().print(table)
