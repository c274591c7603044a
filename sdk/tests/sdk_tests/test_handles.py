"""Runs in the hand, and the client for event loops."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sdk_api_server import World, event, short_history

from kaon import Workflow
from kaon.client import (
    AsyncClient,
    Client,
    Conflict,
    Endpoints,
    Patience,
    RunFailed,
    RunHandle,
    asynchronous,
    stopping,
)
from kaon.step import Artifact
from kaon_wire import canonical
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.step.v1 import step_pb2

FLOW = "from kaon import *\nw = Workflow('w', steps.shell('a', ['true'], n=param('n', int, default=1)))"
MODEL = {"uri": "file:///m", "digest": "sha256:1", "type": "model", "name": "m.bin", "size": 3}


@pytest.fixture
def flow(build: Callable[[str], Workflow]) -> Workflow:
    return build(FLOW)


@pytest.fixture
def run(client: Client, flow: Workflow) -> RunHandle:
    return client.submit(flow, {"n": 3})


def ends(world: World, status: run_pb2.Status.ValueType, **outputs: Any) -> None:
    """Lets run r1 end."""
    world.history = short_history(status)
    found = world.runs["r1"]
    found.status = status
    found.outputs_json.update({name: canonical.dumps(value) for name, value in outputs.items()})
    if world.history[-1].run_ended.HasField("error"):
        found.error.CopyFrom(world.history[-1].run_ended.error)


def test_a_run_is_waited_for_and_gives_python_values(run: RunHandle, world: World) -> None:
    assert (run.created, run.status, run.params) == (True, "PENDING", {"n": 3})
    with pytest.raises(Conflict, match="wait"):
        assert run.outputs
    ends(world, run_pb2.STATUS_SUCCEEDED, score=0.5, models=[{"artifact": MODEL}], none=None)
    assert run.wait() is run
    assert run.outputs == {
        "score": 0.5,
        "models": [
            Artifact(uri="file:///m", digest="sha256:1", type="model", size=3, name="m.bin")
        ],
        "none": None,
    }
    assert run.status == "SUCCEEDED"


def test_a_run_that_has_failed_says_why(run: RunHandle, world: World) -> None:
    ends(world, run_pb2.STATUS_FAILED)
    with pytest.raises(RunFailed, match="ended FAILED: ValueError: bad data"):
        run.result()


def test_waiting_ends_when_its_time_is_over_and_the_run_goes_on(
    run: RunHandle, world: World
) -> None:
    world.holds = True
    with pytest.raises(TimeoutError, match="it goes on"):
        run.wait(timeout=0.1)
    assert run.status == "PENDING"


def test_a_stream_under_a_stopper_that_was_stopped_is_not_opened() -> None:
    outer = stopping.Stopper()
    inner = stopping.Stopper(outer)
    cancelled: list[str] = []
    inner.opened(lambda: cancelled.append("first"))
    outer.stop()
    assert cancelled == ["first"]
    with pytest.raises(stopping.Stopped):
        inner.opened(lambda: cancelled.append("second"))
    assert cancelled == ["first", "second"]


def test_printed_lines_are_told_with_their_step(run: RunHandle, world: World) -> None:
    key = step_pb2.StepKey(run_id="r1", path="a", attempt=2)
    line = log_pb2.LogLine(sequence=1, time_us=1_000_000, text="hello")
    world.logs = [log_pb2.LogLines(key=key, lines=[line])]
    (told,) = run.logs()
    assert (str(told), told.attempt, told.time) == ("a | hello", 2, datetime.fromtimestamp(1, UTC))


def test_metrics_are_records_in_the_order_of_the_reports(
    client: Client, run: RunHandle, world: World
) -> None:
    def reported(
        seq: int, value: float, step: int = 0, given: bool = False
    ) -> history_pb2.HistoryEvent:
        metric = step_pb2.StepMetric(
            name="rmse", value=value, step=step, step_given=step == 0 and given
        )
        return event(seq, step_reported=history_pb2.StepReported(path="a", metric=metric))

    head, tail = short_history()[:4], event(8, run_ended=history_pb2.RunEnded())
    world.history = [
        *head,
        reported(5, 0.9),
        reported(6, 0.5, step=10),
        reported(7, 0.4, given=True),
        tail,
    ]
    world.runs["r1"].last_seq = 8
    assert client.metrics(run) == run.metrics()
    assert [
        (each["path"], each["name"], each["step"], each["value"]) for each in run.metrics()
    ] == [
        ("a", "rmse", 1, 0.9),
        ("a", "rmse", 10, 0.5),
        ("a", "rmse", 0, 0.4),
    ]


def test_in_a_notebook_a_run_shows_itself_and_what_it_shows_is_text(
    run: RunHandle, world: World
) -> None:
    evil = "<script>alert(1)</script>"
    ends(world, run_pb2.STATUS_SUCCEEDED, out=evil)
    world.runs["r1"].params_json["n"] = f'"{evil}"'
    world.runs["r1"].error.CopyFrom(step_pb2.StepError(type=evil, message=evil))
    step = run_pb2.StepView(
        path=evil, progress=0.5, progress_message=evil, status=run_pb2.STATUS_FAILED
    )
    step.error.CopyFrom(step_pb2.StepError(type=evil, message=evil))
    world.steps = [step] * 120
    shown = run._repr_html_()
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") > 100
    assert "and 20 more steps" in shown


def test_a_run_is_found_by_its_id(client: Client, run: RunHandle) -> None:
    assert client.handle(run.run_id).params == {"n": 3}


@pytest.fixture
def endpoints(address: str) -> Endpoints:
    return Endpoints(server=address, publisher=address)


async def test_the_twin_does_the_same_when_it_is_awaited(
    endpoints: Endpoints, flow: Workflow, world: World
) -> None:
    async with AsyncClient(endpoints) as client:
        run = await client.submit(flow)
        ends(world, run_pb2.STATUS_SUCCEEDED, score=1)
        assert await run.result() == {"score": 1}
        assert await run.status() == "SUCCEEDED"
        seqs = [update.event.seq async for update in client.watch(run.run_id)]
        assert seqs == [1, 2, 3, 4, 5, 6]


async def test_a_cancelled_task_ends_its_stream_and_its_thread(
    endpoints: Endpoints, flow: Workflow, world: World
) -> None:
    world.holds = True
    async with AsyncClient(endpoints, watch_patience=Patience(total=60)) as client:
        run = await client.submit(flow)
        waiting = asyncio.ensure_future(run.wait())
        await asyncio.to_thread(world.watching.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(TimeoutError):
            await run.wait(timeout=0.1)


def test_a_twin_has_every_method_and_every_part(endpoints: Endpoints) -> None:
    twin = AsyncClient(endpoints)
    parts = {
        name: part
        for name, part in vars(twin.sync).items()
        if not name.startswith("_") and type(part).__module__.startswith("kaon.client.")
    }
    del parts["endpoints"]
    pairs = [
        (twin, twin.sync),
        *((getattr(twin, name, None), part) for name, part in parts.items()),
    ]
    # `AsyncClient.close` closes the part that has a channel of its own.
    lacking = {
        f"{type(own).__name__}.{name}"
        for copy, own in [*pairs, (asynchronous.AsyncRunHandle, asynchronous.RunHandle)]
        for name, _ in inspect.getmembers(own, callable)
        if not (name.startswith("_") or hasattr(copy, name))
    } - {"Models.close"}
    twin.sync.close()
    assert lacking == set(), "add them to kaon.client.asynchronous, a line each"
