"""Watches a publisher's announcements as a production system does: acknowledges what it has seen, and goes on where it was."""

from __future__ import annotations

import threading

import grpc

from kaonapi.model.v1 import model_pb2, model_pb2_grpc

_PAUSE_SECONDS = 0.3


class Watcher:
    """One consumer, in a thread, from `start` to `finish`.

    Args:
        address: host:port of the publisher.
        name: under which it acknowledges.
    """

    def __init__(self, address: str, name: str) -> None:
        self._address = address
        self._name = name
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=name, daemon=True)
        self._call: grpc.Call | None = None
        # Cursors in the order in which they were handed to this consumer.
        self.seen: list[int] = []
        # The runs whose models they announced.
        self.runs: list[str] = []

    def start(self) -> Watcher:
        """Begins to watch."""
        self._thread.start()
        return self

    def finish(self) -> None:
        """Watches no more.

        Raises:
            AssertionError: an announcement was left out.
        """
        self._stopping.set()
        if self._call is not None:
            self._call.cancel()
        self._thread.join(20)
        gaps = [cursor for cursor in range(1, len(self.seen) + 1) if cursor not in set(self.seen)]
        assert not gaps, f"{self._name} missed announcements {gaps}"

    def _watch(self) -> None:
        while not self._stopping.is_set():
            with grpc.insecure_channel(self._address) as channel:
                try:
                    self._follow(model_pb2_grpc.ModelServiceStub(channel))
                except grpc.RpcError:
                    # It is away; what was not acknowledged comes again.
                    self._stopping.wait(_PAUSE_SECONDS)

    def _follow(self, stub: model_pb2_grpc.ModelServiceStub) -> None:
        request = model_pb2.WatchModelsRequest(consumer=self._name, after_cursor=-1)
        self._call = stub.WatchModels(request)
        for response in self._call:  # type: ignore[attr-defined]
            cursor = response.announcement.cursor
            # What was not acknowledged, or whose acknowledgement was not answered, comes again with the same cursor.
            if not self.seen or cursor > self.seen[-1]:
                self.seen.append(cursor)
                self.runs.append(response.announcement.version.lineage.run_id)
            acknowledgement = model_pb2.AcknowledgeModelRequest(consumer=self._name, cursor=cursor)
            stub.AcknowledgeModel(acknowledgement, timeout=10)
