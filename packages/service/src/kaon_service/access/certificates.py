"""Callers with a client certificate, which TLS has verified."""

from __future__ import annotations

from collections.abc import Callable

from kaon_service.access.credentials import Credentials, Unauthenticated
from kaon_service.access.rules_file import AuthRules
from kaon_service.principal import Principal


class Certificates:
    """Knows the holders of certificates by a subject alternative name.

    Args:
        rules: Returns the rules as they are now.
    """

    def __init__(self, rules: Callable[[], AuthRules]) -> None:
        self._rules = rules

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return the caller; None when it shows no certificate, or a token beside it, which counts then.

        Raises:
            Unauthenticated: The file of rules has no entry for the certificate.
        """
        if not credentials.certificate_names or "authorization" in credentials.metadata:
            return None
        known = self._rules().certificates
        found = {known[name] for name in credentials.certificate_names if name in known}
        if len(found) != 1:
            raise Unauthenticated(f"certificate: {len(found)} principals have one of its names")
        return found.pop()
