"""The peers that the service is measured beside, each in an environment of its own.

    python benchmarks/peers.py [FOLDER]     makes them; some minutes, from PyPI

OSS Vizier pins a version of equinox that its own JAX no longer imports with, so that one is upgraded after it.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

DEFAULT = Path("~/.cache/wazir-bench").expanduser()
STEPS: dict[str, Sequence[Sequence[str]]] = {
    "vizier": (("google-vizier[jax]",), ("--upgrade", "equinox")),
    "optuna": (("optuna", "psycopg2-binary"), ("torch",)),
    "smac": (("smac",),),
}
DISTRIBUTIONS = {"vizier": "google-vizier", "optuna": "optuna", "smac": "smac"}


def python_of(peer: str, folder: Path) -> Path | None:
    """The peer's Python, or None if its environment was not made."""
    python = folder / peer / "bin" / "python"
    return python if python.exists() else None


def version_of(peer: str, folder: Path) -> str:
    """Of the peer in its environment, or that it is not installed."""
    python = python_of(peer, folder)
    if python is None:
        return f"not installed: python benchmarks/peers.py {folder}"
    code = "import sys; from importlib import metadata; print(metadata.version(sys.argv[1]))"
    found = subprocess.run([python, "-c", code, DISTRIBUTIONS[peer]], capture_output=True, text=True)
    return found.stdout.strip() or f"not installed: {found.stderr.strip().splitlines()[-1]}"


def main(folder: Path) -> None:
    for peer, steps in STEPS.items():
        venv.create(folder / peer, with_pip=True)
        for packages in steps:
            subprocess.run([folder / peer / "bin" / "python", "-m", "pip", "install", "-q", *packages], check=True)
        print(peer, version_of(peer, folder))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT)
