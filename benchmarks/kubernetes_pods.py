"""What trials as pods cost: trials a second, CPU of the controller, writes to the API server, time to a pod.

    WAZIR_TEST_KUBECONFIG=... python benchmarks/kubernetes.py [--quick] [--json FILE]

One study of 2,000 trials, 200 at a time, on simulated nodes (kwok): `wazir serve` and `wazir controller` as processes,
a real API server, scheduler and etcd; nothing runs in the pods, which last for 8 seconds each. What their trainings
would push is pushed from here. The cluster is to have simulated nodes of label `wazir.dev/node: simulated` with 200
GPUs in all, which the program named by WAZIR_TEST_CLUSTER makes (`PROGRAM nodes 25 8`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
from harness import arguments, publish

from wazir.clients.client import Client
from wazir.controller.kubernetes.api import Api, pods_path
from wazir.controller.kubernetes.pods import CONTROLLER, TRIAL
from wazir.controller.kubernetes.reflector import Reflector
from wazir.domain.errors import WazirError
from wazir.domain.study import StudyState
from wazir.domain.trial import Measurement, TrialState

Json = dict[str, Any]

NODES, GPUS = 25, 8
LASTS = 8
"""Seconds of a pod: with 200 in flight at most 25 trials/s."""
WAZIR = (sys.executable, "-c", "from wazir.app.main import main; main()")


def study(trials: int, parallel: int) -> Json:
    container = {
        "name": "trial",
        "image": "train:1",
        "args": ["${args}"],
        "resources": {"limits": {"nvidia.com/gpu": 1}},
    }
    spec = {
        "containers": [container],
        "nodeSelector": {"wazir.dev/node": "simulated"},
        "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
    }
    return {
        "study": "bench",
        "objective": {"metric": "loss", "goal": "minimize"},
        "algorithm": {"name": "random", "seed": 1},
        "parameters": {"x": {"min": 0.0, "max": 1.0}, "lr": {"min": 1e-5, "max": 0.1, "scale": "log"}},
        "budget": {"trials": trials, "parallel": parallel, "failed": trials},
        "trial": {
            "manifest": {"metadata": {"annotations": {"sim.wazir.dev/duration": f"{LASTS}s"}}, "spec": spec},
            "retries": {"failed": 0},
        },
    }


class Created:
    """When each trial's pod was first seen, and how many there were at a time."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.at: dict[int, float] = {}
        self.live: set[int] = set()
        self.most = 0
        self._reflector = Reflector(api, pods_path(namespace), CONTROLLER, self._listed, self._event)
        self._reflector.start()

    def _listed(self, items: Iterable[Json]) -> None:
        for item in items:
            self._event("ADDED", item)

    def _event(self, kind: str, item: Json) -> None:
        trial = int(item["metadata"]["labels"][TRIAL])
        self.at.setdefault(trial, time.time())
        if kind == "DELETED" or item["status"].get("phase") in ("Succeeded", "Failed"):
            self.live.discard(trial)
        else:
            self.live.add(trial)
            self.most = max(self.most, len(self.live))


def push(client: Client, stream: Any) -> None:
    """Reports once for every trial, as soon as it runs."""
    done: set[int] = set()
    try:
        for changes in stream:
            for trial in changes.trials:
                attempt = trial.attempt
                if trial.id in done or attempt is None or attempt.run_time is None or not attempt.live:
                    continue
                done.add(trial.id)
                client.report(trial.name, attempt.number, [Measurement(1, {"loss": 0.5}, time.time())])
    except WazirError as error:
        print(f"pushing ended: {error}", file=sys.stderr)


def measure(api: Api, kubeconfig: str, namespace: str, folder: Path, trials: int, parallel: int) -> dict[str, float]:
    processes: list[subprocess.Popen[str]] = []

    def start(*command: str) -> subprocess.Popen[str]:
        log = (folder / f"{command[0]}.log").open("w")
        processes.append(subprocess.Popen([*WAZIR, *command], cwd=folder, stdout=log, stderr=log, text=True))
        return processes[-1]

    try:
        start("serve", f"--db={folder}/wazir.db", "--listen=127.0.0.1:0")
        address = said(folder / "serve.log", r"Serving .* at (127\.0\.0\.1:\d+)")
        file = folder / "bench.yaml"
        file.write_text(json.dumps(study(trials, parallel)))
        created = Created(api, namespace)
        with Client(address) as client:
            controller = start(
                "controller", f"--address={address}", f"--kubeconfig={kubeconfig}", f"--namespace={namespace}"
            )
            said(folder / "controller.log", "(running trials)")
            process = psutil.Process(controller.pid)
            idle = sum(process.cpu_times()[:2])
            server = psutil.Process(processes[0].pid)
            idle_server = sum(server.cpu_times()[:2])
            began = time.time()
            subprocess.run([*WAZIR, "create", str(file), f"--address={address}"], check=True, stdout=subprocess.DEVNULL)
            stream = client.watch_trials("bench")
            pusher = threading.Thread(target=push, args=(client, stream), daemon=True)
            pusher.start()
            while client.get_study("bench").state is StudyState.ACTIVE:
                time.sleep(0.2)
            cpu, server_cpu = sum(process.cpu_times()[:2]) - idle, sum(server.cpu_times()[:2]) - idle_server
            stream.cancel()
            listed = list(client.list_trials("bench"))
        controller.terminate()
        controller.wait(30)
        writes = int(said(folder / "controller.log", r"left; (\d+) writes"))
    finally:
        for one in processes:
            one.terminate()
    assert [t.state for t in listed] == [TrialState.SUCCEEDED] * trials, {t.state for t in listed}
    ends = [t.end_time or 0.0 for t in listed]
    waits = sorted(created.at[t.id] - t.attempts[0].start_time for t in listed)
    return {
        "trials": float(trials),
        "most_pods_in_flight": float(created.most),
        "trials_per_second": trials / (max(ends) - began),
        "controller_cpu_ms_per_trial": 1000 * cpu / trials,
        "server_cpu_ms_per_trial": 1000 * server_cpu / trials,
        "writes_per_trial": writes / trials,
        "suggestion_to_pod_p50_s": waits[len(waits) // 2],
        "suggestion_to_pod_p95_s": waits[int(len(waits) * 0.95)],
    }


def said(log: Path, pattern: str) -> str:
    """Waits until a process has written it."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if log.exists() and (match := re.search(pattern, log.read_text())):
            return match[1]
        time.sleep(0.05)
    raise SystemExit(f"{log} never said {pattern!r}:\n{log.read_text()}")


def main() -> None:
    options = arguments(__doc__)
    kubeconfig, program = os.environ.get("WAZIR_TEST_KUBECONFIG"), os.environ.get("WAZIR_TEST_CLUSTER")
    if not kubeconfig:
        raise SystemExit("Set WAZIR_TEST_KUBECONFIG to the kubeconfig of a cluster with simulated nodes")
    if program:
        subprocess.run([program, "nodes", str(NODES), str(GPUS)], check=True, stdout=subprocess.DEVNULL)
    api = Api.connect(Path(kubeconfig))
    namespace = f"wazir-bench-{os.getpid()}"
    api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    try:
        with tempfile.TemporaryDirectory(prefix="wazir-bench-") as folder:
            trials, parallel = (200, 100) if options.quick else (2_000, 200)
            publish(measure(api, kubeconfig, namespace, Path(folder), trials, parallel), options.json)
    finally:
        api.delete(f"/api/v1/namespaces/{namespace}")
        if program:
            for node in range(NODES):
                api.delete(f"/api/v1/nodes/sim-{node}")


if __name__ == "__main__":
    main()
