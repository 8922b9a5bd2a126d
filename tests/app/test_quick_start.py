"""What a command loads: a refusal, a version and a look at a study wait for no library that they do not use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from wazir.app.cli import ALIASES, COMMANDS, cli

HEAVY = ("alembic", "asyncio", "google.protobuf", "grpc", "numpy", "rich", "scipy", "sqlalchemy", "uvloop", "yaml")
OURS = ("wazir.clients.client", "wazir.controller", "wazir.service", "wazir.suggestion", "wazir.wire")

BAD = "study: mine\nobjective: {metric: loss, goal: minimise}\nparameters: {x: {min: 0.0, max: 1.0}}\n"

NO_PROGRAM = "trial: {command: [no-such-program, '${args}']}\n"

LIST_MODULES = """
import atexit, sys
atexit.register(lambda: print("\\n".join(sorted(sys.modules)), file=open("modules", "w")))
from wazir.app.main import main
main()
"""


def loaded(folder: Path, *command: str, code: int) -> set[str]:
    """Names of the modules in a process that has run the command."""
    done = subprocess.run([sys.executable, "-c", LIST_MODULES, *command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return set((folder / "modules").read_text().split())


def among(modules: set[str], names: tuple[str, ...]) -> list[str]:
    return [name for name in names if any(m == name or m.startswith(name + ".") for m in modules)]


@pytest.mark.parametrize(
    ("command", "code", "used"),
    [
        ("--version", 0, ()),
        ("--help", 0, ()),
        ("nonsense", 2, ()),
        ("show", 2, ()),
        ("show mine --foo", 2, ()),
        ("studies --state running", 2, ()),
        ("trials Mine", 2, ()),
        ("run", 2, ()),
        ("run mine.yaml --gpus -1", 2, ()),
        ("run mine.yaml --db mysql://h/d", 2, ()),
        ("run missing.yaml", 2, ()),
        ("check missing.yaml", 2, ()),
        ("check bad.yaml", 2, ("yaml",)),
        ("create bad.yaml", 2, ("yaml",)),
        ("run noprogram.yaml", 2, ("yaml", "wazir.controller")),
        ("check noprogram.yaml", 2, ("yaml", "wazir.controller")),
        ("studies", 5, ()),
        ("show mine --db missing.db", 5, ()),
        ("completion bash", 0, ()),
    ],
)
def test_an_answer_waits_for_nothing_that_it_does_not_use(
    command: str, code: int, used: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text(BAD)
    (tmp_path / "noprogram.yaml").write_text(BAD.replace("minimise", "minimize") + NO_PROGRAM)
    modules = loaded(tmp_path, *command.split(), code=code)
    assert among(modules, HEAVY + OURS) == list(used)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    words = COMMANDS[name].help.split(" Also: ")[0]
    assert words.endswith("."), "a sentence"
    assert len(words) <= 70, "one line"


def test_other_names_mean_commands() -> None:
    context = click.Context(cli)
    for alias, name in ALIASES.items():
        assert cli.get_command(context, alias) is cli.get_command(context, name)


@pytest.mark.parametrize("library", ["rich", "sqlalchemy"])
def test_a_library_that_is_not_installed_is_named_when_it_is_needed(library: str, tmp_path: Path) -> None:
    program = f"import sys; sys.modules['{library}'] = None; from wazir.app.main import main; main()"

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, *command], cwd=tmp_path, capture_output=True, text=True, stdin=None
        )

    assert run("--version").returncode == 0
    (tmp_path / "good.yaml").write_text(BAD.replace("minimise", "minimize"))
    failed = run("check", "good.yaml")
    assert failed.returncode == 1
    assert f"`wazir check` needs {library}" in failed.stderr
    assert "Traceback" not in failed.stderr
