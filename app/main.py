"""The console script `wazir`."""

from __future__ import annotations

import os
import sys

COMPLETE = "_WAZIR_COMPLETE"
"""Set by a shell's completion script (clients/cli/shells.py)."""


def main() -> None:
    """Runs the command line; without its packages it says in one sentence what to install."""
    # gRPC's own log writes to the terminal what our errors say in one sentence.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from .cli import cli
    except ModuleNotFoundError as missing:
        sys.exit(f"wazir: the command line needs {missing.name}; install it with: pip install 'wazir[run]'")
    if COMPLETE in os.environ:
        from ..clients.cli.shells import register

        register()
    cli(prog_name="wazir")
