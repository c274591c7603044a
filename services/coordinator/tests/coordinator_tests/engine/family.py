"""Runs and their children, played together: what one owes another is delivered in order, as the inboxes would."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping

from kaon_coordinator.engine.actions import PrepareChild, SubmitChild, TellRun
from kaon_coordinator.engine.messages import ChildPrepared, Start
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import StepState
from kaon_coordinator.shell.inbound.commands import message_of
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .driver import Driver, failure


def child_block(name: str = "w", workflow: str = "child", timeout_ms: int = 0) -> d.Block:
    """A block whose work is a run of another workflow of the family."""
    return d.Block(
        name=name,
        timeout_ms=timeout_ms,
        sub_workflow=d.SubWorkflow(workflow=workflow, outputs={"result": d.VALUE_TYPE_ANY}),
    )


class Family:
    """A root run "r1" with its children "c1", "c2", ... Steps whose names (or run and name, such as "c1/s") are
    in `fails` fail; those whose names are in `waits` do not begin.

    Args:
        root: the root's definition.
        children: the other workflows, by name.
    """

    def __init__(
        self, root: d.WorkflowDefinition, children: Mapping[str, d.WorkflowDefinition]
    ) -> None:
        self._definitions = children
        self._numbers = itertools.count(1)
        self.fails: set[str] = set()
        self.waits: set[str] = set()
        # Steps that were executed: the run and the path.
        self.executed: list[tuple[str, str]] = []
        # Runs that cannot go on.
        self.gone: set[str] = set()
        # What is on its way, each with the run that it is for; held back while it is not `delivering`.
        self.mail: deque[tuple[str, command_pb2.RunCommand]] = deque()
        self.delivering = True
        self.runs: dict[str, Driver] = {}
        self.root = self._add("r1", root)
        self.root.tell(Start())

    def _add(self, run_id: str, definition: d.WorkflowDefinition) -> Driver:
        def behaviour(step: StepState) -> Mapping[str, object] | step_pb2.StepError:
            self.executed.append((run_id, step.path))
            named = {step.block.name, f"{run_id}/{step.block.name}"}
            return failure() if named & self.fails else {"out": 1}

        driver = Driver(definition, behaviour, run_id=run_id)
        self.runs[run_id] = driver
        return driver

    def status(self, run_id: str) -> str:
        """How a run stands."""
        return t.short(self.runs[run_id].state.status)

    def play(self) -> None:
        """Goes on until nothing is left to do; every history gives its run's state."""
        worked = True
        while worked:
            worked = False
            for run_id, driver in list(self.runs.items()):
                worked |= self._work(run_id, driver)
        for driver in self.runs.values():
            driver.check_replay()

    def _work(self, run_id: str, driver: Driver) -> bool:
        executed = len(self.executed)
        while ready := [
            path for path in driver.requested if path.rsplit("/", 1)[-1] not in self.waits
        ]:
            driver.requested.remove(ready[0])
            if driver.state.steps[ready[0]].status == t.READY:
                driver.execute(ready[0])
        questions, submitted = driver.asked(PrepareChild), driver.asked(SubmitChild)
        self.mail += [(action.run_id, action.command) for action in driver.asked(TellRun)]
        for question in questions:
            driver.tell(self.answer(question))
        for new in submitted:
            self._submit(run_id, new)
        return bool(questions or submitted or len(self.executed) > executed) | self._deliver()

    def answer(self, question: PrepareChild) -> ChildPrepared:
        """As the shell answers."""
        keeps = question.continues and question.continues not in self.gone
        return ChildPrepared(
            path=question.path,
            asked=question.asked,
            child_run_id=question.continues if keeps else f"c{next(self._numbers)}",
            workflow=question.workflow,
            version="v1",
            params={},
        )

    def _submit(self, parent: str, new: SubmitChild) -> None:
        child = self._add(new.child_run_id, self._definitions[new.workflow])
        submitted = child.history[0].run_submitted
        submitted.parent.CopyFrom(
            history_pb2.RunParent(run_id=parent, path=new.path, depth=new.depth)
        )
        submitted.priority = new.priority
        child.state = child.replayed()
        child.tell(Start())

    def _deliver(self) -> bool:
        told = bool(self.mail) and self.delivering
        while self.mail and self.delivering:
            run_id, command = self.mail.popleft()
            self.runs[run_id].tell(message_of(command))
        return told
