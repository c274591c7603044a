"""Random workflows under random reports: every run ends, replay gives the same state, and so do the rows."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaon_coordinator.engine.messages import (
    Cancel,
    HandedBack,
    LeaseExpired,
    Start,
    Started,
    Stopped,
    Succeeded,
)
from kaon_coordinator.engine.rows.codec import (
    digest,
    restore,
    run_row,
    take_block_rows,
    take_step_rows,
)
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import RunState, StepState
from kaonapi.workflow.v1 import definition_pb2 as d

from .build import branch, chain, fan, for_each, literal, output, repeat, step, workflow
from .driver import Driver, failure


@st.composite
def graphs(draw: st.DrawFn, names: itertools.count[int] | None = None, depth: int = 2) -> d.Graph:
    names = names or itertools.count()
    blocks = [draw(_blocks(names, depth)) for _ in range(draw(st.integers(1, 3)))]
    return chain(*blocks) if draw(st.booleans()) else fan(*blocks)


@st.composite
def _blocks(draw: st.DrawFn, names: itertools.count[int], depth: int) -> d.Block:
    kind = draw(st.sampled_from(["step", "for_each", "repeat", "branch"])) if depth else "step"
    name = f"n{next(names)}"
    if kind == "step":
        return step(name, attempts=draw(st.integers(1, 2)))
    if kind == "for_each":
        items = literal(list(range(draw(st.integers(0, 3)))))
        body = draw(graphs(names, depth - 1))
        at_once, tolerate = draw(st.integers(0, 2)), draw(st.integers(0, 1))
        return for_each(name, items, body, at_once=at_once, tolerate=tolerate)
    if kind == "repeat":
        check = step(f"n{next(names)}")
        body = draw(graphs(names, depth - 1))
        tail = [block.name for block in body.blocks]
        edges = [*body.edges, *(d.Edge(source=source, target=check.name) for source in tail)]
        whole = d.Graph(blocks=[*body.blocks, check], edges=edges)
        return repeat(
            name, whole, output(check.name), draw(st.integers(1, 3)), accept=draw(st.booleans())
        )
    otherwise = draw(st.none() | graphs(names, depth - 1))
    return branch(name, literal(draw(st.booleans())), draw(graphs(names, depth - 1)), otherwise)


def restored(driver: Driver, rows: dict[str, object]) -> RunState:
    state = driver.state
    values = list(rows.values())
    return restore(
        workflow=state.workflow,
        run=run_row(state),
        tenant=state.tenant,
        submitter=state.submitter,
        params=state.params,
        steps=[row for row in values if hasattr(row, "attempt")],  # type: ignore[misc]
        blocks=[row for row in values if not hasattr(row, "attempt")],  # type: ignore[misc]
    )


def act(driver: Driver, choice: int, dice: list[int]) -> None:
    """One random thing happens."""
    held = [s.path for s in driver.state.steps.values() if s.status in {t.RUNNING, t.CANCELLING}]
    if choice == 0 and held:
        path = held[dice[0] % len(held)]
        driver.tell(LeaseExpired(issue=driver.state.steps[path].issue))
    elif choice == 1 and held:
        driver.tell(Stopped(lease=_held(driver, held[dice[0] % len(held)])))
    elif choice in {2, 3, 4} and held:
        driver.tell(
            Succeeded(lease=_held(driver, held[dice[0] % len(held)]), outputs={"out": "true"})
        )
    elif choice in {5, 6} and driver.requested:
        path = driver.take()
        driver.tell(Started(lease=driver.lease(path, f"r{dice[0] % 3}")))
    elif choice == 7 and driver.requested:
        path = driver.take()
        if driver.state.steps[path].status == t.READY:
            driver.tell(HandedBack(lease=driver.lease(path), reason="full"))
    elif choice == 8 and driver.history and dice[0] % 7 == 0:
        driver.tell(Cancel(reason="", requester=""))
    elif choice == 9 and driver.requested:
        driver.execute(driver.take())


def _held(driver: Driver, path: str):  # type: ignore[no-untyped-def]
    step_ = driver.state.steps[path]
    return driver.lease(path, step_.incarnation)


@pytest.mark.timeout(120)
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data(), body=graphs())
def test_whatever_happens_a_run_ends_and_replay_and_rows_agree(
    data: st.DataObject, body: d.Graph
) -> None:
    fails = data.draw(st.sets(st.integers(0, 12)))

    def behave(state: StepState):  # type: ignore[no-untyped-def]
        return failure() if int(state.block.name[1:]) in fails else {"out": True}

    driver = Driver(workflow(body), behave)
    driver.tell(Start())
    rows: dict[str, object] = {}
    for choice, *dice in data.draw(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99)), max_size=40)
    ):
        act(driver, choice, dice)
        rows |= {
            row.path: row for row in [*take_block_rows(driver.state), *take_step_rows(driver.state)]
        }
        if choice == 4:
            assert digest(restored(driver, rows)) == digest(driver.state)
            driver.state = restored(driver, rows)
    for path in list(driver.state.steps):
        step_ = driver.state.steps[path]
        while step_.status in {t.RUNNING, t.CANCELLING}:
            driver.tell(LeaseExpired(issue=step_.issue))
            driver.drain()
    driver.drain()
    assert driver.state.ended, {path: s.status for path, s in driver.state.steps.items()}
    driver.check_replay()
    rows |= {
        row.path: row for row in [*take_block_rows(driver.state), *take_step_rows(driver.state)]
    }
    assert digest(restored(driver, rows)) == digest(driver.state)
    assert [event.seq for event in driver.history] == list(range(1, len(driver.history) + 1))
