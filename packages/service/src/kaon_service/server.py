"""A gRPC server: services of Kaon, health and reflection on one address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_health.v1.health import aio as health  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]

from kaon_service.interceptors import CallInterceptor, CallRules
from kaon_wire.errors import Unavailable

# Calls of all clients together, watches among them; one more is refused as RESOURCE_EXHAUSTED.
_MOST_CALLS = 4_096
# A client that went without a word is noticed within some minutes, and its streams end.
_LIFE_SIGNS = (("grpc.keepalive_time_ms", 120_000), ("grpc.keepalive_timeout_ms", 20_000))


class GrpcServer:
    """Serves the servicers that are added to `grpc`.

    Health is NOT_SERVING, and `ready` False, until `serving` changes it.

    Args:
        services: The full names of the added services.
        rules: The rules of every call.
        options: The options of gRPC, beside those of every service.
    """

    def __init__(
        self, services: Sequence[str], rules: CallRules, options: Sequence[tuple[str, Any]] = ()
    ) -> None:
        self.ready = False
        self._credentials = rules.guard.credentials
        self._services = tuple(services)
        self._health = health.HealthServicer()
        # Another process on the same port would take half of the calls.
        everywhere = ("grpc.so_reuseport", 0)
        self.grpc = aio.server(
            interceptors=[CallInterceptor(rules)],
            options=[everywhere, *_LIFE_SIGNS, *options],
            maximum_concurrent_rpcs=_MOST_CALLS,
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        names = (*self._services, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
        reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), self.grpc)

    async def start(self, address: str) -> int:
        """Listen at `host:port` and return the port, which the system chooses when it is 0.

        Raises:
            Unavailable: The address is not available.
        """
        try:
            if self._credentials is None:
                port = self.grpc.add_insecure_port(address)
            else:
                port = self.grpc.add_secure_port(address, self._credentials)
        except RuntimeError as error:
            raise Unavailable(f"cannot listen on {address}: {error}") from error
        await self.serving(ready=False)
        await self.grpc.start()
        return port

    async def serving(self, *, ready: bool) -> None:
        """Set the health status."""
        self.ready = ready
        status = (
            health_pb2.HealthCheckResponse.SERVING
            if ready
            else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for service in ("", *self._services):
            await self._health.set(service, status)

    async def stop(self, grace: float) -> None:
        """Accept no new calls, and end those that still run after `grace` seconds."""
        await self._health.enter_graceful_shutdown()
        await self.grpc.stop(grace)
