"""RunnerService: what matchers know, here and at other coordinators."""

from __future__ import annotations

from dataclasses import replace

import grpc
import pytest
from grpc import aio

from kaon_coordinator.engine.messages import Start, Started
from kaon_coordinator.engine.rows.codec import take_block_rows, take_step_rows
from kaon_coordinator.shell.pool_link import PoolOwner
from kaon_coordinator.store.base import PartitionBatch
from kaonapi.run.v1 import run_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from ..engine.build import chain, step, workflow
from ..engine.driver import Driver
from .conftest import Api, Others
from .other import other_coordinator


async def test_runners_of_a_pool_of_another_coordinator_are_asked_for(api: Api) -> None:
    api.others.known_runners.append(runner_pb2.Runner(pool="default", runner_id="here"))
    there = Others(pools={"gpu": runner_pb2.Pool(name="gpu", waiting=3)})
    there.known_runners.append(runner_pb2.Runner(pool="gpu", runner_id="there"))
    async with other_coordinator(api, there) as address:
        api.store.claim_pool("gpu", PoolOwner(name="second", address=address).written)

        runners = await api.runners.ListRunners(runner_pb2.ListRunnersRequest())
        pools = await api.runners.ListPools(runner_pb2.ListPoolsRequest())

    assert [runner.runner_id for runner in runners.runners] == ["here", "there"]
    assert [(pool.name, pool.owner, pool.waiting) for pool in pools.pools] == [
        ("default", "here", 0),
        ("gpu", "second", 3),
    ]
    assert not runners.unreachable
    assert not pools.unreachable


async def test_a_pool_whose_owner_does_not_answer_is_named_with_its_address(api: Api) -> None:
    api.store.claim_pool("gpu", PoolOwner(name="gone", address="127.0.0.1:1").written)

    found = await api.runners.ListPools(runner_pb2.ListPoolsRequest(pool="gpu"))

    (missed,) = found.unreachable
    assert (missed.pool, missed.owner, missed.address) == ("gpu", "gone", "127.0.0.1:1")
    assert missed.problem


async def test_a_pool_that_nobody_owns_is_named(api: Api) -> None:
    found = await api.runners.ListPools(runner_pb2.ListPoolsRequest(pool="gpu"))

    assert [missed.problem for missed in found.unreachable] == ["no coordinator has owned it yet"]


async def test_only_the_pools_of_the_coordinator_that_is_asked_when_that_is_wanted(
    api: Api,
) -> None:
    found = await api.runners.ListPools(runner_pb2.ListPoolsRequest(local=True))

    assert [pool.name for pool in found.pools] == ["default"]
    assert not found.unreachable


async def test_a_step_that_has_not_begun_is_explained_from_the_rows(api: Api) -> None:
    await api.register(body=workflow(chain(step("a"), step("b"))).body)
    run = await api.submit()

    found = await api.runners.ExplainStep(
        runner_pb2.ExplainStepRequest(run_id=run.run_id, path="b")
    )

    assert [reason.cause for reason in found.reasons] == [
        runner_pb2.WAIT_CAUSE_NOT_BEGUN,
        runner_pb2.WAIT_CAUSE_RUN_PENDING,
    ]
    assert found.text.startswith("b waits for its enclosing block to begin. The run ")


async def test_another_tenants_run_is_not_explained(api: Api) -> None:
    await api.register(body=workflow(chain(step("a"))).body)
    run = await api.submit()
    asked = runner_pb2.ExplainStepRequest(run_id=run.run_id, path="a")

    with pytest.raises(aio.AioRpcError) as refused:
        await api.runners.ExplainStep(asked, metadata=(("kaon-tenant", "other"),))

    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("pool", ["default", "gpu"])
async def test_a_ready_step_is_explained_by_its_pools_matcher_wherever_it_lives(
    api: Api, pool: str
) -> None:
    run_id = await ready_step(api, pool)
    there = Others(pools={"gpu": runner_pb2.Pool(name="gpu")})
    async with other_coordinator(api, there) as address:
        api.store.claim_pool("gpu", PoolOwner(name="second", address=address).written)

        found = await api.runners.ExplainStep(
            runner_pb2.ExplainStepRequest(run_id=run_id, path="a")
        )

    assert [(reason.cause, reason.text) for reason in found.reasons] == [
        (runner_pb2.WAIT_CAUSE_BUSY, "All are busy.")
    ]
    assert (found.pool, found.owner) == (pool, "here" if pool == "default" else "second")


@pytest.mark.parametrize(
    ("told", "cause"),
    [
        (runner_pb2.WAIT_CAUSE_ENVIRONMENT, runner_pb2.WAIT_CAUSE_ENVIRONMENT),
        (runner_pb2.WAIT_CAUSE_RUNNING, runner_pb2.WAIT_CAUSE_RUNNING),
        (runner_pb2.WAIT_CAUSE_NO_REQUEST, runner_pb2.WAIT_CAUSE_RUNNING),
    ],
)
async def test_a_step_that_counts_as_running_waits_while_its_environment_is_built(
    api: Api, told: runner_pb2.WaitCause.ValueType, cause: runner_pb2.WaitCause.ValueType
) -> None:
    block = step("a")
    block.step.requirements_file = "needs.txt"
    driver = Driver(workflow(chain(block)), lambda _: {"out": 1})
    driver.tell(Start())
    driver.tell(Started(lease=driver.lease("a", "host-1")))
    run_id = await stored(api, driver)
    api.others.cause = told

    found = await api.runners.ExplainStep(runner_pb2.ExplainStepRequest(run_id=run_id, path="a"))

    assert [(each.cause, each.path) for each in found.reasons] == [(cause, "a")]


async def test_when_the_matchers_coordinator_does_not_answer_it_is_named(api: Api) -> None:
    run_id = await ready_step(api, "gpu")
    api.store.claim_pool("gpu", PoolOwner(name="gone", address="127.0.0.1:1").written)

    found = await api.runners.ExplainStep(runner_pb2.ExplainStepRequest(run_id=run_id, path="a"))

    (reason,) = found.reasons
    assert reason.cause == runner_pb2.WAIT_CAUSE_NO_MATCHER
    assert "coordinator gone at 127.0.0.1:1" in reason.text


async def test_the_chain_goes_on_inside_of_the_run_of_a_sub_workflow(api: Api) -> None:
    inner = await ready_step(api, "default")
    child = d.Block(name="inner", sub_workflow=d.SubWorkflow(workflow="nightly"))
    driver = Driver(workflow(chain(child, step("after"))), lambda _: {"out": 1})
    driver.tell(Start())
    driver.state.blocks["inner"].child_run_id = inner
    driver.state.blocks["inner"].status = run_pb2.STATUS_RUNNING
    outer = await stored(api, driver)

    found = await api.runners.ExplainStep(runner_pb2.ExplainStepRequest(run_id=outer, path="after"))

    assert [(reason.cause, reason.path, reason.run_id) for reason in found.reasons] == [
        (runner_pb2.WAIT_CAUSE_WAITS_FOR, "after", ""),
        (runner_pb2.WAIT_CAUSE_CHILD_RUN, "inner", ""),
        (runner_pb2.WAIT_CAUSE_BUSY, "a", inner),
    ]


async def ready_step(api: Api, pool: str) -> str:
    """A run whose only step is READY in a pool."""
    block = step("a")
    block.step.pool = pool
    driver = Driver(workflow(chain(block)), lambda _: {"out": 1})
    driver.tell(Start())
    return await stored(api, driver)


async def stored(api: Api, driver: Driver) -> str:
    """A run that stands as this one does, as its owner has written it."""
    await api.register(body=driver.definition.body)
    run = await api.submit()
    record = api.record(run)
    epoch = api.store.claim_partition(record.partition, "owner")
    batch = PartitionBatch(
        partition=record.partition,
        epoch=epoch,
        runs=[replace(record.row, status=driver.state.status)],
        steps={run.run_id: take_step_rows(driver.state)},
        blocks={run.run_id: take_block_rows(driver.state)},
    )
    api.store.commit(batch)
    return run.run_id


async def test_pools_that_steps_name_and_the_deployment_lacks_are_told(api: Api) -> None:
    api.others.unknown_pools = {"defualt": 2}
    answer = await api.runners.ListPools(runner_pb2.ListPoolsRequest())
    (unknown,) = (each for each in answer.unreachable if each.unknown)
    assert unknown.pool == "defualt"
    assert "the deployment has no pool 'defualt', only default, gpu" in unknown.problem
    assert "2 steps wait in it" in unknown.problem
    other = await api.runners.ListPools(runner_pb2.ListPoolsRequest(pool="default"))
    assert not any(each.unknown for each in other.unreachable)
