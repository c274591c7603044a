"""Wait reasons: the causal chain of why a step does not run, through its run's graph to the link that a person can change.

Pure: it reads a run's stored state. For a READY step, and for one whose environment may be being built, its pool's
matcher knows more (`AskMatcher`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kaon_coordinator import expressions
from kaon_coordinator.api import places
from kaon_coordinator.engine.definition.compiled import FINALLY
from kaon_coordinator.engine.scopes import locks
from kaon_coordinator.engine.scopes.upstream import briefly
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.awaiting import in_words
from kaon_coordinator.engine.state.guards import roles_of
from kaon_coordinator.engine.state.state import BlockState, Node, RunState, ScopeState, StepState
from kaon_coordinator.matching.formatting import about, clock, timestamp_in
from kaon_coordinator.store.lock_bounds import bound_of
from kaon_coordinator.store.records import Held, Holder, PermitRecord
from kaon_coordinator.store.strategies import NAMES, Refusal, Standing, Wait
from kaon_wire import paths
from kaon_wire.definitions import conditions
from kaon_wire.errors import KaonError
from kaon_wire.texts import counted, enumerated
from kaonapi.runner.v1 import runner_pb2 as r
from kaonapi.workflow.v1 import definition_pb2 as d

# Links of a step that are followed further, and the length of a chain.
_FOLLOWED = 3
_LONGEST = 24
_WHY_CHARACTERS = 2_000
# When a node starts that need not start.
_RULES = {
    d.TRIGGER_RULE_ANY_FAILED: ", which starts only after a failure,",
    d.TRIGGER_RULE_ALL_FAILED: ", which starts only when all before it have failed,",
    d.TRIGGER_RULE_ANY_RUNNING: ", a hook that starts as soon as what is before it runs,",
    d.TRIGGER_RULE_ANY_RETRIED: ", a hook that starts when what is before it is retried,",
    d.TRIGGER_RULE_ANY_LATE: ", a hook that starts when what is before it is late,",
}


def _rule(node: Node) -> str:
    """Return when a node starts that need not start, between commas."""
    condition = node.scope.graph.starts.get(node.block.name)
    if condition is not None:
        return f", which starts when {conditions.describe(condition)},"
    return _RULES.get(node.scope.graph.rules[node.block.name], "")


@dataclass(frozen=True, kw_only=True)
class AskMatcher:
    """Placeholder for the answer of the matcher of `pool` about this step."""

    run_id: str
    path: str
    pool: str
    # Of a RUNNING step: what it is told unless its runner still builds its environment; None for a READY step.
    unless_built: r.WaitReason | None = None


Reason: TypeAlias = r.WaitReason | AskMatcher
FindHolders: TypeAlias = Callable[[Collection[str]], Mapping[str, Held]]


def nobody(keys: Collection[str]) -> Mapping[str, Held]:
    """Return no holders of permits."""
    return {}


class WaitReasons:
    """The wait reasons of one run.

    Args:
        state: The run.
        permits: The tenant's keys that have a bound, by key.
        now_us: Microseconds since the epoch.
        standing: What the submit strategy of its workflow says about the run, when it is PENDING.
        holders: Returns who holds permits, by key.
    """

    def __init__(
        self,
        state: RunState,
        permits: Mapping[str, PermitRecord],
        now_us: int,
        standing: Standing = None,
        holders: FindHolders = nobody,
    ) -> None:
        self._state = state
        self._permits = permits
        self._now_us = now_us
        self._standing = standing
        self._holders = holders
        self._seen: set[str] = set()
        self._reasons: list[Reason] = []

    @property
    def status(self) -> t.Status:
        """Return the status of the run."""
        return self._state.status

    def of(self, path: str) -> tuple[Node | None, list[Reason]]:
        """Return the step or block at a path or of a name, or None when it has not been created, and its chain.

        Raises:
            NotFound: The workflow has no such step.
        """
        node = self._state.node(path) or self._named(path)
        if node is not None:
            self._follow(node)
        else:
            self._missing(path)
        return node, self._reasons

    def of_run(self) -> list[Reason]:
        """Return the wait reasons of the run as a whole; of one that has ended badly, what ended it."""
        if self._state.status in t.TERMINAL:
            self._run_ended()
        elif not self._run_waits():
            for node in _unfinished(self._state.root)[:_FOLLOWED]:
                self._follow(node)
        return self._reasons

    # --- finding the node
    # ----------------------------------------------------------------------------------------

    def _named(self, name: str) -> Node | None:
        """Return the first active instance of a block, or else its last one."""
        nodes: list[Node] = [*self._state.steps.values(), *self._state.blocks.values()]
        found = sorted(
            (node for node in nodes if paths.names(node.path, name)), key=lambda node: node.position
        )
        return next(
            (node for node in found if node.status not in t.TERMINAL), found[-1] if found else None
        )

    def _missing(self, path: str) -> None:
        """Follow the outermost node that has to begin first."""
        segments = path.split("/")
        bare = tuple(paths.bare(segment) for segment in segments)
        chain = self._state.workflow.chains.get(bare[-1])
        if chain is None or bare != chain[-len(bare) :]:
            raise places.unknown(self._state.workflow, places.of_state(self._state), path)
        scope = self._state.root
        for place, block_name in enumerate(chain[:-1]):
            wanted = segments[place] if len(segments) == len(chain) else ""
            inner = self._enter(scope, block_name, wanted, path)
            if inner is None:
                return
            scope = inner
        self._add(r.WAIT_CAUSE_NOT_BEGUN, f"{path} waits for its enclosing block to begin.", path)
        self._run_waits()

    def _enter(self, scope: ScopeState, name: str, wanted: str, path: str) -> ScopeState | None:
        """Return the cell of the block `name` that holds the searched node; None when the chain is complete."""
        node = scope.nodes.get(name)
        if not isinstance(node, BlockState):
            self._add(
                r.WAIT_CAUSE_NOT_BEGUN, f"{path} waits for its enclosing block to begin.", path
            )
            self._run_waits()
            return None
        cells = [cell for cell in node.cells.values() if not wanted or cell.path.endswith(wanted)]
        alive = [cell for cell in cells if cell.status not in t.TERMINAL]
        if alive and not wanted:
            return alive[0]
        if cells and wanted:
            return cells[0]
        self._not_begun(node, path)
        return None

    def _not_begun(self, node: BlockState, path: str) -> None:
        if node.status == t.RUNNING and node.kind == "for_each" and len(node.cells) < node.count:
            self._no_cell_yet(node, path)
        elif node.status in t.TERMINAL:
            self._add(
                r.WAIT_CAUSE_ENDED,
                f"{path} was never created: {node.path} has ended {_ended(node)}.",
                node.path,
            )
            return
        else:
            self._add(
                r.WAIT_CAUSE_NOT_BEGUN, f"{path} has not begun: it is inside {node.path}.", path
            )
        self._follow(node)

    def _no_cell_yet(self, node: BlockState, path: str) -> None:
        most = node.block.for_each.max_concurrency
        if node.waiting and not 0 < most <= node.active:
            waiting = counted(node.waiting, "step")
            text = f"{path} has not begun: {node.path} starts further cells as runners take the {waiting} of it that are READY."
            self._add(r.WAIT_CAUSE_NOT_BEGUN, text, node.path)
            return
        reason = self._add(
            r.WAIT_CAUSE_MAX_CONCURRENCY,
            f"{path} waits for a cell of {node.path} to end: {node.active} run at once"
            + (f", at most {most} may." if most else "."),
            node.path,
        )
        reason.permits = most

    # --- following the chain
    # -------------------------------------------------------------------------------------

    def _follow(self, node: Node) -> None:
        if node.path in self._seen or len(self._reasons) >= _LONGEST:
            return
        self._seen.add(node.path)
        if isinstance(node, StepState):
            self._step(node)
        else:
            self._block(node)

    def _step(self, step: StepState) -> None:
        path = step.path
        if step.status in t.TERMINAL:
            self._add(r.WAIT_CAUSE_ENDED, f"{path} has ended {_ended(step)}.", path)
        elif step.status == t.CANCELLING:
            self._add(
                r.WAIT_CAUSE_STOPPING,
                f"{path} was asked to stop, and {step.runner_id} has not reported its end yet.",
                path,
            )
        elif step.status == t.RUNNING:
            text = f"{path} runs at {step.runner_id} (attempt {step.attempt}), for {self._since(step.start_us)} now."
            reason = self._add(r.WAIT_CAUSE_RUNNING, text, path)
            reason.runner_id = step.runner_id
            if step.block.step.requirements_file:
                # Its runner renews the lease while it builds the environment, and that counts as a start.
                self._reasons[-1] = self._asked(step, unless_built=reason)
        elif step.status == t.SERVING:
            text = f"{path} serves what comes after it at {step.runner_id}, until nothing else is left to do in its scope."
            self._add(r.WAIT_CAUSE_RUNNING, text, path).runner_id = step.runner_id
        elif step.status == t.READY and not self._state.paused:
            self._reasons.append(self._asked(step))
        else:
            self._before(step)

    def _asked(self, step: StepState, unless_built: r.WaitReason | None = None) -> AskMatcher:
        return AskMatcher(
            run_id=self._state.run_id,
            path=step.path,
            pool=step.block.step.pool,
            unless_built=unless_built,
        )

    def _block(self, block: BlockState) -> None:
        path = block.path
        if block.status in t.TERMINAL:
            self._add(r.WAIT_CAUSE_ENDED, f"{path} has ended {_ended(block)}.", path)
        elif block.status == t.PENDING:
            self._before(block)
        elif block.unlocked:
            if not self._locked(block):
                text = f"{path} goes on within moments: its locks are free."
                self._add(r.WAIT_CAUSE_SOON, text, path)
        elif block.kind == "gate":
            self._gate(block)
        elif block.kind == "sub_workflow":
            text = f"{path} waits for its run {block.child_run_id} to end."
            self._add(r.WAIT_CAUSE_CHILD_RUN, text, path).others.append(block.child_run_id)
        elif block.kind == "repeat" and not block.active and block.due_us:
            text = f"The next iteration of {path} begins {self._when(block.due_us)}."
            self._add(r.WAIT_CAUSE_PASS, text, path).due_time.CopyFrom(
                timestamp_in(block.due_us, 0)
            )
        else:
            self._inside(block)

    def _inside(self, block: BlockState) -> None:
        alive = [cell for cell in block.cells.values() if cell.status not in t.TERMINAL]
        nodes = [node for cell in alive for node in _unfinished(cell)][:_FOLLOWED]
        ended = len(block.cells) - len(alive)
        told = (
            f" ({ended} of {counted(block.count, 'cell')} ended)"
            if block.kind == "for_each"
            else ""
        )
        self._waits_for(block.path, nodes, f"{block.path} runs{told}, and waits for")

    def _before(self, node: Node) -> None:
        """Return what keeps a node from beginning."""
        scope, path = node.scope, node.path
        if self._run_waits():
            return
        outer = _unlocked_around(scope)
        if outer is not None:
            self._waits_for(path, [outer], f"{path} waits for the locks of")
        elif isinstance(node, StepState) and node.retry_us:
            self._retry(node)
        elif scope.status != t.RUNNING or scope.stop != t.NONE:
            where = scope.path or "the run"
            text = f"{path} will not begin: {where} is being stopped or has ended{briefly(scope.error)}."
            self._add(r.WAIT_CAUSE_STOPPING, text, path)
        elif scope.graph.phases[node.block.name] != scope.phase:
            hook = (
                "a hook for the end"
                if scope.graph.phases[node.block.name] == FINALLY
                else "a hook for failures"
            )
            reason = self._add(r.WAIT_CAUSE_PHASE, "", path)
            reason.text = f"{path} is {hook}: it waits until everything before it has settled."
            self._followed(_unfinished(scope), reason)
        else:
            self._predecessors(node)

    def _predecessors(self, node: Node) -> None:
        scope = node.scope
        name = node.block.name
        names = [*scope.graph.predecessors[name], *scope.graph.served_by.get(name, ())]
        before = [scope.nodes[each] for each in dict.fromkeys(names)]
        unfinished = [each for each in before if each.status not in t.TERMINAL | {t.SERVING}]
        if unfinished:
            rule = _rule(node)
            self._waits_for(node.path, unfinished, f"{node.path}{rule} waits for")
        elif isinstance(node, StepState) and node.held:
            text = (
                f"{node.path} waits at a breakpoint: kaon continue {self._state.run_id}"
                f" '{node.path}' lets it go on."
            )
            self._add(r.WAIT_CAUSE_BREAKPOINT, text, node.path)
        elif isinstance(node, StepState) and (tags := self._exhausted(node.block.step.tags)):
            words = ", ".join(
                f"{tag} ({each.taken} of {each.bound} taken)" for tag, each in tags.items()
            )
            reason = self._add(
                r.WAIT_CAUSE_PERMITS, f"{node.path} waits for permits: {words}.", node.path
            )
            reason.tags.extend(tags)
            reason.permits = min(each.bound for each in tags.values())
        elif not self._locked(node):
            text = f"Everything before {node.path} has ended: it begins within moments."
            self._add(r.WAIT_CAUSE_SOON, text, node.path)

    def _locked(self, node: Node) -> bool:
        """Tell whether other blocks hold all that a node wants of a lock; name them."""
        if not node.block.locks:
            return False
        try:
            wanted = locks.wanted(self._state, node, expressions.evaluate)
        except KaonError:
            # It fails as soon as its turn comes.
            return False
        own = Holder(run_id=self._state.run_id, path=node.path)
        found = False
        for key, each in self._holders(wanted).items():
            held, bound = each.holders, bound_of(key, wanted[key], [each.bound])
            if own in held or len(held) < bound:
                continue
            found = True
            who = enumerated((f"{one.path} of run {one.run_id}" for one in held), _FOLLOWED)
            text = f"{node.path} waits for lock {key.removeprefix(locks.PREFIX)}: held by {who}."
            reason = self._add(r.WAIT_CAUSE_PERMITS, text, node.path)
            reason.permits = bound
            reason.others.extend(one.run_id for one in held[:100])
        return found

    def _waits_for(self, path: str, nodes: Sequence[Node], words: str) -> None:
        names = enumerated((node.path for node in nodes), _FOLLOWED) if nodes else "its next cell"
        reason = self._add(r.WAIT_CAUSE_WAITS_FOR, f"{words} {names}.", path)
        self._followed(nodes, reason)

    def _followed(self, nodes: Iterable[Node], reason: r.WaitReason) -> None:
        every = list(nodes)
        reason.others.extend(node.path for node in every[:100])
        for node in every[:_FOLLOWED]:
            self._follow(node)

    def _run_ended(self) -> None:
        """Name the innermost node whose error became that of the run, or else that error."""
        error = self._state.error
        if error is None:
            return
        inner_blocks = sorted(self._state.blocks.values(), key=lambda block: -block.path.count("/"))
        nodes: list[Node] = [*self._state.steps.values(), *inner_blocks]
        for node in nodes:
            own = node.error
            if own is not None and (own.type, own.message) == (error.type, error.message):
                self._follow(node)
                return
        text = f"The run has ended {t.short(self._state.status)}: {error.type}: {error.message}"
        self._add(r.WAIT_CAUSE_ENDED, f"{text[:_WHY_CHARACTERS].rstrip('.')}.", "")

    # --- ends of the chain
    # ---------------------------------------------------------------------------------------

    def _run_waits(self) -> bool:
        """Tell whether the run itself starts nothing."""
        state = self._state
        if state.paused:
            self._add(
                r.WAIT_CAUSE_PAUSED,
                f"The run {state.run_id} is paused: nothing new starts until it is resumed.",
                "",
            )
        elif state.status == t.PENDING and self._standing is not None:
            self._strategy_waits(self._standing)
        elif state.status == t.PENDING:
            most = state.workflow.definition.max_active_runs
            bound = (
                f": at most {counted(most, 'run')} of {state.workflow.definition.name} may be active at once"
                if most
                else ""
            )
            begun = (
                "was reopened and waits for its permit" if state.waits_since else "has not begun"
            )
            text = f"The run {state.run_id} {begun}{bound}."
            self._add(r.WAIT_CAUSE_RUN_PENDING, text, "").permits = most
        return state.paused or state.status == t.PENDING

    def _strategy_waits(self, standing: Wait | Refusal) -> None:
        definition = self._state.workflow.definition
        begins = "was reopened and waits" if self._state.waits_since else "has not begun: it waits"
        if isinstance(standing, Refusal):
            text = f"The run {self._state.run_id} is about to end: {standing.text}."
            self._add(r.WAIT_CAUSE_RUN_PENDING, text, "")
            return
        strategy = NAMES[definition.strategy]
        text = (
            f"The run {self._state.run_id} {begins} for run {standing.run_id} {standing.why} "
            f"(the strategy of workflow {definition.name} is {strategy})."
        )
        self._add(r.WAIT_CAUSE_RUN_PENDING, text, "").others.append(standing.run_id)

    def _retry(self, step: StepState) -> None:
        reason = self._add(
            r.WAIT_CAUSE_RETRY,
            f"Attempt {step.attempt} of {step.path} failed{briefly(step.error)}; the next one begins {self._when(step.retry_us)}.",
            step.path,
        )
        reason.due_time.CopyFrom(timestamp_in(step.retry_us, 0))

    def _gate(self, block: BlockState) -> None:
        gate = block.block.gate
        kind = gate.WhichOneof("kind") or ""
        roles = roles_of(gate)
        who = f" by role {' or '.join(roles)}" if roles else ""
        if gate.approval.not_submitter:
            who += f" by somebody else than {self._state.submitter}"
        words = {
            "approval": f"for an approval{who}",
            "signal": f"for a signal {gate.signal.name!r}{who}{_where(gate.signal)}",
            "timer": "for its time to come",
            "run": f"for {in_words(block.awaited)}",
        }
        due = (
            f", {'until' if kind == 'timer' else 'at the latest until'} {clock(block.due_us)}"
            if block.due_us
            else ""
        )
        asked = f" ({gate.approval.message})" if gate.approval.message else ""
        reason = self._add(
            r.WAIT_CAUSE_GATE, f"{block.path} waits {words[kind]}{asked}{due}.", block.path
        )
        reason.gate = kind
        reason.message = gate.approval.message or gate.signal.name or in_words(block.awaited)
        reason.roles.extend(roles)
        if block.due_us:
            reason.due_time.CopyFrom(timestamp_in(block.due_us, 0))

    def _exhausted(self, tags: Iterable[str]) -> dict[str, PermitRecord]:
        known = {
            tag: self._permits[f"tag:{tag}"]
            for tag in sorted(set(tags))
            if f"tag:{tag}" in self._permits
        }
        return {tag: permit for tag, permit in known.items() if permit.taken >= permit.bound}

    def _add(self, cause: r.WaitCause.ValueType, text: str, path: str) -> r.WaitReason:
        reason = r.WaitReason(cause=cause, text=text, path=path)
        self._reasons.append(reason)
        return reason

    def _when(self, time_us: int) -> str:
        return f"at {clock(time_us)} (in {about((time_us - self._now_us) / 1e6)})"

    def _since(self, time_us: int) -> str:
        return about((self._now_us - time_us) / 1e6)


def _where(gate: d.SignalGate) -> str:
    return f" where {gate.where_cel}" if gate.where_cel else ""


def _unlocked_around(scope: ScopeState) -> BlockState | None:
    """Return the block around that was opened again and waits for its locks."""
    parent = scope.parent
    while parent is not None and not parent.unlocked:
        parent = parent.scope.parent
    return parent


def _unfinished(scope: ScopeState) -> list[Node]:
    """Return the active nodes of a scope in its current phase, in order of their beginning."""
    nodes = [
        node
        for name, node in scope.nodes.items()
        if node.status not in t.TERMINAL and scope.graph.phases[name] == scope.phase
    ]
    return sorted(nodes, key=lambda node: (node.status == t.PENDING, node.position))


def _ended(node: Node) -> str:
    """Describe how a node ended and why, in full: the root failure comes last."""
    why = (
        f": {node.error.type}: {node.error.message}"[:_WHY_CHARACTERS]
        if node.error is not None
        else ""
    )
    return t.short(node.status) + why.rstrip(".")
