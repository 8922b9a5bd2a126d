"""A trial's template, as documents write it. What it may be is said in `domain/template.py`."""

from __future__ import annotations

import re
import shlex

from ..attempt import RetryPolicy
from ..errors import InvalidArgument
from ..template import MetricsFrom, MetricsSource, Resources, Runtime, TrialTemplate
from .amounts import format_duration, format_memory
from .keys import KEYS
from .pod import pod_document, pod_from
from .section import Section


def template_from(section: Section) -> TrialTemplate:
    resources = section.section("resources", KEYS["trial.resources"]) if "resources" in section else None
    retries = section.section("retries", KEYS["trial.retries"]) if "retries" in section else None
    metrics = section.section("metrics", KEYS["trial.metrics"]) if "metrics" in section else None
    default = TrialTemplate()
    pod = pod_from(section)
    return TrialTemplate(
        command=_command_from(section, "command", optional="image" in section or pod.manifest is not None),
        args=_command_from(section, "args", optional=True),
        pod=pod,
        env=section.words_by_name("env"),
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


def _command_from(section: Section, key: str, *, optional: bool) -> tuple[str, ...]:
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
    return section.words(key)


def _resources_from(section: Section) -> Resources:
    return Resources(
        gpu=section.real("gpu") or 0.0,
        cpu=section.real("cpu") or 0.0,
        memory=section.memory("memory"),
    )


def _retries_from(section: Section, default: RetryPolicy) -> RetryPolicy:
    return RetryPolicy(
        failed=section.whole("failed") if "failed" in section else default.failed,
        preempted=section.whole("preempted") if "preempted" in section else default.preempted,
    )


def template_to(trial: TrialTemplate) -> dict[str, object]:
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
        resources["memory"] = format_memory(trial.resources.memory)
    if resources:
        document["resources"] = resources
    if trial.timeout is not None:
        document["timeout"] = format_duration(trial.timeout)
    if trial.grace != default.grace:
        document["grace"] = format_duration(trial.grace)
    if trial.retries != default.retries:
        document["retries"] = {"failed": trial.retries.failed, "preempted": trial.retries.preempted}
    if trial.metrics != default.metrics:
        metrics = {"from": trial.metrics.source.value}
        document["metrics"] = metrics | ({"pattern": trial.metrics.pattern} if trial.metrics.pattern else {})
    return document | pod_document(trial.pod)


def _quoted_item(item: str) -> str:
    return item if re.fullmatch(r"[A-Za-z_./-][\w./=-]*", item) else "'" + item.replace("'", "''") + "'"
