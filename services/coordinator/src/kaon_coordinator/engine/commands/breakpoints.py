"""The commands of breakpoints: a step waits before it starts, with its inputs bound, until somebody lets it go on."""

from __future__ import annotations

from kaon_coordinator.engine.actions import EndChain
from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.messages import PassBreakpoint, SetBreakpoint
from kaon_coordinator.engine.refusals import refuse
from kaon_coordinator.engine.scopes.scopes import start_node
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.engine.steps.attempts import reissue
from kaon_coordinator.engine.steps.succession import is_followed
from kaon_wire.definitions.graphs import all_blocks
from kaon_wire.paths import bare
from kaonapi.run.v1 import history_pb2

# Breakpoints of one run.
MOST = 100


def set_breakpoint(decision: Decision, message: SetBreakpoint) -> None:
    """Let a step, or all instances of a name, wait before they start."""
    state = decision.state
    if message.step in state.breakpoints:
        return
    if problem := _problem(state, message.step):
        refuse(decision, "set_breakpoint", message.step, problem, message.requester)
        return
    decision.emit(
        breakpoint_set=history_pb2.BreakpointSet(
            step=message.step, requester=message.requester, reason=message.reason
        )
    )
    _withdraw_chains(decision, message.step)


def _problem(state: RunState, written: str) -> str:
    """Return why there can be no breakpoint; empty when there can."""
    if state.ended:
        return f"the run is {t.short(state.status)}"
    segments = tuple(bare(segment) for segment in written.split("/"))
    chain = state.workflow.chains.get(segments[-1], ())
    if segments not in (chain, chain[-1:]) or not _is_step(state, segments[-1]):
        return "the workflow has no such step"
    step = state.steps.get(written)
    if step is not None and (step.begun or step.status in t.TERMINAL):
        return f"it has started: it is {t.short(step.status)}"
    if len(state.breakpoints) >= MOST:
        return f"the run has {MOST} breakpoints, which is the most that it may have"
    return ""


def _is_step(state: RunState, name: str) -> bool:
    blocks = all_blocks(state.workflow.definition.body)
    return any(block.name == name and block.HasField("step") for block in blocks)


def _withdraw_chains(decision: Decision, written: str) -> None:
    """Take the step away from runners that may start it by themselves after the one before it."""
    for step in list(decision.state.steps.values()):
        if step.status not in {t.READY, t.RUNNING} or not is_followed(step, written, written):
            continue
        if step.status == t.READY:
            reissue(decision, step, reason="breakpoint")
        else:
            decision.act(EndChain(issue=step.issue, incarnation=step.incarnation))


def pass_breakpoint(decision: Decision, message: PassBreakpoint) -> None:
    """Remove a breakpoint, and let go on what waits at it."""
    state, written = decision.state, message.step
    waiting = [
        step
        for step in state.steps.values()
        if step.held and written in (step.path, step.block.name)
    ]
    if not waiting and written not in state.breakpoints:
        problem = "there is no breakpoint, and it does not wait at one"
        refuse(decision, "pass_breakpoint", written, problem, message.requester)
        return
    decision.emit(
        breakpoint_passed=history_pb2.BreakpointPassed(
            step=written, requester=message.requester, reason=message.reason
        )
    )
    for step in waiting:
        decision.then(start_node, step)
