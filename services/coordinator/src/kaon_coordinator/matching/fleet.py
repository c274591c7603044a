"""The runners of a pool, and which of them may take what."""

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
    """The groups of runners that could take the steps of a lane, were they idle."""

    frugal: tuple[RunnerGroup, ...]
    # They have something scarce that the steps do not need: it should stay free for those that do.
    wasteful: tuple[RunnerGroup, ...]
    slow: tuple[RunnerGroup, ...]
    # Those that are not slow.
    quick: frozenset[RunnerGroup]

    @property
    def all(self) -> tuple[RunnerGroup, ...]:
        return (*self.frugal, *self.wasteful, *self.slow)


class Fleet:
    """Runners that have been heard lately, by incarnation and in groups of those that are alike.

    Args:
        settings: how patient the matcher is.
    """

    def __init__(self, settings: MatcherSettings) -> None:
        self._settings = settings
        self._runners: dict[str, RunnerState] = {}
        self._groups: dict[Signature, RunnerGroup] = {}
        # Keys of labels that somebody has asked for: others do not tell runners apart.
        self._asked: set[str] = set()
        self._eligible: dict[Lane, Eligible] = {}
        # Lanes for which no runner had room, with the version of their groups then.
        self._full: dict[Lane, int] = {}
        # Slow or resting.
        self.unwell: set[RunnerState] = set()
        # Kept free, by the ticket that each is kept free for.
        self.reserved: dict[Ticket, RunnerState] = {}
        # At which more slots are outstanding than they have, in the order in which they became so.
        self.crowded: dict[RunnerState, None] = {}
        # Those with room, by the code bundles that they have.
        self._near: dict[str, dict[RunnerState, None]] = {}
        self._strangers: dict[Issue, set[RunnerState]] = defaultdict(set)
        # How many runners have a slot for something.
        self.with_room = 0
        # What all have together.
        self.total: Amount = NOTHING

    def __len__(self) -> int:
        return len(self._runners)

    def __iter__(self) -> Iterator[RunnerState]:
        return iter(tuple(self._runners.values()))

    def get(self, incarnation: str) -> RunnerState | None:
        """The runner; None when it is not heard."""
        return self._runners.get(incarnation)

    # --- runners come, change and go -----------------------------------------------------------------------------

    def add(self, heartbeat: runner_pb2.RunnerHeartbeat, now: float) -> RunnerState:
        """A runner that was not known."""
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
        """Takes a newer heartbeat in. Returns when it was sent, on this side's clock."""
        capacity = runner.capacity
        sent, changed = runner.apply_heartbeat(heartbeat, now, self._settings.depth)
        if runner.group is None or changed:
            self.total = plus(minus(self.total, capacity), runner.capacity)
            self._regroup(runner, slow=now < runner.health.slow_until)
        self.note_bundles(runner)
        self.review(runner, now)
        return sent

    def remove(self, runner: RunnerState) -> None:
        """The runner is gone."""
        self._unshelve(runner)
        self._ungroup(runner)
        self.meet(runner, {})
        self.unreserve(runner)
        self.unwell.discard(runner)
        self.crowded.pop(runner, None)
        self.total = minus(self.total, runner.capacity)
        del self._runners[runner.incarnation]

    def review(self, runner: RunnerState, now: float) -> None:
        """Looks at whether the runner is to get steps, first or last."""
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
        """Puts the runner where it is to be found, after whatever has changed of it."""
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

    def _unshelve(self, runner: RunnerState) -> None:
        if runner.level is None or runner.group is None:
            return
        runner.group.load_index.remove(runner, runner.level)
        runner.level = None
        self.with_room -= 1
        self._leave_near(runner, runner.bundles)

    # --- code bundles --------------------------------------------------------------------------------------------

    def near(self, bundle: str) -> Iterable[RunnerState]:
        """Runners with room that have a warm worker for a code bundle or probably have it on their disk."""
        return self._near.get(bundle, ())

    def note_bundles(self, runner: RunnerState) -> None:
        """The runner has other code bundles, or other warm workers."""
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
        labels = tuple(sorted((key, runner.labels[key]) for key in self._asked if key in runner.labels))
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

    # --- what they have without a ticket -------------------------------------------------------------------------

    def meet(self, runner: RunnerState, strangers: dict[Issue, Amount]) -> None:
        """These are all that the runner has without a ticket."""
        if not strangers and not runner.strangers:
            return
        for issue in runner.strangers.keys() - strangers.keys():
            self._forget_stranger(issue, runner)
        for issue in strangers.keys() - runner.strangers.keys():
            self._strangers[issue].add(runner)
        runner.meet(strangers)
        self.settle(runner)

    def dismiss(self, issue: Issue) -> bool:
        """This one has a ticket now, or has ended; False when no runner has it without a ticket."""
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

    # --- what is kept free ---------------------------------------------------------------------------------------

    def reserve(self, runner: RunnerState, ticket: Ticket, now: float) -> None:
        """Keeps the runner free for this ticket."""
        runner.reserved, runner.reserved_since = ticket, now
        self.reserved[ticket] = runner
        if runner.group is not None:
            runner.group.reserved[runner] = None
        self.settle(runner)

    def unreserve(self, runner: RunnerState) -> None:
        """The runner is kept free no longer."""
        if runner.reserved is None:
            return
        del self.reserved[runner.reserved]
        runner.reserved = None
        if runner.group is not None:
            runner.group.reserved.pop(runner, None)
            self.settle(runner)

    # --- faults --------------------------------------------------------------------------------------------------

    def fault(self, runner: RunnerState, now: float) -> None:
        """The runner has lost or handed back a step that it had not started. Never lets more than half of the runners rest."""
        if not runner.health.fault(now, self._settings):
            return
        resting = sum(1 for other in self.unwell if now < other.health.rest_until)
        if resting < len(self._runners) // 2:
            runner.health.rest(now, self._settings)
            self.review(runner, now)

    def slow(self, runner: RunnerState, now: float) -> None:
        """The runner was slow to be heard or to start a step."""
        health: Health = runner.health
        if health.slow(now, self._settings):
            self.review(runner, now)

    # --- who may take what ---------------------------------------------------------------------------------------

    def classes(self, lane: Lane) -> Eligible:
        """The groups that have the labels and the size for a lane, busy or not, in the order of preference."""
        found = self._eligible.get(lane)
        if found is None:
            fitting = [group for group in self.labelled(lane) if fits(lane.need, group.capacity)]
            found = self._eligible[lane] = Eligible(
                frugal=_chosen(fitting, lane, slow=False, wastes=False),
                wasteful=_chosen(fitting, lane, slow=False, wastes=True),
                slow=tuple(group for group in fitting if group.slow),
                quick=frozenset(group for group in fitting if not group.slow),
            )
        return found

    def eligible(self, lane: Lane) -> tuple[RunnerGroup, ...]:
        """The groups that have the labels and the size for a lane, busy or not."""
        return self.classes(lane).all

    def labelled(self, lane: Lane) -> list[RunnerGroup]:
        """The groups that have the labels for a lane, whatever their size."""
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
        """From now on these labels tell runners apart."""
        keys = {expression.key for expression in asked} - self._asked
        if not keys:
            return
        self._asked |= keys
        for runner in self:
            if runner.group is not None and not keys.isdisjoint(runner.labels):
                self._regroup(runner, slow=runner.group.slow)
                self.settle(runner)

    def note_full(self, lane: Lane) -> None:
        """No runner has room for the lane's steps."""
        self._full[lane] = self._version(lane)

    def is_full(self, lane: Lane) -> bool:
        """Whether no runner has got room since `note_full`."""
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
        """Forgets what is remembered about all lanes but the used ones."""
        self._eligible = {lane: groups for lane, groups in self._eligible.items() if lane in used}
        self._full = {lane: version for lane, version in self._full.items() if lane in used}

    def _forget_eligible(self) -> None:
        self._eligible.clear()
        self._full.clear()


def _chosen(
    groups: Sequence[RunnerGroup], lane: Lane, *, slow: bool, wastes: bool
) -> tuple[RunnerGroup, ...]:
    return tuple(group for group in groups if group.slow is slow and group.wastes(lane.need) is wastes)
