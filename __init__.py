"""Wazir: hyperparameter tuning.

Training code asks for its parameters and reports what came of them:

    import wazir

    trial = wazir.current_trial()
    lr = trial.params["lr"]
    for epoch in range(trial.resume_step(), 50):
        trial.report({"val/loss": train_epoch(lr)}, step=epoch + 1)
        if trial.should_stop():
            break

Ask and tell needs no study file: `wazir.create_study(...)`, `study.ask()`, `study.tell(trial, value)`.

This module holds the version and the public names of the client, each loaded when it is first used, and nothing else:
the root of the repository is this package (ARCHITECTURE.md says why), and importing it must cost a training script
nothing that it does not use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .app.ask_tell import create_study as create_study
    from .app.ask_tell import load_study as load_study
    from .clients.aio import AsyncClient as AsyncClient
    from .clients.client import Client as Client
    from .clients.credentials import Tls as Tls
    from .clients.study import Study as Study
    from .clients.study import StudyEnded as StudyEnded
    from .clients.trial import Trial as Trial
    from .clients.trial import current_trial as current_trial
    from .domain.errors import WazirError as WazirError

__version__ = "0.1.0"

_FORWARDED = {
    "AsyncClient": ".clients.aio",
    "Client": ".clients.client",
    "Study": ".clients.study",
    "StudyEnded": ".clients.study",
    "Tls": ".clients.credentials",
    "Trial": ".clients.trial",
    "WazirError": ".domain.errors",
    "create_study": ".app.ask_tell",
    "current_trial": ".clients.trial",
    "load_study": ".app.ask_tell",
}
"""Public name -> module that defines it."""

__all__ = [
    "AsyncClient",
    "Client",
    "Study",
    "StudyEnded",
    "Tls",
    "Trial",
    "WazirError",
    "create_study",
    "current_trial",
    "load_study",
]

if not TYPE_CHECKING:  # a type checker would take it for a promise that every name exists

    def __getattr__(name: str) -> object:
        if name not in _FORWARDED:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_FORWARDED[name], __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_FORWARDED])
