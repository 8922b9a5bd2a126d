"""A study's specification as plain data in the words of the study file, and back.

`from_document` reads mappings, lists, texts, numbers and booleans as YAML and JSON know them, `to_document` writes
them; `from_document(to_document(spec)) == spec` for every specification, with 1, 1.0 and true kept apart. Whoever
reads files, stores specifications or prints them does it through here, so there is one vocabulary:

    study, labels               a DNS label; texts by name
    objective | objectives      {metric, goal: minimize | maximize, target, pick: last | best}, or a list of these
    safety                      a list of {metric, at_least, at_most}
    algorithm                   a name, or {name, seed, repeats} and the algorithm's own settings
    stopping                    a name, or {name} and the rule's own settings
    parameters                  by name: {type, min, max, scale, step, default, values, when}
    constraints                 a list of conditions, see `constraint.py`
    budget                      {trials, parallel, failed, duration, gpu_hours}
    trial                       {command, args, env, workdir, image, runtime, resources: {gpu, cpu, memory}, timeout,
                                grace, retries: {failed, preempted}, metrics: {from: push | stdout, pattern},
                                checkpoints: {keep: latest | best | none}}
                                and for pods {volumes, checkpoints: {claim | host}, node_selector, tolerations,
                                service_account, pull_secrets, priority_class, labels, user, keep, start_timeout,
                                manifest}

What is left out and may be inferred:

* `type` of a parameter with `min` and `max`: `int` where every number of it (min, max, step, default) is written
  without a point or exponent, else `double`. So {min: 0, max: 1} has two values, {min: 0.0, max: 1.0} all between.
* `type` of a parameter with `values`: `discrete` where all are numbers, else `categorical`. Discrete values may stand
  in any order.
* `budget.failed`: 10 where there is a `trial` section, else no limit.

Durations are seconds, or texts such as 90s, 12h, 1h30m, 2d. Memory is bytes, or a text such as 64Gi or 512M. null says
"no limit" in `budget` and for `trial.timeout`; anywhere else it is refused, because it is a value somebody forgot.
Every refusal is an InvalidArgument with the path of the field: `parameters.lr.min`, `trial.command[2]`.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from typing import Final, TypeVar

from .attempt import RetryPolicy
from .errors import MISSING, InvalidArgument, nearest, similar
from .metric import Goal, Objective, Pick, SafetyMetric
from .names import check_id
from .parameters import Value
from .pod import Keep, PodOptions, Retention, Source, Volume
from .space import Categorical, Condition, Discrete, Double, Integer, Kind, Parameter, Scale, Space
from .study import ALGORITHM_KEYS, STOPPING_KEYS, Algorithm, Budget, Stopping, StudySpec
from .template import MetricsFrom, MetricsSource, Resources, Runtime, TrialTemplate, as_argument

FAILED_DEFAULT: Final = 10
"""`budget.failed` of a study with a `trial` section that does not say it."""

E = TypeVar("E", bound=Enum)


def from_document(document: Mapping[str, object]) -> StudySpec:
    """The specification that `document` describes; its `study` key is checked and left aside.

    Without `parameters` the space is None: one that grows. Raises InvalidArgument.
    """
    return study_from_document(document)[1]


def study_from_document(document: Mapping[str, object]) -> tuple[str | None, StudySpec]:
    """The study's id (None where there is no `study` key) and its specification. Raises InvalidArgument."""
    top = _Section("", document, SECTIONS)
    study_id = check_id("study", top.text("study")) if "study" in top else None
    trial = _trial_from(top.section("trial", _TRIAL)) if "trial" in top else None
    return study_id, StudySpec(
        objectives=_objectives_from(top),
        space=_space_from(top),
        safety=tuple(
            SafetyMetric(s.text("metric"), s.real("at_least"), s.real("at_most"))
            for s in top.sections("safety", _SAFETY)
        ),
        algorithm=_algorithm_from(top),
        stopping=_stopping_from(top),
        budget=_budget_from(top, None if trial is None else FAILED_DEFAULT),
        trial=trial,
        labels=top.texts_by_name("labels"),
    )


def to_document(spec: StudySpec) -> dict[str, object]:
    """`spec` as new plain dicts, lists and scalars, keys in the order of the head of this module, without `study`."""
    document: dict[str, object] = {}
    if spec.labels:
        document["labels"] = dict(spec.labels)
    objectives = [_objective_to(o) for o in spec.objectives]
    document |= {"objective": objectives[0]} if len(objectives) == 1 else {"objectives": objectives}
    if spec.safety:
        document["safety"] = [
            {"metric": s.metric, **_given(at_least=s.at_least, at_most=s.at_most)} for s in spec.safety
        ]
    algorithm: dict[str, object] = {"name": spec.algorithm.name, **_given(seed=spec.algorithm.seed)}
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
        document["trial"] = _trial_to(spec.trial)
    return document


def parameter_from_document(name: str, document: object) -> Parameter:
    """The parameter that `{min: ..., max: ...}` and the like describe. Raises InvalidArgument.

    The values of a `when` keep the type they are written in; `from_document` gives them that of the parent's values.
    """
    where = f"parameters.{name}"
    if isinstance(document, list | tuple):
        raise InvalidArgument(where, document, "must be a mapping", "For a list of values write {values: [...]}")
    section = _Section(where, document, _PARAMETER)
    return Parameter(name, _kind_from(section), _default_from(section), _when_from(section))


def parameter_to_document(parameter: Parameter) -> dict[str, object]:
    """What `parameter_from_document` reads as an equal parameter."""
    document = _kind_to(parameter.kind)
    if parameter.default is not None:
        document["default"] = parameter.default
    if parameter.when:
        document["when"] = {c.parent: _condition_to(c) for c in parameter.when}
    return document


SECTIONS: Final = (
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
)
"""The keys of a document."""

_OBJECTIVE: Final = ("metric", "goal", "target", "pick")
_SAFETY: Final = ("metric", "at_least", "at_most")
_PARAMETER: Final = ("type", "min", "max", "scale", "step", "default", "values", "when")
_BUDGET: Final = ("trials", "parallel", "failed", "duration", "gpu_hours")
_TRIAL: Final = (
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
)

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


class _Section:
    """One mapping of a document. Reads its keys by kind, and names the path of what it refuses."""

    def __init__(self, where: str, value: object, known: Collection[str] | None) -> None:
        """`known`: the keys it may have; None where it may have any."""
        if not isinstance(value, Mapping):
            example = f"Allowed are: {', '.join(known)}" if known else "Write name: value"
            raise InvalidArgument(where, value, "must be a mapping (key: value)", example)
        for key, entry in value.items():
            if not isinstance(key, str):
                raise InvalidArgument(_join(where, str(key)), key, "a key must be a text", "Put it into quotes")
            if known is not None and key not in known:
                raise InvalidArgument(_join(where, key), entry, "unknown key", _meant(key, known))
        self.where = where
        self.entries: Mapping[str, object] = value

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def path(self, key: str) -> str:
        return _join(self.where, key)

    def value(self, key: str) -> object:
        """Raises InvalidArgument where it is missing or null."""
        path = self.path(key)
        if key not in self.entries:
            raise InvalidArgument(path, MISSING, "is missing", _EXAMPLES.get(key, ""))
        value = self.entries[key]
        if value is None:
            raise InvalidArgument(path, MISSING, "has no value", "Give it one, or leave the key out")
        return value

    def section(self, key: str, known: Collection[str] | None) -> _Section:
        return _Section(self.path(key), self.value(key), known)

    def items(self, key: str) -> Sequence[object]:
        """A list; empty where it is left out."""
        if key not in self:
            return ()
        value = self.value(key)
        if not isinstance(value, list | tuple):
            raise InvalidArgument(self.path(key), value, "must be a list", _EXAMPLES.get(key, "Write [...]"))
        return value

    def sections(self, key: str, known: Collection[str]) -> list[_Section]:
        return [_Section(f"{self.path(key)}[{i}]", item, known) for i, item in enumerate(self.items(key))]

    def text(self, key: str, default: str | None = None) -> str:
        if default is not None and key not in self:
            return default
        value = self.value(key)
        if not isinstance(value, str):
            raise InvalidArgument(self.path(key), value, "must be a text", _quote(value))
        return value

    def texts_by_name(self, key: str) -> dict[str, str]:
        """Numbers and booleans count as the texts they are written as. Empty where it is left out."""
        if key not in self:
            return {}
        section = self.section(key, None)
        return {name: _text(section.path(name), section.value(name)) for name in section.entries}

    def number(self, key: str) -> int | float:
        return _number(self.path(key), self.value(key))

    def real(self, key: str) -> float | None:
        """A number as a float; None where it is left out."""
        return _float(self.number(key)) if key in self else None

    def whole(self, key: str) -> int:
        """A whole number; 1e3 is one, too."""
        number = self.number(key)
        exact = _exact(number)
        if exact is None:
            raise InvalidArgument(self.path(key), number, "must be a whole number")
        return exact

    def flag(self, key: str, default: bool) -> bool:
        value = self.value(key) if key in self else default
        if not isinstance(value, bool):
            raise InvalidArgument(self.path(key), value, "must be true or false")
        return value

    def choice(self, key: str, kind: type[E], default: E) -> E:
        if key not in self:
            return default
        value = self.value(key)
        word = value.replace("-", "_") if isinstance(value, str) else value
        for member in kind:
            if member.value == word:
                return member
        words = [str(member.value) for member in kind]
        hint = nearest(value, words) if isinstance(value, str) else ""
        raise InvalidArgument(
            self.path(key), value, f"must be {_or(words)}", hint if hint.startswith("Did you mean") else ""
        )

    def seconds(self, key: str, default: float) -> float:
        return parse_duration(self.path(key), self.value(key)) if key in self else default

    def unlimited(self, key: str) -> bool:
        """Whether the key stands with null, or does not stand."""
        return self.entries.get(key) is None


_EXAMPLES: Final = {
    "objective": "For instance objective: {metric: loss, goal: minimize}",
    "metric": "Name it as the training code reports it",
    "goal": "Write goal: minimize or goal: maximize",
    "command": "For instance command: [python, train.py, ${args}]",
    "constraints": 'For instance constraints: ["batch * accum <= 512"]',
    "safety": "For instance safety: [{metric: memory, at_most: 16}]",
    "objectives": "For instance objectives: [{metric: loss, goal: minimize}]",
    "min": "A range needs min and max; a list of values stands under values",
    "max": "A range needs min and max; a list of values stands under values",
    "values": "For instance values: [32, 64, 128]",
    "name": "For instance name: median",
}


# Objectives, algorithm, stopping, budget


def _objectives_from(top: _Section) -> tuple[Objective, ...]:
    if "objective" in top and "objectives" in top:
        raise InvalidArgument("objectives", MISSING, "stands beside `objective`", "Keep one of the two")
    if "objectives" in top:
        return tuple(_objective_from(s) for s in top.sections("objectives", _OBJECTIVE))
    value = top.value("objective")
    if isinstance(value, list | tuple):
        raise InvalidArgument("objective", value, "is one objective", "Write a list under `objectives`")
    return (_objective_from(_Section("objective", value, _OBJECTIVE)),)


def _objective_from(section: _Section) -> Objective:
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


def _algorithm_from(top: _Section) -> Algorithm:
    if "algorithm" not in top:
        return Algorithm()
    value = top.value("algorithm")
    if isinstance(value, str):
        return Algorithm(value)
    section = _Section("algorithm", value, None)
    return Algorithm(
        name=section.text("name", "auto"),
        seed=section.whole("seed") if "seed" in section else None,
        repeats=section.whole("repeats") if "repeats" in section else 1,
        settings={name: v for name, v in section.entries.items() if name not in ALGORITHM_KEYS},
    )


def _stopping_from(top: _Section) -> Stopping | None:
    if "stopping" not in top:
        return None
    value = top.value("stopping")
    if isinstance(value, str):
        return Stopping(value)
    section = _Section("stopping", value, None)
    return Stopping(section.text("name"), {name: v for name, v in section.entries.items() if name not in STOPPING_KEYS})


def _budget_from(top: _Section, failed: int | None) -> Budget:
    """`failed`: the limit where the document says none."""
    if "budget" not in top:
        return Budget(failed=failed)
    section = top.section("budget", _BUDGET)

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
    document = _given(trials=budget.trials, parallel=budget.parallel)
    if budget.failed is not None or has_trial:
        document["failed"] = budget.failed
    if budget.duration is not None:
        document["duration"] = _duration(budget.duration)
    return document | _given(gpu_hours=budget.gpu_hours)


# Parameters


def _space_from(top: _Section) -> Space | None:
    constraints = top.items("constraints")
    for i, text in enumerate(constraints):
        if not isinstance(text, str):
            raise InvalidArgument(f"constraints[{i}]", text, "must be a text", "Put the condition into quotes")
    if "parameters" not in top:
        if constraints:
            raise InvalidArgument("constraints", list(constraints), "need `parameters` that they are about")
        return None
    entries = top.value("parameters")
    if isinstance(entries, list | tuple):
        raise InvalidArgument("parameters", MISSING, "must be a mapping", "Write each as name: {min: ..., max: ...}")
    section = _Section("parameters", entries, None)
    parameters = [parameter_from_document(name, section.value(name)) for name in section.entries]
    return Space(tuple(_as_parents_keep_them(parameters)), tuple(map(str, constraints)))


def _as_parents_keep_them(parameters: Iterable[Parameter]) -> Iterable[Parameter]:
    """Values in conditions with the type that the parent has them in, so that `when: {width: 2}` meets 2.0.

    What the parent can never have is left as it is, and refused by the space.
    """
    parameters = list(parameters)
    kinds = {p.name: p.kind for p in parameters}
    for parameter in parameters:
        if not parameter.when:
            yield parameter
            continue
        conditions = []
        for condition in parameter.when:
            kind = kinds.get(condition.parent)
            values = tuple(_kept(kind, value) for value in condition.values)
            conditions.append(replace(condition, values=values))
        yield replace(parameter, when=tuple(conditions))


def _kept(kind: Kind | None, value: Value) -> Value:
    if kind is None:
        return value
    try:
        known = kind.coerce(value)
    except ValueError:
        return value
    # A number near the grid of a step is not on it; the space says so.
    return known if known == value else value


def _kind_from(section: _Section) -> Kind:
    given = section.text("type", "")
    if given and given not in _TYPES:
        raise InvalidArgument(section.path("type"), given, f"must be {_or(_TYPES)}", _meant_type(given))
    listed = "values" in section
    if not listed and not given and not {"min", "max"} & section.entries.keys():
        raise InvalidArgument(section.where, MISSING, "needs min and max, or values")
    wanted = _TYPES.get(given) or ((Discrete, Categorical) if listed else (Double, Integer))
    if Discrete in wanted or Categorical in wanted:
        _forbid(section, ("min", "max", "step"), "goes with a range, not with a list of values")
        return _list_from(section, wanted)
    _forbid(section, ("values",), f"goes with type discrete or categorical, not {given}")
    return _range_from(section, wanted)


_TYPES: Final[dict[str, tuple[type[Kind], ...]]] = {
    "double": (Double,),
    "float": (Double,),
    "int": (Integer,),
    "integer": (Integer,),
    "discrete": (Discrete,),
    "categorical": (Categorical,),
}


def _range_from(section: _Section, wanted: Sequence[type[Kind]]) -> Double | Integer:
    low, high = section.number("min"), section.number("max")
    scale = section.choice("scale", Scale, Scale.LINEAR)
    step = section.number("step") if "step" in section else None
    if Double in wanted and Integer in wanted:
        numbers = [low, high, step, section.entries.get("default")]
        whole = all(n is None or (isinstance(n, int) and not isinstance(n, bool)) for n in numbers)
    else:
        whole = Integer in wanted
    if not whole:
        return Double(_float(low), _float(high), scale, None if step is None else _float(step))
    # What is no whole number is refused by the parameter, which knows the way out.
    bounds = [
        number if _exact(number) is None else _exact(number) for number in (low, high, 1 if step is None else step)
    ]
    return Integer(bounds[0], bounds[1], scale, bounds[2])  # type: ignore[arg-type]  # see above


def _list_from(section: _Section, wanted: Sequence[type[Kind]]) -> Discrete | Categorical:
    section.value("values")
    values = [_scalar(f"{section.path('values')}[{i}]", value) for i, value in enumerate(section.items("values"))]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if Discrete in wanted and (Categorical not in wanted or (values and len(numbers) == len(values))):
        if len(numbers) < len(values):
            other = next(v for v in values if isinstance(v, str | bool))
            rule = "a discrete parameter has numbers only"
            raise InvalidArgument(section.path("values"), other, rule, "For anything else write `type: categorical`")
        numbers.sort()
        if twice := [low for low, high in pairwise(numbers) if low == high]:
            raise InvalidArgument(section.path("values"), twice[0], "stands twice", "Name each value once")
        return Discrete(tuple(numbers), section.choice("scale", Scale, Scale.LINEAR))
    _forbid(section, ("scale",), "goes with numbers that have an order, not with a categorical parameter")
    return Categorical(tuple(values))


def _default_from(section: _Section) -> Value | None:
    return _scalar(section.path("default"), section.value("default")) if "default" in section else None


def _when_from(section: _Section) -> tuple[Condition, ...]:
    if "when" not in section:
        return ()
    when = section.value("when")
    if not isinstance(when, Mapping):
        raise InvalidArgument(section.path("when"), when, "must be a mapping", "For instance when: {opt: sgd}")
    conditions = _Section(section.path("when"), when, None)
    return tuple(_condition_from(conditions, parent) for parent in conditions.entries)


def _condition_from(section: _Section, parent: str) -> Condition:
    value, where = section.value(parent), section.path(parent)
    if isinstance(value, Mapping):
        bounds = _Section(where, value, ("min", "max"))
        low = bounds.number("min") if "min" in bounds else None
        return Condition(parent, min=low, max=bounds.number("max") if "max" in bounds else None)
    if isinstance(value, list | tuple):
        return Condition(parent, tuple(_scalar(f"{where}[{i}]", v) for i, v in enumerate(value)))
    return Condition(parent, (_scalar(where, value),))


def _condition_to(condition: Condition) -> object:
    if not condition.values:
        return _given(min=condition.min, max=condition.max)
    return condition.values[0] if len(condition.values) == 1 else list(condition.values)


def _kind_to(kind: Kind) -> dict[str, object]:
    document: dict[str, object]
    match kind:
        case Double():
            document = {"min": float(kind.min), "max": float(kind.max)}
            # Said aloud where a reader that drops the point of 1.0 would find whole numbers.
            if all(number.is_integer() for number in map(float, (kind.min, kind.max))):
                document = {"type": "double"} | document
            if kind.step is not None:
                document["step"] = float(kind.step)
            scale = kind.scale
        case Integer():
            document = {"type": "int", "min": kind.min, "max": kind.max}
            if kind.step != 1:
                document["step"] = kind.step
            scale = kind.scale
        case Discrete():
            document = {"values": list(kind.values)}
            scale = kind.scale
        case Categorical():
            document = {"values": list(kind.values)}
            if not any(isinstance(value, str | bool) for value in kind.values):
                document = {"type": "categorical"} | document
            scale = Scale.LINEAR
    if scale is not Scale.LINEAR:
        document["scale"] = scale.value
    return document


# The trial template


def _trial_from(section: _Section) -> TrialTemplate:
    resources = section.section("resources", ("gpu", "cpu", "memory")) if "resources" in section else None
    retries = section.section("retries", ("failed", "preempted")) if "retries" in section else None
    metrics = section.section("metrics", ("from", "pattern")) if "metrics" in section else None
    default = TrialTemplate()
    pod = pod_from(section)
    return TrialTemplate(
        command=_command_from(section, "command", optional="image" in section or pod.manifest is not None),
        args=_command_from(section, "args", optional=True),
        pod=pod,
        env=section.texts_by_name("env"),
        workdir=section.text("workdir", ""),
        runtime=section.choice("runtime", Runtime, Runtime.LOCAL) if "runtime" in section else None,
        image=section.text("image", ""),
        resources=Resources() if resources is None else _resources_from(resources),
        timeout=None if section.unlimited("timeout") else section.seconds("timeout", 0.0),
        grace=section.seconds("grace", default.grace),
        retries=default.retries if retries is None else _retries_from(retries, default.retries),
        metrics=default.metrics
        if metrics is None
        else MetricsSource(metrics.choice("from", MetricsFrom, MetricsFrom.PUSH), metrics.text("pattern", "")),
    )


def _command_from(section: _Section, key: str, *, optional: bool) -> tuple[str, ...]:
    if optional and key not in section:
        return ()
    value, where = section.value(key), section.path(key)
    if isinstance(value, str):
        try:
            items = shlex.split(value)
        except ValueError:
            items = value.split()
        as_list = "[" + ", ".join(_quoted_item(item) for item in items) + "]"
        raise InvalidArgument(
            where, value, "must be a list, because no shell takes it apart", f"Write {key}: {as_list}"
        )
    return tuple(_text(f"{where}[{i}]", item) for i, item in enumerate(section.items(key)))


def _resources_from(section: _Section) -> Resources:
    return Resources(
        gpu=section.real("gpu") or 0.0,
        cpu=section.real("cpu") or 0.0,
        memory=_bytes(section.path("memory"), section.value("memory")) if "memory" in section else 0,
    )


def _retries_from(section: _Section, default: RetryPolicy) -> RetryPolicy:
    return RetryPolicy(
        failed=section.whole("failed") if "failed" in section else default.failed,
        preempted=section.whole("preempted") if "preempted" in section else default.preempted,
    )


def pod_document(pod: PodOptions) -> dict[str, object]:
    """The keys of `trial:` that are about pods."""
    document: dict[str, object] = {}
    if pod.volumes:
        document["volumes"] = {path: _volume_to(volume) for path, volume in pod.volumes.items()}
    if checkpoints := _checkpoints_to(pod):
        document["checkpoints"] = checkpoints
    given: dict[str, object] = {
        "node_selector": dict(pod.node_selector),
        "tolerations": [dict(t) for t in pod.tolerations],
        "service_account": pod.service_account,
        "pull_secrets": list(pod.pull_secrets),
        "priority_class": pod.priority_class,
        "labels": dict(pod.labels),
    }
    document |= {key: value for key, value in given.items() if value}
    if pod.user is not None:
        document["user"] = pod.user
    if pod.keep is not Keep.FAILED:
        document["keep"] = pod.keep.value
    if pod.start_timeout is not None:
        document["start_timeout"] = _duration(pod.start_timeout)
    if pod.manifest is not None:
        document["manifest"] = pod.manifest
    return document


def pod_from_document(document: object) -> PodOptions:
    """What `pod_document` gives. Raises InvalidArgument."""
    return pod_from(_Section("trial", document, _TRIAL))


def pod_from(section: _Section) -> PodOptions:
    manifest = section.section("manifest", None).entries if "manifest" in section else None
    volumes = section.section("volumes", None) if "volumes" in section else None
    tolerations = section.sections("tolerations", _TOLERATION)
    checkpoints, keep_checkpoints = _checkpoints_from(section)
    return PodOptions(
        volumes={}
        if volumes is None
        else {path: _volume_from(volumes.section(path, _VOLUME)) for path in volumes.entries},
        checkpoints=checkpoints,
        keep_checkpoints=keep_checkpoints,
        node_selector=section.texts_by_name("node_selector"),
        tolerations=tuple(_toleration_from(toleration) for toleration in tolerations),
        service_account=section.text("service_account", ""),
        pull_secrets=tuple(
            _text(f"{section.path('pull_secrets')}[{i}]", n) for i, n in enumerate(section.items("pull_secrets"))
        ),
        priority_class=section.text("priority_class", ""),
        labels=section.texts_by_name("labels"),
        user=section.whole("user") if "user" in section else None,
        keep=section.choice("keep", Keep, Keep.FAILED),
        start_timeout=None if section.unlimited("start_timeout") else section.seconds("start_timeout", 0.0),
        manifest=manifest,
    )


_VOLUME: Final = (*(source.value for source in Source), "size", "read_only")
_TOLERATION: Final = ("key", "operator", "value", "effect", "tolerationSeconds")


def _checkpoints_from(trial: _Section) -> tuple[Volume | None, Retention]:
    """`{claim: NAME, keep: best}`: the volume, where one is named, and which checkpoints stay."""
    if "checkpoints" not in trial:
        return None, Retention.LATEST
    section = trial.section("checkpoints", (*_VOLUME, "keep"))
    keep = section.choice("keep", Retention, Retention.LATEST)
    return (_volume_from(section) if any(key in section for key in _VOLUME) else None), keep


def _checkpoints_to(pod: PodOptions) -> dict[str, object]:
    document = {} if pod.checkpoints is None else _volume_to(pod.checkpoints)
    return document if pod.keep_checkpoints is Retention.LATEST else document | {"keep": pod.keep_checkpoints.value}


def _volume_from(section: _Section) -> Volume:
    given = [source for source in Source if source.value in section]
    if len(given) != 1:
        words = ", ".join(source.value for source in Source)
        raise InvalidArgument(section.where, list(section.entries), f"names one source of: {words}")
    source = given[0]
    name, size = "", 0
    if source in (Source.EMPTY, Source.MEMORY):
        value = section.value(source.value)
        # `memory: 8Gi` says its size; `empty: true` has none.
        size = 0 if value is True else _bytes(section.path(source.value), value)
    else:
        name = section.text(source.value)
    if "size" in section:
        if source not in (Source.EMPTY, Source.MEMORY):
            raise InvalidArgument(section.path("size"), section.value("size"), "is for `empty` and `memory` only")
        size = _bytes(section.path("size"), section.value("size"))
    return Volume(source, name, size, section.flag("read_only", False))


def _volume_to(volume: Volume) -> dict[str, object]:
    bare = volume.source in (Source.EMPTY, Source.MEMORY)
    document: dict[str, object] = {volume.source.value: (_memory(volume.size) or True) if bare else volume.name}
    return document | ({"read_only": True} if volume.read_only else {})


def _toleration_from(section: _Section) -> dict[str, str | int]:
    return {
        key: section.whole(key) if key == "tolerationSeconds" else _text(section.path(key), section.value(key))
        for key in section.entries
    }


def _trial_to(trial: TrialTemplate) -> dict[str, object]:
    default = TrialTemplate()
    document: dict[str, object] = {"command": list(trial.command)} if trial.command else {}
    if trial.args:
        document["args"] = list(trial.args)
    if trial.env:
        document["env"] = dict(trial.env)
    if trial.workdir:
        document["workdir"] = trial.workdir
    if trial.image:
        document["image"] = trial.image
    if trial.runtime is not None:
        document["runtime"] = trial.runtime.value
    resources: dict[str, object] = {
        name: amount for name, amount in (("gpu", trial.resources.gpu), ("cpu", trial.resources.cpu)) if amount
    }
    if trial.resources.memory:
        resources["memory"] = _memory(trial.resources.memory)
    if resources:
        document["resources"] = resources
    if trial.timeout is not None:
        document["timeout"] = _duration(trial.timeout)
    if trial.grace != default.grace:
        document["grace"] = _duration(trial.grace)
    if trial.retries != default.retries:
        document["retries"] = {"failed": trial.retries.failed, "preempted": trial.retries.preempted}
    if trial.metrics != default.metrics:
        metrics = {"from": trial.metrics.source.value}
        document["metrics"] = metrics | ({"pattern": trial.metrics.pattern} if trial.metrics.pattern else {})
    return document | pod_document(trial.pod)


# Scalars

_UNITS: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION: Final = re.compile(r"(?=[0-9])" + "".join(rf"(?:([0-9]{{1,15}}(?:\.[0-9]{{1,15}})?){u})?" for u in _UNITS))
_MEMORY_UNITS: Final = {
    "": 1,
    "k": 10**3,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}
_MEMORY: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?) ?([A-Za-z]{0,2})")


def parse_duration(where: str, value: object) -> float:
    """Seconds of 90, 1.5, "90s", "1h30m", "2d"."""
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if match is None:
            hint = "Write a number of seconds, or days, hours, minutes and seconds in this order"
            raise InvalidArgument(where, value, "must be a duration such as 90s, 12h, 1h30m or 2d", hint)
        parts = zip(match.groups(), _UNITS.values(), strict=True)
        return float(sum(Decimal(amount) * unit for amount, unit in parts if amount))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgument(where, value, "must be a duration such as 90s, 12h, 1h30m or 2d")
    return _float(value)


def _duration(seconds: float) -> object:
    """What `parse_duration` reads as just that many seconds; a plain number where they are not whole."""
    if not 0 < seconds < 1e9 or seconds != int(seconds):
        return seconds
    text, rest = "", int(seconds)
    for unit, length in _UNITS.items():
        amount, rest = divmod(rest, length)
        text += f"{amount}{unit}" if amount else ""
    return text


def _bytes(where: str, value: object) -> int:
    rule = "must be a number of bytes, or such as 64Gi, 512M or 1.5Gi"
    if isinstance(value, str):
        match = _MEMORY.fullmatch(value.strip())
        unit = None if match is None else _MEMORY_UNITS.get(match[2])
        if match is None or unit is None:
            raise InvalidArgument(where, value, rule, f"Units are {', '.join(u for u in _MEMORY_UNITS if u)}")
        return int(Decimal(match[1]) * unit)
    exact = None if isinstance(value, bool) or not isinstance(value, int | float) else _exact(value)
    if exact is None:
        raise InvalidArgument(where, value, rule)
    return exact


def _memory(size: int) -> object:
    """What `_bytes` reads as just that many bytes."""
    for unit in ("Ti", "Gi", "Mi", "Ki"):
        if size > 0 and size % _MEMORY_UNITS[unit] == 0 and size < 2**63:
            return f"{size // _MEMORY_UNITS[unit]}{unit}"
    return size


def _number(where: str, value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgument(where, value, "must be a number", _unquote(value))
    return value


def _scalar(where: str, value: object) -> Value:
    if value is None:
        raise InvalidArgument(where, value, "null is no value of a parameter", 'Write a text such as "none"')
    if not isinstance(value, bool | int | float | str):
        raise InvalidArgument(where, value, "must be a number, a text, true or false")
    return value


def _text(where: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return as_argument(value)
    raise InvalidArgument(where, value, "must be a text", 'Write "" for an empty one' if value is None else "")


def _float(number: int | float) -> float:
    """Infinity for an integer beyond all floats, which whoever asked for a finite number refuses."""
    try:
        return float(number)
    except OverflowError:
        return math.copysign(math.inf, number)


def _exact(number: int | float) -> int | None:
    """The whole number that `number` is; None where it has a fraction or is not finite."""
    if isinstance(number, int):
        return number
    return int(number) if math.isfinite(number) and number.is_integer() else None


def _plain(value: object) -> object:
    """A JSON value of dicts and lists of its own."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def _given(**entries: object) -> dict[str, object]:
    return {key: value for key, value in entries.items() if value is not None}


def _forbid(section: _Section, keys: Iterable[str], rule: str) -> None:
    for key in keys:
        if key in section:
            raise InvalidArgument(section.path(key), section.entries[key], rule, "Leave one of them out")


# Words


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _meant(key: str, known: Collection[str]) -> str:
    word = _ELSEWHERE.get(key, "")
    return f"Here it is called {word}" if word.split(":")[0].split(",")[0] in known else nearest(key, known)


def _meant_type(given: str) -> str:
    """What to write instead of the names that other tools have."""
    word = given.lower()
    if "log" in word:
        return "Write scale: log beside min and max"
    if word in ("bool", "boolean"):
        return "Write values: [true, false]"
    if word in ("choice", "choices", "str", "string", "enum"):
        return "Write values: [...]"
    return similar(given, _TYPES)


def _or(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _quote(value: object) -> str:
    return "Put it into quotes" if isinstance(value, bool | int | float) else ""


def _unquote(value: object) -> str:
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return ""
        return "Write it without quotes, and without _ between digits"
    return ""


def _quoted_item(item: str) -> str:
    return item if re.fullmatch(r"[A-Za-z_./-][\w./=-]*", item) else "'" + item.replace("'", "''") + "'"
