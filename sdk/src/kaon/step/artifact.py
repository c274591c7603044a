"""Artifacts as a step sees them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file or directory that another step produced, or that this step registers where it already lives.

    It is path-like: `open(artifact)` and `pandas.read_csv(artifact)` read the local copy.
    """

    # Where it is kept, such as "hdfs://..." or "file:///...".
    uri: str
    # "sha256:..." of its content; empty for one that lives elsewhere and is not kept by digest.
    digest: str = ""
    # "dataset", "model", "metrics", "plot", "table", "text" or "file"; "list" for a long list as JSON lines.
    type: str = "file"
    # Bytes.
    size: int = 0
    # How it is kept, such as "application/x-tar" for a directory; empty when that is not known.
    media_type: str = ""
    # What the file or directory was called where it was written, such as "ratings.csv.gz"; empty when that is not known.
    name: str = ""
    # The local copy, which has this name; None for one that is not copied here.
    path: Path | None = None

    @classmethod
    def from_reference(cls, reference: Mapping[str, Any]) -> Artifact:
        """From the content of `{"artifact": ...}`."""
        path = reference.get("path")
        return cls(
            uri=reference["uri"],
            digest=reference.get("digest", ""),
            type=reference.get("type", "file"),
            size=reference.get("size", 0),
            media_type=reference.get("media_type", ""),
            name=reference.get("name", ""),
            path=Path(path) if path else None,
        )

    def to_reference(self) -> dict[str, Any]:
        """Return the JSON value that stands for the artifact in an output; the local copy is not part of it."""
        kept = {
            "digest": self.digest,
            "size": self.size,
            "media_type": self.media_type,
            "name": self.name,
        }
        return {"uri": self.uri, "type": self.type} | {
            field: value for field, value in kept.items() if value
        }

    def __fspath__(self) -> str:
        if self.path is None:
            raise FileNotFoundError(f"artifact {self.uri} has no local copy; read it at its uri")
        return os.fspath(self.path)


def revive(value: Any) -> Any:
    """`value` with every artifact reference in it, at any depth of lists, as an `Artifact`.

    A list that was too long to travel as JSON, and came as an artifact of JSON lines, is a list again.
    """
    if isinstance(value, list):
        return [revive(item) for item in value]
    if isinstance(value, dict) and value.keys() == {"artifact"}:
        artifact = Artifact.from_reference(value["artifact"])
        return _read_list(artifact) if artifact.type == "list" else artifact
    return value


def _read_list(artifact: Artifact) -> list[Any]:
    with open(artifact, encoding="utf-8") as lines:
        return [revive(json.loads(line)) for line in lines]
