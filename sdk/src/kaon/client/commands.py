"""What can be asked of a run that is there."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from kaon.client import params as parameters
from kaon.client.artifacts import Artifacts
from kaon.client.calling import Caller
from kaon.dsl import types
from kaon_wire import bounds, canonical
from kaonapi.run.v1 import run_pb2, run_service_pb2, run_service_pb2_grpc
from kaonapi.workflow.v1 import definition_pb2, workflow_service_pb2, workflow_service_pb2_grpc

T = TypeVar("T")

_S = run_service_pb2


class RunCommands:
    """The commands of `Client`. Each returns when the engine has applied it, and gives the run as it stands then.

    A command that the engine refuses raises Conflict with the reason. When the run's owner does not answer within some seconds,
    the command is kept and applied later: `commands_waiting` of the returned run is then not 0.

    Those that would mean something else when done twice (signal, answer, retry, restart, mark) are sent once: when their answer
    is lost they raise Unavailable, and the history tells whether they were done.
    """

    _caller: Caller
    _runs: run_service_pb2_grpc.RunServiceStub
    _workflows: workflow_service_pb2_grpc.WorkflowServiceStub
    artifacts: Artifacts

    def cancel(
        self,
        run_id: str,
        reason: str = "",
        *,
        path: str = "",
        skip: bool = False,
        force: bool = False,
    ) -> run_pb2.Run:
        """Asks a run to stop, or what is under a path of it.

        Args:
            run_id: the run.
            reason: why; it is in the history.
            path: a block, cell or step; empty means the whole run.
            skip: marks the cancelled nodes SKIPPED, so that downstream steps still run.
            force: hooks (finally, on failure) are stopped too.
        """
        request = _S.CancelRunRequest(
            run_id=run_id, reason=reason, path=path, skip=skip, force=force
        )
        return self._caller.call(self._runs.CancelRun, request).run

    def pause(self, run_id: str, reason: str = "") -> run_pb2.Run:
        """Pause a run: no new step starts until it is resumed. Running steps continue."""
        return self._caller.call(
            self._runs.PauseRun, _S.PauseRunRequest(run_id=run_id, reason=reason)
        ).run

    def resume(self, run_id: str, reason: str = "") -> run_pb2.Run:
        """Lets a paused run go on."""
        return self._caller.call(
            self._runs.ResumeRun, _S.ResumeRunRequest(run_id=run_id, reason=reason)
        ).run

    def set_breakpoint(self, run_id: str, step: str, reason: str = "") -> run_pb2.Run:
        """Let a step wait before it starts, until `pass_breakpoint`.

        Args:
            run_id: the run.
            step: its path, such as "regions[US]/train", or its name, which stands for all of its instances, also later ones.
            reason: why; it is in the history.

        Raises:
            Conflict: it has started.
        """
        request = _S.SetBreakpointRequest(run_id=run_id, step=step, reason=reason)
        return self._caller.call(self._runs.SetBreakpoint, request).run

    def pass_breakpoint(self, run_id: str, step: str, reason: str = "") -> run_pb2.Run:
        """Remove a breakpoint, and let go on what waits at it.

        Args:
            run_id: the run.
            step: as it was set; or the path of one step that waits at the breakpoint of its name, which stays for the others.
            reason: why; it is in the history.

        Raises:
            Conflict: there is no breakpoint.
        """
        request = _S.PassBreakpointRequest(run_id=run_id, step=step, reason=reason)
        return self._once(self._runs.PassBreakpoint, request).run

    def signal(self, run_id: str, name: str, payload: Any = None, *, path: str = "") -> run_pb2.Run:
        """Send a signal to the gates that wait for its name, or with a path to one running step.

        One that comes before its gate is kept for it.

        Raises:
            NotFound: no gate of the run's workflow takes signals of this name; the error has the nearest names.
        """
        text = canonical.dumps(types.as_json(payload))
        request = _S.SignalRunRequest(run_id=run_id, name=name, payload_json=text, path=path)
        return self._once(self._runs.SignalRun, request).run

    def signal_all(
        self, name: str, payload: Any = None, *, key: str = ""
    ) -> run_service_pb2.SignalRunsResponse:
        """Send a signal to all runs of the tenant in which a gate takes it, or may still begin and take it.

        Runs that are submitted later do not get it. The answer tells how many runs it has reached, and which workflows were left
        out, and why: a gate asks for a role that the caller lacks, or the payload is not what it declares.

        Args:
            name: the signal's name.
            payload: any JSON; where gates declare fields, an object of these.
            key: idempotency key: a second call with it sends nothing, and gives the answer of the first one.

        Raises:
            Conflict: the key was used for another signal.
            Exhausted: it would reach too many runs.
        """
        # With a key of its own a call that is tried again cannot send it twice.
        request = _S.SignalRunsRequest(
            name=name,
            payload_json=canonical.dumps(types.as_json(payload)),
            idempotency_key=key or uuid.uuid4().hex,
        )
        return self._caller.call(self._runs.SignalRuns, request)

    def answer(
        self,
        run_id: str,
        path: str,
        *,
        approved: bool,
        comment: str = "",
        values: Mapping[str, Any] | None = None,
    ) -> run_pb2.Run:
        """Answers the approval at a path, with the values of its fields.

        Raises:
            InvalidValue: a value is missing or not allowed; the message names the field.
            AccessDenied: the principal has none of the roles that may answer.
            Conflict: it does not wait for an answer.
        """
        given = {
            name: canonical.dumps(types.as_json(value)) for name, value in (values or {}).items()
        }
        request = _S.AnswerGateRequest(
            run_id=run_id, path=path, approved=approved, comment=comment, values_json=given
        )
        return self._once(self._runs.AnswerGate, request).run

    def retry(self, run_id: str, path: str = "", reason: str = "") -> run_pb2.Run:
        """Retry the failed steps of a run (at or under a path), and keep the succeeded ones.

        Raises:
            Conflict: nothing has failed there.
        """
        request = _S.RetryRunRequest(run_id=run_id, path=path, reason=reason)
        return self._once(self._runs.RetryRun, request).run

    def restart(self, run_id: str, path: str, reason: str = "") -> run_pb2.Run:
        """Restart the block at a path and all nodes downstream of it, and keep those upstream.

        Raises:
            Conflict: one of these is active.
        """
        request = _S.RestartRunRequest(run_id=run_id, path=path, reason=reason)
        return self._once(self._runs.RestartRun, request).run

    def mark(
        self,
        run_id: str,
        path: str,
        status: run_pb2.Status.ValueType,
        *,
        reason: str,
        outputs: Mapping[str, Any] | None = None,
    ) -> run_pb2.Run:
        """Settles a step or block by hand.

        Args:
            run_id: the run.
            path: the step or block.
            status: SUCCEEDED, FAILED or SKIPPED.
            reason: why; it is in the history together with who did it.
            outputs: for SUCCEEDED: all declared outputs by name.
        """
        encoded = {name: canonical.dumps(value) for name, value in (outputs or {}).items()}
        request = _S.MarkBlockRequest(
            run_id=run_id, path=path, status=status, outputs_json=encoded, reason=reason
        )
        return self._once(self._runs.MarkBlock, request).run

    def set_priority(self, run_id: str, priority: int) -> run_pb2.Run:
        """Set the priority of a run, which is added to that of each of its steps."""
        request = bounds.made(_S.SetRunPriorityRequest, run_id=run_id, priority=priority)
        return self._caller.call(self._runs.SetRunPriority, request).run

    def rerun(
        self,
        run_id: str,
        params: Mapping[str, Any] | None = None,
        *,
        version: str = "",
        key: str = "",
    ) -> run_service_pb2.RerunRunResponse:
        """Submit a new run with the parameters of an earlier one.

        Args:
            run_id: the earlier run.
            params: set over its parameters.
            version: of the workflow; empty means that of the earlier run.
            key: idempotency key.
        """
        encoded = self._changes(run_id, params, version)
        request = _S.RerunRunRequest(
            run_id=run_id,
            params_json=encoded,
            version=version,
            idempotency_key=key or uuid.uuid4().hex,
        )
        return self._caller.call(self._runs.RerunRun, request)

    def fork(
        self,
        run_id: str,
        seq: int = 0,
        params: Mapping[str, Any] | None = None,
        *,
        reset: Iterable[str] = (),
        version: str = "",
        failed: bool = False,
        dry_run: bool = False,
        key: str = "",
    ) -> run_service_pb2.ForkRunResponse:
        """Start a new run from the state of another run. It keeps the nodes that had ended and restarts those that were active.

        Args:
            run_id: the other run.
            seq: its state after this event of its history; 0 means the newest.
            params: set over its parameters, for what begins in the new run.
            reset: paths of blocks that begin anew with everything after them.
            version: of the workflow, which must fit what is kept; empty means that of the other run.
            failed: what had failed begins anew, too.
            dry_run: only compute what would be kept and what would run; nothing is stored.
            key: idempotency key.

        Raises:
            Conflict: the version does not fit what the run has done; the error names each block and the reason.
        """
        encoded = self._changes(run_id, params, version)
        request = _S.ForkRunRequest(
            run_id=run_id,
            seq=seq,
            params_json=encoded,
            reset=list(reset),
            version=version,
            failed=failed,
            dry_run=dry_run,
            idempotency_key=key or uuid.uuid4().hex,
        )
        return self._caller.call(self._runs.ForkRun, request)

    def run_at(self, run_id: str, seq: int = 0) -> run_service_pb2.GetRunAtResponse:
        """Return the state of a run after an event of its history (0: the newest), and its digest."""
        request = _S.GetRunAtRequest(run_id=run_id, seq=seq)
        return self._caller.whole(self._runs.GetRunAt, request, anew=["run"])

    def verify(self, run_id: str) -> run_service_pb2.VerifyRunResponse:
        """Replays a run's history on the server, and compares the state with the stored one."""
        return self._caller.call(self._runs.VerifyRun, _S.VerifyRunRequest(run_id=run_id))

    def definition_of(self, run_id: str, version: str = "") -> definition_pb2.WorkflowDefinition:
        """Return the definition that a run executes, or another version of it."""
        run = self._caller.call(self._runs.GetRun, _S.GetRunRequest(run_id=run_id, page_size=1)).run
        request = workflow_service_pb2.GetWorkflowRequest(
            name=run.workflow, version=version or run.version
        )
        return self._caller.call(self._workflows.GetWorkflow, request).workflow.definition

    def _once(self, method: Callable[..., T], request: Any) -> T:
        """Send a command that must not be executed twice, as soon as the service answers."""
        self._caller.call(self._runs.GetRun, _S.GetRunRequest(run_id=request.run_id, page_size=1))
        return self._caller.once(method, request)

    def encode_params(
        self,
        definition: definition_pb2.WorkflowDefinition,
        params: Mapping[str, Any],
        *,
        complete: bool = True,
    ) -> dict[str, str]:
        """Return parameters as canonical JSON by name. A `Path` for a parameter of an artifact type is stored first.

        Args:
            definition: declares the parameters.
            params: values by name.
            complete: those without a default must be there.
        """
        kinds = {parameter.name: parameter.type for parameter in definition.parameters}
        given = {
            name: self.artifacts.put(value, types.name_of(kinds[name]))
            if isinstance(value, Path) and name in kinds and types.is_artifact(kinds[name])
            else value
            for name, value in params.items()
        }
        return parameters.encode(definition, given, complete=complete)

    def _changes(
        self, run_id: str, params: Mapping[str, Any] | None, version: str
    ) -> dict[str, str]:
        if not params:
            return {}
        return self.encode_params(self.definition_of(run_id, version), params, complete=False)
