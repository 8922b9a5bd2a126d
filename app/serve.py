"""`wazir serve`: the study service as a process."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path

import click

from ..clients.cli.errors import reported
from ..domain.errors import InvalidArgument
from ..service.settings import ServiceSettings
from .local_service import LocalService
from .logs import log_to_stderr
from .options import database_option

DEFAULT_LISTEN = "127.0.0.1:8470"


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
@click.option("--drain", default=10.0, show_default=True, help="Seconds that calls in flight get at the end.")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@reported
def serve(db: Path, listen: tuple[str, ...], drain: float, verbose: bool) -> None:
    """Serve studies to clients, workers and controllers, until Ctrl-C or SIGTERM."""
    log_to_stderr(logging.DEBUG if verbose else logging.INFO)
    for address in listen:
        check_address(address)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    settings = ServiceSettings(drain=drain)
    with LocalService(db, listen=listen, settings=settings, stand_by=False) as service:
        for address, port in zip(listen, service.ports, strict=True):
            host = address.rpartition(":")[0]
            click.echo(f"Serving {service.database} at {host}:{port} and {service.address}", err=True)
        ended.wait()
        click.echo("Ending: calls in flight are answered first ...", err=True)


def check_address(address: str) -> None:
    """Raises InvalidArgument unless it is `host:port` on the loopback: calls are not authenticated."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or not 0 <= int(port) <= 65_535:
        raise InvalidArgument("--listen", address, "must be HOST:PORT", f"For instance {DEFAULT_LISTEN}")
    if host.strip("[]") not in ("127.0.0.1", "localhost", "::1"):
        raise InvalidArgument(
            "--listen",
            address,
            "is no address of the loopback, and calls are not authenticated yet",
            "Listen on 127.0.0.1 and reach it through an SSH tunnel",
        )
