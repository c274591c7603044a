"""What is known about one artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kaon_artifacts.errors import ArtifactError
from kaon_artifacts.names import checked_name
from kaon_wire.errors import InvalidValue

FILE = "application/octet-stream"
DIRECTORY = "application/x-tar"


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A file or directory that is kept under its digest."""

    # Where it is kept, such as "file:///.../sha256/ab/ab12..." or "hdfs://...".
    uri: str
    # "sha256:..." of the kept bytes; of a directory, of its tar file.
    digest: str
    # "dataset", "model", "metrics", "plot", "table", "text" or "file".
    type: str = "file"
    # Bytes as kept.
    size: int = 0
    # DIRECTORY means that it is unpacked when it is fetched.
    media_type: str = FILE
    # What it is called where it comes from, such as "ratings.csv.gz"; empty when that is not known.
    name: str = ""

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.media_type == DIRECTORY

    def to_json(self) -> dict[str, Any]:
        """The JSON object that stands for it; as a value it is wrapped as `{"artifact": ...}`."""
        told = {
            "uri": self.uri,
            "digest": self.digest,
            "type": self.type,
            "size": self.size,
            "media_type": self.media_type,
        }
        return told | {"name": self.name} if self.name else told

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Artifact:
        """Reads what `to_json` wrote; unknown fields are ignored.

        Raises:
            InvalidValue: it has no address or digest, or a name that is none.
        """
        try:
            return cls(
                uri=data["uri"],
                digest=data["digest"],
                type=data.get("type", "file"),
                size=data.get("size", 0),
                media_type=data.get("media_type", FILE),
                name=checked_name(data.get("name", "")),
            )
        except (KeyError, TypeError) as error:
            raise InvalidValue(f"not an artifact: {error} is missing in {data!r}") from error
        except ArtifactError as error:
            raise InvalidValue(f"an artifact whose name {error}") from error
