"""Many runs with few calls of the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from sdk_api_server import World

from kaon import Workflow
from kaon.client import (
    AccessDenied,
    AsyncClient,
    Client,
    Conflict,
    Endpoints,
    InvalidValue,
    NotAllSubmitted,
    Unavailable,
    many,
)
from kaon.client.errors import Exhausted

FLOW = """
from kaon import *
w = Workflow("w", steps.shell("a", argv=["true"], n=param("n", int, default=1)))
"""


@pytest.fixture
def flow(build: Callable[[str], Workflow]) -> Workflow:
    """A workflow with one parameter."""
    return build(FLOW)


def numbers(count: int) -> list[dict[str, Any]]:
    """Parameters of as many runs."""
    return [{"n": number} for number in range(count)]


def calls(world: World) -> list[int]:
    """How many requests each call had."""
    return [len(each.requests) for each in world.asked if hasattr(each, "requests")]


def test_runs_come_back_in_order_from_as_few_calls_as_can_be(
    client: Client, world: World, flow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "_REQUESTS", 4)
    runs = client.submit_many(flow, iter(numbers(10)), labels={"team": "a"}, priority=2)
    assert [run.params for run in runs] == numbers(10)
    assert all(run.created for run in runs)
    assert calls(world) == [4, 4, 2]
    sent = [each for call in world.asked for each in call.requests]
    assert {(each.priority, each.labels["team"], each.version) for each in sent} == {
        (2, "a", flow.version)
    }
    assert len({each.idempotency_key for each in sent}) == 10
    monkeypatch.setattr(many, "_BYTES", 1)
    world.asked.clear()
    assert [run.params for run in client.submit_many("w", numbers(2))] == numbers(2)
    assert calls(world) == [1, 1]


def test_a_key_gives_the_run_that_it_made_before(
    client: Client, world: World, flow: Workflow
) -> None:
    first = client.submit_many(flow, numbers(2), ["a", "b"])
    again = client.submit_many(flow, numbers(3), keys=["a", "b", "c"])
    assert [run.created for run in again] == [False, False, True]
    assert [run.run_id for run in again[:2]] == [run.run_id for run in first]
    assert again[0].status == "PENDING"
    with pytest.raises(InvalidValue, match="1 key for 3 runs"):
        client.submit_many(flow, numbers(3), ["a"])


def test_what_is_refused_is_named_and_the_others_are_kept(
    client: Client, world: World, flow: Workflow
) -> None:
    world.refused_values = {
        "1": grpc.StatusCode.ALREADY_EXISTS,
        "4": grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
    params = numbers(5)
    params[2] = {"n": "two"}
    with pytest.raises(NotAllSubmitted) as told:
        client.submit_many(flow, params)
    assert told.value.run_ids == ["r1", "", "", "r2", ""]
    errors = told.value.errors
    assert {place: type(error) for place, error in errors.items()} == {
        1: Conflict,
        2: InvalidValue,
        4: Exhausted,
    }
    assert isinstance(errors[4], Exhausted)
    assert errors[4].retry_seconds == 1.5
    text = str(told.value)
    assert "3 of 5 runs were not submitted" in text
    assert "1: not 1" in text
    assert "parameter 'n'" in text


def test_a_request_of_which_nobody_knows_is_sent_again_with_its_key(
    client: Client, world: World, flow: Workflow
) -> None:
    world.refused_values = {"1": grpc.StatusCode.UNAVAILABLE}
    runs = client.submit_many(flow, numbers(3))
    assert [run.params for run in runs] == numbers(3)
    assert calls(world) == [3, 1]
    first, again = world.asked[-2:]
    assert first.requests[1] == again.requests[0]


def test_a_call_that_fails_later_leaves_what_was_submitted_before(
    client: Client, world: World, flow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "_REQUESTS", 2)
    client.register(flow)
    answered = client.submit_requests

    def fails(requests: Any) -> Any:
        for number, answer in enumerate(answered(requests)):
            if number == 2:
                raise AccessDenied("the token was revoked")
            yield answer

    monkeypatch.setattr(client, "submit_requests", fails)
    with pytest.raises(NotAllSubmitted) as told:
        client.submit_many(flow, numbers(6))
    assert told.value.run_ids == ["r1", "r2", "", "", "", ""]
    assert set(map(str, told.value.errors.values())) == {"the token was revoked"}


def test_a_call_that_fails_as_a_whole_is_told_as_itself(
    client: Client, world: World, flow: Workflow
) -> None:
    client.register(flow)
    world.refusals = 1_000
    with pytest.raises(Unavailable):
        client.submit_many("w", numbers(2))


async def test_the_twin_submits_many_too(address: str, world: World, flow: Workflow) -> None:
    async with AsyncClient(Endpoints(server=address, publisher=address)) as client:
        runs = await client.submit_many(flow, numbers(3))
        assert [run.run_id for run in runs] == ["r1", "r2", "r3"]
        assert await runs[0].status() == "PENDING"
