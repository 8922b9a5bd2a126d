"""The checkout that the packaging tests look at."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def folders_of_packages() -> dict[str, Path]:
    """Import name -> folder of every package of the checkout, found on the disk and not in any list."""
    beside = {"tests", "benchmarks", "examples", "docs", "deploy", "tools", "typings", "build", "dist"}
    found = {"wazir": ROOT}
    for folder, names, files in os.walk(ROOT):
        path = Path(folder)
        names[:] = sorted(
            n for n in names if not n.startswith(".") and n != "__pycache__" and (path != ROOT or n not in beside)
        )
        if path != ROOT and "__init__.py" in files:
            found[".".join(["wazir", *path.relative_to(ROOT).parts])] = path
    return found


def files() -> list[Path]:
    """The files that git knows or would add, below the root; all but the ignored ones outside of a git checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode == 0:
        paths = [Path(name) for name in listed.stdout.split("\0") if name]
    else:
        ignored = {"typings", "build", "dist"}
        paths = [p.relative_to(ROOT) for p in ROOT.rglob("*") if p.is_file()]
        paths = [p for p in paths if not p.parts[0].startswith(".venv") and p.parts[0] not in ignored]
    return [path for path in paths if (ROOT / path).is_file() and "__pycache__" not in path.parts]


def python(code: str, *options: str, path: str = "", cwd: Path | None = None) -> str:
    """What `code` prints in a fresh interpreter that looks for modules in `path` first. Fails with its error."""
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, *options, "-c", code], env=environment, cwd=cwd or ROOT.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
