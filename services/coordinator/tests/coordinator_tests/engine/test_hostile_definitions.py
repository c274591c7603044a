"""Definitions and messages with extremes in any of their fields: a definition is refused in words, or its run ends without a fault.

An exception that leaves the engine is what its shell calls an EngineFault, so here it simply fails the test.
"""

from __future__ import annotations

import random
from dataclasses import fields
from typing import Any

import hostile
from hypothesis import event, given
from hypothesis import strategies as st

from kaon_coordinator import expressions
from kaon_coordinator.bootstrap import validator
from kaon_coordinator.engine import actions as a
from kaon_coordinator.engine import messages as m
from kaon_coordinator.engine.decision import Context
from kaon_coordinator.engine.rows.codec import run_row
from kaon_coordinator.engine.rows.rows import BlockRow, RunRow, StepRow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import StepState
from kaon_coordinator.engine.steps.leases import lease_of
from kaon_coordinator.shell import requests
from kaon_coordinator.shell.inbound import reports
from kaon_coordinator.store.base import encode_event
from kaonapi.step.v1 import step_pb2

from .machine import LIMITS, Machine

MOVES, COMMANDS = 120, 12
# What an index of PostgreSQL holds, less what stands beside a path in it.
INDEX_BYTES = 2_500
_INT32 = frozenset({"position", "attempt", "steps_total", "steps_succeeded", "priority", "status"})


class HostileMachine(Machine):
    """Runners and people are hostile too; everything that is written or sent must be what databases and records can hold."""

    def __init__(self, definition: Any, seed: int) -> None:
        self.odd = random.Random(seed)
        super().__init__(definition, seed)

    def context(self) -> Context:
        self.now_us += 1
        meter = expressions.Meter(1_000_000)
        return Context(
            now_us=self.now_us,
            evaluate=meter,
            meter=meter,
            limits=LIMITS,
            random=self.random.random,
        )

    def write_rows(self) -> None:
        super().write_rows()
        for row in (run_row(self.state), *self.steps.values(), *self.blocks.values()):
            _check_row(row)
        for each in self.history[-20:]:
            assert len(encode_event(each).data) <= requests.RECORD_BYTES

    def do(self, action: a.Action) -> None:
        """What leaves for a matcher fits into a record, and the artifact store refuses a reference that is none."""
        if isinstance(action, a.RequestStep):
            step = self.state.steps.get(action.path)
            if step is not None and step.status == t.READY:
                requests.step_request(self.state, step, partition=0, epoch=1)
        try:
            super().do(action)
        except (TypeError, KeyError, ValueError, IndexError):
            if not isinstance(action, a.ReadItems):
                raise
            problem = m.Unprepared(
                path=action.path, asked=action.asked, kind="BindingError", problem="none"
            )
            self.later(problem)

    def _report(self, step: StepState) -> None:
        """What a runner may say, be it a runner of ours or not."""
        if self.odd.random() < 0.5:
            super()._report(step)
            return
        lease = lease_of(step)
        record = step_pb2.StepEvents(runner_id=lease.runner_id, incarnation=lease.incarnation)
        known = {"outputs_json.key": list(step.block.step.outputs) * 3}
        said = hostile.message(self.odd, step_pb2.StepEvent, known)
        said.key.CopyFrom(requests.key_of("r1", step))
        message = reports.message_of(record, said)
        if message is not None:
            self.tell(message)

    def command(self) -> None:
        """People ask for something that has come through the API's checks."""
        places = [
            *self.state.steps,
            *self.state.blocks,
            "",
            "a/b",
            "each[9]/b",
            "x" * 4_000,
            "[",
            "#",
        ]
        path = self.odd.choice(places)
        by: dict[str, Any] = {"reason": "\u202e", "requester": "me"}
        payload = self.odd.choice(
            ("null", "[]", '"' + "x" * 70_000 + '"', "1e308", '"\ud83d"', "{}")
        )
        payload = payload.encode("utf-8", "replace").decode()
        kind = self.odd.choice(
            [
                m.SetPriority(priority=self.odd.choice((-(10**9), 10**9, 0)), requester="me"),
                m.Signal(
                    name=self.odd.choice(("go", "x" * 4_000, "\u202e")),
                    payload_json=payload,
                    requester="me",
                ),
                m.Signal(name="go", payload_json=payload, requester="me", path=path),
                m.Answer(
                    path=path,
                    approved=True,
                    comment="\u05e9" * 1_000,
                    requester="me",
                    roles=frozenset({"lead"}),
                ),
                m.Mark(
                    path=path, status=t.SUCCEEDED, outputs={"out": payload, "\u202e": "1"}, **by
                ),
                m.Mark(path=path, status=t.FAILED, outputs={}, **by),
                m.Retry(path=path, **by),
                m.Restart(path=path, **by),
                m.Cancel(path=path, skip=self.odd.random() < 0.5, **by),
                m.Pause(**by),
                m.Resume(**by),
                m.Continued(path=path),
            ]
        )
        self.tell(kind)


def _check_row(row: StepRow | BlockRow | RunRow) -> None:
    """Every database takes it: PostgreSQL has no NUL in texts, and numbers have a width."""
    for each in fields(row):
        value = getattr(row, each.name)
        if isinstance(value, str):
            assert "\0" not in value, each.name
            assert "\\u0000" not in value.replace("\\\\", ""), each.name
            assert len(value.encode()) < INDEX_BYTES or each.name not in {"path", "run_id"}, (
                each.name
            )
        elif isinstance(value, int):
            width = 31 if each.name in _INT32 else 63
            assert -(2**width) <= value < 2**width, (each.name, value)


def play(definition: Any, seed: int) -> Machine:
    """A run under hostile reports, commands and changes of its owner; in the end somebody cancels it."""
    machine = HostileMachine(definition, seed)
    for _ in range(MOVES):
        draw = machine.odd.random()
        if draw < COMMANDS / MOVES:
            machine.command()
        elif draw < (COMMANDS + 4) / MOVES:
            machine.crash()
        elif not machine.happen():
            break
    by: dict[str, Any] = {"reason": "over", "requester": "me"}
    machine.tell(m.Resume(**by))
    machine.tell(m.Cancel(**by))
    for _ in range(MOVES):
        if machine.state.ended or not machine.happen():
            break
    if not machine.state.ended:
        machine.tell(m.Cancel(force=True, **by))
    machine.check()
    return machine


@hostile.effort(300)
@given(chance=st.randoms(use_true_random=False))
def test_a_definition_with_extremes_is_refused_in_words_or_its_run_ends(
    chance: random.Random,
) -> None:
    definition, spoiled = hostile.hostile_definition(chance)
    seed = chance.randint(0, 2**31)
    problems = validator(LIMITS)(definition)
    event("refused" if problems else "accepted")
    for problem in problems:
        assert problem.strip()
        problem.encode()
    if not problems:
        machine = play(definition, seed)
        assert machine.state.ended, (spoiled, machine.status(), machine.told())
