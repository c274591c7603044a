"""Why a READY step does not start, said in the live view."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import cast

from kaon.cli.waits import Waits
from kaon.client import Client
from kaonapi.run.v1 import history_pb2 as h
from kaonapi.runner.v1 import runner_pb2

from .sdk_api_server import event


def test_what_waits_for_long_is_asked_about_and_told_once() -> None:
    asked, told, rounds = [], [], threading.Event()

    def why(_run: str, path: str) -> runner_pb2.ExplainStepResponse:
        asked.append(path)
        if len(asked) == 3:
            rounds.set()
        return runner_pb2.ExplainStepResponse(
            reasons=[runner_pb2.WaitReason(text=f"no runner for {path}")]
        )

    waits = Waits(
        cast("Client", SimpleNamespace(why=why)),
        "r1",
        lambda *what: told.append(what),
        patience=0.01,
    )
    waits.note(event(1, step_became_ready=h.StepBecameReady(path="a")))
    waits.note(event(2, step_became_ready=h.StepBecameReady(path="b")))
    waits.note(event(3, step_leased=h.StepLeased(path="b")))
    waits.start()
    assert rounds.wait(60)
    waits.stop()
    assert set(asked) == {"a"}
    assert told == [("a", "no runner for a")]
