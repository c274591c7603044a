"""Resets steps and blocks to the state before they began, so that they run again.

`plan` determines what is reset together, and `reset` folds it. A reset covers a set of nodes and cells; every
enclosing block and scope runs again. Generations keep counting, so a lease from before the reset can never
count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from kaon_coordinator.engine.definition.compiled import BODY, ON_FAILURE, CompiledGraph
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bound_policies import take_back
from kaon_coordinator.engine.state.counting import is_active, recount
from kaon_coordinator.engine.state.state import (
    NO_METRICS,
    NOTHING,
    BlockState,
    Node,
    RunState,
    ScopeState,
    StepState,
    drop_cell,
)
from kaonapi.workflow.v1 import definition_pb2 as d


@dataclass(kw_only=True)
class Plan:
    """The nodes, cells and scopes of one reset."""

    # Nodes by path.
    nodes: dict[str, Node] = field(default_factory=dict)
    # Dropped cells by key: later iterations of a repeat.
    cells: dict[str, ScopeState] = field(default_factory=dict)
    # Scopes that run again, by key, with the phase from which they do.
    reopened: dict[str, ScopeState] = field(default_factory=dict)
    phases: dict[str, d.Phase.ValueType] = field(default_factory=dict)

    @property
    def paths(self) -> list[str]:
        """Return the paths of all reset nodes, in order of creation."""
        chosen: list[Node | ScopeState] = [*self.nodes.values(), *self.cells.values()]
        chosen.sort(key=lambda each: each.position)
        return [each.key if isinstance(each, ScopeState) else each.path for each in chosen]

    @property
    def busy(self) -> list[Node]:
        """Return the nodes that are reset, or dropped with a later iteration, although they are active."""
        dropped = [node for cell in self.cells.values() for node in cell.nodes.values()]
        return [node for node in (*self.nodes.values(), *dropped) if is_active(node)]


def plan(targets: Iterable[Node]) -> Plan:
    """Plan the reset of the targets.

    It includes all their successors, the later hooks of every scope that runs again, and the iterations that
    followed.
    """
    result = Plan()
    for node in targets:
        _add_with_successors(result, node)
        _reopen(result, node.scope, _reopens_in(node))
    _serve_again(result)
    return result


def _serve_again(result: Plan) -> None:
    """Add the steps that have served what runs again, and have ended: they serve again before that starts."""
    for scope in list(result.reopened.values()):
        # A run that was stopped before it began has no nodes.
        servers = [scope.nodes[name] for name in scope.graph.servers if name in scope.nodes]
        ended = [node for node in servers if not is_fresh(node)]
        if not ended:
            continue
        before = _before_what_runs(result, scope)
        for node in ended:
            if node.block.name in before and not _serves_on(node):
                result.nodes.setdefault(node.path, node)


def _before_what_runs(result: Plan, scope: ScopeState) -> set[str]:
    """Return the names of all that comes before what runs again in a scope."""
    inside = {each.parent.path for each in result.reopened.values() if each.parent is not None}
    found: set[str] = set()
    stack = [
        name
        for name, node in scope.nodes.items()
        if node.path in result.nodes or node.path in inside or node.status not in t.TERMINAL
    ]
    while stack:
        for name in scope.graph.predecessors[stack.pop()]:
            if name not in found:
                found.add(name)
                stack.append(name)
    return found


def _serves_on(node: Node) -> bool:
    """Tell whether a step has served others and is not asked to end: a reset of others leaves it as it is."""
    return isinstance(node, StepState) and is_active(node) and node.status != t.CANCELLING


def _phase_of(node: Node) -> d.Phase.ValueType:
    return node.scope.graph.phases[node.block.name]


def _reopens_in(node: Node) -> d.Phase.ValueType:
    """Return the phase from which a scope runs again for a node: its body for a hook whose turn never came."""
    return _phase_of(node) if node.scope.outcome != t.NONE else BODY


def is_fresh(node: Node) -> bool:
    """Tell whether a node is in the state before its beginning: not waiting for an attempt, without a run to continue."""
    goes_on = isinstance(node, BlockState) and node.continues != ""
    return node.status == t.PENDING and not node.begun and not goes_on


def _add_with_successors(result: Plan, node: Node) -> None:
    stack = [node]
    while stack:
        each = stack.pop()
        if each.path in result.nodes:
            continue
        result.nodes[each.path] = each
        if isinstance(each, StepState) and each.served and is_active(each):
            # Only forks reset it while it is active: what it has served stays.
            continue
        names = each.scope.graph.successors[each.block.name]
        stack += [after for name in names if not is_fresh(after := each.scope.nodes[name])]


def _reopen(result: Plan, scope: ScopeState, phase: d.Phase.ValueType) -> None:
    """Plan to run the scope again from a phase on, with all enclosing scopes; reset everything after them."""
    if result.phases.get(scope.key, phase + 1) <= phase:
        return
    result.reopened[scope.key] = scope
    result.phases[scope.key] = phase
    for node in scope.nodes.values():
        later = _phase_of(node) > phase and not is_fresh(node)
        # Skipped only because the phase or the scope was over.
        unseen = _phase_of(node) >= phase and node.status == t.SKIPPED and not node.end_us
        if later or unseen:
            result.nodes.setdefault(node.path, node)
    block = scope.parent
    if block is None:
        return
    if block.kind == "repeat":
        later_iterations = [cell for index, cell in block.cells.items() if index > scope.index]
        result.cells.update((cell.key, cell) for cell in later_iterations)
    for name in block.scope.graph.successors[block.block.name]:
        after = block.scope.nodes[name]
        if not is_fresh(after):
            _add_with_successors(result, after)
    _reopen(result, block.scope, _phase_of(block))


def reopen(state: RunState, scope: ScopeState) -> None:
    """Reopen an ended scope in the phase in which it ended; nodes that its end kept from beginning may begin."""
    result, phase = Plan(), scope.phase
    _reopen(result, scope, phase)
    _serve_again(result)
    # Hooks whose phase had not come are among the reset nodes; they do not determine the phase.
    reset(state, result.paths)
    _open_again(state, scope, phase, 0)
    recount(scope)


def reset(
    state: RunState, paths: Iterable[str], now_us: int = 0, continued: Collection[str] = frozenset()
) -> None:
    """Fold a reset of nodes and cells.

    Its time is in microseconds since the epoch. The child runs of the blocks in `continued` continue.
    """
    inside: list[Node] = []
    for path in paths:
        node = state.node(path)
        if node is not None:
            _reset_node(state, node, keeps_run=path in continued)
            inside.append(node)
        elif path in state.scopes:
            cell = state.scopes[path]
            assert cell.parent is not None
            inside.append(cell.parent)
            drop_cell(state, cell)
    _run_again(state, inside, now_us)


def _reset_node(state: RunState, node: Node, *, keeps_run: bool) -> None:
    state.transient.preparing.pop(node.path, None)
    take_back(node)
    if isinstance(node, StepState):
        state.steps_succeeded -= node.status == t.SUCCEEDED
        state.transient.touched_steps.add(node.path)
        _clear_step(node)
        return
    for cell in list(node.cells.values()):
        drop_cell(state, cell)
    state.transient.touched_blocks.add(node.path)
    state.gates.pop(node.path, None)
    node.status = t.PENDING
    node.start_us = node.since_us = node.end_us = node.end_seq = node.due_us = 0
    node.count = node.active = node.failed = node.waiting = node.asked = 0
    node.continues = (node.child_run_id or node.continues) if keeps_run else ""
    node.case = node.child_run_id = node.items_digest = node.memo_key = ""
    node.memo_source = ("", "")
    state.transient.items.pop(node.path, None)
    node.error, node.outputs, node.stop, node.late = None, NOTHING, t.NONE, False
    node.locks, node.unlocked, node.awaited = (), False, None
    if node.curves is not None:
        node.curves = node.curves.fresh()


def _clear_step(step: StepState) -> None:
    step.status, step.attempt = t.PENDING, 0
    step.runner_id = step.incarnation = step.log_json = step.checkpoint_json = step.stop_reason = ""
    step.memo_key, step.memo_source = "", ("", "")
    step.begin_us = step.ready_us = step.start_us = step.end_us = step.end_seq = step.retry_us = 0
    step.inputs = step.outputs = NOTHING
    step.error, step.stop, step.late, step.signals = None, t.NONE, False, ()
    step.held = step.released = step.served = False
    step.metrics, step.reports, step.lost_runners, step.platform_failures = NO_METRICS, 0, 0, 0


def _run_again(state: RunState, inside: Iterable[Node], now_us: int) -> None:
    """Reopen the scopes of nodes and all enclosing ones, and recount them."""
    opened = open_around(state, ((node.scope, _reopens_in(node)) for node in inside), now_us)
    # Inner scopes come later in order of creation and must be counted first.
    for scope in sorted(opened, key=lambda each: -each.position):
        recount(scope)


def open_around(
    state: RunState, inside: Iterable[tuple[ScopeState, d.Phase.ValueType]], now_us: int
) -> list[ScopeState]:
    """Reopen scopes, each in a phase, and all enclosing ones; their counters are not counted yet."""
    opened: dict[str, tuple[ScopeState, d.Phase.ValueType]] = {}
    for place in inside:
        around: tuple[ScopeState, d.Phase.ValueType] | None = place
        while around is not None and around[0].key in state.scopes:
            scope, phase = around
            if opened.get(scope.key, (scope, phase + 1))[1] <= phase:
                break
            opened[scope.key] = around
            block = scope.parent
            around = None if block is None else (block.scope, _phase_of(block))
    for scope, phase in opened.values():
        _open_again(state, scope, phase, now_us)
    _forget_reports(scope for scope, _ in opened.values())
    return [scope for scope, _ in opened.values()]


def has_lost_its_time(block: BlockState) -> bool:
    """Tell whether the time of a block that is opened again counts anew: it had ended, or its time was over."""
    return block.status in t.TERMINAL or block.stop == t.TIMED_OUT


def opening(scope: ScopeState, graph: CompiledGraph, name: str) -> d.Phase.ValueType | None:
    """Return the phase to which a scope goes back for a node that is new in it; None when it has not gone past it."""
    phase = min(graph.phases[name], scope.phase)
    if phase == ON_FAILURE and scope.outcome not in t.BROKEN:
        # Its turn does not come: the body has not failed.
        phase = scope.phase
    return phase if scope.status != t.RUNNING or phase < scope.phase else None


def plan_opening(result: Plan, scope: ScopeState, phase: d.Phase.ValueType) -> None:
    """Add to a plan that a scope runs again from a phase on."""
    _reopen(result, scope, phase)
    _serve_again(result)


def _open_again(state: RunState, scope: ScopeState, phase: d.Phase.ValueType, now_us: int) -> None:
    if phase == BODY:
        scope.stop, scope.outcome, scope.outcome_error = t.NONE, t.NONE, None
    scope.status, scope.phase, scope.error, scope.hook_error = t.RUNNING, phase, None, None
    state.transient.stopping.discard(scope.key)
    block = scope.parent
    if block is None:
        return
    state.transient.touched_blocks |= {scope.key, block.path}
    if has_lost_its_time(block):
        block.since_us, block.late = now_us, False
    if block.status in t.TERMINAL:
        # Its end has given its locks back.
        block.unlocked = bool(block.block.locks)
    block.status, block.error, block.stop, block.outputs = t.RUNNING, None, t.NONE, NOTHING
    block.end_us = block.end_seq = 0


def _forget_reports(opened: Iterable[ScopeState]) -> None:
    anew: dict[str, tuple[BlockState, set[int]]] = {}
    for scope in opened:
        block = scope.parent
        if block is not None and block.curves is not None:
            anew.setdefault(block.path, (block, set()))[1].add(scope.index)
    for block, cells in anew.values():
        assert block.curves is not None
        block.curves = block.curves.without(cells)
