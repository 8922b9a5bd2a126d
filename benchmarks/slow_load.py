"""Clients of one kind of study for `slow_study.py`: each asks for a trial, starts it and ends it, over and over.

    python benchmarks/slow_load.py ADDRESS PREFIX STUDIES CLIENTS PAUSE SECONDS

The clients are spread over studies PREFIX-0 and on; each has a connection of its own and rests PAUSE seconds between
two rounds, at moments of its own. Prints, as JSON, the seconds of every call of SuggestTrials that ended within
SECONDS, and how many trials were stand-ins.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from typing import Any

import grpc

from wazir.proto.v1 import study_service_pb2 as api
from wazir.proto.v1 import study_service_pb2_grpc, trial_pb2

DEADLINE = 60.0
"""Seconds that a call may take: enough for a costly algorithm that has others before it."""


async def main(address: str, prefix: str, studies: int, clients: int, pause: float, seconds: float) -> None:
    took: list[float] = []
    stand_ins = 0
    until = time.monotonic() + seconds

    async def client(number: int) -> None:
        nonlocal stand_ins
        own = random.Random(number)
        async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub: Any = study_service_pb2_grpc.StudyServiceStub(channel)
            ask = api.SuggestTrialsRequest(
                parent=f"owners/default/studies/{prefix}-{number % studies}", client_id=f"client-{number}", start=True
            )
            await asyncio.sleep(own.random() * pause)
            while time.monotonic() < until:
                began = time.monotonic()
                (trial,) = (await stub.SuggestTrials(ask, timeout=DEADLINE)).trials
                took.append(time.monotonic() - began)
                stand_ins += trial.provenance.fallback
                end = api.EndAttemptRequest(
                    name=trial.name,
                    # What earlier clients left behind is handed out again.
                    attempt=len(trial.attempts),
                    cause=trial_pb2.CAUSE_SUCCEEDED,
                    final_metrics={"loss": own.random()},
                )
                await stub.EndAttempt(end)
                await asyncio.sleep(2 * own.random() * pause)

    tasks = [asyncio.create_task(client(i)) for i in range(clients)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if outcome is not None and not isinstance(outcome, asyncio.CancelledError):
            raise outcome
    print(json.dumps({"took": took, "stand_ins": stand_ins}))


if __name__ == "__main__":
    where, kind, *numbers = sys.argv[1:]
    asyncio.run(main(where, kind, int(numbers[0]), int(numbers[1]), float(numbers[2]), float(numbers[3])))
