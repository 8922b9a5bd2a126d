"""`wazir serve`: the study service as a process."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Sequence
from pathlib import Path

import click

from ..clients.cli.errors import Exit, reported
from ..clients.cli.terminal import say
from ..clients.local_address import is_loopback
from ..domain.database import Database, shown
from ..domain.document import parse_duration
from ..domain.errors import MISSING, FailedPrecondition, InvalidArgument
from ..service.auditing.settings import AuditSettings
from ..service.security.attempt_tokens import SHORTEST_KEY
from ..service.security.tls import TlsFiles
from ..service.server import Server
from ..service.settings import ServiceSettings
from ..storage.critical import failed
from ..storage.open import open_store
from .backup_schedule import Plan, plan_of, scheduled
from .claim import Claim
from .ending import SLACK, Ending
from .local_service import LocalService
from .logs import log_to_stderr
from .loop import run
from .options import database_option
from .private_files import check_database, check_key
from .quotas import quotas_of
from .signals import heard
from .thin import check_points

FILE = click.Path(path_type=Path, dir_okay=False)
DEFAULT_LISTEN = "127.0.0.1:8470"
logger = logging.getLogger(__name__)
SHORTEST_AUDIT = 3_600.0
"""Seconds: what is asked about is hardly ever younger."""


@click.command()
@database_option
@click.option(
    "--listen",
    metavar="HOST:PORT",
    multiple=True,
    default=[DEFAULT_LISTEN],
    show_default=True,
    help="Where to listen; may be repeated. Port 0 takes any free one.",
)
@click.option(
    "--auth",
    type=click.Choice(["tokens", "none"]),
    default="none",
    show_default=True,
    help="What callers over the network must show; `wazir token create` makes tokens.",
)
@click.option(
    "--key-file",
    type=FILE,
    help="What attempts' tokens are made from, the same for all servers; without it the database keeps a key.",
)
@click.option("--tls-cert", type=FILE, help="Serve with TLS: the certificate with its chain (PEM).")
@click.option("--tls-key", type=FILE, help="Its key (PEM).")
@click.option("--client-ca", type=FILE, help="Hear only clients with a certificate of this authority (PEM).")
@click.option(
    "--insecure-without-authentication",
    is_flag=True,
    help="Listen beyond this machine although everybody who reaches it may do everything.",
)
@click.option(
    "--insecure-without-tls",
    is_flag=True,
    help="Listen beyond this machine although tokens and studies travel unencrypted; for networks that encrypt.",
)
@click.option(
    "--audit-keep",
    metavar="DURATION",
    default="90d",
    show_default=True,
    help="How long to keep who did what (`wazir audit`).",
)
@click.option(
    "--audit-keep-at-most",
    type=click.IntRange(1_000),
    metavar="RECORDS",
    default=AuditSettings().keep_at_most,
    show_default=True,
    help="And at most so many records.",
)
@click.option(
    "--health", metavar="HOST:PORT", help="Answer for health alone there, to everybody and without TLS, for probes."
)
@click.option(
    "--quota",
    metavar="[OWNER:]LIMITS",
    multiple=True,
    help="How much an owner's studies may hold: studies=1000,trials=1000000,bytes=10Gi; may be repeated for owners.",
)
@click.option("--metrics", metavar="HOST:PORT", help="Show figures for Prometheus there, to everybody on this machine.")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="One line a record."
)
@click.option(
    "--keep-measurements",
    metavar="DURATION",
    help="Keep the curves of studies that have ended whole for so long, such as 90d; without it, for ever.",
)
@click.option(
    "--keep-points",
    type=int,
    metavar="N",
    help=f"Points of each curve that are kept after that.  [default: {ServiceSettings.keep_points}]",
)
@click.option(
    "--backup-every",
    metavar="DURATION",
    help="Back up the database so often, for instance 6h, and look into each copy; without it, never.",
)
@click.option(
    "--backup-keep", type=click.IntRange(1), metavar="N", help="How many of these backups stay.  [default: 14]"
)
@click.option(
    "--backup-to",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where they lie, best on another disk; `backups` beside the database's logs by default.",
)
@click.option("--drain", default=10.0, show_default=True, help="Seconds that calls in flight get at the end.")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@reported
def serve(
    db: Database,
    listen: tuple[str, ...],
    auth: str,
    key_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    client_ca: Path | None,
    insecure_without_authentication: bool,
    insecure_without_tls: bool,
    audit_keep: str,
    audit_keep_at_most: int,
    health: str | None,
    quota: tuple[str, ...],
    metrics: str | None,
    log_format: str,
    keep_measurements: str | None,
    keep_points: int | None,
    backup_every: str | None,
    backup_keep: int | None,
    backup_to: Path | None,
    drain: float,
    verbose: bool,
) -> None:
    """Serve studies to clients, workers and controllers, until Ctrl-C or SIGTERM."""
    log_to_stderr(logging.DEBUG if verbose else logging.INFO, as_json=log_format == "json")

    if metrics is not None and beyond_loopback(metrics, "--metrics"):
        raise InvalidArgument(
            "--metrics",
            metrics,
            "is beyond this machine, and figures are shown without authentication",
            "Listen on 127.0.0.1, and let an agent or a proxy on this machine pass them on",
        )

    if health is not None:
        # Beyond this machine as well: it tells nothing but whether the service is up.
        beyond_loopback(health, "--health")

    tls = tls_files(tls_cert, tls_key, client_ca)
    check_listen(
        listen,
        authenticated=auth != "none" or client_ca is not None or insecure_without_authentication,
        encrypted=tls is not None or insecure_without_tls,
    )
    if not 0 <= drain < math.inf:
        raise InvalidArgument("--drain", drain, "must be 0 or more seconds, and finite", "For instance 10")
    settings = ServiceSettings(
        health=health or "",
        metrics=metrics or "",
        drain=drain,
        authenticate=auth == "tokens",
        server_key=key_of(key_file),
        tls=tls,
        audit=AuditSettings(keep=audit_time(audit_keep), keep_at_most=audit_keep_at_most),
        keep_measurements=measurements_time(keep_measurements, keep_points),
        keep_points=ServiceSettings.keep_points if keep_points is None else keep_points,
        quotas=quotas_of(quota),
    )

    warn_of_key(key_file, authenticated=auth == "tokens", shared=isinstance(db, str))

    if isinstance(db, str):
        serve_url(db, listen, settings, plan_of(db, backup_every, backup_keep, backup_to))
    else:
        if settings.authenticate:
            check_database(db)
        serve_file(db, listen, settings, plan_of(db, backup_every, backup_keep, backup_to))
    if failed():
        # The log says what: this process could not go on.
        raise click.exceptions.Exit(Exit.FAILED)


def check_listen(listen: Sequence[str], *, authenticated: bool, encrypted: bool) -> None:
    """Refuses addresses that other machines can reach, unless callers are `authenticated` and traffic is `encrypted`,
    or the user has said that they need not be. Raises InvalidArgument."""
    for address in listen:
        if not beyond_loopback(address):
            continue
        if not authenticated:
            raise InvalidArgument(
                "--listen",
                address,
                "is beyond this machine, and everybody who reaches it could do everything: run programs too",
                "Ask for tokens (--auth tokens) or certificates (--client-ca), or listen on 127.0.0.1; "
                "--insecure-without-authentication does it all the same",
            )
        if not encrypted:
            raise InvalidArgument(
                "--listen",
                address,
                "is beyond this machine, and tokens and studies would travel unencrypted",
                "Give --tls-cert and --tls-key, or listen on 127.0.0.1; --insecure-without-tls does it all the same",
            )


def serve_file(db: Path, listen: Sequence[str], settings: ServiceSettings, plan: Plan | None = None) -> None:
    """Serves a SQLite file, which no other server may serve."""
    ended = threading.Event()
    ending = Ending(settings.drain + SLACK)
    ending.then(ended.set)
    with (
        heard(ending.heard),
        LocalService(
            db, listen=listen, settings=settings, stand_by=False, on_failure=ended.set, backups=plan
        ) as service,
    ):
        for address, port in zip(listen, service.ports, strict=True):
            host = address.rpartition(":")[0]
            say(f"Serving {service.name} at {host}:{port} and {service.address}", err=True)
        ended.wait()
        service.check()


def serve_url(url: str, listen: Sequence[str], settings: ServiceSettings, plan: Plan | None = None) -> None:
    """Serves a database that other servers may serve as well."""
    ending = Ending(settings.drain + SLACK)
    errors: list[BaseException] = []

    def serve() -> None:
        try:
            run(_serve_url(url, listen, settings, ending, plan))
        except BaseException as error:  # noqa: BLE001 - raised on the main thread
            errors.append(error)

    # On a thread of its own: signals are heard on the main thread, also if the event loop is stuck.
    serving = threading.Thread(target=serve, name="wazir-service", daemon=True)
    with heard(ending.heard):
        serving.start()
        serving.join()
    if errors:
        raise errors[0]


async def _serve_url(
    url: str, listen: Sequence[str], settings: ServiceSettings, ending: Ending, plan: Plan | None
) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    ending.then(lambda: loop.call_soon_threadsafe(ended.set))

    store = open_store(url)
    claim = Claim(url)
    # The first server of a user on a machine is also the one that `--db` finds there.
    local = [claim.address] if claim.take() else []
    try:
        if local:
            claim.clear_socket()
        server = Server(store, [*listen, *local], settings)
        await server.start()
        if local:
            claim.close_socket_to_others()

        also = f" and {claim.address}" if local else ""
        for address, port in zip(listen, server.ports, strict=False):
            say(f"Serving {shown(url)} at {address.rpartition(':')[0]}:{port}{also}", err=True)
        waits = [asyncio.ensure_future(event.wait()) for event in (ended, server.lost)]
        async with scheduled(plan, server):
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await server.stop()
    finally:
        store.close()
        claim.release()
    if store.lost:
        raise FailedPrecondition(store.lost)


def audit_time(text: str) -> float:
    """Seconds for which audit records are kept. Raises InvalidArgument."""
    keep = parse_duration("--audit-keep", text)
    if keep < SHORTEST_AUDIT:
        raise InvalidArgument("--audit-keep", text, "must be an hour or more")
    return keep


def measurements_time(text: str | None, points: int | None) -> float | None:
    """Seconds for which whole curves are kept; None: for ever. Raises InvalidArgument, also for `points` without it."""
    if points is not None:
        check_points("--keep-points", points)
        if text is None:
            raise InvalidArgument(
                "--keep-points", points, "says nothing without --keep-measurements", "For instance 90d"
            )
    return None if text is None else parse_duration("--keep-measurements", text)


def key_of(file: Path | None) -> bytes | None:
    """What the file holds, blanks at its ends aside. Raises InvalidArgument."""
    if file is None:
        return None
    try:
        key = file.read_bytes().strip()
    except OSError as error:
        raise InvalidArgument("--key-file", str(file), f"cannot be read: {error.strerror}") from error
    if len(key) < SHORTEST_KEY:
        raise InvalidArgument(
            "--key-file",
            str(file),
            f"holds {len(key)} bytes, and must hold {SHORTEST_KEY} or more",
            "For instance what `openssl rand -hex 32` prints",
        )
    check_key("--key-file", file)
    return key


def warn_of_key(file: Path | None, *, authenticated: bool, shared: bool) -> None:
    """Says who else may have the key that attempts' tokens are made from. `shared`: the database is a PostgreSQL, which
    has administrators and backups of its own."""
    if file is None and authenticated and shared:
        logger.warning(
            "tokens of attempts are made from a key in the database: who reads that or a backup can speak for any "
            "attempt. --key-file keeps the key elsewhere",
            extra={"action": "key"},
        )


def tls_files(cert: Path | None, key: Path | None, client_ca: Path | None) -> TlsFiles | None:
    """Raises InvalidArgument if one is missing beside the others, or cannot be used."""
    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        lacking = "--tls-cert" if cert is None else "--tls-key"
        raise InvalidArgument(
            lacking, MISSING, "is missing", "TLS takes --tls-cert and --tls-key, and perhaps --client-ca"
        )
    files = TlsFiles(cert, key, client_ca)
    files.check()
    check_key("--tls-key", key)
    return files


def beyond_loopback(address: str, option: str = "--listen") -> bool:
    """Whether other machines can reach it. Raises InvalidArgument unless it is `host:port`."""
    host, colon, port = address.rpartition(":")
    if not host or not colon or not port.isdigit() or not 0 <= int(port) <= 65_535:
        raise InvalidArgument(option, address, "must be HOST:PORT", f"For instance {DEFAULT_LISTEN}")
    return not is_loopback(host)
