"""Where services that have the coordinator's database find tokens and tenants."""

from __future__ import annotations

from kaon_coordinator.engine.rows.row_views import timestamp
from kaon_coordinator.store.protocols.access_store import AccessStore
from kaon_coordinator.store.records import TokenRecord
from kaon_coordinator.store.store_calls import Reading
from kaon_service.access.credentials import StaticToken
from kaon_service.access.remembered import Remembered
from kaon_service.roles import Kind
from kaonapi.access.v1 import access_service_pb2 as a

# Seconds for which an answer about a tenant counts: so long calls still pass after it was disabled.
TENANT_SECONDS = 5.0


class StoreTokens:
    """Finds tokens in the store: a `TokenSource`."""

    def __init__(self, store: AccessStore, threads: Reading) -> None:
        self._store = store
        self._threads = threads

    async def find(self, token_id: str) -> StaticToken | None:
        """Return a token, also one that has expired or was revoked; None when there is none of this id."""
        record = await self._threads.read(self._store.find_token, token_id)
        return None if record is None else static_token(record)


class StoreTenants:
    """Finds tenants in the store: a `TenantSource`."""

    def __init__(self, store: AccessStore, threads: Reading) -> None:
        self._store = store
        self._threads = threads
        self._known = Remembered(self._ask, TENANT_SECONDS)

    async def is_enabled(self, name: str) -> bool:
        """Return whether a tenant exists and is not disabled."""
        return await self._known.get(name)

    async def _ask(self, name: str) -> bool:
        record = await self._threads.read(self._store.find_tenant, name)
        return record is not None and record.enabled


def static_token(record: TokenRecord) -> StaticToken:
    """Return a token as authentication knows it; services without the database make the same of `token_message`."""
    return StaticToken(
        token_id=record.token_id,
        digest=record.digest,
        tenant=record.tenant,
        name=record.name,
        roles=frozenset(record.roles),
        kind=Kind(record.kind),
        pool=record.pool,
        expires_us=record.expire_us or None,
        revoked=record.revoke_us > 0,
    )


def token_message(record: TokenRecord, digest: str = "") -> a.Token:
    """Return a token as the API tells of it; its digest is for services alone."""
    return a.Token(
        token_id=record.token_id,
        caller=a.Caller(
            tenant=record.tenant,
            name=record.name,
            roles=record.roles,
            kind=record.kind,
            pool=record.pool,
            authentication="token",
        ),
        created_by=record.created_by,
        create_time=timestamp(record.create_us),
        expire_time=timestamp(record.expire_us),
        revoke_time=timestamp(record.revoke_us),
        digest=digest,
    )
