"""The view as a server of its own, or as a part of another one."""

from __future__ import annotations

from typing import Any

import grpc
from prometheus_client import Histogram

from kaon_coordinator.api.calls import call_rules
from kaon_coordinator.view.hub import Hub
from kaon_coordinator.view.parts import ViewParts
from kaon_coordinator.view.service import ViewServicer
from kaon_service.access.guard import Guard
from kaon_service.server import GrpcServer
from kaonapi.view.v1 import view_service_pb2, view_service_pb2_grpc, watch_pb2

SERVICE = view_service_pb2.DESCRIPTOR.services_by_name["ViewService"].full_name


class View:
    """The view service of one process: add it to a server, let `run` work, and close it when the server has stopped."""

    def __init__(self, parts: ViewParts) -> None:
        self._parts = parts
        self._hub = Hub(parts)

    def add_to(self, server: Any) -> None:
        """Serve the methods."""
        servicer = ViewServicer(self._parts, self._hub)
        view_service_pb2_grpc.add_ViewServiceServicer_to_server(servicer, server)
        # In place of the generated handler, which would encode each response for each watcher.
        watch: Any = grpc.unary_stream_rpc_method_handler(
            servicer.Watch, request_deserializer=watch_pb2.WatchRequest.FromString
        )
        server.add_registered_method_handlers(SERVICE, {"Watch": watch})

    @property
    def watches(self) -> int:
        """How many watch."""
        return self._hub.watches

    async def run(self) -> None:
        """Listen for what changes, until cancelled."""
        await self._hub.run()

    async def close(self) -> None:
        """Lets go of threads and database."""
        await self._parts.threads.close()
        self._parts.reads.close()


class ViewServer(GrpcServer):
    """Serves the view alone. Health is NOT_SERVING, and `ready` False, until `serving` says otherwise."""

    def __init__(self, view: View, guard: Guard, call_seconds: Histogram | None = None) -> None:
        super().__init__(
            [SERVICE], call_rules(guard, call_seconds), [("grpc.max_send_message_length", -1)]
        )
        view.add_to(self.grpc)
