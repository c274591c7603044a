"""What can go wrong when a machine is to run a whole system."""


class LocalError(Exception):
    """Root of this package's errors; the message says what to do."""


class NotReady(LocalError):
    """A health check has not passed yet; the message says what is missing. Raised by probes, caught by the wait for them."""


class StartFailed(LocalError):
    """A server ended or did not become healthy in time; the message holds the end of its log."""


class ForeignServer(LocalError):
    """Something else answers at an address that was meant to be ours."""


class MissingTool(LocalError):
    """A program that this machine lacks; the message names it and how to get it."""


class FetchFailed(LocalError):
    """A package with jars or data could not be fetched or holds something unexpected."""
