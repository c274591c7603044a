"""Which commands the coordinator would refuse to somebody: the page does not offer what it knows to be refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from grpc import aio

from kaon_console.backends import Backends
from kaon_console.connect.errors import CallFailed
from kaon_console.methods import METHODS, Access
from kaon_console.tickets import Grant
from kaon_service.access.table import TABLE
from kaon_service.principal import Principal
from kaon_service.roles import Role
from kaonapi.access.v1 import access_service_pb2 as a
from kaonapi.access.v1 import access_service_pb2_grpc

log = structlog.get_logger(__name__)

# The page shows itself after that long also when the coordinator is silent.
_SECONDS = 2.0

# By the name of a command, such as "CancelRun": the role that it needs.
NEEDS: Mapping[str, Role] = {
    name.rpartition("/")[2]: role
    for name, method in METHODS.items()
    if method.access is Access.COMMAND and (role := TABLE[f"/{name}"].role) is not None
}


def refused(caller: Principal) -> dict[str, str]:
    """Return the commands that a caller may not give, each with the role that it lacks."""
    return {name: str(role) for name, role in NEEDS.items() if not caller.holds(role)}


class Refusals:
    """Asks the coordinator for whom it takes a session.

    Args:
        backends: Leads to the coordinator.
    """

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    async def of(self, grant: Grant) -> Mapping[str, str]:
        """Return the commands that the coordinator would refuse in a session, each with the role that is lacking.

        Returns nothing while the coordinator does not say who it is: then it decides when a command comes.
        """
        _, channel = self._backends.coordinator
        stub: Any = access_service_pb2_grpc.AccessServiceStub(channel)
        try:
            shown = await self._backends.metadata_for(grant)
            answer = await stub.WhoAmI(a.WhoAmIRequest(), metadata=shown, timeout=_SECONDS)
        except aio.AioRpcError as error:
            log.info("roles of a session are not known", code=error.code().name.lower())
            return {}
        except CallFailed as failure:
            log.info("roles of a session are not known", code=failure.code.text)
            return {}
        caller = answer.caller
        return refused(
            Principal(roles=frozenset(caller.roles), authentication=caller.authentication)
        )
