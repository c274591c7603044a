"""What one seed means: settings, what clients want, and what goes wrong. A plan is data, so that it can be made smaller."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import hostile
import richer

from kaon_coordinator.bootstrap import validator
from kaon_coordinator.engine.definition.limits import Limits
from kaon_wire import topics
from kaonapi.workflow.v1 import definition_pb2 as d

from .poison import PLACES
from .workflows import CHILD, EVERY_OCCASION, Generator, row

ALL_FEATURES = frozenset(
    {
        "groups",
        "hooks",
        "triggers",
        "timeouts",
        "gates",
        "children",
        "permits",
        "memo",
        "exclusive",
        "sweeps",
        "commands",
        "artifacts",
        "forks",
        "schedules",
        "hostile",
        "policies",
        "chains",
    }
)
# What definitions are called that have extremes in their fields, and the first of their submissions.
HOSTILE = "hostile"
_HOSTILE_RUNS = 100
_ROWS = 200
# What is wrong with such a definition; nothing that is large is simulated.
problems_of = validator(Limits(foreach_items=60, iterations=20))


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Something that a client wants."""

    at: float
    # "submit", "fork", "schedule", "retry_run", "retry_child" or the name of a field of RunCommand.
    kind: str
    # Index of the submission that it concerns; of a schedule its own.
    run: int
    # Submit, schedule: index of the workflow.
    workflow: int = 0
    # Draws what is open in a command.
    draw: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong."""

    at: float
    kind: str
    # Which process, or which partition.
    target: int = 0
    seconds: float = 0.0
    # Callbacks that still run before a process dies; of an engine's fault: where it is raised.
    fuse: int = 0


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Small trouble all the time, until the faults end."""

    doubled: float = 0.0
    refused: float = 0.0
    slow: float = 0.0
    store_refused: float = 0.0
    store_slow: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One simulated run, whole."""

    seed: int
    coordinators: int
    runners: int
    slots: int
    run_partitions: int
    tick_seconds: float
    lease_seconds: float
    session_seconds: float
    definitions: tuple[d.WorkflowDefinition, ...]
    wishes: tuple[Wish, ...]
    faults: tuple[Fault, ...] = ()
    noise: Noise = field(default_factory=Noise)
    # Wall clocks are wrong by up to so many seconds.
    skew: float = 0.0
    # When the faults end.
    calm: float = 10.0
    # How long after that everything may take: three large runs on one slot are at work for more than two minutes, and for more
    # than five where cells have steps that serve.
    patience: float = 900.0


_PROCESS_FAULTS = (
    "kill-coordinator",
    "pause-coordinator",
    "kill-runner",
    "pause-runner",
    "leave-coordinator",
)
_OTHER_FAULTS = (
    "broker-away",
    "store-away",
    "slow-partition",
    "rebalance",
    "clock",
    "garbage",
    "drain-runner",
)


def make_plan(seed: int, features: frozenset[str] = ALL_FEATURES) -> Plan:
    """The plan of a seed."""
    chance = random.Random(f"plan {seed}")
    calm = chance.uniform(3.0, 12.0)
    # What was added later draws from a stream of its own.
    more = random.Random(f"more {seed}")
    definitions = _definitions(chance, features, more, random.Random(f"chains {seed}"))
    if "policies" in features:
        definitions = tuple(richer.enrich(each, seed) for each in definitions)
    # A quarter of the seeds see no noise, a quarter no faults: what they find is easier to understand.
    quiet, orderly = chance.random() < 0.25, chance.random() < 0.25
    plan = Plan(
        seed=seed,
        coordinators=chance.choice((1, 2, 2, 3)),
        runners=chance.choice((1, 2, 2, 3)),
        slots=chance.choice((1, 2, 4)),
        run_partitions=chance.choice((1, 2, 3)),
        tick_seconds=chance.choice((0.3, 0.5, 0.8)),
        lease_seconds=4.0,
        session_seconds=4.0,
        definitions=definitions,
        wishes=_with_breakpoints(
            _with_retries(
                _with_more(
                    _wishes(chance, calm, len(definitions), features),
                    more,
                    calm,
                    len(definitions),
                    features,
                ),
                seed,
                features,
            ),
            seed,
            features,
        ),
        faults=(() if orderly else _faults(chance, calm))
        + _engine_faults(seed, calm)
        + _forgeries(seed, calm),
        noise=Noise() if quiet else _noise(chance),
        skew=chance.choice((0.0, 0.0, 0.3, 1.0)),
        calm=calm,
    )
    if "chains" in features:
        plan = _with_rows(plan)
    return _with_hostile(plan) if "hostile" in features else plan


def _with_rows(plan: Plan) -> Plan:
    """In a third of the seeds runs of some steps in a row are submitted: chains that go on before they end.

    From a stream of its own: other seeds stay as they are.
    """
    chance = random.Random(f"rows {plan.seed}")
    if chance.random() > 0.33:
        return plan
    names = [f"r{number}" for number in range(chance.randint(5, 9))]
    submit = Wish(
        at=chance.uniform(0.0, plan.calm * 0.6),
        kind="submit",
        run=_ROWS,
        workflow=len(plan.definitions),
        draw=chance.random(),
    )
    kinds = ("pause", "resume", "restart", "retry", "set_breakpoint", "pass_breakpoint", "cancel")
    wishes = [
        Wish(at=submit.at + chance.uniform(0, 15), kind=kind, run=_ROWS, draw=chance.random())
        for kind in chance.choices(kinds, k=chance.choice((0, 0, 2, 4)))
    ]
    both = tuple(sorted([*plan.wishes, submit, *wishes], key=lambda wish: wish.at))
    definition = row("row", names, attempts=chance.choice((1, 3)))
    return replace(plan, definitions=(*plan.definitions, definition), wishes=both)


def _with_hostile(plan: Plan) -> Plan:
    """In an eighth of the seeds somebody submits definitions with extremes in any of their fields, as far as they are accepted.
    From a stream of its own: other seeds stay as they are."""
    chance = random.Random(f"hostile {plan.seed}")
    if chance.random() > 0.125:
        return plan
    made = [hostile.hostile_definition(chance, f"{HOSTILE}-{number}")[0] for number in range(6)]
    accepted = tuple(
        each for each in made if each.name.startswith(HOSTILE) and not problems_of(each)
    )[:2]
    first = len(plan.definitions)
    wishes = [
        Wish(
            at=chance.uniform(0.0, plan.calm * 0.6),
            kind="submit",
            run=_HOSTILE_RUNS + number,
            workflow=first + number,
            draw=chance.random(),
        )
        for number in range(len(accepted))
    ]
    wishes += [
        Wish(at=wish.at + chance.uniform(0, 5), kind=kind, run=wish.run, draw=chance.random())
        for wish in wishes
        for kind in chance.sample(
            ("cancel_block", "retry", "restart", "mark", "signal", "answer"), 2
        )
    ]
    both = tuple(sorted([*plan.wishes, *wishes], key=lambda wish: wish.at))
    return replace(plan, definitions=plan.definitions + accepted, wishes=both)


def _definitions(
    chance: random.Random, features: frozenset[str], more: random.Random, chains: random.Random
) -> tuple[d.WorkflowDefinition, ...]:
    generator = Generator(chance, 0, features, more, chains)
    definitions = [generator.child()] if "children" in features else []
    for index in range(chance.choice((1, 1, 2))):
        generator = Generator(chance, chance.choice((1, 2, 3, 4)), features, more, chains)
        definitions.append(generator.workflow(f"w{index}"))
        definitions[-1].notifications.add(channel="all", on=EVERY_OCCASION)
    return tuple(definitions)


def _wishes(
    chance: random.Random, calm: float, definitions: int, features: frozenset[str]
) -> tuple[Wish, ...]:
    first = 1 if "children" in features else 0
    wishes = []
    for run in range(chance.choice((1, 1, 2, 2, 3))):
        at = chance.uniform(0.0, calm * 0.6)
        wishes.append(
            Wish(
                at=at,
                kind="submit",
                run=run,
                workflow=chance.randrange(first, definitions),
                draw=chance.random(),
            )
        )
        if chance.random() < 0.12:
            wishes.append(
                Wish(at=at + chance.uniform(0, 5), kind="cancel", run=run, draw=chance.random())
            )
        if "gates" in features and chance.random() < 0.5:
            wishes += [
                Wish(at=at + chance.uniform(0, 5), kind=kind, run=run, draw=chance.random())
                for kind in ("answer", "signal")
            ]
        if "commands" in features and chance.random() < 0.35:
            wishes += _commands(chance, at, run)
    return tuple(sorted(wishes, key=lambda wish: wish.at))


def _with_more(
    wishes: tuple[Wish, ...],
    more: random.Random,
    calm: float,
    definitions: int,
    features: frozenset[str],
) -> tuple[Wish, ...]:
    """Adds forks and a schedule."""
    added = list(wishes)
    for wish in wishes:
        if wish.kind == "submit" and "forks" in features and more.random() < 0.15:
            at = wish.at + more.uniform(0, 6)
            added.append(Wish(at=at, kind="fork", run=wish.run, draw=more.random()))
    if "schedules" in features and more.random() < 0.2:
        at, workflow = more.uniform(0, calm * 0.5), more.randrange(definitions)
        added.append(Wish(at=at, kind="schedule", run=0, workflow=workflow, draw=more.random()))
    return tuple(sorted(added, key=lambda wish: wish.at))


def _with_retries(
    wishes: tuple[Wish, ...], seed: int, features: frozenset[str]
) -> tuple[Wish, ...]:
    """In half of the seeds runs are cancelled and retried whole, or a child of theirs is retried. From a stream of its own."""
    chance = random.Random(f"again {seed}")
    if not {"children", "commands"} <= features or chance.random() < 0.5:
        return wishes
    added = [
        Wish(
            at=wish.at + chance.uniform(2, 14),
            kind=chance.choice(("cancel", "retry_run", "retry_run", "retry_child")),
            run=wish.run,
            draw=chance.random(),
        )
        for wish in wishes
        if wish.kind == "submit"
        for _ in range(chance.choice((2, 3, 4)))
    ]
    return tuple(sorted((*wishes, *added), key=lambda wish: wish.at))


def _with_breakpoints(
    wishes: tuple[Wish, ...], seed: int, features: frozenset[str]
) -> tuple[Wish, ...]:
    """In a third of the seeds steps have breakpoints, some of which are passed soon. From a stream of its own."""
    chance = random.Random(f"breakpoints {seed}")
    if "commands" not in features or chance.random() > 0.33:
        return wishes
    added = []
    for wish in wishes:
        if wish.kind == "submit":
            for kind in chance.choices(("set_breakpoint", "pass_breakpoint"), (3, 1), k=3):
                at = wish.at + chance.uniform(0, 5)
                added.append(Wish(at=at, kind=kind, run=wish.run, draw=chance.random()))
    return tuple(sorted((*wishes, *added), key=lambda wish: wish.at))


def _commands(chance: random.Random, at: float, run: int) -> list[Wish]:
    kind = chance.choice(("pause", "retry", "restart", "mark", "set_priority", "cancel_block"))
    when = at + chance.uniform(0, 8)
    wishes = [Wish(at=when, kind=kind, run=run, draw=chance.random())]
    if kind == "pause":
        wishes.append(Wish(at=when + chance.uniform(0.1, 4), kind="resume", run=run))
    return wishes


def _faults(chance: random.Random, calm: float) -> tuple[Fault, ...]:
    faults = [_fault(chance, calm) for _ in range(chance.choice((1, 1, 2, 2, 3, 4)))]
    return tuple(sorted(faults, key=lambda fault: fault.at))


def _engine_faults(seed: int, calm: float) -> tuple[Fault, ...]:
    """In an eighth of the seeds something is raised for single runs. From a stream of its own: other seeds stay as they are."""
    chance = random.Random(f"engine {seed}")
    if chance.random() > 0.125:
        return ()
    return tuple(
        Fault(
            at=chance.uniform(0.0, calm),
            kind="engine-fault",
            target=chance.randrange(12),
            fuse=chance.randrange(len(PLACES)),
        )
        for _ in range(chance.choice((1, 2, 3)))
    )


def _forgeries(seed: int, calm: float) -> tuple[Fault, ...]:
    """In a quarter of the seeds a stolen runner lies about the steps of others. From a stream of its own."""
    chance = random.Random(f"forger {seed}")
    if chance.random() > 0.25:
        return ()
    return (
        Fault(at=chance.uniform(0.0, calm / 2), kind="forge", seconds=chance.uniform(2.0, 9.0)),
    )


def _fault(chance: random.Random, calm: float) -> Fault:
    kinds = _PROCESS_FAULTS if chance.random() < 0.65 else _OTHER_FAULTS
    return Fault(
        at=chance.uniform(0.0, calm),
        kind=chance.choice(kinds),
        target=chance.randrange(12),
        seconds=chance.choice((0.2, 1.0, 3.0, 6.0, 9.0)) * chance.uniform(0.5, 1.2),
        fuse=chance.randrange(40),
    )


def _noise(chance: random.Random) -> Noise:
    def share(most: float) -> float:
        return round(chance.random() * most, 3) if chance.random() < 0.4 else 0.0

    return Noise(
        doubled=share(0.2),
        refused=share(0.01),
        slow=share(0.1),
        store_refused=share(0.02),
        store_slow=share(0.05),
    )


def catalogue(plan: Plan) -> topics.Catalogue:
    """The topics of a plan's deployment."""
    return topics.Catalogue(
        run_partitions=plan.run_partitions, pool_partitions=2, runner_partitions=2
    )


__all__ = ["ALL_FEATURES", "CHILD", "Fault", "Noise", "Plan", "Wish", "catalogue", "make_plan"]
