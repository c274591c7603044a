"""Signals to all runs of a tenant: real gRPC on loopback, SQLite, and coordinators at work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from kaon_coordinator.api import tenant_signals
from kaon_coordinator.engine.state import transitions as t
from kaonapi.run.v1 import command_pb2
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.workflow.v1 import definition_pb2 as d

from ..engine.build import step
from ..shell.player import playing
from ..shell.world import Member, World
from ..store.test_signal_store import signal
from .whole import Whole, serving

ANN = (("kaon-principal", "ann"), ("kaon-roles", "guest"))
LEA = (("kaon-principal", "lea"), ("kaon-roles", "lead"))
BLUE = (("kaon-tenant", "blue"), ("kaon-principal", "bea"))
DAY = d.Parameter(name="day", type=d.VALUE_TYPE_STRING, default_json='"mon"')


def gate(where: str = "", *, name: str = "ask", **fields: Any) -> d.Block:
    asked = d.SignalGate(name="go", where_cel=where, **fields)
    return d.Block(name=name, gate=d.Gate(signal=asked))


async def waiting(whole: Whole, workflow: str, **params: str) -> str:
    """A run whose gate waits."""
    run_id = await whole.submit(
        workflow=workflow, params_json={name: json.dumps(text) for name, text in params.items()}
    )
    await whole.waits_at(run_id, "ask", t.WAITING)
    return run_id


async def send(
    whole: Whole, payload: object, key: str = "", who: Any = ANN
) -> r.SignalRunsResponse:
    request = r.SignalRunsRequest(name="go", payload_json=json.dumps(payload), idempotency_key=key)
    return await whole.runs.SignalRuns(request, metadata=who)


def payload(whole: Whole, run_id: str) -> object:
    found = whole.member.store.store.list_blocks(run_id)
    outputs = json.loads(next(each for each in found if each.path == "ask").data)["outputs"]
    return json.loads(outputs["payload"])


async def test_one_call_reaches_every_run_whose_gate_takes_the_signal(tmp_path: Path) -> None:
    world = World(tmp_path, run_partitions=4)
    async with serving(world) as whole:
        same = "payload.day == params.day"
        whole.register(gate(same), name="daily", parameters=[DAY])
        whole.register(gate(), name="any")
        whole.register(gate(), name="elsewhere")
        mondays = [await waiting(whole, "daily", day="mon") for _ in range(5)]
        sunday = await waiting(whole, "daily", day="sun")
        any_day = await waiting(whole, "any")
        answer = await send(whole, {"day": "mon"}, who=BLUE)
        assert (answer.runs, answer.waiting, answer.created) == (0, 0, True)
        answer = await send(whole, {"day": "mon"}, "k")
        assert (answer.runs, answer.waiting, answer.created) == (6, 6, True)
        for run_id in (*mondays, any_day):
            assert await whole.ended(run_id) == t.SUCCEEDED
            assert payload(whole, run_id) == {"day": "mon"}
        again = await send(whole, {"day": "mon"}, "k")
        assert (again.runs, again.created) == (6, False)
        assert whole.status(sunday) == t.RUNNING
        with pytest.raises(aio.AioRpcError) as refused:
            await send(whole, {"day": "sun"}, "k")
        assert refused.value.code() == grpc.StatusCode.ALREADY_EXISTS
        assert (await send(whole, {"day": "sun"})).runs == 1
        assert await whole.ended(sunday) == t.SUCCEEDED


async def test_a_run_keeps_the_signal_for_its_gate_until_that_has_ended(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with serving(world) as whole:
        whole.register(step("first"), gate(), step("after"))
        run_id = await whole.submit()
        await whole.waits_at(run_id, "first", t.READY)
        answer = await send(whole, 1)
        assert (answer.runs, answer.waiting) == (1, 0)
        async with playing(world):
            assert await whole.ended(run_id) == t.SUCCEEDED
        assert payload(whole, run_id) == 1
        whole.register(gate(), step("after"), name="passed")
        passed = await waiting(whole, "passed")
        assert (await send(whole, 2)).waiting == 1
        await whole.waits_at(passed, "after", t.READY)
        assert (await send(whole, 3)).runs == 0


async def test_roles_and_fields_of_gates_hold_and_the_answer_names_whom_it_left_out(
    tmp_path: Path,
) -> None:
    async with serving(World(tmp_path)) as whole:
        rows = d.Parameter(name="rows", type=d.VALUE_TYPE_INT)
        note = d.Parameter(name="note", type=d.VALUE_TYPE_STRING, default_json='"-"')
        whole.register(gate(roles=["lead"]), name="guarded")
        whole.register(gate("payload.note == '-'", fields=[rows, note]), name="typed")
        guarded = await waiting(whole, "guarded")
        typed = await waiting(whole, "typed")
        answer = await send(whole, {"rows": "x"})
        assert answer.runs == 0
        reasons = {each.workflow: (each.runs, each.reason) for each in answer.left_out}
        assert reasons["guarded"] == (1, "needs one of the roles lead")
        assert "field 'rows' must be an integer" in reasons["typed"][1]
        assert [each.workflow for each in (await send(whole, {"rows": 3})).left_out] == ["guarded"]
        # Until its run has taken the answer, its gate counts as one that waits.
        assert await whole.ended(typed) == t.SUCCEEDED
        answer = await send(whole, {"rows": 3}, who=LEA)
        assert (answer.runs, answer.waiting, list(answer.left_out)) == (1, 1, [])
        assert payload(whole, typed) == {"rows": 3, "note": "-"}
        assert await whole.ended(guarded) == t.SUCCEEDED


async def test_what_is_out_of_its_bounds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(World(tmp_path)) as whole:
        whole.register(gate(), name="any")
        runs = [await waiting(whole, "any") for _ in range(2)]
        for bound, value, told in (
            ("MOST_RUNS", 1, "would reach more than 1 runs"),
            ("MOST_BYTES", 1, "would store 2 bytes for 2 runs"),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(tenant_signals, bound, value)
                with pytest.raises(aio.AioRpcError) as refused:
                    await send(whole, 1)
            assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert told in (refused.value.details() or "")
        with pytest.raises(aio.AioRpcError) as refused:
            await whole.runs.SignalRuns(r.SignalRunsRequest(payload_json="1"))
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert [whole.status(each) for each in runs] == [t.RUNNING, t.RUNNING]


async def test_the_next_owner_applies_once_what_the_last_one_was_not_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with serving(world) as whole:
        whole.register(gate(), gate(name="second"), name="any")
        run_id = await waiting(whole, "any")
    told = command_pb2.SignalRun(name="go", payload_json="1", to_all=True)
    later = Member(world, "later")
    command = command_pb2.RunCommand(run_id=run_id, requester="ann", signal=told)
    later.store.store.send_signal(signal(), [command], [run_id])
    await later.start()
    store = later.store.store
    await world.until(lambda: store.find_row(run_id, "ask").status == t.SUCCEEDED)  # type: ignore[union-attr]
    await later.stop()
    last = Member(world, "last")
    await last.start()
    # Whatever was applied twice would pass the second gate.
    last.coordinator.wake(0)
    await world.until(lambda: last.store.store.unapplied(0) == [])
    assert last.store.store.find_row(run_id, "second").status == t.WAITING  # type: ignore[union-attr]
    await last.stop()
