"""A run as a tree of steps and blocks, folded from its history. Pure: it prints nothing and asks no clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kaon.cli.live import paths
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

_S = run_pb2
_ENDED = {
    _S.STATUS_SUCCEEDED,
    _S.STATUS_FAILED,
    _S.STATUS_SKIPPED,
    _S.STATUS_CANCELLED,
    _S.STATUS_TIMED_OUT,
    _S.STATUS_QUARANTINED,
}


@dataclass(kw_only=True)
class Node:
    """A step, a block, or a cell of a block."""

    path: str
    # "step", "for_each", "repeat", "branch", "cell"; "block" when nothing says more.
    kind: str
    status: run_pb2.Status.ValueType = _S.STATUS_PENDING
    attempt: int = 0
    runner: str = ""
    # Microseconds since the epoch; 0 when it has not happened.
    start_us: int = 0
    end_us: int = 0
    # 0 to 1; negative when nothing is known.
    progress: float = -1.0
    message: str = ""
    error: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    lost_runners: int = 0
    # Cells that a foreach has, or passes that a repeat may have; 0 when nothing says it.
    total: int = 0
    children: dict[str, Node] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What to call it under its parent."""
        return paths.label(self.path)

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status in _ENDED

    def count(self, *statuses: run_pb2.Status.ValueType) -> int:
        """How many children have one of these statuses."""
        return sum(child.status in statuses for child in self.children.values())


class RunTree:
    """A run, as far as its history was fed.

    Args:
        definition: shows what has not begun yet, and the kinds of blocks.
    """

    def __init__(self, definition: d.WorkflowDefinition | None = None) -> None:
        self.root = Node(path="", kind="run")
        self.run_id = ""
        self.workflow = definition.name if definition is not None else ""
        self._nodes: dict[str, Node] = {}
        self._blocks: dict[str, d.Block] = {}
        if definition is not None:
            self._blocks = {block.name: block for block in _all_blocks(definition.body)}
            self._expect("", definition.body)

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.root.ended

    def steps(self) -> Iterator[Node]:
        """Every step that is known, in the order in which it was first mentioned."""
        return (node for node in self._nodes.values() if node.kind == "step")

    def progress(self, view: run_pb2.StepView) -> None:
        """Takes note of a step's progress."""
        node = self._node(view.path, "step")
        node.progress = view.progress
        node.message = view.progress_message
        node.metrics.update(view.metrics)

    def event(self, event: history_pb2.HistoryEvent) -> None:
        """Takes note of one fact of the history."""
        self.run_id = event.run_id or self.run_id
        kind = event.WhichOneof("event")
        if kind is not None:
            getattr(self, f"_{kind}")(getattr(event, kind), event.time_us)

    def _run_submitted(self, fact: history_pb2.RunSubmitted, time_us: int) -> None:
        self.workflow = fact.workflow
        self.root.status, self.root.start_us = _S.STATUS_PENDING, time_us

    def _run_started(self, _: history_pb2.RunStarted, time_us: int) -> None:
        self.root.status = _S.STATUS_RUNNING
        self.root.start_us = self.root.start_us or time_us

    def _run_cancel_requested(self, fact: history_pb2.RunCancelRequested, _: int) -> None:
        self.root.status, self.root.message = _S.STATUS_CANCELLING, fact.reason

    def _run_ended(self, fact: history_pb2.RunEnded, time_us: int) -> None:
        _end(self.root, fact.status, fact.error, time_us)

    def _block_started(self, fact: history_pb2.BlockStarted, time_us: int) -> None:
        node = self._node(fact.path, "block")
        node.status, node.start_us = _S.STATUS_RUNNING, time_us
        if node.kind in ("for_each", "block"):
            node.total = len(fact.keys)

    def _cell_started(self, fact: history_pb2.CellStarted, time_us: int) -> None:
        node = self._node(fact.path, "cell")
        node.status, node.start_us = _S.STATUS_RUNNING, time_us
        self._expect_cell(fact.path)

    def _block_ended(self, fact: history_pb2.BlockEnded, time_us: int) -> None:
        node = self._node(fact.path, "cell" if paths.is_cell(fact.path) else "block")
        _end(node, fact.status, fact.error, time_us)

    def _step_became_ready(self, fact: history_pb2.StepBecameReady, _: int) -> None:
        node = self._node(fact.path, "step")
        node.status, node.attempt, node.progress, node.runner = _S.STATUS_READY, fact.attempt, -1.0, ""

    def _step_leased(self, fact: history_pb2.StepLeased, time_us: int) -> None:
        node = self._node(fact.path, "step")
        node.status, node.runner, node.attempt = _S.STATUS_RUNNING, fact.runner_id, fact.attempt
        node.start_us, node.end_us, node.message, node.error = time_us, 0, "", ""

    def _step_reported(self, fact: history_pb2.StepReported, _: int) -> None:
        if fact.HasField("metric"):
            self._node(fact.path, "step").metrics[fact.metric.name] = fact.metric.value

    def _step_retry_scheduled(self, fact: history_pb2.StepRetryScheduled, time_us: int) -> None:
        node = self._node(fact.path, "step")
        _end(node, _S.STATUS_PENDING, fact.error, time_us)
        node.message = f"attempt {fact.attempt} failed, tries again"

    def _step_lease_lost(self, fact: history_pb2.StepLeaseLost, _: int) -> None:
        node = self._node(fact.path, "step")
        node.status, node.runner, node.progress = _S.STATUS_READY, "", -1.0
        if fact.reason != "handed_back":
            node.lost_runners += 1
            node.message = "its runner was lost, waits for another"

    def _step_stop_requested(self, fact: history_pb2.StepStopRequested, _: int) -> None:
        self._node(fact.path, "step").status = _S.STATUS_CANCELLING

    def _step_ended(self, fact: history_pb2.StepEndedEvent, time_us: int) -> None:
        node = self._node(fact.path, "step")
        node.attempt = fact.attempt or node.attempt
        _end(node, fact.status, fact.error, time_us)
        node.message = ""

    def _node(self, path: str, kind: str) -> Node:
        """The node of a path, made with its parents when it is new."""
        if path in self._nodes:
            return self._nodes[path]
        above = paths.split(path)[:-1]
        parent = (
            self._node(above[-1], "cell" if paths.is_cell(above[-1]) else "block") if above else self.root
        )
        node = Node(path=path, kind=kind)
        if kind == "block" and (block := self._blocks.get(node.label)) is not None:
            node.kind = block.WhichOneof("kind") or kind
            node.total = block.repeat.max_iterations if node.kind == "repeat" else 0
        self._nodes[path] = parent.children[path] = node
        return node

    def _expect(self, prefix: str, graph: d.Graph) -> None:
        """Makes the nodes of a graph's blocks before anything happens to them."""
        for block in graph.blocks:
            self._node(prefix + block.name, "step" if block.HasField("step") else "block")

    def _expect_cell(self, path: str) -> None:
        block = self._blocks.get(paths.split(path)[-2].rsplit("/", 1)[-1])
        if block is None:
            return
        match block.WhichOneof("kind"):
            case "for_each":
                self._expect(f"{path}/", block.for_each.body)
            case "repeat":
                self._expect(f"{path}/", block.repeat.body)
            case "branch":
                case = paths.label(path)
                self._expect(
                    f"{path}/",
                    block.branch.cases[int(case)].body if case.isdigit() else block.branch.otherwise,
                )


def _end(node: Node, status: run_pb2.Status.ValueType, error: step_pb2.StepError, time_us: int) -> None:
    node.status, node.end_us = status, time_us
    node.error = f"{error.type}: {error.message}" if error.type else error.message


def _all_blocks(graph: d.Graph) -> Iterator[d.Block]:
    for block in graph.blocks:
        yield block
        match block.WhichOneof("kind"):
            case "for_each":
                yield from _all_blocks(block.for_each.body)
            case "repeat":
                yield from _all_blocks(block.repeat.body)
            case "branch":
                for case in block.branch.cases:
                    yield from _all_blocks(case.body)
                yield from _all_blocks(block.branch.otherwise)
