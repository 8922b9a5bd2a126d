"""The way to a service, before anything is sent: its address, what is shown to it, and its errors in our own words.

The blocking and the asynchronous connection have this in common; they differ in how they wait.
"""

from __future__ import annotations

# Before all else that imports grpc.
from .grpc_import import grpc  # isort: split

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..domain.database import POSTGRESQL, database_of, mask_password, read_database
from ..domain.database import shown as database_shown
from ..domain.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, RateLimited, Unavailable, WazirError
from ..wire.errors import STATUS_KEY, from_rpc
from .certificate_names import certificate_names
from .credentials import CA_VARIABLE, TLS_VARIABLE, Credentials
from .local_address import address_of, socket_of
from .pauses import pauses

ADDRESS_VARIABLE = "WAZIR_ADDRESS"

OPTIONS: list[tuple[str, int]] = [
    # A list of a thousand trials passes gRPC's own 4 MiB.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
    # A peer that vanished without a word is noticed, in calls and in streams that are quiet.
    ("grpc.keepalive_time_ms", 15_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # The same where the other kernel, or a proxy, goes on to acknowledge what nobody reads: gRPC's own is a minute.
    ("grpc.http2.ping_timeout_ms", 10_000),
    # Our own pauses are the longer ones; a service that is back is found at once.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A forked child's channel would otherwise share the parent's sockets.
    ("grpc.use_local_subchannel_pool", 1),
]

STREAM_SECONDS = 300.0
"""For which one stream of a watch goes on, until the next one takes its place. Pings are answered by whatever is
connected: a proxy whose server has vanished, or a process that is stuck behind its own sockets."""

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\s:/\[\]]+):(\d{1,5})")


def check_address(address: str, field: str = "address") -> str:
    """`address` itself if it is `host:port` or `unix:/path`. Raises InvalidArgument."""
    match = _HOST_AND_PORT.fullmatch(address)
    if (match and 0 < int(match[2]) <= 65_535) or re.fullmatch(r"unix:/[^\0]+", address):
        return address
    hint = 'For instance "localhost:8470"'
    if address.partition(":")[0] in (*POSTGRESQL, "sqlite"):
        hint = "A database is named by --db, `database=` or WAZIR_DB"
    elif "://" in address:
        hint = f'Without the scheme: "{mask_password(address).partition("://")[2].rstrip("/")}"'
    raise InvalidArgument(field, mask_password(address), "must be host:port or unix:/path", hint)


def resolve_address(address: str | None = None, database: str | os.PathLike[str] | None = None) -> str:
    """The service to talk to: `address`, else that of `database`, else WAZIR_ADDRESS, else that of this folder.

    `database`: a file, or a URL as for `--db`. A folder's database is WAZIR_DB or `.wazir/wazir.db`. Raises
    InvalidArgument on a malformed address or URL, and Unavailable if nothing is named and this folder has no service.
    """
    if address is not None:
        return check_address(address)
    if database is None and (named := os.environ.get(ADDRESS_VARIABLE)):
        return check_address(named, ADDRESS_VARIABLE)
    place = read_database(database, "database") if database else database_of(os.environ)
    if isinstance(place, Path):
        place = place.absolute()
    if database is None and not socket_of(place).exists():
        raise Unavailable(
            f"no service is named, and none serves {database_shown(place)}; start one with `wazir serve` there, "
            f"or name one by `address=` or {ADDRESS_VARIABLE}"
        )
    return address_of(place)


def wait_after(error: WazirError, pause: float, rest: float) -> float | None:
    """Seconds to wait before a call that failed is made again; None if it is not to be made again. `pause`: those
    that patience has next; `rest`: those that it has left.

    A service that limits calls and says how long to wait is obeyed, or not asked again. One that is away for the moment
    is asked a last time when patience ends.
    """
    if rest <= 0:
        return None
    if isinstance(error, RateLimited):
        return max(pause, error.retry_after) if error.retry_after <= rest else None
    return min(max(pause, error.retry_after), rest) if isinstance(error, Unavailable) else None


OTHER_NAME = ("is not in peer certificate", "Hostname Verification Check failed")
"""gRPC's words, of older and newer versions, for a certificate of another name than the one that was called."""


class Patience:
    """Decides whether and when what failed is tried again. Times are of one clock, in seconds.

    `retry_for`: how long a service may be away, counted from `since`; None: from the first failure, or from the first
    one after an answer.
    """

    def __init__(self, retry_for: float, since: float | None = None) -> None:
        self._retry_for = retry_for
        self._until = None if since is None else since + retry_for
        self._pauses: Iterator[float] = pauses()

    def answered(self) -> None:
        """The service is there."""
        self._until, self._pauses = None, pauses()

    def wait_after(self, error: WazirError, now: float) -> float | None:
        """Seconds to wait before the next try; None: there is to be none."""
        if self._until is None:
            self._until = now + self._retry_for
        return wait_after(error, next(self._pauses), self._until - now)

    def pause(self) -> float:
        """Seconds to wait before the next try if that does not depend on an error."""
        return next(self._pauses)


class Endpoint:
    """One service. `address` as `check_address` has it. Raises InvalidArgument if a file of the credentials cannot
    be read."""

    def __init__(self, address: str, credentials: Credentials | None = None) -> None:
        self.address = check_address(address)
        self.credentials = credentials = credentials or Credentials()
        self.metadata = credentials.metadata
        # Read here: a missing file is to be told at once, and not by the first call in some thread.
        self.tls = None if credentials.tls is None else grpc.ssl_channel_credentials(*credentials.tls.read())

    def explain(self, error: grpc.RpcError, timeout: float | None = None) -> WazirError:
        """The error behind a failed call, in words that name this service.

        To be raised `from None`: gRPC's own error says nothing to a caller. If its words are not the service's, they
        are in `details["grpc"]`.
        """
        call: Any = error  # what a call raises is a grpc.Call too
        told = self._explained(error, timeout)
        if not any(key == STATUS_KEY for key, _ in call.trailing_metadata() or ()):
            told.details["grpc"] = f"{call.code().name}: {call.details() or ''}"
        return told

    def explain_stream(self, error: grpc.RpcError, *, answered: bool) -> WazirError | None:
        """Like `explain`, of a stream that was given STREAM_SECONDS. None: nothing is wrong, only its time is up.
        `answered`: whether anything came of it, which is so at once if the service is there."""
        call: Any = error
        if call.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
            return self.explain(error)
        return None if answered else Unavailable(f"the service at {self.address} does not answer")

    def _explained(self, error: grpc.RpcError, timeout: float | None) -> WazirError:
        call: Any = error
        code: grpc.StatusCode = call.code()
        if any(key == STATUS_KEY for key, _ in call.trailing_metadata() or ()):
            return from_rpc(error)
        if code is grpc.StatusCode.UNAVAILABLE and (refusal := self._not_secured(call.details() or "")) is not None:
            return refusal
        # A server that is told to end cancels what it could not finish.
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            return Unavailable(
                f"no Wazir service answers at {self.address}; start one with `wazir serve`, or name another by "
                f"--address, `address=` or {ADDRESS_VARIABLE}",
                details={"address": self.address},
            )
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and timeout is not None:
            return DeadlineExceeded(f"the service at {self.address} did not answer within {timeout:g} s")
        return from_rpc(error)

    def _not_secured(self, words: str) -> WazirError | None:
        """The error if the two sides do not agree on TLS, which trying again would not change. `words`: gRPC's."""
        if any(sign in words for sign in OTHER_NAME):
            return self._other_name()
        if "CERTIFICATE_VERIFY_FAILED" in words:
            why = words.rpartition("CERTIFICATE_VERIFY_FAILED: ")[2].removesuffix(": OK")
            return FailedPrecondition(
                f"the certificate of the service at {self.address} is not trusted: {why}. Name the authority "
                f"that issued it (--ca, `tls=` or {CA_VARIABLE})"
            )
        if "WRONG_VERSION_NUMBER" in words:
            return FailedPrecondition(
                f"the service at {self.address} does not speak TLS: leave out --tls, --ca, `tls=`, {CA_VARIABLE} and "
                f"{TLS_VARIABLE}, or name another address"
            )
        if "Socket closed" in words:
            # As a service that ends hangs up too, it is tried again.
            wanted = "TLS (--ca, `tls=`)" if self.tls is None else "a client certificate (--client-cert)"
            return Unavailable(
                f"what listens at {self.address} hangs up: perhaps it asks for {wanted}, or it is about to end",
                details={"address": self.address},
            )
        return None

    def _other_name(self) -> FailedPrecondition:
        assert self.credentials.tls is not None
        host, _, port = self.address.rpartition(":")
        names = certificate_names(self.address, self.credentials.tls)
        known = f"for {', '.join(names)}, and not" if names else "not"
        usable = f", for instance {names[0]}:{port}" if names else ""
        return FailedPrecondition(
            f"the certificate of the service at {self.address} is {known} for {host}. Call it by a name in its "
            f"certificate{usable}, or have one issued for this name"
        )
