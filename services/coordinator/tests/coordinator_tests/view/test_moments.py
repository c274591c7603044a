"""What is shown of a run at any moment is what its history gives: on random runs with retries, resets and commands."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from kaon_coordinator.api.time_travel import run_at
from kaon_coordinator.engine.rows import codec
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.base import Store
from kaon_coordinator.store.records import RunRecord
from kaon_coordinator.view import states
from kaon_coordinator.view.folding import folded
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.view.v1 import cells_pb2
from kaonapi.view.v1 import run_view_pb2 as v

from ..engine.machine import Machine
from ..engine.test_random_runs import play as play_machine
from .conftest import Played, Served, play

SEEDS = range(12)


def kept(store: Store, machine: Machine) -> Played:
    """The random run, written in pieces."""
    run = play(store, machine.definition)
    events = list(machine.history)
    for first in range(0, len(events), 7):
        run.write(events[first : first + 7])
    return run


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_run_is_shown_at_any_event_as_its_history_gives_it(
    served: Served, seed: int
) -> None:
    run = kept(served.store, play_machine(seed, commands=0.1, retries=2))
    draw = random.Random(seed)
    newest = run.state.seq
    for seq in [newest, *draw.sample(range(1, newest + 1), min(12, newest)), 1, newest]:
        record = served.store.get_run("default", run.run_id)
        truth = run_at(served.store, record, seq)
        wish = v.GetRunViewRequest(
            run_id=run.run_id, moment=v.Moment(seq=seq), hash=True, iterations=1_000
        )
        told = (await served.stub.GetRunView(wish)).view
        assert told.state_hash == truth.state_hash
        assert told.run == truth.run
        assert list(told.steps) == [step for step in truth.steps if folded(step.path) is None]
        assert list(told.blocks) == [block for block in truth.blocks if folded(block.path) is None]
        assert _counts(told) == _counted(truth)


def _counts(view: v.RunView) -> dict[str, dict[int, int]]:
    """By place of steps and blocks."""
    nodes = [node for node in view.folded if node.kind != "cell"]
    return {
        node.path: {each.status: each.count for each in node.counts} for node in nodes if node.total
    }


def _counted(truth: r.GetRunAtResponse) -> dict[str, dict[int, int]]:
    found: dict[str, Counter[int]] = {}
    for node in (*truth.steps, *truth.blocks):
        place = folded(node.path)
        if place is not None:
            found.setdefault(place[1], Counter())[node.status] += 1
    return {path: dict(counts) for path, counts in found.items()}


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_cells_of_every_foreach_are_those_of_the_history(
    served: Served, seed: int
) -> None:
    run = kept(served.store, play_machine(seed, commands=0.1, retries=2))
    draw = random.Random(seed)
    for seq in draw.sample(range(1, run.state.seq + 1), min(6, run.state.seq)):
        truth = run_at(served.store, served.store.get_run("default", run.run_id), seq)
        for block in truth.blocks:
            if block.kind != "for_each":
                continue
            moment = v.Moment(seq=seq)
            wish = cells_pb2.GetCellsRequest(run_id=run.run_id, block=block.path, moment=moment)
            told = await served.stub.GetCells(wish)
            statuses = Counter(t.short(status) for status in told.columns.status if status)  # type: ignore[arg-type]
            assert dict(statuses) == dict(block.cells)
            assert told.total == max(block.total, block.started)
            page = cells_pb2.ListCellsRequest(
                run_id=run.run_id, block=block.path, moment=moment, page_size=1
            )
            listed: list[int] = []
            while True:
                answer = await served.stub.ListCells(page)
                listed += [cell.status for cell in answer.cells]
                if not answer.next_page_token:
                    break
                page.page_token = answer.next_page_token
            assert bytes(listed) == told.columns.status


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_large_run_is_shown_from_its_rows_as_from_its_state(
    served: Served, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = kept(served.store, play_machine(seed, commands=0.1, retries=2))
    wish = v.GetRunViewRequest(run_id=run.run_id, iterations=1_000)
    truth = await served.stub.GetRunView(wish)
    served.parts.states.drop(run.run_id)
    monkeypatch.setattr(states, "MANY_STEPS", -1)
    told = await served.stub.GetRunView(wish)
    for view in (told.view, truth.view):
        nodes = sorted((node for node in view.folded if node.total), key=lambda node: node.path)
        view.ClearField("folded")
        view.folded.extend(nodes)
    assert told == truth
    for block in truth.view.blocks:
        for node in ("", "s", "s0", "s1"):
            if block.kind == "for_each":
                cells = cells_pb2.GetCellsRequest(run_id=run.run_id, block=block.path, node=node)
                served.parts.states.drop(run.run_id)
                monkeypatch.setattr(states, "MANY_STEPS", -1)
                shown = await served.stub.GetCells(cells)
                monkeypatch.setattr(states, "MANY_STEPS", 2_000)
                assert shown == await served.stub.GetCells(cells)


def test_rows_are_read_only_where_the_events_that_lack_take_longer(served: Served) -> None:
    machine = play_machine(3)
    run = play(served.store, machine.definition)
    run.write(machine.history)
    record, kept = served.store.get_run("default", run.run_id), served.parts.states

    def behind(events: int) -> RunRecord:
        return replace(
            record, row=replace(record.row, steps_total=10_000, seq=run.state.seq + events)
        )

    assert kept.is_slow(behind(0))
    kept.warm(record, lambda: None)
    assert [kept.is_slow(behind(events)) for events in (0, 5_000, 5_001)] == [False, False, True]


def test_a_state_is_read_in_pieces_between_which_others_look_at_the_run(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, kept = play_machine(4, commands=0.1, retries=2), served.parts.states
    run = play(served.store, machine.definition)
    run.write(machine.history[:5])
    begun = served.store.get_run("default", run.run_id)
    kept.warm(begun, lambda: None)
    run.write(machine.history[5:])
    seen: list[int] = []

    def look() -> None:
        with kept.newest(begun) as live:
            seen.append(live.state.seq)

    monkeypatch.setattr(states, "_PAGE", 7)
    record = served.store.get_run("default", run.run_id)
    kept.warm(record, look)
    newest = run.state.seq
    assert seen == [*range(12, newest, 7), newest, newest]
    with kept.newest(record) as live:
        assert codec.digest(live.state) == codec.digest(run.state)
