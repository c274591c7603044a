"""Content-addressed artifacts over fsspec."""

from kaon_artifacts.artifact import Artifact
from kaon_artifacts.errors import (
    ArtifactError,
    ArtifactMissing,
    ArtifactSuspect,
    DigestMismatch,
    StoreUnavailable,
    Unreadable,
)
from kaon_artifacts.names import checked_name
from kaon_artifacts.store import ArtifactStore, check_digest
from kaon_artifacts.sweeping import Sweeper, Swept

__all__ = [
    "Artifact",
    "ArtifactError",
    "ArtifactMissing",
    "ArtifactStore",
    "ArtifactSuspect",
    "DigestMismatch",
    "StoreUnavailable",
    "Sweeper",
    "Swept",
    "Unreadable",
    "check_digest",
    "checked_name",
]
