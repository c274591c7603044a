"""The client's side of what submits runs without a person: schedules, backfills, and the permits of tags."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import grpc

from kaon.client.calling import Caller
from kaon_wire import bounds, canonical
from kaonapi.schedule.v1 import schedule_pb2, schedule_pb2_grpc

_S = schedule_pb2


class Schedules:
    """`Client.schedules` is one. Errors are those of `Client`."""

    def __init__(self, caller: Caller, channel: grpc.Channel) -> None:
        self._caller = caller
        self._stub = schedule_pb2_grpc.ScheduleServiceStub(channel)

    def put(self, schedule: schedule_pb2.Schedule) -> schedule_pb2.PutScheduleResponse:
        """Create a schedule, or replace the one with its name."""
        return self._caller.call(self._stub.PutSchedule, _S.PutScheduleRequest(schedule=schedule))

    def get(self, name: str) -> schedule_pb2.Schedule:
        """One schedule, with its next time and its last run."""
        return self._caller.call(self._stub.GetSchedule, _S.GetScheduleRequest(name=name)).schedule

    def list(self) -> Sequence[schedule_pb2.Schedule]:
        """All schedules of the tenant, by name."""
        return self._caller.whole(self._stub.ListSchedules, _S.ListSchedulesRequest()).schedules

    def delete(self, name: str) -> None:
        """Delete a schedule; its runs are kept."""
        self._caller.once(self._stub.DeleteSchedule, _S.DeleteScheduleRequest(name=name))

    def set_paused(self, name: str, *, paused: bool) -> schedule_pb2.Schedule:
        """Pauses a schedule or lets it go on."""
        schedule = self.get(name)
        schedule.paused = paused
        return self.put(schedule).schedule

    def run(
        self, name: str, time: datetime | None = None, key: str = ""
    ) -> schedule_pb2.RunScheduleResponse:
        """Submit one run of a schedule at once, beside its times and whether or not it is paused.

        Args:
            name: the schedule's.
            time: that the run stands for; None means now.
            key: idempotency key: a second call with it gives the first one's run.
        """
        # With a key of its own a call that is tried again cannot make a second run.
        request = bounds.made(
            _S.RunScheduleRequest, name=name, idempotency_key=key or uuid.uuid4().hex
        )
        if time is not None:
            request.time.FromDatetime(time.astimezone(UTC))
        return self._caller.call(self._stub.RunSchedule, request)

    def backfill(
        self,
        workflow: str,
        parameter: str,
        first: date | str,
        last: date | str,
        *,
        version: str = "",
        every_days: int = 1,
        params: Mapping[str, Any] | None = None,
        max_active: int = 0,
        name: str = "",
        priority: int = 0,
        newest_first: bool = False,
    ) -> schedule_pb2.BackfillResponse:
        """Submit one run for each date of a range; dates that have a run are left out.

        Args:
            workflow: its name.
            parameter: the parameter that gets the date.
            first: first date.
            last: last date, included.
            version: of the workflow; empty means the current one.
            every_days: days from one date to the next.
            params: the other parameters.
            max_active: how many of these runs may be active at once; 0 means without limit.
            name: runs of the same name and date are submitted once; empty means the workflow's name.
            priority: of the runs.
            newest_first: the newest date first.
        """
        request = bounds.made(
            _S.BackfillRequest,
            workflow=workflow,
            version=version,
            parameter=parameter,
            first_date=str(first),
            last_date=str(last),
            every_days=every_days,
            params_json={key: canonical.dumps(value) for key, value in (params or {}).items()},
            max_active=max_active,
            name=name,
            priority=priority,
            newest_first=newest_first,
        )
        return self._caller.call(self._stub.Backfill, request)

    def set_permits(self, tag: str, limit: int) -> schedule_pb2.Permits:
        """Limit how many steps of a tag run concurrently in the tenant; 0 removes the limit."""
        permits = bounds.made(_S.Permits, tag=tag, limit=limit)
        return self._caller.call(
            self._stub.SetPermits, _S.SetPermitsRequest(permits=permits)
        ).permits

    def permits(self) -> Sequence[schedule_pb2.Permits]:
        """Return the limits, and how many permits of each are taken."""
        return self._caller.whole(self._stub.ListPermits, _S.ListPermitsRequest()).permits
