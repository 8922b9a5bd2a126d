"""What every command writes for scripts is valid JSON and YAML, also if numbers are not finite."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import click
import pytest
import yaml
from click.testing import CliRunner

from wazir.app.cli import cli
from wazir.clients.client import Client
from wazir.domain.attempt import Cause
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.trial import Measurement

from ..clients.served import serving, spec

FILE = """
study: made
objective: {metric: loss, goal: minimize}
parameters: {x: {min: 0.0, max: 1.0}}
"""
LINE = Space((Parameter("x", Double(0.0, 1.0)),))


def _not_json(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def _commands(group: click.Group, above: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _commands(command, f"{above}{name} ")
        elif command is not None:
            yield f"{above}{name}", command


WITH_OUTPUT = [path for path, command in _commands(cli) if any("-o" in p.opts for p in command.params)]


ARGUMENTS = {
    "create": "FILE --resume",
    "studies": "",
    "show": "odd/1",
    "best": "odd",
    "trials": "odd",
    "enqueue": "waiting x=0.5",
    "why": "odd/1",
    "doctor": "",
    "token list": "",
    "audit": "--all",
    "db usage": "",
}
"""What to give to each command that has `-o`; a new one is to be added here."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A service and its folder, with a trial whose metrics are not finite."""
    folder = tmp_path_factory.mktemp("served")
    with serving("sqlite", folder) as address:
        with Client(address) as client:
            client.create_study("odd", spec(space=LINE))
            client.create_study("waiting", spec(space=LINE))
            (trial,) = client.suggest("odd", client_id="t", start=True).trials
            values = {"nan": math.nan, "up": math.inf, "down": -math.inf, "on": 1e-5}
            client.report(trial.name, 1, [Measurement(1, {"loss": 0.5, **values}, 1.0)])
            client.end_attempt(trial.name, 1, Cause.SUCCEEDED, final={"loss": 0.5, **values})
        (folder / "made.yaml").write_text(FILE)
        yield address, folder


@pytest.mark.parametrize("path", WITH_OUTPUT)
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_what_is_not_finite_is_valid_data_in_every_command(served: tuple[str, Path], path: str, form: str) -> None:
    address, folder = served
    arguments = ARGUMENTS[path].replace("FILE", str(folder / "made.yaml")).split()
    if path.startswith(("token", "db")):
        arguments += ["--db", str(folder / "wazir.db")]

    result = CliRunner().invoke(cli, [*path.split(), *arguments, "-o", form], env={"WAZIR_ADDRESS": address})

    assert result.exit_code in (0, 1), result.output
    if form == "json":
        json.loads(result.stdout, parse_constant=_not_json)
    else:
        yaml.safe_load(result.stdout)
    if path in ("show", "best", "trials"):
        assert ("NaN" if form == "json" else ".nan") in result.stdout
