"""Attempts, events, times and steps, as the history of random runs tells them."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode, aio

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.paths import at_or_under
from kaon_coordinator.view import events as event_pages
from kaon_coordinator.view.columns import Clock, f32, from_u32, u8, u32
from kaon_coordinator.view.events import paths_of
from kaonapi.run.v1 import history_pb2
from kaonapi.view.v1 import run_view_pb2 as v

from ..engine.machine import Machine
from ..engine.test_random_runs import play as play_machine
from .conftest import Played, Served, play

SEEDS = range(6)
_ENDS = {"step_ended", "step_retry_scheduled", "step_lease_lost"}


def kept(served: Served, seed: int) -> tuple[Machine, Played]:
    machine = play_machine(seed, commands=0.1, retries=2)
    run = play(served.store, machine.definition)
    run.write(machine.history)
    return machine, run


def _without_lease(past: list[history_pb2.HistoryEvent]) -> set[str]:
    """The steps that have lost a lease, and whose next attempt has not become ready."""
    found: set[str] = set()
    for event in past:
        if event.HasField("step_lease_lost"):
            found.add(event.step_lease_lost.path)
        elif event.HasField("step_became_ready"):
            found.discard(event.step_became_ready.path)
    return found


def test_columns_hold_what_was_packed() -> None:
    assert list(from_u32(u32([0, 7, 2**40]))) == [0, 7, 2**32 - 1]
    assert u8([0, 4, 300]) == b"\x00\x04\xff"
    assert len(f32([0.5, math.nan, math.inf, 1e300])) == 16
    times = [0, 1_700_000_000_000_123, 1_700_000_000_750_000, 1_700_009_000_000_000]
    clock = Clock(times)
    told = [
        clock.base_us + (each - 1) * clock.unit_us if each else 0
        for each in from_u32(clock.pack(times))
    ]
    assert all(abs(one - other) < clock.unit_us for one, other in zip(times, told, strict=True))
    long = Clock([1, 2**50])
    assert from_u32(long.pack([2**50]))[0] < 2**32 - 1


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_attempt_has_a_span_at_any_event(served: Served, seed: int) -> None:
    machine, run = kept(served, seed)
    draw = random.Random(seed)
    newest = len(machine.history)
    for seq in [newest, *draw.sample(range(1, newest + 1), min(5, newest))]:
        told = await served.stub.GetSpans(
            v.GetSpansRequest(run_id=run.run_id, moment=v.Moment(seq=seq))
        )
        past = machine.history[:seq]
        ready = [event for event in past if event.HasField("step_became_ready")]
        assert list(from_u32(told.ready_seq)) == [event.seq for event in ready]
        assert told.count == len(ready) == len(told.outcome) == len(told.attempt)
        steps = machine.replayed(seq).steps
        lost = _without_lease(past)
        # The span of a lost lease has ended; its step waits for the next event.
        truth = Counter(step.status for path, step in steps.items() if path not in lost)
        spans = Counter(told.outcome)
        assert spans[t.RUNNING] == truth[t.RUNNING] + truth[t.CANCELLING]
        assert spans[t.READY] == truth[t.READY]


async def test_spans_are_thinned_to_what_can_be_drawn(served: Served) -> None:
    # The first run with attempts enough.
    seed = next(
        each for each in range(50) if _issues(play_machine(each, commands=0.1, retries=2)) > 20
    )
    machine, run = kept(served, seed)
    whole = await served.stub.GetSpans(v.GetSpansRequest(run_id=run.run_id))
    assert not whole.merged
    drawn = await served.stub.GetSpans(v.GetSpansRequest(run_id=run.run_id, pixels=1))
    assert sum(from_u32(drawn.merged)) == whole.count
    assert drawn.count < whole.count
    few = await served.stub.GetSpans(
        v.GetSpansRequest(run_id=run.run_id, max_spans=len(whole.nodes))
    )
    assert few.count <= len(whole.nodes)
    assert few.thinned
    path = next(iter(machine.state.steps))
    part = await served.stub.GetSpans(v.GetSpansRequest(run_id=run.run_id, path=path))
    issues = [e for e in machine.history if at_or_under(e.step_became_ready.path or "-", path)]
    assert part.count == len(issues)


@pytest.mark.parametrize("oldest_first", [True, False])
@pytest.mark.parametrize("read", [1_000, 20_000])
async def test_events_are_paged_in_both_directions_and_filtered(
    served: Served, oldest_first: bool, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_pages, "READ_EVENTS", read)
    machine, run = kept(served, 2)
    place = machine.history[-1].run_ended and next(iter(machine.state.steps))
    middle = machine.history[len(machine.history) // 2].time_us
    stamp = Timestamp()
    stamp.FromMicroseconds(middle)

    async def listed(**fields: object) -> list[int]:
        found: list[int] = []
        request = v.ListEventsRequest(
            run_id=run.run_id, page_size=7, oldest_first=oldest_first, **fields
        )  # type: ignore[arg-type]
        while True:
            page = await served.stub.ListEvents(request)
            found += [event.seq for event in page.events]
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return found if oldest_first else found[::-1]

    history = machine.history
    assert await listed() == [event.seq for event in history]
    ended = [event.seq for event in history if event.HasField("step_ended")]
    assert await listed(kinds=["step_ended"]) == ended
    under = [
        event.seq for event in history if any(at_or_under(each, place) for each in paths_of(event))
    ]
    assert await listed(path=place) == under
    assert await listed(until=stamp) == [event.seq for event in history if event.time_us < middle]
    assert await listed(**{"from": stamp}) == [
        event.seq for event in history if event.time_us >= middle
    ]
    with pytest.raises(aio.AioRpcError, match="no events 'step_fell'") as told:
        await listed(kinds=["step_fell"])
    assert told.value.code() == StatusCode.INVALID_ARGUMENT


async def test_the_event_at_a_time_is_the_newest_one_before(served: Served) -> None:
    machine, run = kept(served, 3)
    history = machine.history
    for time_us in [history[0].time_us - 1, *(event.time_us for event in history[::5]), 2**50]:
        stamp = Timestamp()
        stamp.FromMicroseconds(time_us)
        told = await served.stub.SeqAt(v.SeqAtRequest(run_id=run.run_id, time=stamp))
        assert told.seq == sum(event.time_us <= time_us for event in history)
        assert told.time_us == (history[told.seq - 1].time_us if told.seq else 0)
    assert (told.first_us, told.newest_us, told.newest_seq) == (
        history[0].time_us,
        history[-1].time_us,
        len(history),
    )


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_step_is_told_with_all_its_attempts_and_reports(served: Served, seed: int) -> None:
    machine, run = kept(served, seed)
    for path, step in machine.state.steps.items():
        told = await served.stub.GetStep(v.GetStepRequest(run_id=run.run_id, path=path))
        assert (told.step.status, told.step.attempt) == (step.status, step.attempt)
        assert dict(told.inputs_json) == dict(step.inputs)
        mine = [event for event in machine.history if path in set(paths_of(event))]
        issues = [e.step_became_ready for e in mine if e.HasField("step_became_ready")]
        assert [(a.attempt, a.generation) for a in told.attempts] == [
            (i.attempt, i.generation) for i in issues
        ]
        assert [a.end_seq for a in told.attempts if a.end_seq] == _ends_of(mine)
        metrics = [e.step_reported.metric for e in mine if e.step_reported.HasField("metric")]
        assert sum(len(series.value) for series in told.metrics) == len(metrics)
    with pytest.raises(aio.AioRpcError, match="no step 'nothing'") as error:
        await served.stub.GetStep(v.GetStepRequest(run_id=run.run_id, path="nothing"))
    assert error.value.code() == StatusCode.NOT_FOUND


def _issues(machine: Machine) -> int:
    return sum(event.HasField("step_became_ready") for event in machine.history)


def _ends_of(mine: list[history_pb2.HistoryEvent]) -> list[int]:
    """The events that ended an issue: the first end after each one, or the next issue."""
    found, is_open = [], False
    for event in mine:
        kind = event.WhichOneof("event")
        if kind == "step_became_ready":
            if is_open:
                found.append(event.seq)
            is_open = True
        elif kind in _ENDS and is_open:
            found.append(event.seq)
            is_open = False
    return found
