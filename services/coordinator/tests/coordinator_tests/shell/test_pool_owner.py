"""Who owns a pool, and where it is reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaon_coordinator.settings import Settings, advertised
from kaon_coordinator.shell.pool_link import PoolOwner

from .world import Member, World


async def test_the_row_of_a_pool_names_its_owner_and_the_address_of_its_api(tmp_path: Path) -> None:
    world = World(tmp_path)
    member = Member(world, "first")
    member.coordinator.told_at("host-1:7070")
    await member.start()
    try:
        await world.until(lambda: member.coordinator.pools.owned() == ["default"])
        row = member.store.store.pool_owner("default")
    finally:
        await member.stop()

    assert PoolOwner.parse(row) == PoolOwner(name="first", address="host-1:7070")


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        (Settings(address="127.0.0.1:0"), "127.0.0.1:4711"),
        (Settings(address="10.0.0.7:7070"), "10.0.0.7:4711"),
        (
            Settings(address="0.0.0.0:0", advertised_address="coordinator-1:7070"),
            "coordinator-1:7070",
        ),
    ],
)
def test_an_address_is_told_that_others_can_call(settings: Settings, address: str) -> None:
    assert advertised(settings, 4711) == address


def test_a_wildcard_is_no_address_to_call() -> None:
    assert not advertised(Settings(address="0.0.0.0:7070"), 7070).startswith("0.0.0.0")
