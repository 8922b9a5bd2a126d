"""Says that nothing runs, to somebody who watches a study that perhaps nobody runs.

A service does not know who is going to ask for trials: `wazir run`, a controller and ask-and-tell code just ask. What
it knows is that a study is open and no trial of it is live, which between two trials lasts a moment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from ...domain.study import Study, StudyState
from ...domain.template import Runtime

PATIENCE = 10.0
"""Seconds without a live trial: longer than a model takes for the next one, as a rule."""


class Idle:
    """Feed it with `update`. Use as a context manager. `tell` gets the words, and "" when a trial is live again."""

    def __init__(self, tell: Callable[[str], None], patience: float | None = None) -> None:
        self._tell = tell
        self._patience = PATIENCE if patience is None else patience
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Idle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cancel()

    def update(self, study: Study) -> None:
        self._cancel()
        if study.state is not StudyState.ACTIVE or study.counts.live:
            self._tell("")
            return
        self._timer = threading.Timer(self._patience, self._tell, [words(study)])
        self._timer.daemon = True
        self._timer.start()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
            self._timer = None


def words(study: Study) -> str:
    """What may be missing."""
    template = study.spec.trial
    if template is None:
        return "no trial runs; the study waits for code that asks for trials, and perhaps none does"
    if template.runtime is Runtime.KUBERNETES:
        return "no trial runs; perhaps no `wazir controller` works for this study"
    return (
        "no trial runs; perhaps nobody runs this study: `wazir run FILE` does, or a `wazir controller --runtime local`"
    )
