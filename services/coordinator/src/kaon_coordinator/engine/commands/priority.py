"""The set-priority command."""

from __future__ import annotations

from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.kinds.subworkflows import tell_children
from kaon_coordinator.engine.messages import SetPriority
from kaon_coordinator.engine.refusals import refuse
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.steps.attempts import reissue
from kaonapi.run.v1 import command_pb2, history_pb2


def set_priority(decision: Decision, message: SetPriority) -> None:
    """Change the run's priority and request its READY steps again with the new one."""
    state = decision.state
    if state.ended:
        refuse(
            decision, "set_priority", "", f"the run is {t.short(state.status)}", message.requester
        )
        return
    if message.priority == state.priority:
        return
    decision.emit(
        run_priority_changed=history_pb2.RunPriorityChanged(
            priority=message.priority, requester=message.requester
        )
    )
    for step in list(state.steps.values()):
        if step.status == t.READY:
            reissue(decision, step, reason="reprioritized")
    tell_children(
        decision,
        command_pb2.RunCommand(
            set_priority=command_pb2.SetRunPriority(priority=message.priority),
            reason="its parent's was changed",
        ),
    )
