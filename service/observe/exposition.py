"""Where Prometheus reads a server's figures: a small HTTP server of its own library, at /metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...domain.errors import FailedPrecondition

try:
    from prometheus_client import start_http_server
except ModuleNotFoundError as error:
    raise FailedPrecondition(
        "--metrics needs prometheus-client: pip install 'wazir[server]'", field="metrics"
    ) from error

from .metrics import Metrics, MetricsInterceptor

if TYPE_CHECKING:
    from ..service import Service


class Exposition:
    """Listens at `address` (HOST:PORT, port 0: any free one) until it is closed. Raises FailedPrecondition."""

    def __init__(self, address: str, service: Service) -> None:
        host, _, port = address.rpartition(":")
        metrics = Metrics(service)
        service.observe(metrics)
        self.interceptor = MetricsInterceptor(metrics)
        try:
            self._server, self._thread = start_http_server(int(port), host.strip("[]"), metrics.registry)
        except OSError as error:
            raise FailedPrecondition(
                f"cannot listen on {address}: {error.strerror}. Choose another address with --metrics", field="metrics"
            ) from error
        self.port: int = self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
