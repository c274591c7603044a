"""Steps that the runner starts by itself: after the acknowledgement, with the right inputs, and only where it may."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import MemorySystem, python

from kaon_runner.outbox.batching import Batch
from kaon_wire.successions import inputs_digest
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2


@pytest.fixture
def system(tmp_path: Path) -> Iterator[MemorySystem]:
    with MemorySystem(tmp_path / "work", slots=1) as system:
        yield system


def _following(
    leader: step_pb2.StepRequest,
    function: str,
    step: int = 0,
    keys: tuple[str, ...] = (),
    **rest: Any,
) -> step_pb2.StepRequest:
    """Adds a successor with an input x from an earlier step."""
    added = python(function, outputs={"value": "any"}, generation=leader.key.generation, **rest)
    source = step_pb2.ChainOutput(step=step, output="value", keys_json=keys)
    leader.successors.append(step_pb2.Successor(request=added, inputs={"x": source}))
    return added


def _event(system: MemorySystem, path: str, kind: str) -> step_pb2.StepEvent | None:
    for event in tuple(system.events):
        if event.key.path == path and event.WhichOneof("event") == kind:
            return event
    return None


def _wait(system: MemorySystem, wanted: step_pb2.StepRequest, kind: str) -> step_pb2.StepEvent:
    event: step_pb2.StepEvent = system.wait(lambda: _event(system, wanted.key.path, kind))
    return event


def test_a_chain_runs_through_with_the_outputs_of_its_steps(system: MemorySystem) -> None:
    first = python("give", inputs={"value": {"k": [5]}}, outputs={"value": "any"})
    second = _following(first, "succ_of", keys=('"k"', "0"))
    third = _following(first, "succ_of", step=1)
    system.release(first)
    last = _wait(system, third, "succeeded")
    assert dict(last.succeeded.outputs_json) == {"value": "7"}
    began = _event(system, second.key.path, "started")
    assert began is not None
    assert began.key.succession == inputs_digest({"x": "5"})
    record = next(each for each in system.records if began in each.events)
    told = [(event.key.path, event.WhichOneof("event")) for event in record.events]
    assert told.index((first.key.path, "succeeded")) + 1 == told.index((second.key.path, "started"))


class _HeldBack:
    """Keeps the acknowledgements of records in which a step has succeeded."""

    def __init__(self, system: MemorySystem) -> None:
        transport = system.runner._transport
        self._send = transport.send
        self.held: list[Callable[[], None]] = []
        self.came = threading.Event()
        transport.send = self._keep  # type: ignore[method-assign]

    def _keep(self, topic: str, partition: int, message: Any, done: Any) -> None:
        def acknowledged(error: Exception | None) -> None:
            if any(event.HasField("succeeded") for event in getattr(message, "events", ())):
                self.held.append(lambda: done(error))
                self.came.set()
            else:
                done(error)

        self._send(topic, partition, message, acknowledged)

    def let_go(self) -> None:
        for each in self.held:
            each()
        self.held.clear()


def test_nothing_begins_before_the_broker_has_the_success_before_it(
    system: MemorySystem, tmp_path: Path
) -> None:
    broker = _HeldBack(system)
    first = python("give", inputs={"value": str(tmp_path / "ran")}, outputs={"value": "any"})
    second = _following(first, "touch")
    system.release(first)
    assert broker.came.wait(20)
    _wait(system, second, "started")
    beats = len(system.heartbeats)
    renewals = sum(record.HasField("renewal") for record in system.records)
    system.wait(lambda: len(system.heartbeats) > beats + 1)
    named = [key.path for record in system.records for key in record.renewal.held]
    assert second.key.path not in named, f"renewed before its start is known ({renewals})"
    assert [key.path for key in system.heartbeats[-1].running] == [second.key.path]
    assert not (tmp_path / "ran").exists()
    broker.let_go()
    _wait(system, second, "succeeded")
    assert (tmp_path / "ran").exists()


def test_a_drain_while_it_waits_for_the_acknowledgement_hands_it_back(
    system: MemorySystem, tmp_path: Path
) -> None:
    broker = _HeldBack(system)
    first = python("give", inputs={"value": str(tmp_path / "ran")}, outputs={"value": "any"})
    second = _following(first, "touch")
    system.release(first)
    assert broker.came.wait(20)
    system.command(drain=runner_pb2.DrainRunner(grace_ms=60_000))
    _wait(system, second, "handed_back")
    broker.let_go()
    assert not (tmp_path / "ran").exists()


def test_a_revoke_while_it_waits_for_the_acknowledgement_ends_it_in_silence(
    system: MemorySystem, tmp_path: Path
) -> None:
    broker = _HeldBack(system)
    first = python("give", inputs={"value": str(tmp_path / "ran")}, outputs={"value": "any"})
    second = _following(first, "touch")
    system.release(first)
    assert broker.came.wait(20)
    system.revoke(second.key, runner_pb2.REVOKE_REASON_STALE_LEASE)
    again = python("give", inputs={"value": 1}, outputs={"value": "any"})
    system.release(again)
    _wait(system, again, "started")
    broker.let_go()
    system.final(again.key)
    assert [
        event.WhichOneof("event") for event in system.events if event.key.path == second.key.path
    ] == ["started"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("why", ["drain", "end", "tenant", "revoke"])
def test_a_step_ends_a_chain_that_may_not_go_on(
    system: MemorySystem, tmp_path: Path, why: str
) -> None:
    gate = tmp_path / "go"
    first = python("wait_for", inputs={"path": str(gate)}, outputs={"value": "any"})
    second = _following(first, "give_x")
    system.release(first)
    system.started(first.key)
    other = python("give", inputs={"value": 1}, outputs={"value": "any"})
    match why:
        case "drain":
            system.command(drain=runner_pb2.DrainRunner(grace_ms=60_000))
            system.wait(lambda: any(beat.draining for beat in system.heartbeats))
        case "end":
            system.command(end_succession=runner_pb2.EndSuccession(key=first.key))
            system.release(other)
            system.wait(lambda: any(beat.queued for beat in system.heartbeats))
        case "tenant":
            other.spec.tenant = "another"
            system.release(other)
            system.wait(lambda: any(beat.queued for beat in system.heartbeats))
        case "revoke":
            system.revoke(first.key, runner_pb2.REVOKE_REASON_CANCELLED)
    gate.touch()
    system.final(first.key)
    if why in ("end", "tenant"):
        system.final(other.key)
    assert _event(system, second.key.path, "started") is None


def test_an_order_about_an_earlier_generation_ends_no_chain(
    system: MemorySystem, tmp_path: Path
) -> None:
    gate = tmp_path / "go"
    first = python("wait_for", inputs={"path": str(gate)}, outputs={"value": "any"}, generation=2)
    second = _following(first, "give_x")
    system.release(first)
    system.started(first.key)
    earlier = step_pb2.StepKey()
    earlier.CopyFrom(first.key)
    earlier.generation = 1
    system.command(end_succession=runner_pb2.EndSuccession(key=earlier))
    # Commands are obeyed in order.
    after = python("nothing")
    system.revoke(after.key, runner_pb2.REVOKE_REASON_CANCELLED)
    _wait(system, after, "stopped")
    gate.touch()
    _wait(system, second, "succeeded")


def test_an_output_that_has_no_such_element_ends_the_chain(system: MemorySystem) -> None:
    first = python("give", inputs={"value": []}, outputs={"value": "any"})
    second = _following(first, "give_x", keys=("0",))
    system.release(first)
    system.final(first.key)
    after = python("give", inputs={"value": json.loads("1")}, outputs={"value": "any"})
    system.release(after)
    system.final(after.key)
    assert _event(system, second.key.path, "started") is None


def test_what_is_joined_departs_together() -> None:
    batch: Batch[str] = Batch(limit=2, weight_limit=10)
    batch.add("a", 1)
    batch.add("b", 6)
    batch.add("c", 6, joined=True)
    batch.add("d", 1)
    assert batch.depart() == ["a", "b", "c"]
    assert batch.depart() == ["d"]
