"""What a sampler or pruner of Optuna is here: by the name of its class, so that Optuna is not imported.

A setting without an equivalent is named in a warning, unless it has Optuna's default. An algorithm or rule without an
equivalent is refused: a study that was searched in another way than its owner thinks is worse than a line to change.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ...domain.errors import MISSING, InvalidArgument, nearest
from ...domain.metric import Goal
from .named import Named

logger = logging.getLogger(__name__)

Settings = dict[str, object]


@dataclass(frozen=True)
class Entry:
    """`ours`: the name here. `settings`: Optuna's name of a setting -> ours. `ignored`: settings that have no
    equivalent, with Optuna's defaults. Other settings need none: what they ask for is how it works here."""

    ours: str
    settings: Mapping[str, str] = field(default_factory=dict)
    ignored: Mapping[str, object] = field(default_factory=dict)


SAMPLERS: Final = {
    "BoTorchSampler": Entry("gp", {"seed": "seed"}),
    "CmaEsSampler": Entry(
        "cmaes",
        {"seed": "seed", "popsize": "population"},
        {"sigma0": None, "x0": None, "n_startup_trials": 1, "source_trials": None, "lr_adapt": False},
    ),
    "GPSampler": Entry(
        "gp", {"seed": "seed"}, {"n_startup_trials": 10, "deterministic_objective": False, "constraints_func": None}
    ),
    "QMCSampler": Entry("quasirandom", {"seed": "seed"}, {"qmc_type": "sobol"}),
    "RandomSampler": Entry("random", {"seed": "seed"}),
    "TPESampler": Entry(
        "tpe",
        {"seed": "seed", "n_startup_trials": "startup", "n_ei_candidates": "candidates"},
        {"constraints_func": None, "categorical_distance_func": None},
    ),
}

NO_SAMPLERS: Final = {
    "BruteForceSampler": 'Write parameters={"x": {"values": [1, 2]}}, algorithm="grid"',
    "GridSampler": 'Write parameters={"x": {"values": [1, 2]}}, algorithm="grid"',
    "NSGAIIISampler": "Leave it out: with several objectives, points are quasi-random",
    "NSGAIISampler": "Leave it out: with several objectives, points are quasi-random",
    "PartialFixedSampler": "Declare the space, and give the fixed parameter one value",
}

_RUNGS: Final = {"min_resource": "min", "reduction_factor": "eta"}

PRUNERS: Final = {
    "HyperbandPruner": Entry("asha", {**_RUNGS, "max_resource": "max"}, {"bootstrap_count": 0}),
    "MedianPruner": Entry(
        "median",
        {"n_startup_trials": "min_trials", "n_warmup_steps": "min"},
        {"interval_steps": 1},
    ),
    "SuccessiveHalvingPruner": Entry("asha", _RUNGS, {"min_early_stopping_rate": 0, "bootstrap_count": 0}),
    "ThresholdPruner": Entry("threshold", {"n_warmup_steps": "min"}, {"interval_steps": 1}),
}

NO_PRUNERS: Final = {
    "PatientPruner": 'Give the pruner inside of it, or stopping="curve", which stops what can hardly win any more',
    "PercentilePruner": 'Write pruner="median", or stopping={"name": "asha", "eta": 4}, which lets a quarter go on',
    "WilcoxonPruner": 'Write pruner="median"',
}

DEFAULTS: Final[dict[str, Settings]] = {
    "HyperbandPruner": {"min_resource": 1, "reduction_factor": 3},
    "MedianPruner": {"n_startup_trials": 5},
    "SuccessiveHalvingPruner": {"min_resource": 1, "reduction_factor": 4},
}
"""Settings whose default in Optuna is another than ours."""


def algorithm_of(sampler: object) -> Settings:
    """The algorithm that a sampler is, in the study file's words. A name of ours stays as it is. Raises
    InvalidArgument."""
    if isinstance(sampler, str) and sampler not in SAMPLERS and sampler not in NO_SAMPLERS:
        return {"name": sampler}
    name = _name(sampler)
    entry = _entry("sampler", name, SAMPLERS, NO_SAMPLERS, "algorithm")
    found = _translated(name, sampler, entry)
    if "startup" in found:
        found["startup"] = max(2, int(str(found["startup"])))

    # An object of Optuna's has a generator, and no longer says what it was seeded with.
    if getattr(getattr(sampler, "_rng", None), "_rng", None) is not None:
        logger.warning("sampler = %s: its seed cannot be read; give seed= beside it", name)
    return found


def stopping_of(pruner: object, goal: Goal) -> Settings | None:
    """The stopping rule that a pruner is, in the study file's words; None for Optuna's NopPruner. A name of ours stays
    as it is. `goal`: of the objective. Raises InvalidArgument."""
    if isinstance(pruner, str) and pruner not in (*PRUNERS, *NO_PRUNERS, "NopPruner"):
        return {"name": pruner}
    name = _name(pruner)
    if name == "NopPruner":
        return None
    entry = _entry("pruner", name, PRUNERS, NO_PRUNERS, "stopping")
    found = _translated(name, pruner, entry)
    if name == "ThresholdPruner":
        _add_threshold(found, pruner, goal)
    return found


def _add_threshold(found: Settings, pruner: object, goal: Goal) -> None:
    """Of the two bounds, the one on the bad side is the threshold."""
    bounds = {bound: _read(pruner, bound) for bound in ("lower", "upper")}
    # Optuna's objects hold an infinity for a bound that was not given.
    given = {
        bound: value for bound, value in bounds.items() if isinstance(value, int | float) and abs(value) != float("inf")
    }
    wanted = "upper" if goal is Goal.MINIMIZE else "lower"
    if wanted not in given:
        raise InvalidArgument(
            "pruner", "ThresholdPruner", f"has no {wanted}, and the goal is to {goal.value}", f"Give {wanted}="
        )
    found["value"] = float(given.pop(wanted))
    if given:
        logger.warning("pruner = ThresholdPruner: %s is ignored: it is on the good side", ", ".join(given))


def _name(thing: object) -> str:
    if isinstance(thing, str):
        return thing
    return thing.__name__ if isinstance(thing, type) else type(thing).__name__


def _entry(argument: str, name: str, known: Mapping[str, Entry], unknown: Mapping[str, str], instead: str) -> Entry:
    if name in known:
        return known[name]
    if name in unknown:
        raise InvalidArgument(argument, name, "has no equivalent", unknown[name])
    hint = nearest(name, known)
    end = "" if hint.endswith("?") else "."
    raise InvalidArgument(argument, name, "is not known", f"{hint}{end} Or write {instead}= with a name of Wazir's")


def _translated(name: str, thing: object, entry: Entry) -> Settings:
    found: Settings = {"name": entry.ours}
    for theirs, ours in entry.settings.items():
        value = _read(thing, theirs)
        if value is MISSING:
            value = DEFAULTS.get(name, {}).get(theirs, MISSING)
        if value is not MISSING and value is not None and value != "auto":
            found[ours] = value

    lost = [theirs for theirs, default in entry.ignored.items() if _read(thing, theirs) not in (default, MISSING)]
    if lost:
        logger.warning("%s is %s here, without %s", name, entry.ours, ", ".join(lost))
    return found


def _read(thing: object, setting: str) -> Any:
    """As it was given: our stand-ins keep it, Optuna's objects have it under a name of their own."""
    if isinstance(thing, Named):
        return thing.settings.get(setting, MISSING)
    # Their seeds are gone, or were drawn.
    return MISSING if setting == "seed" else getattr(thing, f"_{setting}", MISSING)
