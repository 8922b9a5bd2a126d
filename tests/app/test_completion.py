"""Completion as people have it: a real shell, the script that `wazir completion` prints, and a tab."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wazir.app.local_service import LocalService
from wazir.clients.client import Client
from wazir.domain.space import Categorical, Double, Parameter, Space
from wazir.domain.study import Budget

from ..clients.served import spec
from ..postgres import missing

SPACE = Space(
    (
        Parameter("lr", Double(0.0, 1.0)),
        Parameter("layers", Double(0.0, 1.0)),
        Parameter("opt", Categorical(("adam", "adamw", "sgd", "\x1b[2J"))),
    )
)

BASH = r"""
eval "$(wazir completion bash)"
type="$(complete -p wazir)"
COMP_LINE="$1" COMP_POINT=${#1}
compopt() { echo "compopt $*" >&2; }
_wazir_completion wazir
printf '%s\n' "${COMPREPLY[@]}"
"""

ZSH = r"""
autoload -U compinit && compinit -u -D
eval "$(wazir completion zsh)"
compadd() { local -a words; while [[ $1 == -* ]]; do [[ $1 == (-S|-V) ]] && shift; shift; done; print -l ${(P)1} }
_describe() { local -a words; words=(${(P)3}); print -l ${words%%:*} }
_path_files() { }
words=(${(z)1}); [[ $1 == *' ' ]] && words+=('')
CURRENT=${#words}
_wazir_completion
"""

FISH = r"""
wazir completion fish | source
complete -C "$argv[1]" | string replace -r '\t.*' ''
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the studies `digits`, with 12 trials, and `resnet` of the default owner are, and `deep` of `vision`."""
    folder = tmp_path_factory.mktemp("completing")
    with LocalService(folder / ".wazir" / "wazir.db") as service, Client(service.address) as client:
        for name in ("digits", "resnet", "vision/deep"):
            client.create_study(name, spec(space=SPACE, budget=Budget(trials=50)))
        for _ in range(12):
            client.create_trial("digits", {"lr": 0.5, "layers": 0.5, "opt": "sgd"})
    return folder


def offered(shell: str, line: str, folder: Path, **environment: str) -> list[str]:
    program = shutil.which(shell)
    if program is None:
        missing(shell)
    assert program is not None
    script = {"bash": BASH, "zsh": ZSH, "fish": FISH}[shell]
    flags = {"bash": ["--norc", "-c"], "zsh": ["-f", "-c"], "fish": ["--no-config", "-c"]}[shell]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WAZIR_")}
    arguments = [line] if shell == "fish" else [shell, line]
    done = subprocess.run(
        [program, *flags, script, *arguments],
        cwd=folder,
        env={**clean, "PATH": path, "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    errors = [line for line in done.stderr.splitlines() if not line.startswith("compopt")]
    assert not errors, done.stderr
    return done.stdout.split()


LINES = [
    ("wazir stu", ["studies"]),
    ("wazir show ", ["digits", "resnet"]),
    ("wazir show digits/1", ["digits/12", "digits/11", "digits/10", "digits/1"]),
    ("wazir logs ", ["digits/", "resnet/"]),
    ("wazir enqueue digits l", ["lr=", "layers="]),
    ("wazir show r", ["resnet"]),
    ("wazir why digits/7", ["digits/7"]),
    ("wazir trials --owner vision ", ["deep"]),
    ("wazir trials vision", []),
    ("wazir enqueue digits lr=0.5 ", ["layers=", "opt="]),
    ("wazir trials digits --state suc", ["succeeded"]),
    ("wazir show nope/", []),
    ("wazir nonsense ", []),
]


@pytest.mark.parametrize(
    ("shell", "line", "words"),
    [("bash", *case) for case in LINES] + [(shell, *case) for shell in ("zsh", "fish") for case in LINES[:5]],
)
def test_a_tab_offers_what_there_is(shell: str, line: str, words: list[str], folder: Path) -> None:
    assert sorted(offered(shell, line, folder)) == sorted(words)


@pytest.mark.parametrize(("shell", "before"), [("bash", ""), ("zsh", "opt="), ("fish", "opt=")])
def test_the_values_of_a_list_are_offered_and_none_that_a_terminal_would_obey(
    shell: str, before: str, folder: Path
) -> None:
    """bash itself keeps what is before the equals sign."""
    assert sorted(offered(shell, "wazir enqueue digits opt=ad", folder)) == [f"{before}adam", f"{before}adamw"]
    assert len(offered(shell, "wazir enqueue digits opt=", folder)) == 3


def test_the_database_that_was_typed_is_asked(folder: Path, tmp_path: Path) -> None:
    shell = "bash"
    database = folder / ".wazir" / "wazir.db"
    assert offered(shell, "wazir show ", tmp_path) == []
    assert sorted(offered(shell, f"wazir show --db {database} ", tmp_path)) == ["digits", "resnet"]
    assert offered(shell, f"wazir show --db={database} d", tmp_path) == ["digits"]
    assert sorted(offered(shell, "wazir show ", tmp_path, WAZIR_DB=str(database))) == ["digits", "resnet"]
    with LocalService(database) as service:
        assert offered(shell, f"wazir show --address {service.address} r", tmp_path) == ["resnet"]


def test_no_service_no_database_and_nonsense_offer_nothing_and_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database")
    for line in (
        "wazir show ",
        "wazir show --address 127.0.0.1:1 ",
        "wazir show --address nowhere ",
        "wazir show --db text.db ",
        "wazir show --db mysql://h/d ",
        "wazir show --owner 'A B' ",
        "wazir enqueue nope ",
    ):
        assert offered("bash", line, tmp_path) == [], line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.db"]


def test_bash_puts_no_blank_behind_what_goes_on(folder: Path) -> None:
    def options(line: str) -> str:
        done = subprocess.run(
            ["bash", "--norc", "-c", BASH, "bash", line],
            cwd=folder,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stderr

    assert "compopt -o nospace" in options("wazir enqueue digits la")
    assert "nospace" not in options("wazir show dig")
