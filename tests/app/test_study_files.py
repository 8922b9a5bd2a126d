"""What `check`, `run` and `create` say of a study file before they do anything."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import wazir as package
from wazir.app.cli import cli
from wazir.app.scripts import check_program, check_script, script_of
from wazir.domain.errors import InvalidArgument

from ..clients.served import serving

FILE = """\
study: made
objective: {metric: loss, goal: minimize}
parameters:
  x: {min: 0, max: 1}
budget: {trials: 1}
trial:
  command: [python, -u, train.py, "${args}"]
  metrics: {from: stdout}
  timeout: 12
"""
DOUBT = "x has two values, 0 and 1; write 0.0 and 1.0 for the numbers between"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(FILE)
    (tmp_path / "train.py").write_text("import sys\nprint('loss=1')\n")
    return path


def wazir(*arguments: object, address: str | None = None) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments], env={"WAZIR_ADDRESS": address, "WAZIR_DB": None})


def test_a_range_of_few_whole_numbers_is_told_on_standard_error(file: Path, tmp_path: Path) -> None:
    with serving("memory", tmp_path) as address:
        for result in (
            wazir("check", file),
            wazir("run", file, "--db", tmp_path / "w.db"),
            wazir("create", file, address=address),
        ):
            assert f"wazir: warning: {file}:4: parameters.x" in result.stderr
            assert DOUBT in result.stderr
            assert DOUBT not in result.stdout
            assert result.exit_code == 0, result.output


def test_python_is_warned_of_a_range_of_few_whole_numbers(tmp_path: Path) -> None:
    with serving("memory", tmp_path) as address, pytest.warns(UserWarning, match="x has two values, 0 and 1") as caught:
        package.create_study("a", parameters={"x": {"min": 0, "max": 1}}, address=address).close()
    assert caught[0].filename == __file__


def test_check_says_how_a_duration_without_a_unit_is_read(file: Path) -> None:
    assert "trial.timeout is 12 s." in wazir("check", file).stdout


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        ("${args}", "python -u train.py --x=1 --amp=true"),
        ("${args:flags}", "python -u train.py --x=1 --amp"),
        ("${args:hydra}", "python -u train.py x=1 amp=true"),
        ("${args:json}", """python -u train.py '{"x": 1, "amp": true}'"""),
    ],
)
def test_check_shows_the_command_of_a_trial(file: Path, item: str, shown: str) -> None:
    text = FILE.replace("${args}", item).replace("budget:", "  amp: {values: [true, false]}\nbudget:")
    file.write_text(text.replace("  timeout: 12", "  env: {SIZE: 'x ${x}'}"))
    result = wazir("check", file)
    assert f"A trial runs, for instance: SIZE='x 1' {shown}\n" in result.stdout


def test_check_shows_the_command_of_a_pod(file: Path) -> None:
    manifest = "{spec: {containers: [{name: trial, image: i, command: [train], args: ['${args:hydra}', '${x}']}]}}"
    file.write_text(FILE[: FILE.index("trial:")] + f"trial: {{manifest: {manifest}}}\n")
    assert "A trial runs, for instance: train x=1 1\n" in wazir("check", file).stdout


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_script_that_is_not_there_is_refused_before_anything_is_written(
    file: Path, tmp_path: Path, command: str
) -> None:
    (tmp_path / "train.py").rename(tmp_path / "trains.py")
    result = wazir(command, file, *(["--db", tmp_path / "new" / "w.db"] if command == "run" else []))
    assert f'{file}:7: trial.command[2] = "train.py": is a script that does not exist; looked in {tmp_path}' in (
        result.stderr
    )
    assert 'Did you mean "trains.py"?' in result.stderr
    assert result.exit_code == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_program_that_is_not_there_is_refused_before_anything_is_written(
    file: Path, tmp_path: Path, command: str
) -> None:
    file.write_text(FILE.replace("[python,", "[pyhton,"))
    result = wazir(command, file, *(["--db", tmp_path / "new" / "w.db"] if command == "run" else []))
    assert f'{file}:7: trial.command[0] = "pyhton": is not an executable' in result.stderr
    assert result.exit_code == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("algorithm: gpp", ':5: algorithm.name = "gpp": is not known. Did you mean "gp"?'),
        ("stopping: {name: medain}", ':5: stopping.name = "medain": is not known. Did you mean "median"?'),
        ('constraints: ["x > 5"]', ":5: constraints"),
    ],
)
def test_what_the_service_would_refuse_is_refused_before_a_database_is_made(
    file: Path, tmp_path: Path, line: str, says: str
) -> None:
    file.write_text(FILE.replace("budget:", f"{line}\nbudget:"))
    result = wazir("run", file, "--db", tmp_path / "new" / "w.db")
    assert f"{file}{says}" in result.stderr
    assert result.exit_code == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("pyhton", 'is not an executable on this machine. Did you mean "python"? Looked in '),
        ("./trian.py", 'does not exist; looked in {folder}. Did you mean "train.py"?'),
        (
            "./train.py",
            "is not an executable file. Run `chmod +x {folder}/train.py`, or write its interpreter",
        ),
    ],
)
def test_a_program_that_cannot_be_run_is_refused_with_the_way_out(
    file: Path, tmp_path: Path, program: str, says: str
) -> None:
    file.write_text(FILE.replace("[python,", f"[{program},"))
    assert f'trial.command[0] = "{program}": {says.format(folder=tmp_path)}' in wazir("check", file).stderr


def test_no_program_is_suggested_that_only_resembles_the_one_that_is_missing(tmp_path: Path) -> None:
    for name in ("touch", "python"):
        (tmp_path / name).touch(mode=0o755)
    for program, hint in [("torchrun", "Looked in "), ("pyhton", 'Did you mean "python"? Looked in ')]:
        with pytest.raises(InvalidArgument, match=f"is not an executable on this machine. {re.escape(hint)}"):
            check_program(program, path=str(tmp_path), workdir="")


def test_the_folder_in_which_a_script_was_looked_for_has_a_plain_name(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    with pytest.raises(InvalidArgument, match=f"looked in {re.escape(str(tmp_path.resolve()))}. Write its path"):
        check_script(["python", "../train.py"], workdir=str(tmp_path / "jobs"))


def test_nothing_is_said_of_a_script_in_an_image(file: Path) -> None:
    file.write_text(FILE.replace("trial:\n", "trial:\n  image: registry/train:1\n").replace("train.py", "/app/x.py"))
    result = wazir("check", file)
    assert "is not there" not in result.output
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("command", "place", "reason"),
    [
        ("python train.py --lr=0.1", 1, "the first argument"),
        ("/usr/bin/python3.11 -u -OO train.py", 3, "behind options"),
        ("python -W ignore -X dev train.py", 5, "behind options and their values"),
        ("python -Wignore -uXdev train.py", 3, "values in the same word"),
        ("python --check-hash-based-pycs never train.py", 3, "a long option and its value"),
        ("python -m train --lr=0.1", None, "a module"),
        ("python -um train", None, "a module, in the same word"),
        ("python -c print(1) x.py", None, "a line of code"),
        ("python - x.py", None, "standard input"),
        ("python", None, "nothing at all"),
        ("bash -eu -o pipefail train.sh", 4, "a script of a shell"),
        ("bash -c ./train.sh", None, "a line for a shell"),
        ("Rscript train.R", 1, "another interpreter"),
        ("Rscript --vanilla train.R", None, "whose options are not known here"),
        ("uv run --frozen python -u train.py", 5, "behind a program that runs another one"),
        ("env OMP_NUM_THREADS=1 python3 train.py", 3, "behind variables"),
        ("uv --directory src run python train.py", None, "behind one that runs it in another folder"),
        ("env -C src python train.py", None, "behind one that runs it in another folder"),
        ("uv run --python python3.12 python train.py", 5, "behind an option that names an interpreter"),
        ("uv run train.py", None, "where there is no interpreter to be seen"),
        ("./train.py x.py", None, "a program by itself"),
        ("torchrun --nproc 2 train.py", None, "a program that is not known here"),
    ],
)
def test_the_script_that_a_command_names(command: str, place: int | None, reason: str) -> None:
    assert script_of(command.split()) == place, reason
