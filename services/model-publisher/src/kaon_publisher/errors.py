"""Errors of publications."""

from kaon_wire.errors import InvalidValue, Unavailable


class ModelRejected(InvalidValue):
    """The model does not meet its requirements: the text describes the difference. A retry does not help."""


class EngineUnavailable(Unavailable):
    """The Docker engine does not answer."""


class RegistryUnavailable(Unavailable):
    """The image registry does not answer or refuses."""
