"""What submitters write: runs, and commands for their owners."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from kaon_coordinator.store.records import NewRun, RunRecord
from kaon_wire.errors import Conflict
from kaonapi.run.v1 import command_pb2


class SubmissionStore(Protocol):
    """What submitters write: runs, and commands for their owners."""

    @abstractmethod
    def submit_runs(self, runs: Sequence[NewRun]) -> list[tuple[RunRecord, bool] | Conflict]:
        """Stores runs together with their start commands, all in one transaction, and answers each in its place.

        A run whose idempotency key was used before for the same payload (workflow, version, parameters) is not stored: the first
        run is returned, with False. With another payload the answer is a `Conflict`. However many submit at once, in this process
        or in others, one key makes one run.
        """

    def submit_run(self, run: NewRun) -> tuple[RunRecord, bool]:
        """Stores one run as `submit_runs` does.

        Raises:
            Conflict: the idempotency key was used for another payload.
        """
        (answer,) = self.submit_runs([run])
        if isinstance(answer, Conflict):
            raise answer
        return answer

    @abstractmethod
    def add_command(
        self, tenant: str, run_id: str, command: command_pb2.RunCommand, now_us: int
    ) -> RunRecord:
        """Stores a command for the run's owner. A run that has ended gets none but those that can open it again: retry, restart and
        mark.

        Raises:
            NotFound: the tenant has no such run.
        """
