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
        """Store runs with their start commands in one transaction, and answer each in its place.

        A run whose idempotency key was used for the same payload (workflow, version, parameters) is not
        stored: the first run is returned, with False. With another payload the answer is a `Conflict`.
        However many clients submit at once, in this process or in others, one key makes one run.
        """

    def submit_run(self, run: NewRun) -> tuple[RunRecord, bool]:
        """Store one run as `submit_runs` does.

        Raises:
            Conflict: The idempotency key was used for another payload.
        """
        (answer,) = self.submit_runs([run])
        if isinstance(answer, Conflict):
            raise answer
        return answer

    @abstractmethod
    def add_command(
        self, tenant: str, run_id: str, command: command_pb2.RunCommand, now_us: int
    ) -> RunRecord:
        """Store a command for the run's owner.

        A run that has ended accepts only commands that can reopen it: retry, restart and mark.

        Raises:
            NotFound: The tenant has no such run.
        """
