"""`wazir token`: who may call the service on a database. Works on the database itself, whether it is served or not."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from ..clients.cli.errors import reported
from ..clients.cli.output import Format, ago, console, emit, new_table, stamp
from ..clients.cli.session import format_option
from ..clients.cli.terminal import say
from ..domain.access import Role, Token
from ..domain.database import Database
from ..domain.document import parse_duration
from ..domain.names import DEFAULT_OWNER
from ..service.security.tokens import make, revoke, when
from ..storage.open import open_store
from ..storage.store import Store, Transaction
from .audited import record_of
from .claim import folder_of, make_folder
from .options import database_option
from .private_files import keep_for_owner


@click.group()
def token() -> None:
    """Make, list and revoke the tokens of a service's callers.

    A service started with `--auth tokens` asks every caller for one.
    """


@token.command()
@database_option
@click.option("--owner", default=DEFAULT_OWNER, show_default=True, help="Whose studies; '*': everybody's.")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="viewer reads; editor creates, changes and runs as well; admin deletes as well.",
)
@click.option("--expires", metavar="DURATION", help="For instance 12h or 30d. Without it, it does not expire.")
@click.option("--label", default="", help="For people: whose it is, where it is used.")
@reported
def create(db: Database, owner: str, role: str, expires: str | None, label: str) -> None:
    """Make a token and print it: on stdout, this once, and it is kept nowhere.

    A file that stdout goes to can be read by its owner only from then on.
    """
    made, text = make(
        owner, Role(role), label, time.time(), None if expires is None else parse_duration("--expires", expires)
    )
    keep_for_owner(sys.stdout)
    with opened(db) as store:
        store.write(lambda tx: _make(tx, made))
    until = "does not expire" if made.expire_time is None else f"expires {when(made.expire_time)}"
    say(f"Token {made.id}: {made.role.value} of {made.owner}, {until}. It is not shown again:", err=True)
    say(text)


@token.command(name="list")
@database_option
@format_option
@reported
def list_(db: Database, form: Format) -> None:
    """Show the tokens there are, without their secrets."""
    with opened(db) as store:
        tokens = store.read(lambda view: view.tokens())
    if form is not Format.TABLE:
        emit([token_data(token) for token in tokens], form)
    elif tokens:
        console().print(token_table(tokens))
    else:
        console().print("No tokens. Make one with `wazir token create --role editor`.")


@token.command(name="revoke")
@click.argument("token_id", metavar="ID")
@database_option
@reported
def revoke_(db: Database, token_id: str) -> None:
    """Revoke a token: servers refuse it within seconds, and it cannot be restored.

    ID is the part after `wzr_`, as `wazir token list` shows it.
    """
    with opened(db) as store:
        revoked = store.write(lambda tx: _revoke(tx, token_id))
    assert revoked.revoke_time is not None
    say(f"Token {revoked.id} ({revoked.label or revoked.owner}) is revoked since {when(revoked.revoke_time)}")


def _make(tx: Transaction, token: Token) -> None:
    tx.insert_token(token)
    tx.add_audit_records([record_of("CreateToken", f"tokens/{token.id}", token.owner)])


def _revoke(tx: Transaction, token_id: str) -> Token:
    token = revoke(tx, token_id, time.time())
    tx.add_audit_records([record_of("RevokeToken", f"tokens/{token.id}", token.owner)])
    return token


@contextmanager
def opened(db: Database) -> Iterator[Store]:
    if isinstance(db, Path):
        make_folder(folder_of(db))
    with closing(open_store(db)) as store:
        yield store


def token_data(token: Token) -> dict[str, object]:
    return {
        "id": token.id,
        "owner": token.owner,
        "role": token.role.value,
        "state": state_of(token),
        "created": stamp(token.create_time),
        "expires": stamp(token.expire_time),
        "revoked": stamp(token.revoke_time),
        "label": token.label,
    }


def token_table(tokens: Sequence[Token]) -> Table:
    table = new_table()
    for name in ("id", "owner", "role", "state", "created", "expires", "label"):
        table.add_column(name)
    for token in tokens:
        expires = "never" if token.expire_time is None else when(token.expire_time)
        created = ago(token.create_time)
        # As text: rich would take brackets in a label for its own.
        row = (token.id, token.owner, token.role.value, state_of(token), created, expires, token.label)
        table.add_row(*map(Text, row))
    return table


def state_of(token: Token) -> str:
    if token.revoke_time is not None:
        return "revoked"
    return "expired" if token.expired(time.time()) else "valid"
