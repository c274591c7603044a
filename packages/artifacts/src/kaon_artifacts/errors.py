"""Errors of artifacts."""

from kaon_wire.errors import KaonError


class ArtifactError(KaonError):
    """The root of this package's errors."""


class ArtifactMissing(ArtifactError):
    """Nothing is stored at the artifact's address."""


class ArtifactSuspect(ArtifactMissing):
    """A reader has found different content at the artifact's address: it must be written anew before others rely on it."""


class DigestMismatch(ArtifactError):
    """The content does not match its digest."""


class StoreUnavailable(ArtifactError):
    """The storage does not answer, or refuses."""


class Unreadable(ArtifactError):
    """Something is not the plain file or directory that it should be, or exceeds its bound."""
