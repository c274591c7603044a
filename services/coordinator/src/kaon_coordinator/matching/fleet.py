"""The runners of a pool, and their eligibility for steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from kaon_coordinator.matching.amounts import NOTHING, Amount, fits, minus, plus
from kaon_coordinator.matching.groups import Group, Signature
from kaon_coordinator.matching.health import Health
from kaon_coordinator.matching.labels import LabelExpression
from kaon_coordinator.matching.matcher_settings import MatcherSettings
from kaon_coordinator.matching.runner_state import Issue, RunnerGroup, RunnerState
from kaon_coordinator.matching.tickets import Lane, Ticket, expressions
from kaon_wire.errors import InvalidValue
from kaonapi.runner.v1 import runner_pb2


@dataclass(frozen=True, slots=True)
class Eligible:
    """The groups of runners that could take the steps of a lane when idle."""

    frugal: tuple[RunnerGroup, ...]
    # Groups with scarce resources that the steps do not need: these stay free for steps that do.
    wasteful: tuple[RunnerGroup, ...]
    slow: tuple[RunnerGroup, ...]
    # Groups that are not slow; and all of them.
    quick: frozenset[RunnerGroup]
    any: frozenset[RunnerGroup]

    @property
    def all(self) -> tuple[RunnerGroup, ...]:
        """Return all eligible groups: frugal ones first, slow ones last."""
        return (*self.frugal, *self.wasteful, *self.slow)


class Fleet:
    """Runners that were heard recently, by incarnation and grouped by equal properties.

    Args:
        settings: The matcher's time-outs.
    """

    def __init__(self, settings: MatcherSettings) -> None:
        self._settings = settings
        self._runners: dict[str, RunnerState] = {}
        self._groups: dict[Signature, RunnerGroup] = {}
        # Keys of labels in requests so far: other labels do not distinguish runners.
        self._asked: set[str] = set()
        self._eligible: dict[Lane, Eligible] = {}
        # Runners that may have changed since the last review of chains.
        self._settled: dict[RunnerState, None] = {}
        # Lanes for which no runner had room, with the version of their groups at that time.
        self._full: dict[Lane, int] = {}
        # Slow or resting.
        self.unwell: set[RunnerState] = set()
        # Reserved runners, by the ticket of the reservation.
        self.reserved: dict[Ticket, RunnerState] = {}
        # Runners with more outstanding slots than they have, in the order in which they became so.
        self.crowded: dict[RunnerState, None] = {}
        # Runners with room, by code bundle.
        self._near: dict[str, dict[RunnerState, None]] = {}
        self._strangers: dict[Issue, set[RunnerState]] = defaultdict(set)
        # Number of runners with a free slot.
        self.with_room = 0
        # Total capacity.
        self.total: Amount = NOTHING

    def __len__(self) -> int:
        return len(self._runners)

    def __iter__(self) -> Iterator[RunnerState]:
        return iter(tuple(self._runners.values()))

    def get(self, incarnation: str) -> RunnerState | None:
        """Return the runner, or None when it is unknown."""
        return self._runners.get(incarnation)

    # --- runners join, change and leave
    # --------------------------------------------------------------------------

    def add(self, heartbeat: runner_pb2.RunnerHeartbeat, now: float) -> RunnerState:
        """Add a new runner."""
        runner = self._runners[heartbeat.incarnation] = RunnerState(
            heartbeat=heartbeat,
            incarnation=heartbeat.incarnation,
            runner_id=heartbeat.runner_id,
            heard=now,
        )
        return runner

    def apply_heartbeat(
        self, runner: RunnerState, heartbeat: runner_pb2.RunnerHeartbeat, now: float
    ) -> float:
        """Apply a newer heartbeat. Return its sending time by this side's clock."""
        capacity = runner.capacity
        sent, changed = runner.apply_heartbeat(heartbeat, now, self._settings.depth)
        if runner.group is None or changed:
            self.total = plus(minus(self.total, capacity), runner.capacity)
            self._regroup(runner, slow=now < runner.health.slow_until)
        self.note_bundles(runner)
        self.review(runner, now)
        return sent

    def remove(self, runner: RunnerState) -> None:
        """Remove a runner."""
        self._unshelve(runner)
        self._ungroup(runner)
        self.meet(runner, {})
        self.unreserve(runner)
        self.unwell.discard(runner)
        self.crowded.pop(runner, None)
        self.total = minus(self.total, runner.capacity)
        del self._runners[runner.incarnation]

    def review(self, runner: RunnerState, now: float) -> None:
        """Update whether the runner gets steps, and whether it comes first or last."""
        settings, health = self._settings, runner.health
        slow, resting = now < health.slow_until, now < health.rest_until
        if slow or resting:
            self.unwell.add(runner)
        else:
            self.unwell.discard(runner)
        runner.is_open = runner.accepts and not resting and now - runner.heard <= settings.quiet
        if runner.group is not None and runner.group.slow is not slow:
            self._regroup(runner, slow=slow)
        self.settle(runner)

    def settle(self, runner: RunnerState) -> None:
        """Update the indexes after any change of the runner."""
        self._settled[runner] = None
        if runner.outstanding[0] > runner.capacity[0]:
            self.crowded[runner] = None
        else:
            self.crowded.pop(runner, None)
        level = None
        if runner.is_open and runner.reserved is None and runner.has_slot:
            level = (runner.outstanding, runner.depth)
        before = runner.level
        if level == before:
            return
        if level is None or runner.group is None:
            self._unshelve(runner)
            return
        load_index = runner.group.load_index
        if before is None:
            self.with_room += 1
            self._join_near(runner, runner.bundles)
        else:
            load_index.remove(runner, before)
        runner.level = level
        load_index.add(runner, level)
        if before is None or level[1] > before[1] or not fits(before[0], level[0]):
            runner.group.version += 1

    def take_changed(self) -> Iterator[RunnerState]:
        """Yield the runners whose group or outstanding amount is not what it was when this was last called."""
        settled, self._settled = self._settled, {}
        for runner in settled:
            state = (runner.group, runner.outstanding)
            if state != runner.reviewed:
                runner.reviewed = state
                yield runner

    def _unshelve(self, runner: RunnerState) -> None:
        if runner.level is None or runner.group is None:
            return
        runner.group.load_index.remove(runner, runner.level)
        runner.level = None
        self.with_room -= 1
        self._leave_near(runner, runner.bundles)

    # --- code bundles --------------------------------------------------------------------------------------------

    def near(self, bundle: str) -> Iterable[RunnerState]:
        """Return runners with room and a warm worker for a code bundle, or with the bundle probably on disk."""
        return self._near.get(bundle, ())

    def note_bundles(self, runner: RunnerState) -> None:
        """Update the indexes for the runner's code bundles and warm workers."""
        bundles = runner.warm.union(runner.cached)
        if bundles != runner.bundles:
            if runner.level is not None:
                self._leave_near(runner, runner.bundles - bundles)
                self._join_near(runner, bundles - runner.bundles)
            runner.bundles = bundles

    def _join_near(self, runner: RunnerState, bundles: Iterable[str]) -> None:
        for bundle in bundles:
            near = self._near.get(bundle)
            if near is None:
                near = self._near[bundle] = {}
            near[runner] = None

    def _leave_near(self, runner: RunnerState, bundles: Iterable[str]) -> None:
        for bundle in bundles:
            near = self._near[bundle]
            del near[runner]
            if not near:
                del self._near[bundle]

    # --- groups --------------------------------------------------------------------------------------------------

    def _regroup(self, runner: RunnerState, *, slow: bool) -> None:
        self._unshelve(runner)
        self._ungroup(runner)
        labels = tuple(
            sorted((key, runner.labels[key]) for key in self._asked if key in runner.labels)
        )
        signature = (labels, runner.capacity, slow)
        group = self._groups.get(signature)
        if group is None:
            group = self._groups[signature] = Group(signature)
            self._forget_eligible()
        group.join(runner)
        runner.group = group

    def _ungroup(self, runner: RunnerState) -> None:
        group, runner.group = runner.group, None
        if group is None:
            return
        group.leave(runner)
        if not group.members:
            del self._groups[group.signature]
            self._forget_eligible()

    # --- steps without a ticket
    # ----------------------------------------------------------------------------------

    def meet(self, runner: RunnerState, strangers: dict[Issue, Amount]) -> None:
        """Record all steps of the runner that have no ticket."""
        if not strangers and not runner.strangers:
            return
        for issue in runner.strangers.keys() - strangers.keys():
            self._forget_stranger(issue, runner)
        for issue in strangers.keys() - runner.strangers.keys():
            self._strangers[issue].add(runner)
        runner.meet(strangers)
        self.settle(runner)

    def dismiss(self, issue: Issue) -> bool:
        """Forget a step without a ticket that got one or has ended; return False when no runner has it."""
        runners = self._strangers.pop(issue, None)
        for runner in runners or ():
            runner.dismiss(issue)
            self.settle(runner)
        return bool(runners)

    def _forget_stranger(self, issue: Issue, runner: RunnerState) -> None:
        runners = self._strangers[issue]
        runners.discard(runner)
        if not runners:
            del self._strangers[issue]

    # --- reservations
    # --------------------------------------------------------------------------------------------

    def reserve(self, runner: RunnerState, ticket: Ticket, now: float) -> None:
        """Reserve the runner for this ticket."""
        runner.reserved, runner.reserved_since = ticket, now
        self.reserved[ticket] = runner
        if runner.group is not None:
            runner.group.reserved[runner] = None
        self.settle(runner)

    def unreserve(self, runner: RunnerState) -> None:
        """End the runner's reservation."""
        if runner.reserved is None:
            return
        del self.reserved[runner.reserved]
        runner.reserved = None
        if runner.group is not None:
            runner.group.reserved.pop(runner, None)
            self.settle(runner)

    # --- faults --------------------------------------------------------------------------------------------------

    def fault(self, runner: RunnerState, now: float) -> None:
        """Record that the runner lost or handed back an unstarted step.

        At most half of the runners rest at a time.
        """
        if not runner.health.fault(now, self._settings):
            return
        resting = sum(1 for other in self.unwell if now < other.health.rest_until)
        if resting < len(self._runners) // 2:
            runner.health.rest(now, self._settings)
            self.review(runner, now)

    def slow(self, runner: RunnerState, now: float) -> None:
        """Record that the runner was slow to send a heartbeat or to start a step."""
        health: Health = runner.health
        if health.slow(now, self._settings):
            self.review(runner, now)

    # --- eligibility
    # ---------------------------------------------------------------------------------------------

    def classes(self, lane: Lane) -> Eligible:
        """Return the groups with the labels and the size for a lane, busy or not, in order of preference."""
        found = self._eligible.get(lane)
        if found is None:
            fitting = [group for group in self.labelled(lane) if fits(lane.need, group.capacity)]
            found = self._eligible[lane] = Eligible(
                frugal=_chosen(fitting, lane, slow=False, wastes=False),
                wasteful=_chosen(fitting, lane, slow=False, wastes=True),
                slow=tuple(group for group in fitting if group.slow),
                quick=frozenset(group for group in fitting if not group.slow),
                any=frozenset(fitting),
            )
        return found

    def eligible(self, lane: Lane) -> tuple[RunnerGroup, ...]:
        """Return the groups with the labels and the size for a lane, busy or not."""
        return self.classes(lane).all

    def labelled(self, lane: Lane) -> list[RunnerGroup]:
        """Return the groups with the labels for a lane, whatever their size."""
        try:
            asked = expressions(lane.labels)
        except InvalidValue:
            return []
        self._ask(asked)
        return [
            group
            for group in self._groups.values()
            if all(expression.matches(group.labels) for expression in asked)
        ]

    def _ask(self, asked: Sequence[LabelExpression]) -> None:
        """Distinguish runners by these labels from now on."""
        keys = {expression.key for expression in asked} - self._asked
        if not keys:
            return
        self._asked |= keys
        for runner in self:
            if runner.group is not None and not keys.isdisjoint(runner.labels):
                self._regroup(runner, slow=runner.group.slow)
                self.settle(runner)

    def note_full(self, lane: Lane) -> None:
        """Record that no runner has room for the lane's steps."""
        self._full[lane] = self._version(lane)

    def is_full(self, lane: Lane) -> bool:
        """Tell whether no runner has gained room since `note_full`."""
        known = self._full.get(lane)
        if known is None:
            return False
        if known == self._version(lane):
            return True
        del self._full[lane]
        return False

    def _version(self, lane: Lane) -> int:
        found = self.classes(lane)
        version = 0
        for alike in (found.frugal, found.wasteful, found.slow):
            for group in alike:
                version += group.version
        return version

    def keep(self, used: Container[Lane]) -> None:
        """Forget all lanes except the used ones."""
        self._eligible = {lane: groups for lane, groups in self._eligible.items() if lane in used}
        self._full = {lane: version for lane, version in self._full.items() if lane in used}

    def _forget_eligible(self) -> None:
        self._eligible.clear()
        self._full.clear()


def _chosen(
    groups: Sequence[RunnerGroup], lane: Lane, *, slow: bool, wastes: bool
) -> tuple[RunnerGroup, ...]:
    return tuple(
        group for group in groups if group.slow is slow and group.wastes(lane.need) is wastes
    )
