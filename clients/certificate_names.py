"""The names in a service's certificate, for a client that called it by another: gRPC says only that they differ."""

from __future__ import annotations

import os
import socket
from typing import Any

from .credentials import Tls

PATIENCE = 2.0
"""Seconds for a handshake with a service that has just answered."""


def certificate_names(address: str, tls: Tls) -> list[str]:
    """What the certificate at `host:port` is for: DNS names and IP addresses. Empty if it cannot be had, or if no
    authority that `tls` trusts has issued it."""
    import ssl

    ca, _, cert = tls.read()
    context = ssl.create_default_context(cadata=None if ca is None else ca.decode("ascii", "replace"))
    context.check_hostname = False  # the name is what is asked for; the authority is checked
    context.set_alpn_protocols(["h2"])
    if cert is not None and tls.cert is not None:
        context.load_cert_chain(os.fspath(tls.cert), tls.key, password="")

    host, _, port = address.rpartition(":")
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname=host.strip("[]")) as secured,
        ):
            certificate: Any = secured.getpeercert() or {}
    except OSError:
        return []
    return [str(value) for _, value in certificate.get("subjectAltName", ())]
