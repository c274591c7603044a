"""The live view, fed with histories."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console
from sdk_api_server import Update, event, short_history

from kaon import (
    Workflow,
    approval,
    each,
    grid,
    group,
    last_run,
    median,
    repeat,
    signal,
    steps,
    sub_workflow,
    timer,
)
from kaon.cli.following import Follower
from kaon.cli.live import RunView
from kaon.cli.live.lines import describe, line
from kaon.cli.live.paths import label, split
from kaon.client import Client, NotFound
from kaonapi.run.v1 import history_pb2 as h
from kaonapi.run.v1 import run_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d


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
        {
            "step_ended": h.StepEndedEvent(
                path="cycle#1/wrangle", attempt=1, status=run_pb2.STATUS_SUCCEEDED
            )
        },
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
    assert [label(path) for path in ("a#2", "a[US]", "a=0", "x/b")] == [
        "iteration 2",
        "US",
        "0",
        "b",
    ]


def test_what_has_not_begun_is_shown_from_the_definition() -> None:
    view = RunView(definition(), clock=lambda: 20.0)  # type: ignore[arg-type]
    assert "cycle" in text(view)
    for each_event in loop_history(3):
        view.feed(each_event)
    drawn = text(view)
    for wanted in (
        "iteration 1",
        "wrangle",
        "regions",
        "r0",
        "train",
        "check",
        "iteration 1 of at most 3",
        "0 of 3 done",
    ):
        assert wanted in drawn, drawn


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


def fed(view: RunView, *facts: dict[str, object]) -> str:
    """The picture after these facts."""
    for seq, fact in enumerate(facts, 1):
        view.feed(event(seq, **fact))
    return text(view, width=240)


def gated() -> object:
    body = (
        approval("release", roles=["owner"], message="Publish?")
        >> signal("data-ready")
        >> timer("pause", after="1m")
        >> last_run("sales", "daily-sales")
    )
    return Workflow("w", body).definition()


def test_a_gate_that_waits_says_how_to_answer_it() -> None:
    view = RunView(gated(), clock=lambda: 10.0)  # type: ignore[arg-type]
    drawn = fed(
        view,
        {"run_started": h.RunStarted()},
        {"block_started": h.BlockStarted(path="release")},
    )
    assert "approval by owner: Publish?" in drawn
    assert "kaon approve r1 release" in drawn
    assert "waiting" in drawn
    drawn = fed(
        view,
        {"gate_answered": h.GateAnswered(path="release", by="ada", approved=True, comment="fine")},
        {"block_ended": h.BlockEnded(path="release", status=run_pb2.STATUS_SUCCEEDED)},
        {"block_started": h.BlockStarted(path="data-ready")},
        {"block_started": h.BlockStarted(path="pause")},
        {"block_started": h.BlockStarted(path="sales")},
    )
    assert "a successful run of daily-sales" in drawn
    assert "approved by ada: fine" in drawn
    assert "kaon approve" not in drawn
    assert "kaon signal r1 data-ready" in drawn
    assert "its time" in drawn


def test_lines_and_pictures_name_the_server_where_commands_would_not_find_it() -> None:
    view, out = RunView(gated(), server="127.0.0.1:5"), StringIO()  # type: ignore[arg-type]
    facts: list[dict[str, object]] = [
        {"run_started": h.RunStarted()},
        {"block_started": h.BlockStarted(path="release")},
        {"block_started": h.BlockStarted(path="pause")},
        {"run_ended": h.RunEnded(status=run_pb2.STATUS_CANCELLED)},
    ]
    view.follow(
        [event(seq, **fact) for seq, fact in enumerate(facts, 1)], Console(file=out, width=200)
    )
    told = out.getvalue()
    assert (
        "release  waits for approval by owner: Publish? (kaon approve r1 release --server 127.0.0.1:5)"
        in told
    )
    assert "pause  waits for its time\n" in told


def test_a_group_shows_its_steps_and_hooks_when_their_turn_comes() -> None:
    inner = steps.shell("load", argv=["x"]).on_failure(steps.shell("alert", argv=["x"]))
    body = group(inner.finally_(steps.shell("clean", argv=["x"])), name="training") >> steps.shell(
        "end", argv=["x"]
    )
    view = RunView(Workflow("w", body).definition(), clock=lambda: 10.0)
    drawn = text(view)
    assert "load" in drawn
    assert "clean" not in drawn
    drawn = fed(
        view,
        {"run_started": h.RunStarted()},
        {"block_started": h.BlockStarted(path="training")},
        {"cell_started": h.CellStarted(path="training/", block="training")},
        {"step_became_ready": h.StepBecameReady(path="training/load", attempt=1)},
        {"step_ended": h.StepEndedEvent(path="training/load", status=run_pb2.STATUS_FAILED)},
        {
            "phase_started": h.PhaseStarted(
                scope="training/", phase=d.PHASE_FINALLY, status=run_pb2.STATUS_FAILED
            )
        },
        {"block_ended": h.BlockEnded(path="training/", status=run_pb2.STATUS_FAILED)},
        {"block_ended": h.BlockEnded(path="training", status=run_pb2.STATUS_FAILED)},
    )
    assert "clean finally" in drawn
    assert "alert" not in drawn
    assert drawn.count("training") == 1


def test_hooks_of_the_run_come_with_their_phase() -> None:
    workflow = Workflow(
        "w", steps.shell("a", argv=["x"]), on_failure=steps.shell("alert", argv=["x"])
    )
    view = RunView(workflow.definition(), clock=lambda: 10.0)
    assert "alert" not in text(view)
    started = h.PhaseStarted(phase=d.PHASE_ON_FAILURE, status=run_pb2.STATUS_FAILED)
    assert "alert on failure" in fed(
        view, {"run_started": h.RunStarted()}, {"phase_started": started}
    )


def test_a_sweep_shows_its_best_cell_and_those_that_were_stopped() -> None:
    trial = each("trial", grid(lr=[1, 2, 3]), stop_early=median("loss"))
    view = RunView(
        Workflow("w", steps.shell("train", argv=["x"], lr=trial["lr"]) ** trial).definition()
    )
    loop = "each-trial"
    cells = [
        {
            "cell_started": h.CellStarted(
                path=f"{loop}[{n}]", block=loop, index=n, item_json=f'{{"lr":{n}}}'
            )
        }
        for n in range(3)
    ]

    def loss(cell: int, value: float) -> dict[str, object]:
        metric = step_pb2.StepMetric(name="loss", value=value, step=1)
        return {"step_reported": h.StepReported(path=f"{loop}[{cell}]/train", metric=metric)}

    stop = h.BlockStopRequested(
        path=f"{loop}[2]", status=run_pb2.STATUS_SKIPPED, cause="early_stopping"
    )
    drawn = fed(
        view,
        {"run_started": h.RunStarted()},
        {"block_started": h.BlockStarted(path=loop, count=3)},
        *cells,
        loss(0, 0.5),
        loss(1, 0.25),
        loss(2, 9.0),
        {"block_stop_requested": stop},
        {"block_ended": h.BlockEnded(path=f"{loop}[2]", status=run_pb2.STATUS_SKIPPED)},
    )
    assert '0 of 3 done, 1 stopped early, best 0.25 in [1] {"lr":1}' in drawn
    assert '{"lr":1}' in drawn


def test_a_sub_workflow_shows_its_run_and_a_memoized_step_where_it_was_taken_from() -> None:
    body = sub_workflow("score", "scoring") >> steps.shell("a", argv=["x"], memo=True)
    drawn = fed(
        RunView(Workflow("w", body).definition()),
        {"block_started": h.BlockStarted(path="score")},
        {
            "child_run_started": h.ChildRunStarted(
                path="score", child_run_id="r7", workflow="scoring"
            )
        },
        {
            "step_ended": h.StepEndedEvent(
                path="a", status=run_pb2.STATUS_SUCCEEDED, memo=h.MemoSource(run_id="r3")
            )
        },
    )
    assert "run r7 of scoring" in drawn
    assert "reused from run r3" in drawn


def test_a_line_of_a_step_tells_the_datasets_that_it_updates() -> None:
    ended = h.StepEndedEvent(
        path="load", status=run_pb2.STATUS_SUCCEEDED, datasets={"users": "", "ratings": "eu"}
    )
    told = line(event(1, step_ended=ended))
    assert told is not None
    assert told.endswith("SUCCEEDED, updates dataset ratings partition eu, updates dataset users")


def test_paused_late_and_reopened_runs_are_shown() -> None:
    view = RunView(definition(), clock=lambda: 10.0)  # type: ignore[arg-type]
    drawn = fed(
        view,
        {"run_started": h.RunStarted()},
        {"run_paused": h.RunPaused(reason="cluster is full")},
        {"deadline_missed": h.DeadlineMissed()},
    )
    assert "PAUSED  late" in drawn
    assert "cluster is full" in drawn
    assert "RUNNING" in fed(view, {"run_resumed": h.RunResumed()})
    failed = step_pb2.StepError(type="ValueError", message="bad data")
    drawn = fed(
        view,
        {"block_started": h.BlockStarted(path="cycle")},
        {"cell_started": h.CellStarted(path="cycle#1", block="cycle", index=1)},
        {
            "step_ended": h.StepEndedEvent(
                path="cycle#1/wrangle", status=run_pb2.STATUS_FAILED, error=failed
            )
        },
        {"block_ended": h.BlockEnded(path="cycle#1", status=run_pb2.STATUS_FAILED, error=failed)},
        {"block_ended": h.BlockEnded(path="cycle", status=run_pb2.STATUS_FAILED, error=failed)},
        {"run_ended": h.RunEnded(status=run_pb2.STATUS_FAILED, error=failed)},
    )
    assert view.ended
    assert "bad data" in drawn
    drawn = fed(view, {"blocks_reset": h.BlocksReset(paths=["cycle#1/wrangle"], cause="retry")})
    assert not view.ended
    assert "bad data" not in drawn
    assert drawn.count("running") == 2
    assert "iteration 1" not in fed(
        view, {"blocks_reset": h.BlocksReset(paths=["cycle"], cause="restart")}
    )


def test_outputs_of_the_run_stay_in_the_picture() -> None:
    ended = h.RunEnded(status=run_pb2.STATUS_SUCCEEDED, outputs_json={"rmse": "0.9"})
    assert "rmse = 0.9" in fed(RunView(), {"run_started": h.RunStarted()}, {"run_ended": ended})
    assert describe(event(1, run_ended=ended)) == "run SUCCEEDED  rmse = 0.9"


def test_the_body_of_a_group_is_told_from_the_group() -> None:
    body = event(1, block_ended=h.BlockEnded(path="training/", status=run_pb2.STATUS_SUCCEEDED))
    assert describe(body) == "body of training  SUCCEEDED"
    assert line(body) is None


def test_every_fact_of_a_history_has_words() -> None:
    for field in h.HistoryEvent.DESCRIPTOR.oneofs_by_name["event"].fields:
        empty = event(1)
        getattr(empty, field.name).SetInParent()
        assert describe(empty), field.name


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


def test_a_fork_shows_what_it_has_kept_of_the_runs_before_it() -> None:
    first, second = steps.shell("a", argv=["x"]), steps.shell("b", argv=["x"])
    third = steps.shell("c", argv=["x"])
    flow = Workflow("w", first >> second >> third).definition()

    def submitted(run_id: str, seq: int) -> dict[str, object]:
        fork = h.RunFork(run_id=run_id, seq=seq)
        return {"run_submitted": h.RunSubmitted(workflow="w", fork=fork)}

    def ended(path: str, status: run_pb2.Status.ValueType) -> dict[str, object]:
        return {"step_ended": h.StepEndedEvent(path=path, attempt=1, status=status)}

    def run(run_id: str, *facts: dict[str, object]) -> list[h.HistoryEvent]:
        return [
            h.HistoryEvent(run_id=run_id, seq=seq, time_us=seq * 1_000_000, **fact)  # type: ignore[arg-type]
            for seq, fact in enumerate(facts, 1)
        ]

    good, bad = run_pb2.STATUS_SUCCEEDED, run_pb2.STATUS_FAILED
    failed = {"run_ended": h.RunEnded(status=bad)}
    begun = {"run_submitted": h.RunSubmitted(workflow="w")}
    histories = {
        # The fork is of the state before step c had failed.
        "r1": run("r1", begun, ended("a", good), ended("b", bad), ended("c", bad), failed),
        "r2": run("r2", submitted("r1", 3), _again("b"), ended("b", good), ended("c", bad), failed),
        "r3": run("r3", submitted("r2", 5), _again("c"), ended("c", good), _succeeded()),
    }
    client = SimpleNamespace(
        watch=lambda run_id, _seq: [Update(event=each) for each in histories[run_id]],
        history=lambda run_id: iter(histories[run_id]),
    )
    view = RunView(flow)  # type: ignore[arg-type]
    code = Follower(cast("Client", client), "r3", flow, view, json=False).follow()  # type: ignore[arg-type]
    assert (code, view.status) == (0, good)
    assert "3 of 3 steps" in text(view)

    def history(run_id: str) -> Iterator[h.HistoryEvent]:
        raise NotFound(f"there is no run {run_id!r}")

    client.history = history
    assert Follower(cast("Client", client), "r3", flow, RunView(flow), json=False).follow() == 0  # type: ignore[arg-type]


def _again(path: str) -> dict[str, object]:
    return {"blocks_reset": h.BlocksReset(paths=[path], cause="fork")}


def _succeeded() -> dict[str, object]:
    return {"run_ended": h.RunEnded(status=run_pb2.STATUS_SUCCEEDED)}


def _failing_history() -> list[h.HistoryEvent]:
    error = step_pb2.StepError(
        type="ValueError", message="bad data", details="Traceback:\n  File flow.py, line 3"
    )
    failed = run_pb2.STATUS_FAILED
    facts: list[dict[str, object]] = [
        {"run_started": h.RunStarted()},
        {"block_started": h.BlockStarted(path="each", keys=["US"])},
        {"cell_started": h.CellStarted(path="each[US]", block="each")},
        {"step_leased": h.StepLeased(path="each[US]/train", attempt=1, runner_id="host-1")},
        {
            "step_ended": h.StepEndedEvent(
                path="each[US]/train", attempt=1, status=failed, error=error
            )
        },
        {"block_ended": h.BlockEnded(path="each[US]", status=failed, error=error)},
        {"block_ended": h.BlockEnded(path="each", status=failed, error=error)},
        {"run_ended": h.RunEnded(status=failed, error=error)},
    ]
    return [event(seq, **fact) for seq, fact in enumerate(facts, 1)]


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("terminal", [True, False])
def test_a_failure_is_told_once_with_its_traceback_and_never_cut(
    width: int, terminal: bool
) -> None:
    out = StringIO()
    console = Console(file=out, width=width, height=30, force_terminal=terminal, color_system=None)
    RunView(clock=lambda: 10.0).follow(_failing_history(), console)
    told = out.getvalue()
    assert told.count("File flow.py, line 3") == 1
    assert told.count("each[US]/train  FAILED: ValueError: bad data") == 1
    assert "each  FAILED: ValueError" not in told
    final = told.rsplit("\x1b[2K", 1)[-1]
    assert final.count("bad data") == (1 if terminal else 2)


def test_where_the_steps_output_is_printed_the_traceback_is_part_of_it() -> None:
    out = StringIO()
    RunView(tracebacks=False).follow(_failing_history(), Console(file=out, width=200))
    assert "flow.py" not in out.getvalue()
    assert "bad data" in out.getvalue()


class _Prints:
    """What steps print, which is all there when the run has ended."""

    def __init__(self, out: StringIO) -> None:
        self._out = out

    def start(self) -> None:
        """Print nothing yet."""

    def finish(self) -> None:
        self._out.write("all is printed\n")


def test_an_end_that_a_retry_follows_does_not_wait_for_the_prints() -> None:
    """Otherwise what comes after it would be shown when the run has ended for good."""
    failed = h.RunEnded(status=run_pb2.STATUS_FAILED)
    again = h.BlocksReset(paths=["train"], cause="retry")
    succeeded = h.RunEnded(status=run_pb2.STATUS_SUCCEEDED)
    out = StringIO()

    RunView().follow(
        [event(1, run_ended=failed), event(2, blocks_reset=again), event(3, run_ended=succeeded)],
        Console(file=out, width=100),
        _Prints(out),
    )

    lines = [line.partition("  ")[2] or line for line in out.getvalue().splitlines()]
    assert lines == ["run FAILED", "retry of train", "all is printed", "run SUCCEEDED"]
