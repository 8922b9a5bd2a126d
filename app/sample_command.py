"""The command of one trial, to be looked at before any trial runs."""

from __future__ import annotations

import shlex

import numpy as np

from ..domain.names import DEFAULT_OWNER, StudyName
from ..domain.study import StudySpec
from ..domain.template import render_env, render_items
from ..suggestion.space.sampling import find_feasible

TRIES = 5_000
"""Draws in search of a point that satisfies the constraints."""


def sample_command(study_id: str, spec: StudySpec) -> str:
    """What the first trial would run if it had parameters drawn at random, always the same ones, as a shell would take
    it; variables that are set for it come first. Empty without a command, and if no point is found."""
    template, space = spec.trial, spec.space
    if template is None or space is None or not (template.command or template.args):
        return ""
    drawn = find_feasible(space, np.random.default_rng(0), TRIES)
    if drawn is None:
        return ""

    parameters = space.ordered(drawn)
    inactive = [name for name in space.by_name if name not in parameters]
    name = StudyName(DEFAULT_OWNER, study_id).trial(1)
    facts = {"trial.id": "1", "trial.name": str(name), "trial.attempt": "1", "study.name": study_id}
    command = render_items((*template.command, *template.args), parameters, facts, inactive)
    env = render_env(template, parameters, facts, inactive)
    return " ".join([*(f"{key}={shlex.quote(value)}" for key, value in env.items()), shlex.join(command)])
