"""The threads of the view: what is done in the background gives way to reads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from kaon_coordinator.view import read_threads
from kaon_coordinator.view.read_threads import Threads

PATIENCE = 30


async def test_background_work_waits_for_reads_between_its_pieces_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads, begun, waits = Threads(), threading.Event(), threading.Event()
    wait_for = threads._counted.wait_for

    def noted(nobody_reads: Callable[[], bool], seconds: float) -> bool:
        if seconds:
            waits.set()
        return wait_for(nobody_reads, seconds)

    def look() -> None:
        begun.set()
        assert waits.wait(PATIENCE)

    assert threads.give_way()
    reading = asyncio.create_task(threads.read(look))
    assert await asyncio.to_thread(begun.wait, PATIENCE)
    monkeypatch.setattr(read_threads, "_GIVES_WAY_SECONDS", 0.0)
    assert not threads.give_way()
    monkeypatch.setattr(read_threads, "_GIVES_WAY_SECONDS", PATIENCE)
    # The read ends only when somebody waits for it.
    monkeypatch.setattr(threads._counted, "wait_for", noted)
    assert await asyncio.to_thread(threads.give_way)
    await reading
    await threads.close()


async def test_a_read_that_fails_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = Threads()

    def look() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await threads.read(look)
    monkeypatch.setattr(read_threads, "_GIVES_WAY_SECONDS", PATIENCE)
    assert await asyncio.to_thread(threads.give_way)
    await threads.close()
