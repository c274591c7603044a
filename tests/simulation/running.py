"""Runs seeds: one, many, in several processes; and makes a failing plan small."""

from __future__ import annotations

import gc
import hashlib
import logging
import multiprocessing
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import structlog

from .checks import Violation
from .plan import Noise, Plan, make_plan
from .world import World


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one seed."""

    seed: int
    events: int
    steps: int
    seconds: float
    violation: Violation | None


def quiet() -> None:
    """Nobody reads what the parts log."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    # Nothing that is collected in the middle of a run may speak.
    gc.freeze()
    # A run leaves few cycles, and all of it is gone with its world.
    gc.set_threshold(50_000, 20, 50)


def run_plan(plan: Plan, trace: Callable[[str], None] | None = None) -> Outcome:
    """Runs one plan."""
    world = World(plan, trace)
    violation = world.run()
    return Outcome(
        seed=plan.seed,
        events=world.checks.events,
        steps=world.scheduler.steps,
        seconds=world.scheduler.now,
        violation=violation,
    )


def run_seed(seed: int) -> Outcome:
    """Runs one seed."""
    return run_plan(make_plan(seed))


def run_seeds(seeds: range, processes: int) -> Iterator[Outcome]:
    """Runs seeds on several processes, in no particular order."""
    if processes == 1 or len(seeds) == 1:
        yield from map(_run_one, seeds)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, initializer=quiet) as pool:
        yield from pool.imap_unordered(_run_one, seeds, chunksize=20)


def _run_one(seed: int) -> Outcome:
    try:
        return run_seed(seed)
    except Exception:
        # The simulation itself is wrong: the seed says where.
        problem = Violation("simulation", traceback.format_exc())
        return Outcome(seed=seed, events=0, steps=0, seconds=0.0, violation=problem)


def fingerprint(seed: int) -> str:
    """A digest of everything that was said and stored."""
    world = World(make_plan(seed))
    world.run()
    hasher = hashlib.sha256(str(world.scheduler.steps).encode())
    for key, log in sorted(world.broker.logs.items()):
        # Not the bytes: the order of a map's entries in them is the library's own affair.
        for record in log:
            hasher.update(f"{key} {record.time!r} {record.sender} {len(record.value)}\n".encode())
    for run_id, kept in sorted(world.store.runs.items()):
        for event in kept.history:
            hasher.update(run_id.encode() + event.SerializeToString(deterministic=True))
    return hasher.hexdigest()


def shrink(plan: Plan, violation: Violation, attempts: int = 400) -> Plan:
    """A smaller plan that breaks the same guarantee."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(plan):
            attempts -= 1
            if attempts < 0:
                return plan
            found = run_plan(candidate).violation
            if found is not None and found.guarantee == violation.guarantee:
                plan, smaller = candidate, True
                break
    return plan


def _smaller(plan: Plan) -> list[Plan]:
    plans = [replace(plan, noise=Noise())] if plan.noise != Noise() else []
    noises = [
        name
        for name in ("doubled", "refused", "slow", "store_refused", "store_slow")
        if getattr(plan.noise, name)
    ]
    plans += [replace(plan, noise=replace(plan.noise, **{name: 0.0})) for name in noises]
    if plan.skew:
        plans.append(replace(plan, skew=0.0))
    plans += [
        replace(plan, faults=_without(plan.faults, index)) for index in range(len(plan.faults))
    ]
    plans += [
        replace(plan, wishes=_without(plan.wishes, index)) for index in range(len(plan.wishes))
    ]
    if plan.coordinators > 1:
        plans.append(replace(plan, coordinators=plan.coordinators - 1))
    if plan.runners > 1:
        plans.append(replace(plan, runners=plan.runners - 1))
    if plan.run_partitions > 1:
        plans.append(replace(plan, run_partitions=1))
    return plans


def _without(things: tuple, index: int) -> tuple:  # type: ignore[type-arg]
    return things[:index] + things[index + 1 :]
