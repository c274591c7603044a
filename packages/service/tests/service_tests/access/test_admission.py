"""Who may call what: the table, roles, kinds of callers and tenants, without a server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kaon_service.access.admission import OPEN, Admission
from kaon_service.access.credentials import Credentials, Forbidden
from kaon_service.access.table import TABLE
from kaon_service.principal import Principal
from kaon_service.roles import Kind, Role, included
from kaon_wire.errors import InvalidValue
from kaon_wire.lease_tokens import LeaseClaim, LeaseKeys, show

ANN = Principal(tenant="shop", name="ann", roles=included([Role.OPERATOR]), authentication="token")
LIST_RUNS = "/kaonapi.run.v1.RunService/ListRuns"
PUT_TENANT = "/kaonapi.access.v1.AccessService/PutTenant"
WATCH_MODELS = "/kaonapi.model.v1.ModelService/WatchModels"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

LEASE_KEYS = LeaseKeys((b"l" * 32,))
CLAIM = LeaseClaim(
    tenant="bank", run_id="r1", path="publish", attempt=1, generation=1, incarnation="i"
)
LEASE = show(CLAIM, LEASE_KEYS.sign(CLAIM))
PUBLISH = "/kaonapi.model.v1.ModelService/PublishModel"
RUNNER = Principal(tenant="shop", name="gpu", kind=Kind.RUNNER, pool="gpu", authentication="token")


class Tenants:
    """Tenants that an administrator has made."""

    async def is_enabled(self, name: str) -> bool:
        """Return whether it is there."""
        return name in {"shop", "bank"}


async def admit(caller: Principal, method: str, **metadata: str) -> Principal:
    """The caller of a method in a system that knows its tenants."""

    async def authenticate(_credentials: Credentials) -> Principal:
        return caller

    shown = Credentials(metadata={key.replace("_", "-"): value for key, value in metadata.items()})
    admission = Admission(authenticate=authenticate, tenants=Tenants(), leases=lambda: LEASE_KEYS)
    return await admission.admit(method, shown)


@pytest.mark.parametrize("method", TABLE)
@pytest.mark.parametrize("role", [None, *Role])
async def test_a_person_calls_what_the_role_includes_and_nothing_else(
    method: str, role: Role | None
) -> None:
    caller = replace(ANN, roles=included([role] if role else []))
    needed = TABLE[method].role
    if needed is None or needed in caller.roles:
        assert (await admit(caller, method)).name == "ann"
        return
    with pytest.raises(Forbidden, match=f"{method.rpartition('/')[-1]} needs role {needed}"):
        await admit(caller, method)


@pytest.mark.parametrize("method", TABLE)
@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.PERSON])
async def test_an_identity_of_a_service_calls_what_its_kind_is_for_whatever_its_roles(
    method: str, kind: Kind
) -> None:
    caller = replace(ANN, kind=kind, roles=included([Role.PLATFORM_ADMIN]))
    if kind in TABLE[method].kinds:
        assert (await admit(caller, method, kaon_lease=LEASE)).kind is kind
        return
    with pytest.raises(Forbidden):
        await admit(caller, method, kaon_lease=LEASE)


async def test_the_words_name_every_kind_that_may_call() -> None:
    with pytest.raises(Forbidden, match="WatchModels needs role viewer or a consumer identity"):
        await admit(replace(ANN, roles=frozenset()), WATCH_MODELS)


async def test_only_a_platform_administrator_names_another_tenant() -> None:
    assert (await admit(ANN, LIST_RUNS, kaon_tenant="shop")).tenant == "shop"
    for other in ("bank", "none-of-this-name"):
        with pytest.raises(Forbidden, match="needs role platform-admin"):
            await admit(ANN, LIST_RUNS, kaon_tenant=other)
    admin = replace(ANN, roles=included([Role.PLATFORM_ADMIN]))
    assert (await admit(admin, LIST_RUNS, kaon_tenant="bank")).tenant == "bank"
    with pytest.raises(InvalidValue, match="kaon-tenant"):
        await admit(admin, LIST_RUNS, kaon_tenant="No Tenant")


@pytest.mark.parametrize("kind", [Kind.CONSUMER, Kind.SERVICE])
async def test_no_identity_of_a_service_names_another_tenant(kind: Kind) -> None:
    caller = replace(ANN, kind=kind, roles=included([Role.PLATFORM_ADMIN]))
    with pytest.raises(Forbidden):
        await admit(caller, "/kaonapi.access.v1.AccessService/WhoAmI", kaon_tenant="bank")


async def test_a_runner_acts_for_the_run_whose_lease_it_shows_and_for_no_other() -> None:
    caller = await admit(RUNNER, PUBLISH, kaon_lease=LEASE, kaon_tenant="bank")
    assert (caller.tenant, caller.name, caller.run_id) == ("bank", "run/r1", "r1")
    with pytest.raises(Forbidden, match="names another tenant"):
        await admit(RUNNER, PUBLISH, kaon_lease=LEASE, kaon_tenant="shop")


FORGED = show(CLAIM, LeaseKeys((b"f" * 32,)).sign(CLAIM))
OTHERS = show(CLAIM._replace(tenant="shop"), LEASE_KEYS.sign(CLAIM))


@pytest.mark.parametrize("lease", ["", "garbage", FORGED, OTHERS])
async def test_a_runner_without_a_lease_of_this_system_publishes_nothing(lease: str) -> None:
    with pytest.raises(Forbidden, match="shows the lease"):
        await admit(RUNNER, PUBLISH, kaon_lease=lease)
    who = await admit(RUNNER, "/kaonapi.access.v1.AccessService/WhoAmI", kaon_lease=lease)
    assert who.name == "gpu"


async def test_a_tenant_that_nobody_has_made_does_not_call() -> None:
    with pytest.raises(Forbidden, match="tenant gone may not call"):
        await admit(replace(ANN, tenant="gone"), LIST_RUNS)


async def test_a_platform_administrator_makes_the_first_tenant_and_nothing_in_it_before() -> None:
    admin = replace(ANN, tenant="gone", roles=included([Role.PLATFORM_ADMIN]))
    assert (await admit(admin, PUT_TENANT)).tenant == "gone"
    with pytest.raises(Forbidden, match="tenant gone may not call"):
        await admit(admin, LIST_RUNS)


async def test_the_trace_of_a_call_is_kept_when_it_is_one() -> None:
    assert (await admit(ANN, LIST_RUNS, traceparent=TRACE)).trace_parent == TRACE
    assert not (await admit(ANN, LIST_RUNS, traceparent="00-nothing")).trace_parent


async def test_without_authentication_everybody_is_who_they_say_and_has_every_role() -> None:
    shown = Credentials(metadata={"kaon-tenant": "any", "kaon-principal": "bob"})
    caller = await OPEN.admit(PUT_TENANT, shown)
    assert (caller.tenant, caller.name, caller.authentication) == ("any", "bob", "off")
