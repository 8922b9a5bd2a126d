"""Coverage-guided fuzzing: `python -m tests.fuzz constraint --seconds 600`.

Ends with 0 if nothing was found. What was found is kept in `build/`, in a file whose name is printed; `--input FILE`
runs it again. With `--keep` inputs that reach new code are added to the stored corpus, which then holds the smallest
ones that reach all of it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

from .targets import TARGETS, timed

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"

HANGS_AFTER = 60
"""Seconds after which a call that has not returned is taken to never do so."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=10, help="how long, 10 by default")
    parser.add_argument("--seed", type=int, default=0, help="0, the default, is another one each time")
    parser.add_argument("--input", type=Path, help="run this file only")
    parser.add_argument("--keep", action="store_true", help="add what reaches new code to the stored corpus")
    parser.add_argument("--libfuzzer", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()

    if given.libfuzzer is not None:
        fuzz(given.target, given.libfuzzer)
    stored = CORPUS / given.target
    if given.input is not None:
        return libfuzzer(given.target, str(given.input.absolute()))

    with tempfile.TemporaryDirectory() as found:
        options = [
            f"-max_total_time={given.seconds}",
            f"-timeout={HANGS_AFTER}",
            f"-seed={given.seed}",
            "-len_control=0",
        ]
        result = libfuzzer(given.target, *options, "-print_final_stats=1", found, str(stored))
        if result == 0 and given.keep:
            merge(given.target, stored, Path(found))
    return result


def merge(target: str, stored: Path, found: Path) -> None:
    """Makes the stored corpus the smallest one that reaches what both reach."""
    with tempfile.TemporaryDirectory() as merged:
        if libfuzzer(target, "-merge=1", merged, str(stored), str(found)) != 0:
            sys.exit("what was found could not be merged; the stored corpus is as it was")
        for file in stored.iterdir():
            file.unlink()
        for file in Path(merged).iterdir():
            (stored / file.name).write_bytes(file.read_bytes())


def libfuzzer(target: str, *arguments: str) -> int:
    """Runs libFuzzer in a process of its own, because it ends the one it runs in."""
    (ROOT / "build").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz", target, "--libfuzzer", "-artifact_prefix=build/fuzz-", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "0"}).returncode


def fuzz(target: str, arguments: list[str]) -> None:
    with atheris.instrument_imports(include=["wazir"]):
        run = TARGETS[target]()
    # libFuzzer merges by running itself again: the first argument is a command for the shell.
    itself = f"{shlex.quote(sys.executable)} -m tests.fuzz {target} --libfuzzer"
    atheris.Setup([itself, *arguments], timed(run))
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
