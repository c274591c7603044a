"""Health checks that answer with NotReady until what they look at does its work."""

import ssl
import urllib.error
import urllib.request
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from kaon_local.errors import NotReady
from kaon_local.ports import listening
from kaon_wire.channels import ChannelSecurity

_SECONDS = 2.0


def grpc_ready(address: str) -> None:
    """A gRPC server accepts connections at host:port."""
    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_SECONDS)
        except grpc.FutureTimeoutError as error:
            raise NotReady(f"no gRPC server answers at {address}") from error


def grpc_serving(address: str, service: str = "", ca: Path | None = None) -> None:
    """The gRPC health service at host:port says SERVING for `service` ("" = the whole server).

    With `ca` it listens with TLS, and its certificate is checked.
    """
    with ChannelSecurity(tls=ca is not None, ca=ca).open(address) as channel:
        try:
            request = health_pb2.HealthCheckRequest(service=service)
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=_SECONDS)
        except grpc.RpcError as error:
            raise NotReady(f"the health service at {address} does not answer: {error}") from error
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        raise NotReady(f"{address} says {name}")


def http_ok(url: str, ca: Path | None = None) -> None:
    """The URL answers with a status below 400; with `ca`, its certificate is checked against that."""
    context = ssl.create_default_context(cafile=ca) if ca is not None else None
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS, context=context):
            return
    except urllib.error.HTTPError as error:
        raise NotReady(f"{url} answers {error.code}") from error


def listens(port: int) -> None:
    """Something accepts connections at this port of 127.0.0.1."""
    if not listening(port):
        raise NotReady(f"nothing listens at port {port}")


def exists(path: Path) -> None:
    """The file is there: for processes that serve nothing and write a file when they are ready."""
    if not path.exists():
        raise NotReady(f"{path} does not exist yet")
