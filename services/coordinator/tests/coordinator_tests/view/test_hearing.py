"""Events that the view hears are folded without being read: what is lost, doubled or late on their way does no harm."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

import pytest

from kaon_coordinator.api.feed import RunFeed
from kaon_coordinator.view import heard_events, states, topics
from kaon_coordinator.view.columns import from_u32
from kaon_coordinator.view.heard_events import HeardEvents
from kaon_coordinator.view.kafka_source import _tell
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.view.v1 import watch_pb2

from ..engine.build import fan, for_each, literal, step, workflow
from ..engine.machine import Machine
from ..engine.test_random_runs import play as play_machine
from .conftest import Served, play
from .test_watch import Page, answer, caught_up, pieces, same, topic, watching

Events = Sequence[history_pb2.HistoryEvent]


def numbered(*seqs: int) -> list[history_pb2.HistoryEvent]:
    return [history_pb2.HistoryEvent(seq=seq) for seq in seqs]


def seqs(events: Events) -> list[int]:
    return [event.seq for event in events]


def cells_of(count: int, *blocks: str) -> Machine:
    """A run of foreaches, of one unless named, to its end."""
    items = literal([f"k{number}" for number in range(count)])
    foreaches = [for_each(block, items, fan(step("s"))) for block in blocks or ("each",)]
    machine = Machine(workflow(fan(*foreaches)), 5, trouble=0, waiting_steps=1_000)
    while machine.happen():
        pass
    return machine


def test_events_are_taken_as_far_as_they_follow_each_other() -> None:
    heard = HeardEvents()
    heard.add(numbered(3, 4, 5))
    heard.add(numbered(4, 5, 6))
    assert [heard.newest(seq) for seq in (1, 2, 4, 6, 9)] == [1, 6, 6, 6, 9]
    assert seqs(heard.take(1, 10)) == []
    assert seqs(heard.take(3, 2)) == [4, 5]
    assert seqs(heard.take(5, 10)) == [6]
    assert not len(heard)


def test_after_a_gap_only_what_follows_it_is_kept() -> None:
    heard = HeardEvents()
    heard.add(numbered(1, 2))
    heard.add(numbered(4, 5))
    assert (heard.newest(0), heard.newest(2), heard.newest(3)) == (0, 2, 5)
    assert seqs(heard.take(3, 10)) == [4, 5]


def test_no_more_wait_than_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heard_events, "MOST_HEARD", 3)
    heard = HeardEvents()
    heard.add(numbered(1, 2, 3, 4, 5))
    assert (len(heard), heard.newest(0), heard.newest(3)) == (2, 0, 5)


def test_what_a_state_keeps_of_an_event_does_not_keep_its_record() -> None:
    events = numbered(1, 2, 3, 4)
    events[0].cell_started.path = "a[0]"
    events[1].step_ended.path = "a[0]/s"
    events[2].step_ended.error.message = "no"
    events[3].run_ended.error.message = "no"
    record = history_pb2.RunEvents(events=events)
    heard = HeardEvents()
    heard.add(record.events)
    taken = heard.take(0, 10)
    assert taken == events
    shared = [told is part for told, part in zip(taken, record.events, strict=True)]
    assert shared == [True, True, False, False]


@pytest.mark.parametrize("seed", range(8))
async def test_a_page_shows_what_is_whatever_becomes_of_what_is_told(
    served: Served, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "_FOLD_SECONDS", 0)
    monkeypatch.setattr(states, "_PAGE", 2)
    machine = play_machine(seed, commands=0.1, retries=2)
    run, page, draw = play(served.store, machine.definition), Page(), random.Random(seed)
    late: list[Events] = []
    wish = watch_pb2.RunTopic(run_id=run.run_id, iterations=1_000)
    async with watching(served, topic(run=wish)) as stream:
        await caught_up(stream, page, run)
        for events in pieces(machine, draw):
            run.write(events)
            match draw.choice(["told", "told", "told", "lost", "late", "twice"]):
                case "told":
                    served.told.happened(events)
                case "late":
                    late.append(events)
                case "twice":
                    served.told.happened(events)
                    served.told.happened(events)
            if late and draw.random() < 0.3:
                served.told.happened(late.pop(0))
            if draw.random() < 0.3:
                # As the view's own look finds what was lost.
                served.told.changed(run.run_id)
                await caught_up(stream, page, run)
        served.told.changed(run.run_id)
        await caught_up(stream, page, run)
    await same(served, page, run)
    assert page.snapshots == 1


async def test_what_was_heard_is_not_read(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = cells_of(5)
    run, page = play(served.store, machine.definition), Page()
    run.write(machine.history[:3])
    wish = watch_pb2.RunTopic(run_id=run.run_id, iterations=1_000)
    async with watching(served, topic(run=wish)) as stream:
        for event in machine.history[3:5]:
            run.write([event])
            served.told.happened([event])
            await caught_up(stream, page, run)
        read: list[str] = []
        for name in ("get_run", "history"):
            monkeypatch.setattr(served.parts.reads.store, name, lambda *_: read.append("read"))
        for event in machine.history[5:]:
            run.write([event])
            served.told.happened([event])
            await caught_up(stream, page, run)
        assert read == []
        monkeypatch.undo()
    await same(served, page, run)


async def test_what_is_lost_last_is_found_by_the_views_own_look(served: Served) -> None:
    machine = cells_of(5)
    run, page = play(served.store, machine.definition), Page()
    wish = watch_pb2.RunTopic(run_id=run.run_id, iterations=1_000)
    async with watching(served, topic(run=wish)) as stream:
        for events in (machine.history[:3], machine.history[3:5]):
            run.write(events)
            served.told.happened(events)
            await caught_up(stream, page, run)
        run.write(machine.history[5:])
        await caught_up(stream, page, run)
    await same(served, page, run)


async def test_what_comes_all_at_once_is_told_in_pieces_and_no_page_goes_back(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "_FOLD_SECONDS", 0)
    monkeypatch.setattr(states, "_PAGE", 7)
    for name, many in (("MANY_STEPS", -1), ("MANY_EVENTS", 1), ("EVENTS_OF_STEPS", 0)):
        monkeypatch.setattr(states, name, many)
    machine = cells_of(20)
    assert len(machine.history) > 100
    run, page = play(served.store, machine.definition), Page()
    known: list[int] = []
    run.write(machine.history[:2])
    of_run = topic(run=watch_pb2.RunTopic(run_id=run.run_id, iterations=1_000))
    async with watching(served, of_run) as stream:
        page.take(await answer(stream))
        # Such a run is shown from rows until its state has been read.
        served.parts.states.warm(served.store.get_run("default", run.run_id), lambda: None)
        run.write(machine.history[2:])
        served.told.happened(machine.history[2:])
        while page.view.run.last_seq < run.state.seq:
            page.take(await answer(stream))
            known.append(page.view.run.last_seq)
    await same(served, page, run)
    # No rows are read for what is heard, and nothing is told anew.
    assert page.snapshots == 1
    assert known == sorted(set(known))
    assert len(known) >= len(machine.history) // 14


async def test_cells_are_followed_while_their_foreach_begins_in_pieces(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "_FOLD_SECONDS", 0)
    monkeypatch.setattr(states, "_PAGE", 3)
    # No later tick helps: what is behind goes on by itself.
    object.__setattr__(served.parts, "poll_seconds", 3_600)
    machine = cells_of(20, "other", "each")
    run = play(served.store, machine.definition)
    begun = next(n for n, e in enumerate(machine.history) if e.HasField("block_started"))
    run.write(machine.history[: begun - 1])
    wish = watch_pb2.CellsTopic(run_id=run.run_id, block="each", node="s")
    with served.parts.states.newest(served.store.get_run("default", run.run_id)):
        pass
    run.write(machine.history[begun - 1 :])
    # The foreach is heard of, and not folded when its cells are looked at first.
    served.parts.states.hear(run.run_id, machine.history[begun - 1 :])
    cells = run.state.blocks["each"].cells
    wanted = [int(cells[index].nodes["s"].status) if index in cells else 0 for index in range(20)]
    async with watching(served, topic(cells=wish)) as stream:
        statuses: dict[int, int] = {}
        while [statuses.get(index, 0) for index in range(20)] != wanted:
            told = await answer(stream)
            assert not told.HasField("failure")
            columns = told.cells.columns
            indexes = range(columns.count) if told.snapshot else from_u32(columns.index)
            statuses.update(zip(indexes, columns.status, strict=True))


class Noted:
    """An ear that notes what it hears."""

    def __init__(self) -> None:
        self.events: list[int] = []
        self.running: list[tuple[str, run_pb2.StepView]] = []

    def happened(self, events: Events) -> None:
        self.events += seqs(events)

    def changed(self, run_ids: Collection[str]) -> None:
        raise AssertionError("this source knows events")

    def progress(self, run_id: str, view: run_pb2.StepView) -> None:
        self.running.append((run_id, view))


def test_the_coordinator_of_the_process_tells_its_events() -> None:
    feed, noted = RunFeed(), Noted()
    with feed.listen(noted):
        feed.publish(event for event in numbered(1, 2))
    assert noted.events == [1, 2]


def test_a_record_of_the_broker_tells_whole_events_and_progress() -> None:
    noted = Noted()
    view = run_pb2.StepView(path="s", progress=0.5)
    progress = history_pb2.RunProgress(run_id="r", step=view)
    _tell(noted, history_pb2.RunEvents(events=numbered(1, 2), progress=[progress]))
    assert (noted.events, noted.running) == ([1, 2], [("r", view)])


def test_a_look_folds_as_far_as_its_watcher_knows(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "_PAGE", 7)
    machine, kept = cells_of(20), served.parts.states
    run = play(served.store, machine.definition)
    run.write(machine.history[:5])
    kept.warm(served.store.get_run("default", run.run_id), lambda: None)
    run.write(machine.history[5:])
    record = served.store.get_run("default", run.run_id)
    # Somebody was told up to event 20 from rows; what comes next is not older.
    for least in (0, 20):
        with kept.newest(record, seconds=0, least=least) as live:
            assert live.state.seq == {0: 12, 20: 26}[least]
