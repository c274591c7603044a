"""What can go wrong with an artifact."""

from kaon_wire.errors import KaonError


class ArtifactError(KaonError):
    """The root of this package's errors."""


class ArtifactMissing(ArtifactError):
    """There is nothing at the artifact's address."""


class DigestMismatch(ArtifactError):
    """What was read is not what the digest says."""


class StoreUnavailable(ArtifactError):
    """The storage does not answer, or refuses."""
