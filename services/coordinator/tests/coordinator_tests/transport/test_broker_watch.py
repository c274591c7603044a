"""What the broker does not do shows in a coordinator's health and, once a minute, in its log; with its age."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import GroupCoordinatorNotAvailableError, UnknownError
from aiokafka.protocol.group import HeartbeatResponse_v0
from confluent_kafka import KafkaError, KafkaException
from structlog.testing import capture_logs

from kaon_coordinator.transport import patience
from kaon_coordinator.transport import producing as producing_module
from kaon_coordinator.transport.broker_watch import BrokerWatch
from kaon_coordinator.transport.producing import Outgoing, Producing
from kaon_service.kafka_producer import Done
from kaon_service.kafka_security import OPEN
from kaon_wire.errors import Unavailable


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def watch(clock: _Clock) -> BrokerWatch:
    return BrokerWatch(silence=4.0, clock=clock)


def test_an_absent_broker_is_told_with_the_time_since_it_was_heard(
    clock: _Clock, watch: BrokerWatch
) -> None:
    assert watch.trouble == ""
    clock.now += 75
    assert not watch.connected
    assert watch.trouble == "not heard for 75 s"
    watch.hear()
    assert watch.trouble == ""


async def test_a_send_that_a_broker_refuses_without_end_is_told(
    clock: _Clock, watch: BrokerWatch
) -> None:
    """The producer repeats it by itself: nothing comes back until the broker can write again."""
    producing = Producing(bootstrap="", security=OPEN, patience=300.0, watch=watch)
    waiting: list[Done] = []

    def send(_topic: str, _partition: int, _value: bytes, done: Done, _headers: object) -> None:
        waiting.append(done)

    producing._producer = SimpleNamespace(send=send)  # type: ignore[assignment]
    sending = asyncio.ensure_future(producing.send([Outgoing(topic="t", partition=0, value=b"")]))
    await asyncio.sleep(0)
    clock.now += 75
    watch.hear()
    assert watch.connected, "it answers"
    assert watch.trouble == "answers, but has not acknowledged a send for 75 s"
    waiting[0](None)
    await sending
    assert watch.trouble == ""


async def test_a_request_of_the_group_that_a_broker_refuses_without_end_is_told(
    clock: _Clock, watch: BrokerWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_PAUSE_SECONDS", 0.0)
    answers = [UnknownError.errno, UnknownError.errno, 0]

    async def send(_request: Any) -> Any:
        return HeartbeatResponse_v0(answers.pop(0))

    group = SimpleNamespace(_send_req=send)
    patience.retry_group_requests(SimpleNamespace(_coordinator=group), watch)
    for _ in range(2):
        with pytest.raises(GroupCoordinatorNotAvailableError):
            await group._send_req("a request")
        clock.now += 30
        watch.hear()
    assert watch.trouble == "answers, but has not served its group (str) for 60 s"
    await group._send_req("a request")
    assert watch.trouble == ""


def test_a_refused_request_that_nobody_repeats_is_forgotten(
    clock: _Clock, watch: BrokerWatch
) -> None:
    watch.refused("served its group (commit)")
    clock.now += 20
    watch.hear()
    assert watch.trouble == "answers, but has not served its group (commit) for 20 s"
    clock.now += 11
    watch.hear()
    assert watch.trouble == ""


def test_a_short_wait_is_no_trouble(clock: _Clock, watch: BrokerWatch) -> None:
    with watch.waiting("acknowledged a send"):
        clock.now += 3.9
        watch.hear()
        assert watch.trouble == ""


def test_the_log_tells_a_trouble_at_its_beginning_once_a_minute_and_at_its_end(
    clock: _Clock, watch: BrokerWatch
) -> None:
    with capture_logs() as told:
        for _ in range(130):
            clock.now += 1
            watch.remind()
        watch.hear()
        for _ in range(3):
            watch.remind()
    assert [(line["log_level"], line.get("trouble")) for line in told] == [
        ("warning", "not heard for 4 s"),
        ("warning", "not heard for 64 s"),
        ("warning", "not heard for 124 s"),
        ("info", None),
    ]
    assert told[-1]["seconds"] == 130


async def test_what_a_broker_cannot_write_is_sent_again_with_what_follows_it_in_its_partition(
    watch: BrokerWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producing_module, "_PAUSE_SECONDS", 0.0)
    producing = Producing(bootstrap="", security=OPEN, patience=300.0, watch=watch)
    sent: list[bytes] = []

    def send(_topic: str, _partition: int, value: bytes, done: Done, _headers: object) -> None:
        full = value == b"b" and b"b" not in sent
        sent.append(value)
        done(KafkaException(KafkaError(KafkaError.UNKNOWN)) if full else None)

    producing._producer = SimpleNamespace(send=send)  # type: ignore[assignment]
    places = {b"a": 0, b"b": 0, b"c": 0, b"d": 1}
    await producing.send([Outgoing(topic="t", partition=n, value=v) for v, n in places.items()])
    assert sent == [b"a", b"b", b"c", b"d", b"b", b"c"]


async def test_what_a_broker_refuses_for_good_is_no_use_to_send_again(watch: BrokerWatch) -> None:
    producing = Producing(bootstrap="", security=OPEN, patience=300.0, watch=watch)

    def send(_topic: str, _partition: int, _value: bytes, done: Done, _headers: object) -> None:
        done(KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)))

    producing._producer = SimpleNamespace(send=send)  # type: ignore[assignment]
    with pytest.raises(Unavailable, match="the broker refused a record of 3 bytes for t/0"):
        await producing.send([Outgoing(topic="t", partition=0, value=b"abc")])
