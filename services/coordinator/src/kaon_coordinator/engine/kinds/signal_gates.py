"""Gates that wait for signals: which signals they take, and what is kept for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.messages import Signal
from kaon_coordinator.engine.refusals import refuse
from kaon_coordinator.engine.scopes.scopes import end_block
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import Evaluate
from kaon_coordinator.engine.state.guards import Answerer
from kaon_coordinator.engine.state.state import BlockState, BufferedSignal, RunState
from kaon_coordinator.engine.steps.leases import hand_over
from kaon_wire import canonical, value_types
from kaon_wire.definitions.graphs import all_blocks
from kaon_wire.errors import KaonError
from kaonapi.run.v1 import history_pb2
from kaonapi.workflow.v1 import definition_pb2 as d


def signal(decision: Decision, message: Signal) -> None:
    """Deliver a signal to a step or to waiting gates, or keep it until a gate takes it."""
    state = decision.state
    limits = decision.context.limits
    if state.ended:
        refuse(decision, "signal", message.path, "the run has ended", message.requester)
        return
    if large := limits.too_large({"payload": message.payload_json}):
        refuse(decision, "signal", message.path, large, message.requester)
        return
    if message.path:
        _signal_step(decision, message)
        return
    if len(state.signals.get(message.name, ())) >= limits.buffered_signals:
        problem = f"{limits.buffered_signals} signals {message.name!r} wait (buffered_signals)"
        refuse(decision, "signal", "", problem, message.requester)
        return
    if problem := lacking(decision.state.workflow.definition, message.name, message.roles):
        refuse(decision, "signal", "", problem, message.requester)
        return
    _note(decision, message)
    place = len(state.signals[message.name]) - 1
    waiting = _waiting(decision, message)
    _give(decision, waiting if message.to_all else waiting[:1], message.name, place)


def take_kept(decision: Decision, block: BlockState) -> bool:
    """Let a gate that begins take the oldest kept signal that it takes; tell whether there was one."""
    gate, state = block.block.gate.signal, decision.state
    kept = state.signals.get(gate.name, ())
    params = _params(state) if kept and gate.where_cel else {}
    for place, each in enumerate(kept):
        if _takes(decision, gate, each.payload_json, params):
            _give(decision, [block], gate.name, place)
            return True
    return False


def takes(
    gate: d.SignalGate, payload_json: str, params: Mapping[str, object], evaluate: Evaluate
) -> bool:
    """Tell whether a gate takes a signal with this payload, in a run with these parameters.

    What a sender gives fails no run: a signal for which the condition has no value is not taken.
    """
    if not gate.where_cel:
        return True
    payload = canonical.loads(payload_json)
    try:
        if isinstance(payload, dict):
            payload |= {
                each.name: value_types.native(payload[each.name], each)
                for each in gate.fields
                if each.name in payload
            }
        return evaluate(gate.where_cel, {"payload": payload, "params": dict(params)}) is True
    except KaonError:
        return False


def native_params(definition: d.WorkflowDefinition, values: Mapping[str, str]) -> dict[str, object]:
    """Return the parameters of a run as conditions have them: times and durations where these are declared."""
    return {
        each.name: value_types.native(canonical.loads(values[each.name]), each)
        for each in definition.parameters
        if each.name in values
    }


def lacking(workflow: d.WorkflowDefinition, name: str, roles: frozenset[str]) -> str:
    """Return why somebody with these roles may not send a signal of this name; empty when nothing is in the way."""
    asked = Answerer(name="", roles=roles)
    gates = (block.gate for block in all_blocks(workflow.body) if block.gate.signal.name == name)
    return next(filter(None, (asked.lacks(gate, "") for gate in gates)), "")


def _params(state: RunState) -> Mapping[str, object]:
    return native_params(state.workflow.definition, state.params)


def _waiting(decision: Decision, message: Signal) -> list[BlockState]:
    """Return the gates that wait for a signal and take it, in their order."""
    gates = [
        block
        for block in decision.state.gates.values()
        if block.block.gate.HasField("signal") and block.block.gate.signal.name == message.name
    ]
    looks = any(block.block.gate.signal.where_cel for block in gates)
    params = _params(decision.state) if looks else {}
    return sorted(
        (
            block
            for block in gates
            if _takes(decision, block.block.gate.signal, message.payload_json, params)
        ),
        key=lambda block: block.position,
    )


def _takes(
    decision: Decision, gate: d.SignalGate, payload_json: str, params: Mapping[str, object]
) -> bool:
    # Each has the whole budget: how many others there are changes no answer.
    decision.context.meter.begin_node()
    return takes(gate, payload_json, params, decision.context.evaluate)


def _note(decision: Decision, message: Signal) -> None:
    decision.emit(
        signal_received=history_pb2.SignalReceived(
            name=message.name,
            payload_json=message.payload_json,
            path=message.path,
            requester=message.requester,
            to_all=message.to_all,
        )
    )


def _give(decision: Decision, blocks: Iterable[BlockState], name: str, place: int) -> None:
    """Let gates take the kept signal at a place, and end them.

    All have taken it before the first one ends: what begins after that gate does not take it, too.
    """
    taking = list(blocks)
    if not taking:
        return
    given: BufferedSignal = decision.state.signals[name][place]
    for block in taking:
        decision.emit(
            gate_answered=history_pb2.GateAnswered(
                path=block.path,
                by=given.requester,
                signal=name,
                passed_over=place,
                stays=block is not taking[-1],
            )
        )
    outputs = {"payload": given.payload_json, "by": canonical.dumps(given.requester)}
    for block in taking:
        # The end of one may have stopped another.
        if block.status == t.WAITING:
            end_block(decision, block, t.SUCCEEDED, outputs=outputs)


def _signal_step(decision: Decision, message: Signal) -> None:
    step = decision.state.steps.get(message.path)
    if step is None or step.status not in t.AT_WORK:
        refuse(decision, "signal", message.path, "no step is running there", message.requester)
        return
    if len(step.signals) >= decision.context.limits.buffered_signals:
        refuse(
            decision,
            "signal",
            message.path,
            "it has too many signals (buffered_signals)",
            message.requester,
        )
        return
    _note(decision, message)
    hand_over(decision, step, step.signals[-1])
