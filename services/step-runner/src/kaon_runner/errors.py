"""The runner's errors. A step that raises one of the first two fails with that class; all else is a fault of the platform."""

from __future__ import annotations

from kaon_wire.errors import InvalidValue, KaonError


class UserStepError(KaonError):
    """The step's own code, data or settings are wrong: the attempt fails with class USER.

    Args:
        kind: short name for the failure, such as "InvalidConfig" or "OutputMismatch"; shown as the error's type.
        message: what is wrong, where, and what to do.
        details: a traceback or the end of what was printed; may be empty.
    """

    def __init__(self, kind: str, message: str, details: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.details = details


class PlatformStepError(KaonError):
    """What the platform provides does not work (no disk, no artifact store): the attempt fails with class PLATFORM.

    Args as for `UserStepError`.
    """

    def __init__(self, kind: str, message: str, details: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.details = details


class InvalidSettings(InvalidValue):
    """A setting of the runner is missing or malformed; the message names the variable."""
