"""Background work goes on through what passes, and never ends in silence."""

from __future__ import annotations

import asyncio

import pytest

from kaon_service.background import FIRST_WAIT, LONGEST_WAIT, BackgroundTasks, TaskEnded, in_rounds
from kaon_wire.errors import Unavailable


class Enough(Exception):
    """Ends a test."""


async def forever() -> None:
    await asyncio.Event().wait()


async def failing() -> None:
    raise ValueError("unforeseen")


async def returning() -> None:
    return


def ending(*works: object) -> None:
    async def run() -> None:
        tasks = BackgroundTasks()
        for number, work in enumerate(works):
            tasks.start(f"task {number}", work())  # type: ignore[operator]
        try:
            await tasks.wait()
        finally:
            await tasks.stop()

    asyncio.run(run())


def test_the_error_of_a_task_ends_who_waits_for_all() -> None:
    with pytest.raises(ValueError, match="unforeseen"):
        ending(forever, failing, forever)


def test_a_task_that_returns_is_an_error_too() -> None:
    with pytest.raises(TaskEnded, match="'task 1' has ended"):
        ending(forever, returning)


def test_a_task_that_begins_while_somebody_waits_is_watched_too() -> None:
    async def run() -> None:
        tasks = BackgroundTasks()
        tasks.start("first", forever())
        waiting = asyncio.create_task(tasks.wait())
        await asyncio.sleep(0)
        tasks.start("second", failing())
        try:
            await waiting
        finally:
            await tasks.stop()

    with pytest.raises(ValueError, match="unforeseen"):
        asyncio.run(run())


def rounds(outcomes: list[Exception | None]) -> tuple[list[str], Exception]:
    """What happens in rounds that end so, and what ends them."""
    seen: list[str] = []

    async def work() -> None:
        seen.append("round")
        outcome = outcomes.pop(0) if outcomes else Enough()
        if outcome is not None:
            raise outcome

    async def pause() -> None:
        seen.append("pause")

    async def sleep(seconds: float) -> None:
        seen.append(f"{seconds:g}")

    with pytest.raises((Enough, ValueError)) as caught:
        asyncio.run(in_rounds("test", work, pause, sleep=sleep))
    return seen, caught.value


def test_what_does_not_answer_is_asked_again_after_a_wait_that_grows_and_starts_anew() -> None:
    seen, _ = rounds([Unavailable("away"), Unavailable("away"), None, Unavailable("away")])
    assert seen == ["round", "0.2", "round", "0.4", "round", "pause", "round", "0.2", "round"]


def test_the_wait_is_bounded_however_long_something_is_away() -> None:
    seen, _ = rounds([Unavailable("away")] * 2000)
    waits = [float(each) for each in seen if each != "round"]
    assert (waits[0], max(waits), waits[-1]) == (FIRST_WAIT, LONGEST_WAIT, LONGEST_WAIT)


def test_any_other_error_goes_up_at_once() -> None:
    seen, error = rounds([None, ValueError("broken")])
    assert seen == ["round", "pause", "round"]
    assert isinstance(error, ValueError)
