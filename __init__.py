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

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .app.ask_tell import create_study as create_study
    from .app.ask_tell import delete_study as delete_study
    from .app.ask_tell import get_all_study_names as get_all_study_names
    from .app.ask_tell import get_all_study_summaries as get_all_study_summaries
    from .app.ask_tell import load_study as load_study
    from .clients import verbosity as logging
    from .clients.aio import AsyncClient as AsyncClient
    from .clients.client import Client as Client
    from .clients.credentials import Tls as Tls
    from .clients.familiar import exceptions as exceptions
    from .clients.familiar import pruners as pruners
    from .clients.familiar import samplers as samplers
    from .clients.familiar import study as study
    from .clients.familiar import trial as trial
    from .clients.optimize_run import StudyEnded as StudyEnded
    from .clients.study import Study as Study
    from .clients.trial import Trial as Trial
    from .clients.trial import TrialPruned as TrialPruned
    from .clients.trial import current_trial as current_trial
    from .domain.errors import WazirError as WazirError
    from .domain.trial import TrialState as TrialState

__version__ = "0.1.0"

_FORWARDED = {
    "AsyncClient": ".clients.aio",
    "Client": ".clients.client",
    "Study": ".clients.study",
    "StudyEnded": ".clients.optimize_run",
    "Tls": ".clients.credentials",
    "Trial": ".clients.trial",
    "TrialPruned": ".clients.trial",
    "TrialState": ".domain.trial",
    "WazirError": ".domain.errors",
    "create_study": ".app.ask_tell",
    "current_trial": ".clients.trial",
    "delete_study": ".app.ask_tell",
    "get_all_study_names": ".app.ask_tell",
    "get_all_study_summaries": ".app.ask_tell",
    "load_study": ".app.ask_tell",
}
"""Public name -> module that defines it."""

_MODULES = {
    "exceptions": ".clients.familiar.exceptions",
    "logging": ".clients.verbosity",
    "pruners": ".clients.familiar.pruners",
    "samplers": ".clients.familiar.samplers",
    "study": ".clients.familiar.study",
    "trial": ".clients.familiar.trial",
}
"""Modules under the names that Optuna's users know."""

__all__ = [
    "AsyncClient",
    "Client",
    "Study",
    "StudyEnded",
    "Tls",
    "Trial",
    "TrialPruned",
    "TrialState",
    "WazirError",
    "create_study",
    "current_trial",
    "delete_study",
    "exceptions",
    "get_all_study_names",
    "get_all_study_summaries",
    "load_study",
    "logging",
    "pruners",
    "samplers",
    "study",
    "trial",
]

if not TYPE_CHECKING:  # a type checker would take it for a promise that every name exists

    def __getattr__(name: str) -> object:
        if name not in _FORWARDED:
            # Scripts for Optuna are told what to write in place of what is not here.
            absent: dict[str, str] = import_module(".clients.familiar.absent", __name__).ABSENT
            hint = f": {absent[name]}" if name in absent else ""
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
        value = getattr(import_module(_FORWARDED[name], __name__), name)
        globals()[name] = value
        return value

    class _Familiar(ModuleType):
        """Stands for a module until something of it is used, so that `from wazir.samplers import TPESampler` finds it
        and `import wazir` loads nothing."""

        def __getattr__(self, name: str) -> object:
            module = import_module(_MODULES[self.__name__.rpartition(".")[2]], __name__)
            # `optuna.study.create_study` is `optuna.create_study`.
            value = getattr(module, name) if hasattr(module, name) or name not in _FORWARDED else __getattr__(name)
            setattr(self, name, value)
            return value

    for _name in _MODULES:
        globals()[_name] = sys.modules[f"{__name__}.{_name}"] = _Familiar(f"{__name__}.{_name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_FORWARDED, *_MODULES})
