"""Names of Optuna that have no equivalent here, and what to write in their place."""

from __future__ import annotations

from typing import Final

_FRAME = "study.trials_dataframe() has what it needs"
_CALLBACK = "call trial.report(value, step) and trial.should_prune() in a callback of that library"

ABSENT: Final = {
    "artifacts": "store a path with trial.set_user_attr",
    "copy_study": "give the other study its trials with enqueue_trial",
    "create_trial": "give the study parameters to try with enqueue_trial",
    "distributions": "name parameters with trial.suggest_*, or declare them: create_study(parameters=...)",
    "importance": f"Wazir computes no importances; {_FRAME}",
    "integration": _CALLBACK,
    "search_space": "study.details().spec.space is the space",
    "storages": 'write storage="sqlite:///studies.db" or storage="postgresql://USER@HOST/DATABASE"',
    "terminator": "give create_study a budget: trials=, duration= or gpu_hours=",
    "visualization": f"Wazir draws no figures; {_FRAME}",
}
"""Attribute of the module `optuna` -> the equivalent, for the end of a sentence."""
