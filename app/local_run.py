"""A controller over local processes, run in a thread of its own for as long as one study lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from ..clients.client import Client
from ..controller.local.gpus import find_devices
from ..controller.local.runtime import LocalRuntime
from ..controller.loop import Controller, Finish
from ..controller.plan import ORPHAN_GRACE
from ..controller.settings import Settings
from ..domain.names import StudyName
from ..domain.study import Study

SLACK = 10.0
"""Seconds for what else is to be done when it stops."""


class LocalRun:
    """Use as a context manager: the controller works inside the block. `root` is the folder of the study's attempts.

    Raises FailedPrecondition if another controller runs the study's trials here.
    """

    def __init__(
        self,
        client: Client,
        address: str,
        study: Study,
        root: Path,
        *,
        parallel: int | None = None,
        gpus: int | None = None,
    ) -> None:
        self._runtime = LocalRuntime(run_folder(root, study.name), devices=find_devices(gpus))
        self._controller = Controller(client, self._runtime, [study.name], Settings(address, parallel=parallel))
        grace = 0.0 if study.spec.trial is None else study.spec.trial.grace
        self.stop_limit = grace + ORPHAN_GRACE + Settings(address).farewell + SLACK
        """Seconds that `stop` may take, if nothing hangs."""
        self._done = threading.Event()
        self._finish: Finish | None = None
        self._error: BaseException | None = None
        self._presses = 0
        self._thread = threading.Thread(target=self._run, name="wazir-controller", daemon=True)

    def __enter__(self) -> LocalRun:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._done.is_set():
            self.stop()
        self._thread.join(self.stop_limit)
        if not self._thread.is_alive():
            self._runtime.close()

    def wait(self, on_trouble: Callable[[str], None] = lambda words: None) -> Finish:
        """Until the study has ended or the controller was told to stop. Raises what ended the controller.

        `on_trouble` is told, again and again, why the service takes no calls; with "" when it does.
        """
        # In turns, so that Ctrl-C is seen at once.
        while not self._done.wait(0.2):
            on_trouble(self._controller.trouble)
        if self._error is not None:
            raise self._error
        assert self._finish is not None
        return self._finish

    def drain(self) -> None:
        """Starts nothing more; what runs goes on to its end."""
        self._press(1)

    def stop(self) -> None:
        """Ends what runs, with its grace."""
        self._press(2)

    def leave(self) -> None:
        """Returns soon, and leaves what runs to the next run."""
        self._controller.leave()

    def _press(self, times: int) -> None:
        while self._presses < times:
            self._presses += 1
            self._controller.stop()

    def _run(self) -> None:
        try:
            self._finish = self._controller.run()
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits
            self._error = error
        finally:
            self._done.set()


def run_folder(root: Path, study: StudyName) -> Path:
    """Where the study's attempts are below `root`."""
    return root / study.owner / study.study
