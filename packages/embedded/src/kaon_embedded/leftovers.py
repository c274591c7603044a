"""What earlier runs have left in a state directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kaon.cli import new_code, output
from kaon.cli.commands.runs import Submission
from kaon.cli.values import named
from kaon.client import Client
from kaon.dsl import Workflow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.base import RunSelection
from kaon_coordinator.store.sql import open_store
from kaon_embedded.state_directory import database_url, has_runs, tenant
from kaon_service.databases import Durability
from kaon_wire.errors import Conflict, NotFound
from kaonapi.run.v1 import run_pb2, run_service_pb2
from kaonapi.workflow.v1 import definition_pb2

_OPEN = (t.PENDING, t.RUNNING, t.PAUSED, t.CANCELLING)
_LISTED = 10


@dataclass(frozen=True, kw_only=True)
class Leftovers:
    """The runs of a directory."""

    state: Path
    # Ids of runs that have not ended, newest first.
    unfinished: tuple[str, ...]
    # The newest run; empty when there is none.
    newest: str

    def refuse(self) -> None:
        """Refuse to begin a run beside one that has not ended.

        Raises:
            Conflict: There is one.
        """
        if self.unfinished:
            raise Conflict(
                f"{self.state} has the unfinished run {self.unfinished[0]}, which would go on beside the new one: continue it with "
                "--resume, or cancel it with --discard"
            )

    def discard(self, client: Client) -> None:
        """Cancel what has not ended, without its hooks."""
        for run_id in self.unfinished:
            client.cancel(run_id, "kaon run --discard", force=True)
            output.note(f"Cancelled the unfinished run {run_id}.")

    def resumption(self, loaded: Workflow) -> Submission:
        """Return what continues the newest run: it goes on, or what failed in it is retried.

        A run that has ended and has other code than the workflow in its file goes on as a new run, with the code of the file.

        Raises:
            NotFound: There is no run.
            Conflict: The workflow has changed where the run has succeeded.
        """
        run_id = (*self.unfinished, self.newest)[0]
        if not run_id:
            raise NotFound(f"{self.state} has no run to resume")

        def resumed(
            client: Client,
        ) -> tuple[run_service_pb2.SubmitRunResponse, definition_pb2.WorkflowDefinition]:
            run = client.summary(run_id)
            same = (run.workflow, run.version) == (loaded.name, loaded.version)
            if run.status not in _OPEN and run.workflow == loaded.name and not same:
                made, told = new_code.forked(client, run, loaded, failed=True)
                output.note(
                    f"Run {made.run.run_id} of {named(made.run)}, the code that the file has now, goes on from run {told}"
                )
                answer = run_service_pb2.SubmitRunResponse(run=made.run, created=True)
                return answer, loaded.definition()
            if run.status == run_pb2.STATUS_PAUSED:
                run = client.resume(run_id, "kaon run --resume")
            elif run.status not in _OPEN:
                run = client.retry(run_id, "", "kaon run --resume")
            output.note(
                f"Resuming run {run_id} of {named(run)}: with the code that it was submitted with."
            )
            definition = client.workflow(run.workflow, run.version).definition
            return run_service_pb2.SubmitRunResponse(run=run), definition

        return resumed


def leftovers(state: Path) -> Leftovers:
    """Return what earlier runs have left in a directory, which need not exist."""
    if not has_runs(state):
        return Leftovers(state=state, unfinished=(), newest="")
    mine = tenant()
    store = open_store(database_url(state), durability=Durability.RELAXED)
    try:
        unfinished = [
            run.run_id
            for status in _OPEN
            for run in store.list_runs(mine, RunSelection(status=status), page_size=_LISTED).runs
        ]
        newest = [run.run_id for run in store.list_runs(mine, page_size=1).runs]
    finally:
        store.close()
    return Leftovers(
        state=state, unfinished=tuple(sorted(unfinished, reverse=True)), newest="".join(newest)
    )
