"""The asyncio client: the calls of `calls.py`, awaited. Only waiting differs from the blocking client."""

from __future__ import annotations

# Before all else that imports grpc.
from .grpc_import import grpc  # isort: split

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

from google.protobuf.message import Message

from ..domain.errors import Unavailable
from ..domain.names import DEFAULT_OWNER, check_id
from ..proto.v1 import study_service_pb2_grpc
from . import calls
from .calls import AnyStudy, Call, Pages, study_name
from .client import CALL_TIMEOUT, RETRY_FOR
from .credentials import Credentials, Tls
from .endpoint import OPTIONS, STREAM_SECONDS, Endpoint, Patience, resolve_address
from .method import as_method
from .watch import Cursor, StudyChanges, StudyCursor, TrialChanges, TrialCursor

P = ParamSpec("P")
T = TypeVar("T")


def _awaited(describe: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(describe(*args, **kwargs))

    return as_method(method, describe, "AsyncClient")


def _paged(describe: Callable[P, Pages[T]]) -> Callable[Concatenate[AsyncClient, P], AsyncGenerator[T, None]]:
    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        return self._pages(describe(*args, **kwargs))

    return as_method(method, describe, "AsyncClient")


def _listed(describe: Callable[P, Pages[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, list[T]]]:
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        return [item async for item in self._pages(describe(*args, **kwargs))]

    return as_method(method, describe, "AsyncClient")


class AsyncClient:
    """The methods of `Client`, to be awaited; lists and watches are for `async for`. Errors and arguments are the same.

    For one event loop at a time: after `close`, or when a loop has ended, it goes on in the next one with a channel of
    its own. A call that is cancelled is cancelled at the service, and its outcome is unknown.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        database: str | os.PathLike[str] | None = None,
        retry_for: float = RETRY_FOR,
        timeout: float = CALL_TIMEOUT,
        token: str | None = None,
        tls: Tls | bool | None = None,
    ) -> None:
        """As `Client` has it. Nothing is connected yet, and no loop needs to run."""
        address = resolve_address(address, database)
        self._endpoint = Endpoint(address, Credentials.find(address, token, tls))
        self._retry_for = retry_for
        self._timeout = timeout
        self._channel: grpc.aio.Channel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stub: Any = None

    @property
    def address(self) -> str:
        return self._endpoint.address

    def environment(self) -> dict[str, str]:
        """What another machine's process needs in its environment to reach the service as this client does. Of what
        only this client may show, its token and its certificate's key, there is nothing in it."""
        return self._endpoint.credentials.environment()

    @property
    def retry_for(self) -> float:
        return self._retry_for

    async def close(self) -> None:
        """Ends calls and watches in flight. Harmless to repeat."""
        channel, self._channel, self._stub = self._channel, None, None
        if channel is not None and self._loop is asyncio.get_running_loop():
            await channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Studies

    create_study = _awaited(calls.create_study)
    get_study = _awaited(calls.get_study)
    list_studies = _paged(calls.list_studies)
    audit_records = _paged(calls.audit_records)
    update_study = _awaited(calls.update_study)
    delete_study = _awaited(calls.delete_study)
    pause_study = _awaited(calls.pause_study)
    resume_study = _awaited(calls.resume_study)
    stop_study = _awaited(calls.stop_study)
    best_trials = _listed(calls.best_trials)
    study_progress = _awaited(calls.study_progress)
    suggest = _awaited(calls.suggest)

    # Trials

    create_trial = _awaited(calls.create_trial)
    get_trial = _awaited(calls.get_trial)
    attempt_token = _awaited(calls.attempt_token)
    list_trials = _paged(calls.list_trials)
    delete_trial = _awaited(calls.delete_trial)
    measurements = _listed(calls.measurements)
    stop_trial = _awaited(calls.stop_trial)
    cancel_trial = _awaited(calls.cancel_trial)
    retry_trial = _awaited(calls.retry_trial)

    # Attempts: `attempt` is the number of the trial's current one; StaleAttempt is raised if it no longer is

    start_attempt = _awaited(calls.start_attempt)
    add_parameter = _awaited(calls.add_parameter)
    heartbeat = _awaited(calls.heartbeat)
    report = _awaited(calls.report)
    end_attempt = _awaited(calls.end_attempt)

    # Metadata and watching

    update_metadata = _awaited(calls.update_metadata)

    def watch_trials(self, study: AnyStudy, since: int = 0) -> AsyncGenerator[TrialChanges, None]:
        """The study and its trials as they change after revision `since` (0: all there are, first), through restarts
        of the service. Raises as a blocking watch does."""
        return self._watch(TrialCursor(study_name(study), since))

    def watch_studies(self, owner: str = DEFAULT_OWNER) -> AsyncGenerator[StudyChanges, None]:
        """The owner's studies as they change, the present ones first."""
        return self._watch(StudyCursor(check_id("owner", owner)))

    # How it is done

    async def _run(self, call: Call[T]) -> T:
        timeout = self._timeout if call.timeout is None else call.timeout
        patience = Patience(self._retry_for, time.monotonic())
        broken_off = False
        while True:
            try:
                answer = await self._open(call.method)(call.request, timeout=timeout, metadata=self._endpoint.metadata)
            except grpc.aio.AioRpcError as error:
                told = self._endpoint.explain(error, timeout)
                if broken_off and call.done_where is not None and isinstance(told, call.done_where):
                    return cast(T, None)
                wait = patience.wait_after(told, time.monotonic())
                if wait is None:
                    raise told from None
                # What was refused for being too much was certainly not done.
                broken_off |= isinstance(told, Unavailable)
            else:
                return call.read(answer)
            await asyncio.sleep(wait)

    async def _pages(self, pages: Pages[T]) -> AsyncGenerator[T, None]:
        next_page: Call[Any] | None = pages.first()
        while next_page is not None:
            answer = await self._run(next_page)
            for item in pages.items(answer):
                yield item
            next_page = pages.after(answer)

    async def _watch(self, cursor: Cursor[T]) -> AsyncGenerator[T, None]:
        # Counted from the break: a stream may have been quiet for longer than that before.
        patience = Patience(self._retry_for)
        while True:
            request: Message = cursor.request()
            call = self._open(cursor.method)(request, timeout=STREAM_SECONDS, metadata=self._endpoint.metadata)
            wait, answered = None, False
            try:
                async for response in call:
                    patience.answered()
                    answered = True
                    yield cursor.read(response)
            except grpc.aio.AioRpcError as error:
                told = self._endpoint.explain_stream(error, answered=answered)
                if told is None:
                    continue
                wait = patience.wait_after(told, time.monotonic())
                if wait is None and not cursor.restarts(told):
                    raise told from None
            finally:
                call.cancel()
            await asyncio.sleep(patience.pause() if wait is None else wait)

    def _open(self, method: str) -> Any:
        """The stub's method, on a channel of the running loop."""
        loop = asyncio.get_running_loop()
        if self._stub is None or self._loop is not loop:
            # A channel of a loop that has ended cannot be closed any more.
            if self._endpoint.tls is None:
                self._channel = grpc.aio.insecure_channel(self.address, OPTIONS)
            else:
                self._channel = grpc.aio.secure_channel(self.address, self._endpoint.tls, OPTIONS)
            self._stub = study_service_pb2_grpc.StudyServiceStub(self._channel)
            self._loop = loop
        return getattr(self._stub, method)
