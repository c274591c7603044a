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


class Exhausted(KaonError):
    """A tenant's limit is reached; the text names the limit.

    Args:
        message: What is exhausted, and when to try again.
        retry_seconds: After how many seconds the same call may succeed; 0: when something else has ended.
    """

    def __init__(self, message: str, retry_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds
