"""The client's side of who may call: the caller, tokens and tenants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import grpc

from kaon.client.calling import Caller
from kaon.client.channel import Endpoints, connect
from kaon.client.errors import translated
from kaon_wire import bounds
from kaonapi.access.v1 import access_service_pb2 as a
from kaonapi.access.v1 import access_service_pb2_grpc

_SECONDS = 10


class Access:
    """`Client.access` is one. Errors are those of `Client`."""

    def __init__(self, caller: Caller, channel: grpc.Channel) -> None:
        self._caller = caller
        self._stub = access_service_pb2_grpc.AccessServiceStub(channel)

    def whoami(self) -> a.Caller:
        """Return the caller as the server sees it."""
        return self._caller.call(self._stub.WhoAmI, a.WhoAmIRequest()).caller

    def create_token(
        self,
        name: str,
        roles: Iterable[str] = (),
        *,
        kind: str = "person",
        pool: str = "",
        expires: datetime | None = None,
    ) -> a.CreateTokenResponse:
        """Make a token in the caller's tenant. Its secret is in the answer, and nowhere else.

        Args:
            name: Whom it stands for.
            roles: At most those of the caller.
            kind: "person", "runner" or "consumer".
            pool: That of a runner.
            expires: When it ends; None means never.
        """
        caller = bounds.made(a.Caller, name=name, roles=list(roles), pool=pool)
        caller.kind = kind
        request = a.CreateTokenRequest(caller=caller)
        if expires is not None:
            request.expire_time.FromDatetime(expires.astimezone(UTC))
        return self._caller.once(self._stub.CreateToken, request)

    def tokens(self) -> Iterator[a.Token]:
        """Yield the tenant's tokens, newest first."""
        for page in self._caller.pages(self._stub.ListTokens, a.ListTokensRequest()):
            yield from page.tokens

    def revoke_token(self, token_id: str) -> a.Token:
        """End a token."""
        request = a.RevokeTokenRequest(token_id=token_id)
        return self._caller.call(self._stub.RevokeToken, request).token

    def put_tenant(self, tenant: a.Tenant) -> a.Tenant:
        """Make a tenant, or change its settings."""
        return self._caller.call(self._stub.PutTenant, a.PutTenantRequest(tenant=tenant)).tenant

    def tenants(self) -> Iterator[a.Tenant]:
        """Yield the tenants by name: all for a platform administrator, for others their own."""
        for page in self._caller.pages(self._stub.ListTenants, a.ListTenantsRequest()):
            yield from page.tenants

    def tenant(self, name: str) -> a.Tenant | None:
        """Return a tenant by its name; None when the caller sees none."""
        return next((each for each in self.tenants() if each.name == name), None)


def whoami(server: str, token: str) -> a.Caller:
    """Return whom a server sees in a token.

    Raises:
        AccessDenied: It does not accept it.
        InvalidValue: The token would go there over a line that nothing encrypts.
        KaonError: It does not answer.
    """
    security = Endpoints.from_environment().security
    security.check_token(server)
    with connect(server, security) as channel, translated(server):
        stub = access_service_pb2_grpc.AccessServiceStub(channel)
        shown = (("authorization", f"Bearer {token}"),)
        answer: a.WhoAmIResponse = stub.WhoAmI(
            a.WhoAmIRequest(), metadata=shown, timeout=_SECONDS, wait_for_ready=True
        )
        return answer.caller
