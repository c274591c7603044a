"""What stands before the handlers of one service."""

from __future__ import annotations

from dataclasses import dataclass, field

import grpc

from kaon_service.access.admission import OPEN, Admission
from kaon_service.access.rates import UNLIMITED, Rates
from kaon_service.access.recording import NoRecorder, Recorder


@dataclass(frozen=True, kw_only=True)
class Guard:
    """Decides who may call over which line, and is told of every call."""

    admission: Admission
    recorder: Recorder = field(default_factory=NoRecorder)
    # Refuses what exceeds the limits of its tenant.
    rates: Rates = UNLIMITED
    # With which the service listens; None: nothing is encrypted.
    credentials: grpc.ServerCredentials | None = None


# Without authentication.
NO_GUARD = Guard(admission=OPEN)
