"""Every algorithm and stopping rule by name. Adding one is adding a line to a table.

Others join through entry points of the groups `wazir.designers` and `wazir.stopping`:

    [project.entry-points."wazir.designers"]
    cmaes = "my_package.cmaes:CmaEs"

A class in these tables has a `Settings` dataclass (see `settings.py`) and is made from an instance of it and what it
works on, `DesignerClass(settings, problem)` or `RuleClass(settings, objectives)`. There it raises InvalidArgument for
what it cannot do. Built-in names cannot be taken by others. A setting called `max` is the steps of a whole trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from ..domain.errors import InvalidArgument, nearest
from ..domain.metric import Objective
from ..domain.study import ALGORITHM_KEYS, STOPPING_KEYS, Algorithm, Stopping, StudySpec
from .aliases import ELSEWHERE, with_known_names
from .designer import Designer, Problem
from .settings import read_settings
from .stopping.rule import StoppingRule

DESIGNER_GROUP: Final = "wazir.designers"
RULE_GROUP: Final = "wazir.stopping"


@dataclass(frozen=True, slots=True)
class Known:
    """Where a class is found, relative to this package, and the extra of `wazir` that it needs."""

    path: str
    extra: str = "server"


DESIGNERS: Final = {
    "asha": Known(".designers.asha:Asha"),
    "auto": Known(".designers.auto:Auto"),
    "bayesian": Known(".designers.bayesian:Bayesian", "skopt"),
    "bohb": Known(".designers.bohb:Bohb"),
    "cmaes": Known(".designers.cmaes:CmaEs"),
    "freeze_thaw": Known(".designers.freeze_thaw:FreezeThaw"),
    "gp": Known(".designers.gp:GaussianProcessBandit"),
    "grid": Known(".designers.grid:Grid"),
    "hyperband": Known(".designers.hyperband:Hyperband"),
    "pbt": Known(".designers.pbt:PopulationBasedTraining"),
    "quasirandom": Known(".designers.quasirandom:QuasiRandom"),
    "random": Known(".designers.random:Random"),
    "shuffled_grid": Known(".designers.grid:ShuffledGrid"),
    "tpe": Known(".designers.tpe:TreeParzen"),
}

RULES: Final = {
    "asha": Known(".stopping.asha:Asha"),
    "curve": Known(".stopping.curve:LearningCurve"),
    "median": Known(".stopping.median:Median"),
    "threshold": Known(".stopping.threshold:Threshold"),
}


def designer_names() -> list[str]:
    """All names that `algorithm.name` may have, in order."""
    return sorted({*DESIGNERS, *_others(DESIGNER_GROUP)})


def rule_names() -> list[str]:
    """All names that `stopping.name` may have, in order."""
    return sorted({*RULES, *_others(RULE_GROUP)})


def called_as_here(spec: StudySpec) -> StudySpec:
    """The specification with names of other programs for its algorithm and rule replaced by those of this one."""
    return with_known_names(spec, {*DESIGNERS, *_others(DESIGNER_GROUP)}, {*RULES, *_others(RULE_GROUP)})


def make_designer(algorithm: Algorithm, problem: Problem) -> Designer:
    """The designer that a study asks for. Raises InvalidArgument for an unknown name, an unknown or wrong setting, a
    library that is not installed, and a problem that the algorithm cannot work on."""
    found = _load("algorithm.name", algorithm.name, DESIGNERS, DESIGNER_GROUP)
    settings = read_settings(found.Settings, algorithm.settings, "algorithm", ALGORITHM_KEYS)
    designer: Designer = found(settings, problem)
    return designer


def make_rule(stopping: Stopping, objectives: Sequence[Objective]) -> StoppingRule:
    """The stopping rule that a study asks for. Raises InvalidArgument like `make_designer`."""
    found = _load("stopping.name", stopping.name, RULES, RULE_GROUP)
    settings = read_settings(found.Settings, stopping.settings, "stopping", STOPPING_KEYS)
    rule: StoppingRule = found(settings, tuple(objectives))
    return rule


def whole_steps(algorithm: Algorithm, stopping: Stopping | None) -> tuple[str, int] | None:
    """The setting that says how many steps a whole trial does, and how many; None where none does."""
    for where, about in (("algorithm.max", algorithm), ("stopping.max", stopping)):
        most = about.settings.get("max") if about is not None else None
        if isinstance(most, int):
            return where, most
    return None


@cache
def _others(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def _load(field: str, name: str, table: Mapping[str, Known], group: str) -> Any:
    own, other = table.get(name), _others(group).get(name)

    if own is None and other is None:
        known = {*table, *_others(group)}
        meant = ELSEWHERE.get(name.lower())
        hint = f"Here it is called {meant}" if meant else nearest(name, known)
        if name in RULES:
            hint = "It is a rule that stops trials: write it under `stopping`"
        elif name in DESIGNERS:
            hint = "It is an algorithm: write it under `algorithm`"
        raise InvalidArgument(field, name, "is not known", hint)
    try:
        if own is not None:
            module, _, attribute = own.path.partition(":")
            return getattr(import_module(module, __package__), attribute)
        assert other is not None
        return other.load()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == __package__.partition(".")[0]:
            raise
        if own is not None:
            hint = f'Install it with: pip install "wazir[{own.extra}]"'
        else:
            hint = f"The entry point {name} = {other.value if other else ''} asks for it"
        raise InvalidArgument(field, name, f"needs {missing!r}, which is not installed", hint) from error
