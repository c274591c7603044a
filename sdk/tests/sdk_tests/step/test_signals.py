"""Signals as a step's code sees them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from kaon.step import Signal
from kaon.step.signals import Inbox


class Channel:
    """What the harness gives an inbox: a readable descriptor, and the messages that have come."""

    def __init__(self) -> None:
        self.fd, self._writer = os.pipe()
        os.set_blocking(self.fd, False)
        self._messages: list[dict[str, Any]] = []
        self.inbox = Inbox(self.fd, self._read)

    def send(self, seq: int, name: str = "order", payload: object = None) -> None:
        self._messages.append({"seq": seq, "name": name, "payload": payload})
        os.write(self._writer, b"x")

    def close(self) -> None:
        self.inbox.close()
        os.close(self.fd)
        os.close(self._writer)

    def _read(self) -> list[Mapping[str, Any]]:
        try:
            os.read(self.fd, 1000)
        except BlockingIOError:
            return []
        found, self._messages = self._messages, []
        return list(found)


@pytest.fixture
def channel() -> Iterator[Channel]:
    channel = Channel()
    yield channel
    channel.close()


def test_each_signal_is_given_out_once_however_often_it_comes(channel: Channel) -> None:
    for seq in (7, 7, 8):
        channel.send(seq, payload={"speed": seq})
    channel.send(7)
    assert channel.inbox.take() == [
        Signal(name="order", payload={"speed": 7}, seq=7),
        Signal(name="order", payload={"speed": 8}, seq=8),
    ]
    channel.send(8)
    assert channel.inbox.take() == []


def test_who_waits_for_one_name_leaves_the_others(channel: Channel) -> None:
    channel.send(1, "other")
    channel.send(2, "wanted")
    found = channel.inbox.wait("wanted", 5)
    assert found is not None
    assert found.seq == 2
    assert [signal.seq for signal in channel.inbox.take()] == [1]


def test_waiting_ends_with_the_signal_its_time_or_the_step(channel: Channel) -> None:
    timer = threading.Timer(0.1, channel.send, (1,))
    timer.start()
    assert channel.inbox.wait(None, None) is not None
    timer.join()
    began = time.monotonic()
    assert channel.inbox.wait(None, 0.1) is None
    assert 0.1 <= time.monotonic() - began < 2
    timer = threading.Timer(0.1, channel.inbox.stop)
    timer.start()
    assert channel.inbox.wait(None, None) is None
    timer.join()


def test_two_threads_cannot_wait_at_once(channel: Channel) -> None:
    waiting = threading.Thread(target=channel.inbox.wait, args=("never", 5))
    waiting.start()
    while channel.inbox._wake is None:
        time.sleep(0.001)
    with pytest.raises(RuntimeError, match="another thread"):
        channel.inbox.wait(None, 0)
    channel.inbox.stop()
    waiting.join()
