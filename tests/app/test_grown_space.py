"""What commands show of a study whose parameters its code names."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from wazir.app.cli import cli
from wazir.clients.asked import AskedTrial
from wazir.clients.studies import create_study

from ..clients.served import serving


def objective(trial: AskedTrial) -> float:
    n = trial.suggest_int("n", 1, 9)
    k = trial.suggest_int("k", 1, n)
    if trial.suggest_categorical("hidden", [None, (64, 64)]) is None:
        return float(k)
    return trial.suggest_float("rate", 1e-4, 1.0, log=True)


def wazir(address: str, *arguments: str) -> str:
    named = {"WAZIR_ADDRESS": address, "WAZIR_TOKEN": None, "WAZIR_TOKEN_FILE": None, "WAZIR_OWNER": None}
    result = CliRunner().invoke(cli, list(arguments), env=named, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_what_was_asked_for_and_learned_is_shown(tmp_path: Path) -> None:
    with (
        serving("memory", tmp_path) as address,
        create_study("s", seed=3, algorithm="random", address=address) as study,
    ):
        study.enqueue_trial({"n": 4, "k": 2, "hidden": None, "rate": 0.5})
        study.optimize(objective, 20, progress=False)

        shown = [line.split() for line in wazir(address, "show", "s").splitlines()]
        for row in (
            "n whole numbers from 1 to 9 always",
            "k whole numbers from 1 to 9 always",
            "k <= n always",
            "hidden choices None, (64, 64) always",
            "rate numbers from 0.0001 to 1.0 on a log scale hidden = (64, 64)",
        ):
            assert row.split() in shown

        assert "n=4 k=2 hidden=None" in wazir(address, "trials", "s")
        assert "not asked   rate=0.5" in wazir(address, "show", "s/1")
        first = json.loads(wazir(address, "show", "s/1", "-o", "json"))
        assert first["parameters"] == {"n": 4, "k": 2, "hidden": None}
        assert first["attempts"][0]["unasked"] == {"rate": 0.5}
        parameters = json.loads(wazir(address, "show", "s", "-o", "json"))["spec"]["parameters"]
        assert parameters["rate"]["when"] == {"hidden": "python:(64, 64)"}
