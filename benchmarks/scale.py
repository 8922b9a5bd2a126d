"""What calls cost, and a start takes, where much is stored: part of `service.py`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import servers
from bulk import Shape, fill
from servers import Running
from stored import NAME
from windows import Times, clients, run

from wazir.clients.client import Client
from wazir.domain.attempt import Cause
from wazir.domain.names import StudyName

FEW = 1_000
MEASUREMENTS = 20
CALLS = {
    "wazir": "trial",
    "report": "report",
    "get": "get_trial",
    "list": "list_page",
    "watch": "watch",
    "progress": "progress",
    "best": "best",
    "show": "get_study",
}
"""What is called by each load: `trial` is to ask for one, start it and end it."""


@dataclass(frozen=True)
class Stored:
    """What a database holds: a study of `large` trials and `small` studies of 100, each trial with MEASUREMENTS."""

    large: int
    small: int

    @property
    def shape(self) -> Shape:
        return Shape(self.large, MEASUREMENTS, self.small, 100, self.small // 10)

    def __str__(self) -> str:
        return f"{self.large + 100 * self.small}_trials"


def on_sqlite(folder: Path, times: Times, much: Stored) -> dict[str, float]:
    few = Stored(FEW, 0)
    return _measured("sqlite", folder, times, {str(s): folder / f"{s}.db" for s in (few, much)}, (few, much), [])


def on_postgres(folder: Path, times: Times, much: Stored) -> dict[str, float]:
    few = Stored(FEW, 0)
    with servers.postgres(folder / "few") as one, servers.postgres(folder / "much") as other:
        places: dict[str, Path | str] = {str(few): one.address, str(much): other.address}
        return _measured("postgres", folder, times, places, (few, much), [one, other])


def _measured(
    kind: str,
    folder: Path,
    times: Times,
    places: dict[str, Path | str] | dict[str, Path],
    stored: Sequence[Stored],
    databases: Sequence[Running],
) -> dict[str, float]:
    """By one client, so that no two calls share a transaction. In turns, and of each the least, since a shared machine
    only ever adds. `databases`: their own servers, whose CPU counts too."""
    figures: dict[str, float] = {}
    watched: dict[str, list[Running]] = {}
    with ExitStack() as stack:
        for number, what in enumerate(stored):
            began = time.monotonic()
            fill(places[str(what)], what.shape)
            name = f"scale.{kind}.{what}"
            figures[f"{name}.load_s"] = time.monotonic() - began

            began = time.monotonic()
            server = stack.enter_context(servers.wazir(places[str(what)], folder / f"{kind}-{what}.log"))
            figures[f"{name}.start_s"] = time.monotonic() - began
            figures[f"{name}.start_cpu_s"] = server.cpu()
            watched[str(what)] = [server, *databases[number : number + 1]]
            figures |= _first_calls(name, server)

        for workload, word in CALLS.items():
            for _ in range(times.windows):
                for which, those in watched.items():
                    sample = run(clients(workload, those[0].address, 1, 1), those, times)
                    key = f"scale.{kind}.{which}.{word}_cpu_ms"
                    cpu = sum(sample.cpu_ms(each) for each in range(len(those)))
                    figures[key] = min(cpu, figures.get(key, cpu))
        for which, those in watched.items():
            figures[f"scale.{kind}.{which}.memory_mib"] = those[0].memory()

    few, much = (f"scale.{kind}.{what}" for what in stored)
    for word in CALLS.values():
        figures[f"{much}.{word}_cpu_ratio"] = figures[f"{much}.{word}_cpu_ms"] / figures[f"{few}.{word}_cpu_ms"]
    return figures


def _first_calls(name: str, server: Running) -> dict[str, float]:
    """The first call reads the study, and the first progress its curves; what is measured later is every later one."""
    figures = {}
    with Client(server.address, timeout=600.0) as client:
        before, began = server.cpu(), time.monotonic()
        (trial,) = client.suggest(NAME, client_id="client-0", start=True).trials
        figures[f"{name}.first_suggestion_s"] = time.monotonic() - began
        figures[f"{name}.first_suggestion_cpu_s"] = server.cpu() - before
        client.end_attempt(trial.name, 1, Cause.SUCCEEDED, final={"loss": 0.5})

        before, began = server.cpu(), time.monotonic()
        client.study_progress(NAME)
        figures[f"{name}.first_progress_s"] = time.monotonic() - began
        figures[f"{name}.first_progress_cpu_s"] = server.cpu() - before
    return figures


def measured(folder: Path, *, quick: bool) -> dict[str, float]:
    times = Times(0.5, 1.0, 1) if quick else Times(0.5, 2.0, 2)
    on_file, on_server = (Stored(5_000, 50),) * 2 if quick else (Stored(100_000, 0), Stored(100_000, 9_000))
    return {
        **on_sqlite(folder, times, on_file),
        **on_postgres(folder, times, on_server),
        **deleting(folder, on_file.large),
    }


def deleting(folder: Path, trials: int) -> dict[str, float]:
    """How long the deletion of a large study takes on SQLite, and what calls about another one wait for meanwhile, at
    most: while it is deleted, and while its rows are removed."""
    file = folder / "deleted.db"
    fill(file, Shape(trials, MEASUREMENTS, studies=1, open=1))
    longest = 0.0
    with servers.wazir(file, folder / "deleting.log") as server, Client(server.address, timeout=600.0) as client:
        began = time.monotonic()
        client.delete_study(NAME, force=True)
        deleted = time.monotonic() - began
        until = time.monotonic() + 10.0
        while time.monotonic() < until:
            began = time.monotonic()
            client.update_metadata(StudyName("default", "small-0"), {"now": str(began)})
            longest = max(longest, time.monotonic() - began)
    return {"scale.sqlite.delete_s": deleted, "scale.sqlite.longest_write_while_removing_s": longest}
