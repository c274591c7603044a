"""Why a READY step does not start, said in the live view."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from kaon.cli.waits import Waits
from kaon.client import Client
from kaonapi.run.v1 import history_pb2 as h
from kaonapi.runner.v1 import runner_pb2

from .sdk_api_server import event


def _waits(
    why: Callable[[str, str], runner_pb2.ExplainStepResponse],
    tell: Callable[[str, str], object],
    **options: Any,
) -> Waits:
    return Waits(cast("Client", SimpleNamespace(why=why)), "r1", tell, patience=0.01, **options)


def test_what_waits_for_long_is_asked_about_and_told_once() -> None:
    asked, told, rounds = [], [], threading.Event()

    def why(_run: str, path: str) -> runner_pb2.ExplainStepResponse:
        asked.append(path)
        if len(asked) == 3:
            rounds.set()
        return runner_pb2.ExplainStepResponse(
            reasons=[runner_pb2.WaitReason(text=f"no runner for {path}")]
        )

    waits = _waits(why, lambda *what: told.append(what))
    waits.note(event(1, step_became_ready=h.StepBecameReady(path="a")))
    waits.note(event(2, step_became_ready=h.StepBecameReady(path="b")))
    waits.note(event(3, step_leased=h.StepLeased(path="b")))
    waits.start()
    assert rounds.wait(60)
    waits.stop()
    assert set(asked) == {"a"}
    assert told == [("a", "no runner for a")]


def test_a_step_whose_environment_is_being_built_waits_though_it_counts_as_running() -> None:
    told: list[tuple[str, str]] = []
    cleared = threading.Event()
    said = iter(
        (
            (runner_pb2.WAIT_CAUSE_ENVIRONMENT, "its environment is being built"),
            (runner_pb2.WAIT_CAUSE_ENVIRONMENT, "its environment is being built"),
            (runner_pb2.WAIT_CAUSE_RUNNING, "it runs"),
        )
    )

    def why(_run: str, path: str) -> runner_pb2.ExplainStepResponse:
        assert path == "each[a]/train"
        cause, text = next(said)
        return runner_pb2.ExplainStepResponse(
            reasons=[runner_pb2.WaitReason(cause=cause, text=text)]
        )

    def tell(path: str, text: str) -> None:
        told.append((path, text))
        if not text:
            cleared.set()

    waits = _waits(why, tell, built=lambda path: path.endswith("train"))
    waits.note(event(1, step_became_ready=h.StepBecameReady(path="each[a]/train")))
    waits.note(event(2, step_leased=h.StepLeased(path="each[a]/train")))
    waits.note(event(3, step_leased=h.StepLeased(path="other")))
    waits.start()
    assert cleared.wait(60)
    waits.stop()
    assert told == [("each[a]/train", "its environment is being built"), ("each[a]/train", "")]
