from __future__ import annotations

from kaon_wire.topic_rights import COORDINATOR, Operation, Right, rights_of, runner
from kaon_wire.topics import Catalogue

CATALOGUE = Catalogue(pools=("default", "gpu"))
RIGHTS = rights_of(CATALOGUE)


def may(account: str, operation: Operation) -> set[str]:
    return {
        right.name for right in RIGHTS if (right.account, right.operation) == (account, operation)
    }


def test_a_runner_reads_its_pools_releases_and_commands_and_nothing_else() -> None:
    assert may(runner("gpu"), Operation.READ) == {
        "step-ready.gpu",
        "runner-commands",
        "kaon-runner",
    }


def test_a_runner_writes_events_logs_and_heartbeats_and_what_it_cannot_read() -> None:
    assert may(runner("gpu"), Operation.WRITE) == {
        "step-events",
        "step-logs",
        "runner-heartbeats",
        "step-ready.gpu-dlq",
        "runner-commands-dlq",
    }


def test_nobody_but_coordinators_releases_steps_or_commands_runners() -> None:
    names = {"runner-commands", "run-commands", "step-requests", "run-events"} | {
        f"step-ready.{pool}" for pool in CATALOGUE.pools
    }
    writers = {
        right.account
        for right in RIGHTS
        if right.operation is Operation.WRITE and right.name in names
    }
    assert writers == {COORDINATOR}


def test_every_topic_has_somebody_who_may_write_it_and_every_right_a_topic() -> None:
    names = {topic.name for topic in CATALOGUE.topics()}
    topics = [right for right in RIGHTS if right.resource == "TOPIC"]
    assert {right.name for right in topics} <= names
    # Nobody reads the dead letters of what only people read.
    unread = {"model-events-dlq"}
    written = {right.name for right in topics if right.operation is Operation.WRITE}
    assert written == names - unread


def test_a_right_is_a_value() -> None:
    assert len(set(RIGHTS)) == len(RIGHTS)
    assert Right(account="view", operation=Operation.READ, name="run-events") in RIGHTS
