"""The Kubernetes runtime keeps what every runtime promises, with real containers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wazir.controller.execution import Order, Phase, Why
from wazir.controller.kubernetes.api import Api
from wazir.controller.kubernetes.runtime import KubernetesRuntime
from wazir.controller.kubernetes.settings import KubernetesSettings
from wazir.controller.runtime import Runtime
from wazir.domain.pod import PodOptions, Source, Volume
from wazir.domain.template import Resources

from ..contract import runtime as contract
from .cluster import IMAGE, Cluster

PYTHON = "python3"


class TestContract(contract.RuntimeContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    @pytest.fixture
    def open_runtime(self, cluster: Cluster, namespace: str) -> Iterator[contract.Open]:
        opened: list[KubernetesRuntime] = []

        def make() -> Runtime:
            settings = KubernetesSettings(name=namespace, namespace=namespace)
            runtime = KubernetesRuntime(Api.connect(cluster.kubeconfig), settings)
            runtime.wait_synced(30)
            opened.append(runtime)
            return runtime

        yield make
        for runtime in opened:
            runtime.close()

    def order(self, *command: str, trial: int = 1, attempt: int = 1, **rest: Any) -> Order:
        # The tests' folder belongs to root, and containers see it where the tests do.
        volumes = {str(self.folder): Volume(Source.HOST, str(self.folder))}
        given: dict[str, Any] = {"image": IMAGE, "pod": PodOptions(volumes=volumes, user=0), "grace": 2.0} | rest
        return contract.order(*command, trial=trial, attempt=attempt, **given)

    def python(self, code: str, *arguments: str, **rest: Any) -> Order:
        return self.order(PYTHON, "-c", code, *arguments, **rest)

    def test_a_signal_is_told_from_an_exit_code(self, runtime: Runtime) -> None:
        # The first process of a container gets no signal that it does not handle, so a second one dies of it.
        execution = contract.run(runtime, self.order("sh", "-c", "sh -c 'kill -SEGV $$'; exit $?"))
        assert execution.exit is not None
        assert execution.exit.code == -11

    def test_it_is_seen_running_with_what_it_was_given(self, runtime: Runtime) -> None:
        what = self.order("sleep", "1000", resources=Resources(gpu=2))
        runtime.launch(what)
        execution = contract.until(runtime, what.key, lambda e: e.phase is not Phase.STARTING)
        assert execution.study == contract.STUDY
        assert execution.gpus == 2.0
        assert execution.node
        runtime.kill(what.key)

    def test_environment_and_folder_are_those_of_the_order(self, runtime: Runtime, tmp_path: Path) -> None:
        code = "import os; print(os.environ['A'], os.environ['B'])"
        what = self.python(code, env={"A": "b=c $d", "B": "$(A) $$(A)"})
        contract.run(runtime, what)
        assert runtime.tail(what.key, 10_000).decode().strip() == "b=c $d $(A) $$(A)"

    def test_both_outputs_are_read_in_order_and_from_any_byte(self, runtime: Runtime) -> None:
        # Each output of a container is a pipe of its own, so only one is in order.
        what = self.order("sh", "-c", "echo one; echo two; echo three; sleep 1; echo other >&2")
        contract.run(runtime, what)
        assert runtime.output(what.key, 0) == b"one\ntwo\nthree\nother\n"
        assert runtime.output(what.key, 4) == b"two\nthree\nother\n"
        assert runtime.output(what.key, 20) == b""
        assert runtime.tail(what.key, 6) == b"other\n"

    def test_a_folder_that_is_not_there(self, runtime: Runtime) -> None:
        """A working folder is local runs' matter; a pod has its image's."""
        execution = contract.run(runtime, self.order("true", workdir="/no/such/folder"))
        assert execution.exit is not None
        assert execution.exit.code == 0

    def test_what_is_forgotten_is_no_longer_observed_and_its_output_stays(self, runtime: Runtime) -> None:
        """The output goes with the pod: the service has its last lines, and pods that failed are kept."""
        what = self.order("echo", "hello")
        contract.run(runtime, what)
        runtime.forget(what.key)
        runtime.forget(what.key)
        assert runtime.observe() == {}

    def test_why_it_was_told_to_end_is_known_after_a_restart(self, open_runtime: contract.Open) -> None:
        first = open_runtime()
        what = self.order("sleep", "1000")
        first.launch(what)
        contract.until(first, what.key, lambda e: e.phase is Phase.RUNNING)
        first.terminate(what.key, Why.TIMEOUT)
        ending = first.observe()[what.key].ending
        first.close()
        [execution] = contract.ended(open_runtime(), what.key)
        assert execution.ending == ending
