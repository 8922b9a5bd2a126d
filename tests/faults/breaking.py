"""What can be broken while clients go on: a table for each family of faults.

Each fault breaks something, waits for some time and mends it. What it may not do is in history.py; nothing here says
what must happen.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from ..postgres import Postgres
from .network import Network, Side
from .stage import Served, Stage
from .workload import KEPT_LEASE, STUDY

LONGER_THAN_A_LEASE = KEPT_LEASE + 2.0


@dataclass(frozen=True)
class Fault:
    name: str
    strike: Callable[[Stage], Coroutine[Any, Any, None]]
    severs: bool = False
    """Workers may be cut off from every server, so nobody can tell them from dead ones."""
    quick: bool = True
    """False where clients need most of a minute to see that their connection is dead, which `make test` has not."""


# Processes


async def kill(stage: Stage) -> None:
    server = stage.servers[stage.one()]
    await asyncio.to_thread(server.kill)
    server.keep()
    await stage.a_while(0.5, 2.0)


async def pause_one(stage: Stage) -> None:
    await _pause(stage, [stage.servers[stage.one()]])


async def pause_all(stage: Stage) -> None:
    await _pause(stage, stage.servers)


async def _pause(stage: Stage, servers: list[Served]) -> None:
    """Longer than the leases of workers that beat. A server that ended meanwhile is started again by its supervisor."""
    for server in servers:
        server.signal(signal.SIGSTOP)
    await asyncio.sleep(LONGER_THAN_A_LEASE)
    for server in servers:
        server.signal(signal.SIGCONT)
    await stage.a_while(1.0, 2.0)


KILL = Fault("a server is killed", kill)
PAUSE_ONE = Fault("one server is paused for longer than leases", pause_one)
PAUSE_ALL = Fault("all servers are paused for longer than leases", pause_all)


# Networks


def network(pick: Callable[[Stage], list[Network]], break_it: Callable[[Network], None]) -> Any:
    async def strike(stage: Stage) -> None:
        net = pick(stage)[stage.one()]
        break_it(net)
        await stage.a_while(1.0, 5.0)
        net.heal()
        await stage.a_while(0.5, 1.0)

    return strike


def doors(stage: Stage) -> list[Network]:
    return stage.doors


def wires(stage: Stage) -> list[Network]:
    return stage.wires


def vanish(net: Network) -> None:
    """The other machine is gone without a word, and so are new connections."""
    net.half_open(Side.CLIENT)
    net.refuse()


DISTURBANCES: tuple[tuple[str, Callable[[Network], None]], ...] = (
    ("holds everything", Network.hold),
    ("goes silent", Network.silence),
    ("is slow", lambda net: net.delay(0.3)),
    ("is half-open at the near side", lambda net: net.half_open(Side.CLIENT)),
    ("is half-open at the far side", lambda net: net.half_open(Side.SERVER)),
    ("is reset", Network.reset),
    ("refuses", Network.refuse),
    ("loses the other machine", vanish),
)

UNNOTICED = ("goes silent", "is half-open at the near side", "loses the other machine")

CLIENT_NETWORKS = tuple(
    Fault(f"the network to clients {what}", network(doors, break_it), severs=True, quick=what not in UNNOTICED)
    for what, break_it in DISTURBANCES
)
DATABASE_NETWORKS = tuple(
    Fault(f"the network to PostgreSQL {what}", network(wires, break_it)) for what, break_it in DISTURBANCES
)


# PostgreSQL


async def restart(stage: Stage) -> None:
    assert stage.postgres is not None
    await asyncio.to_thread(_restart, stage.postgres)
    await stage.a_while(0.5, 1.0)


def _restart(postgres: Postgres) -> None:
    postgres.stop("immediate")
    for _ in range(100):
        with suppress(AssertionError):
            return postgres.start()
        time.sleep(0.1)  # what is left of it still holds its memory, and goes in a moment
    raise AssertionError(postgres.log()[-2000:])


async def lock_the_study(stage: Stage) -> None:
    await _hold(stage, f"SELECT 1 FROM studies WHERE id = '{STUDY}' FOR UPDATE")


async def lock_the_trials(stage: Stage) -> None:
    await _hold(stage, "LOCK TABLE trials IN ACCESS EXCLUSIVE MODE")


async def _hold(stage: Stage, statement: str) -> None:
    """A person's session that began a transaction and went for a coffee."""
    async with await psycopg.AsyncConnection.connect(stage.database) as connection:
        await connection.execute(statement)
        await stage.a_while(1.0, LONGER_THAN_A_LEASE)
        await connection.rollback()
    await stage.a_while(0.5, 1.0)


async def rename(stage: Stage) -> None:
    assert stage.postgres is not None
    name = stage.database.rpartition("/")[2]
    async with await psycopg.AsyncConnection.connect(stage.postgres.url(), autocommit=True) as connection:
        await _rename(connection, name, f"{name}_away")
        await asyncio.sleep(4.0)
        await _rename(connection, f"{name}_away", name)
    await stage.a_while(0.5, 1.0)


async def _rename(connection: psycopg.AsyncConnection[Any], before: str, after: str) -> None:
    """Which nobody may be connected to meanwhile."""
    await connection.execute(f"ALTER DATABASE {before} ALLOW_CONNECTIONS false")
    renamed = False
    while not renamed:
        await connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{before}'")
        with suppress(psycopg.errors.ObjectInUse):  # not all of them have ended yet
            await connection.execute(f"ALTER DATABASE {before} RENAME TO {after}")
            renamed = True
    await connection.execute(f"ALTER DATABASE {after} ALLOW_CONNECTIONS true")


async def keep_out(stage: Stage) -> None:
    """The user may not log in any more, as if its password had changed, and all its sessions end."""
    assert stage.postgres is not None
    async with await psycopg.AsyncConnection.connect(stage.postgres.url(), autocommit=True) as connection:
        await connection.execute("ALTER ROLE wazir NOLOGIN")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND usename = 'wazir'"
        )
        await asyncio.sleep(4.0)
        await connection.execute("ALTER ROLE wazir LOGIN")
    await stage.a_while(0.5, 1.0)


async def lose_a_table(stage: Stage) -> None:
    async with await psycopg.AsyncConnection.connect(stage.database, autocommit=True) as connection:
        await connection.execute("ALTER TABLE measurements RENAME TO measurements_away")
        await asyncio.sleep(3.0)
        await connection.execute("ALTER TABLE measurements_away RENAME TO measurements")
    await stage.a_while(0.5, 1.0)


RESTART = Fault("PostgreSQL crashes and starts again", restart)
POSTGRESQL = (
    RESTART,
    Fault("a stranger locks the study", lock_the_study),
    Fault("a stranger locks the table of trials", lock_the_trials),
    Fault("the database is renamed for 4 s", rename),
    Fault("the database's user is kept out for 4 s", keep_out),
    Fault("a table is missing for 3 s", lose_a_table),
)


# Disks and clocks


def disk(*calls: str, error: int = 0, seconds: float = 0.0, nth: int = 1) -> Any:
    async def strike(stage: Stage) -> None:
        assert stage.shim is not None
        stage.shim.fail(*calls, error=error, seconds=seconds, nth=nth, path="wazir.db")
        await stage.a_while(1.0, 4.0)
        stage.shim.heal()
        await stage.a_while(0.5, 1.0)

    return strike


async def clock_jumps(stage: Stage) -> None:
    """Forward, and further each time: one that goes back makes trials end before they began, which is as it was."""
    assert stage.shim is not None
    stage.clock += stage.chance.uniform(1.0, 600.0)
    stage.shim.set_clock(stage.clock)
    await stage.a_while(0.5, 2.0)


DISKS = (
    Fault("the disk is full", disk("write", error=errno.ENOSPC)),
    Fault("every third write fails", disk("write", error=errno.EIO, nth=3)),
    Fault("the disk fails", disk("write", "sync", error=errno.EIO)),
    Fault("every second sync fails", disk("sync", error=errno.EIO, nth=2)),
    Fault("every third write is interrupted", disk("write", error=errno.EINTR, nth=3)),
    Fault("syncs take 0.3 s", disk("sync", seconds=0.3)),
    Fault("the clock jumps forward", clock_jumps),
)


# Loops


def loop_raises(point: str) -> Fault:
    async def strike(stage: Stage) -> None:
        failpoints = stage.servers[stage.one()].failpoints
        failpoints.fail(point)
        await stage.a_while(1.0, 3.0)
        failpoints.heal()
        await stage.a_while(0.5, 1.0)

    return Fault(f"{point} raises", strike)


def loop_hangs(point: str) -> Fault:
    async def strike(stage: Stage) -> None:
        failpoints = stage.servers[stage.one()].failpoints
        failpoints.hold(point, 1.0)
        await stage.a_while(1.0, 4.0)
        failpoints.heal()
        await stage.a_while(1.0, 2.0)

    return Fault(f"{point} is slow", strike)


COMMON_LOOPS = ("duties", "expiry", "budgets", "asking", "audit")
FILE_LOOPS = tuple(make(p) for p in ("file writer", *COMMON_LOOPS) for make in (loop_raises, loop_hangs))
POSTGRESQL_LOOPS = tuple(
    make(p) for p in ("writer", "exchange", "neighbours", *COMMON_LOOPS) for make in (loop_raises, loop_hangs)
)

ON_FILE = (KILL, PAUSE_ALL, *CLIENT_NETWORKS, *DISKS, *FILE_LOOPS)
ON_POSTGRESQL = (KILL, PAUSE_ONE, PAUSE_ALL, *CLIENT_NETWORKS, *DATABASE_NETWORKS, *POSTGRESQL, *POSTGRESQL_LOOPS)
