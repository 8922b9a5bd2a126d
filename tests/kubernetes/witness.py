"""What the API server says of a namespace's pods, apart from anything the controller believes.

A pod is live from its creation until it is Succeeded or Failed, or gone. The watch tells every change in the order in
which it happened, so what the witness has not seen at any time has not been.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from wazir.controller.kubernetes.api import Api, pods_path
from wazir.controller.kubernetes.pods import ATTEMPT, CONTROLLER, STUDY, TRIAL
from wazir.controller.kubernetes.reflector import Reflector

Json = dict[str, Any]


class Witness:
    """Use as a context manager, around all that happens in the namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._live: dict[str, tuple[str, int, int]] = {}
        self._lock = threading.Lock()
        self.most: Counter[str] = Counter()
        """By study: the most live pods at a time."""
        self.overlaps: list[str] = []
        """Two live pods of one trial, at any time."""
        self.attempts: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
        self.uids: defaultdict[tuple[str, int, int], set[str]] = defaultdict(set)
        """By study, trial and attempt: its pods. More than one means that an attempt was run twice."""
        self._reflector = Reflector(api, pods_path(namespace), CONTROLLER, self._listed, self._event)

    def __enter__(self) -> Witness:
        self._reflector.start()
        assert self._reflector.synced.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._reflector.close()

    @property
    def live(self) -> int:
        with self._lock:
            return len(self._live)

    def check(self, study: str, *, limit: int, trials: int) -> None:
        """What must hold after a study, whatever happened on the way."""
        with self._lock:
            assert not self.overlaps, self.overlaps
            assert 0 < self.most[study] <= limit
            assert {trial for name, trial in self.attempts if name == study} == set(range(1, trials + 1))
            assert not {key: found for key, found in self.uids.items() if len(found) > 1}

    def _listed(self, items: Iterable[Json]) -> None:
        found = list(items)
        with self._lock:
            self._live.clear()
        for item in found:
            self._event("MODIFIED", item)

    def _event(self, kind: str, item: Json) -> None:
        labels, uid = item["metadata"]["labels"], item["metadata"]["uid"]
        study, trial, attempt = labels[STUDY], int(labels[TRIAL]), int(labels[ATTEMPT])
        over = kind == "DELETED" or (item.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        with self._lock:
            self.attempts[study, trial].add(attempt)
            self.uids[study, trial, attempt].add(uid)
            if over:
                self._live.pop(uid, None)
                return
            self._live[uid] = (study, trial, attempt)
            count = Counter(name for name, _, _ in self._live.values())
            self.most[study] = max(self.most[study], count[study])
            beside = [a for s, t, a in self._live.values() if (s, t) == (study, trial)]
            if len(beside) > 1:
                self.overlaps.append(f"{study}/{trial}: attempts {beside}")
