"""The description of one artifact."""

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
    """A file or directory that is stored under its digest."""

    # Its address, such as "file:///.../sha256/ab/ab12..." or "hdfs://...".
    uri: str
    # "sha256:..." of the stored bytes; of a directory, of its tar file.
    digest: str
    # "dataset", "model", "metrics", "plot", "table", "text" or "file".
    type: str = "file"
    # Stored bytes.
    size: int = 0
    # DIRECTORY means that it is unpacked when it is fetched.
    media_type: str = FILE
    # Its name at its origin, such as "ratings.csv.gz"; empty when unknown.
    name: str = ""

    @property
    def is_directory(self) -> bool:
        """Tell whether it is a directory."""
        return self.media_type == DIRECTORY

    def to_json(self) -> dict[str, Any]:
        """Return its JSON object; as a value it is wrapped as `{"artifact": ...}`."""
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
        """Parse the object of `to_json`; unknown fields are ignored.

        Raises:
            InvalidValue: It has no address or digest, or an invalid name, or its digest is no text.
        """
        try:
            found = cls(
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
        if not isinstance(found.digest, str):
            raise InvalidValue(f"not an artifact: {found.digest!r} is not a digest")
        return found
