"""Settings of a controller's Kubernetes side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """`name`: this controller's among others in the cluster; its pods bear it. `namespace`: where trials run whose
    owner has none in `namespaces`. `default_user`: what containers of the short form run as where neither trial nor
    image says. `env`: what every trial finds in its environment to reach the service. `writers`: writes under way at a
    time."""

    name: str = "wazir"
    namespace: str = "default"
    namespaces: Mapping[str, str] = field(default_factory=dict)
    default_user: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    writers: int = 8

    def namespace_of(self, owner: str) -> str:
        return self.namespaces.get(owner, self.namespace)

    @property
    def all_namespaces(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.namespace, *self.namespaces.values())))
