"""Commands, time travel, backfills and permits: the API over a coordinator at work, with a runner that the test plays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from grpc import StatusCode, aio

from kaon_coordinator import replay
from kaon_coordinator.engine.rows import snapshot_policy as rule
from kaon_coordinator.engine.rows.codec import run_row, take_block_rows, take_step_rows, touch_all
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.shell.fork_states import definitions
from kaon_coordinator.snapshots import Snapshots
from kaon_coordinator.store.base import Snapshot
from kaon_wire import canonical
from kaonapi.run.v1 import history_pb2
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.schedule.v1 import schedule_pb2 as s
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from ..engine.build import fan, for_each, literal, step
from ..shell.player import playing
from ..shell.world import World
from .whole import Whole, serving

BAD = step_pb2.StepError(error_class=step_pb2.ERROR_CLASS_USER, type="ValueError", message="no")


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[Whole]:
    async with serving(World(tmp_path, run_partitions=3)) as whole:
        yield whole


async def refused(
    call: Any, request: Message, code: StatusCode, told: str, **metadata: str
) -> None:
    """The call is refused with this code, and says why."""
    headers = [(f"kaon-{name}", value) for name, value in metadata.items()]
    with pytest.raises(aio.AioRpcError) as error:
        await call(request, metadata=headers)
    assert error.value.code() == code, error.value.details()
    assert told in (error.value.details() or "")


PRECONDITION = StatusCode.FAILED_PRECONDITION


def _approval(**fields: Any) -> d.Block:
    return d.Block(
        name="ask", gate=d.Gate(approval=d.Approval(roles=["ml-lead", "owner"], **fields))
    )


async def test_only_a_role_of_the_approval_answers_it(whole: Whole) -> None:
    whole.register(_approval(message="Publish?"), step("s"))
    run_id = await whole.submit()
    await whole.waits_at(run_id, "ask", t.WAITING)
    shown = await whole.runs.GetRun(r.GetRunRequest(run_id=run_id))
    assert (shown.blocks[0].gate, list(shown.blocks[0].roles)) == ("approval", ["ml-lead", "owner"])
    answer = r.AnswerGateRequest(run_id=run_id, path="ask", approved=True, comment="good")
    call = whole.runs.AnswerGate
    await refused(
        call,
        answer,
        StatusCode.PERMISSION_DENIED,
        "ml-lead or owner; you have reader",
        roles="reader",
    )
    await refused(
        call, r.AnswerGateRequest(run_id=run_id, path="s"), PRECONDITION, "s is not an approval"
    )
    await refused(call, r.AnswerGateRequest(run_id=run_id, path="x"), StatusCode.NOT_FOUND, "'x'")
    async with playing(whole.world):
        await call(answer, metadata=(("kaon-roles", "reader,owner"), ("kaon-principal", "eve")))
        assert await whole.ended(run_id) == t.SUCCEEDED
    shown = await whole.runs.GetRun(r.GetRunRequest(run_id=run_id))
    assert dict(shown.blocks[0].outputs_json) == {
        "approved": "true",
        "by": '"eve"',
        "comment": '"good"',
    }
    await refused(call, answer, PRECONDITION, "has ended: it is SUCCEEDED", roles="owner")


async def test_a_signal_opens_its_gate_also_when_it_comes_before(whole: Whole) -> None:
    whole.register(step("s"), d.Block(name="go", gate=d.Gate(signal=d.SignalGate(name="go"))))
    run_id = await whole.submit()
    await whole.waits_at(run_id, "s", t.READY)
    await whole.runs.SignalRun(
        r.SignalRunRequest(run_id=run_id, name="go", payload_json='{"n": 1}')
    )
    wrong = r.SignalRunRequest(run_id=run_id, name="go", path="go")
    await refused(whole.runs.SignalRun, wrong, PRECONDITION, "go is a gate, not a step")
    wrong = r.SignalRunRequest(run_id=run_id, name="go", payload_json="{")
    await refused(whole.runs.SignalRun, wrong, StatusCode.INVALID_ARGUMENT, "payload_json")
    async with playing(whole.world):
        assert await whole.ended(run_id) == t.SUCCEEDED
    shown = await whole.runs.GetRun(r.GetRunRequest(run_id=run_id))
    assert shown.blocks[0].outputs_json["payload"] == '{"n":1}'


@pytest.mark.parametrize(
    ("gates", "told"),
    [
        (["data-ready", "go"], "did you mean data-ready?"),
        (["go", "stop"], "its gates take go, stop"),
        ([], "it has no signal gate (to signal a running step, give its path)"),
    ],
)
async def test_a_signal_that_no_gate_of_the_workflow_takes_is_refused(
    whole: Whole, gates: list[str], told: str
) -> None:
    inner = [d.Block(name=each, gate=d.Gate(signal=d.SignalGate(name=each))) for each in gates]
    group = d.Block(name="inner", group=d.Group(body=d.Graph(blocks=[step("t"), *inner])))
    whole.register(step("s"), group)
    run_id = await whole.submit()
    await whole.waits_at(run_id, "s", t.READY)
    before = (await whole.runs.GetRun(r.GetRunRequest(run_id=run_id))).run.last_seq
    wrong = r.SignalRunRequest(run_id=run_id, name="data-redy")
    text = f"nothing in workflow 'w' waits for signal 'data-redy'; {told}"
    await refused(whole.runs.SignalRun, wrong, StatusCode.NOT_FOUND, text)
    after = (await whole.runs.GetRun(r.GetRunRequest(run_id=run_id))).run.last_seq
    assert after == before


async def test_what_cannot_be_commanded_is_refused_with_what_it_is(whole: Whole) -> None:
    whole.register(step("a"), step("b"))
    run_id = await whole.submit()
    await whole.waits_at(run_id, "a", t.READY)
    runs = whole.runs
    await refused(
        runs.RetryRun, r.RetryRunRequest(run_id=run_id), PRECONDITION, "nothing has failed in it"
    )
    restart = r.RestartRunRequest(run_id=run_id, path="a")
    await refused(runs.RestartRun, restart, PRECONDITION, "a is READY: cancel it or wait")
    restart = r.RestartRunRequest(run_id=run_id, path="b")
    await refused(runs.RestartRun, restart, PRECONDITION, "b has not begun")
    mark = r.MarkBlockRequest(run_id=run_id, path="a", status=t.SUCCEEDED)
    await refused(runs.MarkBlock, mark, StatusCode.INVALID_ARGUMENT, "reason: say why")
    mark = r.MarkBlockRequest(run_id=run_id, path="a", status=t.RUNNING, reason="x")
    await refused(runs.MarkBlock, mark, StatusCode.INVALID_ARGUMENT, "can be marked")
    cancel = r.CancelRunRequest(run_id=run_id, path="nowhere")
    await refused(runs.CancelRun, cancel, StatusCode.NOT_FOUND, "no step, block or cell 'nowhere'")
    await refused(runs.PauseRun, r.PauseRunRequest(run_id="x"), StatusCode.NOT_FOUND, "'x'")
    at = r.SetBreakpointRequest(run_id=run_id, step="a")
    await refused(runs.SetBreakpoint, at, PRECONDITION, "it has started: it is READY")
    at = r.SetBreakpointRequest(run_id=run_id, step="nowhere")
    await refused(runs.SetBreakpoint, at, StatusCode.NOT_FOUND, "no step, block or cell 'nowhere'")
    over = r.PassBreakpointRequest(run_id=run_id, step="b")
    await refused(runs.PassBreakpoint, over, PRECONDITION, "there is no breakpoint")
    async with playing(whole.world):
        await whole.ended(run_id)
    for call, request in (
        (runs.PauseRun, r.PauseRunRequest(run_id=run_id)),
        (runs.ResumeRun, r.ResumeRunRequest(run_id=run_id)),
        (runs.SetRunPriority, r.SetRunPriorityRequest(run_id=run_id, priority=1)),
        (runs.SignalRun, r.SignalRunRequest(run_id=run_id, name="x")),
    ):
        await refused(call, request, PRECONDITION, "has ended: it is SUCCEEDED")
    await refused(runs.RetryRun, r.RetryRunRequest(run_id=run_id), PRECONDITION, "is SUCCEEDED")


async def test_a_run_is_repaired_by_retry_restart_and_mark(whole: Whole) -> None:
    whole.register(step("a"), step("b"))
    fails = {"b"}
    async with playing(
        whole.world, lambda it: BAD if it.key.path in fails else {"out": 1}
    ) as player:
        run_id = await whole.submit()
        assert await whole.ended(run_id) == t.FAILED
        fails.clear()
        await whole.runs.RetryRun(r.RetryRunRequest(run_id=run_id, reason="fixed"))
        await whole.world.until(lambda: whole.status(run_id) == t.SUCCEEDED)
        await whole.runs.RestartRun(r.RestartRunRequest(run_id=run_id, path="b"))
        await whole.world.until(lambda: len(player.requests) == 4)
        await whole.ended(run_id)
        mark = r.MarkBlockRequest(
            run_id=run_id, path="a", status=t.SUCCEEDED, outputs_json={"out": " 7 "}, reason="known"
        )
        await whole.runs.MarkBlock(mark)
        await whole.world.until(lambda: len(player.requests) == 5)
        await whole.ended(run_id)
    shown = await whole.runs.GetRun(r.GetRunRequest(run_id=run_id))
    assert {each.path: each.outputs_json["out"] for each in shown.steps} == {"a": "7", "b": "1"}
    verified = await whole.runs.VerifyRun(r.VerifyRunRequest(run_id=run_id))
    assert verified.matches
    assert verified.replayed_hash.startswith("sha256:")


async def check_pages(whole: Whole, once: r.GetRunAtResponse, request: r.GetRunAtRequest) -> None:
    """Page after page is the whole moment, once."""
    found = r.GetRunAtResponse()
    while True:
        page = await whole.runs.GetRunAt(request)
        assert len(page.steps) + len(page.blocks) <= request.page_size
        assert page.state_hash == once.state_hash
        found.steps.extend(page.steps)
        found.blocks.extend(page.blocks)
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert (list(found.steps), list(found.blocks)) == (list(once.steps), list(once.blocks))
    request.page_token = "bm9uZQ=="
    await refused(whole.runs.GetRunAt, request, StatusCode.INVALID_ARGUMENT, "next_page_token")


async def test_a_run_is_seen_as_it_was_and_forked_from_there(whole: Whole) -> None:
    parameter = d.Parameter(name="n", type=d.VALUE_TYPE_INT, default_json="1")
    given = d.Binding(parameter="n")
    body = for_each("each", literal(["x", "y"]), fan(step("s", n=given)))
    whole.register(step("a"), body, step("z", n=given), parameters=[parameter])
    async with playing(whole.world) as player:
        run_id = await whole.submit()
        await whole.ended(run_id)
        events = whole.member.store.store.history(run_id)
        seq = next(each.seq for each in events if each.step_ended.path == "a")
        before = await whole.runs.GetRunAt(r.GetRunAtRequest(run_id=run_id, seq=seq))
        assert {each.path: each.status for each in before.steps} == {
            "a": t.SUCCEEDED,
            "z": t.PENDING,
        }
        assert (before.run.status, before.run.last_seq) == (t.RUNNING, seq)
        now = await whole.runs.GetRunAt(r.GetRunAtRequest(run_id=run_id))
        shown = await whole.runs.GetRun(r.GetRunRequest(run_id=run_id))
        assert [each.path for each in now.steps] == [each.path for each in shown.steps]
        assert not shown.cells
        asked = r.GetRunRequest(run_id=run_id, with_cells=True)
        cells = (await whole.runs.GetRun(asked)).cells
        assert [(cell.path, cell.block, cell.item_json) for cell in cells] == [
            ("each[x]", "each", '"x"'),
            ("each[y]", "each", '"y"'),
        ]
        assert now.run == shown.run
        assert now.state_hash != before.state_hash
        await check_pages(whole, before, r.GetRunAtRequest(run_id=run_id, seq=seq, page_size=1))
        await check_pages(whole, now, r.GetRunAtRequest(run_id=run_id, page_size=2))
        request = r.ForkRunRequest(run_id=run_id, seq=seq, params_json={"n": "5"})
        fork = (await whole.runs.ForkRun(request)).run
        assert (fork.forked_from_run_id, fork.forked_from_seq) == (run_id, seq)
        await whole.ended(fork.run_id)
    forked = [each for each in player.requests if each.key.run_id == fork.run_id]
    assert [each.key.path for each in forked] == ["each[x]/s", "each[y]/s", "z"]
    assert {each.spec.inputs_json["n"] for each in forked} == {"5"}
    verified = await whole.runs.VerifyRun(r.VerifyRunRequest(run_id=fork.run_id))
    assert verified.matches
    wrong = r.ForkRunRequest(run_id=run_id, seq=seq, reset=["each[x]/s"])
    await refused(whole.runs.ForkRun, wrong, PRECONDITION, f"after event {seq}")
    wrong = r.ForkRunRequest(
        run_id=run_id, seq=seq, reset=[f"each[{number}]" for number in range(1_001)]
    )
    await refused(
        whole.runs.ForkRun,
        wrong,
        StatusCode.INVALID_ARGUMENT,
        "reset names 1001 places; use at most 1000",
    )
    wrong = r.GetRunAtRequest(run_id=run_id, seq=10_000)
    await refused(
        whole.runs.GetRunAt, wrong, StatusCode.INVALID_ARGUMENT, "there is no event 10000"
    )


async def test_a_look_at_the_past_and_a_fork_begin_at_the_newest_snapshot_before(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole.register(for_each("each", literal(["x", "y"]), fan(step("s"))), step("z"))
    store = whole.member.store.store
    async with playing(whole.world):
        run_id = await whole.submit()
        await whole.ended(run_id)
        last = (await whole.runs.GetRun(r.GetRunRequest(run_id=run_id))).run.last_seq
        before = {
            seq: await whole.runs.GetRunAt(r.GetRunAtRequest(run_id=run_id, seq=seq))
            for seq in range(1, last + 1)
        }
        record = store.get_run("default", run_id)
        for seq in (4, 9):
            state = replay.replay(store, record, seq, definitions(store))
            touch_all(state)
            steps = sorted(take_step_rows(state), key=lambda row: row.position)
            blocks = sorted(take_block_rows(state), key=lambda row: row.position)
            store.put_snapshot(Snapshot(row=run_row(state), steps=steps, blocks=blocks))
        read: list[int] = []
        history = store.history

        def noted(
            run_id: str, after_seq: int = 0, limit: int = 1000
        ) -> list[history_pb2.HistoryEvent]:
            read.append(after_seq)
            return history(run_id, after_seq, limit)

        monkeypatch.setattr(store, "history", noted)
        for seq, was in before.items():
            assert await whole.runs.GetRunAt(r.GetRunAtRequest(run_id=run_id, seq=seq)) == was
        assert set(read) == {0, 4, 9}
        read.clear()
        fork = (await whole.runs.ForkRun(r.ForkRunRequest(run_id=run_id, seq=10))).run
        assert await whole.ended(fork.run_id) == t.SUCCEEDED
        assert 9 in read
        assert 0 not in read
    for each in (run_id, fork.run_id):
        verified = await whole.runs.VerifyRun(r.VerifyRunRequest(run_id=each))
        assert (verified.matches, verified.snapshots) == (True, 2 if each == run_id else 0)


async def test_a_snapshot_that_is_not_what_the_history_gives_is_told_with_its_event(
    whole: Whole,
) -> None:
    whole.register(step("a"))
    async with playing(whole.world):
        run_id = await whole.submit()
        await whole.ended(run_id)
    store = whole.member.store.store
    snapshot = store.read_snapshot(run_id)
    assert snapshot is not None
    store.put_snapshot(replace(snapshot, steps=[replace(snapshot.steps[0], attempt=7)]))
    verified = await whole.runs.VerifyRun(r.VerifyRunRequest(run_id=run_id))
    assert not verified.matches
    assert verified.replayed_hash == verified.stored_hash
    assert list(verified.wrong_snapshots) == [snapshot.row.seq]


async def test_the_state_of_a_run_is_kept_when_its_events_outweigh_it(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule, "FEWEST_EVENTS", 10)
    monkeypatch.setattr(rule, "EVENTS_PER_ROW", 3)
    whole.register(step("a"))
    store = whole.member.store.store
    snapshots = Snapshots(whole.member.store, whole.member.coordinator.open_runs)
    run_id = await whole.submit()
    await whole.waits_at(run_id, "a", t.READY)
    assert await snapshots.once() == 0
    for priority in range(1, 9):
        await whole.runs.SetRunPriority(r.SetRunPriorityRequest(run_id=run_id, priority=priority))
    await whole.world.until(lambda: store.get_run("default", run_id).row.seq >= 20)
    assert await snapshots.once() == 1
    assert await snapshots.once() == 0
    # What another owner has kept need not be kept again.
    assert await Snapshots(whole.member.store, whole.member.coordinator.open_runs).once() == 0
    (seq,) = store.snapshot_seqs(run_id)
    assert seq >= 20
    assert (await whole.runs.VerifyRun(r.VerifyRunRequest(run_id=run_id))).matches


async def test_a_run_is_made_again_with_changes(whole: Whole) -> None:
    parameters = [
        d.Parameter(name=name, type=d.VALUE_TYPE_INT, default_json="1") for name in ("m", "n")
    ]
    old = whole.register(step("a"), parameters=parameters)
    run_id = await whole.submit(params_json={"m": "2", "n": "3"}, priority=4)
    whole.register(step("a"), step("b"), parameters=parameters)
    request = r.RerunRunRequest(run_id=run_id, params_json={"n": "4"}, idempotency_key="k")
    again = (await whole.runs.RerunRun(request)).run
    assert dict(again.params_json) == {"m": "2", "n": "4"}
    assert (again.version, again.priority, again.origin) == (old, 4, f"rerun:{run_id}")
    assert not (await whole.runs.RerunRun(request)).created


async def test_parameters_are_what_the_workflow_declares(whole: Whole) -> None:
    whole.register(
        step("a"),
        parameters=[
            d.Parameter(name="day", type=d.VALUE_TYPE_DATE),
            d.Parameter(
                name="rate", type=d.VALUE_TYPE_FLOAT, constraint_cel="value > 0.0 && value <= 1.0"
            ),
            d.Parameter(name="note", type=d.VALUE_TYPE_STRING, default_json='""'),
            d.Parameter(name="size", type=d.VALUE_TYPE_STRING, choices_json=['"small"', '"large"']),
        ],
    )
    good = {"day": '"2026-02-28"', "rate": "0.5", "size": '"small"'}
    await whole.submit(params_json=good)
    for name, value, told in (
        ("day", '"2026-02-30"', "must be a date"),
        ("day", '"20260228"', "must be a date"),
        ("rate", "2.5", "2.5 does not fulfil 'value > 0.0"),
        ("rate", '"x"', "must be a number"),
        ("size", '"medium"', 'must be one of "small", "large"'),
        ("note", f'"{"x" * 300_000}"', "the limit params_bytes is 262144"),
    ):
        request = r.SubmitRunRequest(workflow="w", params_json=good | {name: value})
        await refused(whole.runs.SubmitRun, request, StatusCode.INVALID_ARGUMENT, told)


async def test_a_computed_parameter_is_bound_once_and_a_second_submission_with_the_key_is_the_same_run(
    whole: Whole,
) -> None:
    name = d.Expression(cel="i.id", variables={"i": d.Binding(run_info=d.RunInfo())})
    whole.register(
        step("a"),
        parameters=[
            d.Parameter(name="n", type=d.VALUE_TYPE_STRING, computed=d.Binding(expression=name))
        ],
    )
    request = r.SubmitRunRequest(workflow="w", idempotency_key="k")
    first = await whole.runs.SubmitRun(request)
    assert first.run.params_json["n"] == f'"{first.run.run_id}"'
    again = await whole.runs.SubmitRun(request)
    assert (again.run.run_id, again.created) == (first.run.run_id, False)
    request.params_json["n"] = '"other"'
    await refused(whole.runs.SubmitRun, request, StatusCode.ALREADY_EXISTS, "other parameters")


async def _told(whole: Whole, run_id: str) -> dict[str, Any]:
    """What `run_info()` of a run was recorded to be."""
    await whole.ended(run_id)
    event = whole.member.store.store.history(run_id, limit=1)[0].run_submitted
    previous = event.previous_success
    # The run tells the same.
    run = (await whole.runs.GetRun(r.GetRunRequest(run_id=run_id))).run
    assert run.previous_success == previous
    assert run.scheduled_time.ToMicroseconds() == event.scheduled_time_us
    return {
        "origin": event.origin,
        "for": event.scheduled_time_us,
        "previous": (previous.run_id, previous.scheduled_time_us),
    }


async def test_a_run_knows_the_last_success_before_it(whole: Whole) -> None:
    info = d.Binding(run_info=d.RunInfo())
    since = d.Expression(cel="i.previous_success == null", variables={"i": info})
    first = d.Parameter(name="first", type=d.VALUE_TYPE_BOOL, computed=d.Binding(expression=since))
    day = d.Parameter(name="day", type=d.VALUE_TYPE_STRING, default_json='""')
    whole.register(step("a", info=info), parameters=[first, day])
    whole.register(step("a"), name="plain")
    sub = d.Block(name="s", sub_workflow=d.SubWorkflow(workflow="w"))
    whole.register(sub, name="parent")

    async with playing(whole.world):
        one = await whole.submit()
        assert (await _told(whole, one))["previous"] == ("", 0)
        plain = await whole.submit(workflow="plain")
        await whole.ended(plain)
        assert (await _told(whole, await whole.submit(workflow="plain")))["previous"] == ("", 0)

        filled = await whole.schedules.Backfill(
            _backfill(first_date="2026-03-01", last_date="2026-03-02", max_active=1)
        )
        midnight = [1_772_323_200_000_000, 1_772_409_600_000_000]
        for run, time_us in zip(filled.runs, midnight, strict=True):
            assert await _told(whole, run.run_id) == {
                "origin": "backfill:w",
                "for": time_us,
                "previous": (one, 0),
            }
            assert run.params_json["first"] == "false"
        store = whole.member.store.store
        ends = {run.run_id: store.get_run("default", run.run_id).row.end_us for run in filled.runs}
        newest = max(ends, key=lambda run_id: (ends[run_id], run_id))
        newest_us = midnight[list(ends).index(newest)]

        parent = await whole.submit(workflow="parent")
        await whole.ended(parent)
        child = next(
            event.child_run_started.child_run_id
            for event in store.history(parent)
            if event.HasField("child_run_started")
        )
        assert (await _told(whole, child))["previous"] == (newest, newest_us)
        assert store.get_run("default", child).params["first"] == "false"

        again = await whole.runs.RerunRun(r.RerunRunRequest(run_id=one))
        assert (await _told(whole, again.run.run_id))["previous"] == (child, 0)
        assert again.run.params_json["first"] == "true", (
            "a rerun has the parameters of its original"
        )
        forked = await whole.runs.ForkRun(r.ForkRunRequest(run_id=newest, reset=["a"]))
        assert await _told(whole, forked.run.run_id) == {
            "origin": f"fork:{newest}",
            "for": newest_us,
            "previous": (one, 0),
        }


def _backfill(**fields: Any) -> s.BackfillRequest:
    usual = {
        "workflow": "w",
        "parameter": "day",
        "first_date": "2026-02-27",
        "last_date": "2026-03-02",
    }
    return s.BackfillRequest(**(usual | fields))


async def test_a_backfill_makes_one_run_for_each_date_and_few_of_them_at_once(whole: Whole) -> None:
    whole.register(step("a"), parameters=[d.Parameter(name="day", type=d.VALUE_TYPE_DATE)])
    async with playing(whole.world, lambda request: None) as player:
        first = await whole.schedules.Backfill(_backfill(max_active=1, newest_first=True))
        days = [run.params_json["day"] for run in first.runs]
        assert days == ['"2026-03-02"', '"2026-03-01"', '"2026-02-28"', '"2026-02-27"']
        assert {run.origin for run in first.runs} == {"backfill:w"}
        for count in range(1, 5):
            await whole.world.until(
                lambda count=count: len(player.requests) == count and player.running
            )
            assert sum(whole.status(run.run_id) == t.RUNNING for run in first.runs) == 1
            player.end("a", {"out": 1})
        for run in first.runs:
            assert await whole.ended(run.run_id) == t.SUCCEEDED
    again = await whole.schedules.Backfill(_backfill(last_date="2026-03-03", max_active=1))
    assert (again.created, len(again.runs)) == (1, 5)
    for wrong, told in (
        ({"parameter": "x"}, "no parameter 'x'"),
        ({"first_date": "yesterday"}, "'yesterday'"),
        ({"last_date": "2026-01-01"}, "there are 0 dates"),
        ({"last_date": "2036-01-01"}, "use 1 to 1000"),
    ):
        await refused(
            whole.schedules.Backfill, _backfill(**wrong), StatusCode.INVALID_ARGUMENT, told
        )


async def test_permits_are_set_and_shown(whole: Whole) -> None:
    permits = s.Permits(tag="gpu", limit=2)
    assert (
        await whole.schedules.SetPermits(s.SetPermitsRequest(permits=permits))
    ).permits == permits
    assert list((await whole.schedules.ListPermits(s.ListPermitsRequest())).permits) == [permits]
    other = (("kaon-tenant", "other"),)
    assert not (await whole.schedules.ListPermits(s.ListPermitsRequest(), metadata=other)).permits
    await whole.schedules.SetPermits(s.SetPermitsRequest(permits=s.Permits(tag="gpu", limit=0)))
    assert not (await whole.schedules.ListPermits(s.ListPermitsRequest())).permits
    wrong = s.SetPermitsRequest(permits=s.Permits(tag="gpu", limit=-1))
    await refused(
        whole.schedules.SetPermits, wrong, StatusCode.INVALID_ARGUMENT, "permits.limit -1"
    )


def _schedule(**fields: Any) -> s.PutScheduleRequest:
    usual: dict[str, Any] = {
        "name": "nightly",
        "workflow": "w",
        "cron": s.Cron(expression="0 3 * * *"),
    }
    return s.PutScheduleRequest(schedule=s.Schedule(**(usual | fields)))


async def test_a_schedule_is_put_shown_replaced_and_deleted(whole: Whole) -> None:
    whole.register(step("a"))
    calls = whole.schedules
    put = await calls.PutSchedule(_schedule())
    assert put.created
    # The clock of the test stands at 1000 s past the epoch.
    assert put.schedule.next_time.ToSeconds() == 3 * 3600
    again = await calls.PutSchedule(_schedule(cron=s.Cron(expression="0 4 * * *"), paused=True))
    assert not again.created
    assert not again.schedule.HasField("next_time"), "it is paused"
    assert (
        await calls.GetSchedule(s.GetScheduleRequest(name="nightly"))
    ).schedule == again.schedule
    other = (("kaon-tenant", "other"),)
    assert not (await calls.ListSchedules(s.ListSchedulesRequest(), metadata=other)).schedules
    assert len((await calls.ListSchedules(s.ListSchedulesRequest())).schedules) == 1
    await calls.DeleteSchedule(s.DeleteScheduleRequest(name="nightly"))
    gone = s.GetScheduleRequest(name="nightly")
    await refused(calls.GetSchedule, gone, StatusCode.NOT_FOUND, "'nightly'")


async def test_everything_wrong_with_a_schedule_is_told(whole: Whole) -> None:
    whole.register(step("a"), parameters=[d.Parameter(name="n", type=d.VALUE_TYPE_INT)])
    for fields, told in (
        ({}, "'n' is missing"),
        ({"params_json": {"n": '"x"'}}, "'n' must be an integer"),
        ({"params_cel": {"n": "1 +"}}, "1 +"),
        ({"params_cel": {"n": "time.nothing('T')"}}, "nothing"),
        ({"params_cel": {"m": "1", "n": "1"}}, "no parameter 'm'"),
        ({"name": "Nightly"}, "lower-case letters"),
        ({"cron": s.Cron(expression="* *")}, "five fields"),
        *(
            ({"cron": s.Cron(expression="0 0 * * *", time_zone=zone)}, "no such time zone")
            # A directory, a file that is no zone, and places outside.
            for zone in (
                "Here",
                "Europe",
                "tzdata.zi",
                "zone.tab",
                "../UTC",
                "/etc/localtime",
                "x" * 300,
            )
        ),
        ({"cron": None}, "one of cron, interval"),
        ({"cron": None, "interval": s.Interval(every_ms=5)}, "interval.every_ms"),
        ({"cron": None, "record_arrived": s.RecordArrived()}, "name a topic"),
    ):
        request = _schedule(**fields)
        await refused(whole.schedules.PutSchedule, request, StatusCode.INVALID_ARGUMENT, told)
    await refused(whole.schedules.PutSchedule, _schedule(workflow="x"), StatusCode.NOT_FOUND, "'x'")


async def test_keys_that_schedules_and_backfills_use_are_theirs(whole: Whole) -> None:
    whole.register(step("a"))
    request = r.SubmitRunRequest(workflow="w", idempotency_key="schedule:nightly:1")
    await refused(whole.runs.SubmitRun, request, StatusCode.INVALID_ARGUMENT, "Kaon's own")


async def test_a_dry_run_of_a_command_tells_what_it_would_do_and_does_nothing(whole: Whole) -> None:
    whole.register(step("a"), step("b"), step("c"))
    store = whole.member.store.store
    outcomes: dict[str, Any] = {"b": BAD}
    async with playing(whole.world, lambda request: outcomes.get(request.key.path, {"out": 1})):
        run_id = await whole.submit()
        assert await whole.ended(run_id) == t.FAILED
        before = store.load_run(run_id)
        retry = (await whole.runs.RetryRun(r.RetryRunRequest(run_id=run_id, dry_run=True))).plan
        assert (list(retry.resets), dict(retry.steps), retry.kept) == (["b", "c"], {"FAILED": 1}, 1)
        restart = (
            await whole.runs.RestartRun(r.RestartRunRequest(run_id=run_id, path="a", dry_run=True))
        ).plan
        assert (list(restart.resets), dict(restart.steps)) == (
            ["a", "b", "c"],
            {"SUCCEEDED": 1, "FAILED": 1},
        )
        mark = r.MarkBlockRequest(
            run_id=run_id, path="b", status=t.SUCCEEDED, outputs_json={}, reason="so", dry_run=True
        )
        assert "out" in (await whole.runs.MarkBlock(mark)).plan.refusal
        mark.outputs_json["out"] = "1"
        marked = (await whole.runs.MarkBlock(mark)).plan
        assert (marked.refusal, [e.WhichOneof("event") for e in marked.events][-1]) == (
            "",
            "step_became_ready",
        )
        fork = await whole.runs.ForkRun(r.ForkRunRequest(run_id=run_id, reset=["a"], dry_run=True))
        assert (fork.created, fork.run.run_id, list(fork.plan.resets)) == (False, "", ["a", "b"])
        after = store.load_run(run_id)
        assert replace(after, published_seq=0) == replace(before, published_seq=0)
        assert len(store.list_runs("default").runs) == 1
        assert store.unapplied(before.partition) == []
        # What was told is what happens.
        outcomes.clear()
        await whole.runs.RetryRun(r.RetryRunRequest(run_id=run_id))
        assert await whole.ended(run_id) == t.SUCCEEDED
    reset = next(e.blocks_reset for e in store.history(run_id) if e.HasField("blocks_reset"))
    assert list(reset.paths) == list(retry.resets)


async def test_a_failed_run_goes_on_with_new_code_and_keeps_what_came_before(whole: Whole) -> None:
    """Into a version that fits; what does not fit is refused with the reasons, and may be reset."""
    bad, good, other = ({"a": each} for each in ("bad", "good", "other"))
    asked = [d.Parameter(name="n", type=d.VALUE_TYPE_INT, default_json="1")]
    first = whole.register(step("a"), _configured(step("b"), bad), step("c"), parameters=asked)
    fixed = whole.register(step("a"), _configured(step("b"), good), step("c"), step("d"))
    wrong = whole.register(_configured(step("a"), other), _configured(step("b"), good))
    store = whole.member.store.store
    outcomes: dict[str, Any] = {"b": BAD}
    async with playing(
        whole.world, lambda request: outcomes.get(request.key.path, {"out": 1})
    ) as player:
        run_id = await whole.submit(version=first, params_json={"n": "5"})
        assert await whole.ended(run_id) == t.FAILED
        outcomes.clear()
        request = r.ForkRunRequest(run_id=run_id, version=wrong, failed=True)
        told = f"a has other settings in the new version. To run this again, too: kaon fork {run_id} --reset a --file FILE"
        await refused(whole.runs.ForkRun, request, PRECONDITION, told)
        request = r.ForkRunRequest(run_id=run_id, version=fixed, failed=True, dry_run=True)
        plan = (await whole.runs.ForkRun(request)).plan
        assert (plan.kept, dict(plan.steps)) == (1, {"FAILED": 1})
        request.dry_run = False
        fork = (await whole.runs.ForkRun(request)).run
        assert (fork.version, fork.forked_from_run_id) == (fixed, run_id)
        assert await whole.ended(fork.run_id) == t.SUCCEEDED
        ran = [each.key.path for each in player.requests if each.key.run_id == fork.run_id]
        assert ran == ["b", "c", "d"]
        # A parameter that the new version lacks is left behind.
        assert not store.get_run("default", fork.run_id).params
        # A fork of the fork, back to the first version: the whole chain is folded again.
        back = (
            await whole.runs.ForkRun(
                r.ForkRunRequest(run_id=fork.run_id, version=wrong, reset=["a", "b"])
            )
        ).run
        assert await whole.ended(back.run_id) == t.SUCCEEDED
        nothing = r.ForkRunRequest(run_id=fork.run_id, failed=True)
        await refused(whole.runs.ForkRun, nothing, PRECONDITION, "nothing has failed")
    for each in (run_id, fork.run_id, back.run_id):
        assert (await whole.runs.VerifyRun(r.VerifyRunRequest(run_id=each))).matches
    changed = next(
        e.definition_changed for e in store.history(fork.run_id) if e.HasField("definition_changed")
    )
    assert (changed.from_version, changed.to_version) == (first, fixed)
    assert (list(changed.paths), list(changed.added)) == (["b"], ["d"])


def _configured(block: d.Block, config: object) -> d.Block:
    block.step.config_json = canonical.dumps(config)
    return block
