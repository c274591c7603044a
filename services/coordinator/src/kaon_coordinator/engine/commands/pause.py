"""The pause and resume commands: a paused run starts nothing new, and its running steps continue."""

from __future__ import annotations

from kaon_coordinator.engine.actions import EndStep
from kaon_coordinator.engine.commands import lifecycle
from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.kinds.subworkflows import tell_children
from kaon_coordinator.engine.messages import Pause, Resume
from kaon_coordinator.engine.refusals import refuse
from kaon_coordinator.engine.state import transitions as t
from kaonapi.run.v1 import command_pb2, history_pb2


def pause(decision: Decision, message: Pause) -> None:
    """Pause the run: start nothing new and withdraw the requests of READY steps."""
    state = decision.state
    if state.status not in {t.PENDING, t.RUNNING}:
        if state.status != t.PAUSED:
            refuse(decision, "pause", "", f"the run is {t.short(state.status)}", message.requester)
        return
    decision.emit(
        run_paused=history_pb2.RunPaused(requester=message.requester, reason=message.reason)
    )
    for step in state.steps.values():
        if step.status == t.READY:
            decision.act(EndStep(issue=step.issue))
    command = command_pb2.RunCommand(pause=command_pb2.PauseRun(), reason="its parent was paused")
    tell_children(decision, command)


def resume(decision: Decision, message: Resume) -> None:
    """Resume a paused run."""
    state = decision.state
    if state.status != t.PAUSED:
        if state.status != t.RUNNING:
            refuse(decision, "resume", "", f"the run is {t.short(state.status)}", message.requester)
        return
    decision.emit(
        run_resumed=history_pb2.RunResumed(requester=message.requester, reason=message.reason)
    )
    if not state.start_us or state.waits_since:
        lifecycle.go_on(decision)
        return
    lifecycle.resume(decision)
    tell_children(
        decision,
        command_pb2.RunCommand(resume=command_pb2.ResumeRun(), reason="its parent continues"),
    )
