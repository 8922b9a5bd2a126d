"""Errors and delays at named places of a process that a test starts; nothing in Wazir itself can switch them on.

    python tests/faults/failpoints.py FOLDER serve --db ...

runs `wazir serve --db ...` with the functions in `POINTS` wrapped. While the file FOLDER/NAME exists, the function NAME
raises (the file says `raise`) or takes longer (it says how many seconds) before it does anything. Each time it adds a
line to FOLDER/NAME.hits.

This file is a program as well as a module, and so imports nothing from the tests.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

POINTS = {
    "writer": "wazir.storage.postgres:_PostgresStore._commit",
    "file writer": "wazir.storage.sqlite:_SqliteStore._commit",
    "exchange": "wazir.storage.postgres_exchange:PostgresExchange._heard",
    "duties": "wazir.service.duties:Duties._turn",
    "expiry": "wazir.service.duties:Duties._expire_one",
    "budgets": "wazir.service.duties:Duties._settle_one",
    "neighbours": "wazir.service.neighbours:Neighbours._publish",
    "news": "wazir.service.neighbours:Neighbours._take",
    "asking": "wazir.service.asking:Asking._step",
    "audit": "wazir.service.auditing.recorder:Recorder._write",
    "controller": "wazir.controller.loop:Controller._turn",
    "plan": "wazir.controller.loop:Controller._snapshot",
}
"""One in each loop that must not die."""


PATIENCE = 12.0
"""Seconds that such a server waits for one of which it hears nothing, in place of a minute: longer than tests pause
servers, and short enough to wait for in a test that has killed one."""


class Failpoint(Exception):
    """Nobody expects it, so nobody catches it by name."""


class Failpoints:
    """The test's side: switches them on and off in the process that was started with `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def command(self, *arguments: str) -> list[str]:
        """How to start `wazir` with `arguments` so that it obeys."""
        return [sys.executable, __file__, str(self._folder), *arguments]

    def fail(self, name: str) -> None:
        self._set(name, "raise")

    def hold(self, name: str, seconds: float) -> None:
        self._set(name, str(seconds))

    def heal(self) -> None:
        for name in POINTS:
            (self._folder / name).unlink(missing_ok=True)

    def hits(self, name: str) -> int:
        """How often the process came past it while it was on."""
        file = self._folder / f"{name}.hits"
        return len(file.read_bytes()) if file.exists() else 0

    def _set(self, name: str, what: str) -> None:
        assert name in POINTS, name
        draft = self._folder / f"{name}.draft"
        draft.write_text(what)
        draft.replace(self._folder / name)


def wrapped(function: Callable[..., Any], file: Path) -> Callable[..., Any]:
    """`function`, which first looks at what the file says."""
    hits = file.with_name(f"{file.name}.hits")

    def wait() -> float:
        try:
            what = file.read_text()
        except FileNotFoundError:
            return 0.0
        with hits.open("a") as log:
            log.write(".")
        if what == "raise":
            raise Failpoint(file.name)
        return float(what)

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if seconds := wait():
            time.sleep(seconds)
        return function(*arguments, **named)

    @functools.wraps(function)
    async def call_async(*arguments: Any, **named: Any) -> Any:
        if seconds := wait():
            await asyncio.sleep(seconds)
        return await function(*arguments, **named)

    return call_async if inspect.iscoroutinefunction(function) else call


def install(folder: Path) -> None:
    for name, place in POINTS.items():
        module, _, path = place.partition(":")
        owner = importlib.import_module(module)
        *parents, attribute = path.split(".")
        for parent in parents:
            owner = getattr(owner, parent)
        setattr(owner, attribute, wrapped(getattr(owner, attribute), folder / name))

    settings = importlib.import_module("wazir.service.settings").ServiceSettings
    settings.__init__ = functools.partialmethod(settings.__init__, neighbour_patience=PATIENCE)


if __name__ == "__main__":
    from wazir.app.main import main

    at = Path(sys.argv.pop(1))
    # Its folder is not where Wazir's own modules are looked for.
    del sys.path[0]
    install(at)
    main()
