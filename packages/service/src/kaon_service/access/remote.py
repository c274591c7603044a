"""Tokens and tenants for services without the coordinator's database: they ask a coordinator."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias

import grpc
from grpc import aio

from kaon_service.access.credentials import StaticToken
from kaon_service.access.remembered import Remembered
from kaon_service.roles import Kind
from kaon_wire.errors import Unavailable
from kaonapi.access.v1 import access_service_pb2 as a
from kaonapi.access.v1 import access_service_pb2_grpc

Metadata: TypeAlias = Sequence[tuple[str, str]]

_SECONDS = 5.0
# A coordinator takes so many in one question.
_DIGESTS_AT_ONCE = 1_000
# For so long calls pass after their tenant was disabled.
TENANT_SECONDS = 5.0


class RemoteAccess:
    """Finds tokens and tenants by asking a coordinator: a `TokenSource` and a `TenantSource`.

    Args:
        channel: Leads to a coordinator. It belongs to the caller.
        metadata: Returns what a call of this service for itself shows.
    """

    def __init__(self, channel: aio.Channel, metadata: Callable[[], Metadata]) -> None:
        stub: Any = access_service_pb2_grpc.AccessServiceStub(channel)
        self._stub = stub
        self._metadata = metadata
        self._tenants = Remembered(self._is_enabled, TENANT_SECONDS)

    async def find(self, token_id: str) -> StaticToken | None:
        """Return a token, also one that has expired or was revoked; None when there is none of this id.

        Raises:
            Unavailable: The coordinator does not answer, or does not accept this service.
        """
        request = a.ResolveTokenRequest(token_id=token_id)
        answer = await self._call(self._stub.ResolveToken, request)
        return None if answer is None else static_token(answer.token)

    async def is_enabled(self, name: str) -> bool:
        """Return whether a tenant exists and is not disabled.

        Raises:
            Unavailable: The coordinator does not answer, or does not accept this service.
        """
        return await self._tenants.get(name)

    async def missing_artifacts(self, tenant: str, digests: Collection[str]) -> list[str]:
        """Return those of the digests, "sha256:...", of which a tenant does not have the artifacts.

        Raises:
            Unavailable: The coordinator does not answer, or does not accept this service.
        """
        wanted = sorted(digests)
        missing: list[str] = []
        for first in range(0, len(wanted), _DIGESTS_AT_ONCE):
            part = wanted[first : first + _DIGESTS_AT_ONCE]
            request = a.ResolveArtifactsRequest(tenant=tenant, digests=part)
            answer = await self._call(self._stub.ResolveArtifacts, request)
            missing += part if answer is None else list(answer.missing)
        return missing

    async def _is_enabled(self, name: str) -> bool:
        answer = await self._call(self._stub.ResolveTenant, a.ResolveTenantRequest(name=name))
        return answer is not None and bool(answer.tenant.enabled)

    async def _call(self, method: Any, request: Any) -> Any:
        """Return an answer; None when there is no such thing.

        Raises:
            Unavailable: There is no answer.
        """
        try:
            return await method(request, metadata=tuple(self._metadata()), timeout=_SECONDS)
        except aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise Unavailable(
                f"the coordinator does not tell who calls ({error.code().name}): {error.details()}"
            ) from error


def static_token(told: a.Token) -> StaticToken:
    """Return a token as authentication knows it, of what a coordinator tells services."""
    caller = told.caller
    return StaticToken(
        token_id=told.token_id,
        digest=told.digest,
        tenant=caller.tenant,
        name=caller.name,
        roles=frozenset(caller.roles),
        kind=Kind(caller.kind),
        pool=caller.pool,
        expires_us=told.expire_time.ToMicroseconds() if told.HasField("expire_time") else None,
        revoked=told.HasField("revoke_time"),
    )
