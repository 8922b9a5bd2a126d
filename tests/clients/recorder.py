"""A study service that only takes reports, to look at what a trial sends and when. It can refuse, and be away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import grpc

from wazir.domain.errors import WazirError
from wazir.domain.trial import Instruction
from wazir.proto.v1 import study_service_pb2 as api
from wazir.proto.v1 import study_service_pb2_grpc
from wazir.wire.errors import STATUS_KEY, to_status
from wazir.wire.trial import instruction_to_wire

TRIAL = "owners/default/studies/s/trials/7"
PATIENCE = 30.0

R = TypeVar("R")


class Recorder(study_service_pb2_grpc.StudyServiceServicer):
    """Listens at one address for its whole life; between `stop` and `start` it is away."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.reports: list[api.ReportMeasurementsRequest] = []
        self.beats: list[api.HeartbeatRequest] = []
        self.metadata: dict[str, str] = {}
        self.answer = Instruction()
        self.refuse: Callable[[], WazirError | None] = lambda: None
        self.gate = threading.Event()
        """Calls wait for it before they are answered."""
        self.gate.set()
        self.entered = threading.Event()
        """Set when a call comes."""
        self._changed = threading.Condition()
        self._server: grpc.Server | None = None

    def start(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        study_service_pb2_grpc.add_StudyServiceServicer_to_server(self, self._server)
        assert self._server.add_insecure_port(self.address)
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None

    @property
    def points(self) -> list[tuple[int, str, float]]:
        """(step, metric, value) of all that came, in the order in which it came."""
        return [
            (m.step, name, value) for r in self.reports for m in r.measurements for name, value in m.metrics.items()
        ]

    def wait(self, until: Callable[[], bool]) -> None:
        """Until something that comes makes it true."""
        with self._changed:
            assert self._changed.wait_for(until, PATIENCE), "the service waited in vain"

    def ReportMeasurements(
        self, request: api.ReportMeasurementsRequest, context: grpc.ServicerContext
    ) -> api.ReportMeasurementsResponse:
        self._take(self.reports, request, context)
        return api.ReportMeasurementsResponse(instruction=instruction_to_wire(self.answer))

    def Heartbeat(self, request: api.HeartbeatRequest, context: grpc.ServicerContext) -> api.HeartbeatResponse:
        self._take(self.beats, request, context)
        return api.HeartbeatResponse(instruction=instruction_to_wire(self.answer))

    def UpdateMetadata(
        self, request: api.UpdateMetadataRequest, context: grpc.ServicerContext
    ) -> api.UpdateMetadataResponse:
        with self._changed:
            self.metadata.update(request.set)
            self._changed.notify_all()
        return api.UpdateMetadataResponse(metadata=self.metadata)

    def _take(self, kept: list[R], request: R, context: grpc.ServicerContext) -> None:
        self.entered.set()
        self.gate.wait(PATIENCE)
        error = self.refuse()
        if error is not None:
            code, status = to_status(error)
            context.set_trailing_metadata(((STATUS_KEY, status.SerializeToString()),))
            context.abort(code, status.message)
        with self._changed:
            kept.append(request)
            self._changed.notify_all()


@contextmanager
def recording(folder: Path) -> Iterator[Recorder]:
    recorder = Recorder(f"unix:{folder}/s.sock")  # type: ignore[abstract]  # what it lacks is UNIMPLEMENTED
    recorder.start()
    try:
        yield recorder
    finally:
        recorder.gate.set()
        recorder.stop()


def environment(recorder: Recorder, spool: Path | None = None, parameters: str = '{"lr": 0.1}') -> Mapping[str, str]:
    """As a controller sets it."""
    variables = {
        "WAZIR_ADDRESS": recorder.address,
        "WAZIR_TRIAL": TRIAL,
        "WAZIR_ATTEMPT": "2",
        "WAZIR_PARAMETERS": parameters,
    }
    return variables if spool is None else {**variables, "WAZIR_SPOOL": str(spool)}
