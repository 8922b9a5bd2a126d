"""TLS of the server: its certificate, and the authority that clients' certificates come from (mTLS).

Files are read again when they change, so a renewed certificate needs no restart: connections made before go on with
the old one.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from ...domain.errors import InvalidArgument

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """In PEM. `cert` with its chain, leaf first. With `client_ca` only clients with a certificate of that authority are
    heard."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def check(self) -> None:
        """Raises InvalidArgument where a file is missing or no such thing, or the key is not the certificate's. gRPC
        itself would start, and then refuse every client."""
        for field, path in (("--tls-cert", self.cert), ("--tls-key", self.key), ("--client-ca", self.client_ca)):
            if path is not None:
                try:
                    path.read_bytes()
                except OSError as error:
                    raise InvalidArgument(field, str(path), f"cannot be read: {error.strerror}") from error
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # An empty password keeps OpenSSL from asking for one at the terminal.
            context.load_cert_chain(self.cert, self.key, password="")
        except ssl.SSLError as error:
            rule = f"is not a certificate in PEM that matches the unencrypted key {self.key} ({_words(error)})"
            raise InvalidArgument("--tls-cert", str(self.cert), rule) from error
        if self.client_ca is not None:
            try:
                context.load_verify_locations(self.client_ca)
            except ssl.SSLError as error:
                rule = f"contains no certificate of an authority in PEM ({_words(error)})"
                raise InvalidArgument("--client-ca", str(self.client_ca), rule) from error

    def credentials(self) -> grpc.ServerCredentials:
        """Raises InvalidArgument as `check` does."""
        self.check()
        current = self._versions()

        def renewed() -> grpc.ServerCertificateConfiguration | None:
            # Asked by gRPC at every handshake. None: as before.
            nonlocal current
            try:
                versions = self._versions()
                if versions == current:
                    return None
                self.check()
                configuration = self._configuration()
            except (OSError, InvalidArgument) as error:
                # Halfway through a renewal, perhaps: certificate and key are two files.
                logger.warning("keeping the certificate there was: %s", error, extra={"action": "tls_not_renewed"})
                return None
            current = versions
            logger.info("took up the certificate in %s", self.cert, extra={"action": "tls_renewed"})
            return configuration

        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            renewed,  # type: ignore[arg-type]  # the stubs have forgotten None
            require_client_authentication=self.client_ca is not None,
        )

    def _versions(self) -> list[tuple[int, int]]:
        stats = [path.stat() for path in (self.cert, self.key, self.client_ca) if path is not None]
        # The inode too: certificates in Kubernetes are swapped by a link, and may have the same time.
        return [(stat.st_mtime_ns, stat.st_ino) for stat in stats]

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(self.key.read_bytes(), self.cert.read_bytes())],
            None if self.client_ca is None else self.client_ca.read_bytes(),
        )


def _words(error: ssl.SSLError) -> str:
    return (error.reason or "unreadable").lower().replace("_", " ")
