"""Every command that calls a service, as a person and as a script sees it: words, data and exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from wazir.app.cli import cli
from wazir.clients.cli.output import took
from wazir.clients.client import Client
from wazir.domain.attempt import Attempt, AttemptState, Cause
from wazir.domain.names import StudyName
from wazir.domain.space import Categorical, Double, Parameter, Space
from wazir.domain.study import Algorithm, Budget, Stopping
from wazir.domain.template import TrialTemplate
from wazir.domain.trial import Measurement, Trial, TrialState

from ..clients.served import serving, spec

BRACKETS = Space((Parameter("x", Double(0.0, 1.0)), Parameter("kind", Categorical(("[/red]", "[bold]")))))
"""Values that a terminal library could take for its own markup."""

FILE = """
study: made
objective: {metric: loss, goal: minimize}
parameters: {x: {min: 0.0, max: 1.0}}
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with the study `done` (1 succeeded with x = 0.25, 2 failed) and the empty study `idle`."""
    folder = tmp_path_factory.mktemp("served")
    with serving("sqlite", folder) as address:
        with Client(address) as client:
            client.create_study("done", spec(space=BRACKETS, budget=Budget(trials=2, failed=5)))
            client.create_study("idle", spec())
            for x, cause in ((0.25, Cause.SUCCEEDED), (0.75, Cause.CODE_FAILED)):
                client.create_trial("done", {"x": x, "kind": "[/red]"})
                (trial,) = client.suggest("done", client_id="t", start=True).trials
                final = {"loss": x} if cause is Cause.SUCCEEDED else None
                assert trial.attempt is not None
                client.end_attempt(trial.name, trial.attempt.number, cause, final=final, message="lost [/at] sea")
            client.stop_study("done", "enough [/reason] [red]seen")
        yield address


def wazir(address: str | None, *arguments: str, typed: str = "") -> Result:
    """A command's outcome, apart from the environment of whoever runs the tests."""
    named = {"WAZIR_ADDRESS": address, "WAZIR_TOKEN": None, "WAZIR_TOKEN_FILE": None, "WAZIR_OWNER": None}
    return CliRunner().invoke(cli, list(arguments), env=named, input=typed, catch_exceptions=False)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("studies", 0, "done\tcompleted"),
        ("studies", 0, "enough [/reason] [red]seen"),
        ("studies --state failed", 0, "No studies."),
        ("show done", 0, "done  completed  enough [/reason] [red]seen"),
        ("show done", 0, "1 succeeded, 1 failed of 2"),
        ("show done/1", 0, "parameters  x=0.25 kind=[/red]"),
        ("show done/2", 0, "lost [/at] sea"),
        ("trials done", 0, "x=0.75 kind=[/red]"),
        ("why done/1", 0, "done/1 was enqueued by a person or a client."),
        ("trials idle", 0, "No such trials."),
        ("best done", 0, "Best trial: done/1  loss=0.25"),
        ("best idle", 1, "idle has no trial with a result yet"),
        ("watch done", 0, "Study done is completed: enough [/reason] [red]seen"),
        ("stop done", 0, "Study done is completed: 0 trials running."),
    ],
)
def test_people_read_words(address: str, command: str, code: int, words: str) -> None:
    result = wazir(address, *command.split())
    assert words in result.output
    assert result.exit_code == code


@pytest.mark.parametrize(
    ("command", "path", "value"),
    [
        ("studies", (0, "study"), "done"),
        ("studies", (1, "state"), "active"),
        ("show done", ("trials",), {"succeeded": 1, "failed": 1}),
        ("show done", ("best", 0, "metrics"), {"loss": 0.25}),
        ("show done/1", ("parameters",), {"x": 0.25, "kind": "[/red]"}),
        ("show done/2", ("attempts", 0, "cause"), "code_failed"),
        ("trials done --state failed", (0, "id"), 2),
        ("trials idle", (), []),
        ("trials done -n 1", (0, "id"), 2),
        ("why done/1", ("origin",), "enqueued"),
        ("best done", (0, "id"), 1),
    ],
)
def test_scripts_read_the_same_data_as_json_and_as_yaml(
    address: str, command: str, path: tuple[str | int, ...], value: object
) -> None:
    as_json, as_yaml = (wazir(address, *command.split(), "-o", form) for form in ("json", "yaml"))
    assert as_json.exit_code == as_yaml.exit_code == 0
    data = json.loads(as_json.stdout)
    assert yaml.safe_load(as_yaml.stdout) == data
    for step in path:
        data = data[step]
    assert data == value


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_nothing_is_valid_data_too(address: str, form: str) -> None:
    result = wazir(address, "best", "idle", "-o", form)
    assert (result.exit_code, yaml.safe_load(result.stdout)) == (1, [])


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("show nope", 3, "nope does not exist"),
        ("show idl", 3, 'Did you mean "idle"?'),
        ("show done/9", 3, "done/9 does not exist"),
        ("show NOPE", 2, "lower-case letters"),
        ("show done/0", 2, "a trial id is a whole number from 1 up"),
        ("trials done --state lost", 2, "'lost' is not one of"),
        ("trials done -n 0", 2, "x>=1"),
        ("trials done --label mine", 2, "must be KEY=VALUE"),
        ("best done -o xml", 2, "'xml' is not one of"),
        ("logs done", 2, "must be a trial"),
        ("logs done/9", 3, "does not exist"),
        ("logs done/1 --attempt 2", 3, "attempt 2 of done/1"),
        ("enqueue done x=0.5 kind=[bold]", 4, "would never run"),
        ("enqueue idle x=9", 2, "trial.parameters.x"),
        ("enqueue idle x=0,5", 2, 'x = "0,5": must be a number. Write 0.5'),
        ("enqueue idle x=0.5 n=1 kind=0,5", 2, 'kind = "0,5": must be one of'),
        ("enqueue idle x=1_0", 2, 'x = "1_0": must be a number. Write 10'),
        ("enqueue idle y=1", 2, "no such parameter"),
        ("enqueue idle x", 2, "must be a parameter and its value"),
        ("enqueue idle x=0.1 x=0.2", 2, "appears twice"),
        ("stop done/1", 4, "SUCCEEDED"),
        ("stop idle --cancel", 2, "is for a trial"),
        ("retry done/1", 4, "SUCCEEDED"),
        ("release done/1 -y", 4, "done/1 has no attempt that runs"),
        ("pause done", 4, "COMPLETED"),
        ("delete nope -y", 3, "does not exist"),
        ("create nope.yaml", 2, "there is no such file"),
        ("completion ksh", 2, "'ksh' is not one of"),
        ("nonsense", 2, "No such command"),
    ],
)
def test_refusals_have_one_sentence_and_a_code(address: str, command: str, code: int, words: str) -> None:
    result = wazir(address, *command.split())
    assert words in result.stderr
    assert (result.exit_code, result.stdout) == (code, "")


def test_a_life_by_commands(address: str, tmp_path: Path) -> None:
    file = tmp_path / "made.yaml"
    file.write_text(FILE)
    for command, code, words in (
        (f"create {file}", 0, "Study made is active."),
        (f"create {file}", 4, "made exists already"),
        (f"create {file} --resume", 0, "Study made is active."),
        ("pause made", 0, "go on with `wazir resume made`"),
        ("resume made", 0, "Study made is active."),
        ("enqueue made x=0.5", 0, "Trial made/1 waits to be run: x=0.5"),
        ("logs made/1", 3, "has not run yet"),
        ("stop made/1 --cancel", 0, "Trial made/1 is cancelled."),
        ("stop made --reason done", 0, "Study made is completed"),
        ("delete made/1 -y", 0, "Deleted made/1."),
        ("delete made -y", 0, "Deleted made."),
        ("show made", 3, "made does not exist"),
    ):
        result = wazir(address, *command.split())
        assert (result.exit_code, words in result.output) == (code, True), (command, result.output)


def test_what_trials_wait_for_is_shown_and_a_dead_one_is_released(address: str) -> None:
    words = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    with Client(address) as client:
        client.create_study("queued", spec(trial=TrialTemplate(command=("train", "${args}"))))
        for _ in range(2):
            (trial,) = client.suggest("queued", client_id="t", start=True, leased=False).trials
            client.heartbeat(trial.name, 1, state=AttemptState.QUEUED, message=words)
        assert f"waiting     2 trials: {words}" in wazir(address, "show", "queued").output
        assert words in wazir(address, "trials", "queued").output
        client.heartbeat(trial.name, 1, state=AttemptState.RUNNING, node="n7", gpus=2.0)
        assert f"waiting     1 trial: {words}" in wazir(address, "show", "queued").output
        shown = wazir(address, "show", "queued/2").output
        assert "running, on n7, 2 GPUs" in shown
        asked = wazir(address, "release", "queued/2", typed="n\n")
        assert (asked.exit_code, "Is attempt 1 of queued/2 on n7 certainly dead" in asked.output) == (1, True)
        assert client.get_trial("queued/2").state is TrialState.ACTIVE
        assert wazir(address, "release", "queued/2", "-y", "--reason", "fire").exit_code == 0
        attempt = client.get_trial("queued/2").attempts[0]
        assert (attempt.cause, attempt.message) == (Cause.NODE_LOST, "released by a person: fire")
        client.delete_study("queued", force=True)


def test_running_trials_show_how_far_they_are_and_ended_ones_their_outcome(address: str) -> None:
    with Client(address) as client:
        client.create_study("curves", spec(stopping=Stopping("asha", {"min": 10, "max": 50})))
        for values in ([3.0, 2.0, 1.0], [5.0, 4.0], [9.0]):
            (trial,) = client.suggest("curves", client_id="t", start=True, leased=False).trials
            client.report(
                trial.name, 1, [Measurement(step, {"loss": v}, 10.0 * step) for step, v in enumerate(values, 1)]
            )
        client.end_attempt(trial.name, 1, Cause.SUCCEEDED)
        (heading, first, second, third) = wazir(address, "trials", "curves").output.splitlines()
        assert heading.split()[:8] == ["trial", "state", "step", "loss", "curve", "rank", "took", "ETA"]
        assert first.split()[:8] == ["1", "running", "3/50", "1.0000", "█▅▁", "1", "of", "3"]
        assert second.split()[:8] == ["2", "running", "2/50", "4.0000", "█▁", "2", "of", "3"]
        assert third.split()[:3] == ["3", "succeeded", "9"]

        running, _, over = json.loads(wazir(address, "trials", "curves", "-o", "json").stdout)
        assert running["progress"].pop("eta_seconds") is not None
        assert running["progress"] == {"step": 3, "steps": 50, "metrics": {"loss": {"value": 1.0, "rank": 1, "of": 3}}}
        assert "progress" not in over

        chosen = wazir(address, "trials", "curves", "--columns", "trial,step,value,rank,curve", "--sort", "-value")
        assert [line.split() for line in chosen.output.splitlines()[1:]] == [
            ["3", "1", "9"],
            ["2", "2", "4", "2", "█▁"],
            ["1", "3", "1", "1", "█▅▁"],
        ]
        client.delete_study("curves", force=True)


def test_why_says_what_the_algorithm_expected(address: str) -> None:
    with Client(address) as client:
        client.create_study("modelled", spec(algorithm=Algorithm("gp", settings={}, seed=3)))
        for _ in range(8):
            (trial,) = client.suggest("modelled", client_id="t", start=True).trials
            client.end_attempt(trial.name, 1, Cause.SUCCEEDED, final={"loss": float(trial.parameters["x"])})
        client.suggest("modelled", 2, client_id="t")
    said = wazir(address, "why", "modelled/9").output
    assert "modelled/9 was suggested by gp" in said
    assert "point 1 of 2 of round 8" in said
    assert "why         " in said
    assert "details     " in said
    data = json.loads(wazir(address, "why", "modelled/10", "-o", "json").stdout)
    assert (data["suggested_by"]["algorithm"], data["suggested_by"]["index"]) == ("gp", 1)
    assert data["suggested_by"]["details"]


def test_why_and_show_say_why_a_trial_went_on(address: str) -> None:
    with Client(address) as client:
        client.create_study("halved", spec(algorithm=Algorithm("asha", seed=3, settings={"max": 9})))
        for loss in (0.5, 0.1, 0.9):
            (trial,) = client.suggest("halved", client_id="t", start=True).trials
            client.report(trial.name, 1, [Measurement(1, {"loss": loss}, 0.0)])
            client.end_attempt(trial.name, 1, Cause.STOPPED)
        client.suggest("halved", client_id="t", start=True)
        client.stop_trial("halved/2", "enough")
        client.end_attempt("halved/2", 2, Cause.STOPPED, exit_code=143, log_tail="Terminated")
    words = "step 1: rank 1 of 3, eta 3; goes on to step 3"
    assert f"attempt 2   {words}" in wazir(address, "why", "halved/2").output
    shown = wazir(address, "show", "halved/2").output
    assert words in shown
    assert "143" not in shown, "it ended as it was told to"
    assert "Terminated" not in shown
    data = json.loads(wazir(address, "why", "halved/2", "-o", "json").stdout)
    assert data["attempts"] == [{"number": 1, "why": ""}, {"number": 2, "why": words}]


def test_what_a_trial_took_leaves_out_what_it_was_paused_for() -> None:
    attempts = (
        Attempt(1, AttemptState.ENDED, 10.0, end_time=12.0, cause=Cause.STOPPED),
        Attempt(2, AttemptState.RUNNING, 100.0),
    )
    trial = Trial(StudyName("default", "s").trial(1), TrialState.ACTIVE, {}, 5.0, attempts=attempts, start_time=10.0)
    assert took(trial, now=103.0) == 5.0


def test_delete_asks_and_keeps_the_study_where_the_answer_is_no(address: str) -> None:
    result = wazir(address, "delete", "done", typed="n\n")
    assert "Delete done with its 2 trials?" in result.output
    assert result.exit_code == 1
    assert wazir(address, "show", "done").exit_code == 0


@pytest.mark.parametrize("command", ["studies", "show done", "trials done", "best done", "watch done"])
def test_a_service_that_is_away_is_named(command: str, tmp_path: Path) -> None:
    away = f"unix:{tmp_path}/nobody.sock"
    result = wazir(away, *command.split())
    assert result.exit_code == 5
    assert str(tmp_path) in result.stderr


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_completion_is_for_the_command_wazir(shell: str) -> None:
    result = wazir(None, "completion", shell)
    assert result.exit_code == 0
    assert "_WAZIR_COMPLETE" in result.stdout


def commands(group: click.Group, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*before, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*before, name))


@pytest.mark.parametrize("command", list(commands(cli)), ids=" ".join)
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    result = wazir(None, *command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: cli {' '.join(command)} ")
