"""The keys of a document: which stand where, and what to say of one that is missing or unknown."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from ..errors import nearest, similar
from ..pod import Source
from ..study import ALGORITHM_KEYS, STOPPING_KEYS

_VOLUME: Final = (*(source.value for source in Source), "size", "read_only")

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "": (
        "study",
        "labels",
        "objective",
        "objectives",
        "safety",
        "algorithm",
        "stopping",
        "parameters",
        "constraints",
        "budget",
        "trial",
    ),
    "objective": ("metric", "goal", "target", "pick"),
    "safety": ("metric", "at_least", "at_most"),
    "algorithm": ALGORITHM_KEYS,
    "stopping": STOPPING_KEYS,
    "parameters.NAME": ("type", "min", "max", "scale", "step", "default", "values", "when"),
    "parameters.NAME.when.PARENT": ("min", "max"),
    "budget": ("trials", "parallel", "failed", "duration", "gpu_hours"),
    "trial": (
        "command",
        "args",
        "env",
        "workdir",
        "image",
        "runtime",
        "resources",
        "timeout",
        "grace",
        "retries",
        "metrics",
        "volumes",
        "checkpoints",
        "node_selector",
        "tolerations",
        "service_account",
        "pull_secrets",
        "priority_class",
        "labels",
        "user",
        "keep",
        "start_timeout",
        "manifest",
    ),
    "trial.resources": ("gpu", "cpu", "memory"),
    "trial.retries": ("failed", "preempted"),
    "trial.metrics": ("from", "pattern"),
    "trial.volumes.PATH": _VOLUME,
    "trial.checkpoints": (*_VOLUME, "keep"),
    "trial.tolerations": ("key", "operator", "value", "effect", "tolerationSeconds"),
}
"""By the place where they stand, which is empty for the document itself. Algorithms and stopping rules have settings of
their own beside these."""

SECTIONS: Final = KEYS[""]
"""The keys of a document."""

EXAMPLES: Final = {
    "objective": "For instance objective: {metric: loss, goal: minimize}",
    "metric": "Name it as the training code reports it",
    "goal": "Write goal: minimize or goal: maximize",
    "command": "For instance command: [python, train.py, ${args}]",
    "constraints": 'For instance constraints: ["batch * accum <= 512"]',
    "safety": "For instance safety: [{metric: memory, at_most: 16}]",
    "objectives": "For instance objectives: [{metric: loss, goal: minimize}]",
    "min": "A range needs min and max; write a list of values under values",
    "max": "A range needs min and max; write a list of values under values",
    "values": "For instance values: [32, 64, 128]",
    "name": "For instance name: median",
}
"""What to write for a key that is missing, or that should be a list."""

_ELSEWHERE: Final = {
    "lower": "min",
    "low": "min",
    "upper": "max",
    "high": "max",
    "choices": "values",
    "categories": "values",
    "feasible_points": "values",
    "q": "step",
    "log": "scale: log",
    "distribution": "scale, and type",
    "condition": "when",
    "conditions": "when",
    "direction": "goal",
    "mode": "goal",
    "max_trials": "trials",
    "n_trials": "trials",
    "max_trial_count": "trials",
    "parallel_trials": "parallel",
    "parallelism": "parallel",
    "max_failed_trials": "failed",
    "cwd": "workdir",
    "nodeSelector": "node_selector",
    "serviceAccountName": "service_account",
    "imagePullSecrets": "pull_secrets",
    "priorityClassName": "priority_class",
    "volumeMounts": "volumes",
    "activeDeadlineSeconds": "timeout",
    "terminationGracePeriodSeconds": "grace",
    "trialSpec": "manifest",
    "space": "parameters",
    "search_space": "parameters",
    "early_stopping": "stopping",
    "early_terminate": "stopping",
    "method": "algorithm",
    "metric": "objective",
    "metrics": "objective",
    "name": "study",
}
"""What other tools call it, and what it is called here."""


_EVERYDAY = frozenset({"trial.metrics", "trial.tolerations", "trial.volumes.PATH"})
"""Places whose keys are everyday words (`value`, `from`, `key`): one of these found elsewhere seldom belongs there."""


def meant(key: str, known: Collection[str]) -> str:
    """What to say of the unknown `key` where those `known` may stand."""
    called = _ELSEWHERE.get(key, "")
    word = called.split(":")[0].split(",")[0]
    if word in known:
        return f"Here it is called {called}"
    if place := _place(key):
        misspelt = similar(key, known)
        return f"{misspelt} If not, it belongs {place}" if misspelt else f"It belongs {place}"
    if (place := _place(word)) and not _places(key):
        return f"Here it is called {called}, and belongs {place}"
    return nearest(key, known)


def _place(key: str) -> str:
    """Where `key` may stand, in words; empty unless that is one place alone."""
    places = _places(key)
    if len(places) != 1:
        return ""
    return f"under `{places[0]}`" if places[0] else "at the top level"


def _places(key: str) -> list[str]:
    return [place for place, keys in KEYS.items() if key in keys and place not in _EVERYDAY]
