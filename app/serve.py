"""`wazir serve`: the study service as a process."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import click

from ..clients.cli.errors import Exit, reported
from ..clients.cli.terminal import say
from ..domain.database import Database, shown
from ..domain.errors import FailedPrecondition
from ..service.auditing.settings import AuditSettings
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
from .private_files import check_database
from .quotas import quotas_of
from .serve_options import (
    DEFAULT_LISTEN,
    audit_time,
    check_drain,
    check_listen,
    check_probe_addresses,
    key_of,
    measurements_time,
    tls_files,
    warn_of_key,
)
from .signals import heard

FILE = click.Path(path_type=Path, dir_okay=False)


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
    help="Keep the curves of studies that have ended whole for so long, such as 90d; without it, forever.",
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

    check_probe_addresses(metrics=metrics, health=health)
    tls = tls_files(tls_cert, tls_key, client_ca)
    check_listen(
        listen,
        authenticated=auth != "none" or client_ca is not None or insecure_without_authentication,
        encrypted=tls is not None or insecure_without_tls,
    )
    check_drain(drain)

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
