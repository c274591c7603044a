"""A whole Kaon system on one machine: real servers, started, checked, supervised and stopped.

Every server is a `Server`: `start()` returns once a real health check has passed, `stop()` ends it cleanly, `kill()` and
`restart()` are for fault tests. A `Supervisor` runs a set of them in dependency order. The same classes serve `make demo`,
`make dev` and the fixtures of the tests.
"""

from kaon_local.errors import ForeignServer, LocalError, MissingTool, StartFailed
from kaon_local.server import Server
from kaon_local.supervisor import Supervisor

__all__ = ["ForeignServer", "LocalError", "MissingTool", "Server", "StartFailed", "Supervisor"]
