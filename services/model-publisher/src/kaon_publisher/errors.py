"""What can go wrong with a publication."""

from kaon_wire.errors import InvalidValue, Unavailable


class ModelRejected(InvalidValue):
    """The model is not what it must be: the text says what differs. Trying again does not help."""


class EngineUnavailable(Unavailable):
    """The Docker engine does not answer."""


class RegistryUnavailable(Unavailable):
    """The image registry does not answer or refuses."""
