"""The state of one run, as folded from its history.

A run is a tree: scopes (instances of a graph) hold nodes, which are steps and blocks; blocks (instances of a
foreach, repeat, branch or group) hold scopes, their cells. Every instance has a readable path:
`cycle#2/regions[US]/train`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from kaon_coordinator.engine.definition.compiled import (
    BODY,
    CompiledGraph,
    CompiledStep,
    CompiledWorkflow,
)
from kaon_coordinator.engine.issue import StepIssue
from kaon_coordinator.engine.messages import ChildPrepared
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.curves import Curves
from kaon_wire import canonical
from kaon_wire.definitions.targets import left_out
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

# Shared by the many nodes that store nothing under a name.
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
    """Return a mutable copy of values by name."""
    # A map of a message takes `dict` more than twice as long, for it asks for keys, iterators and values by Python's protocols.
    return {name: values[name] for name in values} if values else NOTHING


@dataclass(slots=True, frozen=True, kw_only=True)
class StepSignal:
    """A signal for a step, kept until the step ends: the next holder receives it, too."""

    seq: int
    name: str
    # Canonical JSON.
    payload_json: str


@dataclass(slots=True, kw_only=True)
class StepState:
    """One instance of a step. Times are microseconds since the epoch, 0 when unset."""

    path: str
    position: int
    block: d.Block
    # The same, compiled.
    spec: CompiledStep
    scope: ScopeState
    status: t.Status = t.PENDING
    # 1-based once the step has become READY.
    attempt: int = 0
    # The fencing token; 0 before the first request.
    generation: int = 0
    # The holder; empty when there is none.
    runner_id: str = ""
    incarnation: str = ""
    # When it first and last became READY.
    begin_us: int = 0
    ready_us: int = 0
    start_us: int = 0
    end_us: int = 0
    # Sequence number of the event that ended it.
    end_seq: int = 0
    # When the next attempt becomes READY; 0 when none is pending.
    retry_us: int = 0
    # Exclusive steps: when the holder may begin.
    grant_us: int = 0
    # Canonical JSON by parameter name.
    inputs: Mapping[str, str] = field(default_factory=_nothing)
    outputs: Mapping[str, str] = field(default_factory=_nothing)
    error: step_pb2.StepError | None = None
    log_json: str = ""
    checkpoint_json: str = ""
    metrics: Mapping[str, float] = field(default_factory=_no_metrics)
    # Number of reported metrics.
    reports: int = 0
    # Number of runners lost while they held it.
    lost_runners: int = 0
    # Number of attempts that failed because of the platform.
    platform_failures: int = 0
    # Why the holder was asked to stop: "cancelled", "timed_out" or "".
    stop_reason: str = ""
    # The final status once it has stopped; unspecified (0) without a stop request.
    stop: t.Status = t.NONE
    # It has served those that come after it, since it was created or reset: for them it has passed.
    served: bool = False
    # It missed its deadline.
    late: bool = False
    # Key of its memo; empty when its outputs are not remembered.
    memo_key: str = ""
    # The execution whose memo it took: run and path.
    memo_source: tuple[str, str] = ("", "")
    signals: tuple[StepSignal, ...] = ()
    # Its policies that were known only when it began, canonical JSON by the path of the field; `block` has them.
    bound: Mapping[str, str] = field(default_factory=_nothing)
    # It waits at a breakpoint; somebody let it go on, and it does not stop at the breakpoint of its name again.
    held: bool = False
    released: bool = False

    @property
    def begun(self) -> bool:
        """Tell whether the step has become READY since it was created or reset."""
        return self.attempt > 0

    @property
    def issue(self) -> StepIssue:
        """Return its newest issue."""
        return StepIssue(path=self.path, attempt=self.attempt, generation=self.generation)

    def is_newest(self, issue: StepIssue) -> bool:
        """Tell whether an issue of this step is its newest."""
        return issue.generation == self.generation and issue.attempt == self.attempt


@dataclass(slots=True, kw_only=True)
class BlockState:
    """One instance of a foreach, repeat, branch, group, sub-workflow or gate.

    Times are microseconds since the epoch.
    """

    path: str
    position: int
    block: d.Block
    # "for_each", "repeat", "branch", "group", "sub_workflow" or "gate".
    kind: str
    scope: ScopeState
    status: t.Status = t.PENDING
    start_us: int = 0
    # When its time starts to count, if not at its start: when it was reopened.
    since_us: int = 0
    end_us: int = 0
    # Sequence number of the event that ended it.
    end_seq: int = 0
    # Foreach: the number of items, and the digest of their canonical JSON lines.
    count: int = 0
    items_digest: str = ""
    # Branch: the chosen case; empty when there is none.
    case: str = ""
    # Started cells in order of start, by index.
    cells: dict[int, ScopeState] = field(default_factory=dict)
    # Cells that have not ended.
    active: int = 0
    # Cells that failed, or that a command stopped.
    failed: int = 0
    # READY steps inside, at any depth: no runner holds them.
    waiting: int = 0
    # Gate: the end of its wait. Repeat: the start of its next iteration.
    due_us: int = 0
    # Sub-workflow: its child run, or the run that it began and that stands by itself.
    child_run_id: str = ""
    # Sub-workflow: key of its memo; empty when its outputs are not remembered.
    memo_key: str = ""
    # Sub-workflow: the execution whose memo it took: run and path.
    memo_source: tuple[str, str] = ("", "")
    # Sub-workflow: the event with which this run asked the child to continue, and which the child's end must
    # name; 0 for a new child.
    asked: int = 0
    # Sub-workflow that has not begun: the child run to continue, if possible, instead of submitting a new
    # one.
    continues: str = ""
    # Gate that waits for a run: which one.
    awaited: history_pb2.AwaitedRun | None = None
    # Gate, sub-workflow: canonical JSON by name.
    outputs: Mapping[str, str] = field(default_factory=_nothing)
    error: step_pb2.StepError | None = None
    # The final status once it has stopped; unspecified (0) without a stop request.
    stop: t.Status = t.NONE
    late: bool = False
    # The locks that it holds, as people read them.
    locks: tuple[str, ...] = ()
    # It goes on although it has given its locks back, and waits for them.
    unlocked: bool = False
    # Foreach with early stopping: the reports of its cells.
    curves: Curves | None = None
    # Its policies that were known only when it began, canonical JSON by the path of the field; `block` has them.
    bound: Mapping[str, str] = field(default_factory=_nothing)

    @property
    def begun(self) -> bool:
        """Tell whether the block has started since it was created or reset."""
        return self.start_us > 0


Node: TypeAlias = StepState | BlockState


@dataclass(slots=True, kw_only=True)
class ScopeState:
    """One instance of a graph: the whole run, a cell of a foreach, an iteration of a repeat, a chosen case or a group's body."""

    # Empty for the whole run; a group's body has the path of its block.
    path: str
    # In rows and events: the path, followed by a slash when a block has the same path.
    key: str
    position: int
    graph: CompiledGraph
    parent: BlockState | None
    # Foreach: index of the item. Repeat: number of the iteration, from 1.
    index: int = 0
    # Foreach: the item, canonical JSON.
    item_json: str = ""
    status: t.Status = t.RUNNING
    nodes: dict[str, Node] = field(default_factory=dict)
    # Number of open predecessors of each node that has any.
    waiting: dict[str, int] = field(default_factory=_none_waiting)
    # The current phase.
    phase: d.Phase.ValueType = BODY
    # Nodes of the phase that have not ended.
    remaining: int = 0
    # Nodes of the phase that have begun and not ended.
    active: int = 0
    # Body: the first failure that no later node handles.
    error: step_pb2.StepError | None = None
    # Body: whether a node was cancelled and no later node handles that.
    cancelled: bool = False
    # How the body ended, once hooks have begun.
    outcome: t.Status = t.NONE
    outcome_error: step_pb2.StepError | None = None
    # The first failure of a hook.
    hook_error: step_pb2.StepError | None = None
    # The final status once it has stopped; unspecified (0) without a stop request.
    stop: t.Status = t.NONE

    def wait_for_all(self) -> None:
        """Reset the counts of open predecessors: no predecessor has ended."""
        degrees = self.graph.degrees
        self.waiting = dict(degrees) if degrees else NONE_WAITING

    def note_end(self, name: str) -> None:
        """Record the end of a node on which others may wait."""
        for successor in self.graph.successors[name]:
            self.waiting[successor] -= 1

    def path_of(self, name: str) -> str:
        """Return the path of the node `name` in this scope."""
        return f"{self.path}/{name}" if self.path else name


@dataclass(slots=True, frozen=True, kw_only=True)
class BufferedSignal:
    """A signal that no gate has taken yet."""

    # Canonical JSON.
    payload_json: str
    requester: str


@dataclass(slots=True, kw_only=True)
class Preparation:
    """What a step or block gathers before it begins. A lost preparation begins again."""

    # Canonical JSON by parameter name. Of a block that awaits its locks: their bounds by the keys of permits.
    inputs: dict[str, str]
    memo_key: str = ""
    # The awaited answer: "memo", "manifests", "permits", "items" or "child".
    awaits: str = ""
    # Sequence number of the run's newest event at the time of the question.
    asked: int = 0
    # Sub-workflow that awaits a memo: the run that it begins without one.
    child: ChildPrepared | None = None


@dataclass(slots=True, kw_only=True)
class Items:
    """The items of a foreach while some are not started. They can be read again."""

    # Canonical JSON.
    values: tuple[str, ...]
    # Their keys in the paths of cells; None after a takeover, until they are needed.
    keys: tuple[str, ...] | None = None


@dataclass(slots=True, kw_only=True)
class Transient:
    """What is in memory beside the state of a run. Neither history nor rows have it, and a new owner begins without it."""

    # Changes since the shell last collected them: paths of steps, blocks and (by key) cells, changed and
    # dropped.
    touched_steps: set[str] = field(default_factory=set)
    touched_blocks: set[str] = field(default_factory=set)
    dropped: set[str] = field(default_factory=set)
    # Open preparations, by path of the step or block.
    preparing: dict[str, Preparation] = field(default_factory=dict)
    # Items of foreach blocks, by path.
    items: dict[str, Items] = field(default_factory=dict)
    # Keys of the scopes for whose active nodes a stop was requested. Requesting it again is harmless.
    stopping: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        """Tell whether anything is in it."""
        changed = self.touched_steps or self.touched_blocks or self.dropped
        return bool(changed or self.preparing or self.items or self.stopping)


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
    # The parent run and the block whose child this run is, and the nesting depth.
    parent_run_id: str = ""
    parent_path: str = ""
    depth: int = 0
    # The parent's newest event that asked this run to continue; 0 when there was none.
    asked: int = 0
    # The run and event whose state this run began with.
    fork_run_id: str = ""
    fork_seq: int = 0
    # Paths of blocks that begin anew in a fork; empty once it has begun.
    fork_reset: tuple[str, ...] = ()
    # A fork's version of the workflow, while the state is still under that of the original run.
    into: CompiledWorkflow | None = None
    origin: str = ""
    # W3C trace context of the submission.
    trace_parent: str = ""
    # What of the workflow is run, and the names of the blocks that are skipped for it.
    targets: run_pb2.RunTargets | None = None
    left_out: frozenset[str] = frozenset()
    status: t.Status = t.PENDING
    # The event that reopened it and since which it waits for its permits; 0 when it does not wait.
    waits_since: int = 0
    # Sequence number of the newest event.
    seq: int = 0
    # Time of the newest event; no row has it, and after a takeover it is the newest time of a row. No event is older, also
    # when an owner's clock is slow.
    newest_us: int = 0
    submit_us: int = 0
    # For which a schedule or backfill made the run; 0 for others.
    scheduled_us: int = 0
    # Of the same workflow, when this run was submitted; None without one, or when the workflow does not ask.
    previous: run_pb2.PreviousRun | None = None
    start_us: int = 0
    # The workflow's own policies that were known only when the run began, canonical JSON by field.
    bound: Mapping[str, str] = field(default_factory=_nothing)
    # When its time starts to count, if not at its start: when it was reopened.
    since_us: int = 0
    end_us: int = 0
    # Canonical JSON by parameter name.
    outputs: Mapping[str, str] = field(default_factory=_nothing)
    error: step_pb2.StepError | None = None
    cancel_requested: bool = False
    # Hooks are stopped, too.
    force_stop: bool = False
    # It missed its deadline.
    late: bool = False
    # First generation of new steps, so that none is used twice at a path that was dropped and is created
    # again.
    generation_floor: int = 0
    # Earliest grant of new exclusive steps: a runner that was cut off may still execute one at a dropped
    # path.
    grant_floor_us: int = 0
    # Signals that no gate has taken, oldest first.
    signals: dict[str, list[BufferedSignal]] = field(default_factory=dict)
    # Paths and names of the steps that wait before they start.
    breakpoints: frozenset[str] = frozenset()
    root: ScopeState = field(init=False)
    steps: dict[str, StepState] = field(default_factory=dict)
    blocks: dict[str, BlockState] = field(default_factory=dict)
    # Every scope by key; the root's key is "".
    scopes: dict[str, ScopeState] = field(default_factory=dict)
    steps_succeeded: int = 0
    next_position: int = 1
    # Waiting gates, by path.
    gates: dict[str, BlockState] = field(default_factory=dict)
    # None while there is nothing: a run that waits for days has none.
    _transient: Transient | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.root = ScopeState(path="", key="", position=0, graph=self.workflow.root, parent=None)
        self.scopes[""] = self.root

    def __del__(self) -> None:
        """Part steps, blocks and cells, which know one another, so that they go with the run.

        Left to the collector, the states of some hundred ended runs go in one pass, which stops the process for longer than
        a hop takes.
        """
        for scope in self.scopes.values():
            scope.nodes.clear()
        for block in self.blocks.values():
            block.cells.clear()

    @property
    def transient(self) -> Transient:
        """Return what is in memory beside the state, to be changed."""
        if self._transient is None:
            self._transient = Transient()
        return self._transient

    def rest(self) -> None:
        """Release the memory that only changes need."""
        if not self._transient:
            self._transient = None

    @property
    def timeout_ms(self) -> int:
        """Return how long the run may take; 0 means without limit."""
        return self._own_ms("timeout_ms")

    @property
    def deadline_ms(self) -> int:
        """Return after which time the run is late; 0 means never."""
        return self._own_ms("deadline_ms")

    def _own_ms(self, field: str) -> int:
        definition = self.workflow.definition
        if field in self.bound and field in definition.bound:
            return canonical.loads(self.bound[field]) or 0
        return int(getattr(definition, field))

    @property
    def ended(self) -> bool:
        """Tell whether the run has reached a terminal status."""
        return self.status in t.TERMINAL

    @property
    def paused(self) -> bool:
        """Tell whether the run is paused by a command."""
        return self.status == t.PAUSED

    @property
    def halted(self) -> bool:
        """Tell whether nothing new may start for now: the run is paused, waits for its permits, or is a fork to begin."""
        return self.status == t.PAUSED or self.waits_since > 0 or not self.start_us

    def breaks(self, step: StepState) -> bool:
        """Tell whether a step waits before it starts."""
        if not self.breakpoints or step.released:
            return False
        return step.path in self.breakpoints or step.block.name in self.breakpoints

    def aim(self, targets: run_pb2.RunTargets | None) -> None:
        """Run only a part of the workflow."""
        self.targets = targets
        if targets is not None:
            self.left_out = left_out(self.workflow.definition, targets)

    def take_position(self) -> int:
        """Return the next position in the order of creation."""
        position = self.next_position
        self.next_position += 1
        return position

    def node(self, path: str) -> Node | None:
        """Return the step or block at a path."""
        return self.steps.get(path) or self.blocks.get(path)


def open_scope(state: RunState, scope: ScopeState) -> None:
    """Create the scope's nodes, all PENDING."""
    for name, block in scope.graph.blocks.items():
        add_node(state, scope, name, block, state.take_position())
    scope.wait_for_all()
    scope.remaining = scope.graph.sizes[BODY]


def add_node(state: RunState, scope: ScopeState, name: str, block: d.Block, position: int) -> Node:
    """Add one PENDING node to a scope and to the run's index."""
    path = scope.path_of(name)
    node: Node
    spec = scope.graph.steps.get(name)
    if spec is not None:
        node = StepState(
            path=path,
            position=position,
            block=block,
            spec=spec,
            scope=scope,
            generation=state.generation_floor,
        )
        if spec.exclusive:
            node.grant_us = state.grant_floor_us
        state.steps[path] = node
        state.transient.touched_steps.add(path)
    else:
        kind = block.WhichOneof("kind") or ""
        node = BlockState(path=path, position=position, block=block, kind=kind, scope=scope)
        if block.HasField("for_each") and block.for_each.HasField("early_stopping"):
            node.curves = Curves(block.for_each.early_stopping)
        state.blocks[path] = node
        state.transient.touched_blocks.add(path)
    state.transient.dropped.discard(path)
    scope.nodes[name] = node
    return node


def add_cell(
    state: RunState, block: BlockState, path: str, index: int, position: int
) -> ScopeState:
    """Add one cell, without its nodes, to a block and to the run's index. `path` is as in the scope's key."""
    graphs = block.scope.graph.inner[block.block.name]
    graph = graphs[block.case] if block.kind == "branch" else graphs["body"]
    path = path.removesuffix("/")
    key = f"{path}/" if path == block.path else path
    cell = ScopeState(path=path, key=key, position=position, graph=graph, parent=block, index=index)
    block.cells[index] = cell
    state.scopes[key] = cell
    state.transient.touched_blocks.add(key)
    state.transient.dropped.discard(key)
    return cell


def drop_cell(state: RunState, cell: ScopeState) -> None:
    """Remove a cell and everything in it. Its generations are not used again."""
    for node in list(cell.nodes.values()):
        drop_node(state, node)
    assert cell.parent is not None
    del cell.parent.cells[cell.index]
    del state.scopes[cell.key]
    _forget(state, cell.key)


def drop_node(state: RunState, node: Node) -> None:
    """Remove a node from the run's index, with everything in it. Its generations are not used again."""
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


def _forget(state: RunState, path: str) -> None:
    state.transient.touched_steps.discard(path)
    state.transient.touched_blocks.discard(path)
    state.transient.preparing.pop(path, None)
    state.transient.items.pop(path, None)
    state.transient.stopping.discard(path)
    state.transient.dropped.add(path)
