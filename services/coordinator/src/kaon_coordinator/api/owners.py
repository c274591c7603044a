"""Calls to other coordinators: a pool's matcher runs in the process of the pool's owner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

from grpc import aio

from kaon_coordinator.shell.pool_link import PoolOwner
from kaon_coordinator.store.protocols.pool_store import PoolStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service import principal
from kaon_service.access.calling import Calling
from kaonapi.runner.v1 import runner_pb2, runner_pb2_grpc

Response = TypeVar("Response")
Stub: TypeAlias = "runner_pb2_grpc.RunnerServiceAsyncStub"
Metadata: TypeAlias = aio.Metadata

# Time-out of a call, in seconds.
TIMEOUT = 3.0


class Unreachable(Exception):
    """The owner does not answer; the text gives the reason."""


async def owner_of(store: StoreCalls[PoolStore], pool: str) -> PoolOwner:
    """Return the owner of a pool; its name is empty when the pool never had one."""
    return PoolOwner.parse(await store.read(store.store.pool_owner, pool))


async def ask(
    owner: PoolOwner, calling: Calling, call: Callable[[Stub, Metadata], Awaitable[Response]]
) -> Response:
    """Call another coordinator on behalf of this call's principal.

    Raises:
        Unreachable: The coordinator does not answer.
    """
    if not owner.name:
        raise Unreachable("no coordinator has owned it yet")
    if not owner.address:
        raise Unreachable("the address of its owner is unknown")
    shown = aio.Metadata(*calling.metadata_for(principal.current()))
    async with calling.channels.open_async(owner.address) as channel:
        try:
            return await call(runner_pb2_grpc.RunnerServiceStub(channel), shown)
        except aio.AioRpcError as error:
            raise Unreachable(f"{error.code().name.lower()}: {error.details()}") from error


def unreachable(pool: str, owner: PoolOwner, problem: str) -> runner_pb2.UnreachablePool:
    """Convert to a protocol message."""
    return runner_pb2.UnreachablePool(
        pool=pool, owner=owner.name, address=owner.address, problem=problem
    )
