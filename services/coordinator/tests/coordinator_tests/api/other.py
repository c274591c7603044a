"""A second coordinator's API over the same store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from kaon_coordinator.api.server import ApiServer

from .conftest import Api, Others


@asynccontextmanager
async def other_coordinator(api: Api, matchers: Others) -> AsyncIterator[str]:
    """Serves until left; gives its address."""
    server = ApiServer(replace(api.parts, matchers=matchers, owner="second"))
    yield f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    await server.stop(grace=0)
