"""Everything here runs on one cluster, one test at a time: some of it stops the cluster's parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .cluster import Cluster, connect
from .witness import Witness
from .world import KubernetesWorld

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("kubernetes"))
    # They take longest, and only one process runs them: it had better begin at once.
    items.sort(key=lambda item: HERE not in item.path.parents)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    return connect()


@pytest.fixture
def world(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[KubernetesWorld]:
    world = KubernetesWorld(tmp_path, cluster, namespace)
    yield world
    world.close()


@pytest.fixture
def witness(cluster: Cluster, namespace: str) -> Iterator[Witness]:
    with Witness(cluster.api, namespace) as witness:
        yield witness


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    with cluster.namespace() as name:
        yield name
