"""A service that asks for tokens, on threads of this test, and its store, to make tokens in and to look at."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from wazir.domain.access import EVERY_OWNER, Role
from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.study import Algorithm, StudySpec
from wazir.service.security.tokens import make, revoke
from wazir.service.server import Server
from wazir.service.settings import ServiceSettings
from wazir.storage.memory import MemoryStore
from wazir.storage.store import Store

M = TypeVar("M", bound=Message)

SPEC = StudySpec(
    (Objective("loss", Goal.MINIMIZE),),
    Space((Parameter("x", Double(0.0, 1.0)),)),
    algorithm=Algorithm("random", seed=1),
)
SETTINGS = ServiceSettings(authenticate=True, token_max_age=0.0)
"""Every call looks at its token anew, so that no test waits for one to be revoked."""


@dataclass(frozen=True)
class Served:
    address: str
    store: Store

    def token(
        self, owner: str = EVERY_OWNER, role: Role = Role.ADMIN, *, age: float = 0.0, expires_in: float | None = None
    ) -> str:
        """The text of a token made `age` seconds ago, to expire `expires_in` seconds later."""
        token, text = make(owner, role, "", time.time() - age, expires_in)
        self.store.write(lambda tx: tx.insert_token(token))
        return text

    def call(self, method: str, request: Message, response: type[M]) -> M:
        """A call as any gRPC client makes it, without a token."""
        with grpc.insecure_channel(self.address) as channel:
            path = f"/wazir.v1.StudyService/{method}"
            call: Any = channel.unary_unary(path, type(request).SerializeToString, response.FromString)
            answer: M = call(request, timeout=30)
            return answer

    def revoke(self, text: str) -> None:
        self.store.write(lambda tx: revoke(tx, text.split("_")[1], time.time()))


@contextmanager
def serving(
    settings: ServiceSettings = SETTINGS, store: Store | None = None, listen: str = "127.0.0.1:0", also: str = ""
) -> Iterator[Served]:
    """`store`: closed by whoever gave it."""
    kept = store or MemoryStore()
    server = Server(kept, [listen, also] if also else [listen], settings)
    started = threading.Event()
    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        ended = asyncio.Event()
        ends.append((asyncio.get_running_loop(), ended))
        try:
            await server.start()
        finally:
            started.set()
        await ended.wait()
        await server.stop(0)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    started.wait()
    address = listen if listen.startswith("unix:") else f"127.0.0.1:{server.ports[0]}"
    try:
        yield Served(address, kept)
    finally:
        loop, ended = ends[0]
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        if store is None:
            kept.close()
