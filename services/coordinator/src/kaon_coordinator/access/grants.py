"""Artifacts belong to tenants: knowing a digest gives nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kaon_coordinator.store.protocols.grant_store import GrantStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service.principal import Principal
from kaon_wire.artifact_references import digests, unpacked
from kaon_wire.errors import InvalidValue, NotFound


class Grants:
    """Checks what callers name.

    Without authentication everybody has everything: what a tenant names is granted to it, so that it still has it when the
    system is closed.
    """

    def __init__(self, store: StoreCalls[GrantStore]) -> None:
        self._threads = store

    async def check_values(self, caller: Principal, texts: Iterable[str]) -> None:
        """Check that the caller's tenant has the artifacts to which JSON texts refer.

        Raises:
            NotFound: It does not have one, whether or not there is such an artifact.
            InvalidValue: A text is not JSON, or refers to what coordinators alone make.
        """
        if found := named(texts):
            await self.check(caller, found)

    async def check(self, caller: Principal, found: set[str]) -> None:
        """Check that the caller's tenant has artifacts, given by the hex digits of their digests.

        Raises:
            NotFound: It does not have one, whether or not there is such an artifact.
        """
        if lacking := await self.lacking(caller, found):
            raise unknown(lacking)

    async def lacking(self, caller: Principal, found: set[str]) -> set[str]:
        """Return which of these artifacts the caller's tenant does not have. Without authentication it is given them."""
        missing = self._threads.store.missing_grants
        lacking = set(await self._threads.read(missing, caller.tenant, found))
        if lacking and caller.authentication == "off":
            await self.give(caller.tenant, dict.fromkeys(lacking, 0))
            return set()
        return lacking

    async def has(self, tenant: str, digest: str) -> bool:
        """Return whether a tenant has an artifact, by the hex digits of its digest."""
        missing = self._threads.store.missing_grants
        return not await self._threads.read(missing, tenant, {digest})

    async def give(self, tenant: str, sizes: Mapping[str, int]) -> None:
        """Grant artifacts to a tenant, with their bytes."""
        await self._threads.run(self._threads.store.grant, tenant, sizes)


def named(texts: Iterable[str]) -> set[str]:
    """Return the hex digits of the digests of the artifacts to which JSON texts of a caller refer.

    Raises:
        InvalidValue: A text is not JSON, or refers to what coordinators alone make.
    """
    texts = list(texts)
    if kind := unpacked(texts):
        raise InvalidValue(f"an artifact of type {kind!r} cannot be named: coordinators make them")
    return digests(texts)


def unknown(lacking: set[str]) -> NotFound:
    """Return the refusal of what names artifacts that its tenant does not have."""
    return NotFound(f"there is no artifact sha256:{min(lacking)}")
