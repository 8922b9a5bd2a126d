"""Making, finding, listing and deleting studies to ask and tell."""

from __future__ import annotations

import logging
import os
import secrets
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ..domain import document
from ..domain.errors import MISSING, InvalidArgument, similar
from ..domain.metric import Goal
from ..domain.names import check_id
from ..domain.space import Space
from .aliases import either, refuse_both
from .arguments import check_lease, check_list
from .familiar.translate import algorithm_of, stopping_of
from .opening import Serve, Storage, open_client
from .orphans import give_back_orphans
from .python_words import in_python, python_words
from .results import Result
from .study import LEASE, Study
from .user_attributes import from_metadata

logger = logging.getLogger(__name__)

Chosen = str | Mapping[str, object]
"""An algorithm or a stopping rule: its name, or a mapping with the name and settings."""


def create_study(
    name: str | None = None,
    *,
    parameters: Mapping[str, object] | Space | None = None,
    constraints: Sequence[str] = (),
    metric: str | None = None,
    direction: str | Goal | None = None,
    directions: Sequence[str | Goal] | None = None,
    objective: Mapping[str, object] | None = None,
    objectives: Sequence[Mapping[str, object]] | None = None,
    algorithm: Chosen | None = None,
    seed: int | None = None,
    stopping: Chosen | None = None,
    trials: int | None = None,
    parallel: int | None = None,
    failed: int | None = None,
    duration: float | str | None = None,
    gpu_hours: float | None = None,
    labels: Mapping[str, str] | None = None,
    load_if_exists: bool = False,
    address: str | None = None,
    database: str | os.PathLike[str] | None = None,
    storage: Storage | None = None,
    study_name: str | None = None,
    sampler: object = None,
    pruner: object = None,
    lease: float = LEASE,
    serve: Serve | None = None,
) -> Study:
    """Makes a study to ask and tell.

    `name`: a DNS label; one is made up if there is none. `parameters`: the space in the study file's words,
    `{"lr": {"min": 1e-5, "max": 0.1, "scale": "log"}}` (bounds that are all integers make an integer: for what lies
    between 0 and 1 write `{"min": 0.0, "max": 1.0}`), or a Space; without it the space grows as the code names
    parameters with `trial.suggest_*`. What is optimised: `metric` (default "value") and `direction` ("minimize", the
    default, or "maximize"); or `directions`, of the metrics value_0, value_1, ...; or `objective`, `objectives` in the
    study file's words. `algorithm` and `stopping`: a name, or a mapping with the name and settings; without `algorithm`
    the service chooses, without `stopping` no trial is stopped early. `trials` to `gpu_hours`: the budget; None is no
    limit.

    `study_name`, `sampler` and `pruner` are Optuna's: another word for `name`, and an object or class name of Optuna's
    (or of `wazir.samplers` and `wazir.pruners`), which is taken for the algorithm or the rule that it is here.

    `load_if_exists` goes on with a study of that name, with the budget and stopping given now. Where studies are kept:
    `address`, a service's `host:port`; or `database`, a file or `postgresql://USER@HOST/DATABASE`; or `storage`, either
    of them as Optuna writes it (`sqlite:///studies.db`). Without them WAZIR_ADDRESS, else WAZIR_DB or the file
    `.wazir/wazir.db`. A database that no service serves is served by a process that ends with this one. `lease`:
    seconds for which this process may be silent before its trials are given to others.

    Raises InvalidArgument, AlreadyExists, SpecChanged if the existing study has another space or metric, Unavailable
    if no service answers, and FailedPrecondition if one would have to be started and a library of it is missing.
    """
    name = either("name", name, "study_name", study_name)
    check_list("constraints", constraints, "x < 1")
    check_list("directions", directions, "minimize")
    check_lease(lease)

    what = _objectives(metric, direction, directions, objective=objective, objectives=objectives)
    refuse_both("algorithm", algorithm, "sampler", sampler)
    if sampler is not None:
        algorithm = algorithm_of(sampler)
    settings: dict[str, object] = dict(algorithm) if isinstance(algorithm, Mapping) else {"name": algorithm or "auto"}
    if seed is not None:
        settings["seed"] = seed
    if pruner is not None:
        # Only the goal of the first objective matters.
        first = document.from_document(what).objectives[0]
        refuse_both("stopping", stopping, "pruner", pruner)
        stopping = stopping_of(pruner, first.goal)

    budget = {
        "trials": trials,
        "parallel": parallel,
        "failed": failed,
        "duration": duration,
        "gpu_hours": gpu_hours,
    }
    description: dict[str, object] = {
        **what,
        "algorithm": settings,
        "budget": {key: limit for key, limit in budget.items() if limit is not None},
    }
    if stopping is not None:
        description["stopping"] = dict(stopping) if isinstance(stopping, Mapping) else {"name": stopping}
    if labels:
        description["labels"] = dict(labels)
    if parameters is not None and not isinstance(parameters, Space):
        description["parameters"] = parameters
    if constraints:
        description["constraints"] = list(constraints)

    with python_words():
        spec = document.from_document(description)
        for doubt in document.doubts(description):
            # The level of the code that called `wazir.create_study`.
            warnings.warn(in_python(str(doubt)), UserWarning, stacklevel=3)
        if isinstance(parameters, Space):
            spec = replace(spec, space=Space(parameters.parameters, (*parameters.constraints, *constraints)))
        study_id = check_id("name", f"study-{secrets.token_hex(4)}" if name is None else name)

        client = open_client(address, database=database, storage=storage, serve=serve)
        made = client.create_study(study_id, spec, resume=load_if_exists)

    give_back_orphans(client, made)
    study = Study(client, made, lease=lease)
    # Somebody who passes Optuna's NopPruner knows that no trial is pruned.
    study._definitions.told_of_stopping |= pruner is not None
    return study


def load_study(
    name: str | None = None,
    *,
    address: str | None = None,
    database: str | os.PathLike[str] | None = None,
    storage: Storage | None = None,
    study_name: str | None = None,
    sampler: object = None,
    pruner: object = None,
    lease: float = LEASE,
    serve: Serve | None = None,
) -> Study:
    """A study that exists, whoever made it. Arguments as in `create_study`; `sampler` and `pruner`, which Optuna takes
    here, are those that the study was created with, so others are ignored, with a warning. Raises NotFound."""
    name = _named(name, study_name)
    check_lease(lease)
    for argument, given in (("sampler", sampler), ("pruner", pruner)):
        if given is not None:
            logger.warning("%s= is ignored: a study keeps what it was created with", argument)
    client = open_client(address, database=database, storage=storage, serve=serve)
    study = client.get_study(name)
    give_back_orphans(client, study)
    return Study(client, study, lease=lease)


def delete_study(
    name: str | None = None,
    *,
    address: str | None = None,
    database: str | os.PathLike[str] | None = None,
    storage: Storage | None = None,
    study_name: str | None = None,
    serve: Serve | None = None,
) -> None:
    """Deletes a study with its trials. Arguments as in `create_study`. Raises NotFound, and FailedPrecondition while
    trials of it run."""
    name = _named(name, study_name)
    with open_client(address, database=database, storage=storage, serve=serve) as client:
        client.delete_study(name)


@dataclass(frozen=True)
class StudySummary:
    """What `get_all_study_summaries` says of a study."""

    study_name: str
    directions: Sequence[Goal]
    best_trial: Result | None
    n_trials: int
    user_attrs: Mapping[str, object]
    datetime_start: datetime

    @property
    def direction(self) -> Goal:
        """Of the first objective."""
        return self.directions[0]


def get_all_study_summaries(
    storage: Storage | None = None,
    include_best_trial: bool = True,
    *,
    address: str | None = None,
    database: str | os.PathLike[str] | None = None,
    serve: Serve | None = None,
) -> list[StudySummary]:
    """All studies, the oldest first. `best_trial` is None with several objectives. Arguments as in `create_study`."""
    with open_client(address, database=database, storage=storage, serve=serve) as client:
        found = sorted(client.list_studies(), key=lambda study: study.create_time)
        summaries = []
        for study in found:
            objectives = [o.metric for o in study.spec.objectives]
            best = client.best_trials(study.name, 1) if include_best_trial and len(objectives) == 1 else []
            summaries.append(
                StudySummary(
                    study_name=study.name.short,
                    directions=[o.goal for o in study.spec.objectives],
                    best_trial=Result.of(best[0], objectives, None) if best else None,
                    n_trials=study.counts.total,
                    user_attrs=from_metadata(study.metadata),
                    datetime_start=datetime.fromtimestamp(study.create_time, UTC),
                )
            )
        return summaries


def get_all_study_names(
    storage: Storage | None = None,
    *,
    address: str | None = None,
    database: str | os.PathLike[str] | None = None,
    serve: Serve | None = None,
) -> list[str]:
    """The names of the studies, sorted. Arguments as in `create_study`."""
    with open_client(address, database=database, storage=storage, serve=serve) as client:
        return sorted(study.name.short for study in client.list_studies())


def _named(name: str | None, study_name: str | None) -> str:
    name = either("name", name, "study_name", study_name)
    if name is None:
        raise InvalidArgument("name", MISSING, "is missing", 'For instance load_study("digits")')
    return name


def reopened(name: str, address: str, lease: float) -> Study:
    """What a pickled study becomes."""
    return load_study(name, address=address, lease=lease)


def _objectives(
    metric: str | None,
    direction: str | Goal | None,
    directions: Sequence[str | Goal] | None,
    *,
    objective: Mapping[str, object] | None,
    objectives: Sequence[Mapping[str, object]] | None,
) -> dict[str, object]:
    """The part of a study file that says what is optimised."""
    short = metric is not None or direction is not None
    if short + (directions is not None) + (objective is not None) + (objectives is not None) > 1:
        raise InvalidArgument(
            "objective",
            MISSING,
            "what is optimised is said twice",
            "Give metric and direction, or directions, or objective, or objectives",
        )

    if directions is not None:
        goals = [_goal(f"directions[{place}]", goal) for place, goal in enumerate(directions)]
        if not goals:
            raise InvalidArgument("directions", [], "must have one for each objective", 'For instance ["minimize"]')
        if len(goals) == 1:
            return {"objective": {"metric": "value", "goal": goals[0]}}
        return {"objectives": [{"metric": f"value_{place}", "goal": goal} for place, goal in enumerate(goals)]}

    if objectives is not None:
        return {"objectives": list(objectives)}
    if objective is not None:
        return {"objective": objective}
    return {"objective": {"metric": metric or "value", "goal": _goal("direction", direction or "minimize")}}


def _goal(field: str, direction: object) -> str:
    """Optuna's StudyDirection has the names of our goals."""
    name = direction if isinstance(direction, str) else str(getattr(direction, "name", direction)).lower()
    if name not in ("minimize", "maximize"):
        hint = similar(name, ("minimize", "maximize"))
        raise InvalidArgument(
            field, name if isinstance(direction, str) else direction, 'must be "minimize" or "maximize"', hint
        )
    return name
