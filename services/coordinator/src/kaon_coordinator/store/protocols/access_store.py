"""Tenants and static tokens: who may call."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from kaon_coordinator.store.records import TenantRecord, TokenPage, TokenRecord


class AccessStore(Protocol):
    """Tenants and static tokens: who may call."""

    @abstractmethod
    def put_tenant(self, tenant: TenantRecord) -> TenantRecord:
        """Store a tenant or change the one of its name, which keeps when and by whom it was made."""

    @abstractmethod
    def find_tenant(self, name: str) -> TenantRecord | None:
        """Return a tenant, also a disabled one; None when there is none."""

    @abstractmethod
    def list_tenants(self, after: str = "", limit: int = 100) -> Sequence[TenantRecord]:
        """Return at most `limit` tenants whose names come after one, by name."""

    @abstractmethod
    def unknown_tenants(self) -> Sequence[str]:
        """Return the names under which workflows are registered, and of which there is no tenant, in order."""

    @abstractmethod
    def add_token(self, token: TokenRecord) -> None:
        """Store a new token.

        Raises:
            Conflict: There is a token of this id.
        """

    @abstractmethod
    def find_token(self, token_id: str) -> TokenRecord | None:
        """Return a token, also one that has expired or was revoked; None when there is none."""

    @abstractmethod
    def list_tokens(self, tenant: str, page_size: int = 100, page_token: str = "") -> TokenPage:
        """Return some of a tenant's tokens, newest first.

        Raises:
            InvalidValue: The page token is none of such a list.
        """

    @abstractmethod
    def revoke_token(self, tenant: str, token_id: str, now_us: int) -> TokenRecord:
        """End a token and return it. The first time of its end stays.

        Raises:
            NotFound: The tenant has no such token.
        """
