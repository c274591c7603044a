"""The live view, fed with histories."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console
from sdk_api_server import Update, event, short_history

from kaon import Workflow, each, repeat, steps
from kaon.cli.live import RunView
from kaon.cli.live.paths import label, split
from kaonapi.run.v1 import history_pb2 as h
from kaonapi.run.v1 import run_pb2
from kaonapi.step.v1 import step_pb2


def definition() -> object:
    wrangle = steps.shell("wrangle", argv=["x"], outputs={"regions": list})
    train = steps.shell("train", argv=["x"])
    check = steps.shell("check", argv=["x"], outputs={"ok": bool})
    body = wrangle >> train ** each("region", wrangle["regions"]) >> check
    return Workflow("w", repeat(body, until=check["ok"], max_iterations=3)).definition()


def text(view: RunView, width: int = 160, max_rows: int | None = None) -> str:
    out = StringIO()
    Console(file=out, width=width, color_system=None).print(view.render(max_rows))
    return out.getvalue()


def loop_history(cells: int) -> list[h.HistoryEvent]:
    keys = [f"r{number}" for number in range(cells)]
    facts: list[dict[str, object]] = [
        {"run_submitted": h.RunSubmitted(workflow="w")},
        {"run_started": h.RunStarted()},
        {"block_started": h.BlockStarted(path="cycle")},
        {"cell_started": h.CellStarted(path="cycle#1", block="cycle")},
        {"step_became_ready": h.StepBecameReady(path="cycle#1/wrangle", attempt=1)},
        {"step_leased": h.StepLeased(path="cycle#1/wrangle", attempt=1, runner_id="host-1")},
        {"step_ended": h.StepEndedEvent(path="cycle#1/wrangle", attempt=1, status=run_pb2.STATUS_SUCCEEDED)},
        {"block_started": h.BlockStarted(path="cycle#1/regions", keys=keys)},
        *(
            {"cell_started": h.CellStarted(path=f"cycle#1/regions[{key}]", block="cycle#1/regions")}
            for key in keys
        ),
    ]
    return [event(seq, **fact) for seq, fact in enumerate(facts, 1)]


def test_paths_are_split_into_the_nodes_on_the_way() -> None:
    assert split("cycle#2/regions[US]/train") == [
        "cycle",
        "cycle#2",
        "cycle#2/regions",
        "cycle#2/regions[US]",
        "cycle#2/regions[US]/train",
    ]
    assert split("pick=else/a") == ["pick", "pick=else", "pick=else/a"]
    assert [label(path) for path in ("a#2", "a[US]", "a=0", "x/b")] == ["pass 2", "US", "0", "b"]


def test_what_has_not_begun_is_shown_from_the_definition() -> None:
    view = RunView(definition(), clock=lambda: 20.0)  # type: ignore[arg-type]
    assert "cycle" in text(view)
    for each_event in loop_history(3):
        view.feed(each_event)
    drawn = text(view)
    for line in (
        "pass 1",
        "wrangle",
        "regions",
        "r0",
        "train",
        "check",
        "pass 1 of at most 3",
        "0 of 3 done",
    ):
        assert line in drawn, drawn


def test_progress_attempts_and_errors_are_shown() -> None:
    view = RunView(clock=lambda: 10.0)
    for each_event in short_history()[:4]:
        view.feed(Update(event=each_event))
    view.feed(Update(progress=run_pb2.StepView(path="a", progress=0.5, progress_message="epoch 4")))
    drawn = text(view)
    assert "epoch 4" in drawn
    assert "on host-1" in drawn
    assert "6.0s" in drawn
    error = step_pb2.StepError(type="ValueError", message="bad data")
    view.feed(event(5, step_retry_scheduled=h.StepRetryScheduled(path="a", attempt=1, error=error)))
    assert "bad data" in text(view)
    view.feed(event(6, step_became_ready=h.StepBecameReady(path="a", attempt=2)))
    view.feed(event(7, step_leased=h.StepLeased(path="a", attempt=2, runner_id="host-2")))
    assert "running (attempt 2)" in text(view)
    view.feed(event(8, step_lease_lost=h.StepLeaseLost(path="a", generation=2, reason="expired")))
    assert "lost 1 runner" in text(view)


def test_a_wide_foreach_folds_its_finished_cells_away() -> None:
    view = RunView(definition(), clock=lambda: 2000.0)  # type: ignore[arg-type]
    history = loop_history(500)
    for each_event in history:
        view.feed(each_event)
    assert len(text(view).splitlines()) < 45
    for number in range(498):
        ended = h.BlockEnded(path=f"cycle#1/regions[r{number}]", status=run_pb2.STATUS_SUCCEEDED)
        view.feed(event(len(history) + 1 + number, block_ended=ended))
    drawn = text(view)
    assert "498 of 500 done" in drawn
    assert "r499" in drawn
    assert "r17 " not in drawn
    assert len(text(view, max_rows=4).splitlines()) <= 6


@pytest.mark.parametrize(
    "status", [run_pb2.STATUS_SUCCEEDED, run_pb2.STATUS_FAILED, run_pb2.STATUS_CANCELLED]
)
def test_following_returns_how_the_run_ended(status: run_pb2.Status.ValueType) -> None:
    view, out = RunView(), StringIO()
    assert view.follow(short_history(status), Console(file=out, width=200)) == status
    assert view.ended
    assert f"run {run_pb2.Status.Name(status).removeprefix('STATUS_')}" in out.getvalue()
    assert "a  RUNNING on host-1" in out.getvalue()


def test_on_a_terminal_the_final_picture_stays() -> None:
    out = StringIO()
    console = Console(
        file=out, width=120, height=20, force_terminal=True, color_system=None, legacy_windows=False
    )
    RunView().follow(
        [Update(event=each_event) for each_event in short_history(run_pb2.STATUS_FAILED)], console
    )
    final = out.getvalue().rsplit("\x1b[2K", 1)[-1]
    assert "FAILED" in final
    assert "ValueError: bad data" in final
