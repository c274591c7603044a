"""Images that nobody needs go, all others stay."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaon_publisher.housekeeping import Housekeeping
from kaon_publisher.images import Base, Image, assemble, blob_of
from kaon_publisher.publishing import repository
from kaon_publisher.pushing import LayoutTarget
from kaon_publisher.serving import current_stack, retirable
from kaon_publisher.store.registry import ModelStore
from kaon_wire.errors import Conflict
from kaonapi.model.v1 import model_pb2

from .models import write_model

HOUR_US = 3_600_000_000


class World:
    """A registry of models whose images are directories, and a clock."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.now_us = HOUR_US
        self.store = ModelStore(f"sqlite:///{place}/models.db")
        self.target = LayoutTarget(place / "layouts")
        self.housekeeping = Housekeeping(
            store=self.store,
            target=self.target,
            pushing=threading.Lock(),
            keep=2,
            now_us=lambda: self.now_us,
        )

    def push(self, content: int) -> Image:
        directory = write_model(self.place / f"model-{content}", size=content)
        base = Base(layers=[blob_of(b"base")])
        image = assemble(model=directory, app=b"", base=base, labels={}, scratch=self.place)
        self.store.begin_push("t", "m", image.digest, self.now_us)
        self.target.push(image, repository("t", "m"))
        return image

    def publish(self, content: int) -> str:
        image = self.push(content)
        record = model_pb2.ModelVersion(model="m", tenant="t", image_digest=image.digest)
        self.store.announce(record, f"key-{self.now_us}", "p", self.now_us)
        self.now_us += 1
        return image.digest

    def images(self) -> set[str]:
        return {f"sha256:{path.name}" for path in (self.place / "layouts").glob("kaon/t/m/*")}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.store.close()


def test_an_image_that_was_pushed_and_never_announced_is_deleted_after_an_hour(
    world: World,
) -> None:
    announced = world.publish(1)
    abandoned = world.push(2).digest
    world.housekeeping.clean()
    assert world.images() == {announced, abandoned}, "its publication may still go on"
    world.now_us += 2 * HOUR_US
    world.housekeeping.clean()
    assert world.images() == {announced}
    assert world.publish(2) == abandoned, "it can be published again"
    assert world.images() == {announced, abandoned}


def test_an_abandoned_image_that_a_version_has_stays(world: World) -> None:
    digest = world.publish(1)
    world.push(1)
    world.now_us += 2 * HOUR_US
    world.housekeeping.clean()
    assert world.images() == {digest}
    assert world.store.abandoned(world.now_us) == []


def test_versions_beyond_those_kept_lose_their_images_and_not_their_records(world: World) -> None:
    digests = [world.publish(content) for content in range(1, 6)]
    world.store.promote("t", "m", 1, world.now_us)
    world.housekeeping.clean()
    kept = {digests[0], digests[3], digests[4]}
    assert world.images() == kept, "the newest two, and the current one"
    stages = {each.version: each.stage for each in world.store.versions("t", "m")}
    assert {number for number, stage in stages.items() if stage == model_pb2.STAGE_RETIRED} == {
        2,
        3,
    }
    with pytest.raises(Conflict, match="retired"):
        world.store.promote("t", "m", 2, world.now_us)


def test_an_image_that_a_kept_version_shares_stays(world: World) -> None:
    digest = world.publish(1)
    world.publish(2)
    assert world.publish(1) == digest
    world.publish(3)
    world.housekeeping.clean()
    assert digest in world.images()
    assert world.store.version("t", "m", 1)[0].stage == model_pb2.STAGE_RETIRED


@given(numbers=st.lists(st.integers(1, 6), min_size=1, max_size=20), keep=st.integers(1, 6))
def test_the_current_version_and_the_one_before_it_are_never_retired(
    numbers: list[int], keep: int
) -> None:
    stack = current_stack((1, number) for number in numbers)
    gone = retirable(set(numbers), stack, keep)
    assert not {*stack[-2:]} & {*gone}
    assert not {*sorted(set(numbers))[-keep:]} & {*gone}
