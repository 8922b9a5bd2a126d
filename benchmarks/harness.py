"""What every benchmark shares: `--quick`, `--json FILE`, and figures with their versions and machine."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

PACKAGES = ("wazir", "grpcio", "protobuf", "SQLAlchemy", "numpy", "scipy", "optuna")


def arguments(description: str | None) -> argparse.Namespace:
    """`quick` and `json` of the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a smaller run, under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser.parse_args()


def publish(figures: Mapping[str, float], to: Path | None) -> None:
    """Prints the figures and writes them, with versions and machine, where asked to."""
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:<{width}}  {value:.4g}")
    if to is not None:
        to.write_text(json.dumps({"figures": dict(figures), **surroundings()}, indent=2) + "\n")


def surroundings() -> dict[str, object]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "versions": {"python": platform.python_version(), **versions},
        "machine": {"system": platform.platform(), "processor": _processor(), "cores": _cores()},
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), sys.platform)
