"""What is sent before the first record of a partition is acknowledged, and what happens to the rest."""

from __future__ import annotations

from functools import partial

from kaon_service.first_records import FirstRecords

A, B = ("step-events", 0), ("step-events", 1)


class Client:
    """Takes records, and remembers what was refused."""

    def __init__(self) -> None:
        self.first = FirstRecords()
        self.given: list[str] = []
        self.refused: list[tuple[str, str]] = []
        # Records that fail at once, as one does that is too large.
        self.failing: set[str] = set()

    def send(self, partition: tuple[str, int], name: str) -> None:
        def refuse(error: Exception) -> None:
            self.refused.append((name, str(error)))

        self.first.send(partition, partial(self._give, partition, name), refuse)

    def _give(self, partition: tuple[str, int], name: str) -> None:
        if name in self.failing:
            self.refused.append((name, "too large"))
            self.first.failed(partition, ValueError("too large"), alone=True)
        else:
            self.given.append(name)


def test_nothing_follows_the_first_record_of_a_partition_until_the_broker_has_it() -> None:
    client = Client()
    for name in ("1", "2", "3"):
        client.send(A, name)
    client.send(B, "other")
    assert client.given == ["1", "other"]

    client.first.acknowledged(A)
    assert client.given == ["1", "other", "2", "3"]
    client.send(A, "4")
    client.send(B, "held")
    assert client.given == ["1", "other", "2", "3", "4"]


def test_what_waits_is_refused_for_the_same_reason_when_the_partition_takes_nothing() -> None:
    client = Client()
    for name in ("1", "2", "3"):
        client.send(A, name)

    client.first.failed(A, TimeoutError("the broker is away"), alone=False)

    assert client.refused == [("2", "the broker is away"), ("3", "the broker is away")]
    client.send(A, "1 again")
    client.send(A, "2 again")
    assert client.given == ["1", "1 again"]


def test_the_next_record_is_the_first_when_one_is_refused_for_itself() -> None:
    client = Client()
    client.failing = {"2"}
    for name in ("1", "2", "3", "4"):
        client.send(A, name)

    client.first.failed(A, ValueError("too large"), alone=True)

    assert client.given == ["1", "3"]
    client.first.acknowledged(A)
    assert client.given == ["1", "3", "4"]


def test_a_record_that_fails_while_the_waiting_ones_are_sent_holds_nothing_up() -> None:
    client = Client()
    client.failing = {"2"}
    for name in ("1", "2", "3"):
        client.send(A, name)

    client.first.acknowledged(A)
    client.send(A, "4")

    assert client.given == ["1", "3", "4"]
    assert client.refused == [("2", "too large")]


def test_a_later_failure_changes_nothing_in_a_partition_that_the_broker_knows() -> None:
    client = Client()
    client.send(A, "1")
    client.first.acknowledged(A)

    client.first.failed(A, TimeoutError("away"), alone=False)
    client.send(A, "2")
    client.send(A, "3")

    assert client.given == ["1", "2", "3"]
