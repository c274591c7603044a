"""What each account of Kafka may do: the least that its service needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from kaon_wire import topics
from kaon_wire.topics import Catalogue, dead_letters, step_ready

COORDINATOR, VIEW, PUBLISHER, CONSUMER = "coordinator", "view", "publisher", "consumer"
# The group in which coordinators share the partitions.
COORDINATORS_GROUP = "kaon-coordinator"
# The group that the runners' client must name. No runner joins it, and nothing is committed to it.
RUNNERS_GROUP = "kaon-runner"
_READ_BY_COORDINATORS = (
    topics.RUN_COMMANDS,
    topics.STEP_EVENTS,
    topics.STEP_REQUESTS,
    topics.STEP_LOGS,
    topics.RUNNER_HEARTBEATS,
    topics.RUN_EVENTS,
)
_WRITTEN_BY_COORDINATORS = (
    topics.RUN_COMMANDS,
    # Barriers.
    topics.STEP_EVENTS,
    topics.STEP_REQUESTS,
    topics.RUNNER_COMMANDS,
    topics.RUN_EVENTS,
)
_WRITTEN_BY_RUNNERS = (topics.STEP_EVENTS, topics.STEP_LOGS, topics.RUNNER_HEARTBEATS)


class Resource(StrEnum):
    """What a right is for, as Kafka names it."""

    TOPIC = "TOPIC"
    GROUP = "GROUP"


class Operation(StrEnum):
    """What an account may do, as Kafka names it. Both include describing the resource."""

    READ = "READ"
    WRITE = "WRITE"


@dataclass(frozen=True, kw_only=True)
class Right:
    """One thing that one account may do."""

    # "coordinator", "view", "publisher", "consumer" or "runner-<pool>".
    account: str
    operation: Operation
    name: str
    resource: Resource = Resource.TOPIC


def runner(pool: str) -> str:
    """Return the account of the runners of a pool."""
    return f"runner-{pool}"


def rights_of(catalogue: Catalogue) -> tuple[Right, ...]:
    """Return the rights of all accounts of a deployment; whatever is not among them is refused."""
    return (
        *_coordinator(catalogue),
        *_reads(VIEW, topics.RUN_EVENTS),
        *_writes(PUBLISHER, topics.MODEL_EVENTS),
        *_reads(CONSUMER, topics.MODEL_EVENTS),
        *(right for pool in catalogue.pools for right in _runner(pool)),
    )


def _coordinator(catalogue: Catalogue) -> Iterator[Right]:
    yield from _reads(COORDINATOR, *_READ_BY_COORDINATORS)
    yield from _writes(COORDINATOR, *_WRITTEN_BY_COORDINATORS)
    yield from _writes(COORDINATOR, *map(step_ready, catalogue.pools))
    yield from _writes(COORDINATOR, *map(dead_letters, _READ_BY_COORDINATORS))
    yield _group(COORDINATOR, COORDINATORS_GROUP)


def _runner(pool: str) -> Iterator[Right]:
    read = (step_ready(pool), topics.RUNNER_COMMANDS)
    yield from _reads(runner(pool), *read)
    yield from _writes(runner(pool), *_WRITTEN_BY_RUNNERS)
    # What it reads and cannot understand.
    yield from _writes(runner(pool), *map(dead_letters, read))
    # The client asks for the group's coordinator, and asks again while it is refused.
    yield _group(runner(pool), RUNNERS_GROUP)


def _group(account: str, name: str) -> Right:
    return Right(account=account, operation=Operation.READ, name=name, resource=Resource.GROUP)


def _reads(account: str, *names: str) -> Iterator[Right]:
    for name in names:
        yield Right(account=account, operation=Operation.READ, name=name)


def _writes(account: str, *names: str) -> Iterator[Right]:
    for name in names:
        yield Right(account=account, operation=Operation.WRITE, name=name)
