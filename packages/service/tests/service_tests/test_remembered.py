"""An answer counts for some seconds, and calls that come together ask once."""

from __future__ import annotations

import asyncio

import pytest

from kaon_service.access import remembered
from kaon_service.access.remembered import Remembered


class Source:
    """Answers with how often it was asked, once it is let."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def ask(self, key: str) -> int:
        self.asked.append(key)
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return len(self.asked)


def remembering(source: Source) -> Remembered[int]:
    return Remembered(source.ask, 5.0, clock=lambda: source.now)


async def test_an_answer_counts_until_its_time_is_over() -> None:
    source = Source()
    answers = remembering(source)
    assert [await answers.get("a"), await answers.get("a"), await answers.get("b")] == [1, 1, 2]
    source.now = 5.0
    assert await answers.get("a") == 3


async def test_calls_that_come_together_ask_once_and_outlive_the_first_of_them() -> None:
    source = Source()
    source.open.clear()
    answers = remembering(source)
    first, second = (asyncio.ensure_future(answers.get("a")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    source.open.set()
    assert await second == 1
    assert source.asked == ["a"]
    assert first.cancelled()


async def test_an_error_is_told_and_not_remembered() -> None:
    source = Source()
    answers = remembering(source)
    source.error = ConnectionError("down")
    with pytest.raises(ConnectionError):
        await answers.get("a")
    source.error = None
    assert await answers.get("a") == 2


async def test_the_oldest_answers_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_MOST", 2)
    source = Source()
    answers = remembering(source)
    for key in ("a", "b", "c", "b", "a"):
        await answers.get(key)
    assert source.asked == ["a", "b", "c", "a"]
