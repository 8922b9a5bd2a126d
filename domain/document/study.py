"""A study's specification, as documents write it: the whole, and its objectives, algorithm, stopping and budget.

What they may be is said in `domain/study.py` and `domain/metric.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..errors import MISSING, InvalidArgument
from ..metric import Goal, Objective, Pick, SafetyMetric
from ..names import check_id
from ..study import ALGORITHM_KEYS, STOPPING_KEYS, Algorithm, Budget, Stopping, StudySpec
from .amounts import format_duration
from .keys import KEYS
from .section import Section, given
from .space import parameter_to_document, space_from
from .template import template_from, template_to

FAILED_DEFAULT: Final = 10
"""`budget.failed` of a study with a `trial` section that does not say it."""


def from_document(document: Mapping[str, object]) -> StudySpec:
    """The specification that `document` describes; its `study` key is checked and left aside.

    Without `parameters` the space is None: one that grows. Raises InvalidArgument.
    """
    return study_from_document(document)[1]


def study_from_document(document: Mapping[str, object]) -> tuple[str | None, StudySpec]:
    """The study's id (None where there is no `study` key) and its specification. Raises InvalidArgument."""
    top = Section("", document, KEYS[""])
    study_id = check_id("study", top.text("study")) if "study" in top else None
    trial = template_from(top.section("trial", KEYS["trial"])) if "trial" in top else None
    return study_id, StudySpec(
        objectives=_objectives_from(top),
        space=space_from(top),
        safety=tuple(
            SafetyMetric(s.text("metric"), s.real("at_least"), s.real("at_most"))
            for s in top.sections("safety", KEYS["safety"])
        ),
        algorithm=_algorithm_from(top),
        stopping=_stopping_from(top),
        budget=_budget_from(top, None if trial is None else FAILED_DEFAULT),
        trial=trial,
        labels=top.words_by_name("labels"),
    )


def to_document(spec: StudySpec) -> dict[str, object]:
    """`spec` as new plain dicts, lists and scalars, keys in the order of this package's head, without `study`."""
    document: dict[str, object] = {}
    if spec.labels:
        document["labels"] = dict(spec.labels)
    objectives = [_objective_to(o) for o in spec.objectives]
    document |= {"objective": objectives[0]} if len(objectives) == 1 else {"objectives": objectives}
    if spec.safety:
        document["safety"] = [
            {"metric": s.metric, **given(at_least=s.at_least, at_most=s.at_most)} for s in spec.safety
        ]
    algorithm: dict[str, object] = {"name": spec.algorithm.name, **given(seed=spec.algorithm.seed)}
    if spec.algorithm.repeats != 1:
        algorithm["repeats"] = spec.algorithm.repeats
    document["algorithm"] = algorithm | {name: _plain(value) for name, value in spec.algorithm.settings.items()}
    if spec.stopping is not None:
        settings = {name: _plain(value) for name, value in spec.stopping.settings.items()}
        document["stopping"] = {"name": spec.stopping.name, **settings}
    if spec.space is not None:
        document["parameters"] = {p.name: parameter_to_document(p) for p in spec.space.parameters}
        if spec.space.constraints:
            document["constraints"] = list(spec.space.constraints)
    if budget := _budget_to(spec.budget, has_trial=spec.trial is not None):
        document["budget"] = budget
    if spec.trial is not None:
        document["trial"] = template_to(spec.trial)
    return document


def _objectives_from(top: Section) -> tuple[Objective, ...]:
    if "objective" in top and "objectives" in top:
        raise InvalidArgument("objectives", MISSING, "cannot be combined with `objective`", "Keep one of the two")
    if "objectives" in top:
        return tuple(_objective_from(s) for s in top.sections("objectives", KEYS["objective"]))
    value = top.value("objective")
    if isinstance(value, list | tuple):
        raise InvalidArgument("objective", value, "is one objective", "Write a list under `objectives`")
    return (_objective_from(Section("objective", value, KEYS["objective"])),)


def _objective_from(section: Section) -> Objective:
    metric = section.text("metric")
    section.value("goal")
    return Objective(
        metric,
        section.choice("goal", Goal, Goal.MINIMIZE),
        section.real("target"),
        section.choice("pick", Pick, Pick.LAST),
    )


def _objective_to(objective: Objective) -> dict[str, object]:
    document: dict[str, object] = {"metric": objective.metric, "goal": objective.goal.value}
    if objective.target is not None:
        document["target"] = objective.target
    if objective.pick is not Pick.LAST:
        document["pick"] = objective.pick.value
    return document


def _algorithm_from(top: Section) -> Algorithm:
    if "algorithm" not in top:
        return Algorithm()
    value = top.value("algorithm")
    if isinstance(value, str):
        return Algorithm(value)
    section = Section("algorithm", value, None)
    return Algorithm(
        name=section.text("name", "auto"),
        seed=section.whole("seed") if "seed" in section else None,
        repeats=section.whole("repeats") if "repeats" in section else 1,
        settings={name: v for name, v in section.entries.items() if name not in ALGORITHM_KEYS},
    )


def _stopping_from(top: Section) -> Stopping | None:
    if "stopping" not in top:
        return None
    value = top.value("stopping")
    if isinstance(value, str):
        return Stopping(value)
    section = Section("stopping", value, None)
    return Stopping(section.text("name"), {name: v for name, v in section.entries.items() if name not in STOPPING_KEYS})


def _budget_from(top: Section, failed: int | None) -> Budget:
    """`failed`: the limit where the document says none."""
    if "budget" not in top:
        return Budget(failed=failed)
    section = top.section("budget", KEYS["budget"])

    def limit(key: str) -> int | None:
        return None if section.unlimited(key) else section.whole(key)

    return Budget(
        trials=limit("trials"),
        parallel=limit("parallel"),
        failed=limit("failed") if "failed" in section else failed,
        duration=None if section.unlimited("duration") else section.seconds("duration", 0.0),
        gpu_hours=None if section.unlimited("gpu_hours") else section.real("gpu_hours"),
    )


def _budget_to(budget: Budget, *, has_trial: bool) -> dict[str, object]:
    document = given(trials=budget.trials, parallel=budget.parallel)
    if budget.failed is not None or has_trial:
        document["failed"] = budget.failed
    if budget.duration is not None:
        document["duration"] = format_duration(budget.duration)
    return document | given(gpu_hours=budget.gpu_hours)


def _plain(value: object) -> object:
    """A JSON value of dicts and lists of its own."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
