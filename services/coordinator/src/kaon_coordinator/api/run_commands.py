"""RunService: commands to runs.

The API refuses impossible commands at once; the engine refuses outdated ones.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from kaon_coordinator import params
from kaon_coordinator.api import gate_rules, places, plans, signal_payloads, views
from kaon_coordinator.api.submission import Submission
from kaon_coordinator.engine.commands.retry import any_failed
from kaon_coordinator.engine.kinds.signal_gates import lacking
from kaon_coordinator.engine.rows.rows import BlockRow, RunRow, StepRow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.problems import Denied, FailedPrecondition
from kaon_coordinator.shell.fork_states import PastStore
from kaon_coordinator.store.base import RunRecord
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service import principal
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import command_pb2, run_pb2, run_service_pb2_grpc
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.workflow.v1 import definition_pb2 as d

_FAILED = t.BROKEN | {t.CANCELLED}
_MARKS = {t.SUCCEEDED, t.FAILED, t.SKIPPED}
_PATH_CHARACTERS = 4_000


class CommandStore(places.PlaceStore, PastStore, Protocol):
    """The store as commands need it: rows that they are checked against, and whole runs on which they are tried."""


class RunCommandsServicer(run_service_pb2_grpc.RunServiceServicer):
    """The methods of the service that accept commands."""

    _threads: StoreCalls[CommandStore]
    _submission: Submission

    async def CancelRun(self, request: r.CancelRunRequest, context: Any) -> r.CancelRunResponse:  # noqa: N802
        """Cancel a run, or the nodes at or under a path; `skip` marks them SKIPPED, so that downstream nodes still run."""
        if request.force and request.path:
            raise InvalidValue(
                "force: hooks are stopped with the whole run only; leave the path out"
            )
        if request.skip and not request.path:
            raise InvalidValue(
                "skip: a whole run cannot be skipped; give the path of the node to mark SKIPPED"
            )
        if request.path:
            run = await self._active(request.run_id)
            row = await self._at(run, request.path, places.goes_on)
            if row.status in t.TERMINAL:
                raise FailedPrecondition(
                    f"{row.path} is {_status(row)}: there is nothing to cancel"
                )
            request.path = row.path
            await self._allowed(run, row.path, inside=request.skip)
        wish = command_pb2.RequestRunCancel(
            reason=request.reason,
            requester=principal.current().name,
            path=request.path,
            force=request.force,
            skip=request.skip,
        )
        told = await self._submission.command(request.run_id, reason=request.reason, cancel=wish)
        return r.CancelRunResponse(run=told)

    async def PauseRun(self, request: r.PauseRunRequest, context: Any) -> r.PauseRunResponse:  # noqa: N802
        """Pause an active run: nothing new starts, and running steps continue."""
        await self._active(request.run_id)
        run = await self._submission.command(
            request.run_id, reason=request.reason, pause=command_pb2.PauseRun()
        )
        return r.PauseRunResponse(run=run)

    async def ResumeRun(self, request: r.ResumeRunRequest, context: Any) -> r.ResumeRunResponse:  # noqa: N802
        """Resume a paused run."""
        await self._active(request.run_id)
        run = await self._submission.command(
            request.run_id, reason=request.reason, resume=command_pb2.ResumeRun()
        )
        return r.ResumeRunResponse(run=run)

    async def SetBreakpoint(  # noqa: N802
        self, request: r.SetBreakpointRequest, context: Any
    ) -> r.SetBreakpointResponse:
        """Let a step, or all instances of a name, wait before they start."""
        step = await self._step_of(request.run_id, request.step)
        wish = command_pb2.SetBreakpoint(step=step)
        run = await self._submission.command(
            request.run_id, reason=request.reason, set_breakpoint=wish
        )
        return r.SetBreakpointResponse(run=run)

    async def PassBreakpoint(  # noqa: N802
        self, request: r.PassBreakpointRequest, context: Any
    ) -> r.PassBreakpointResponse:
        """Remove a breakpoint, and let go on what waits at it."""
        step = await self._step_of(request.run_id, request.step)
        wish = command_pb2.PassBreakpoint(step=step)
        run = await self._submission.command(
            request.run_id, reason=request.reason, pass_breakpoint=wish
        )
        return r.PassBreakpointResponse(run=run)

    async def _step_of(self, run_id: str, step: str) -> str:
        """Return the path or name of a step that an active run has or may have."""
        if len(step) > _PATH_CHARACTERS:
            raise InvalidValue(f"step: use at most {_PATH_CHARACTERS} characters")
        run = await self._active(run_id)
        return await self._threads.read(places.declared, self._threads.store, run, step)

    async def SignalRun(self, request: r.SignalRunRequest, context: Any) -> r.SignalRunResponse:  # noqa: N802
        """Send a signal to the gates of a run, or to one running step."""
        payload = signal_payloads.checked(request.name, request.payload_json)
        run = await self._active(request.run_id)
        if request.path:
            row = await self._at(run, request.path, places.goes_on)
            request.path = row.path
            if not isinstance(row, StepRow):
                raise FailedPrecondition(
                    f"{row.path} is a {row.kind}, not a step: leave the path empty for a gate"
                )
            if row.status in t.TERMINAL:
                raise FailedPrecondition(f"{row.path} is {_status(row)}")
        roles = principal.current().roles
        if not request.path:
            payload = await self._checked_payload(run, request.name, roles, payload)
        signal = command_pb2.SignalRun(
            name=request.name, payload_json=payload, path=request.path, roles=sorted(roles)
        )
        return r.SignalRunResponse(
            run=await self._submission.command(request.run_id, signal=signal)
        )

    async def AnswerGate(self, request: r.AnswerGateRequest, context: Any) -> r.AnswerGateResponse:  # noqa: N802
        """Approve or reject a pending approval gate; the caller needs one of its roles."""
        run = await self._active(request.run_id)
        row = await self._at(run, request.path, lambda place: place.status == t.WAITING)
        request.path = row.path
        gate = canonical.loads(row.data) if isinstance(row, BlockRow) and row.kind == "gate" else {}
        if gate.get("gate") != "approval":
            raise FailedPrecondition(f"{request.path} is not an approval")
        if row.status != t.WAITING:
            raise FailedPrecondition(
                f"{request.path} does not wait for an answer: it is {_status(row)}"
            )
        caller = principal.current()
        roles = caller.roles
        if gate.get("roles") and not roles & set(gate["roles"]):
            raise Denied(
                f"{request.path} may be answered by {' or '.join(gate['roles'])}; you have "
                f"{', '.join(sorted(roles)) or 'no role'}"
            )
        if gate.get("not_submitter") and caller.name == run.submitter:
            raise Denied(
                f"{request.path} may be answered by somebody else than {run.submitter}, who submitted the run"
            )
        if request.values_json and not request.approved:
            raise InvalidValue("values_json: a rejection has no values")
        fields = [d.Parameter.FromString(b64decode(text)) for text in gate.get("fields", ())]
        what = f"the answer to {request.path}"
        given = dict(request.values_json)
        values = (
            params.complete_fields(fields, given, what=what, field="values_json")
            if request.approved
            else {}
        )
        answer = command_pb2.AnswerGate(
            values_json=values,
            path=request.path,
            approved=request.approved,
            comment=request.comment,
            roles=sorted(roles),
        )
        told = await self._submission.command(request.run_id, reason=request.comment, answer=answer)
        return r.AnswerGateResponse(run=told)

    async def RetryRun(self, request: r.RetryRunRequest, context: Any) -> r.RetryRunResponse:  # noqa: N802
        """Run failed nodes of a run again, or take back a run that is set aside."""
        run = await self._run(request.run_id)
        if not request.dry_run and await self._submission.take_back(run):
            return r.RetryRunResponse(run=views.run(run))
        self._not_cancelling(run)
        if request.path:
            request.path = (
                await self._at(run, request.path, lambda place: place.status in _FAILED)
            ).path
        if run.row.status not in _FAILED and not await self._has_failures(run, request.path):
            where = f"at or under {request.path}" if request.path else "in it"
            raise FailedPrecondition(
                f"run {run.run_id} is {_status(run.row)} and nothing has failed {where}"
            )
        command = command_pb2.RetryRun(path=request.path)
        if request.dry_run:
            return r.RetryRunResponse(run=views.run(run), plan=await self._plan(run, retry=command))
        told = await self._submission.command(request.run_id, reason=request.reason, retry=command)
        return r.RetryRunResponse(run=told)

    async def RestartRun(self, request: r.RestartRunRequest, context: Any) -> r.RestartRunResponse:  # noqa: N802
        """Run an ended node and everything after it again."""
        run = await self._run(request.run_id)
        self._not_cancelling(run)
        row = await self._at(run, request.path, places.is_over)
        if row.status == t.PENDING:
            raise FailedPrecondition(f"{row.path} has not begun")
        if row.status not in t.TERMINAL:
            raise FailedPrecondition(f"{row.path} is {_status(row)}: cancel it or wait for its end")
        command = command_pb2.RestartRun(path=row.path)
        if request.dry_run:
            return r.RestartRunResponse(
                run=views.run(run), plan=await self._plan(run, restart=command)
            )
        told = await self._submission.command(
            request.run_id, reason=request.reason, restart=command
        )
        return r.RestartRunResponse(run=told)

    async def MarkBlock(self, request: r.MarkBlockRequest, context: Any) -> r.MarkBlockResponse:  # noqa: N802
        """Settle a step or block by hand as SUCCEEDED, FAILED or SKIPPED; a reason is required."""
        if not request.reason:
            raise InvalidValue("reason: say why; it is kept in the history")
        if request.status not in _MARKS:
            raise InvalidValue("status: only SUCCEEDED, FAILED and SKIPPED can be marked")
        run = await self._run(request.run_id)
        self._not_cancelling(run)
        row = await self._at(run, request.path)
        await self._allowed(run, row.path, inside=True)
        outputs = {
            name: params.canonical_text(f"outputs_json[{name}]", text)
            for name, text in request.outputs_json.items()
        }
        mark = command_pb2.MarkBlock(path=row.path, status=request.status, outputs_json=outputs)
        if request.dry_run:
            return r.MarkBlockResponse(run=views.run(run), plan=await self._plan(run, mark=mark))
        told = await self._submission.command(request.run_id, reason=request.reason, mark=mark)
        return r.MarkBlockResponse(run=told)

    async def SetRunPriority(  # noqa: N802
        self, request: r.SetRunPriorityRequest, context: Any
    ) -> r.SetRunPriorityResponse:
        """Change the priority of an active run."""
        run_now = await self._active(request.run_id)
        workflow = await self._threads.read(
            self._threads.store.get_workflow, run_now.tenant, run_now.workflow, run_now.version
        )
        caller = principal.current()
        await self._submission.bounds.check(workflow, request.priority, caller)
        wish = command_pb2.SetRunPriority(priority=request.priority)
        run = await self._submission.command(request.run_id, set_priority=wish)
        return r.SetRunPriorityResponse(run=run)

    async def _allowed(self, run: RunRecord, path: str, *, inside: bool) -> None:
        """Check that the caller gets past no gate; see `gate_rules.check_settling`."""
        await self._threads.study(
            partial(gate_rules.check_settling, inside=inside),
            self._threads.store,
            run,
            path,
            gate_rules.answerer(),
        )

    async def _checked_payload(
        self, run: RunRecord, name: str, roles: frozenset[str], payload: str
    ) -> str:
        """Check that the caller may send this signal, and return its payload, complete.

        Raises:
            NotFound: No gate of the workflow takes signals of this name.
            Denied: A gate names other roles.
            InvalidRequest: The payload is not what the gates declare; the error names each wrong field.
        """
        store = self._threads.store
        workflow = await self._threads.read(
            store.get_workflow, run.tenant, run.workflow, run.version
        )
        signal_payloads.awaited(workflow.definition, name)
        if problem := lacking(workflow.definition, name, roles):
            have = ", ".join(sorted(roles)) or "no role"
            raise Denied(f"signal {name!r} {problem}; you have {have}")
        return signal_payloads.completed(workflow.definition, name, payload)

    async def _plan(self, run: RunRecord, **command: Any) -> r.CommandPlan:
        """Compute what a command would do; nothing is stored."""
        wish = command_pb2.RunCommand(
            run_id=run.run_id, requester=principal.current().name, **command
        )
        submission = self._submission
        return await self._threads.study(
            plans.of_command, self._threads.store, run, wish, submission.now_us(), submission.limits
        )

    async def _run(self, run_id: str) -> RunRecord:
        tenant = principal.current().tenant
        return await self._threads.read(self._threads.store.get_run, tenant, run_id)

    async def _active(self, run_id: str) -> RunRecord:
        run = await self._run(run_id)
        if run.row.status in t.TERMINAL:
            raise FailedPrecondition(f"run {run_id} has ended: it is {_status(run.row)}")
        return run

    async def _at(
        self, run: RunRecord, written: str, fits: Callable[[places.Place], bool] | None = None
    ) -> StepRow | BlockRow:
        """Resolve a path or name; see `places.find`."""
        return await self._threads.read(_row_at, self._threads.store, run, written, fits)

    def _not_cancelling(self, run: RunRecord) -> None:
        if run.row.status == t.CANCELLING:
            raise FailedPrecondition(f"run {run.run_id} is being cancelled")

    async def _has_failures(self, run: RunRecord, path: str) -> bool:
        store = self._threads.store
        rows: list[StepRow | BlockRow] = [
            *await self._threads.read(store.list_steps, run.run_id),
            *await self._threads.read(store.list_blocks, run.run_id),
        ]
        return any_failed(rows, path)


def _row_at(
    store: places.PlaceStore,
    run: RunRecord,
    written: str,
    fits: Callable[[places.Place], bool] | None,
) -> StepRow | BlockRow:
    row = store.find_row(run.run_id, path := places.find(store, run, written, fits))
    if row is None:
        raise FailedPrecondition(
            f"{path} of run {run.run_id} was reset while it was looked up: try again"
        )
    return row


def _status(row: RunRow | StepRow | BlockRow) -> str:
    return t.short(run_pb2.Status.ValueType(row.status))
