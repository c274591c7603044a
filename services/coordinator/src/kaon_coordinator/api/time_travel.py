"""RunService: time travel. Folds histories page by page on threads of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kaon_coordinator import replay
from kaon_coordinator.api import gate_rules, plans, views
from kaon_coordinator.api.forking import checked_reset
from kaon_coordinator.api.run_parts import Part, part_of
from kaon_coordinator.api.submission import Submission, as_new, checked_key
from kaon_coordinator.engine.definition.compiled import compile_workflow
from kaon_coordinator.engine.rows import codec
from kaon_coordinator.engine.rows.row_views import step_view
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.problems import FailedPrecondition
from kaon_coordinator.shell.fork_states import PastStore, definitions
from kaon_coordinator.store.base import NewRun, RunRecord, WorkflowRecord
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service import principal
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import history_pb2, run_pb2, run_service_pb2_grpc
from kaonapi.run.v1 import run_service_pb2 as r

# An active run is read again: its rows and its history must be of the same moment.
_ATTEMPTS = 10
# Number of places that a fork resets: its first event names them.
_PLACES = 1_000


class TimeTravelServicer(run_service_pb2_grpc.RunServiceServicer):
    """The methods of the service that replay histories and fork runs."""

    _threads: StoreCalls[PastStore]
    _submission: Submission

    async def RerunRun(self, request: r.RerunRunRequest, context: Any) -> r.RerunRunResponse:  # noqa: N802
        """Submit a new run with the parameters of an earlier one, some of them replaced."""
        run = await self._found(request.run_id)
        workflow = await self._submission.workflow(run.workflow, request.version or run.version)
        previous = await self._submission.previous_success(workflow)
        new = self._new_run(run, workflow, request, (0, previous))
        new = await self._submission.like(run, new, origin=f"rerun:{run.run_id}")
        made, created = await self._submission.submit(new)
        return r.RerunRunResponse(run=views.run(made), created=created)

    async def GetRunAt(self, request: r.GetRunAtRequest, context: Any) -> r.GetRunAtResponse:  # noqa: N802
        """Return a run as it was after an event, with digests that verify the replay."""
        run = await self._found(request.run_id)
        seq = request.seq or run.row.seq
        part = part_of(request.page_size, request.page_token, seq)
        return await self._threads.study(run_at, self._threads.store, run, seq, part)

    async def ForkRun(self, request: r.ForkRunRequest, context: Any) -> r.ForkRunResponse:  # noqa: N802
        """Submit a run that begins with the state of another one after an event, also into another version."""
        run = await self._found(request.run_id)
        seq = request.seq or run.row.seq
        if seq == 0:
            raise FailedPrecondition(
                f"run {run.run_id} has not begun: there is nothing to fork from"
            )
        workflow = await self._submission.workflow(run.workflow, request.version or run.version)
        new = self._new_run(run, workflow, request, codec.occasion_of(run.row))
        reset = tuple(dict.fromkeys(request.reset))
        if len(reset) > _PLACES:
            raise InvalidValue(
                f"reset names {len(reset)} places; use at most {_PLACES}, or what is around them"
            )
        reset = await self._threads.study(
            checked_reset, self._threads.store, run, seq, reset, workflow, request.failed
        )
        await self._threads.study(
            gate_rules.check_fork,
            self._threads.store,
            run,
            seq,
            reset,
            workflow,
            new.params,
            gate_rules.answerer(),
        )
        if request.dry_run:
            submission = self._submission
            plan = await self._threads.study(
                plans.of_fork,
                self._threads.store,
                run,
                history_pb2.RunFork(run_id=run.run_id, seq=seq, reset=reset, failed=request.failed),
                workflow.version,
                submission.now_us(),
                submission.limits,
            )
            return r.ForkRunResponse(run=views.run(as_new(new)), plan=plan)
        fork = await self._submission.like(
            run,
            new,
            fork_run_id=run.run_id,
            fork_seq=seq,
            fork_reset=reset,
            fork_failed=request.failed,
            origin=f"fork:{run.run_id}",
        )
        made, created = await self._submission.submit(fork)
        return r.ForkRunResponse(run=views.run(made), created=created)

    async def VerifyRun(self, request: r.VerifyRunRequest, context: Any) -> r.VerifyRunResponse:  # noqa: N802
        """Fold the whole history of a run and compare the result with its rows and snapshots."""
        run = await self._found(request.run_id)
        return await self._threads.study(_verify, self._threads.store, run)

    def _new_run(
        self,
        run: RunRecord,
        workflow: WorkflowRecord,
        request: r.RerunRunRequest | r.ForkRunRequest,
        occasion: tuple[int, run_pb2.PreviousRun | None],
    ) -> NewRun:
        # A default may be null where a value that is given may not.
        defaults = {each.name: each.default_json for each in workflow.definition.parameters}
        # A parameter that the version lacks is left behind.
        kept = {
            name: text
            for name, text in run.params.items()
            if name in defaults and defaults[name] != text
        }
        given = {**kept, **request.params_json}
        key, labels = checked_key(request.idempotency_key), {**run.labels, **request.labels}
        scheduled_us, previous = occasion
        return self._submission.new_run(
            workflow,
            given,
            idempotency_key=key,
            labels=labels,
            scheduled_us=scheduled_us,
            previous=previous,
        )

    async def _found(self, run_id: str) -> RunRecord:
        tenant = principal.current().tenant
        return await self._threads.read(self._threads.store.get_run, tenant, run_id)


def run_at(
    store: PastStore, run: RunRecord, seq: int, part: Part | None = None
) -> r.GetRunAtResponse:
    """Return the run as it was after an event. Blocks.

    Args:
        store: where its history is.
        run: the run.
        seq: the event.
        part: which of its steps and blocks, and after which event; None: all of them.

    Raises:
        InvalidValue: it has no such event.
    """
    seq = part.seq if part is not None else seq
    state = replay.replay(store, run, seq, definitions(store))
    record = replace(run, row=codec.run_row(state), params=dict(state.params))
    codec.touch_all(state)
    rows = sorted(codec.take_block_rows(state), key=lambda row: row.position)
    steps: Sequence[run_pb2.StepView] = [
        step_view(row) for row in sorted(codec.take_step_rows(state), key=lambda row: row.position)
    ]
    # The counts of a block's cells are those of all pages.
    blocks: Sequence[run_pb2.BlockView] = views.blocks(rows)
    token = ""
    if part is not None:
        steps, blocks, token = part.cut(steps, blocks)
    return r.GetRunAtResponse(
        run=views.run(record),
        steps=steps,
        blocks=blocks,
        state_hash=codec.digest(state),
        next_page_token=token,
    )


def _verify(store: PastStore, run: RunRecord) -> r.VerifyRunResponse:
    for _ in range(_ATTEMPTS):
        loaded = store.load_run(run.run_id)
        definition = store.get_workflow(run.tenant, run.workflow, run.version).definition
        stored = codec.digest(replay.stored(loaded, compile_workflow(definition, run.version)))
        folded, wrong = _folded(store, loaded)
        if folded == stored or store.get_run(run.tenant, run.run_id).row.seq == loaded.row.seq:
            break
    return r.VerifyRunResponse(
        seq=loaded.row.seq,
        replayed_hash=folded,
        stored_hash=stored,
        matches=folded == stored and not wrong,
        snapshots=len(store.snapshot_seqs(run.run_id)),
        wrong_snapshots=wrong,
    )


def _folded(store: PastStore, run: RunRecord) -> tuple[str, list[int]]:
    """Return the digest of the folded history, and the events of snapshots that differ from it."""
    compiled = definitions(store)
    workflow = compiled(run.tenant, run.workflow, run.version)
    kept, wrong = set(store.snapshot_seqs(run.run_id)), []

    def look(state: RunState) -> None:
        if state.seq not in kept:
            return
        snapshot = store.find_snapshot(run.run_id, state.seq)
        if snapshot is None or codec.digest(replay.kept(run, snapshot, workflow)) != codec.digest(
            state
        ):
            wrong.append(state.seq)

    return codec.digest(replay.replay_whole(store, run, compiled, look)), wrong
