"""One process of load: clients that go through their calls over and over, each with a connection of its own.

    python benchmarks/load.py WORKLOAD ADDRESS STUDIES FIRST CLIENTS

Raw stubs on one event loop, no retries, no conversions, so that the machine's cores are left to the server. Prints
`ready`, starts at a line on standard input, ends at the next one, and prints what it did: for each round trip of calls
the moment it ended (`time.monotonic`, the same clock for all processes of a machine) and the seconds of each call.

It imports nothing of the project outside `Wazir`, because OSS Vizier's clients run in Vizier's own environment.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Protocol

import grpc

DIMENSIONS = 8


class Workload(Protocol):
    """What one client does, again and again: a round of two calls, or of one."""

    def __init__(self, channel: grpc.aio.Channel, study: str, client: int) -> None:
        """`study`: its number, from 0, as text. It is there before the load."""

    async def first(self) -> Any:
        """The answer of the round's first call."""

    async def second(self, answer: Any) -> None:
        """The second call, where there is one."""


class Noop:
    """The floor: what gRPC itself costs these clients and a Python server."""

    def __init__(self, channel: grpc.aio.Channel, study: str, client: int) -> None:
        self._call: Any = channel.unary_unary("/wazir.benchmarks.Noop/Call")

    async def first(self) -> bytes:
        answer: bytes = await self._call(b"")
        return answer

    async def second(self, answer: Any) -> None:
        """Nothing."""


class Wazir:
    """SuggestTrials with `start`, which begins the attempt in the same transaction, then EndAttempt."""

    def __init__(self, channel: grpc.aio.Channel, study: str, client: int) -> None:
        from wazir.proto.v1 import study_service_pb2 as api
        from wazir.proto.v1 import study_service_pb2_grpc, trial_pb2

        stub: Any = study_service_pb2_grpc.StudyServiceStub(channel)
        self._suggest, self._end = stub.SuggestTrials, stub.EndAttempt
        self._report, self._get = stub.ReportMeasurements, stub.GetTrial
        self._reported, self._measurement, self._got = (
            api.ReportMeasurementsRequest,
            trial_pb2.Measurement,
            api.GetTrialRequest,
        )
        self._steps = 0
        self._ask = api.SuggestTrialsRequest(
            parent=f"owners/default/studies/load-{study}", count=1, client_id=f"client-{client}", start=True
        )
        self._told = api.EndAttemptRequest(cause=trial_pb2.CAUSE_SUCCEEDED, final_metrics={"loss": 0.5})

    async def first(self) -> str:
        (trial,) = (await self._suggest(self._ask)).trials
        assert len(trial.parameters) == DIMENSIONS
        name: str = trial.name
        # One that an earlier window left behind has lost its lease, and this is its next attempt.
        self._told.attempt = len(trial.attempts)
        return name

    async def second(self, answer: str) -> None:
        self._told.name = answer
        await self._end(self._told)


class Vizier:
    """SuggestTrials, whose operation OSS Vizier's server returns done, then CompleteTrial."""

    def __init__(self, channel: grpc.aio.Channel, study: str, client: int) -> None:
        from vizier._src.service import (  # type: ignore[import-not-found]  # only in Vizier's environment
            study_pb2,
            vizier_service_pb2,
            vizier_service_pb2_grpc,
        )

        stub: Any = vizier_service_pb2_grpc.VizierServiceStub(channel)
        self._suggest, self._complete = stub.SuggestTrials, stub.CompleteTrial
        self._response = vizier_service_pb2.SuggestTrialsResponse
        self._ask = vizier_service_pb2.SuggestTrialsRequest(
            parent=f"owners/default/studies/load-{study}", suggestion_count=1, client_id=f"client-{client}"
        )
        metric = study_pb2.Measurement.Metric(metric_id="loss", value=0.5)
        self._told = vizier_service_pb2.CompleteTrialRequest(final_measurement=study_pb2.Measurement(metrics=[metric]))

    async def first(self) -> str:
        operation = await self._suggest(self._ask)
        if not operation.done or operation.HasField("error"):
            raise RuntimeError(f"the operation did not come back done: {operation}")
        (trial,) = self._response.FromString(operation.response.value).trials
        assert len(trial.parameters) == DIMENSIONS
        name: str = trial.name
        return name

    async def second(self, answer: str) -> None:
        self._told.name = answer
        await self._complete(self._told)


class Report(Wazir):
    """ReportMeasurements of one live trial, at ever later steps."""

    async def first(self) -> Any:
        if not self._told.name:
            self._told.name = await super().first()
        self._steps += 1
        point = self._measurement(step=self._steps, metrics={"loss": 0.5})
        return await self._report(
            self._reported(name=self._told.name, attempt=self._told.attempt, measurements=[point])
        )

    async def second(self, answer: Any) -> None:
        """Nothing: the next report follows."""


class Get(Wazir):
    """GetTrial, of one of the first hundred trials."""

    async def first(self) -> Any:
        self._steps += 1
        return await self._get(self._got(name=f"{self._ask.parent}/trials/{self._steps % 100 + 1}"))

    async def second(self, answer: Any) -> None:
        """Nothing."""


class Look:
    """One call that only reads, about the study as a whole."""

    method: str

    def __init__(self, channel: grpc.aio.Channel, study: str, client: int) -> None:
        from wazir.proto.v1 import study_service_pb2 as api
        from wazir.proto.v1 import study_service_pb2_grpc

        self._call: Any = getattr(study_service_pb2_grpc.StudyServiceStub(channel), self.method)
        self._request = self.ask(getattr(api, f"{self.method}Request"), f"owners/default/studies/load-{study}")

    def ask(self, message: Any, study: str) -> Any:
        """The request about the study of that name."""
        return message(name=study)

    async def first(self) -> Any:
        return await self._call(self._request)

    async def second(self, answer: Any) -> None:
        """Nothing."""


class Show(Look):
    method = "GetStudy"


class Progress(Look):
    method = "GetStudyProgress"


class Best(Look):
    method = "ListOptimalTrials"

    def ask(self, message: Any, study: str) -> Any:
        return message(parent=study, limit=10)


class List(Look):
    """A page of the latest 100 trials."""

    method = "ListTrials"

    def ask(self, message: Any, study: str) -> Any:
        return message(parent=study, page_size=100, descending=True)


class Watch(Look):
    """A watch that goes on from the study's revision: up to its first answer."""

    method = "WatchTrials"

    def __init__(self, channel: grpc.aio.Channel, study: str, client: int) -> None:
        super().__init__(channel, study, client)
        self._show = Show(channel, study, client)

    def ask(self, message: Any, study: str) -> Any:
        return message(parent=study)

    async def first(self) -> Any:
        if not self._request.since:
            self._request.since = (await self._show.first()).revision
        stream = self._call(self._request)
        answer = await stream.read()
        stream.cancel()
        return answer


WORKLOADS: dict[str, type[Workload]] = {
    "noop": Noop,
    "wazir": Wazir,
    "report": Report,
    "get": Get,
    "list": List,
    "watch": Watch,
    "progress": Progress,
    "best": Best,
    "show": Show,
    "vizier": Vizier,
}


async def main(workload: str, address: str, studies: int, first: int, clients: int) -> None:
    """`first`: the number of this process's first client; client number i works on study i mod `studies`."""
    # A connection each: clients are on as many machines.
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options) for _ in range(clients)]
    work = [WORKLOADS[workload](c, str((first + i) % studies), first + i) for i, c in enumerate(channels)]
    await asyncio.gather(*(channel.channel_ready() for channel in channels))
    done: list[tuple[float, float, float]] = []
    stopping = False

    async def client(of: Workload) -> None:
        while not stopping:
            begin = time.monotonic()
            answer = await of.first()
            middle = time.monotonic()
            await of.second(answer)
            end = time.monotonic()
            done.append((end, middle - begin, end - middle))

    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)
    tasks = [asyncio.create_task(client(w)) for w in work]
    stop = loop.run_in_executor(None, sys.stdin.readline)
    # A client ends before it is told to where a call of it failed.
    await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
    stopping = True
    await asyncio.gather(*tasks)
    await asyncio.gather(*(channel.close() for channel in channels))
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
