"""What all tests share: the marks that need something of the machine."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from .postgres import Postgres, running


def _has_gpu() -> bool:
    return (
        bool(shutil.which("nvidia-smi")) and subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode == 0
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not _has_gpu():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU on this machine"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for the whole run; `postgres.fresh()` is an empty database."""
    with running() as server:
        yield server
