"""What the runner needs of the artifact store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Artifacts(Protocol):
    """What preparing and collecting need of the artifact store; `gateway.ArtifactGateway` has it."""

    def fetch(self, reference: Mapping[str, Any]) -> Path | None:
        """The local copy, which has the artifact's name; None for an artifact that lives elsewhere and is read there."""

    def bundle(self, digest: str) -> Path:
        """The directory of the unpacked code bundle."""

    def has_bundle(self, digest: str) -> bool:
        """Whether `bundle` answers at once."""

    def put(self, path: Path, kind: str, name: str) -> dict[str, Any]:
        """Stores a file or directory and returns its reference: "uri", "digest", "type", "size", "name".

        An empty name is none, and is not told.
        """
