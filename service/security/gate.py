"""The gate that every call passes: who calls, may it, and is it not too much."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ...domain.errors import PermissionDenied, Unauthenticated
from ...storage.store import Store
from ..settings import ServiceSettings
from .authorize import RULES, authorize
from .callers import LOCAL, Caller, anonymous
from .tokens import Tokens

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "/wazir.v1.StudyService/"

OPEN = frozenset({"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health/List"})
"""For everybody: probes of load balancers and of Kubernetes have no token, and hear only whether the service is up."""

KNOWN_CALLERS = frozenset(
    {
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    }
)
"""For everybody with a token, whatever it is for: what they tell is the published API."""

UNIX = "unix:"


class Gate:
    """For one event loop. `clock`: Unix seconds."""

    def __init__(self, store: Store, settings: ServiceSettings, clock: Callable[[], float] = time.time) -> None:
        self._authenticates = settings.authenticate
        self._tokens = Tokens(store, settings.token_max_age, clock)

    async def admit(self, method: str, request: Any, context: Context) -> Caller:
        """Whoever may make that call. Raises Unauthenticated, PermissionDenied and ResourceExhausted; InvalidArgument
        where the request names nothing that could be looked at."""
        if method in OPEN:
            return anonymous(host_of(context.peer()))
        caller = await self.caller(context)
        if method in KNOWN_CALLERS:
            return caller
        rule = RULES.get(method.removeprefix(SERVICE))
        if rule is None:
            raise PermissionDenied(f"{method} is a call that nobody may make; this service is at fault")
        authorize(caller, rule.verb, rule.name(request))
        return caller

    async def caller(self, context: Context) -> Caller:
        """Who calls. Raises Unauthenticated."""
        peer = context.peer()
        if peer.startswith(UNIX):
            return LOCAL
        if not self._authenticates:
            return anonymous(host_of(peer))
        return await self._tokens.caller(bearer(context.invocation_metadata() or ()))


def bearer(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The token in `authorization: Bearer ...` (RFC 6750). Raises Unauthenticated where there is not exactly one."""
    found = [value for key, value in metadata if key == "authorization"]
    if not found:
        raise Unauthenticated(
            "this service asks for a token, and the call has none: set WAZIR_TOKEN or WAZIR_TOKEN_FILE (as a header: "
            "`authorization: Bearer TOKEN`). `wazir token create` beside its database makes one"
        )
    scheme, _, token = str(found[0]).partition(" ")
    if len(found) > 1 or scheme.lower() != "bearer":
        raise Unauthenticated("the call's `authorization` must be one token, as `Bearer TOKEN`")
    return token.strip()


def host_of(peer: str) -> str:
    """The host of a gRPC peer, `ipv4:10.1.2.3:4567` or `ipv6:%5B::1%5D:4567`."""
    return peer.rpartition(":")[0]
