"""A service without the database finds what the coordinator's store keeps."""

from __future__ import annotations

from dataclasses import replace

import grpc
import pytest

from kaon_coordinator.access.token_sources import static_token
from kaon_service.access import remote
from kaon_service.access.remote import RemoteAccess
from kaon_wire.errors import Unavailable

from ..api.conftest import Api, api
from ..store.test_access_store import TENANT, TOKEN

__all__ = ["api"]


async def test_tokens_are_found_as_the_store_has_them(api: Api) -> None:
    shown: list[int] = []

    def metadata() -> list[tuple[str, str]]:
        shown.append(1)
        return [("kaon-principal", "publisher")]

    access = RemoteAccess(api.channel, metadata)
    assert await access.find("t1") is None
    for token in (
        TOKEN,
        replace(TOKEN, token_id="t2", expire_us=9, kind="runner", pool="gpu", roles=()),
        replace(TOKEN, token_id="t3", revoke_us=8),
    ):
        api.store.add_token(token)
        assert await access.find(token.token_id) == static_token(token)
    # Signatures of services are short-lived: each call shows one of its own.
    assert len(shown) == 4


async def test_tenants_are_known_for_some_seconds(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = RemoteAccess(api.channel, tuple)
    monkeypatch.setattr(remote, "TENANT_SECONDS", 0)
    access = RemoteAccess(api.channel, tuple)
    assert not await access.is_enabled("blue")
    api.store.put_tenant(TENANT)
    assert await access.is_enabled("blue")
    assert await patient.is_enabled("blue")
    api.store.put_tenant(replace(TENANT, enabled=False))
    assert not await access.is_enabled("blue")
    assert await patient.is_enabled("blue")


async def test_artifacts_are_asked_for_by_tenant(api: Api) -> None:
    access = RemoteAccess(api.channel, tuple)
    had, other = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
    api.store.grant("blue", {"a" * 64: 1})
    assert await access.missing_artifacts("blue", [had, other]) == [other]
    # More than a coordinator takes at once.
    many = [f"sha256:{number:064x}" for number in range(1_500)]
    assert await access.missing_artifacts("blue", [had, *many]) == many
    assert await access.missing_artifacts("green", [had]) == [had]
    assert await access.missing_artifacts("green", ["no digest"]) == ["no digest"]


async def test_without_a_coordinator_nobody_is_let_in() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:9") as channel:
        access = RemoteAccess(channel, tuple)
        for asking in (
            access.find("t1"),
            access.is_enabled("blue"),
            access.missing_artifacts("blue", ["x"]),
        ):
            with pytest.raises(Unavailable, match="does not tell who calls"):
                await asking
