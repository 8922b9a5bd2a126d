"""What all tests share: the marks that need something of the machine."""

import os
import random
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from .postgres import Postgres, running

# Before anything loads numpy. The service gives its workers one thread each, because more would take turns on the same
# cores; beside each other, the processes of pytest-xdist would spend most of their time on waiting for one another.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

# A busy machine takes long to draw and to try an example, which is no defect of the test.
settings.register_profile("wazir", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("wazir")


FAULT_SEED = "WAZIR_FAULT_SEED"
"""Chooses what tests/faults/test_under_faults.py breaks."""


def pytest_configure() -> None:
    # Processes of pytest-xdist inherit the seed that is shown below.
    os.environ.setdefault(FAULT_SEED, str(random.randrange(1, 2**32)))


def pytest_report_header() -> str:
    return f"{FAULT_SEED}={os.environ[FAULT_SEED]}"


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


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    """Of a database with Wazir's tables, for one test."""
    url = postgres.ready()
    yield url
    postgres.drop(url)
