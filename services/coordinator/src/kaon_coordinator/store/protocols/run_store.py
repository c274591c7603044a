"""Runs, as everybody may read them. Reads see committed transactions only and do not wait for writers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import Protocol

from kaon_coordinator.engine.rows.cell_counts import counted
from kaon_coordinator.engine.rows.codec import CELL
from kaon_coordinator.engine.rows.rows import BlockRow, StepRow
from kaon_coordinator.store.records import ALL_RUNS, LoadedRun, RunPage, RunRecord, RunSelection
from kaonapi.run.v1 import command_pb2, history_pb2


class RunStore(Protocol):
    """Runs, as everybody may read them. Reads see committed transactions only and do not wait for writers."""

    @abstractmethod
    def get_run(self, tenant: str, run_id: str) -> RunRecord:
        """Return one run.

        Raises:
            NotFound: The tenant has no such run.
        """

    @abstractmethod
    def list_runs(
        self,
        tenant: str,
        which: RunSelection = ALL_RUNS,
        *,
        page_size: int = 50,
        page_token: str = "",
    ) -> RunPage:
        """Return a page of the tenant's runs, newest first.

        Runs submitted between two pages move nothing: no run is
        shown twice or left out.

        Raises:
            InvalidValue: The page token does not come from this method.
        """

    @abstractmethod
    def ended_runs(
        self, tenant: str, workflow: str, since_us: int, limit: int = 1000
    ) -> list[RunRecord]:
        """Return the runs of a workflow that ended at or after a time, in order of their ends."""

    @abstractmethod
    def succeeded_run(
        self, tenant: str, workflow: str, params: Mapping[str, str], since_us: int
    ) -> RunRecord | None:
        """Return the run of a workflow with these parameters that has succeeded last, at or after a time; None without one.

        Runs of a part of their workflow do not count.
        """

    @abstractmethod
    def load_run(self, run_id: str) -> LoadedRun:
        """Return one run, ended or not.

        Raises:
            NotFound: The run does not exist.
        """

    @abstractmethod
    def list_steps(self, run_id: str, after: int = -1, limit: int | None = None) -> list[StepRow]:
        """Return the steps of a run in order of creation: at most `limit` after a position."""

    @abstractmethod
    def list_blocks(self, run_id: str, after: int = -1, limit: int | None = None) -> list[BlockRow]:
        """Return the blocks and cells of a run in order of creation: at most `limit` after a position."""

    def cell_counts(
        self, run_id: str, blocks: Collection[str], after: int = -1
    ) -> Mapping[str, Mapping[int, int]]:
        """Return how many cells blocks have in each status, by the block's path, among cells after a position."""
        return counted(
            ((row.path, row.status) for row in self.list_blocks(run_id, after) if row.kind == CELL),
            blocks,
        )

    def find_row(self, run_id: str, path: str) -> StepRow | BlockRow | None:
        """Return the step, block or cell of a run at a path."""
        rows: list[StepRow | BlockRow] = [*self.list_steps(run_id), *self.list_blocks(run_id)]
        return next((row for row in rows if row.path == path), None)

    @abstractmethod
    def history(
        self, run_id: str, after_seq: int = 0, limit: int = 1000
    ) -> list[history_pb2.HistoryEvent]:
        """Return at most `limit` events of a run with a seq above `after_seq`, in order.

        Committed events never change or vanish.
        """

    @abstractmethod
    def waiting_commands(self, partition: int, run_id: str) -> list[command_pb2.RunCommand]:
        """Return the commands for one run of a partition that no batch has named as applied, oldest first."""
