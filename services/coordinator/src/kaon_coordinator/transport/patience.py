"""Makes aiokafka wait while the broker cannot write.

A broker whose disk is full answers commits, joins and syncs with UNKNOWN_SERVER_ERROR until it ends. aiokafka takes this
code for fatal, and Faust then ends the consumer. The broker's next life serves the same requests, so they are made again.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka.errors import GroupCoordinatorNotAvailableError, UnknownError

from kaon_coordinator.transport.broker_watch import BrokerWatch

_PAUSE_SECONDS = 0.25


def retry_unknown_errors() -> None:
    """Let the clients of this process ask again what the broker failed to serve for an unknown reason."""
    UnknownError.retriable = True


def retry_group_requests(consumer: Any, watch: BrokerWatch) -> None:
    """Turn unknown errors of a group's coordinator into its absence, which aiokafka waits for.

    Args:
        consumer: The started consumer of aiokafka.
        watch: Is told what the broker does not serve.
    """
    group = consumer._coordinator
    send = group._send_req

    async def sent(request: Any) -> Any:
        what = f"served its group ({type(request).__name__})"
        response = await send(request)
        if UnknownError.errno in _codes(response):
            watch.refused(what)
            await asyncio.sleep(_PAUSE_SECONDS)
            raise GroupCoordinatorNotAvailableError(
                f"the broker could not serve a {type(request).__name__}"
            )
        watch.served(what)
        return response

    group._send_req = sent


def _codes(response: Any) -> set[int]:
    """Return the error codes in a group coordinator's response: one of the request, or one for each partition."""
    partitions = [entry for _, entries in getattr(response, "topics", ()) for entry in entries]
    return {getattr(response, "error_code", 0), *(entry[-1] for entry in partitions)}
