"""The program that a trial runs, and the script that it has an interpreter run, as far as the command shows it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..domain.errors import InvalidArgument, similar
from ..domain.template import references

_PYTHON = re.compile(r"(python|pypy)[0-9.]*[tw]?")
_SHELL = re.compile(r"(ba|da|k|z)?sh")
_OTHERS = re.compile(r"Rscript|julia|perl|ruby|node")
_WRAPPERS = re.compile(r"uv|poetry|pipenv|env|nice|nohup|time|stdbuf|numactl|taskset")
"""Programs that run another one, which is found among their arguments."""

ALIKE = 0.75
"""How alike the name of a program has to be to be meant: among thousands of them some resemble any word."""

_CHANGES_FOLDER = re.compile(r"-C.*|--?\w*(dir|cwd).*")


def check_program(program: str, path: str, workdir: str) -> None:
    """Raises InvalidArgument if a trial would not find the program: on its PATH, or from its working folder if it names
    a path."""
    where = "trial.command[0]"
    if "/" not in program:
        if shutil.which(program, path=path) is None:
            hint = " ".join(filter(None, (similar(program, _programs(path), cutoff=ALIKE), f"Looked in {path}")))
            raise InvalidArgument(where, program, "is not an executable on this machine", hint)
        return
    file = Path(workdir or ".") / program
    if not file.exists():
        hint = similar(file.name, _names(file.parent))
        raise InvalidArgument(where, program, f"does not exist; looked in {file.parent}", hint)
    if shutil.which(str(file)) is None:
        hint = f"Run `chmod +x {file}`, or write its interpreter before it: [python, {program}]"
        raise InvalidArgument(where, program, "is not an executable file", hint)


def check_script(command: Sequence[str], workdir: str) -> None:
    """Raises InvalidArgument if the command names a script that is not there, seen from the folder `workdir`."""
    index = script_of(command)
    if index is None or any(references(command[index])):
        return
    folder = Path(workdir or ".")
    path = folder / command[index]
    if path.exists():
        return
    alike = [name for name in _names(path.parent) if Path(name).suffix == path.suffix]
    hint = similar(path.name, alike) or "Write its path from that folder, or name the folder as trial.workdir"
    rule = f"is a script that does not exist; looked in {path.parent.resolve()}"
    raise InvalidArgument(f"trial.command[{index}]", command[index], rule, hint)


def script_of(command: Sequence[str]) -> int | None:
    """The place of the script in a command such as `python -u train.py --lr=0.1`: 2. None if none is seen in it."""
    name = Path(command[0]).name.removesuffix(".exe") if command else ""
    if _PYTHON.fullmatch(name):
        return _behind_options(command, no_file="cm", with_value="WX", long_with_value=("--check-hash-based-pycs",))
    if _SHELL.fullmatch(name):
        return _behind_options(command, no_file="cs", with_value="oO", long_with_value=("--rcfile", "--init-file"))
    if _WRAPPERS.fullmatch(name):
        return _behind_wrapper(command)
    if _OTHERS.fullmatch(name) and len(command) > 1 and not command[1].startswith("-"):
        return 1
    return None


def _runs_scripts(word: str) -> bool:
    name = Path(word).name
    return any(pattern.fullmatch(name) for pattern in (_PYTHON, _SHELL, _OTHERS))


def _behind_wrapper(command: Sequence[str]) -> int | None:
    """The script of a command that another one runs."""
    for start, word in enumerate(command):
        if _CHANGES_FOLDER.fullmatch(word):
            return None
        # In `uv run --python python3.12 python train.py` the first one is the value of an option.
        if _runs_scripts(word) and not any(map(_runs_scripts, command[start + 1 : start + 2])):
            place = script_of(command[start:])
            return None if place is None else start + place
    return None


def _programs(path: str) -> list[str]:
    return [name for folder in path.split(os.pathsep) for name in _names(Path(folder))]


def _names(folder: Path) -> list[str]:
    """What is in the folder; nothing if it cannot be read."""
    try:
        return [entry.name for entry in folder.iterdir()]
    except OSError:
        return []


def _behind_options(
    command: Sequence[str], *, no_file: str, with_value: str, long_with_value: Sequence[str]
) -> int | None:
    """The first argument that is neither an option nor the value of one; None if an option says that it is not a file.

    `no_file`: letters after which something else than a file is run. `with_value`: letters that take a value.
    """
    index = 1
    while index < len(command):
        word = command[index]
        if word == "-":
            return None
        if not word.startswith(("-", "+")):
            return index

        takes_next = word in long_with_value
        letters = "" if word.startswith("--") else word[1:]
        for place, letter in enumerate(letters, start=1):
            if letter in no_file:
                return None
            if letter in with_value:
                # The rest of the word is the value, or the next one is.
                takes_next = place == len(letters)
                break

        index += 2 if takes_next else 1
    return None
