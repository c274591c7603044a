"""What tests of the shell share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .world import Member, World


@pytest.fixture
async def member(world: World) -> AsyncIterator[Member]:
    member = Member(world, "first")
    await member.start()
    yield member
    await member.stop()
