"""The root of Kaon's errors. Each part derives its own; gRPC status codes are chosen only in `kaon_service.statuses`."""


class KaonError(Exception):
    """An error whose text is written for the user: what is wrong, where, and the remedy."""


class InvalidValue(KaonError):
    """A value is malformed."""


class NotFound(KaonError):
    """The named object does not exist, or belongs to another tenant."""


class Conflict(KaonError):
    """The request contradicts the present state."""


class Unavailable(KaonError):
    """A dependency does not answer now; a later retry may help."""
