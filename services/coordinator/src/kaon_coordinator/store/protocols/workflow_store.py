"""The versions of workflows."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from kaon_coordinator.store.records import WorkflowRecord
from kaonapi.workflow.v1 import definition_pb2


class WorkflowStore(Protocol):
    """The versions of workflows."""

    @abstractmethod
    def put_workflow(
        self,
        tenant: str,
        definition: definition_pb2.WorkflowDefinition,
        version: str,
        now_us: int,
        *,
        aside: bool = False,
    ) -> tuple[WorkflowRecord, bool]:
        """Store a definition and make it the current version of its name, unless it is put aside.

        Return False when this version exists already; it stays unchanged and becomes the current one again. The first
        version of a name becomes the current one also when it is put aside.
        """

    @abstractmethod
    def get_workflow(self, tenant: str, name: str, version: str = "") -> WorkflowRecord:
        """Return one version, or the current one.

        Raises:
            NotFound: The tenant has no such workflow or version.
        """

    @abstractmethod
    def list_workflows(
        self, tenant: str, after: str = "", limit: int | None = None
    ) -> list[WorkflowRecord]:
        """Return the current version of every workflow of the tenant, by name: at most `limit` after one."""
