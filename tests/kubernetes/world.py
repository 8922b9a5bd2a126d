"""Service and controllers as processes beside a cluster, with trials as pods of it."""

from __future__ import annotations

import json
import subprocess
import textwrap
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wazir.clients.client import Client
from wazir.clients.local_address import address_of
from wazir.clients.study_file import load
from wazir.domain.attempt import Attempt, Cause
from wazir.domain.study import Study, StudyState
from wazir.domain.trial import Trial, TrialState

from ..faults.world import World
from .cluster import IMAGE, Cluster
from .witness import Witness

PRINTS = """
import os, sys, time
x = float(sys.argv[1])
for step in range(1, 5):
    print(f"step={step} loss={(x - 0.3) ** 2 + 1 / step}", flush=True)
    time.sleep(SECONDS / 4)
"""

PUSHES = """
import time
import wazir
trial = wazir.current_trial()
for step in range(1, 5):
    trial.report({"loss": (trial.params["x"] - 0.3) ** 2 + 1 / step}, step=step)
    time.sleep(SECONDS / 4)
"""
"""What a trial does in four steps of SECONDS / 4. Both end with the same measurements."""


class KubernetesWorld(World):
    """`host`: where pods find processes of this machine."""

    deadline = 150.0

    def __init__(self, folder: Path, cluster: Cluster, namespace: str) -> None:
        super().__init__(folder)
        self.cluster = cluster
        self.namespace = namespace
        self.host = cluster.host()
        self.port = 0

    def serve(self) -> subprocess.Popen[bytes]:
        """The service; again at the same port, where it had one before."""
        self.server = server = self.wazir(
            "serve",
            f"--db={self.database}",
            f"--listen={self.host}:{self.port}",
            "--insecure-without-authentication",
            "--insecure-without-tls",
        )
        self.says(server, f"Serving {self.database} at")
        if not self.port:
            at = next(line for line in self.said(server).splitlines() if line.startswith("Serving"))
            self.port = int(at.partition(f"{self.host}:")[2].split()[0])
        return server

    def control(self, *options: str, name: str = "") -> subprocess.Popen[bytes]:
        """A controller. All of one name take turns."""
        return self.wazir(
            "controller",
            f"--address={self.host}:{self.port}",
            f"--kubeconfig={self.cluster.kubeconfig}",
            f"--namespace={self.namespace}",
            f"--name={name or self.namespace}",
            *options,
        )

    def create(
        self,
        name: str,
        code: str = PRINTS,
        *,
        trials: int = 6,
        parallel: int = 3,
        seconds: float = 1.0,
        command: list[str] | None = None,
        budget: Mapping[str, Any] | None = None,
        **template: Any,
    ) -> Study:
        """Makes a study whose trials run `code` in the image of the tests."""
        file = self.folder / f"{name}.yaml"
        code = textwrap.dedent(code).replace("SECONDS", repr(seconds))
        made_of = {"image": IMAGE, "command": command or ["python3", "-c", code, "${x}"]}
        trial = {
            **(made_of if "manifest" not in template else {}),
            "grace": "2s",
            "retries": {"failed": 0, "preempted": 100},
            "metrics": {"from": "push" if "import wazir" in code else "stdout"},
            **template,
        }
        document = {
            "study": name,
            "objective": {"metric": "loss", "goal": "minimize"},
            "algorithm": {"name": "quasirandom", "seed": 1},
            "parameters": {"x": {"min": 0.0, "max": 1.0}},
            "budget": {"trials": trials, "parallel": parallel, "failed": 100, **(budget or {})},
            "trial": {key: value for key, value in trial.items() if value is not None},
        }
        file.write_text(json.dumps(document))
        assert self.ended(self.wazir("create", file.name, f"--address={address_of(self.database)}")) == 0
        assert load(file).study_id == name
        with self.connect() as client:
            return client.get_study(name)

    def completed(self, name: str) -> None:
        """Waits until the study is over."""
        with self.connect() as client:
            self.until(lambda: client.get_study(name).state is not StudyState.ACTIVE, f"{name} ends")

    def attempt(self, client: Client, trial: str, number: int = 1) -> Attempt | None:
        """One attempt of a trial; None while there is none."""
        study, _, key = trial.rpartition("/")
        found = next((t for t in client.list_trials(study) if t.id == int(key)), None)
        return None if found is None or len(found.attempts) < number else found.attempts[number - 1]

    def began(self, client: Client, trial: str, number: int = 1) -> Attempt:
        """Waits until the attempt runs."""

        def found() -> Attempt | None:
            attempt = self.attempt(client, trial, number)
            return attempt if attempt is not None and attempt.run_time is not None else None

        return self.until(found, f"attempt {number} of {trial} runs")

    def over(self, client: Client, trial: str, number: int = 1) -> Attempt:
        """Waits until the attempt has ended."""

        def found() -> Attempt | None:
            attempt = self.attempt(client, trial, number)
            return attempt if attempt is not None and not attempt.live else None

        return self.until(found, f"attempt {number} of {trial} ends")

    def pod(self, study: str, trial: int = 1, attempt: int = 1) -> dict[str, Any] | None:
        """Its pod, where there is one."""
        labels = f"wazir.dev/study={study},wazir.dev/trial={trial},wazir.dev/attempt={attempt}"
        return next(iter(self.cluster.pods(self.namespace, labels)), None)

    def check_study(
        self,
        witness: Witness,
        name: str,
        *,
        trials: int,
        limit: int,
        lost: frozenset[Cause] = frozenset({Cause.PREEMPTED, Cause.NODE_LOST, Cause.REPORTS_LOST}),
    ) -> list[Trial]:
        """All trials succeeded, each with all its measurements, and whatever ended on the way did so by one of `lost`;
        the API server agrees, and keeps nothing of it."""
        with self.connect() as client:
            study = client.get_study(name)
            listed = list(client.list_trials(name))
            measured = {t.id: {m.step: m.metrics["loss"] for m in client.measurements(t.name)} for t in listed}
        about = self.describe()
        assert study.state is StudyState.COMPLETED, about
        assert Counter(trial.state for trial in listed) == {TrialState.SUCCEEDED: trials}, about
        for trial in listed:
            *before, last = [a.cause for a in trial.attempts]
            assert last is Cause.SUCCEEDED, about
            assert set(before) <= lost, about
            x = trial.parameters["x"]
            assert isinstance(x, float)
            expected = {s: (x - 0.3) ** 2 + 1 / s for s in range(1, 5)}
            assert measured[trial.id] == expected, f"trial {trial.id}: {measured[trial.id]}\n{about}"
            assert {a.number for a in trial.attempts} >= witness.attempts[name, trial.id], about
        witness.check(name, limit=limit, trials=trials)
        assert not [p.pid for p in self._started if "Traceback" in self.said(p)], about
        self.until(lambda: not self.kept(name), "nothing of the study is left in the cluster")
        return listed

    def kept(self, study: str) -> list[dict[str, Any]]:
        return self.cluster.pods(self.namespace, f"wazir.dev/study={study}")
