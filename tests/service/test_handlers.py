"""Every call that generated code adds is there, each behind all interceptors in their order."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from wazir.proto.v1 import study_service_pb2, study_service_pb2_grpc
from wazir.service.handlers import Handlers


class Marking(grpc.aio.ServerInterceptor):
    """Notes that a call went through it."""

    def __init__(self, mark: str, passed: list[tuple[str, str]]) -> None:
        self._mark = mark
        self._passed = passed

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method

        async def marked(request: Any, context: Any) -> Any:
            self._passed.append((self._mark, method))
            return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(marked)


def study_service() -> Handlers:
    handlers: Any = Handlers()

    class Servicer(study_service_pb2_grpc.StudyServiceServicer):
        async def GetStudy(self, request: Any, context: Any) -> Any:
            return request

    servicer: Any = Servicer  # the stubs call it abstract; at run time the other methods answer UNIMPLEMENTED
    study_service_pb2_grpc.add_StudyServiceServicer_to_server(servicer(), handlers)
    found: Handlers = handlers
    return found


def call(method: str) -> Any:
    return SimpleNamespace(method=method, invocation_metadata=())


def test_every_call_of_a_service_is_there() -> None:
    handlers = study_service()
    service = study_service_pb2.DESCRIPTOR.services_by_name["StudyService"]
    for method in service.methods:
        assert handlers.service(call(f"/{service.full_name}/{method.name}")) is not None, method.name


def test_several_services_go_side_by_side() -> None:
    handlers: Any = study_service()
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), handlers)
    assert handlers.service(call("/grpc.health.v1.Health/Check")) is not None
    assert handlers.service(call("/wazir.v1.StudyService/GetStudy")) is not None


def test_a_call_that_is_not_there_has_no_handler() -> None:
    assert study_service().service(call("/wazir.v1.StudyService/GetStudies")) is None


def test_a_call_goes_through_the_interceptors_from_the_first_to_the_last() -> None:
    passed: list[tuple[str, str]] = []
    method = "/wazir.v1.StudyService/GetStudy"

    async def main() -> object:
        handlers = study_service()
        await handlers.intercept([Marking("first", passed), Marking("last", passed)])
        handler: Any = handlers.service(call(method))
        return await handler.unary_unary("request", None)

    assert asyncio.run(main()) == "request"
    assert passed == [("first", method), ("last", method)]
