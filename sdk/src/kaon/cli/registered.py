"""Finds registered workflows by the names that people write."""

from __future__ import annotations

from kaon.client import Client, NotFound
from kaon_wire.texts import meant
from kaonapi.workflow.v1 import workflow_service_pb2


def named(client: Client, name: str, version: str = "") -> workflow_service_pb2.Workflow:
    """Return a registered workflow; without a version, the current one.

    Raises:
        NotFound: there is none; the error has the nearest names.
    """
    try:
        return client.workflow(name, version)
    except NotFound:
        known = [each.name for each in client.workflows()]
        if name in known:
            raise
        hint = meant(name, known) or "see kaon workflows list"
        text = (
            f"there is no workflow {name!r}; {hint}, or register it first with kaon register FILE"
        )
        raise NotFound(text) from None
