"""One process of load that does not wait for the servers: calls are due at random times, whatever became of others.

    python benchmarks/open_load.py ADDRESSES STUDIES FIRST WORKERS RATE

A round (ask for a trial, start it, end it) is due at the times of a Poisson process of RATE a second, and done by a
worker that is free; if none is, it waits for one. Latencies count from the moment when a call was due, so that what
waits because a server is slow is counted as slow (a closed loop would send less instead, and hide it). The workers have
a connection each, to the ADDRESSES (separated by commas) in turn. Spoken to like `load.py`; a round that was refused is
told with latencies of -1.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

import grpc
from load import Wazir


async def main(addresses: list[str], studies: int, first: int, workers: int, rate: float) -> None:
    """`first`: the number of this process's first worker; worker number i works on study i mod `studies`."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(addresses[i % len(addresses)], options) for i in range(workers)]
    idle: asyncio.LifoQueue[Wazir] = asyncio.LifoQueue()
    for i, channel in enumerate(channels):
        idle.put_nowait(Wazir(channel, str((first + i) % studies), first + i))
    await asyncio.gather(*(channel.channel_ready() for channel in channels))

    done: list[tuple[float, float, float]] = []
    tasks: set[asyncio.Task[None]] = set()

    async def round_due_at(due: float) -> None:
        worker = await idle.get()
        try:
            answer = await worker.first()
            middle = time.monotonic()
            await worker.second(answer)
            end = time.monotonic()
            done.append((end, middle - due, end - middle))
        except grpc.aio.AioRpcError:
            done.append((time.monotonic(), -1.0, -1.0))
        finally:
            idle.put_nowait(worker)

    async def send() -> None:
        draw = random.Random(first)
        due = time.monotonic()
        while True:
            due += draw.expovariate(rate)
            await asyncio.sleep(due - time.monotonic())
            task = asyncio.create_task(round_due_at(due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)
    sending = asyncio.create_task(send())
    await loop.run_in_executor(None, sys.stdin.readline)
    sending.cancel()
    for task in tasks:
        task.cancel()
    await asyncio.gather(sending, *tasks, return_exceptions=True)
    await asyncio.gather(*(channel.close() for channel in channels))
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    _, where, studies, first, workers, rate = sys.argv
    asyncio.run(main(where.split(","), int(studies), int(first), int(workers), float(rate)))
