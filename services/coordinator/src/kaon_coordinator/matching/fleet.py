"""The runners of a pool, and which of them may take what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Sequence

from kaon_coordinator.matching.amounts import NOTHING, Amount, fits, minus, plus
from kaon_coordinator.matching.groups import Group, Signature
from kaon_coordinator.matching.health import Health
from kaon_coordinator.matching.labels import LabelExpression
from kaon_coordinator.matching.runners import Issue, RunnerState
from kaon_coordinator.matching.settings import MatcherSettings
from kaon_coordinator.matching.tickets import Lane, Ticket, expressions
from kaon_wire.errors import InvalidValue
from kaonapi.runner.v1 import runner_pb2


class Fleet:
    """Runners that have been heard lately, by incarnation and in groups of those that are alike.

    Args:
        settings: how patient the matcher is.
    """

    def __init__(self, settings: MatcherSettings) -> None:
        self._settings = settings
        self._runners: dict[str, RunnerState] = {}
        self._groups: dict[Signature, Group] = {}
        # Keys of labels that somebody has asked for: others do not tell runners apart.
        self._asked: set[str] = set()
        self._eligible: dict[Lane, tuple[Group, ...]] = {}
        # Lanes for which no runner had room, with the version of their groups then.
        self._full: dict[Lane, int] = {}
        # Slow or resting.
        self.unwell: set[RunnerState] = set()
        self.reserved: set[RunnerState] = set()
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
        runner = self._runners[heartbeat.incarnation] = RunnerState(heartbeat=heartbeat, heard=now)
        return runner

    def hear(self, runner: RunnerState, heartbeat: runner_pb2.RunnerHeartbeat, now: float) -> float:
        """Takes a newer heartbeat in. Returns when it was sent, on this side's clock."""
        capacity, labels = runner.capacity, runner.labels
        sent = runner.hear(heartbeat, now, self._settings.depth)
        if runner.group is None or labels != runner.labels or capacity != runner.capacity:
            self.total = plus(minus(self.total, capacity), runner.capacity)
            self._regroup(runner, slow=now < runner.health.slow_until)
        self.review(runner, now)
        return sent

    def remove(self, runner: RunnerState) -> None:
        """The runner is gone."""
        self._unshelve(runner)
        self._ungroup(runner)
        self.meet(runner, {})
        self.unreserve(runner)
        self.unwell.discard(runner)
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
        level = None
        if runner.is_open and runner.reserved is None and runner.has_slot:
            level = (runner.outstanding, runner.depth)
        before = runner.level
        if level == before and (level is None or runner.shelved == (runner.warm, runner.cached)):
            return
        self._unshelve(runner)
        group = runner.group
        if level is None or group is None:
            return
        runner.shelves, runner.level, runner.shelved = (
            group.shelves(runner),
            level,
            (runner.warm, runner.cached),
        )
        for shelf in runner.shelves:
            shelf.add(runner, level)
        self.with_room += 1
        if before is None or level[1] > before[1] or not fits(before[0], level[0]):
            group.version += 1

    def _unshelve(self, runner: RunnerState) -> None:
        if runner.level is None:
            return
        for shelf in runner.shelves:
            shelf.remove(runner, runner.level)
        runner.shelves, runner.level = (), None
        self.with_room -= 1

    def _regroup(self, runner: RunnerState, *, slow: bool) -> None:
        self._unshelve(runner)
        self._ungroup(runner)
        labels = tuple(sorted((key, runner.labels[key]) for key in self._asked if key in runner.labels))
        signature = (labels, runner.capacity, slow)
        group = self._groups.get(signature)
        if group is None:
            group = self._groups[signature] = Group(signature)
            self._forget_eligible()
        group.members[runner] = None
        if runner.reserved is not None:
            group.reserved[runner] = None
        runner.group = group

    def _ungroup(self, runner: RunnerState) -> None:
        group, runner.group = runner.group, None
        if group is None:
            return
        del group.members[runner]
        group.reserved.pop(runner, None)
        if not group.members:
            del self._groups[group.signature]
            self._forget_eligible()

    # --- what they have without a ticket -------------------------------------------------------------------------

    def meet(self, runner: RunnerState, strangers: dict[Issue, Amount]) -> None:
        """These are all that the runner has without a ticket."""
        for issue in runner.strangers.keys() - strangers.keys():
            self._forget_stranger(issue, runner)
        for issue in strangers.keys() - runner.strangers.keys():
            self._strangers[issue].add(runner)
        runner.meet(strangers)

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
        self.reserved.add(runner)
        if runner.group is not None:
            runner.group.reserved[runner] = None
        self.settle(runner)

    def unreserve(self, runner: RunnerState) -> None:
        """The runner is kept free no longer."""
        if runner.reserved is None:
            return
        runner.reserved = None
        self.reserved.discard(runner)
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

    def eligible(self, lane: Lane) -> Sequence[Group]:
        """The groups that have the labels and the size for a lane, busy or not; the slow ones last."""
        found = self._eligible.get(lane)
        if found is None:
            fitting = [group for group in self.labelled(lane) if fits(lane.need, group.capacity)]
            found = tuple(sorted(fitting, key=lambda group: group.slow))
            self._eligible[lane] = found
        return found

    def labelled(self, lane: Lane) -> list[Group]:
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
        return self._full.get(lane) == self._version(lane)

    def _version(self, lane: Lane) -> int:
        return sum(group.version for group in self.eligible(lane))

    def keep(self, used: Container[Lane]) -> None:
        """Forgets what is remembered about all lanes but the used ones."""
        self._eligible = {lane: groups for lane, groups in self._eligible.items() if lane in used}
        self._full = {lane: version for lane, version in self._full.items() if lane in used}

    def _forget_eligible(self) -> None:
        self._eligible.clear()
        self._full.clear()
