"""The publisher's side of the client: models and their announcements."""

from __future__ import annotations

from collections.abc import Iterator

from kaon.client.audit import Audit
from kaon.client.calling import Caller
from kaon.client.channel import Endpoints, connect
from kaon.client.errors import PUBLISHER
from kaon.client.retrying import Patience
from kaonapi.model.v1 import model_pb2, model_pb2_grpc

# Continues after the last announcement that the consumer acknowledged.
FROM_ACKNOWLEDGED = -1


class Models:
    """Lists, shows and watches published models; `Client.models` is one. Errors are those of `Client`."""

    def __init__(
        self, endpoints: Endpoints, *, patience: Patience, watch_patience: Patience
    ) -> None:
        self._watch_patience = watch_patience
        self._channel = connect(endpoints.publisher, endpoints.security)
        self._caller = Caller(endpoints.publisher, endpoints, patience, setting=PUBLISHER)
        self._stub = model_pb2_grpc.ModelServiceStub(self._channel)
        # Of the publisher.
        self.audit = Audit(self._caller, self._channel)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def list(self, model: str = "") -> list[model_pb2.ModelVersion]:
        """Return the newest version of every model, or all versions of one."""
        return [*self.listing(model).versions]

    def listing(self, model: str = "") -> model_pb2.ListModelsResponse:
        """Like `list`, with the current version of each model."""
        request = model_pb2.ListModelsRequest(model=model)
        return self._caller.whole(self._stub.ListModels, request)

    def get(self, model: str, version: int = 0) -> model_pb2.GetModelResponse:
        """One version of a model (0 is the newest), and who has picked it up."""
        request = model_pb2.GetModelRequest(model=model, version=version)
        return self._caller.call(self._stub.GetModel, request)

    def promote(self, model: str, version: int, reason: str = "") -> model_pb2.Announcement:
        """Make a version the current one; systems that serve the model switch to it."""
        request = model_pb2.PromoteModelRequest(model=model, version=version, reason=reason)
        return self._caller.call(self._stub.PromoteModel, request).announcement

    def rollback(
        self, model: str, from_version: int = 0, reason: str = ""
    ) -> model_pb2.Announcement:
        """Roll back to the version that was current before.

        Args:
            model: its name.
            from_version: the version to leave; 0: the current one. It is asked for first, so that a call that is sent twice goes
                back once.
            reason: for those who read the announcement.
        """
        leaving = from_version or self.get(model).current
        request = model_pb2.RollbackModelRequest(model=model, from_version=leaving, reason=reason)
        return self._caller.call(self._stub.RollbackModel, request).announcement

    def watch(
        self, consumer: str, model: str = "", after_cursor: int = FROM_ACKNOWLEDGED
    ) -> Iterator[model_pb2.Announcement]:
        """Every announcement after the cursor, then live ones, without end; a broken stream goes on where it was.

        Args:
            consumer: stable name of the watching system.
            model: only this one; empty means all.
            after_cursor: the last one known; by default the last that this consumer acknowledged.
        """
        cursor = after_cursor

        def opened() -> Iterator[model_pb2.WatchModelsResponse]:
            request = model_pb2.WatchModelsRequest(
                consumer=consumer, model=model, after_cursor=cursor
            )
            return self._caller.stream(self._stub.WatchModels, request)

        for response in self._watch_patience.stream(opened, complete=lambda: False):
            if response.announcement.cursor > cursor:
                cursor = response.announcement.cursor
                yield response.announcement

    def acknowledge(self, consumer: str, cursor: int) -> None:
        """Tells that the consumer has picked up what the cursor stands for, and everything before it."""
        request = model_pb2.AcknowledgeModelRequest(consumer=consumer, cursor=cursor)
        self._caller.call(self._stub.AcknowledgeModel, request)
