"""Reads what a call shows of its caller."""

from __future__ import annotations

from typing import Any

from kaon_service.access.credentials import Credentials

# Properties of a certificate that TLS has verified, and how their names are called in the file of principals.
_ALTERNATIVE_NAMES = {"peer_uri": "uri", "peer_dns": "dns", "peer_email": "email"}


def credentials_of(context: Any) -> Credentials:
    """Return the credentials of a gRPC call."""
    metadata = context.invocation_metadata() or ()
    return Credentials(
        metadata={key: value for key, value in metadata if isinstance(value, str)},
        certificate_names=tuple(
            f"{kind}:{name.decode('utf-8', 'replace')}"
            for key, names in (context.auth_context() or {}).items()
            if (kind := _ALTERNATIVE_NAMES.get(_text(key)))
            for name in names
        ),
    )


def _text(key: str | bytes) -> str:
    return key if isinstance(key, str) else key.decode("ascii", "replace")
