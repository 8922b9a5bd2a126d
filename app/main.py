"""The console script `wazir`."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; without its packages it says in one sentence what to install."""
    try:
        from .cli import cli
    except ModuleNotFoundError as missing:
        sys.exit(f"wazir: the command line needs {missing.name}; install it with: pip install 'wazir[run]'")
    cli(prog_name="wazir")
