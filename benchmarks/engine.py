"""The pure engine on one core: no store, no transport, no clock. Runners are played: what is requested starts and succeeds.

    .venv/bin/python -m benchmarks.engine            # every shape
    .venv/bin/python -m benchmarks.engine foreach-100000

For each shape: events decided in a second of CPU and CPU per step, both with the rows that the store would write; the ratio of the
CPU per step to that of a foreach over 100, measured right before; bytes of history per step, and of resident memory that a step
keeps. And the recovery: seconds of CPU from the rows of the same run, its steps being active, to all that a new owner has to do.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import resource
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from kaon_coordinator.engine import actions as a
from kaon_coordinator.engine import messages as m
from kaon_coordinator.engine.decide import decide, submit
from kaon_coordinator.engine.decision import Context, Decision
from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.definition.limits import Limits
from kaon_coordinator.engine.rows.codec import restore, run_row, take_block_rows, take_step_rows
from kaon_coordinator.engine.rows.resume import derive
from kaon_coordinator.engine.rows.rows import BlockRow, StepRow
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.engine.steps.leases import lease_of
from kaon_coordinator.expressions import evaluate
from kaon_wire import canonical
from kaonapi.run.v1 import history_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

BASE = "foreach-100"


def step(name: str, **inputs: d.Binding) -> d.Block:
    """A Python step with one output."""
    return d.Block(
        name=name, step=d.Step(type="python", inputs=inputs, outputs={"out": d.VALUE_TYPE_ANY})
    )


def for_each(name: str, count: int, *body: d.Block) -> d.Block:
    """A foreach over the numbers below `count`."""
    items = d.Binding(literal_json=canonical.dumps(list(range(count))))
    return d.Block(name=name, for_each=d.ForEach(item=name, items=items, body=d.Graph(blocks=body)))


def chain(*blocks: d.Block) -> d.Graph:
    """One block after the other."""
    pairs = itertools.pairwise(blocks)
    return d.Graph(
        blocks=blocks, edges=[d.Edge(source=one.name, target=two.name) for one, two in pairs]
    )


def foreach(count: int) -> d.Graph:
    """A step, a foreach whose cells have one step each, and a step."""
    return chain(
        step("first"), for_each("item", count, step("work", x=d.Binding(item="item"))), step("last")
    )


SHAPES: dict[str, Callable[[], d.Graph]] = {
    "chain-1000": lambda: chain(*(step(f"s{number}") for number in range(1_000))),
    "fan-1000": lambda: d.Graph(blocks=[step(f"s{number}") for number in range(1_000)]),
    "foreach-100": lambda: foreach(100),
    "foreach-10000": lambda: foreach(10_000),
    "foreach-100000": lambda: foreach(100_000),
    "nested-50x20x5": lambda: chain(
        for_each("one", 50, for_each("two", 20, for_each("three", 5, step("work"))))
    ),
}


@dataclass(kw_only=True)
class Played:
    """One run and its surroundings."""

    definition: d.WorkflowDefinition
    # Steps (but "first") are started and never end; their rows are kept.
    only_start: bool = False
    events: int = 0
    history_bytes: int = 0
    rows: dict[str, StepRow | BlockRow] = field(default_factory=dict)
    queue: deque[m.Message | str] = field(default_factory=deque)
    now_us: int = 1_000_000

    def __post_init__(self) -> None:
        self.state = RunState(run_id="r1", workflow=compile_workflow(self.definition, "v1"))
        self.queue.append(m.Start())

    def context(self) -> Context:
        """What the next decision knows."""
        self.now_us += 1
        # A recovery is measured with everything active at once.
        everything = Limits(open_cells=1_000_000, waiting_steps=1_000_000)
        limits = everything if self.only_start else Limits()
        return Context(now_us=self.now_us, evaluate=evaluate, limits=limits)

    def play(self) -> float:
        """Seconds of CPU until nothing is left to do."""
        begun = time.process_time()
        self.absorb(
            submit(
                self.state, submitted=history_pb2.RunSubmitted(workflow="x"), context=self.context()
            )
        )
        while self.queue:
            self.do(self.queue.popleft())
        return time.process_time() - begun

    def do(self, what: m.Message | str) -> None:
        """Tells a message, or plays the runner of the step at a path."""
        if not isinstance(what, str):
            self.tell(what)
            return
        lease = m.Lease(
            issue=self.state.steps[what].issue,
            runner_id="runner",
            incarnation="runner-1",
        )
        self.tell(m.Started(lease=lease))
        if not self.only_start or what == "first":
            self.tell(m.Succeeded(lease=lease_of(self.state.steps[what]), outputs={"out": "1"}))

    def tell(self, message: m.Message) -> None:
        """Has one message decided."""
        self.absorb(decide(self.state, message, self.context()))

    def absorb(self, decision: Decision) -> None:
        """Takes what the store and the transport would."""
        self.events += len(decision.events)
        self.history_bytes += sum(len(event.SerializeToString()) for event in decision.events)
        rows = [*take_step_rows(self.state), *take_block_rows(self.state)]
        if self.only_start:
            self.rows.update((row.path, row) for row in rows)
        for action in decision.actions:
            if isinstance(action, a.RequestStep):
                self.queue.append(action.path)
            elif isinstance(action, a.Continue):
                self.queue.appendleft(m.Continued(path=action.path))


def resident() -> int:
    """Bytes of memory that this process has resident."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measure(shape: str) -> dict[str, float]:
    """Plays one shape. The small base is played again and again, so that the clock has something to measure."""
    definition = d.WorkflowDefinition(name="x", body=SHAPES[shape]())
    rounds = 20 if shape == BASE else 1
    gc.collect()
    before, cpu_s = resident(), 0.0
    for _ in range(rounds):
        played = Played(definition=definition)
        cpu_s += played.play()
    assert played.state.ended, shape
    steps = len(played.state.steps)
    return {
        "steps": steps,
        "events_per_s": played.events * rounds / cpu_s,
        "step_us": cpu_s / rounds / steps * 1e6,
        "history_bytes": played.history_bytes / steps,
        "memory_bytes": (resident() - before) / steps,
    }


def recovery_s(shape: str) -> float:
    """Seconds of CPU from the rows of a run to everything that its new owner has to do, every step of it being active."""
    definition = d.WorkflowDefinition(name="x", body=SHAPES[shape]())
    played = Played(definition=definition, only_start=True)
    played.play()
    state = played.state
    begun = time.process_time()
    restored = restore(
        workflow=state.workflow,
        run=run_row(state),
        tenant="",
        submitter="",
        params={},
        steps=[row for row in played.rows.values() if isinstance(row, StepRow)],
        blocks=[row for row in played.rows.values() if isinstance(row, BlockRow)],
    )
    assert derive(restored)
    return time.process_time() - begun


def alone(what: Callable[[str], object], shape: str) -> object:
    """Calls in a process of its own: nothing is left of another shape's memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(what, shape).result()


def report(shape: str) -> str:
    """One line: a shape beside the base, measured right before it."""
    base, own = alone(measure, BASE), alone(measure, shape)
    assert isinstance(base, dict)
    assert isinstance(own, dict)
    recovery = alone(recovery_s, shape)
    # What a small run leaves cannot be told from what the process has anyhow.
    memory = f"{own['memory_bytes']:8.0f}" if own["steps"] >= 5_000 else " " * 8
    return (
        f"{shape:16}{own['steps']:8.0f}{own['events_per_s']:10.0f}{own['step_us']:9.1f}"
        f"{own['step_us'] / base['step_us']:7.2f}{own['history_bytes']:9.0f}{memory}{recovery:10.2f}"
    )


def main() -> None:
    """Measures the named shapes, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=", ".join(SHAPES))
    print(
        f"{'shape':16}{'steps':>8}{'events/s':>10}{'us/step':>9}{'ratio':>7}{'B hist.':>9}{'B mem.':>8}{'recovery':>10}"
    )
    for shape in parser.parse_args().shapes or SHAPES:
        print(report(shape), flush=True)


if __name__ == "__main__":
    main()
