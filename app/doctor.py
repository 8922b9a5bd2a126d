"""`wazir doctor`: is everything there that Wazir needs here, and what to do if it is not."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from ..clients.cli.errors import Exit, reported
from ..clients.cli.output import Format, console, emit
from ..clients.cli.session import Session, connection_options, format_option
from ..clients.endpoint import resolve_address
from ..clients.health import is_serving
from ..clients.local_address import address_of, socket_of
from ..domain.database import Database, shown
from ..domain.errors import WazirError
from ..domain.names import DEFAULT_OWNER
from .options import database_option

SMALL_DISK = 1 << 30
"""Bytes free below which a database may soon not grow."""
FEW_FILES = 1024
STYLES = {"ok": "green", "note": "yellow", "wrong": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`state`: ok, note (works, and is worth knowing) or wrong. `advice`: what to do about it."""

    subject: str
    state: str
    words: str
    advice: str = ""


@click.command()
@database_option
@click.option("--address", metavar="ADDRESS", help="A service to look at too: host:port or unix:/path.")
@connection_options
@format_option
@click.pass_obj
@reported
def doctor(session: Session, db: Database, address: str | None, form: Format) -> None:
    """Check this machine, a database and a service, and say how to fix what is wrong."""
    findings = [*machine(), *packages(), *database(db), *service(session, db, address), *devices()]
    if form is not Format.TABLE:
        emit([asdict(finding) for finding in findings], form)
    else:
        table = Table.grid(padding=(0, 2))
        for finding in findings:
            table.add_row(Text(finding.state, STYLES[finding.state]), Text(finding.subject), Text(finding.words))
            if finding.advice:
                table.add_row("", "", Text(finding.advice), style="dim")
        console().print(table)
    if any(finding.state == "wrong" for finding in findings):
        raise click.exceptions.Exit(Exit.FAILED)


def machine() -> Iterator[Finding]:
    words = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    yield Finding("python", "ok", words)
    import resource

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < FEW_FILES:
        advice = f"Raise it: ulimit -n {FEW_FILES * 4}"
        yield Finding("open files", "note", f"{files} are allowed; many clients need more", advice)
    else:
        yield Finding("open files", "ok", f"{files} are allowed")


def packages() -> Iterator[Finding]:
    """What is installed of each extra, from the package's own metadata."""
    yield Finding("wazir", "ok", f"{version('wazir')} in {Path(sys.prefix)}")
    extras: dict[str, list[str]] = {}
    for line in requires("wazir") or ():
        requirement, _, marker = line.partition(";")
        extra = marker.partition("extra ==")[2].strip(" \"'()")
        name = requirement.strip().split("[")[0]
        for sign in "<>=!~ ":
            name = name.partition(sign)[0]
        if extra and extra not in ("dev", "examples") and name != "wazir":
            extras.setdefault(extra, []).append(name)
    for extra, names in sorted(extras.items()):
        lacking = [name for name in names if _version(name) is None]
        if not lacking:
            yield Finding(f"wazir[{extra}]", "ok", ", ".join(f"{name} {_version(name)}" for name in names))
        else:
            advice = f"If you need it: pip install 'wazir[{extra}]'"
            yield Finding(f"wazir[{extra}]", "note", f"not installed: {', '.join(lacking)}", advice)


def database(db: Database) -> Iterator[Finding]:
    from ..storage.open import open_store
    from ..storage.store import StudyFilter

    where = shown(db)
    if isinstance(db, Path):
        folder = next(parent for parent in db.absolute().parents if parent.exists())
        free = shutil.disk_usage(folder).free
        state, advice = ("ok", "") if free >= SMALL_DISK else ("wrong", "Make room, or choose another disk with --db")
        yield Finding("disk", state, f"{free / 2**30:.1f} GiB free at {folder}", advice)
        if not db.exists():
            yield Finding("database", "note", f"{where} is not there yet", "The first `wazir run` or `serve` makes it")
            return
        if socket_of(db).exists():
            yield Finding("database", "ok", f"{where} is there, and a service has or had it")
            return

    def look() -> str:
        with closing(open_store(db)) as store:
            number = store.read(lambda view: len(view.studies("", StudyFilter(), "", 1_000)))
        return f"{where} opens, and holds {number} {'study' if number == 1 else 'studies'}"

    yield _looked_at("database", look)


def service(session: Session, db: Database, address: str | None) -> Iterator[Finding]:
    if address is None:
        named = os.environ.get("WAZIR_ADDRESS")
        address = named or (address_of(db) if socket_of(db).exists() else None)
    if address is None:
        yield Finding("service", "note", "none is named, and none serves this database", "Name one with --address")
        return

    def look() -> str:
        assert address is not None
        with session.client(resolve_address(address), retry_for=1.0) as client:
            began = time.monotonic()
            number = sum(1 for _ in client.list_studies(owner=os.environ.get("WAZIR_OWNER") or DEFAULT_OWNER))
            took = (time.monotonic() - began) * 1000
            return f"{address} answers in {took:.0f} ms and shows {number} {'study' if number == 1 else 'studies'}"

    found = _looked_at("service", look)
    yield found
    if found.state == "ok":
        yield _health(session, address)


def _health(session: Session, address: str) -> Finding:
    try:
        with session.client(resolve_address(address), retry_for=1.0) as client:
            if is_serving(client):
                return Finding("health", "ok", "every loop of the service turns")
    except WazirError as error:
        return Finding("health", "wrong", str(error))
    advice = "Its log says which loop does not turn, and so does wazir_pulse_age_seconds of its --metrics"
    return Finding(
        "health", "wrong", f"{address} is not SERVING: it or its database is in trouble, or it is ending", advice
    )


def devices() -> Iterator[Finding]:
    from ..controller.local.gpus import find_devices

    def look() -> str:
        found = find_devices()
        return f"{len(found)} to give to trials: {', '.join(found)}" if found else "none found; trials run without"

    yield _looked_at("GPUs", look)


def _looked_at(subject: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, "ok", look())
    except WazirError as error:
        return Finding(subject, "wrong", str(error))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
