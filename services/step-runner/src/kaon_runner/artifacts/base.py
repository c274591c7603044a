"""The runner's interface to the artifact store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Artifacts(Protocol):
    """The operations on artifacts that preparation and collection of steps need; `gateway.ArtifactGateway` implements them."""

    def fetch(self, reference: Mapping[str, Any]) -> Path | None:
        """Return the local copy, which has the artifact's name; None for an artifact in foreign storage, to be read there."""

    def bundle(self, digest: str) -> Path:
        """Return the directory of the unpacked code bundle."""

    def has_bundle(self, digest: str) -> bool:
        """Tell whether `bundle` returns at once."""

    def put(self, path: Path, kind: str, name: str) -> dict[str, Any]:
        """Store a file or directory and return its reference: "uri", "digest", "type", "size", "name".

        An empty name is omitted.
        """
