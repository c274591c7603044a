from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from kaon.client.reading import AHEAD, responses


class Call:
    """A call whose responses come when they are put, and which tells who touches it."""

    def __init__(self, *said: int) -> None:
        self.arriving: SimpleQueue[int | Exception | None] = SimpleQueue()
        for number in said:
            self.arriving.put(number)
        self.readers: set[threading.Thread] = set()
        self.taken = 0
        self.cancelled = threading.Event()

    def make(self) -> Call:
        self.readers.add(threading.current_thread())
        return self

    def cancel(self) -> None:
        self.cancelled.set()
        self.arriving.put(None)

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        self.readers.add(threading.current_thread())
        said = self.arriving.get()
        if said is None:
            raise StopIteration
        if isinstance(said, Exception):
            raise said
        self.taken += 1
        return said


def _on_a_thread(do: Callable[[], None]) -> None:
    thread = threading.Thread(target=do)
    thread.start()
    thread.join()


def test_the_main_thread_which_interrupts_reach_calls_nothing_of_grpc() -> None:
    call = Call(1, 2, 3)
    call.arriving.put(None)
    assert list(responses(call.make)) == [1, 2, 3]
    assert len(call.readers) == 1
    assert threading.main_thread() not in call.readers


def test_any_other_thread_reads_itself() -> None:
    call, read = Call(1, 2), []
    call.arriving.put(None)
    _on_a_thread(lambda: read.extend(responses(call.make)))
    assert read == [1, 2]
    assert len(call.readers) == 1
    assert not any(thread.name == "stream" for thread in call.readers)


def test_a_slow_reader_slows_down_the_service() -> None:
    call = Call(*range(100))
    call.arriving.put(None)
    for number, _response in enumerate(responses(call.make), start=1):
        assert call.taken <= number + AHEAD
    assert call.taken == 100


def test_what_ends_a_call_is_raised_where_it_is_read() -> None:
    call, error = Call(1), ValueError("broken")
    call.arriving.put(error)
    read = responses(call.make)
    assert next(read) == 1
    with pytest.raises(ValueError, match="broken") as raised:
        next(read)
    assert raised.value is error


def test_a_call_that_cannot_be_made_is_an_error() -> None:
    def refuse() -> Call:
        raise ValueError("no channel")

    read = responses(refuse)
    with pytest.raises(ValueError, match="no channel"):
        next(read)


def test_who_stops_reading_cancels_the_call_and_leaves_no_thread() -> None:
    call = Call(1)
    read = responses(call.make)
    assert next(read) == 1
    read.close()
    assert call.cancelled.is_set()
    for thread in call.readers:
        thread.join()
