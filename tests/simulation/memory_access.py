"""Tenants and static tokens of the store in memory."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from kaon_coordinator.store.base import TenantRecord, TokenPage, TokenRecord
from kaon_service import page_tokens
from kaon_wire.errors import Conflict, NotFound


class MemoryAccess:
    """Tenants and tokens in dictionaries."""

    def __init__(self) -> None:
        self._tenants: dict[str, TenantRecord] = {}
        self._tokens: dict[str, TokenRecord] = {}

    def put_tenant(self, tenant: TenantRecord) -> TenantRecord:
        """Stores or changes one."""
        made = self._tenants.get(tenant.name, tenant)
        kept = replace(tenant, create_us=made.create_us, created_by=made.created_by)
        self._tenants[tenant.name] = kept
        return kept

    def find_tenant(self, name: str) -> TenantRecord | None:
        """One by its name."""
        return self._tenants.get(name)

    def list_tenants(self, after: str, limit: int) -> list[TenantRecord]:
        """By name."""
        return [self._tenants[name] for name in sorted(self._tenants) if name > after][:limit]

    def unknown(self, names: Collection[str]) -> list[str]:
        """Those names of which there is no tenant."""
        return sorted(set(names) - set(self._tenants))

    def add_token(self, token: TokenRecord) -> None:
        """Stores a new one."""
        if token.token_id in self._tokens:
            raise Conflict(f"there is a token {token.token_id!r}")
        self._tokens[token.token_id] = token

    def find_token(self, token_id: str) -> TokenRecord | None:
        """One by its id."""
        return self._tokens.get(token_id)

    def list_tokens(self, tenant: str, page_size: int, page_token: str) -> TokenPage:
        """Newest first."""
        found = [each for each in self._tokens.values() if each.tenant == tenant]
        found.sort(key=lambda each: (each.create_us, each.token_id), reverse=True)
        if page_token:
            place = page_tokens.place(page_token)
            found = [each for each in found if (each.create_us, each.token_id) < place]
        page = found[:page_size]
        more = len(found) > page_size
        return TokenPage(
            tokens=page,
            next_page_token=page_tokens.made(page[-1].create_us, page[-1].token_id) if more else "",
        )

    def revoke_token(self, tenant: str, token_id: str, now_us: int) -> TokenRecord:
        """Ends one."""
        token = self._tokens.get(token_id)
        if token is None or token.tenant != tenant:
            raise NotFound(f"there is no token {token_id!r}")
        self._tokens[token_id] = replace(token, revoke_us=token.revoke_us or now_us)
        return self._tokens[token_id]
