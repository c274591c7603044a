"""Gates that wait for a run: which one, and what they take from it."""

from __future__ import annotations

from kaon_coordinator.engine.actions import AwaitRun
from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.kinds.other_runs import taken_from
from kaon_coordinator.engine.messages import RunFound, RunMissing
from kaon_coordinator.engine.scopes.scopes import end_block
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import resolve
from kaon_coordinator.engine.state.state import BlockState
from kaon_wire import canonical
from kaon_wire.definitions.kinds import RUN_ID
from kaonapi.run.v1 import history_pb2


def awaited_by(decision: Decision, block: BlockState) -> history_pb2.AwaitedRun:
    """Return which run a gate waits for that begins now."""
    spec, now_us = block.block.gate.run, decision.context.now_us
    return history_pb2.AwaitedRun(
        workflow=spec.workflow,
        params_json={
            name: resolve(decision.state, block.scope, binding, decision.context.evaluate)
            for name, binding in sorted(spec.params.items())
        },
        since_us=max(now_us - spec.max_age_ms * 1000, 1) if spec.max_age_ms else 0,
    )


def ask(decision: Decision, block: BlockState) -> None:
    """Ask for the run that a gate waits for."""
    assert block.awaited is not None
    waits = not block.block.gate.run.no_wait
    decision.act(AwaitRun(path=block.path, awaited=block.awaited, waits=waits))


def asker(decision: Decision, message: RunFound | RunMissing) -> BlockState | None:
    """Return the gate that an answer is for; None when it waits no more, or for another run."""
    block = decision.state.gates.get(message.path)
    return block if block is not None and block.awaited == message.awaited else None


def found(decision: Decision, message: RunFound) -> None:
    """Take the outputs of the run that a gate has waited for."""
    block = asker(decision, message)
    if block is None:
        return
    answered = history_pb2.GateAnswered(path=block.path, run_id=message.run_id)
    decision.emit(gate_answered=answered)
    outputs = taken_from(decision, block, block.block.gate.run, message.outputs, message.run_id)
    if outputs is not None:
        outputs[RUN_ID] = canonical.dumps(message.run_id)
        end_block(decision, block, t.SUCCEEDED, outputs=outputs)
