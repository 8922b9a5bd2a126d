"""What options of `wazir serve` must be, alone and together. Each function raises InvalidArgument naming the option."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

from ..clients.local_address import is_loopback
from ..domain.document import parse_duration
from ..domain.errors import MISSING, InvalidArgument
from ..service.security.attempt_tokens import SHORTEST_KEY
from ..service.security.tls import TlsFiles
from .private_files import check_key
from .thin import check_points

DEFAULT_LISTEN = "127.0.0.1:8470"
SHORTEST_AUDIT = 3_600.0
"""Seconds: what is asked about is hardly ever younger."""

logger = logging.getLogger(__name__)


def check_listen(listen: Sequence[str], *, authenticated: bool, encrypted: bool) -> None:
    """Refuses addresses that other machines can reach, unless callers are `authenticated` and traffic is `encrypted`,
    or the user has said that they need not be."""
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


def check_probe_addresses(*, metrics: str | None, health: str | None) -> None:
    """Where Prometheus and probes ask, without a token. Health may be beyond this machine: it tells nothing but whether
    the service is up."""
    if metrics is not None and beyond_loopback(metrics, "--metrics"):
        raise InvalidArgument(
            "--metrics",
            metrics,
            "is beyond this machine, and figures are shown without authentication",
            "Listen on 127.0.0.1, and let an agent or a proxy on this machine pass them on",
        )
    if health is not None:
        beyond_loopback(health, "--health")


def check_drain(seconds: float) -> None:
    if not 0 <= seconds < math.inf:
        raise InvalidArgument("--drain", seconds, "must be 0 or more seconds, and finite", "For instance 10")


def audit_time(text: str) -> float:
    """Seconds for which audit records are kept."""
    keep = parse_duration("--audit-keep", text)
    if keep < SHORTEST_AUDIT:
        raise InvalidArgument("--audit-keep", text, "must be an hour or more")
    return keep


def measurements_time(text: str | None, points: int | None) -> float | None:
    """Seconds for which whole curves are kept; None: forever. `points` without it are refused."""
    if points is not None:
        check_points("--keep-points", points)
        if text is None:
            raise InvalidArgument(
                "--keep-points", points, "says nothing without --keep-measurements", "For instance 90d"
            )
    return None if text is None else parse_duration("--keep-measurements", text)


def key_of(file: Path | None) -> bytes | None:
    """What the file holds, blanks at its ends aside."""
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
    """Refuses them if one is missing beside the others, or cannot be used."""
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
    """Whether other machines can reach it, which is HOST:PORT."""
    host, colon, port = address.rpartition(":")
    if not host or not colon or not port.isdigit() or not 0 <= int(port) <= 65_535:
        raise InvalidArgument(option, address, "must be HOST:PORT", f"For instance {DEFAULT_LISTEN}")
    return not is_loopback(host)
