"""Whether a controller still works, for probes and for Prometheus: a small HTTP server.

    GET /healthz    200 while the loop turns, else 503 and since when it does not
    GET /metrics    the age of the pulse and other figures, as Prometheus reads them

It tells nothing of studies, so it asks nobody who he is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ..domain.errors import FailedPrecondition, InvalidArgument
from ..domain.pulse import Pulse

CONNECTIONS = 16
"""At a time; more are closed."""
PATIENCE = 5.0
"""Seconds for a request to come."""


class Health:
    """Listens at `address` (HOST:PORT, port 0: any free one) until it is closed. `figures`: by name, from any thread.

    Raises InvalidArgument and FailedPrecondition.
    """

    def __init__(self, address: str, pulse: Pulse, figures: Callable[[], Mapping[str, float]] = dict) -> None:
        host, _, port = address.rpartition(":")
        if not port.isdecimal() or int(port) > 65_535:
            raise InvalidArgument("--health", address, "must be HOST:PORT", "For instance 0.0.0.0:8472")

        handler = type("Handler", (_Handler,), {"pulse": pulse, "figures": staticmethod(figures)})
        try:
            self._server = _Server((host.strip("[]"), int(port)), handler)
        except OSError as error:
            raise FailedPrecondition(
                f"cannot listen on {address}: {error.strerror}. Choose another --health"
            ) from error
        self.port: int = self._server.server_port
        threading.Thread(target=self._server.serve_forever, name="wazir-health", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *address: Any) -> None:
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__(*address)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone, and needs no traceback."""


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE
    pulse: Pulse
    figures: Callable[[], Mapping[str, float]]

    def do_GET(self) -> None:
        if self.path == "/healthz":
            fresh = self.pulse.fresh
            words = "ok" if fresh else f"the {self.pulse.name} has not turned for {self.pulse.age:.0f} s"
            self._answer(200 if fresh else 503, f"{words}\n")
        elif self.path == "/metrics":
            figures = {"wazir_controller_pulse_age_seconds": self.pulse.age, **self.figures()}
            self._answer(200, "".join(f"# TYPE {name} gauge\n{name} {value}\n" for name, value in figures.items()))
        else:
            self._answer(404, "known are /healthz and /metrics\n")

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """A probe every few seconds is no news."""
