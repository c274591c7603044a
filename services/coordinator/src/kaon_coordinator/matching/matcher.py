"""The matcher of one pool: matches requests with runners.

Inputs only change its knowledge; `tick` returns the effects, so that many inputs share one round of matching.
Call it after every batch of inputs and at least every 0.1 s. Times are seconds of one monotonic clock.
"""

from __future__ import annotations

import sys
from itertools import chain

from kaon_coordinator.matching.amounts import wanted
from kaon_coordinator.matching.chains import (
    extend_chains,
    follower_lanes,
    review_chains,
)
from kaon_coordinator.matching.explain import explain
from kaon_coordinator.matching.heartbeats import apply_heartbeat
from kaon_coordinator.matching.maintenance import review_runners, withdraw_queued
from kaon_coordinator.matching.match_effects import (
    AskRunners,
    Effect,
    OpenPool,
    Release,
    ReportPool,
)
from kaon_coordinator.matching.matcher_settings import DEFAULT, MatcherSettings
from kaon_coordinator.matching.moment import Moment
from kaon_coordinator.matching.placement import Round
from kaon_coordinator.matching.pool_state import PoolState
from kaon_coordinator.matching.pool_views import pool_view, runner_view
from kaon_coordinator.matching.reserving import keep_free
from kaon_coordinator.matching.tenants import NO_LIMITS, Tenants
from kaon_coordinator.matching.tickets import Lane, Place, Ticket, step_id
from kaon_coordinator.matching.troubles import Trouble
from kaonapi.run.v1 import command_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

# Seconds; far above any round trip.
_LONG = 1.0


class PoolMatcher:
    """The matcher of one pool. It owns no truth: everything it knows is sent again after a loss.

    Args:
        pool: The pool's name.
        epoch: Raised with every owner of the pool; runners and engines ignore lower ones.
        run_partitions: The number of engine partitions; each one gets reports.
        now: The time of opening.
        settings: Its bounds.
        tenants: The entitlements of tenants.
    """

    def __init__(
        self,
        *,
        pool: str,
        epoch: int,
        run_partitions: int,
        now: float,
        settings: MatcherSettings = DEFAULT,
        tenants: Tenants = NO_LIMITS,
    ) -> None:
        self.pool = pool
        self.epoch = epoch
        self._partitions = run_partitions
        self._settings = settings
        self._state = PoolState(settings, tenants, pool)
        self._engine_epochs: dict[int, int] = {}
        # The pool's first owner cannot find anything at runners.
        self._settled = now if epoch <= 1 else now + settings.settle
        # Until then runners may not have answered it.
        self._heard = now + settings.settle
        self._fresh: list[Ticket] = []
        self._last_tick = now
        self._next_maintenance = now
        self._next_report = now + settings.report

    # --- inputs --------------------------------------------------------------------------------------------------

    def open(self) -> list[Effect]:
        """Return a new owner's questions: to engines for READY and held steps, to runners for a heartbeat."""
        opened = command_pb2.PoolOpened(pool=self.pool, pool_epoch=self.epoch)
        return [OpenPool(message=opened), AskRunners(pool=self.pool, pool_epoch=self.epoch)]

    def requests(self, record: step_pb2.StepRequests, now: float) -> None:
        """Apply a record of an engine partition's owner. Records of a succeeded owner are ignored."""
        if record.epoch < self._engine_epochs.get(record.partition, 0):
            return
        self._engine_epochs[record.partition] = record.epoch
        for ended in record.ended:
            try:
                self._end(ended.key, now)
            except Exception as error:
                self._state.note_trouble(step_id(ended.key), record.partition, error)
        for held in record.held:
            try:
                self._hold(held, record.partition, now)
                if not record.answers_pool_epoch:
                    # It began without this matcher: its tenant was served all the same.
                    self._state.served[held.tenant] = now
            except Exception as error:
                self._state.note_trouble(step_id(held.key), record.partition, error)
        due = self._settled if record.answers_pool_epoch else now
        for request in record.requests:
            try:
                self._request(request, now, due)
            except Exception as error:
                self._state.note_trouble(step_id(request.key), record.partition, error)

    def heartbeat(self, heartbeat: runner_pb2.RunnerHeartbeat, now: float) -> None:
        """Apply a heartbeat of a runner."""
        apply_heartbeat(self._state, heartbeat, now)

    def deafen(self, now: float) -> None:
        """Note that no messages could be received until now: earlier silence of runners does not count."""
        for runner in self._state.fleet:
            runner.heard = max(runner.heard, now)

    # --- outputs -------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Effect]:
        """Return the effects due now.

        The effects of the previous tick must have been sent and acknowledged.
        """
        if now - self._last_tick > self._settings.stall:
            self.deafen(now)
        self._last_tick = now
        state = self._state
        for ticket in self._fresh:
            ticket.released = now
        self._fresh.clear()
        state.unpark(now)
        maintain = now >= self._next_maintenance
        if maintain:
            self._next_maintenance = now + self._settings.maintenance
            review_runners(state, now)
            keep_free(state, now)
            state.tidy()
            state.stirred = True
        if state.stirred and len(state.waiting) and len(state.fleet):
            self._match(now)
        state.stirred = False
        extend_chains(state, now)
        if maintain:
            withdraw_queued(state, now)
        if now >= self._next_report:
            self._next_report = now + self._settings.report
            self._report()
        effects, state.effects = state.effects, []
        return effects

    def take_troubles(self) -> list[Trouble]:
        """Return the steps that faulted since the last call; they no longer wait."""
        troubles, self._state.troubles = self._state.troubles, []
        return troubles

    def explain(self, run_id: str, path: str, moment: Moment) -> list[runner_pb2.WaitReason]:
        """Explain why the step waits, or where it is: the binding reason first."""
        return explain(self._state, self.pool, (run_id, path), moment)

    def runners(self, moment: Moment) -> list[runner_pb2.Runner]:
        """Return the known runners, by name."""
        found = sorted(self._state.fleet, key=lambda runner: (runner.runner_id, runner.incarnation))
        return [runner_view(self._state, runner, moment) for runner in found]

    def view(self, moment: Moment) -> runner_pb2.Pool:
        """Return the pool's capacity and its shortage."""
        view = pool_view(self._state, self.pool, self.epoch, moment)
        view.settling = moment.now < self._heard
        return view

    @property
    def waiting(self) -> int:
        """Return the number of steps that wait for a runner."""
        return len(self._state.waiting) + sum(1 for _ in self._state.parked())

    # --- requests
    # ------------------------------------------------------------------------------------------------

    def _request(self, request: step_pb2.StepRequest, now: float, due: float) -> None:
        state, key, spec = self._state, request.key, request.spec
        step, generation, attempt = step_id(key), key.generation, key.attempt
        if state.is_over(step, generation):
            return
        known = state.tickets.get(step)
        if known is not None and generation <= known.generation:
            return
        lane = state.lanes.of(request)
        followers = request.chain
        lanes: tuple[Lane, ...] = ()
        if followers:
            lanes = follower_lanes(request, state.lanes)
            # The runner gets what it may start, by another field.
            request.ClearField("chain")
            request.ClearField("chain_alike")
        ticket = Ticket(
            step=step,
            followers=followers,
            follower_lanes=lanes,
            attempt=attempt,
            generation=generation,
            request=request.SerializeToString(),
            tenant=sys.intern(spec.tenant),
            priority=request.priority,
            lane=lane,
            bundle=sys.intern(spec.code_bundle),
            partition=request.partition,
            sequence=state.next_sequence(),
            since=now,
        )
        if known is not None:
            self._supersede(known, ticket, now)
        state.tickets[step] = ticket
        if due > now:
            state.park(ticket, due)
        else:
            # More issues than attempts: its runner was lost or handed it back, and it has waited before.
            state.enqueue(ticket, first=generation > attempt)

    def _supersede(self, old: Ticket, new: Ticket, now: float) -> None:
        """Replace an older issue: its runner handed it back or was lost, so another runner is better."""
        fleet = self._state.fleet
        runner = fleet.get(old.incarnation) if old.place is Place.RELEASED else None
        self._state.detach(old)
        if runner is None:
            return
        new.avoid, new.avoid_until = runner.incarnation, now + self._settings.avoid
        if old.started:
            # Its processes may still run; the next heartbeat tells.
            fleet.meet(runner, {**runner.strangers, (old.step, old.generation): old.lane.need})
        elif _is_hand_back(old, new) and runner.accepts:
            fleet.fault(runner, now)

    def _hold(self, held: step_pb2.StepHeld, partition: int, now: float) -> None:
        state = self._state
        step = step_id(held.key)
        known = state.tickets.get(step)
        if state.is_over(step, held.key.generation):
            return
        if known is not None:
            if held.key.generation < known.generation or known.started:
                return
            state.forget(known)
        ticket = Ticket(
            step=step,
            attempt=held.key.attempt,
            generation=held.key.generation,
            request=None,
            tenant=held.tenant,
            priority=held.priority,
            lane=state.lanes.get(wanted(held.resources), ()),
            bundle="",
            partition=partition,
            sequence=state.next_sequence(),
            since=now,
            place=Place.RELEASED,
            incarnation=held.incarnation,
            followers=held.chain,
            follower_lanes=follower_lanes(held, state.lanes) if held.chain else (),
        )
        state.tickets[step] = ticket
        runner = state.fleet.get(held.incarnation)
        if runner is None:
            state.orphans[held.incarnation][step] = ticket
        else:
            state.fleet.dismiss((step, ticket.generation))
            state.attach(ticket, runner)
        ticket.started = True
        if held.leads:
            state.chains.add(ticket)
        if ticket.followers:
            state.extending.append(ticket)

    def _end(self, key: step_pb2.StepKey, now: float) -> None:
        state = self._state
        step, generation = step_id(key), key.generation
        state.note_ended(step, generation)
        ticket = state.tickets.get(step)
        if ticket is None or ticket.generation > generation:
            if state.fleet.dismiss((step, generation)):
                state.stirred = True
            return
        runner = state.fleet.get(ticket.incarnation) if ticket.place is Place.RELEASED else None
        if runner is not None and ticket.sent:
            seconds = now - ticket.sent
            runner.prefetch.record(seconds, ticket.load)
            # A long step never raises the prefetch.
            if seconds < _LONG or runner.depth > 1.0:
                runner.set_limit(self._settings.depth)
            state.note_duration(ticket, seconds / max(ticket.load, 1.0))
        state.forget(ticket)

    # --- effects
    # -------------------------------------------------------------------------------------------------

    def _match(self, now: float) -> None:
        state = self._state
        placed = Round(state, now).run()
        review_chains(state, chain.from_iterable(placed.releases.values()), now)
        for ticket in placed.parked:
            state.park(ticket, ticket.avoid_until)
        for incarnation, tickets in placed.releases.items():
            state.effects.append(Release(incarnation=incarnation, tickets=tickets))
            self._fresh += tickets

    def _report(self) -> None:
        state = self._state
        waiting = [state.waiting.of_partition(number) for number in range(self._partitions)]
        for ticket in state.parked():
            waiting[ticket.partition] += 1
        released = [0] * self._partitions
        for runner in state.fleet:
            for ticket in runner.tickets.values():
                if not ticket.started:
                    released[ticket.partition] += 1
        for number in range(self._partitions):
            report = command_pb2.PoolReport(
                pool=self.pool,
                pool_epoch=self.epoch,
                partition=number,
                waiting=waiting[number],
                released=released[number],
            )
            state.effects.append(ReportPool(message=report))


def _is_hand_back(old: Ticket, new: Ticket) -> bool:
    """Tell whether the runner handed the step back by itself, without a withdrawal or another cause of a new issue."""
    return old.withdrawn is None and old.attempt == new.attempt and old.priority == new.priority
