"""What an attempt finds in its environment, whatever runs it.

    WAZIR_ADDRESS      host:port of the study service
    WAZIR_TRIAL        owners/{owner}/studies/{study}/trials/{id}
    WAZIR_ATTEMPT      the attempt's number
    WAZIR_PARAMETERS   its parameters as JSON: {"lr": 0.1, "batch": 32, "nesterov": true}; types are kept
    WAZIR_TOKEN        what it may call with, for this trial alone; empty where none is needed
    WAZIR_UNTIL        at so many steps it is to pause; empty where it is to go on to its own end
    WAZIR_OBJECTIVES   the metrics that it is compared by, as JSON: ["val/loss"]
    WAZIR_TOKEN_FILE   empty: whatever token the controller itself has is none of the training code's

A runtime adds its own (`local/environment.py`). These names win over the template's `env:`, because training code that
reported under another trial's name would be refused.
"""

from __future__ import annotations

import json
from dataclasses import replace

from ..domain.study import Study
from ..domain.template import render_env, render_items, render_manifest
from ..domain.trial import Trial
from .execution import Key, Order


def order(
    study: Study,
    trial: Trial,
    address: str,
    devices: tuple[str, ...] | None,
    token: str = "",
    spent: tuple[int, ...] = (),
) -> Order:
    """What is to be run for the trial's present attempt, with every `${...}` filled in. `token`: the attempt's.
    `spent`: see `Order`."""
    template = study.spec.trial
    attempt = trial.attempt
    assert template is not None
    assert attempt is not None
    space = study.spec.space
    parameters = trial.parameters if space is None else space.ordered(trial.parameters)
    inactive = [name for name in (space.by_name if space else ()) if name not in parameters]
    facts = {
        "trial.id": str(trial.id),
        "trial.name": str(trial.name),
        "trial.attempt": str(attempt.number),
        "study.name": study.name.study,
    }
    pod = template.pod
    if pod.manifest is not None:
        pod = replace(pod, manifest=render_manifest(pod.manifest, parameters, facts, inactive))
    env = {
        **render_env(template, parameters, facts, inactive),
        "WAZIR_ADDRESS": address,
        "WAZIR_TRIAL": str(trial.name),
        "WAZIR_ATTEMPT": str(attempt.number),
        "WAZIR_PARAMETERS": json.dumps(dict(parameters), ensure_ascii=False),
        "WAZIR_UNTIL": "" if trial.until_step is None else str(trial.until_step),
        "WAZIR_OBJECTIVES": json.dumps([o.metric for o in study.spec.objectives], ensure_ascii=False),
        "WAZIR_TOKEN": token,
        "WAZIR_TOKEN_FILE": "",
    }
    return Order(
        key=Key(study.uid, trial.id, attempt.number),
        study=study.name,
        command=tuple(render_items(template.command, parameters, facts, inactive)),
        args=tuple(render_items(template.args, parameters, facts, inactive)),
        env=env,
        workdir=template.workdir,
        devices=devices,
        gpus=template.resources.gpu,
        image=template.image,
        resources=template.resources,
        pod=pod,
        grace=template.grace,
        checkpoint_of=trial.checkpoint_of,
        spent=spent,
    )
