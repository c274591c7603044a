"""The state of one run, as folding its history gives it.

A run is a tree: scopes (instances of a graph) hold nodes, which are steps and blocks; blocks (instances of a foreach, repeat,
branch or group) hold scopes, their cells. Every instance has a readable path: `cycle#2/regions[US]/train`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from kaon_coordinator.engine.definition.compiled import BODY, CompiledGraph, CompiledWorkflow
from kaon_coordinator.engine.issue import StepIssue
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.curves import Curves
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

# Shared by the many nodes that have nothing to keep under a name.
NOTHING: Mapping[str, str] = MappingProxyType({})
NO_METRICS: Mapping[str, float] = MappingProxyType({})
# Never changed: where no node waits for another, none ends for another.
NONE_WAITING: dict[str, int] = {}


def _nothing() -> Mapping[str, str]:
    return NOTHING


def _no_metrics() -> Mapping[str, float]:
    return NO_METRICS


def _none_waiting() -> dict[str, int]:
    return NONE_WAITING


def named(values: Mapping[str, str]) -> Mapping[str, str]:
    """A copy of values by name."""
    return dict(values) if values else NOTHING


@dataclass(slots=True, frozen=True, kw_only=True)
class StepSignal:
    """A signal for a step, kept until the step ends: the next holder gets it too."""

    seq: int
    name: str
    # Canonical JSON.
    payload_json: str


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
    # When it became ready first, and last.
    begin_us: int = 0
    ready_us: int = 0
    start_us: int = 0
    end_us: int = 0
    # The event that ended it.
    end_seq: int = 0
    # When the next attempt becomes ready; 0 when none is awaited.
    retry_us: int = 0
    # Exclusive steps: when the holder may begin.
    grant_us: int = 0
    # Canonical JSON by name.
    inputs: Mapping[str, str] = field(default_factory=_nothing)
    outputs: Mapping[str, str] = field(default_factory=_nothing)
    error: step_pb2.StepError | None = None
    log_json: str = ""
    checkpoint_json: str = ""
    metrics: Mapping[str, float] = field(default_factory=_no_metrics)
    # How many metrics it has reported.
    reports: int = 0
    # How many runners were lost while they held it.
    lost_runners: int = 0
    # How many attempts failed by the platform's fault.
    platform_failures: int = 0
    # Why the holder was asked to stop: "cancelled", "timed_out" or "".
    stop_reason: str = ""
    # How it ends when it has stopped; unspecified (0) when nobody asked for its end.
    stop: t.Status = t.NONE
    # It has not ended by its deadline.
    late: bool = False
    # Under which its outputs are remembered; empty when they are not.
    memo_key: str = ""
    # The execution whose outputs it took: run and path.
    memo_source: tuple[str, str] = ("", "")
    signals: tuple[StepSignal, ...] = ()

    @property
    def begun(self) -> bool:
        """Whether it has become ready since it was created or reset."""
        return self.attempt > 0

    @property
    def issue(self) -> StepIssue:
        """Its newest issue."""
        return StepIssue(path=self.path, attempt=self.attempt, generation=self.generation)

    def is_newest(self, issue: StepIssue) -> bool:
        """Whether an issue of this step is its newest."""
        return issue.generation == self.generation and issue.attempt == self.attempt


@dataclass(slots=True, kw_only=True)
class BlockState:
    """One instance of a foreach, repeat, branch, group, sub-workflow or gate. Times are microseconds since the epoch."""

    path: str
    position: int
    block: d.Block
    scope: ScopeState
    status: t.Status = t.PENDING
    start_us: int = 0
    # Since when its time counts, when that is not its start: since it was opened again.
    since_us: int = 0
    end_us: int = 0
    # The event that ended it.
    end_seq: int = 0
    # Foreach: how many items it has, and the digest of their canonical JSON lines.
    count: int = 0
    items_digest: str = ""
    # Branch: which case was taken; empty when none was.
    case: str = ""
    # Started cells in order of their start, by index.
    cells: dict[int, ScopeState] = field(default_factory=dict)
    # Cells that have not ended.
    active: int = 0
    # Cells that ended broken, or were stopped by a command.
    failed: int = 0
    # Gate: when its time is over. Repeat: when its next iteration begins.
    due_us: int = 0
    # Sub-workflow: its run.
    child_run_id: str = ""
    # Sub-workflow: the event with which that run was asked to go on, and which its end has to name; 0 for a run that is new.
    asked: int = 0
    # Sub-workflow that has not begun: the run that is to go on, if it can, in place of a new one.
    continues: str = ""
    # Gate, sub-workflow: canonical JSON by name.
    outputs: Mapping[str, str] = field(default_factory=_nothing)
    error: step_pb2.StepError | None = None
    # How it ends when it has stopped; unspecified (0) when nobody asked for its end.
    stop: t.Status = t.NONE
    late: bool = False
    # Foreach with early stopping: what its cells have reported.
    curves: Curves | None = None
    # Foreach: its items, canonical JSON, as long as some wait to be started. Not part of the state: they can be read again.
    items: tuple[str, ...] | None = None
    # Foreach: their keys in the paths of cells, with the items where these were read first.
    keys: tuple[str, ...] | None = None

    @property
    def kind(self) -> str:
        """ "for_each", "repeat", "branch", "group", "sub_workflow" or "gate"."""
        return self.block.WhichOneof("kind") or ""

    @property
    def begun(self) -> bool:
        """Whether it has started since it was created or reset."""
        return self.start_us > 0


Node: TypeAlias = StepState | BlockState


@dataclass(slots=True, kw_only=True)
class ScopeState:
    """One instance of a graph: the whole run, a cell of a foreach, an iteration of a repeat, a taken branch or a group's body."""

    # Empty for the whole run; a group's body has the path of its block.
    path: str
    position: int
    graph: CompiledGraph
    parent: BlockState | None
    # Foreach: index of the item. Repeat: number of the iteration, from 1.
    index: int = 0
    # Foreach: the item, canonical JSON.
    item_json: str = ""
    status: t.Status = t.RUNNING
    nodes: dict[str, Node] = field(default_factory=dict)
    # Predecessors that have not ended, for each node that has any.
    waiting: dict[str, int] = field(default_factory=_none_waiting)
    # Which nodes have their turn.
    phase: d.Phase.ValueType = BODY
    # Nodes of the phase that have not ended.
    remaining: int = 0
    # Nodes of the phase that have begun and not ended.
    active: int = 0
    # Body: the first failure that nothing behind it handles.
    error: step_pb2.StepError | None = None
    # Body: whether a node was cancelled and nothing behind it handles that.
    cancelled: bool = False
    # How the body has ended, once hooks have begun.
    outcome: t.Status = t.NONE
    outcome_error: step_pb2.StepError | None = None
    # The first failure of a hook.
    hook_error: step_pb2.StepError | None = None
    # How it ends when it has stopped; unspecified (0) when nobody asked for its end.
    stop: t.Status = t.NONE
    # What was active in it has been asked to stop. Not part of the state: asking again is harmless.
    stopping: bool = False

    @property
    def key(self) -> str:
        """What its row and events call it: its path, and a slash when a block has the same."""
        group = self.parent is not None and self.parent.path == self.path
        return f"{self.path}/" if group else self.path

    def wait_for_all(self) -> None:
        """Nothing has ended yet that any node waits for."""
        degrees = self.graph.degrees
        self.waiting = dict(degrees) if degrees else NONE_WAITING

    def note_end(self, name: str) -> None:
        """One more node has ended that others may wait for."""
        for successor in self.graph.successors[name]:
            self.waiting[successor] -= 1

    def path_of(self, name: str) -> str:
        """The path of the node `name` in this scope."""
        return f"{self.path}/{name}" if self.path else name


@dataclass(slots=True, frozen=True, kw_only=True)
class BufferedSignal:
    """A signal that no gate has taken yet."""

    # Canonical JSON.
    payload_json: str
    requester: str


@dataclass(slots=True, kw_only=True)
class Preparation:
    """What a step gathers before it becomes ready. Not part of the state: it is begun again when it is lost."""

    # Canonical JSON by name.
    inputs: dict[str, str]
    memo_key: str = ""
    # What is awaited: "memo", "manifests", "permits", "items" or "child".
    awaits: str = ""
    # The run's newest event when that was asked for.
    asked: int = 0


@dataclass(slots=True, kw_only=True)
class RunState:
    """One run."""

    run_id: str
    workflow: CompiledWorkflow
    tenant: str = ""
    submitter: str = ""
    # Canonical JSON by parameter name.
    params: Mapping[str, str] = field(default_factory=_nothing)
    priority: int = 0
    # The run and block that this run is a sub-workflow of, and how many runs are around it.
    parent_run_id: str = ""
    parent_path: str = ""
    depth: int = 0
    # The newest event of the parent with which it has asked this run to go on; 0 when there was none.
    asked: int = 0
    # The run and event whose state this run began with.
    fork_run_id: str = ""
    fork_seq: int = 0
    # Paths of blocks that begin anew in a fork, until it has begun.
    fork_reset: tuple[str, ...] = ()
    origin: str = ""
    # W3C trace context of whoever submitted it.
    trace_parent: str = ""
    status: t.Status = t.PENDING
    # The event that opened it again since when it waits for its permits; 0 when it has not to wait.
    waits_since: int = 0
    # Sequence number of the newest event.
    seq: int = 0
    submit_us: int = 0
    start_us: int = 0
    # Since when its time counts, when that is not its start: since it was opened again.
    since_us: int = 0
    end_us: int = 0
    # Canonical JSON by name.
    outputs: Mapping[str, str] = field(default_factory=_nothing)
    error: step_pb2.StepError | None = None
    cancel_requested: bool = False
    # Hooks are stopped too.
    force_stop: bool = False
    # It has not ended by its deadline.
    late: bool = False
    # New steps begin with this generation, so that none is used twice at a path that was dropped and comes again.
    generation_floor: int = 0
    # New exclusive steps may not be granted earlier: a runner that was cut off may still execute one at a path that was dropped.
    grant_floor_us: int = 0
    # Signals that no gate has taken, oldest first.
    signals: dict[str, list[BufferedSignal]] = field(default_factory=dict)
    root: ScopeState = field(init=False)
    steps: dict[str, StepState] = field(default_factory=dict)
    blocks: dict[str, BlockState] = field(default_factory=dict)
    # Every scope by key, the root's key being "".
    scopes: dict[str, ScopeState] = field(default_factory=dict)
    steps_succeeded: int = 0
    next_position: int = 1
    # Gates that wait, by path.
    gates: dict[str, BlockState] = field(default_factory=dict)
    # What has changed since the shell last asked: paths of steps, blocks and (by key) cells; and what is gone.
    touched_steps: set[str] = field(default_factory=set)
    touched_blocks: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    # What is being prepared, by path of the step or block. Not part of the state.
    preparing: dict[str, Preparation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = ScopeState(path="", position=0, graph=self.workflow.root, parent=None)
        self.scopes[""] = self.root

    @property
    def ended(self) -> bool:
        """Whether the run has reached a terminal status."""
        return self.status in t.TERMINAL

    @property
    def paused(self) -> bool:
        """Whether somebody has paused it."""
        return self.status == t.PAUSED

    @property
    def halted(self) -> bool:
        """Whether nothing new may start for now: it is paused, or was opened again and waits for its permits."""
        return self.status == t.PAUSED or self.waits_since > 0

    def take_position(self) -> int:
        """The next place in the order of creation."""
        position = self.next_position
        self.next_position += 1
        return position

    def node(self, path: str) -> Node | None:
        """The step or block at a path."""
        return self.steps.get(path) or self.blocks.get(path)


def open_scope(state: RunState, scope: ScopeState) -> None:
    """Creates the scope's nodes, all pending."""
    for name, block in scope.graph.blocks.items():
        add_node(state, scope, name, block, state.take_position())
    scope.wait_for_all()
    scope.remaining = scope.graph.sizes[BODY]


def add_node(state: RunState, scope: ScopeState, name: str, block: d.Block, position: int) -> Node:
    """Adds one pending node to a scope and to the run's index."""
    path = scope.path_of(name)
    node: Node
    if block.WhichOneof("kind") == "step":
        node = StepState(
            path=path, position=position, block=block, scope=scope, generation=state.generation_floor
        )
        if block.step.exclusive:
            node.grant_us = state.grant_floor_us
        state.steps[path] = node
        state.touched_steps.add(path)
    else:
        node = BlockState(path=path, position=position, block=block, scope=scope)
        if block.HasField("for_each") and block.for_each.HasField("early_stopping"):
            node.curves = Curves(block.for_each.early_stopping)
        state.blocks[path] = node
        state.touched_blocks.add(path)
    state.dropped.discard(path)
    scope.nodes[name] = node
    return node


def add_cell(state: RunState, block: BlockState, path: str, index: int, position: int) -> ScopeState:
    """Adds one cell to a block and to the run's index, without its nodes. `path` is as in the scope's key."""
    graphs = block.scope.graph.inner[block.block.name]
    graph = graphs[block.case] if block.kind == "branch" else graphs["body"]
    cell = ScopeState(path=path.removesuffix("/"), position=position, graph=graph, parent=block, index=index)
    block.cells[index] = cell
    state.scopes[cell.key] = cell
    state.touched_blocks.add(cell.key)
    state.dropped.discard(cell.key)
    return cell


def drop_cell(state: RunState, cell: ScopeState) -> None:
    """Removes a cell and everything in it. Generations that were used in it are not used again."""
    for node in list(cell.nodes.values()):
        if isinstance(node, BlockState):
            for inner in list(node.cells.values()):
                drop_cell(state, inner)
            del state.blocks[node.path]
            state.gates.pop(node.path, None)
        else:
            state.generation_floor = max(state.generation_floor, node.generation)
            state.grant_floor_us = max(state.grant_floor_us, node.grant_us)
            state.steps_succeeded -= node.status == t.SUCCEEDED
            del state.steps[node.path]
        _forget(state, node.path)
    assert cell.parent is not None
    del cell.parent.cells[cell.index]
    del state.scopes[cell.key]
    _forget(state, cell.key)


def _forget(state: RunState, path: str) -> None:
    state.touched_steps.discard(path)
    state.touched_blocks.discard(path)
    state.preparing.pop(path, None)
    state.dropped.add(path)
