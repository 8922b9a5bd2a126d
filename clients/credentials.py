"""What a client shows to a service, and how it knows the service: a token, and TLS.

    token       WAZIR_TOKEN, or the file that WAZIR_TOKEN_FILE names
    TLS         WAZIR_CA: a file with the certificates (PEM) of the authorities to trust, or WAZIR_CA_PEM: these
                certificates themselves; or WAZIR_TLS=1 to trust the public ones. WAZIR_CLIENT_CERT and
                WAZIR_CLIENT_KEY where the service asks for a certificate (mTLS)

A token goes over TLS, to the loopback, or nowhere: WAZIR_PLAINTEXT_TOKEN=1 sends it unencrypted. Over a Unix
socket neither is used, because the permissions of its file say who may call.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..domain.errors import MISSING, InvalidArgument
from .local_address import is_loopback

TOKEN_VARIABLE = "WAZIR_TOKEN"
TOKEN_FILE_VARIABLE = "WAZIR_TOKEN_FILE"
CA_VARIABLE = "WAZIR_CA"
CA_PEM_VARIABLE = "WAZIR_CA_PEM"
TLS_VARIABLE = "WAZIR_TLS"
CERT_VARIABLE = "WAZIR_CLIENT_CERT"
KEY_VARIABLE = "WAZIR_CLIENT_KEY"
PLAINTEXT_VARIABLE = "WAZIR_PLAINTEXT_TOKEN"

AnyPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM. `ca`: the authorities to trust; None is the public ones, as gRPC ships them. `cert` and `key`: the
    client's own certificate, with its chain, and its key; both or neither. `ca_pem`: what the file `ca` would hold."""

    ca: AnyPath | None = None
    cert: AnyPath | None = None
    key: AnyPath | None = None
    ca_pem: str = ""

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            given, lacking = ("cert", "key") if self.key is None else ("key", "cert")
            raise InvalidArgument(
                f"tls.{lacking}", MISSING, f"is missing beside tls.{given}", f"Name both, or neither ({KEY_VARIABLE})"
            )

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """The authorities, the key and the certificate: what gRPC takes. Raises InvalidArgument if a file is
        missing, or is not what it should be, which gRPC would only tell as a service that is away."""
        ca = self.ca_pem.encode() if self.ca is None and self.ca_pem else _read("tls.ca", self.ca)
        read = (ca, _read("tls.key", self.key), _read("tls.cert", self.cert))
        # Here and not above: a client without TLS does not need it.
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if ca is not None:
                what, path = ("tls.ca", self.ca) if self.ca is not None else (CA_PEM_VARIABLE, "...")
                context.load_verify_locations(cadata=ca.decode("ascii", "replace"))
            if self.cert is not None:
                what, path = "tls.cert", self.cert
                # An empty password keeps OpenSSL from asking for one at the terminal.
                context.load_cert_chain(self.cert, self.key, password="")
        except ssl.SSLError as error:
            pair = " that goes with the unencrypted tls.key" if what == "tls.cert" else ""
            raise InvalidArgument(what, os.fspath(path), f"holds no certificate in PEM{pair}") from error
        return read


@dataclass(frozen=True, slots=True)
class Credentials:
    """Of a client for one service, as `find` finds them."""

    token: str = field(default="", repr=False)
    tls: Tls | None = None

    @classmethod
    def find(
        cls,
        address: str,
        token: str | None = None,
        tls: Tls | bool | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Credentials:
        """For the service at that address: what is given, and for what is None what the environment says. `tls`: True
        is TLS with the public authorities, False is none.

        Raises InvalidArgument, also if the token would travel unencrypted.
        """
        if address.startswith("unix:"):
            return cls()
        if token is None:
            token = environment.get(TOKEN_VARIABLE) or None
            if token is None and (file := environment.get(TOKEN_FILE_VARIABLE)):
                token = token_of_file(TOKEN_FILE_VARIABLE, file)
        if tls is None:
            tls = _tls(environment)
        elif isinstance(tls, bool):
            tls = Tls() if tls else None
        readable = tls is None and not is_loopback(address.rpartition(":")[0])
        if token and readable and environment.get(PLAINTEXT_VARIABLE, "") != "1":
            raise InvalidArgument(
                "token",
                MISSING,
                f"would travel unencrypted to {address}",
                f"Use TLS ({CA_VARIABLE}, --ca or `tls=`), or set {PLAINTEXT_VARIABLE}=1 if the network encrypts",
            )
        return cls(_checked(token or ""), tls)

    def environment(self, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The variables that say the same elsewhere, where no file of this machine is, but for what is secret."""
        if self.tls is None:
            return {PLAINTEXT_VARIABLE: "1"} if environment.get(PLAINTEXT_VARIABLE) == "1" else {}
        ca, _, _ = self.tls.read()
        return {TLS_VARIABLE: "1"} if ca is None else {CA_PEM_VARIABLE: ca.decode("ascii", "replace")}

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()


def _tls(environment: Mapping[str, str]) -> Tls | None:
    ca, wanted = environment.get(CA_VARIABLE) or None, environment.get(TLS_VARIABLE, "")
    pem = "" if ca is not None else environment.get(CA_PEM_VARIABLE, "")
    if wanted not in ("", "0", "1"):
        raise InvalidArgument(TLS_VARIABLE, wanted, "must be 1 or 0")
    if ca is None and not pem and wanted != "1":
        return None
    return Tls(ca, environment.get(CERT_VARIABLE) or None, environment.get(KEY_VARIABLE) or None, pem)


def token_of_file(field: str, path: AnyPath) -> str:
    """The token that a file holds. `field`: what named the file, for the InvalidArgument if it cannot be used."""
    text = _read(field, path)
    assert text is not None
    token = text.decode(errors="replace").strip()
    if not token:
        raise InvalidArgument(field, os.fspath(path), "is an empty file", "It must hold a token and nothing else")
    return token


def _checked(token: str) -> str:
    """The token if it can be sent. The message never repeats it."""
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise InvalidArgument(
            "token", MISSING, "holds blanks, line ends or letters that no token has", "Copy it again, in one piece"
        )
    return token


def _read(field: str, path: AnyPath | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidArgument(field, os.fspath(path), f"cannot be read: {error.strerror}") from error
