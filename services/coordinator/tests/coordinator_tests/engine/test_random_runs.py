"""Random workflows of all blocks under random events, commands and crashes of their owner: every run ends, and its history, its
rows and its state always tell the same."""

from __future__ import annotations

import pytest

from kaon_coordinator.engine.messages import Resume, Retry
from kaon_coordinator.engine.state import transitions as t
from kaon_wire.definitions.validate import validate

from .changing import changed
from .machine import Machine
from .random_workflows import Generator

SEEDS = 400
MOVES = 3_000
# Forks that broke once, and whether into another version: a cell that was held back and never went on, a step that began before
# its fork, a hook that ran for no outcome, and an end whose order was told by another clock.
BROKE = (
    (3143, False),
    (3590, True),
    (3833, True),
    (3905, False),
    (10766, True),
    (10795, False),
)


def play(
    seed: int, *, commands: float = 0.0, crashes: float = 0.0, depth: int = 2, retries: int = 0
) -> Machine:
    definition = Generator(seed, depth=depth).workflow()
    assert validate(definition) == []
    return play_on(Machine(definition, seed), commands=commands, crashes=crashes, retries=retries)


def play_fork(
    seed: int,
    *,
    commands: float = 0.0,
    crashes: float = 0.0,
    other: bool = False,
    depth: int = 2,
    retries: int = 0,
) -> Machine:
    """Plays a run, and then a fork of it from any of its events with any of its places begun anew; also in another version."""
    original = play(seed, commands=commands, depth=depth)
    events = original.random.randint(1, len(original.history))
    then = original.replayed(events)
    places = sorted([*then.steps, *then.blocks, *(key for key in then.scopes if key)])
    reset = original.random.sample(places, original.random.randint(0, min(2, len(places))))
    definition = changed(original.definition, original.random) if other else original.definition
    fork = Machine(
        definition,
        seed,
        original=original.history[:events],
        reset=reset,
        old=original.definition if other else None,
    )
    return play_on(fork, commands=commands, crashes=crashes, retries=retries)


def play_on(
    machine: Machine, *, commands: float = 0.0, crashes: float = 0.0, retries: int = 0
) -> Machine:
    for move in range(MOVES):
        quiet = move > 150
        if not quiet and machine.random.random() < commands:
            machine.command()
        elif not quiet and machine.random.random() < crashes:
            machine.crash()
        elif not quiet and machine.random.random() < 0.05:
            machine.renew()
        elif machine.state.paused and quiet:
            machine.tell(Resume(reason="", requester="me"))
        elif not machine.happen():
            if machine.state.ended and retries and machine.state.status != t.SUCCEEDED:
                retries -= 1
                machine.tell(Retry(path="", reason="", requester="me"))
                continue
            if machine.state.ended or not machine.state.paused:
                break
            machine.tell(Resume(reason="", requester="me"))
        if machine.random.random() < 0.03:
            machine.check()
    machine.check()
    assert machine.state.ended, f"seed {machine.seed}: {machine.status()}\n{machine.told()}"
    return machine


@pytest.mark.parametrize("start", range(0, SEEDS // 4, 50))
def test_a_run_ends_and_its_history_and_rows_give_its_state(start: int) -> None:
    for seed in range(start, start + 50):
        play(seed)


@pytest.mark.parametrize("start", range(0, SEEDS, 100))
def test_commands_of_any_kind_at_any_time_keep_history_and_rows_true(start: int) -> None:
    for seed in range(start, start + 100):
        play(seed, commands=0.1)


def test_a_run_that_is_retried_goes_on_with_its_children() -> None:
    continued = 0
    # In seed 129 an end from before the retry arrives after it, and the parent asks again.
    for seed in range(50, 170):
        machine = play(seed, commands=0.05, crashes=0.05, retries=3)
        continued += sum(event.child_run_started.continued for event in machine.history)
    assert continued > 10


@pytest.mark.parametrize("start", range(0, SEEDS, 100))
def test_an_owner_that_dies_at_any_time_loses_nothing(start: int) -> None:
    for seed in range(start, start + 100):
        play(seed, commands=0.05, crashes=0.1)


@pytest.mark.parametrize("start", range(0, SEEDS, 100))
def test_a_fork_from_any_event_ends_and_its_history_and_rows_give_its_state(start: int) -> None:
    for seed in range(start, start + 100):
        play_fork(seed, commands=0.08, crashes=0.05)


@pytest.mark.parametrize("start", range(0, SEEDS, 100))
def test_a_fork_into_any_other_version_ends_and_its_history_and_rows_give_its_state(
    start: int,
) -> None:
    for seed in range(start, start + 100):
        play_fork(seed, commands=0.08, crashes=0.05, other=True)


@pytest.mark.parametrize(("seed", "other"), BROKE)
def test_a_fork_that_broke_once_ends(seed: int, other: bool) -> None:
    play_fork(seed, commands=0.05 if other else 0.08, crashes=0.05, other=other)


@pytest.mark.parametrize("start", range(0, SEEDS // 4, 20))
def test_blocks_nested_deeply_end_too(start: int) -> None:
    for seed in range(start, start + 20):
        play(seed, commands=0.05, crashes=0.02, depth=4)
