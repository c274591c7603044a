"""Which partitions belong together."""

from __future__ import annotations

import pytest

from kaon_coordinator.transport.assignments import (
    NotCopartitioned,
    check_assignment,
    check_counts,
    share,
)
from kaon_coordinator.transport.base import GROUP_TOPICS
from kaon_coordinator.transport.memory import MemoryGroup, MemoryTransport
from kaon_wire.errors import Unavailable
from kaon_wire.memory import MemoryBroker
from kaon_wire.topics import (
    RUN_COMMANDS,
    RUNNER_HEARTBEATS,
    STEP_EVENTS,
    STEP_LOGS,
    STEP_REQUESTS,
    Catalogue,
)

from .backends import Recorder


def test_an_assignment_that_splits_what_belongs_together_is_refused() -> None:
    run = [(topic, number) for topic in (RUN_COMMANDS, STEP_EVENTS, STEP_LOGS) for number in (0, 1)]
    pool = [(STEP_REQUESTS, 0), (RUNNER_HEARTBEATS, 0)]
    check_assignment(run + pool)

    with pytest.raises(
        NotCopartitioned, match=r"run-commands: \[0, 1\], step-events: \[0, 1\], step-logs: \[0\]"
    ):
        check_assignment(run[:-1] + pool)
    with pytest.raises(NotCopartitioned, match="runner-heartbeats"):
        check_assignment([*run, (STEP_REQUESTS, 0)])


def test_topics_that_belong_together_need_the_same_number_of_partitions() -> None:
    counts = dict.fromkeys(GROUP_TOPICS, 4)
    check_counts(counts)

    with pytest.raises(NotCopartitioned, match="step-events has 5"):
        check_counts({**counts, STEP_EVENTS: 5})


def test_partitions_are_dealt_out_evenly() -> None:
    assert share(range(5), ["a", "b"]) == {"a": (0, 2, 4), "b": (1, 3)}


async def test_missing_topics_are_named() -> None:
    topics = [topic for topic in Catalogue().topics() if topic.name != STEP_LOGS]
    member = MemoryTransport(MemoryGroup(MemoryBroker(topics)))

    with pytest.raises(Unavailable, match=STEP_LOGS):
        await member.start(Recorder())
