"""What a step's process shows to HiveServer2 and Spark Connect: the token of its tenant, over TLS.

Loads neither of their clients: a cancelled step ends by what is here.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

# The authorities of the engines' certificates.
_CA = "KAON_ENGINES_CA"
_TOKEN = "KAON_ENGINE_TOKEN"


def token() -> str:
    """Return the token of the step's tenant; empty where engines ask for none."""
    return os.environ.get(_TOKEN, "")


def ca_file() -> str:
    """Return the file with the authorities that the engines' certificates are checked by."""
    return os.environ.get(_CA) or str(ssl.get_default_verify_paths().cafile or "")


def roots() -> bytes | None:
    """Return these authorities; None: those that gRPC knows."""
    return Path(os.environ[_CA]).read_bytes() if os.environ.get(_CA) else None
