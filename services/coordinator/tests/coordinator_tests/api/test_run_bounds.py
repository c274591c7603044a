"""What a run may have that it did not name at its submission: the bounds of its tenant hold for that, too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kaon_coordinator.access.run_bounds import RunBounds
from kaon_coordinator.matching.tenants import tenants_from
from kaon_coordinator.store.records import WorkflowRecord
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.thread import StoreThread
from kaonapi.workflow.v1 import definition_pb2 as d

from ..engine.build import chain
from .test_tenant_bounds import BLUE, urgent

QUOTAS = tenants_from({"tenants": {"blue": {"quota": {"memory": "1GiB"}}}})


@asynccontextmanager
async def bounds(path: Path, *, authenticated: bool = True) -> AsyncIterator[RunBounds]:
    store = StoreThread(open_store(f"sqlite:///{path / 'kaon.db'}"))
    store.store.put_tenant(BLUE)
    made = RunBounds(store, QUOTAS, authenticated=authenticated)
    await made.refresh()
    try:
        yield made
    finally:
        await store.close()


async def test_a_priority_is_at_most_the_highest_of_the_tenant_together_with_that_of_the_run(
    tmp_path: Path,
) -> None:
    async with bounds(tmp_path) as made:
        assert made.refusal("blue", 0, d.Step(priority=5)) == ""
        assert made.refusal("blue", 9, d.Step(priority=-1)) == ""
        assert made.refusal("blue", 3, d.Step(priority=3)) == (
            "priority is 3, with 3 of its run: the highest of tenant blue is 5"
        )
        assert "the highest of tenant green is 0" in made.refusal("green", 0, d.Step(priority=1))
    async with bounds(tmp_path, authenticated=False) as free:
        assert free.refusal("blue", 9, d.Step(priority=9)) == ""


async def test_resources_stay_within_the_quota_and_labels_can_be_read(tmp_path: Path) -> None:
    async with bounds(tmp_path) as made:
        large = d.Step(resources=d.Resources(memory_bytes=2**31))
        assert "the quota of tenant blue in pool 'default' is" in made.refusal("blue", 0, large)
        assert made.refusal("green", 0, large) == ""
        assert "is not a label expression" in made.refusal("blue", 0, d.Step(labels=["a b c"]))


@pytest.mark.parametrize(("authenticated", "told"), [(True, "step hot"), (False, "")])
async def test_a_workflow_that_is_called_by_a_value_is_bounded_as_one_that_is_submitted(
    authenticated: bool, told: str, tmp_path: Path
) -> None:
    definition = d.WorkflowDefinition(name="w", body=chain(urgent("hot", 7)))
    record = WorkflowRecord(
        tenant="blue", name="w", version="v", definition=definition, create_us=1
    )
    async with bounds(tmp_path, authenticated=authenticated) as made:
        assert told in await made.may_call(record, 0)
