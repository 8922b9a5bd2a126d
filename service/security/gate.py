"""The gate that every call passes: who calls, may it, and is it not too much."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from ...domain.access import Role
from ...domain.errors import NotFound, PermissionDenied, Unauthenticated
from ...domain.names import StudyName
from ...domain.visible import on_one_line
from ...storage.store import Store, View
from ..attempts import current
from ..reads import Reads
from ..settings import ServiceSettings
from .attempt_tokens import PREFIX, AttemptTokens, shared_key
from .authorize import RULES, authorize
from .callers import LOCAL, Caller, OwnAttempt, anonymous
from .limits import Limits
from .recent import Recent
from .tokens import Tokens

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

T = TypeVar("T")
SERVICE = "/wazir.v1.StudyService/"
SUGGEST = SERVICE + "SuggestTrials"

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
_SHORTEST_PAUSE = 0.05
"""Seconds between two looks at whether the caller of a stream is still welcome."""
_LONGEST_CERTIFICATE_NAME = 200
_STUDIES = 10_000
"""Studies whose uid is in memory."""


class Gate:
    """For one event loop. `clock`: Unix seconds."""

    def __init__(self, store: Store, settings: ServiceSettings, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._settings = settings
        self.limits = Limits(settings.limits)
        self._reads = Reads(store, "gate")
        self._tokens = Tokens(self._reads, settings.token_max_age, clock)
        self._uids: Recent[StudyName, str | None] = Recent(self._read_uid, settings.token_max_age, _STUDIES)
        self.attempt_tokens: AttemptTokens | None = None
        """From `start` on, where callers are asked for tokens."""

    async def close(self) -> None:
        await self._reads.close()

    def note_uid(self, name: StudyName | None, uid: str | None) -> None:
        """A `feed.UidListener`: what an attempt's token was good for may be gone, or another study's."""
        if name is None:
            self._uids.forget_all()
        elif self._uids.last(name) != uid:
            self._uids.forget(name)

    async def start(self) -> None:
        """Takes up the servers' key, which the first of them makes."""
        if self._settings.authenticate:
            key = self._settings.server_key
            if key is None:
                key = await asyncio.to_thread(shared_key, self._store)
            self.attempt_tokens = AttemptTokens(key)

    async def identify(self, method: str, context: Context) -> Caller:
        """Who calls. Raises Unauthenticated, but for methods that are for everybody; and RateLimited."""
        return anonymous(host_of(context.peer())) if method in OPEN else await self.caller(context)

    def recognises(self, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
        """Whether a call needs no token, or bears one that was good when it was last looked at. Looks nothing up."""
        if self.attempt_tokens is None:
            return True
        try:
            token = bearer(metadata)
            if token.startswith(PREFIX):
                self.attempt_tokens.attempt(token)
                return True
        except Unauthenticated:
            return False
        return self._tokens.knows(token)

    async def admit(self, caller: Caller, method: str, request: Any) -> None:
        """Raises PermissionDenied and ResourceExhausted if the caller may not make that call; InvalidArgument where the
        request names nothing that could be looked at."""
        self.limits.call(caller)
        if method not in OPEN:
            await self.check(caller, method, request)
            if method == SUGGEST:
                self.limits.points(caller, request.count or 1)

    async def check(self, caller: Caller, method: str, request: Any) -> None:
        """Whether the caller may make that call. Raises PermissionDenied, StaleAttempt, NotFound, InvalidArgument."""
        if method in KNOWN_CALLERS:
            return
        rule = RULES.get(method.removeprefix(SERVICE))
        if rule is None:
            raise PermissionDenied(f"{method} is a call that nobody may make; this service is at fault")
        authorize(caller, rule.verb_of(request), rule.name(request))
        if caller.attempt is not None:
            await self._check_attempt(caller.attempt, request)

    async def caller(self, context: Context) -> Caller:
        """Who calls. Raises Unauthenticated."""
        peer = context.peer()
        if peer.startswith(UNIX):
            return LOCAL
        if self.attempt_tokens is None:
            return anonymous(host_of(peer), self._certificate(context))
        token = bearer(context.invocation_metadata() or ())
        if token.startswith(PREFIX):
            own = self.attempt_tokens.attempt(token)
            return Caller(f"attempt:{own.study_uid}/{own.trial.id}/{own.number}", own.trial.owner, Role.VIEWER, own)
        return await self._tokens.caller(token, lambda: self.limits.stranger(host_of(peer)))

    def _certificate(self, context: Context) -> str:
        """Whose certificate the caller has shown; empty where none is asked for."""
        if self._settings.tls is None or self._settings.tls.client_ca is None:
            return ""
        names = context.auth_context().get("x509_common_name") or context.peer_identities() or ()
        return ", ".join(on_one_line(name.decode(errors="replace")) for name in names)[:_LONGEST_CERTIFICATE_NAME]

    async def watched(
        self, method: str, request: Any, context: Context, responses: AsyncIterator[T]
    ) -> AsyncIterator[T]:
        """The responses of a stream, which goes on while its caller may make that call. Raises as `admit` does when
        that has come to an end: a token that is revoked ends what it began."""
        pause = max(self._settings.token_max_age, _SHORTEST_PAUSE)
        loop = asyncio.get_running_loop()
        due = loop.time() + pause
        following: asyncio.Future[T] | None = None
        try:
            while True:
                following = following or asyncio.ensure_future(anext(responses))
                await asyncio.wait((following,), timeout=max(0.0, due - loop.time()))
                if loop.time() >= due:
                    await self.check(await self.caller(context), method, request)
                    due = loop.time() + pause
                if following.done():
                    try:
                        response = following.result()
                    except StopAsyncIteration:
                        return
                    following = None
                    yield response
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _check_attempt(self, own: OwnAttempt, request: Any) -> None:
        """Raises NotFound where its study is gone, PermissionDenied where it speaks for another attempt, StaleAttempt
        where it has ended. Calls that carry an attempt are fenced by the service, and not looked up here."""
        if await self._uids.get(own.trial.parent) != own.study_uid:
            raise NotFound(own.trial.short, "The study that this token is of was deleted")
        number = getattr(request, "attempt", None)
        if number is None:
            current(await self._reads.read(lambda view: view.trial(own.trial)), own.number)
        elif number != own.number:
            raise PermissionDenied(
                f"this token is for attempt {own.number} of {own.trial.short}, and not for attempt {number}"
            )

    async def _read_uid(self, name: StudyName) -> str | None:
        def read(view: View) -> str | None:
            try:
                return view.study(name).uid
            except NotFound:
                return None

        return await self._reads.read(read)


def bearer(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The token in `authorization: Bearer ...` (RFC 6750). Raises Unauthenticated where there is not exactly one."""
    found = [value for key, value in metadata if key == "authorization"]
    if not found:
        raise Unauthenticated(
            "this service asks for a token, and the call has none: set WAZIR_TOKEN or WAZIR_TOKEN_FILE (as a header: "
            "`authorization: Bearer TOKEN`). `wazir token create` with its database makes one"
        )
    scheme, _, token = str(found[0]).partition(" ")
    if len(found) > 1 or scheme.lower() != "bearer":
        raise Unauthenticated("the call's `authorization` must be one token, as `Bearer TOKEN`")
    return token.strip()


def host_of(peer: str) -> str:
    """The host of a gRPC peer, `ipv4:10.1.2.3:4567` or `ipv6:%5B::1%5D:4567`."""
    return peer.rpartition(":")[0]
