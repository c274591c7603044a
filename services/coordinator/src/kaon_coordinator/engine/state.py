"""The state of one run, as folding its history gives it.

A run is a tree: scopes (instances of a graph) hold steps and blocks; blocks (instances of a foreach, repeat or branch) hold
scopes, their cells. Every instance has a readable path: `cycle#2/regions[US]/train`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from kaon_coordinator.engine import transitions as t
from kaon_coordinator.engine.compiled import CompiledGraph, CompiledWorkflow
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d


@dataclass(slots=True, kw_only=True)
class StepState:
    """One instance of a step. Times are microseconds since the epoch, 0 when they have not come."""

    path: str
    position: int
    block: d.Block
    scope: ScopeState
    status: t.Status = t.PENDING
    # 1-based once it has become ready.
    attempt: int = 0
    # The fencing token; 0 before the first request.
    generation: int = 0
    # The holder; empty when there is none.
    runner_id: str = ""
    incarnation: str = ""
    ready_us: int = 0
    start_us: int = 0
    end_us: int = 0
    # When the next attempt becomes ready; 0 when none is awaited.
    retry_us: int = 0
    # Canonical JSON by name.
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    error: step_pb2.StepError | None = None
    log_json: str = ""
    checkpoint_json: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    # How many runners were lost while they held it.
    lost_runners: int = 0
    # How many attempts failed by the platform's fault.
    platform_failures: int = 0
    # Why a stop was asked for: "cancelled", "timed_out" or "".
    stop_reason: str = ""


@dataclass(slots=True, kw_only=True)
class BlockState:
    """One instance of a foreach, repeat or branch."""

    path: str
    position: int
    block: d.Block
    scope: ScopeState
    status: t.Status = t.PENDING
    # Foreach: the keys of its cells in item order. Branch: which case was taken.
    keys: tuple[str, ...] = ()
    # Foreach: the items, canonical JSON, aligned with the keys.
    items: tuple[str, ...] = ()
    # Started cells in order of their start, by path.
    cells: dict[str, ScopeState] = field(default_factory=dict)
    # Cells that have not ended.
    active: int = 0
    # Cells that ended broken.
    failed: int = 0
    error: step_pb2.StepError | None = None

    @property
    def kind(self) -> str:
        """ "for_each", "repeat" or "branch"."""
        return self.block.WhichOneof("kind") or ""


Node: TypeAlias = StepState | BlockState


@dataclass(slots=True, kw_only=True)
class ScopeState:
    """One instance of a graph: the whole run, a cell of a foreach, a pass of a repeat, or a taken branch."""

    # Empty for the whole run.
    path: str
    position: int
    graph: CompiledGraph
    parent: BlockState | None
    # Foreach: index of the item. Repeat: number of the pass, from 1.
    index: int = 0
    status: t.Status = t.RUNNING
    nodes: dict[str, Node] = field(default_factory=dict)
    # Predecessors that have not passed, for each node that has any.
    waiting: dict[str, int] = field(default_factory=dict)
    # Nodes that have not ended.
    remaining: int = 0
    # Nodes that have begun and not ended.
    active: int = 0
    # Whether one of its nodes was cancelled: then it cannot succeed.
    cancelled: bool = False
    error: step_pb2.StepError | None = None

    def path_of(self, name: str) -> str:
        """The path of the node `name` in this scope."""
        return f"{self.path}/{name}" if self.path else name


@dataclass(slots=True, kw_only=True)
class RunState:
    """One run."""

    run_id: str
    workflow: CompiledWorkflow
    tenant: str = ""
    submitter: str = ""
    # Canonical JSON by parameter name.
    params: dict[str, str] = field(default_factory=dict)
    status: t.Status = t.PENDING
    # Sequence number of the newest event.
    seq: int = 0
    start_us: int = 0
    end_us: int = 0
    error: step_pb2.StepError | None = None
    cancel_requested: bool = False
    root: ScopeState = field(init=False)
    steps: dict[str, StepState] = field(default_factory=dict)
    blocks: dict[str, BlockState] = field(default_factory=dict)
    # Every scope by path, the root's path being "".
    scopes: dict[str, ScopeState] = field(default_factory=dict)
    steps_succeeded: int = 0
    next_position: int = 1
    # What has changed since the shell last asked: paths of steps, blocks and cells.
    touched_steps: set[str] = field(default_factory=set)
    touched_blocks: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.root = ScopeState(path="", position=0, graph=self.workflow.root, parent=None)
        self.scopes[""] = self.root

    @property
    def ended(self) -> bool:
        """Whether the run has reached a terminal status."""
        return self.status in t.TERMINAL

    def take_position(self) -> int:
        """The next place in the order of creation."""
        position = self.next_position
        self.next_position += 1
        return position


def open_scope(state: RunState, scope: ScopeState) -> None:
    """Creates the scope's nodes, all pending."""
    for name, block in scope.graph.blocks.items():
        add_node(state, scope, name, block, state.take_position())
        degree = scope.graph.in_degree[name]
        if degree:
            scope.waiting[name] = degree
    scope.remaining = len(scope.nodes)


def add_node(state: RunState, scope: ScopeState, name: str, block: d.Block, position: int) -> Node:
    """Adds one pending node to a scope and to the run's index."""
    path = scope.path_of(name)
    node: Node
    if block.WhichOneof("kind") == "step":
        node = StepState(path=path, position=position, block=block, scope=scope)
        state.steps[path] = node
        state.touched_steps.add(path)
    else:
        node = BlockState(path=path, position=position, block=block, scope=scope)
        state.blocks[path] = node
        state.touched_blocks.add(path)
    scope.nodes[name] = node
    return node


def add_cell(state: RunState, block: BlockState, path: str, index: int, position: int) -> ScopeState:
    """Adds one cell to a block and to the run's index, without its nodes."""
    graphs = block.scope.graph.inner[block.block.name]
    graph = graphs[block.keys[0]] if block.kind == "branch" else graphs["body"]
    cell = ScopeState(path=path, position=position, graph=graph, parent=block, index=index)
    block.cells[path] = cell
    state.scopes[path] = cell
    state.touched_blocks.add(path)
    return cell
