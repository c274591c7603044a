"""A model publisher in this process, for workflows that publish where no other is named: models become OCI layouts on disk."""

from __future__ import annotations

from pathlib import Path

from kaon_publisher.bootstrap import Application
from kaon_publisher.settings import Settings
from kaon_service.thread import ApplicationThread


class LocalPublisher:
    """Publishes into a directory. No registry and no Docker engine is used, so models are not run before they are announced.

    Args:
        state: Directory that gets `models.db`, and `models` with the layouts.
        artifacts: Base URL of the artifacts.
    """

    def __init__(self, state: Path, artifacts: str) -> None:
        settings = Settings(
            address="127.0.0.1:0",
            database=f"sqlite:///{state / 'models.db'}",
            artifacts=artifacts,
            layouts=state / "models",
        )
        self._thread = ApplicationThread("publisher", lambda: Application(settings))

    def start(self) -> str:
        """Start it, and return its address.

        Raises:
            KaonError: What keeps it from starting.
        """
        return f"127.0.0.1:{self._thread.start()}"

    def stop(self) -> None:
        """End it in order."""
        self._thread.stop()
