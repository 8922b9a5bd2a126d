"""A study that the service has paused is not waited for: its algorithm's words reach the caller."""

from __future__ import annotations

from pathlib import Path

import pytest

from wazir.clients.asked import AskedTrial
from wazir.clients.client import Client
from wazir.clients.studies import load_study
from wazir.domain.algorithm_status import MAX_FAILED_ROUNDS
from wazir.domain.errors import FailedPrecondition

from ..service.scripted import installed
from .served import serving, spec


def test_optimize_raises_what_the_algorithm_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def objective(trial: AskedTrial) -> float:
        return trial.suggest_float("x", 0.0, 1.0)

    with installed(tmp_path) as script, serving("memory", tmp_path) as address, Client(address) as client:
        client.create_study("s", spec(algorithm=script.algorithm(cheap=True)))
        script.say("nothing")
        monkeypatch.setenv("WAZIR_ADDRESS", address)
        study = load_study("s")
        words = f"s is paused: scripted_cheap failed {MAX_FAILED_ROUNDS} rounds in a row: it answered with NoneType"
        with pytest.raises(FailedPrecondition, match=words) as raised:
            study.optimize(objective, trials=20)
        assert "wazir resume s" in str(raised.value)
        assert len(study.trials) == MAX_FAILED_ROUNDS - 1
