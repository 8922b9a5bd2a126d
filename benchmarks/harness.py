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
    return parser(description).parse_args()


def parser(description: str | None) -> argparse.ArgumentParser:
    """With `--quick` and `--json`; a benchmark adds its own."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--quick", action="store_true", help="a smaller run, under a minute")
    found.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return found


def publish(figures: Mapping[str, float], to: Path | None, others: Mapping[str, str] | None = None) -> None:
    """Prints the figures and writes them, with versions and machine, where asked to. `others`: versions of what this
    environment does not hold."""
    others = others or {}
    width = max(map(len, [*figures, *others]))
    for name, value in figures.items():
        print(f"{name:<{width}}  {value:.4g}")
    for name, version in others.items():
        print(f"{name:<{width}}  {version}")
    if to is not None:
        about = surroundings()
        about["versions"] |= others
        to.write_text(json.dumps({"figures": dict(figures), **about}, indent=2) + "\n")


def surroundings() -> dict[str, dict[str, object]]:
    versions: dict[str, object] = {}
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
