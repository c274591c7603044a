"""Watches: nothing is lost and nothing told twice does harm, whenever a watcher leaves and comes back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from kaon_coordinator.view import recent, states
from kaon_coordinator.view import watching as watches
from kaon_coordinator.view.columns import from_u32
from kaon_coordinator.view.hub import Hub, Watching
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.view.v1 import cells_pb2, run_view_pb2, runs_pb2, watch_pb2

from ..engine.build import fan, for_each, literal, step, workflow
from ..engine.machine import Machine
from ..engine.test_random_runs import play as play_machine
from ..store.build import new_run
from .conftest import Played, Served, play

PATIENCE = 30


class Page:
    """What a page makes of what it is told of one run: as a browser would."""

    def __init__(self) -> None:
        self.cursor = ""
        self.view = run_view_pb2.RunView()
        self.snapshots = 0

    def take(self, told: watch_pb2.WatchResponse) -> None:
        """Applies a response."""
        self.cursor = told.cursor
        self.snapshots += told.snapshot
        if told.snapshot:
            self.view = run_view_pb2.RunView()
        gone = set(told.run.removed)
        for name in ("steps", "blocks", "folded"):
            shown = {each.path: each for each in getattr(self.view, name) if each.path not in gone}
            shown.update((each.path, each) for each in getattr(told.run, name))
            self.view.ClearField(name)  # type: ignore[arg-type]
            getattr(self.view, name).extend(shown.values())
        self.view.run.CopyFrom(told.run.run)


@asynccontextmanager
async def watching(
    served: Served, *topics: watch_pb2.Topic, together: bool = False
) -> AsyncIterator[AsyncIterator[watch_pb2.WatchResponse]]:
    """A watch, until the context ends."""
    call = served.stub.Watch(watch_pb2.WatchRequest(topics=topics, together=together))
    try:
        yield aiter(call)
    finally:
        call.cancel()


async def answer(
    stream: AsyncIterator[watch_pb2.WatchResponse], key: str = "t"
) -> watch_pb2.WatchResponse:
    """The next response about a topic."""
    async with asyncio.timeout(PATIENCE):
        while True:
            told = await anext(stream)
            if told.key == key:
                return told


def topic(cursor: str = "", key: str = "t", **kind: Any) -> watch_pb2.Topic:
    return watch_pb2.Topic(key=key, cursor=cursor, **kind)


async def same(served: Served, page: Page, run: Played) -> None:
    """The page shows what a new one would be shown."""
    now = run_view_pb2.Moment(seq=run.state.seq)
    wish = run_view_pb2.GetRunViewRequest(run_id=run.run_id, moment=now, iterations=1_000)
    truth = (await served.stub.GetRunView(wish)).view
    assert page.view.run == truth.run
    for name in ("steps", "blocks"):
        shown = sorted(getattr(page.view, name), key=lambda each: each.path)
        assert shown == sorted(getattr(truth, name), key=lambda each: each.path)
    counts = {node.path: node for node in page.view.folded if node.total}
    assert counts == {node.path: node for node in truth.folded if node.total}


def pieces(machine: Machine, draw: random.Random) -> list[Sequence[history_pb2.HistoryEvent]]:
    """The history in transactions."""
    rest, found = list(machine.history), []
    while rest:
        size = draw.randint(1, 9)
        found.append(rest[:size])
        rest = rest[size:]
    return found


async def caught_up(
    stream: AsyncIterator[watch_pb2.WatchResponse], page: Page, run: Played
) -> None:
    """Takes responses until the page knows the newest event."""
    while page.view.run.last_seq < run.state.seq:
        page.take(await answer(stream))


def note_leaving(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """An event that is set whenever somebody watches no more."""
    left, watch = asyncio.Event(), Hub.watch

    @contextmanager
    def noted(self: Hub, who: Watching) -> Iterator[None]:
        try:
            with watch(self, who):
                yield
        finally:
            left.set()

    monkeypatch.setattr(Hub, "watch", noted)
    return left


@pytest.mark.parametrize("seed", range(6))
async def test_a_page_that_leaves_and_comes_back_shows_what_is(
    served: Served, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = note_leaving(monkeypatch)
    # Who comes back is told at once, and not when the view has looked at the database.
    object.__setattr__(served.parts, "poll_seconds", 3_600)
    machine = play_machine(seed, commands=0.1, retries=2)
    run, page, draw = play(served.store, machine.definition), Page(), random.Random(seed)
    rest = pieces(machine, draw)
    while rest:
        wish = watch_pb2.RunTopic(run_id=run.run_id, iterations=1_000)
        async with watching(served, topic(page.cursor, run=wish)) as stream:
            await caught_up(stream, page, run)
            for _ in range(draw.randint(1, 4)):
                if rest:
                    run.write(rest.pop(0))
                    served.told.changed(run.run_id)
                    await caught_up(stream, page, run)
        # This happens while nobody watches: the view has noticed that the page has left.
        async with asyncio.timeout(PATIENCE):
            await left.wait()
        left.clear()
        for _ in range(draw.randint(0, 3)):
            if rest:
                run.write(rest.pop(0))
    wish = watch_pb2.RunTopic(run_id=run.run_id, iterations=1_000)
    async with watching(served, topic(page.cursor, run=wish)) as stream:
        await caught_up(stream, page, run)
    await same(served, page, run)
    assert page.snapshots == 1


@pytest.mark.parametrize("together", [True, False])
async def test_what_is_told_at_one_moment_is_one_response_for_who_wants_that(
    served: Served, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However long a look takes here.
    monkeypatch.setattr(watches, "_TOGETHER_SECONDS", PATIENCE)
    monkeypatch.setattr(watches.Stream, "_rest", lambda *_, **__: 0.0)
    machine = play_machine(1)
    run = play(served.store, machine.definition)
    of_run = topic(key="run", run=watch_pb2.RunTopic(run_id=run.run_id))
    of_events = topic(key="events", events=watch_pb2.EventsTopic(run_id=run.run_id))
    told: list[list[watch_pb2.WatchResponse]] = []
    async with watching(served, of_run, of_events, together=together) as stream:
        for piece in pieces(machine, random.Random(1)):
            run.write(piece)
            served.told.changed(run.run_id)
            known = {"run": 0, "events": 0}
            async with asyncio.timeout(PATIENCE):
                while min(known.values()) < run.state.seq:
                    response = await anext(stream)
                    told.append([response, *response.also])
                    known.update((each.key, int(each.cursor.split(":")[0])) for each in told[-1])
    keys = [[each.key for each in responses] for responses in told]
    # A whole state may take long: nothing waits for it.
    assert keys[:2] == [["run"], ["events"]]
    assert (["run", "events"] in keys) is together
    assert not any(each.also for _, *others in told for each in others)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 70_000])
def test_responses_are_joined_as_the_generated_messages_would(size: int) -> None:
    first, *others = (
        watch_pb2.WatchResponse(key=key, failure=watch_pb2.TopicFailure(message="m" * size))
        for key in ("a", "b", "c")
    )
    whole = watches.joined([each.SerializeToString() for each in (first, *others)])
    assert watch_pb2.WatchResponse.FromString(whole) == watch_pb2.WatchResponse(
        key="a", failure=first.failure, also=others
    )


async def test_a_run_that_is_watched_stays_in_memory_while_nothing_happens(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "IDLE_SECONDS", 0)
    states, swept = served.parts.states, asyncio.Event()
    sweep = states.sweep

    def sweeps(watched: Iterable[str]) -> None:
        sweep(watched)
        swept.set()

    watched, left = (play(served.store, workflow(fan(step("s")))) for _ in range(2))
    async with watching(served, topic(run=watch_pb2.RunTopic(run_id=watched.run_id))) as stream:
        await answer(stream)
        await served.stub.GetRunView(run_view_pb2.GetRunViewRequest(run_id=left.run_id))
        monkeypatch.setattr(states, "sweep", sweeps)
        async with asyncio.timeout(PATIENCE):
            await swept.wait()
        kept = [states._kept.peek((run.run_id, True)) is not None for run in (watched, left)]
    assert kept == [True, False]


async def test_a_page_is_told_of_many_events_at_once_from_rows_and_goes_on_from_the_state(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "MANY_STEPS", -1)
    monkeypatch.setattr(states, "MANY_EVENTS", 1)
    definition = workflow(fan(for_each("each", literal(list("abc")), fan(step("s")))))
    machine = Machine(definition, 1, trouble=0.2)
    while machine.happen():
        pass
    run, page = play(served.store, definition), Page()
    # One after the other, then many at once, then one after the other again.
    history = machine.history
    few, many = history[:5], history[5:-5]
    wish = watch_pb2.RunTopic(run_id=run.run_id, iterations=1_000)
    async with watching(served, topic(run=wish)) as stream:
        for events in ([each] for each in few):
            run.write(events)
            served.told.changed(run.run_id)
            await caught_up(stream, page, run)
        before = page.snapshots
        run.write(many)
        served.told.changed(run.run_id)
        await caught_up(stream, page, run)
        assert page.snapshots > before
        for events in ([each] for each in history[-5:]):
            run.write(events)
            served.told.changed(run.run_id)
            await caught_up(stream, page, run)
    await same(served, page, run)


async def test_a_cursor_that_is_too_old_or_unknown_begins_with_a_snapshot(served: Served) -> None:
    machine = play_machine(3)
    run = play(served.store, machine.definition)
    half = len(machine.history) // 2
    run.write(machine.history[:half])
    wish = watch_pb2.RunTopic(run_id=run.run_id)
    async with watching(served, topic(run=wish)) as stream:
        cursor = (await answer(stream)).cursor
    served.parts.states.drop(run.run_id)
    run.write(machine.history[half:])
    for each in (cursor, "x", "999999:a:1"):
        async with watching(served, topic(each, run=wish)) as stream:
            told = await answer(stream)
            assert (told.snapshot, told.run.run.last_seq) == (True, run.state.seq)


async def test_all_who_watch_the_same_are_told_of_a_change_that_is_looked_at_once(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = play_machine(5)
    run = play(served.store, machine.definition)
    run.write(machine.history[:5])
    reads, count = served.reads.store.get_run, 0

    def counted(tenant: str, run_id: str) -> Any:
        nonlocal count
        count += 1
        return reads(tenant, run_id)

    wish = topic(run=watch_pb2.RunTopic(run_id=run.run_id))
    async with (
        watching(served, wish) as first,
        watching(served, wish) as second,
        watching(served, wish) as third,
    ):
        for stream in (first, second, third):
            assert (await answer(stream)).snapshot
        monkeypatch.setattr(served.reads.store, "get_run", counted)
        run.write(machine.history[5:9])
        served.told.changed(run.run_id)
        told = [await answer(stream) for stream in (first, second, third)]
    assert {each.run.run.last_seq for each in told} == {run.state.seq}
    assert count == 1


async def test_cells_are_told_as_they_change(served: Served) -> None:
    definition = workflow(fan(for_each("each", literal(list("abc")), fan(step("s")))))
    machine = Machine(definition, 1, trouble=0)
    while machine.happen():
        pass
    run = play(served.store, definition)
    wish = watch_pb2.CellsTopic(run_id=run.run_id, block="each", node="s")
    begun = next(n for n, e in enumerate(machine.history) if e.HasField("block_started")) + 1
    run.write(machine.history[:begun])
    async with watching(served, topic(cells=wish)) as stream:
        told = await answer(stream)
        assert (told.snapshot, told.cells.total, told.cells.columns.count) == (True, 3, 3)
        statuses = dict(enumerate(told.cells.columns.status))
        for event in machine.history[begun:]:
            run.write([event])
            served.told.changed(run.run_id)
        truth = await served.stub.GetCells(
            cells_pb2.GetCellsRequest(run_id=run.run_id, block="each", node="s")
        )
        while bytes(statuses.values()) != truth.columns.status:
            told = await answer(stream)
            assert not told.snapshot
            indexes = from_u32(told.cells.columns.index)
            statuses.update(zip(indexes, told.cells.columns.status, strict=True))


async def test_events_come_once_each_over_two_watches(served: Served) -> None:
    machine = play_machine(2, commands=0.1)
    run, half = play(served.store, machine.definition), len(machine.history) // 2
    run.write(machine.history[:half])
    seen: list[int] = []
    cursor, wish = "", watch_pb2.EventsTopic(run_id=run.run_id)
    for last in (half, len(machine.history)):
        async with watching(served, topic(cursor, events=wish)) as stream:
            while not seen or seen[-1] < last:
                told = await answer(stream)
                assert told.snapshot == (cursor == "")
                cursor = told.cursor
                seen += [event.seq for event in told.events.events]
        run.write(machine.history[half:] if last == half else [])
    assert seen == list(range(max(1, half - 99), len(machine.history) + 1))


async def test_runs_that_come_change_and_no_longer_match_are_told_to_their_tenant_alone(
    served: Served,
) -> None:
    machine = play_machine(4)
    first = play(served.store, machine.definition, labels={"team": "search"})
    active = runs_pb2.RunFilter(
        statuses=[run_pb2.STATUS_PENDING, run_pb2.STATUS_RUNNING], labels={"team": ""}
    )
    async with watching(served, topic(runs=watch_pb2.RunsTopic(filter=active))) as stream:
        told = await answer(stream)
        assert (told.snapshot, [each.run.run_id for each in told.runs.runs]) == (
            True,
            [first.run_id],
        )
        served.store.submit_run(new_run(run_id="theirs", tenant="theirs", labels={"team": "x"}))
        served.store.submit_run(new_run(run_id="second", labels={"team": "x"}))
        served.store.submit_run(new_run(run_id="plain"))
        served.told.changed("theirs", "second", "plain")
        told = await answer(stream)
        assert ([each.run.run_id for each in told.runs.runs], list(told.runs.removed)) == (
            ["second"],
            ["plain"],
        )
        first.write(machine.history)
        served.told.changed(first.run_id)
        told = await answer(stream)
        assert (list(told.runs.runs), list(told.runs.removed)) == ([], [first.run_id])


async def test_logs_are_tailed_and_go_on(served: Served) -> None:
    run = play(served.store, play_machine(1).definition)
    key = step_pb2.StepKey(run_id=run.run_id, path="a", attempt=1, generation=1)

    def print_lines(first: int, last: int) -> None:
        lines = [
            log_pb2.LogLine(sequence=number, text=f"line {number}")
            for number in range(first, last + 1)
        ]
        served.store.archive_logs([log_pb2.LogLines(key=key, incarnation="i", lines=lines)])

    print_lines(1, 30)
    print_lines(31, 40)
    wish, cursor = watch_pb2.LogsTopic(run_id=run.run_id, tail=15), ""
    seen: list[int] = []
    for more in ((41, 45), (46, 50)):
        async with watching(served, topic(cursor, logs=wish)) as stream:
            wanted = more[0] - 1
            while not seen or seen[-1] < wanted:
                told = await answer(stream)
                cursor = told.cursor
                seen += [line.sequence for record in told.logs.lines for line in record.lines]
        print_lines(*more)
    assert seen == list(range(26, 46))


async def test_a_topic_of_another_tenant_or_of_nothing_fails_and_the_others_go_on(
    served: Served,
) -> None:
    run = play(served.store, play_machine(1).definition)
    theirs = new_run(run_id="theirs", tenant="theirs")
    served.store.submit_run(theirs)
    wishes = [
        topic(key="theirs", run=watch_pb2.RunTopic(run_id="theirs")),
        topic(key="cells", cells=watch_pb2.CellsTopic(run_id=run.run_id, block="none")),
        topic(key="t", run=watch_pb2.RunTopic(run_id=run.run_id)),
    ]
    async with watching(served, *wishes) as stream:
        async with asyncio.timeout(PATIENCE):
            told = {each.key: each for each in [await anext(stream) for _ in wishes]}
    assert told["theirs"].failure.status == told["cells"].failure.status == "NOT_FOUND"
    assert told["t"].run.run.run_id == run.run_id
