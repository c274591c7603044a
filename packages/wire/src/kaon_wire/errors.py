"""The root of Kaon's errors. Each part derives its own; gRPC status codes are chosen only in `kaon_service.statuses`."""


class KaonError(Exception):
    """An error whose text is written for the user: what is wrong, where, and what to do."""


class InvalidValue(KaonError):
    """A value does not have the form that it must have."""


class NotFound(KaonError):
    """What was named does not exist, or belongs to another tenant."""


class Conflict(KaonError):
    """What was asked for contradicts what is there."""


class Unavailable(KaonError):
    """Something that is needed does not answer now; trying again later may help."""
