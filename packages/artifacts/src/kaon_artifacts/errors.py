"""What can go wrong with an artifact."""

from kaon_wire.errors import KaonError


class ArtifactError(KaonError):
    """The root of this package's errors."""


class ArtifactMissing(ArtifactError):
    """There is nothing at the artifact's address."""


class ArtifactSuspect(ArtifactMissing):
    """Somebody has read something else at the artifact's address: it must be written anew before others rely on it."""


class DigestMismatch(ArtifactError):
    """What was read is not what the digest says."""


class StoreUnavailable(ArtifactError):
    """The storage does not answer, or refuses."""


class Unreadable(ArtifactError):
    """Something is not the plain file or directory that it should be, or larger than it may be."""
