"""Pauses: nothing new starts, what runs goes on."""

from __future__ import annotations

from kaon_coordinator.engine import transitions as t
from kaon_coordinator.engine.actions import EndStep
from kaon_coordinator.engine.decide import Decision
from kaon_coordinator.engine.messages import Pause, Resume
from kaon_coordinator.engine.refusals import refuse
from kaon_coordinator.engine.state import StepState
from kaonapi.run.v1 import command_pb2, history_pb2


def pause(decision: Decision, message: Pause) -> None:
    """Nothing new starts; what waits for a runner is taken back."""
    from kaon_coordinator.engine import subworkflows

    state = decision.state
    if state.status not in {t.PENDING, t.RUNNING}:
        if state.status != t.PAUSED:
            refuse(decision, "pause", "", f"the run is {t.short(state.status)}", message.requester)
        return
    decision.emit(run_paused=history_pb2.RunPaused(requester=message.requester, reason=message.reason))
    for step in state.steps.values():
        if step.status == t.READY:
            decision.act(EndStep(path=step.path, attempt=step.attempt, generation=step.generation))
    command = command_pb2.RunCommand(pause=command_pb2.PauseRun(), reason="its parent was paused")
    subworkflows.tell_children(decision, command)


def resume(decision: Decision, message: Resume) -> None:
    """The run goes on where it was paused."""
    from kaon_coordinator.engine import runs, subworkflows

    state = decision.state
    if state.status != t.PAUSED:
        if state.status != t.RUNNING:
            refuse(decision, "resume", "", f"the run is {t.short(state.status)}", message.requester)
        return
    decision.emit(run_resumed=history_pb2.RunResumed(requester=message.requester, reason=message.reason))
    if not state.start_us or state.waits_since:
        runs.go_on(decision)
        return
    go_on(decision)
    subworkflows.tell_children(
        decision, command_pb2.RunCommand(resume=command_pb2.ResumeRun(), reason="its parent goes on")
    )


def go_on(decision: Decision) -> None:
    """Does what had to wait for the end of a pause; when the run is being stopped that concerns its hooks only."""
    from kaon_coordinator.engine import leases, scopes

    for step in list(decision.state.steps.values()):
        if step.status == t.READY:
            leases.reissue(decision, step, reason="paused")
        elif step.status == t.PENDING and step.retry_us:
            _try_again(decision, step)
    decision.then(lambda: scopes.advance(decision, list(decision.state.scopes.values())))


def _try_again(decision: Decision, step: StepState) -> None:
    from kaon_coordinator.engine import steps

    if step.retry_us <= decision.context.now_us:
        steps.try_again(decision, step)
