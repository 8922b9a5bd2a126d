"""Figures of a server for Prometheus, by the conventions of its documentation: base units, `_total` for counters.

Calls are counted as they pass; everything else is looked up when somebody asks, in memory, so that a figure that nobody
reads costs nothing. Labels are methods, codes, algorithms and states: few, however many studies and callers there are.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import grpc
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ...domain.study import StudyState
from ...domain.trial import TrialState
from ...storage.group import GroupStore

if TYPE_CHECKING:
    from ..service import Service

    Handler = grpc.RpcMethodHandler[Any, Any]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

CODES = {number: code for code in grpc.StatusCode for number in (code, code.value[0]) if number}
"""By number and by itself."""


class Metrics:
    """One server's figures. `registry` is what to expose."""

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self.calls = Counter(
            "wazir_calls_total", "Calls that ended, by status code.", ["method", "code"], registry=self.registry
        )
        self.seconds = Histogram(
            "wazir_call_seconds", "How long unary calls took.", ["method"], buckets=SECONDS, registry=self.registry
        )
        self.in_flight = Gauge(
            "wazir_calls_in_flight", "Calls being answered, watch streams among them.", registry=self.registry
        )
        self.suggestion = Histogram(
            "wazir_suggestion_seconds",
            "How long computing a round took.",
            ["algorithm"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.stand_ins = Counter(
            "wazir_stand_ins_total",
            "Quasi-random points in place of an algorithm that was late, failed, or could not fit its model.",
            ["algorithm", "cause"],
            registry=self.registry,
        )
        self.leases_lost = Counter(
            "wazir_leases_lost_total", "Attempts ended for their holder's silence.", registry=self.registry
        )

        self.registry.register(_State(service))

    def suggested(self, algorithm: str, seconds: float) -> None:
        self.suggestion.labels(algorithm).observe(seconds)

    def stood_in(self, algorithm: str, cause: str, points: int) -> None:
        self.stand_ins.labels(algorithm, cause).inc(points)

    def lease_lost(self) -> None:
        self.leases_lost.inc()


class MetricsInterceptor(grpc.aio.ServerInterceptor):
    """Counts and times calls. It comes first, so that it sees the codes that others set."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming:
            return handler
        method = handler_call_details.method.rpartition("/")[2]
        codecs = (handler.request_deserializer, handler.response_serializer)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._stream(handler.unary_stream, method), *codecs)
        return grpc.unary_unary_rpc_method_handler(self._unary(handler.unary_unary, method), *codecs)

    def _unary(self, call: Any, method: str) -> Any:
        seconds = self._metrics.seconds.labels(method)

        async def counted(request: Any, context: Any) -> Any:
            began = time.perf_counter()
            with self._counting(method, context):
                try:
                    return await call(request, context)
                finally:
                    seconds.observe(time.perf_counter() - began)

        return counted

    def _stream(self, call: Any, method: str) -> Any:
        async def counted(request: Any, context: Any) -> AsyncIterator[Any]:
            with self._counting(method, context):
                async for response in call(request, context):
                    yield response

        return counted

    def _counting(self, method: str, context: Any) -> _Counting:
        return _Counting(self._metrics, method, context)


class _Counting:
    """One call, from its start to its end."""

    __slots__ = ("_context", "_method", "_metrics")

    def __init__(self, metrics: Metrics, method: str, context: Any) -> None:
        self._metrics, self._method, self._context = metrics, method, context

    def __enter__(self) -> None:
        self._metrics.in_flight.inc()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._metrics.in_flight.dec()
        if kind is None:
            code = grpc.StatusCode.OK
        else:
            # grpc.aio tells the number that `abort` was given; there is none where the client has gone.
            code = CODES.get(self._context.code(), grpc.StatusCode.CANCELLED)
        self._metrics.calls.labels(self._method, code.name).inc()


class _State(Collector):
    """What the service and its store have in memory anyway."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        studies = GaugeMetricFamily("wazir_studies", "Studies that have not ended, by state.", labels=["state"])
        trials = GaugeMetricFamily("wazir_trials", "Trials of those studies, by state.", labels=["state"])
        by_study = dict.fromkeys((StudyState.ACTIVE, StudyState.PAUSED), 0)
        by_trial = dict.fromkeys(TrialState, 0)
        # A copy made in one step: this runs on the thread of whoever asks.
        for study in list(self._service.open_studies.values()):
            by_study[study.state] = by_study.get(study.state, 0) + 1
            for state, number in study.counts.by_state.items():
                by_trial[state] += number
        for study_state, number in by_study.items():
            studies.add_metric([study_state.value], number)
        for state, number in by_trial.items():
            trials.add_metric([state.value], number)
        yield studies
        yield trials
        yield GaugeMetricFamily("wazir_leases", "Attempts that live by heartbeats.", self._service.leases)
        yield GaugeMetricFamily("wazir_waiting_askers", "Callers waiting for suggestions.", self._service.waiting)
        ages = GaugeMetricFamily(
            "wazir_pulse_age_seconds",
            "Seconds since each loop that must not die turned; 0 while it waits for work.",
            labels=["pulse"],
        )
        for pulse in self._service.pulses:
            ages.add_metric([pulse.name], pulse.age)
        yield ages
        if (backups := self._service.backups) is not None:
            yield CounterMetricFamily("wazir_backup_failures", "Scheduled backups that failed.", backups.failures)
            if backups.last is not None:
                age = time.time() - backups.last
                yield GaugeMetricFamily("wazir_backup_age_seconds", "Since the newest backup was begun.", age)
        store = self._service.store
        if isinstance(store, GroupStore):
            yield CounterMetricFamily("wazir_commits", "Commits of the database.", store.commits)
            yield CounterMetricFamily("wazir_units", "Units of work in them.", store.units)
            yield CounterMetricFamily("wazir_commit_seconds", "Time spent on them.", store.commit_seconds)
