"""The command of one trial, to be looked at before any trial runs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..domain.names import DEFAULT_OWNER, StudyName
from ..domain.pod import main_container
from ..domain.study import StudySpec
from ..domain.template import render_env, render_items, render_manifest
from ..suggestion.space.sampling import find_feasible

TRIES = 5_000
"""Draws in search of a point that satisfies the constraints."""


def sample_command(study_id: str, spec: StudySpec) -> str:
    """What the first trial would run if it had parameters drawn at random, always the same ones, as a shell would take
    it; variables that are set for it come first. Empty if it has no command, and if no point is found."""
    template, space = spec.trial, spec.space
    drawn = None if space is None else find_feasible(space, np.random.default_rng(0), TRIES)
    if template is None or space is None or drawn is None:
        return ""

    parameters = space.ordered(drawn)
    inactive = [name for name in space.by_name if name not in parameters]
    name = StudyName(DEFAULT_OWNER, study_id).trial(1)
    facts = {"trial.id": "1", "trial.name": str(name), "trial.attempt": "1", "study.name": study_id}
    if template.pod.manifest is not None:
        return shlex.join(_of_pod(render_manifest(template.pod.manifest, parameters, facts, inactive)))
    command = render_items((*template.command, *template.args), parameters, facts, inactive)
    env = render_env(template, parameters, facts, inactive)
    return " ".join([*(f"{key}={shlex.quote(value)}" for key, value in env.items()), *map(shlex.quote, command)])


def _of_pod(pod: Mapping[str, Any]) -> list[str]:
    """The command and arguments of the container that is the trial."""
    container = pod["spec"]["containers"][main_container(pod)]
    return [str(item) for key in ("command", "args") for item in container.get(key) or ()]
