"""A run as a tree of steps and blocks, folded from its history. Pure: it prints nothing and asks no clock."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import pairwise

from kaon.cli import formatting, kinds
from kaon.cli.live import paths
from kaon.cli.live.nodes import Node
from kaon_wire.definitions.graphs import all_blocks, inner_graphs
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

_S = run_pb2
# Leases that ended in order: no runner was lost.
_GIVEN_BACK = {"handed_back", "paused", "reprioritized"}


class RunTree:
    """A run, as far as its history was fed.

    Args:
        definition: shows what has not begun yet, and the kinds of blocks.
        server: address that commands must name; empty when they find it by themselves.
    """

    def __init__(self, definition: d.WorkflowDefinition | None = None, *, server: str = "") -> None:
        self._option = f" --server {server}" if server else ""
        self.root = Node(path="", kind="run")
        self.run_id = ""
        self.workflow = definition.name if definition is not None else ""
        self._nodes: dict[str, Node] = {}
        self._blocks: dict[str, d.Block] = {}
        self._body = definition.body if definition is not None else d.Graph()
        self._blocks = {block.name: block for block in all_blocks(self._body)}
        self._expect("", self._body)

    @property
    def ended(self) -> bool:
        """Whether the run has ended."""
        return self.root.ended

    def steps(self) -> Iterator[Node]:
        """Every step that is known, in the order in which it was first mentioned."""
        return (node for node in self._nodes.values() if node.kind == "step")

    def node(self, path: str) -> Node | None:
        """Return the node of a path; None when no event has named it."""
        return self._nodes.get(path)

    def gates(self) -> Iterator[Node]:
        """Every gate that waits."""
        return (node for node in self._nodes.values() if node.status == _S.STATUS_WAITING)

    def progress(self, view: run_pb2.StepView) -> None:
        """Record the progress of a step."""
        node = self._node(view.path, "step")
        node.progress = view.progress
        node.message = view.progress_message
        node.metrics.update(view.metrics)

    def event(self, event: history_pb2.HistoryEvent) -> None:
        """Apply one event of the history."""
        self.run_id = event.run_id or self.run_id
        kind = event.WhichOneof("event")
        # Facts of a newer server are left out.
        fold = getattr(self, f"_{kind}", None)
        if kind is not None and fold is not None:
            fold(getattr(event, kind), event.time_us)

    # --- the run

    def _run_submitted(self, fact: history_pb2.RunSubmitted, time_us: int) -> None:
        self.workflow = fact.workflow
        self.root.status, self.root.start_us = _S.STATUS_PENDING, time_us

    def _run_started(self, _: history_pb2.RunStarted, time_us: int) -> None:
        self.root.status = _S.STATUS_RUNNING
        self.root.start_us = self.root.start_us or time_us

    def _run_cancel_requested(self, fact: history_pb2.RunCancelRequested, _: int) -> None:
        self.root.status, self.root.message = _S.STATUS_CANCELLING, fact.reason

    def _run_paused(self, fact: history_pb2.RunPaused, _: int) -> None:
        self.root.status, self.root.message = _S.STATUS_PAUSED, fact.reason

    def _run_resumed(self, _: history_pb2.RunResumed, __: int) -> None:
        self.root.status, self.root.message = _S.STATUS_RUNNING, ""

    def _run_ended(self, fact: history_pb2.RunEnded, time_us: int) -> None:
        self.root.end(fact.status, formatting.error(fact.error), time_us)
        self.root.outputs = dict(fact.outputs_json)

    def _deadline_missed(self, fact: history_pb2.DeadlineMissed, _: int) -> None:
        (self._known(fact.path) if fact.path else self.root).late = True

    def _blocks_reset(self, fact: history_pb2.BlocksReset, _: int) -> None:
        for path in fact.paths:
            self._reset(path)
        self.root.open_again()
        if fact.waits:
            self.root.status = _S.STATUS_PENDING

    def _reset(self, path: str) -> None:
        node = self._known(path)
        inside = f"{node.path}/"
        cells = (f"{node.path}[", f"{node.path}#", f"{node.path}=")
        for other in [each for each in self._nodes if each.startswith((inside, *cells))]:
            del self._nodes[other]
        for around in paths.split(node.path)[:-1]:
            self._nodes[around].open_again()
        if node.kind == "cell":
            self._nodes.pop(node.path)
            self._nodes[paths.split(node.path)[-2]].children.pop(node.path, None)
            return
        node.clear()
        if node.kind == "group":
            self._expect(inside, self._blocks[node.label].group.body)

    # --- blocks

    def _block_started(self, fact: history_pb2.BlockStarted, time_us: int) -> None:
        node = self._node(fact.path, "block")
        node.status, node.start_us = _S.STATUS_RUNNING, time_us
        if node.kind in ("for_each", "block"):
            node.total = fact.count or len(fact.keys)
        if node.kind == "gate":
            node.status = _S.STATUS_WAITING
            node.message, answer = _what_is_awaited(
                self._blocks[node.label].gate, node.path, self.run_id
            )
            node.answer = answer + self._option if answer else ""

    def _cell_started(self, fact: history_pb2.CellStarted, time_us: int) -> None:
        node = self._node(fact.path, "cell" if paths.is_cell(fact.path) else "block")
        node.status, node.start_us = _S.STATUS_RUNNING, time_us
        if fact.item_json and node.label.isdigit():  # the item has no key of its own
            node.message = fact.item_json
        self._node(fact.block, "block").message = ""
        self._expect(_prefix(fact.path), self._graph_of(fact.path))

    def _block_ended(self, fact: history_pb2.BlockEnded, time_us: int) -> None:
        if fact.path.endswith("/"):
            return  # the body of a group, whose own end follows
        node = self._known(fact.path)
        node.end(fact.status, formatting.error(fact.error), time_us)
        if fact.HasField("memo"):
            node.message = f"reused from run {fact.memo.run_id}"

    def _phase_started(self, fact: history_pb2.PhaseStarted, _: int) -> None:
        if not fact.scope:
            self.root.message = (
                f"body {_S.Status.Name(fact.status).removeprefix('STATUS_').lower()}"
            )
        self._expect(_prefix(fact.scope), self._graph_of(fact.scope), fact.phase)

    def _pass_scheduled(self, fact: history_pb2.PassScheduled, _: int) -> None:
        self._node(fact.block, "block").message = f"waits before iteration {fact.number}"

    def _block_stop_requested(self, fact: history_pb2.BlockStopRequested, _: int) -> None:
        if not fact.path:
            self.root.status, self.root.message = _S.STATUS_CANCELLING, fact.reason or fact.cause
            return
        node = self._known(fact.path)
        node.status = _S.STATUS_CANCELLING
        node.message = fact.reason or fact.cause.replace("_", " ")

    def _block_marked(self, fact: history_pb2.BlockMarked, _: int) -> None:
        self._known(fact.path).message = f"marked by {fact.requester or 'default'}: {fact.reason}"

    def _gate_answered(self, fact: history_pb2.GateAnswered, _: int) -> None:
        node = self._node(fact.path, "block")
        by = f" by {fact.by}" if fact.by else ""
        word = (
            f"got signal {fact.signal}"
            if fact.signal
            else f"took run {fact.run_id}"
            if fact.run_id
            else "approved"
            if fact.approved
            else "rejected"
        )
        node.message = f"{word}{by}" + (f": {fact.comment}" if fact.comment else "")

    def _child_run_started(self, fact: history_pb2.ChildRunStarted, _: int) -> None:
        node = self._node(fact.path, "block")
        node.child_run_id, node.message = (
            fact.child_run_id,
            f"run {fact.child_run_id} of {fact.workflow}",
        )

    # --- steps

    def _step_became_ready(self, fact: history_pb2.StepBecameReady, _: int) -> None:
        node = self._node(fact.path, "step")
        node.status, node.attempt, node.progress, node.runner = (
            _S.STATUS_READY,
            fact.attempt,
            -1.0,
            "",
        )

    def _breakpoint_reached(self, fact: history_pb2.BreakpointReached, _: int) -> None:
        self._node(fact.path, "step").message = "waits at a breakpoint: kaon continue"

    def _step_leased(self, fact: history_pb2.StepLeased, time_us: int) -> None:
        node = self._node(fact.path, "step")
        node.status, node.runner, node.attempt = _S.STATUS_RUNNING, fact.runner_id, fact.attempt
        node.start_us, node.end_us, node.message, node.error, node.details = time_us, 0, "", "", ""

    def _step_reported(self, fact: history_pb2.StepReported, _: int) -> None:
        if not fact.HasField("metric"):
            return
        self._node(fact.path, "step").metrics[fact.metric.name] = fact.metric.value
        way = paths.split(fact.path)
        for block, cell in pairwise(way):
            if (
                paths.is_cell(cell)
                and (definition := self._blocks.get(paths.label(block))) is not None
            ):
                _note_best(self._nodes[block], definition.for_each, paths.label(cell), fact.metric)

    def _step_retry_scheduled(self, fact: history_pb2.StepRetryScheduled, time_us: int) -> None:
        node = self._node(fact.path, "step")
        node.end(_S.STATUS_PENDING, formatting.error(fact.error), time_us)
        node.details = fact.error.details
        node.message = f"attempt {fact.attempt} failed, retrying"

    def _step_lease_lost(self, fact: history_pb2.StepLeaseLost, _: int) -> None:
        node = self._node(fact.path, "step")
        node.status, node.runner, node.progress = _S.STATUS_READY, "", -1.0
        if fact.reason not in _GIVEN_BACK:
            node.lost_runners += 1
            node.message = "its runner was lost, waits for another"

    def _step_stop_requested(self, fact: history_pb2.StepStopRequested, _: int) -> None:
        self._node(fact.path, "step").status = _S.STATUS_CANCELLING

    def _step_serving(self, fact: history_pb2.StepServing, _: int) -> None:
        node = self._node(fact.path, "step")
        node.status, node.message = _S.STATUS_SERVING, "serves what comes after it"

    def _step_ended(self, fact: history_pb2.StepEndedEvent, time_us: int) -> None:
        node = self._node(fact.path, "step")
        node.attempt = fact.attempt or node.attempt
        node.end(fact.status, formatting.error(fact.error), time_us)
        node.details = fact.error.details
        if fact.HasField("memo"):
            node.message = f"reused from run {fact.memo.run_id}"

    # --- nodes

    def _known(self, path: str) -> Node:
        """Return the node of a path, whatever it is."""
        path = path.rstrip("/")
        if path in self._nodes:
            return self._nodes[path]
        if paths.is_cell(path):
            return self._node(path, "cell")
        block = self._blocks.get(paths.label(path))
        return self._node(path, "step" if block is not None and block.HasField("step") else "block")

    def _node(self, path: str, kind: str) -> Node:
        """Return the node of a path, made with its parents when it is new."""
        path = path.rstrip("/")
        if path in self._nodes:
            return self._nodes[path]
        above = paths.split(path)[:-1]
        parent = (
            self._node(above[-1], "cell" if paths.is_cell(above[-1]) else "block")
            if above
            else self.root
        )
        node = Node(path=path, kind=kind)
        block = self._blocks.get(node.label) if kind != "cell" else None
        if block is not None:
            node.hook = kinds.PHASES.get(block.phase, "")
            node.kind = block.WhichOneof("kind") or kind
            node.total = block.repeat.max_iterations if node.kind == "repeat" else 0
        self._nodes[path] = parent.children[path] = node
        return node

    def _expect(self, prefix: str, graph: d.Graph, phase: d.Phase.ValueType = d.PHASE_BODY) -> None:
        """Make the nodes of the blocks of one phase, before their first events."""
        for block in graph.blocks:
            if (block.phase or d.PHASE_BODY) != phase:
                continue
            self._node(prefix + block.name, "step" if block.HasField("step") else "block")
            if block.HasField("group"):
                self._expect(f"{prefix}{block.name}/", block.group.body)

    def _graph_of(self, scope: str) -> d.Graph:
        """Return the graph that a cell, a group's body or the run (empty path) executes; an empty one when it is not known."""
        if not scope:
            return self._body
        way = paths.split(scope)
        name = paths.label(way[-2] if paths.is_cell(scope) else way[-1])
        found = dict(inner_graphs(self._blocks[name])) if name in self._blocks else {}
        return found.get("body") or found.get(paths.label(scope), d.Graph())


def _prefix(scope: str) -> str:
    return f"{scope.rstrip('/')}/" if scope else ""


def _what_is_awaited(gate: d.Gate, path: str, run_id: str) -> tuple[str, str]:
    """Return what a gate waits for, and the command that answers it."""
    match gate.WhichOneof("kind"):
        case "approval":
            who = f" by {' or '.join(gate.approval.roles)}" if gate.approval.roles else ""
            asked = f": {gate.approval.message}" if gate.approval.message else ""
            return f"approval{who}{asked}", f"kaon approve {run_id} {shlex.quote(path)}"
        case "signal":
            where = f" where {gate.signal.where_cel}" if gate.signal.where_cel else ""
            return (
                f"signal {gate.signal.name}{where}",
                f"kaon signal {run_id} {shlex.quote(gate.signal.name)}",
            )
        case "run":
            return f"a successful run of {gate.run.workflow}", ""
    return "its time", ""


def _note_best(node: Node, loop: d.ForEach, cell: str, metric: step_pb2.StepMetric) -> None:
    if not loop.HasField("early_stopping") or loop.early_stopping.metric != metric.name:
        return
    sign = -1 if loop.early_stopping.goal == d.GOAL_MAXIMIZE else 1
    if node.best is None or sign * metric.value < sign * node.best[0]:
        node.best = (metric.value, cell)
