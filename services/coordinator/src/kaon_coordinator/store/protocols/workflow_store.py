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
        self, tenant: str, definition: definition_pb2.WorkflowDefinition, version: str, now_us: int
    ) -> tuple[WorkflowRecord, bool]:
        """Stores a definition and makes it the current version of its name. False when this version was there already; then
        the stored one stays as it is, and only becomes current again."""

    @abstractmethod
    def get_workflow(self, tenant: str, name: str, version: str = "") -> WorkflowRecord:
        """One version, or the current one.

        Raises:
            NotFound: the tenant has no such workflow or version.
        """

    @abstractmethod
    def list_workflows(self, tenant: str) -> list[WorkflowRecord]:
        """The current version of every workflow of the tenant, by name."""
