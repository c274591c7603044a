"""The runner's errors.

A step that raises one of the first two fails with that class; all others are faults of the platform.
"""

from __future__ import annotations

from kaon_wire.errors import InvalidValue, KaonError


class UserStepError(KaonError):
    """The step's own code, data or settings are wrong: the attempt fails with class USER.

    Args:
        kind: A short name of the failure, such as "InvalidConfig" or "OutputMismatch", shown as the error's type.
        message: What is wrong, where, and the remedy.
        details: A traceback or the end of the output; may be empty.
    """

    def __init__(self, kind: str, message: str, details: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.details = details


class PlatformStepError(KaonError):
    """A service of the platform does not work (no disk, no artifact store): the attempt fails with class PLATFORM.

    Args as for `UserStepError`.
    """

    def __init__(self, kind: str, message: str, details: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.details = details


class InvalidSettings(InvalidValue):
    """A setting of the runner is missing or malformed; the message names the variable."""
